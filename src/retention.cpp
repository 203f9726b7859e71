// See retention.hpp.
//
// Facts are folded to one row for each period and customer first, so that nothing is counted or summed more than once; then
// the customers of a period are counted. New is who has exactly one order in the period, returning who has more; revenue is
// what all his facts of the period sum up to, refunds included. Facts without customer or time belong to nobody's period and
// are left out.
//
// Days begin where they began for whoever created it: the time zone is part of the query.
#include "retention.hpp"

#include "expression.hpp"
#include "mapping.hpp"
#include "names.hpp"
#include "signed.hpp"

namespace sluice {

struct Period {
    const char *word, *name;
};

static const Period periods[] = {
    {"day", "daily"}, {"week", "weekly"}, {"month", "monthly"}, {"quarter", "quarterly"}, {"year", "yearly"}};

static const char *period_name(const char *word) {
    NearestName nearest = nearest_begin(word);
    for (const Period &period : periods) {
        if (strcmp(period.word, word) == 0)
            return period.name;
        nearest_offer(&nearest, period.word);
    }
    const char *hint = nearest_hint(&nearest);
    mapping_error("period", psprintf("\"%s\" is no period", word),
                  hint ? hint : "Periods are day, week, month, quarter and year.");
}

static Oid check_column(Relation facts, const char *argument, const char *column) {
    const Oid relation = RelationGetRelid(facts);
    const AttrNumber number = get_attnum(relation, column);
    if (number > 0)
        return getBaseType(get_atttype(relation, number));
    const char *hint = nearest_column_hint(facts, column);
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                    errmsg("%s: column \"%s\" of %s does not exist", argument, column, relation_name(relation)),
                    hint ? errhint("%s", hint) : 0));
}

static void check_sum(Relation facts, const char *argument, const char *column) {
    const Oid type = check_column(facts, argument, column);
    if (!has_sign(type))
        mapping_error(argument, psprintf("column \"%s\" has type %s, which is no amount", column, format_type_be(type)),
                      "Amounts are numbers, money or intervals.");
}

static void check_count(Relation facts, const char *argument, const char *column) {
    if (!column)
        return;
    const Oid type = check_column(facts, argument, column);
    if (type != INT2OID && type != INT4OID && type != INT8OID && type != NUMERICOID)
        mapping_error(argument, psprintf("column \"%s\" has type %s, which is no count", column, format_type_be(type)),
                      NULL);
}

void check_retention(const Retention *retention, Relation facts) {
    (void)period_name(retention->period);
    (void)check_column(facts, "customer", retention->customer);
    check_sum(facts, "amount", retention->amount);
    check_count(facts, "orders", retention->orders);
    check_count(facts, "refunds", retention->refunds);
    (void)period_sql(retention, facts);
}

const char *period_sql(const Retention *retention, Relation facts) {
    const Expression at = read_expression(facts, "at", retention->at);
    const char *time = at.sql;
    switch (getBaseType(at.type)) {
    case DATEOID:
        time = psprintf("%s::pg_catalog.timestamp", at.sql);
        break;
    case TIMESTAMPOID:
        break;
    case TIMESTAMPTZOID:
        time = psprintf("pg_catalog.timezone(%s, %s)", quote_literal_cstr(retention->time_zone), at.sql);
        break;
    default:
        mapping_error(
            "at", psprintf("\"%s\" has type %s, which is no time", retention->at, format_type_be(at.type)),
            "It is a date or a timestamp. Of seconds write to_timestamp(date_id) AT TIME ZONE 'UTC', of a number "
            "like 20240131 to_date(date_id::text, 'YYYYMMDD').");
    }
    return psprintf("pg_catalog.date_trunc('%s', %s)::pg_catalog.date", retention->period, time);
}

// count_sql writes how many orders or refunds the facts of a customer are.
static const char *count_sql(const char *column, const char *amount, const char *sign) {
    if (column)
        return psprintf("coalesce(pg_catalog.sum(s.%s), 0)", quote_identifier(column));
    return psprintf("pg_catalog.count(*) FILTER (WHERE s.%s %s '0')", amount, sign);
}

static void append_customers(StringInfo to, const Retention *retention, Relation facts, const char *condition) {
    const char *amount = quote_identifier(retention->amount), *customer = quote_identifier(retention->customer);
    const char *period = period_sql(retention, facts);
    appendStringInfo(to,
                     "    SELECT %s AS period_id,\n           %s AS orders,\n           %s AS refunds,\n"
                     "           coalesce(pg_catalog.sum(s.%s), '0') AS revenue\n    FROM %s s\n"
                     "    WHERE s.%s IS NOT NULL AND %s\n    GROUP BY 1, s.%s\n",
                     period, count_sql(retention->orders, amount, ">="), count_sql(retention->refunds, amount, "<"),
                     amount, relation_name(retention->facts), customer,
                     condition ? condition : psprintf("%s IS NOT NULL", period), customer);
}

void append_retention_query(StringInfo to, const Retention *retention, Relation facts, const char *condition) {
    appendStringInfo(
        to,
        "SELECT '%s'::pg_catalog.text AS period_name, period_id,\n"
        "       pg_catalog.count(*) FILTER (WHERE orders = 1) AS new_customers_count,\n"
        "       coalesce(pg_catalog.sum(revenue) FILTER (WHERE orders = 1), '0') AS new_customers_revenue,\n"
        "       pg_catalog.count(*) FILTER (WHERE orders > 1) AS returning_customers_count,\n"
        "       coalesce(pg_catalog.sum(revenue) FILTER (WHERE orders > 1), '0') AS returning_customers_revenue,\n"
        "       pg_catalog.count(*) FILTER (WHERE refunds > 0) AS refunded_customer_count,\n"
        "       pg_catalog.sum(refunds)::pg_catalog.int8 AS customers_refunded\n"
        "FROM (\n",
        period_name(retention->period));
    append_customers(to, retention, facts, condition);
    appendStringInfoString(to, ") customers\nGROUP BY period_id");
}

} // namespace sluice
