// See retention_table.hpp.
//
// Of a batch of facts only the periods are remembered that they lie in: what `at` gives for them. It may look at columns of the
// grain only, so a fact never goes from one period to another. When the facts are written, these periods are computed anew
// from the facts, and rows that come out different are written; everything in the transaction of the batch.
//
// Two pipelines may write one table of facts: the lock on the retention sees to it that the second computes from what the first
// has committed.
#include "retention_table.hpp"

#include "catalog.hpp"
#include "expression.hpp"
#include "facts_definition.hpp"
#include "mapping.hpp"
#include "names.hpp"
#include "pipeline.hpp"

namespace sluice {

static const char *const numbers[] = {"new_customers_count",       "new_customers_revenue",
                                      "returning_customers_count", "returning_customers_revenue",
                                      "refunded_customer_count",   "customers_refunded"};

// number_list writes the columns with numbers, of an alias.
static const char *number_list(const char *of) {
    StringInfoData list;
    initStringInfo(&list);
    for (const char *number : numbers)
        appendStringInfo(&list, "%s%s%s", list.len ? ", " : "", of, number);
    return list.data;
}

static void execute(const char *statement) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(statement, false, 0) < 0)
        elog(ERROR, "unexpected result of a statement on a retention");
    MemoryContextSwitchTo(memory);
}

// ---- creating

// A FactsPipeline writes the facts of a retention.
struct FactsPipeline {
    const char *name;
    const FactsMapping *mapping;
};

static List *facts_pipelines(Oid facts) {
    Parameters parameters{};
    add_int(&parameters, GetUserId());
    const uint64 count = catalog_execute("SELECT p.name, p.mapping::text FROM sluice.pipeline p WHERE p.kind = 'facts' "
                                         "AND sluice.pipeline_owner(p.pipeline_id) = $1::oid ORDER BY p.name",
                                         &parameters);
    List *found = NIL;
    for (uint64 i = 0; i < count; i++) {
        const FactsDefinition definition = read_facts_definition(result_text(i, 2));
        if (RangeVarGetRelid(read_relation_name(definition.target, "target"), NoLock, true) != facts)
            continue;
        FactsPipeline *pipeline = static_cast<FactsPipeline *>(palloc(sizeof(FactsPipeline)));
        *pipeline = FactsPipeline{result_text(i, 1), read_facts_mapping(definition.mapping)};
        found = lappend(found, pipeline);
    }
    free_result();
    return found;
}

static bool is_in_grain(const FactsMapping *mapping, const char *column) {
    for (int i = 0; i < mapping->grain_count; i++)
        if (strcmp(mapping->grain[i].column, column) == 0)
            return true;
    return false;
}

// outside_grain gives a column that the time of a fact looks at, though it is not in the grain; NULL when there is none.
static const char *outside_grain(const Retention *retention, Relation facts, const FactsMapping *mapping) {
    Bitmapset *columns = NULL;
    pull_varattnos(read_expression(facts, "at", retention->at).node, 1, &columns);
    for (int column = -1; (column = bms_next_member(columns, column)) >= 0;) {
        const char *name = get_attname(retention->facts, column + FirstLowInvalidHeapAttributeNumber, true);
        if (!name || !is_in_grain(mapping, name))
            return name ? name : "*";
    }
    return NULL;
}

static void check_pipelines(const Retention *retention, Relation facts) {
    List *pipelines = facts_pipelines(retention->facts);
    if (pipelines == NIL)
        ereport(NOTICE,
                (errmsg("no facts pipeline of %s writes %s: the retention stays as it is until one does",
                        quote_identifier(GetUserNameFromId(GetUserId(), false)), relation_name(retention->facts)),
                 errhint("Create it with sluice.create_facts.")));
    ListCell *cell;
    foreach (cell, pipelines) {
        const FactsPipeline *pipeline = static_cast<const FactsPipeline *>(lfirst(cell));
        const char *column = outside_grain(retention, facts, pipeline->mapping);
        if (column)
            mapping_error(
                "at", psprintf("column \"%s\" is not in the grain of pipeline \"%s\"", column, pipeline->name),
                "A fact of a table that is kept up to date must stay in its period; leave materialized out for "
                "a view.");
    }
}

// portable_at writes the time of a fact so that it means the same under any search_path.
static const char *portable_at(const Retention *retention, Relation facts) {
    Node *at = read_expression(facts, "at", retention->at).node;
    const int settings = NewGUCNestLevel();
    (void)set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
    const char *sql = deparse_expression(at, deparse_context_for("s", retention->facts), true, false);
    AtEOXact_GUC(true, settings);
    return sql;
}

