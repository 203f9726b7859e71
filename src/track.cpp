// See track.hpp.
//
// Triggers fire for the table that a statement names alone, so every table of the source has them: the root, partitions on
// the way and leaves. They are statement-level and look at the transition tables, once through, for distinct values of the
// partition expression. That is the owner's expression in somebody else's transaction: it runs as the owner, under security
// restriction and in a subtransaction, and if it fails, everything counts as changed, and the writer goes on. The entry
// itself is written outside the subtransaction, so that the writer needs no transaction number more than he has.
#include "track.hpp"

#include "attempt.hpp"
#include "catalog.hpp"
#include "datum_set.hpp"
#include "leaves.hpp"
#include "order.hpp"
#include "partitions.hpp"
#include "rights.hpp"
#include "sequence.hpp"

namespace sluice {

// ---- the table

static const char *table_name(int32 pipeline) { return psprintf("track_%d", pipeline); }

const char *track_name(int32 pipeline) { return psprintf("sluice.%s", table_name(pipeline)); }

Oid find_track(int32 pipeline) { return get_relname_relid(table_name(pipeline), get_namespace_oid("sluice", false)); }

static void execute(const char *statement) {
    const Parameters none{};
    catalog_execute(statement, &none);
}

void create_track(int32 pipeline, const char *name, Oid owner) {
    const char *table = track_name(pipeline);
    execute(
        psprintf("CREATE TABLE %s (partitions text[], xid xid8 NOT NULL, at timestamptz NOT NULL) USING heap", table));
    execute(psprintf("REVOKE ALL ON %s FROM PUBLIC", table));
    execute(psprintf("COMMENT ON TABLE %s IS %s", table,
                     quote_literal_cstr(psprintf("partitions that changed since pipeline %s looked last", name))));
    execute(psprintf("ALTER TABLE %s OWNER TO %s", table, quote_identifier(GetUserNameFromId(owner, false))));
}

void own_track(int32 pipeline, Oid owner) { give_table(find_track(pipeline), owner); }

void need_track(int32 pipeline) {
    if (!OidIsValid(find_track(pipeline)))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("table %s, which tells what changed, is gone", track_name(pipeline)),
                        errhint("Drop the pipeline and create it again.")));
}

// insert_entry appends the partitions (texts) of a statement; a null array stands for all.
static void insert_entry(Relation track, Datum partitions, bool all) {
    Datum values[] = {partitions, FullTransactionIdGetDatum(GetTopFullTransactionId()),
                      TimestampTzGetDatum(GetCurrentTimestamp())};
    bool nulls[] = {all, false, false};
    HeapTuple tuple = heap_form_tuple(RelationGetDescr(track), values, nulls);
    simple_heap_insert(track, tuple);
    heap_freetuple(tuple);
}

// write_entries appends the partitions of a list (of texts), or all of them.
static void write_entries(Oid table, List *partitions, bool all) {
    constexpr int most = 10000; // in an entry
    if (!all && partitions == NIL)
        return;
    Relation track = table_open(table, RowExclusiveLock);
    if (all)
        insert_entry(track, 0, true);
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * most));
    int count = 0;
    ListCell *cell;
    foreach (cell, all ? NIL : partitions) {
        values[count++] = CStringGetTextDatum(static_cast<const char *>(lfirst(cell)));
        if (count < most && lnext(partitions, cell))
            continue;
        insert_entry(track, PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT)), false);
        count = 0;
    }
    pfree(values);
    table_close(track, NoLock);
}

// ---- the triggers

struct TrackTrigger {
    const char *suffix, *event, *transition;
    bool of_deletes;
};

static constexpr TrackTrigger track_triggers[] = {
    {"insert", "AFTER INSERT", "REFERENCING NEW TABLE AS sluice_new", false},
    {"update", "AFTER UPDATE", "REFERENCING OLD TABLE AS sluice_old NEW TABLE AS sluice_new", false},
    {"delete", "AFTER DELETE", "REFERENCING OLD TABLE AS sluice_old", true},
    {"truncate", "BEFORE TRUNCATE", "", true},
};

static const char *trigger_name(int32 pipeline, const TrackTrigger *trigger) {
    return psprintf("sluice_%d_%s", pipeline, trigger->suffix);
}

