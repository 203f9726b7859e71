// The calendar: what the usual columns of a calendar table hold of a day.
#pragma once

#include "postgres.hpp"

namespace sluice {

// calendar_sql is the value of a column as SQL over the date d; NULL when the calendar knows no column of that name.
const char *calendar_sql(const char *column);

} // namespace sluice