static void remember(const Retention *retention, Relation facts) {
    const Oid target = RangeVarGetRelid(read_relation_name(retention->target, "target"), NoLock, false);
    const RelationReference to = reference_to(target), of = reference_to(retention->facts);
    Parameters parameters{};
    add_text(&parameters, to.schema);
    add_text(&parameters, to.name);
    add_int(&parameters, to.oid);
    add_text(&parameters, of.schema);
    add_text(&parameters, of.name);
    add_int(&parameters, of.oid);
    add_text(&parameters, of.home);
    add_text(&parameters, retention->customer);
    add_text(&parameters, retention->amount);
    add_text(&parameters, portable_at(retention, facts));
    add_text(&parameters, retention->period);
    add_text(&parameters, retention->orders);
    add_text(&parameters, retention->refunds);
    add_text(&parameters, retention->time_zone);
    add_text(&parameters, GetUserNameFromId(GetUserId(), false));
    catalog_execute("INSERT INTO sluice.retention (target_schema, target_name, target_oid, facts_schema, facts_name, "
                    "facts_oid, home, "
                    "customer, amount, at, period, orders, refunds, time_zone, creator) "
                    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
                    &parameters);
}

static bool has_period_index(Relation facts, Node *period) {
    bool found = false;
    ListCell *cell;
    foreach (cell, RelationGetIndexList(facts)) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        List *expressions = RelationGetIndexExpressions(index);
        found = found || (index->rd_index->indisvalid && index->rd_index->indkey.values[0] == 0 && expressions &&
                          equal(linitial(expressions), eval_const_expressions(NULL, period)));
        index_close(index, AccessShareLock);
    }
    return found;
}

// advise_index tells which index lets single periods be read.
static void advise_index(const Retention *retention, Relation facts) {
    Node *period = read_expression(facts, "at", period_sql(retention, facts)).node;
    if (contain_mutable_functions(period) || has_period_index(facts, period))
        return;
    const char *name = relation_name(retention->facts);
    const char *sql =
        deparse_expression(period, deparse_context_for(get_rel_name(retention->facts), retention->facts), false, false);
    ereport(NOTICE, (errmsg("%s has no index on the period: the whole of it is read after each run", name),
                     errhint("CREATE INDEX ON %s ((%s));", name, sql)));
}

void create_retention_table(const Retention *retention, Relation facts) {
    check_pipelines(retention, facts);
    LockRelationOid(retention->facts, ShareRowExclusiveLock); // runs that go on learn of it
    StringInfoData statement;
    initStringInfo(&statement);
    appendStringInfo(&statement, "CREATE TABLE %s AS\n", retention->target);
    append_retention_query(&statement, retention, facts, NULL);
    execute(statement.data);
    execute(psprintf("ALTER TABLE %s ADD PRIMARY KEY (period_id)", retention->target));
    execute(psprintf(
        "COMMENT ON TABLE %s IS %s", retention->target,
        quote_literal_cstr(psprintf("retention of %s by %s, made by sluice.create_retention and kept up to date",
                                    relation_name(retention->facts), retention->period))));
    remember(retention, facts);
    CacheInvalidateRelcacheByRelid(retention->facts);
    advise_index(retention, facts);
}

// ---- finding them

static void forget(int64 number) {
    Parameters parameters{};
    add_int(&parameters, number);
    catalog_execute("DELETE FROM sluice.retention WHERE retention_id = $1::int", &parameters);
}

static Oid owner_of(Oid relation) {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    if (!HeapTupleIsValid(tuple))
        return InvalidOid;
    const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    return owner;
}

// check_owner: its statements run with the pipeline owner's rights, so nobody else's expression may come in this way: neither by a
// table of his, nor by an entry that a table of that name was found for after a restore.
static void check_owner(Oid target, const char *creator, Oid owner) {
    if (owner_of(target) == owner && get_role_oid(creator, true) == owner)
        return;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("retention %s belongs to another role than the pipeline that keeps it up to date",
                           relation_name(target)),
                    errhint("Drop it, and create it again as %s.", quote_identifier(GetUserNameFromId(owner, false)))));
}

static RetentionTable *read_table(uint64 row, Oid facts) {
    RetentionTable *table = static_cast<RetentionTable *>(palloc0(sizeof(RetentionTable)));
    Retention *retention = &table->retention;
    retention->facts = facts;
    retention->customer = result_text(row, 9);
    retention->amount = result_text(row, 10);
    retention->at = result_text(row, 11);
    retention->period = result_text(row, 12);
    retention->orders = result_text(row, 13);
    retention->refunds = result_text(row, 14);
    retention->time_zone = result_text(row, 15);
    return table;
}

