// See load_plan.hpp.
//
// A partition is replaced by a DELETE and an INSERT in one transaction: readers see the old rows or the new. Building the
// rows aside and swapping a partition of the target would read no faster (they are written once either way), and would lock
// readers out and break their snapshots.
#include "load_plan.hpp"

#include "names.hpp"
#include "pipeline.hpp"

namespace sluice {

// ---- the query as it was written

// Which parameters a query has.
struct QueryParameters {
    bool partition, update; // $1, $2
};

static bool find_parameters(Node *node, void *context) {
    if (!node)
        return false;
    if (IsA(node, ParamRef)) {
        QueryParameters *found = static_cast<QueryParameters *>(context);
        found->partition = found->partition || castNode(ParamRef, node)->number == 1;
        found->update = found->update || castNode(ParamRef, node)->number == 2;
        return false;
    }
    return walk_parsed(node, find_parameters, context);
}

// single_select takes just one SELECT, and leaves out the semicolon behind it.
static const char *single_select(const char *argument, const char *query, QueryParameters *parameters) {
    List *parsed = NIL;
    at_place(argument, [&] { parsed = raw_parser(query, RAW_PARSE_DEFAULT); });
    if (list_length(parsed) != 1 || !IsA(linitial_node(RawStmt, parsed)->stmt, SelectStmt) ||
        castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt)->intoClause)
        argument_error(argument, "is no single SELECT", NULL);
    const RawStmt *statement = linitial_node(RawStmt, parsed);
    (void)find_parameters(statement->stmt, parameters);
    query += statement->stmt_location;
    return statement->stmt_len > 0 ? pnstrdup(query, statement->stmt_len) : query;
}

static void free_load_plans(void *argument) {
    LoadPlan *plan = static_cast<LoadPlan *>(argument);
    if (plan->remove)
        SPI_freeplan(plan->remove);
    if (plan->insert)
        SPI_freeplan(plan->insert);
    plan->remove = plan->insert = NULL;
}

// prepare plans anew for each value: partitions of source and target are left out by it.
static SPIPlanPtr prepare(const char *argument, const char *statement, Oid type) {
    Oid types[] = {type, TIMESTAMPTZOID};
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    SPIPlanPtr prepared = NULL;
    at_place(argument, [&] { prepared = SPI_prepare_cursor(statement, 2, types, CURSOR_OPT_CUSTOM_PLAN); });
    if (!prepared)
        elog(ERROR, "could not prepare a statement of a load: %s", SPI_result_code_string(SPI_result));
    MemoryContextSwitchTo(memory);
    return prepared;
}

static SPIPlanPtr keep(SPIPlanPtr prepared) {
    if (SPI_keepplan(prepared) != 0)
        elog(ERROR, "could not keep a statement of a load");
    return prepared;
}

// ---- columns

struct PartitionColumn {
    const char *name, *quoted, *type, *equals;
};

static PartitionColumn find_partition_column(const LoadDefinition *load, Relation target) {
    const char *argument = "target_partition";
    const AttrNumber number = get_attnum(RelationGetRelid(target), load->target_partition);
    if (number <= 0)
        argument_error(
            argument,
            psprintf("target %s has no column \"%s\"", relation_name(RelationGetRelid(target)), load->target_partition),
            nearest_column_hint(target, load->target_partition));
    const Form_pg_attribute column = TupleDescAttr(RelationGetDescr(target), number - 1);
    return PartitionColumn{load->target_partition, quote_identifier(load->target_partition),
                           format_type_be_qualified(column->atttypid), equality_sql(column->atttypid, argument)};
}

static void check_query_column(Relation target, const char *column) {
    if (get_attnum(RelationGetRelid(target), column) > 0)
        return;
    const char *hint = nearest_column_hint(target, column);
    argument_error("query",
                   psprintf("column \"%s\" is none of target %s", column, relation_name(RelationGetRelid(target))),
                   hint ? hint : "Columns of the query go into the target's by their names.");
}

