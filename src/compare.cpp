// See compare.hpp.
#include "compare.hpp"

namespace sluice {

static const char *null_list(int count) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < count; i++)
        appendStringInfoString(&list, "NULL, ");
    return list.data;
}

static const char *name_list(int count) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < count; i++)
        appendStringInfo(&list, "c%d, ", i);
    return list.data;
}

// news_query counts the contents of the source and joins those that the ledger does not account for: h, known, more.
static const char *news_query(const char *source, const char *content, const char *ledger, const char *covered) {
    return psprintf(
        "SELECT c.h AS h, l.h IS NOT NULL AS known, "
        "c.n OPERATOR(pg_catalog.-) CASE WHEN l.h IS NULL THEN 0 ELSE pg_catalog.abs(coalesce(l.n, 1)) END AS more "
        "FROM (SELECT %s AS h, pg_catalog.count(*) AS n FROM %s s %s%s GROUP BY 1) c "
        "LEFT JOIN %s l ON l.h OPERATOR(pg_catalog.=) c.h "
        "WHERE l.h IS NULL OR c.n OPERATOR(pg_catalog.>) pg_catalog.abs(coalesce(l.n, 1))",
        content, source, *covered ? "WHERE " : "", covered, ledger);
}

const char *unaccounted_statement(const char *source, const char *content, const char *ledger) {
    return psprintf("SELECT coalesce(pg_catalog.sum(news.more), 0)::pg_catalog.int8 FROM (%s) news",
                    news_query(source, content, ledger, ""));
}

const char *compare_statement(const char *source, const char *content, const char *ledger, bool keep, int columns,
                              const char *rows, const char *covered) {
    const char *news = psprintf("WITH news AS MATERIALIZED (%s)", news_query(source, content, ledger, covered));
    const char *match = psprintf("%s OPERATOR(pg_catalog.=) news.h%s%s", content, *covered ? " AND " : "", covered);
    if (!keep)
        return psprintf("%s SELECT %snews.more, news.h FROM news WHERE news.known UNION ALL "
                        "(%s JOIN news ON %s WHERE NOT news.known ORDER BY 1)",
                        news, null_list(columns), rows, match);
    // Of equal rows the last in the order are the new ones.
    return psprintf("%s SELECT * FROM (%s JOIN news ON %s) AS r (%smore, h, place) "
                    "WHERE r.place OPERATOR(pg_catalog.<=) r.more ORDER BY 1",
                    news, rows, match, name_list(columns));
}

} // namespace sluice