// A row of the catalog as it was read, while the catalog is read on.
struct RetentionEntry {
    int64 number;
    const char *creator;
    RelationReference target, facts;
    RetentionTable *table;
};

static List *read_entries(Oid facts) {
    const Parameters none{};
    const uint64 count =
        catalog_execute("SELECT r.retention_id::bigint, r.target_schema, r.target_name, r.target_oid, r.facts_schema, "
                        "r.facts_name, r.facts_oid, r.home, r.customer, r.amount, r.at, r.period, r.orders, r.refunds, "
                        "r.time_zone, r.creator FROM sluice.retention r ORDER BY 1",
                        &none);
    List *entries = NIL;
    for (uint64 i = 0; i < count; i++) {
        bool is_null;
        RetentionEntry *entry = static_cast<RetentionEntry *>(palloc(sizeof(RetentionEntry)));
        const char *home = result_text(i, 8);
        entry->number = result_int(i, 1, &is_null);
        entry->creator = result_text(i, 16);
        entry->target =
            RelationReference{result_text(i, 2), result_text(i, 3), static_cast<Oid>(result_int(i, 4, &is_null)), home};
        entry->facts =
            RelationReference{result_text(i, 5), result_text(i, 6), static_cast<Oid>(result_int(i, 7, &is_null)), home};
        entry->table = read_table(i, facts);
        entries = lappend(entries, entry);
    }
    free_result();
    return entries;
}

static void prepare_table(RetentionTable *table, Oid target, const FactsPlan *plan) {
    table->retention.target = relation_name(target);
    Relation facts = table_open(table->retention.facts, AccessShareLock);
    const char *column = outside_grain(&table->retention, facts, plan->mapping);
    if (column)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("retention %s cannot be kept up to date: its time looks at column \"%s\", which is not in "
                        "the grain of the pipeline",
                        table->retention.target, column),
                 errhint("Drop it, and create it as a view.")));
    const Expression period = read_expression(facts, "at", period_sql(&table->retention, facts));
    table->period = ExecInitExpr(expression_planner(reinterpret_cast<Expr *>(copyObjectImpl(period.node))), NULL);
    table->context = CreateStandaloneExprContext();
    table->context->ecxt_scantuple =
        MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(facts)), &TTSOpsVirtual);
    table_close(facts, NoLock);
}

List *find_retention_tables(const FactsPlan *plan, Oid owner) {
    const Oid facts = plan->relation;
    List *tables = NIL;
    ListCell *cell;
    foreach (cell, read_entries(facts)) {
        const RetentionEntry *entry = static_cast<const RetentionEntry *>(lfirst(cell));
        Oid of = InvalidOid, target = InvalidOid;
        if (resolve_reference(&entry->facts, &of) == Found::Missing || of != facts)
            continue;
        if (resolve_reference(&entry->target, &target) != Found::Yes) {
            forget(entry->number); // it was dropped
            continue;
        }
        check_owner(target, entry->creator, owner);
        prepare_table(entry->table, target, plan);
        tables = lappend(tables, entry->table);
    }
    return tables;
}

// ---- a batch

void begin_periods(List *tables, MemoryContext memory) {
    ListCell *cell;
    foreach (cell, tables) {
        RetentionTable *table = static_cast<RetentionTable *>(lfirst(cell));
        MemoryContext before = MemoryContextSwitchTo(memory);
        TallyColumn *column = static_cast<TallyColumn *>(palloc0(sizeof(TallyColumn)));
        describe_tally_column(column, TallyRole::Key, DATEOID, InvalidOid, "at");
        table->periods = make_tally(column, 1, memory);
        MemoryContextSwitchTo(before);
    }
}

static void touch_period(RetentionTable *table, Datum period, bool is_null) {
    if (!is_null)
        (void)tally_row(table->periods, &period, &is_null);
}

static void touch_facts(RetentionTable *table, const FactsPlan *plan, const Tally *tally) {
    TupleTableSlot *slot = table->context->ecxt_scantuple;
    ExecStoreAllNullTuple(slot);
    for (int64 i = 0; i < tally->group_count; i++) {
        CHECK_FOR_INTERRUPTS();
        for (int c = 0; c < plan->grain_count; c++) {
            slot->tts_values[plan->columns[c].number - 1] = tally->groups[i]->values[c];
            slot->tts_isnull[plan->columns[c].number - 1] = false;
        }
        bool is_null;
        MemoryContext before = MemoryContextSwitchTo(table->context->ecxt_per_tuple_memory);
        const Datum period = ExecEvalExpr(table->period, table->context, &is_null);
        MemoryContextSwitchTo(before);
        touch_period(table, period, is_null);
        ResetExprContext(table->context);
    }
    ExecClearTuple(slot);
}

