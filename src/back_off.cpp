// See back_off.hpp.
//
// The time is compared in the type of the column and given to the planner as a constant, so that it leaves out partitions
// that cannot hold such rows. The procedure goes through the partitions one by one, outside a transaction block each in a
// transaction of its own.
#include "back_off.hpp"

#include "leaves.hpp"
#include "names.hpp"
#include "pipeline.hpp"

namespace sluice {

TimeColumn find_time_column(const char *argument, Oid target, const char *column) {
    Relation relation = relation_open(target, AccessShareLock);
    const AttrNumber number = get_attnum(target, column);
    if (number <= 0)
        argument_error(argument, psprintf("%s has no column \"%s\"", relation_name(target), column),
                       nearest_column_hint(relation, column));
    relation_close(relation, AccessShareLock);
    const Oid type = get_atttype(target, number);
    if (type != TIMESTAMPTZOID && type != TIMESTAMPOID && type != DATEOID)
        argument_error(argument,
                       psprintf("column %s of %s is of type %s", quote_identifier(column), relation_name(target),
                                format_type_be(type)),
                       "It must be a timestamp or a date.");
    return TimeColumn{target, relation_name(target), quote_identifier(column), format_type_be_qualified(type)};
}

TimestampTz last_update(const TimeColumn *column, const char *condition, Oid type, Datum value) {
    const char *query = psprintf(
        "SELECT coalesce(pg_catalog.max(t.%s)::pg_catalog.timestamptz, '1970-01-01 00:00:00+00') FROM %s t%s%s%s",
        column->column, column->table, condition ? " WHERE (" : "", condition ? condition : "", condition ? "\n)" : "");
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    const bool has_value = OidIsValid(type);
    if (SPI_execute_with_args(query, has_value, &type, &value, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
        elog(ERROR, "unexpected result of a look for the last update");
    MemoryContextSwitchTo(memory);
    bool is_null;
    const Datum found = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    const TimestampTz time = DatumGetTimestampTz(found);
    SPI_freetuptable(SPI_tuptable);
    return time;
}

// fixed_literal is the time as a literal of the column's type: the planner excludes partitions by constants alone. In a
// column of dates, later than a time means on a later day.
static const char *fixed_literal(const TimeColumn *column, TimestampTz time) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    Oid types[] = {TIMESTAMPTZOID};
    Datum values[] = {TimestampTzGetDatum(time)};
    const char *query = psprintf("SELECT pg_catalog.quote_literal($1::%s) || '::%s'", column->type, column->type);
    if (SPI_execute_with_args(query, 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a cast");
    MemoryContextSwitchTo(memory);
    const char *literal = pstrdup(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
    SPI_freetuptable(SPI_tuptable);
    return literal;
}

static void exclude_by_constraints() {
    (void)set_config_option("constraint_exclusion", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

int64 back_off(const TimeColumn *column, const char *table, TimestampTz since, const TimestampTz *until) {
    StringInfoData statement;
    initStringInfo(&statement);
    appendStringInfo(&statement, "DELETE FROM %s t WHERE t.%s OPERATOR(pg_catalog.>) %s", table, column->column,
                     fixed_literal(column, since));
    if (until)
        appendStringInfo(&statement, " AND t.%s OPERATOR(pg_catalog.<=) %s", column->column,
                         fixed_literal(column, *until));
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    const int settings = NewGUCNestLevel();
    exclude_by_constraints();
    if (SPI_execute(statement.data, false, 0) != SPI_OK_DELETE)
        elog(ERROR, "unexpected result of a delete");
    AtEOXact_GUC(true, settings);
    MemoryContextSwitchTo(memory);
    return SPI_processed;
}

// ---- the procedure

// deletable_leaves lists the partitions, where the caller may delete from each of them; else the target is one piece.
static List *deletable_leaves(Oid target) {
    if (get_rel_relkind(target) != RELKIND_PARTITIONED_TABLE)
        return NIL;
    List *leaves = leaves_of(target);
    int partitions = 0;
    ListCell *cell;
    foreach (cell, find_all_inheritors(target, AccessShareLock, NULL))
        partitions += get_rel_relkind(lfirst_oid(cell)) != RELKIND_PARTITIONED_TABLE;
    if (partitions != list_length(leaves))
        return NIL; // some are foreign
    foreach (cell, leaves)
        if (pg_class_aclcheck(lfirst_oid(cell), GetUserId(), ACL_DELETE) != ACLCHECK_OK ||
            pg_class_aclcheck(lfirst_oid(cell), GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
            check_enable_rls(target, InvalidOid, true) == RLS_ENABLED)
            return NIL;
    return leaves;
}

struct BackOff {
    TimeColumn column;
    TimestampTz since, until;
    bool has_until, atomic;
    int64 deleted;
};

static void back_off_table(BackOff *work, const char *table) {
    CHECK_FOR_INTERRUPTS();
    PushActiveSnapshot(GetTransactionSnapshot());
    work->deleted += back_off(&work->column, table, work->since, work->has_until ? &work->until : NULL);
    PopActiveSnapshot();
}

// back_off_leaves commits after each partition; one that is gone meanwhile has no rows.
static void back_off_leaves(BackOff *work, List *leaves) {
    ListCell *cell;
    foreach (cell, leaves) {
        const char *name = get_rel_name(lfirst_oid(cell)) ? relation_name(lfirst_oid(cell)) : NULL;
        if (!name)
            continue;
        back_off_table(work, psprintf("ONLY %s", name));
        if (!work->atomic) {
            SPI_commit();
            SPI_start_transaction();
        }
    }
}

static void back_off_target(BackOff *work) {
    MemoryContext memory = AllocSetContextCreate(PortalContext ? PortalContext : CurrentMemoryContext,
                                                 "sluice back off", ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(memory);
    PushActiveSnapshot(GetTransactionSnapshot());
    List *leaves = deletable_leaves(work->column.target);
    PopActiveSnapshot();
    if (leaves)
        back_off_leaves(work, leaves);
    else
        back_off_table(work, work->column.table);
    MemoryContextSwitchTo(before);
    MemoryContextDelete(memory);
    ereport(NOTICE, (errmsg("%s: " INT64_FORMAT " rows deleted", work->column.table, work->deleted)));
}

static Oid target_argument(FunctionCallInfo fcinfo) {
    if (PG_ARGISNULL(0))
        argument_error("target", "must not be null", NULL);
    if (!get_rel_name(PG_GETARG_OID(0)))
        argument_error("target", psprintf("relation %u does not exist", PG_GETARG_OID(0)), NULL);
    return PG_GETARG_OID(0);
}

static const char *column_argument(FunctionCallInfo fcinfo) {
    if (PG_ARGISNULL(1))
        argument_error("time_column", "must not be null", NULL);
    return pstrdup(NameStr(*PG_GETARG_NAME(1)));
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_last_update);
Datum sluice_last_update(PG_FUNCTION_ARGS) {
    const Oid target = target_argument(fcinfo);
    const TimeColumn column = find_time_column("time_column", target, column_argument(fcinfo));
    const char *condition = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
    TimestampTz time = 0;
    SPI_connect();
    at_place("last_update", [&] { time = last_update(&column, condition, InvalidOid, 0); });
    SPI_finish();
    PG_RETURN_TIMESTAMPTZ(time);
}

PG_FUNCTION_INFO_V1(sluice_back_off);
Datum sluice_back_off(PG_FUNCTION_ARGS) {
    BackOff work{};
    const Oid target = target_argument(fcinfo);
    const char *column = column_argument(fcinfo);
    if (PG_ARGISNULL(2))
        argument_error("since", "must not be null",
                       "sluice.last_update(target) gives the last update; '-infinity' is before all.");
    PreventCommandIfReadOnly("sluice.back_off");
    work.since = PG_GETARG_TIMESTAMPTZ(2);
    work.has_until = !PG_ARGISNULL(3);
    work.until = work.has_until ? PG_GETARG_TIMESTAMPTZ(3) : 0;
    work.atomic =
        !fcinfo->context || !IsA(fcinfo->context, CallContext) || castNode(CallContext, fcinfo->context)->atomic;
    SPI_connect_ext(work.atomic ? 0 : SPI_OPT_NONATOMIC);
    work.column = find_time_column("time_column", target, column);
    back_off_target(&work);
    SPI_finish();
    PG_RETURN_VOID();
}

} // extern "C"