// The tables that have all triggers of a load, by oid: a list in ascending order.
struct TrackedTables {
    int64 *oids;
    int count;
};

static int compare_numbers(const void *left, const void *right) {
    const int64 a = *static_cast<const int64 *>(left), b = *static_cast<const int64 *>(right);
    return a < b ? -1 : a > b;
}

static bool is_among(const int64 *numbers, int count, int64 number) {
    return count > 0 && bsearch(&number, numbers, count, sizeof(int64), compare_numbers) != NULL;
}

static TrackedTables tracked_tables(const LoadDefinition *load) {
    Parameters parameters{};
    add_text(&parameters, psprintf("%d", load->pipeline));
    add_int(&parameters, load->reloads_deletes ? 4 : 2);
    static CatalogStatement statement;
    const uint64 count = catalog_prepared(
        &statement,
        "SELECT t.tgrelid::bigint FROM pg_trigger t WHERE t.tgfoid = 'sluice.track()'::regprocedure AND t.tgenabled = "
        "'A' AND t.tgargs = convert_to($1, 'SQL_ASCII') || '\\x00' GROUP BY 1 HAVING count(*) = $2 ORDER BY 1",
        &parameters);
    TrackedTables tables{static_cast<int64 *>(palloc(sizeof(int64) * (count + 1))), static_cast<int>(count)};
    bool is_null;
    for (uint64 i = 0; i < count; i++)
        tables.oids[i] = result_int(i, 1, &is_null);
    free_result();
    return tables;
}

static void add_triggers(const LoadDefinition *load, Oid table) {
    Relation relation = relation_open(table, ShareRowExclusiveLock);
    for (const TrackTrigger &trigger : track_triggers) {
        const char *name = trigger_name(load->pipeline, &trigger);
        if (trigger.of_deletes && !load->reloads_deletes)
            continue;
        if (!OidIsValid(get_trigger_oid(table, name, true)))
            execute(psprintf("CREATE TRIGGER %s %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION sluice.track('%d')",
                             name, trigger.event, relation_name(table), trigger.transition, load->pipeline));
        enable_trigger_always(relation, name);
        CommandCounterIncrement();
    }
    relation_close(relation, NoLock);
}

// drop_triggers drops those of one table; partitions have none that were cloned.
static void drop_triggers(int32 pipeline, Oid table) {
    for (const TrackTrigger &trigger : track_triggers) {
        const char *name = trigger_name(pipeline, &trigger);
        if (OidIsValid(get_trigger_oid(table, name, true)))
            execute(psprintf("DROP TRIGGER %s ON %s", name, relation_name(table)));
    }
}

void drop_track(int32 pipeline) {
    Parameters parameters{};
    add_text(&parameters, psprintf("sluice_%d_%%", pipeline));
    const uint64 count =
        catalog_execute("SELECT DISTINCT t.tgrelid::bigint FROM pg_trigger t JOIN pg_proc p ON p.oid = "
                        "t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace WHERE t.tgname LIKE $1 "
                        "AND p.proname = 'track' AND n.nspname = 'sluice' ORDER BY 1",
                        &parameters);
    List *tables = NIL;
    bool is_null;
    for (uint64 i = 0; i < count; i++)
        tables = lappend_oid(tables, static_cast<Oid>(result_int(i, 1, &is_null)));
    free_result();
    ListCell *cell;
    foreach (cell, tables)
        drop_triggers(pipeline, lfirst_oid(cell));
    if (OidIsValid(find_track(pipeline)))
        execute(psprintf("DROP TABLE %s", track_name(pipeline)));
}

// ---- which tables a source has

[[noreturn]] static void untracked(const char *what, const char *hint) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("track \"trigger\": %s", what),
                    hint ? errhint("%s", hint) : 0));
    pg_unreachable();
}

static bool has_subscriptions() {
    Relation catalog = table_open(SubscriptionRelRelationId, AccessShareLock);
    SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
    const bool any = HeapTupleIsValid(systable_getnext(scan));
    systable_endscan(scan);
    table_close(catalog, AccessShareLock);
    return any;
}