// query_columns finds out which columns a query gives.
static TupleDesc query_columns(const char *argument, const char *query, Oid type) {
    SPIPlanPtr prepared = prepare(argument, psprintf("SELECT * FROM (%s\n) q", query), type);
    const CachedPlanSource *source =
        static_cast<const CachedPlanSource *>(linitial(SPI_plan_get_plan_sources(prepared)));
    TupleDesc columns = CreateTupleDescCopy(source->resultDesc);
    SPI_freeplan(prepared);
    return columns;
}

// append_value selects a column; that of the partition must hold the one that was asked for.
static void append_value(StringInfo values, const char *column, const PartitionColumn *partition) {
    const char *quoted = quote_identifier(column);
    if (strcmp(column, partition->name) != 0)
        appendStringInfo(values, "q.%s", quoted);
    else
        appendStringInfo(
            values,
            "CASE WHEN q.%s::%s %s $1::%s THEN q.%s::%s ELSE sluice.other_partition(q.%s::pg_catalog.text, "
            "$1::pg_catalog.text)::%s END",
            quoted, partition->type, partition->equals, partition->type, quoted, partition->type, quoted,
            partition->type);
}

// The columns of a query, in lists: of the target to be filled, with their values; to be compared, given and held.
struct ColumnLists {
    StringInfoData names, values, given, held;
    bool has_partition;
};

static void append_comma(StringInfo list) { appendStringInfoString(list, list->len > 0 ? ", " : ""); }

static void append_compared(ColumnLists *lists, Relation target, const char *column) {
    const Oid type = get_atttype(RelationGetRelid(target), get_attnum(RelationGetRelid(target), column));
    append_comma(&lists->given);
    append_comma(&lists->held);
    appendStringInfo(&lists->given, "q.%s::%s", quote_identifier(column), format_type_be_qualified(type));
    appendStringInfo(&lists->held, "t.%s", quote_identifier(column));
}

static ColumnLists list_columns(TupleDesc columns, Relation target, const PartitionColumn *partition,
                                const char *back_off) {
    ColumnLists lists{};
    initStringInfo(&lists.names);
    initStringInfo(&lists.values);
    initStringInfo(&lists.given);
    initStringInfo(&lists.held);
    for (int i = 0; i < columns->natts; i++) {
        const char *column = NameStr(TupleDescAttr(columns, i)->attname);
        check_query_column(target, column);
        append_comma(&lists.names);
        append_comma(&lists.values);
        appendStringInfoString(&lists.names, quote_identifier(column));
        append_value(&lists.values, column, partition);
        if (!back_off || strcmp(column, back_off) != 0)
            append_compared(&lists, target, column);
        lists.has_partition = lists.has_partition || strcmp(column, partition->name) == 0;
    }
    return lists;
}

static void write_statements(LoadPlan *plan, const LoadDefinition *load, const char *query, Relation target,
                             const PartitionColumn *partition) {
    const ColumnLists lists =
        list_columns(query_columns("query", query, plan->partition_type), target, partition, load->back_off);
    const char *table = relation_name(RelationGetRelid(target));
    if (!lists.has_partition)
        argument_error("query", psprintf("has no column \"%s\", the target's partition", partition->name),
                       psprintf("Select $1 AS %s, or what the rows hold.", partition->quoted));
    plan->insert_sql =
        psprintf("INSERT INTO %s (%s) SELECT %s FROM (%s\n) q", table, lists.names.data, lists.values.data, query);
    plan->remove_sql = load->appends ? NULL : psprintf("DELETE FROM %s t WHERE %s", table, plan->of_partition);
    plan->given_sql = psprintf("SELECT %s FROM (%s\n) q", lists.given.data, query);
    plan->held_sql = psprintf("SELECT %s FROM %s t WHERE %s", lists.held.data, table, plan->of_partition);
}

// ---- the plan

Oid load_target(const LoadDefinition *load) {
    Oid target;
    if (resolve_reference(&load->target, &target) != Found::Missing)
        return target;
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_TABLE),
             errmsg("target %s does not exist", quote_qualified_identifier(load->target.schema, load->target.name)),
             errhint("Restore it, or drop the pipeline with sluice.drop_pipeline.")));
    pg_unreachable();
}

