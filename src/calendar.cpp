// See calendar.hpp. Weeks are those of ISO 8601: they begin on Monday. Names are English, whatever lc_time says.
#include "calendar.hpp"

namespace sluice {

struct CalendarColumn {
    const char *name, *sql;
};

#define TRUNCATED(unit) "pg_catalog.date_trunc('" unit "', d::pg_catalog.timestamp)::pg_catalog.date"

static const CalendarColumn columns[] = {
    {"date_actual", "d"},
    {"epoch", "extract(epoch FROM d)"},
    {"day_suffix", "pg_catalog.to_char(d::pg_catalog.timestamp, 'FMDDth')"},
    {"day_name", "pg_catalog.to_char(d::pg_catalog.timestamp, 'FMDay')"},
    {"day_of_week", "extract(isodow FROM d)"},
    {"day_of_month", "extract(day FROM d)"},
    {"day_of_quarter", "d - " TRUNCATED("quarter") " + 1"},
    {"day_of_year", "extract(doy FROM d)"},
    {"week_of_month", "pg_catalog.to_char(d::pg_catalog.timestamp, 'W')::pg_catalog.int4"},
    {"week_of_year", "extract(week FROM d)"},
    {"week_of_year_iso", "pg_catalog.to_char(d::pg_catalog.timestamp, 'IYYY\"-W\"IW-ID')"},
    {"month_actual", "extract(month FROM d)"},
    {"month_name", "pg_catalog.to_char(d::pg_catalog.timestamp, 'FMMonth')"},
    {"month_name_abbreviated", "pg_catalog.to_char(d::pg_catalog.timestamp, 'Mon')"},
    {"quarter_actual", "extract(quarter FROM d)"},
    {"quarter_name", "(ARRAY['First', 'Second', 'Third', 'Fourth'])[extract(quarter FROM d)::pg_catalog.int4]"},
    {"year_actual", "extract(year FROM d)"},
    {"first_day_of_week", TRUNCATED("week")},
    {"last_day_of_week", TRUNCATED("week") " + 6"},
    {"first_day_of_month", TRUNCATED("month")},
    {"last_day_of_month", "(" TRUNCATED("month") " + interval '1 month')::pg_catalog.date - 1"},
    {"first_day_of_quarter", TRUNCATED("quarter")},
    {"last_day_of_quarter", "(" TRUNCATED("quarter") " + interval '3 months')::pg_catalog.date - 1"},
    {"first_day_of_year", TRUNCATED("year")},
    {"last_day_of_year", "(" TRUNCATED("year") " + interval '1 year')::pg_catalog.date - 1"},
    {"mmyyyy", "pg_catalog.to_char(d::pg_catalog.timestamp, 'MMYYYY')"},
    {"mmddyyyy", "pg_catalog.to_char(d::pg_catalog.timestamp, 'MMDDYYYY')"},
    {"weekend_indr", "extract(isodow FROM d) >= 6"},
};

const char *calendar_sql(const char *column) {
    for (const CalendarColumn &known : columns)
        if (strcmp(known.name, column) == 0)
            return known.sql;
    return NULL;
}

} // namespace sluice