// check_tables refuses tables whose changes triggers do not see.
static void check_tables(List *tables) {
    const bool subscribes = has_subscriptions();
    ListCell *cell;
    foreach (cell, tables) {
        const Oid table = lfirst_oid(cell);
        if (get_rel_relkind(table) == RELKIND_FOREIGN_TABLE)
            untracked(
                psprintf("partition %s is a foreign table, whose changes triggers do not see", relation_name(table)),
                "Detach it, or use track \"cursor\".");
        if (subscribes && is_subscribed(table))
            untracked(psprintf("%s is filled by a logical replication subscription, which fires no statement triggers",
                               relation_name(table)),
                      "Run the pipeline on the publisher, or use track \"cursor\".");
    }
}

// tables_of lists all tables that a writer may name; of other sessions' temporary ones nothing is read either.
static List *tables_of(Oid source) {
    List *tables = NIL;
    ListCell *cell;
    foreach (cell, find_all_inheritors(source, AccessShareLock, NULL))
        if (!isOtherTempNamespace(get_rel_namespace(lfirst_oid(cell))))
            tables = lappend_oid(tables, lfirst_oid(cell));
    return tables;
}

void check_tracked_source(Relation source) {
    const Oid root = RelationGetRelid(source);
    const char kind = source->rd_rel->relkind;
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        untracked(psprintf("%s is not a table", relation_name(root)),
                  "Read the table behind it, or use track \"cursor\".");
    check_tables(tables_of(root));
}

void start_tracking(const LoadDefinition *load, Relation source) {
    const Oid root = RelationGetRelid(source);
    if (pg_class_aclcheck(root, GetUserId(), ACL_TRIGGER) != ACLCHECK_OK)
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("permission denied to create triggers on source %s", relation_name(root)),
                        errhint("GRANT TRIGGER ON %s TO %s, or use track \"cursor\".", relation_name(root),
                                quote_identifier(GetUserNameFromId(GetUserId(), false)))));
    List *tables = tables_of(root);
    bool any = false;
    ListCell *cell;
    foreach (cell, tables) {
        add_triggers(load, lfirst_oid(cell)); // and waits for its writers: it is seen what they wrote
        any = any || (get_rel_relkind(lfirst_oid(cell)) == RELKIND_RELATION && has_rows(lfirst_oid(cell), "true"));
    }
    const Numbers leaves = leaf_numbers(tables);
    store_leaves(load->pipeline, &leaves);
    write_entries(find_track(load->pipeline), NIL, any);
}

// ---- tables that come and go