static void check_query_parameters(const LoadDefinition *load, const QueryParameters *parameters) {
    if (!parameters->partition)
        argument_error("query", "has no $1, the partition",
                       "It selects the rows of one partition: ... WHERE day = $1.");
    if (parameters->update && !load->appends)
        argument_error("query", "has a $2, the target's last update, which is for mode \"append\"",
                       "Mode \"replace\" needs all rows of the partition.");
    if (parameters->update && !load->back_off)
        argument_error("query", "has a $2, the target's last update, and no back_off names the column of it", NULL);
}

static void plan_statements(LoadPlan *plan, const LoadDefinition *load, Relation target) {
    QueryParameters parameters{};
    const char *query = single_select("query", load->query, &parameters);
    check_query_parameters(load, &parameters);
    plan->asks_for_update = parameters.update;
    const PartitionColumn column = find_partition_column(load, target);
    plan->of_partition = psprintf("t.%s %s $1::%s", column.quoted, column.equals, column.type);
    plan->of_partitions = psprintf("t.%s %s ANY ($1::%s[])", column.quoted, column.equals, column.type);
    write_statements(plan, load, query, target, &column);
    plan->insert = keep(prepare("query", plan->insert_sql, plan->partition_type));
    if (plan->remove_sql)
        plan->remove = keep(prepare("target_partition", plan->remove_sql, plan->partition_type));
}

LoadPlan *plan_load(const LoadDefinition *load, Oid target, const Order *partition) {
    LoadPlan *plan = static_cast<LoadPlan *>(palloc0(sizeof(LoadPlan)));
    plan->target = target;
    plan->partition_type = partition->type;
    plan->cleanup.func = free_load_plans;
    plan->cleanup.arg = plan;
    MemoryContextRegisterResetCallback(CurrentMemoryContext, &plan->cleanup);
    Relation relation = relation_open(target, AccessShareLock);
    plan_statements(plan, load, relation);
    relation_close(relation, NoLock);
    plan->has_time = load->back_off != NULL;
    if (plan->has_time)
        plan->time = find_time_column("back_off", target, load->back_off);
    if (load->partition_list)
        (void)list_sql(load->partition_list, partition);
    return plan;
}

// check_rights lets the server check the rights that a statement needs, as it does before it runs: EXPLAIN comes that far.
static void check_rights(const char *argument, const char *statement, Oid type) {
    Oid types[] = {type, TIMESTAMPTZOID};
    Datum values[] = {0, 0};
    const char nulls[] = "nn";
    MemoryContext memory = CurrentMemoryContext;
    at_place(argument, [&] {
        (void)SPI_execute_with_args(psprintf("EXPLAIN %s", statement), 2, types, values, nulls, false, 0);
    });
    MemoryContextSwitchTo(memory);
    SPI_freetuptable(SPI_tuptable);
}

void check_load_rights(const LoadPlan *plan, const LoadDefinition *load) {
    check_rights("query", plan->insert_sql, plan->partition_type);
    if (plan->remove_sql)
        check_rights("target", plan->remove_sql, plan->partition_type);
    if (load->back_off)
        check_rights("back_off", psprintf("DELETE FROM %s t WHERE t.%s IS NULL", plan->time.table, plan->time.column),
                     plan->partition_type);
}

TimestampTz last_update_of(const LoadPlan *plan, Datum partition) {
    return last_update(&plan->time, plan->of_partition, plan->partition_type, partition);
}

const char *list_sql(const char *partition_list, const Order *partition) {
    const char *argument = "partition_list";
    QueryParameters parameters{};
    const char *query = single_select(argument, partition_list, &parameters);
    if (parameters.partition || parameters.update)
        argument_error(argument, "has parameters; it has none to take", NULL);
    if (query_columns(argument, query, partition->type)->natts != 1)
        argument_error(argument, "gives more than one column", "It gives the partitions to load.");
    const char *statement = psprintf("SELECT DISTINCT q.c::%s FROM (%s\n) q(c) WHERE q.c IS NOT NULL",
                                     format_type_be_qualified(partition->type), query);
    SPI_freeplan(prepare(argument, statement, partition->type));
    return statement;
}

} // namespace sluice