void touch_periods(List *tables, const FactsPlan *plan, const Tally *tally) {
    ListCell *cell;
    foreach (cell, tables)
        touch_facts(static_cast<RetentionTable *>(lfirst(cell)), plan, tally);
}

static void see_period(void *context, HeapTuple row, TupleDesc type) {
    bool is_null;
    const Datum period = heap_getattr(row, 1, type, &is_null);
    touch_period(static_cast<RetentionTable *>(context), period, is_null);
}

void touch_replaced(List *tables, const FactsPlan *plan, Stage *touched, const char *condition) {
    ListCell *cell;
    foreach (cell, tables) {
        RetentionTable *table = static_cast<RetentionTable *>(lfirst(cell));
        Relation facts = table_open(plan->relation, AccessShareLock);
        const char *query = psprintf("SELECT DISTINCT %s FROM %s s JOIN sluice_touched t ON %s",
                                     period_sql(&table->retention, facts), relation_name(plan->relation), condition);
        table_close(facts, NoLock);
        scan_on_stages(query, &touched, 1, see_period, table);
    }
}

// ---- refreshing

static const char *period_array(const Tally *periods) {
    Datum *dates = static_cast<Datum *>(palloc(sizeof(Datum) * periods->group_count));
    for (int64 i = 0; i < periods->group_count; i++)
        dates[i] = periods->groups[i]->values[0];
    ArrayType *array =
        construct_array(dates, static_cast<int>(periods->group_count), DATEOID, sizeof(DateADT), true, TYPALIGN_INT);
    return psprintf("%s::pg_catalog.date[]",
                    quote_literal_cstr(OidOutputFunctionCall(F_ARRAY_OUT, PointerGetDatum(array))));
}

// refresh_table computes some periods anew (an array, as SQL), or with NULL all.
static void refresh_table(const RetentionTable *table, const char *periods) {
    const Retention *retention = &table->retention;
    Relation facts = table_open(retention->facts, AccessShareLock);
    StringInfoData statement;
    initStringInfo(&statement);
    appendStringInfoString(&statement, "WITH fresh AS MATERIALIZED (");
    append_retention_query(&statement, retention, facts,
                           periods ? psprintf("%s = ANY (%s)", period_sql(retention, facts), periods) : NULL);
    appendStringInfo(&statement,
                     "), gone AS (DELETE FROM %s r WHERE %s NOT EXISTS "
                     "(SELECT FROM fresh f WHERE f.period_id = r.period_id)) "
                     "INSERT INTO %s AS r (period_name, period_id, %s) SELECT period_name, period_id, %s FROM fresh "
                     "ORDER BY period_id "
                     "ON CONFLICT (period_id) DO UPDATE SET (%s) = ROW(%s) WHERE ROW(%s)::pg_catalog.record "
                     "OPERATOR(pg_catalog.*<>) "
                     "ROW(%s)::pg_catalog.record",
                     retention->target, periods ? psprintf("r.period_id = ANY (%s) AND", periods) : "",
                     retention->target, number_list(""), number_list(""), number_list(""), number_list("excluded."),
                     number_list("r."), number_list("excluded."));
    table_close(facts, NoLock);
    (void)execute_on_stages(statement.data, NULL, 0, NULL, 0);
}

// lock_retention lets no other pipeline write it at the same time.
static void lock_retention(const Retention *retention) {
    (void)RangeVarGetRelid(read_relation_name(retention->target, "target"), ShareRowExclusiveLock, false);
}

void empty_periods(List *tables) {
    ListCell *cell;
    foreach (cell, tables) {
        const RetentionTable *table = static_cast<const RetentionTable *>(lfirst(cell));
        lock_retention(&table->retention);
        execute(psprintf("DELETE FROM %s", table->retention.target));
    }
}

void refresh_periods(List *tables) {
    ListCell *cell;
    foreach (cell, tables) {
        const RetentionTable *table = static_cast<const RetentionTable *>(lfirst(cell));
        if (table->periods->group_count == 0)
            continue;
        lock_retention(&table->retention);
        refresh_table(table, period_array(table->periods));
    }
}

void refresh_all_periods(List *tables) {
    ListCell *cell;
    foreach (cell, tables) {
        const RetentionTable *table = static_cast<const RetentionTable *>(lfirst(cell));
        lock_retention(&table->retention);
        refresh_table(table, NULL);
    }
}

} // namespace sluice