// read_partitions lists the partitions of which one table holds rows; false when the current user may not read it.
static bool read_partitions(const LoadDefinition *load, Oid table, List **partitions) {
    if (get_rel_relkind(table) != RELKIND_RELATION)
        return true; // it holds no rows of its own
    if (pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
        return false;
    Relation relation = relation_open(table, AccessShareLock);
    const Order order = read_order(relation, load->partition, "partition");
    relation_close(relation, NoLock);
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    const char *query = psprintf("SELECT DISTINCT %s FROM ONLY %s s", order.sql, relation_name(table));
    if (SPI_execute(query, false, 0) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a look for partitions");
    MemoryContextSwitchTo(memory);
    SPITupleTable *rows = SPI_tuptable;
    const uint64 count = SPI_processed;
    for (uint64 i = 0; i < count; i++) {
        bool is_null;
        const Datum value = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &is_null);
        if (!is_null)
            *partitions = lappend(*partitions, const_cast<char *>(partition_text(&order, value)));
    }
    SPI_freetuptable(rows);
    return true;
}

// What came and went since the last look.
struct TableChanges {
    List *now;     // all tables
    List *tracked; // those that have their triggers
    List *arrived; // whose rows have not been seen
    List *gone;
};

static Numbers sorted_numbers(const Numbers *numbers) {
    Numbers sorted = copy_numbers(numbers);
    qsort(sorted.values, sorted.count, sizeof(int64), compare_numbers);
    return sorted;
}

// find_changes: the oids of another cluster, from before a restore, say nothing; there the triggers tell which tables are
// known.
static TableChanges find_changes(const LoadDefinition *load, Oid source) {
    TableChanges changes{};
    changes.now = tables_of(source);
    const bool home = load->leaves_home && strcmp(load->leaves_home, this_home()) == 0;
    const TrackedTables triggered = tracked_tables(load);
    const Numbers before = sorted_numbers(&load->leaves), numbers = leaf_numbers(changes.now),
                  now = sorted_numbers(&numbers);
    ListCell *cell;
    foreach (cell, changes.now) {
        const Oid table = lfirst_oid(cell);
        const bool has_triggers = is_among(triggered.oids, triggered.count, table);
        if (has_triggers)
            changes.tracked = lappend_oid(changes.tracked, table);
        if (!has_triggers || (home && !is_among(before.values, before.count, table)))
            changes.arrived = lappend_oid(changes.arrived, table);
    }
    for (int i = 0; home && i < before.count; i++)
        if (!is_among(now.values, now.count, before.values[i]))
            changes.gone = lappend_oid(changes.gone, static_cast<Oid>(before.values[i]));
    return changes;
}

// changed_partitions lists the partitions of tables that came or went; false: it cannot be told which they are.
static bool changed_partitions(const LoadDefinition *load, const TableChanges *changes, List **partitions) {
    bool known = true;
    ListCell *cell;
    foreach (cell, changes->arrived)
        known = known && read_partitions(load, lfirst_oid(cell), partitions);
    foreach (cell, load->reloads_deletes ? changes->gone : NIL)
        known = known && get_rel_name(lfirst_oid(cell)) && read_partitions(load, lfirst_oid(cell), partitions);
    return known;
}

bool look_at_tables(const LoadDefinition *load, Relation source, List **partitions) {
    const TableChanges changes = find_changes(load, RelationGetRelid(source));
    return changed_partitions(load, &changes, partitions);
}

// take_over gives new tables their triggers, where that does not make their writers wait: else a later look tries again, and
// until then the partitions in them count as changed. Tables that are gone lose them.
static void take_over(const LoadDefinition *load, TableChanges *changes) {
    ListCell *cell;
    foreach (cell, changes->arrived) {
        const Oid table = lfirst_oid(cell);
        if (list_member_oid(changes->tracked, table) || !ConditionalLockRelationOid(table, ShareRowExclusiveLock))
            continue;
        add_triggers(load, table);
        changes->tracked = lappend_oid(changes->tracked, table);
    }
    foreach (cell, changes->gone)
        if (get_rel_name(lfirst_oid(cell)) && ConditionalLockRelationOid(lfirst_oid(cell), ShareRowExclusiveLock))
            drop_triggers(load->pipeline, lfirst_oid(cell));
}

void note_tables(const Pipeline *pipeline, const LoadDefinition *load, Relation source) {
    need_track(load->pipeline);
    own_track(load->pipeline, pipeline->owner);
    TableChanges changes = find_changes(load, RelationGetRelid(source));
    check_tables(changes.now);
    take_over(load, &changes);
    List *partitions = NIL;
    const bool known = changed_partitions(load, &changes, &partitions);
    write_entries(find_track(load->pipeline), partitions, !known);
    const Numbers leaves = leaf_numbers(changes.tracked);
    if (!load->leaves_home || strcmp(load->leaves_home, this_home()) != 0 || !same_numbers(&leaves, &load->leaves))
        store_leaves(load->pipeline, &leaves);
}

// ---- what a statement wrote

// What the triggers of this session know of a pipeline. But for its owner none of it can be altered while its table is there.
struct Tracked {
    Oid table;
    Pipeline *pipeline;
    const char *partition;
    Tracked *next;
};

static Tracked *tracked_pipelines = NULL;

static Tracked *load_tracked(int32 id, Oid table) {
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "sluice tracking", ALLOCSET_SMALL_SIZES);
    MemoryContext before = MemoryContextSwitchTo(memory);
    Tracked *tracked = NULL;
    SPI_connect();
    MemoryContextSwitchTo(memory);
    Pipeline *pipeline = find_any_pipeline(id);
    if (pipeline) {
        const LoadDefinition *load = read_load(id);
        tracked = static_cast<Tracked *>(palloc0(sizeof(Tracked)));
        *tracked = Tracked{table, pipeline, load->partition, tracked_pipelines};
    }
    SPI_finish();
    MemoryContextSwitchTo(before);
    if (!tracked)
        return NULL;
    MemoryContextSetParent(memory, CacheMemoryContext);
    return tracked_pipelines = tracked;
}

