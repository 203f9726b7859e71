// SQL-callable: creating a retention, as a view or as a table.
#include "postgres.hpp"

#include "create.hpp"
#include "names.hpp"
#include "pipeline.hpp"
#include "retention.hpp"
#include "retention_table.hpp"

namespace sluice {

// The arguments of sluice.create_retention, in their order.
namespace argument {
enum { Target, Facts, Customer, Amount, At, PeriodWord, Orders, Refunds, Materialized };
}

static void execute(const char *statement, int expected) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(statement, false, 0) != expected)
        elog(ERROR, "unexpected result of a statement that creates a retention");
    MemoryContextSwitchTo(memory);
}

static const char *target_argument(FunctionCallInfo fcinfo) {
    const RangeVar *target = read_relation_name(text_argument(fcinfo, argument::Target), "target");
    return target->schemaname ? quote_qualified_identifier(target->schemaname, target->relname)
                              : quote_identifier(target->relname);
}

static void read_arguments(FunctionCallInfo fcinfo, Retention *retention) {
    using namespace argument;
    static const char *const required[] = {"target", "facts", "customer", "amount", "at", "period"};
    require_arguments(fcinfo, required, lengthof(required));
    retention->target = target_argument(fcinfo);
    retention->facts = PG_GETARG_OID(Facts);
    if (!get_rel_name(retention->facts))
        argument_error("facts", psprintf("relation %u does not exist", retention->facts), NULL);
    retention->customer = name_text(fcinfo, Customer);
    retention->amount = name_text(fcinfo, Amount);
    retention->at = text_argument(fcinfo, At);
    retention->period = text_argument(fcinfo, PeriodWord);
    retention->orders = PG_ARGISNULL(Orders) ? NULL : name_text(fcinfo, Orders);
    retention->refunds = PG_ARGISNULL(Refunds) ? NULL : name_text(fcinfo, Refunds);
    retention->time_zone = GetConfigOption("TimeZone", false, false);
}

static void create_view(const Retention *retention, Relation facts) {
    StringInfoData statement;
    initStringInfo(&statement);
    appendStringInfo(&statement, "CREATE VIEW %s AS\n", retention->target);
    append_retention_query(&statement, retention, facts, NULL);
    execute(statement.data, SPI_OK_UTILITY);
    execute(psprintf("COMMENT ON VIEW %s IS %s", retention->target,
                     quote_literal_cstr(psprintf("retention of %s by %s, made by sluice.create_retention",
                                                 relation_name(retention->facts), retention->period))),
            SPI_OK_UTILITY);
}

static void create_retention(FunctionCallInfo fcinfo) {
    Retention retention{};
    read_arguments(fcinfo, &retention);
    Relation facts = relation_open(retention.facts, AccessShareLock);
    check_retention(&retention, facts);
    if (!PG_ARGISNULL(argument::Materialized) && PG_GETARG_BOOL(argument::Materialized))
        create_retention_table(&retention, facts);
    else
        create_view(&retention, facts);
    relation_close(facts, NoLock);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_create_retention);
Datum sluice_create_retention(PG_FUNCTION_ARGS) {
    SPI_connect();
    create_retention(fcinfo);
    SPI_finish();
    PG_RETURN_VOID();
}

} // extern "C"