// find_tracked knows the pipeline by its table: a number may come again after a restore.
static Tracked *find_tracked(int32 id) {
    const Oid table = find_track(id), owner = pipeline_owner(id);
    if (!OidIsValid(table) || !OidIsValid(owner))
        return NULL; // dropped
    for (Tracked *tracked = tracked_pipelines; tracked; tracked = tracked->next)
        if (tracked->table == table) {
            tracked->pipeline->owner = owner;
            return tracked;
        }
    return load_tracked(id, table);
}

// How the partition of a row is found: in a column, or by an expression.
struct Evaluation {
    AttrNumber column; // 0: by the expression
    ExprContext *context;
    ExprState *expression;
    TupleTableSlot *slot;
    DatumSet *values;
};

static Datum partition_of_row(const Evaluation *evaluation, bool *is_null) {
    if (evaluation->column > 0)
        return slot_getattr(evaluation->slot, evaluation->column, is_null);
    ResetExprContext(evaluation->context);
    return ExecEvalExprSwitchContext(evaluation->expression, evaluation->context, is_null);
}

static void evaluate_rows(const Evaluation *evaluation, Tuplestorestate *rows) {
    const int pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);
    tuplestore_select_read_pointer(rows, pointer);
    tuplestore_rescan(rows);
    while (tuplestore_gettupleslot(rows, true, false, evaluation->slot)) {
        bool is_null;
        const Datum value = partition_of_row(evaluation, &is_null);
        if (!is_null)
            (void)add_datum(evaluation->values, value);
        CHECK_FOR_INTERRUPTS();
    }
    ExecClearTuple(evaluation->slot);
}

// collect_partitions looks at the rows in the transition tables.
static List *collect_partitions(const TriggerData *data, Evaluation *evaluation, const Order *order) {
    DatumSet values = make_datum_set(order->type);
    evaluation->values = &values;
    if (data->tg_oldtable)
        evaluate_rows(evaluation, data->tg_oldtable);
    if (data->tg_newtable)
        evaluate_rows(evaluation, data->tg_newtable);
    List *partitions = NIL;
    const char **texts = static_cast<const char **>(palloc(sizeof(char *) * (values.count + 1)));
    partition_texts(order, values.values, values.count, texts);
    for (int i = 0; i < values.count; i++)
        partitions = lappend(partitions, const_cast<char *>(texts[i]));
    return partitions;
}

// plain_column is the column that an expression consists of; 0: it is more than that.
static AttrNumber plain_column(Relation table, const char *expression) {
    const AttrNumber column = get_attnum(RelationGetRelid(table), expression);
    if (column <= 0)
        return InvalidAttrNumber;
    const char generated = TupleDescAttr(RelationGetDescr(table), column - 1)->attgenerated;
    return generated == '\0' || generated == ATTRIBUTE_GENERATED_STORED ? column : InvalidAttrNumber;
}

// written_partitions finds the partitions of the rows that a statement wrote: by nothing that anybody else made, where they
// stand in a column.
static List *written_partitions(const TriggerData *data, const char *partition) {
    Evaluation evaluation{};
    Order order{};
    EState *state = NULL;
    evaluation.slot = MakeSingleTupleTableSlot(RelationGetDescr(data->tg_relation), &TTSOpsMinimalTuple);
    evaluation.column = plain_column(data->tg_relation, partition);
    if (evaluation.column > 0) {
        order.type = TupleDescAttr(RelationGetDescr(data->tg_relation), evaluation.column - 1)->atttypid;
    } else {
        order = read_order(data->tg_relation, partition, "partition");
        state = CreateExecutorState();
        evaluation.context = GetPerTupleExprContext(state);
        evaluation.context->ecxt_scantuple = evaluation.slot;
        evaluation.expression = ExecPrepareExpr(reinterpret_cast<Expr *>(order.expression), state);
    }
    List *partitions = collect_partitions(data, &evaluation, &order);
    ExecDropSingleTupleTableSlot(evaluation.slot);
    if (state)
        FreeExecutorState(state);
    return partitions;
}

// truncated_partitions reads a table that is about to be truncated. Of a source that is one table, everything is gone.
static bool truncated_partitions(const Tracked *tracked, Relation table, List **partitions) {
    if (!table->rd_rel->relispartition)
        return table->rd_rel->relkind == RELKIND_PARTITIONED_TABLE; // its partitions speak for themselves
    LoadDefinition load{};
    load.partition = tracked->partition;
    SPI_connect();
    MemoryContext connected = MemoryContextSwitchTo(CurTransactionContext);
    const bool known = read_partitions(&load, RelationGetRelid(table), partitions);
    MemoryContextSwitchTo(connected);
    SPI_finish();
    return known;
}

// is_part_of tells whether a table belongs to the source now. The owner's expression runs over no other table: one that was
// detached may have got columns of other types.
static bool is_part_of(const Tracked *tracked, Oid table) {
    Oid source;
    if (resolve_reference(&tracked->pipeline->source, &source) != Found::Yes)
        return false;
    return table == source || typeInheritsFrom(get_rel_type_id(table), get_rel_type_id(source));
}

// find_partitions works as the owner, where the partition is more than a column; false: it cannot be told which they are.
static bool find_partitions(const Tracked *tracked, const TriggerData *data, List **partitions) {
    if (!is_part_of(tracked, RelationGetRelid(data->tg_relation)))
        return false;
    const bool truncated = TRIGGER_FIRED_BY_TRUNCATE(data->tg_event);
    if (!truncated && plain_column(data->tg_relation, tracked->partition) > 0) {
        *partitions = written_partitions(data, tracked->partition);
        return true;
    }
    Pipeline pipeline = *tracked->pipeline;
    pipeline.owner = pipeline_owner(pipeline.id);
    const OwnerScope owner = switch_to_owner(&pipeline);
    bool known = true;
    if (truncated)
        known = truncated_partitions(tracked, data->tg_relation, partitions);
    else
        *partitions = written_partitions(data, tracked->partition);
    switch_back(&owner);
    return known;
}

// try_partitions is find_partitions in a subtransaction: whatever goes wrong there is not the writer's business, but for a
// cancel.
static bool try_partitions(const Tracked *tracked, const TriggerData *data, List **partitions) {
    bool known = false;
    ErrorData *error = attempt([&] { known = find_partitions(tracked, data, partitions); });
    if (error && is_intervention(error))
        ReThrowError(error);
    if (error)
        FreeErrorData(error);
    return known && !error;
}

static bool is_empty(Tuplestorestate *rows) { return !rows || tuplestore_tuple_count(rows) == 0; }

static bool changed_nothing(const TriggerData *data) {
    return !TRIGGER_FIRED_BY_TRUNCATE(data->tg_event) && is_empty(data->tg_oldtable) && is_empty(data->tg_newtable);
}

// track_everything is for the time between the installation of another version and ALTER EXTENSION sluice UPDATE: the tables of the
// catalog may be others, and writers must go on.
static void track_everything(int32 pipeline) {
    const Oid table = find_track(pipeline);
    if (OidIsValid(table))
        write_entries(table, NIL, true);
}

static void track(const TriggerData *data) {
    if (data->tg_trigger->tgnargs != 1 || TRIGGER_FIRED_FOR_ROW(data->tg_event))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("sluice.track is a trigger of sluice.create_load's making")));
    if (changed_nothing(data))
        return;
    const int32 pipeline = pg_strtoint32(data->tg_trigger->tgargs[0]);
    if (!is_same_version()) {
        track_everything(pipeline);
        return;
    }
    const Tracked *tracked = find_tracked(pipeline);
    if (!tracked)
        return;
    List *partitions = NIL;
    const bool known = try_partitions(tracked, data, &partitions);
    write_entries(tracked->table, partitions, !known);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_track);
Datum sluice_track(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("sluice.track is called as a trigger alone")));
    track(reinterpret_cast<TriggerData *>(fcinfo->context));
    PG_RETURN_POINTER(NULL);
}

} // extern "C"
