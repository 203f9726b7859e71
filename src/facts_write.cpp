// See facts_write.hpp.
//
// Facts that are added go through the writer: each is looked up by its grain in the order of the index, what is there is added,
// and it is written over or inserted. Facts that are replaced are compared with those that are there by two statements: rows
// that do not change stay as they are, the others are deleted, and what is left is inserted by the writer.
//
// Either way what the facts refer to is looked up beforehand, once for each row of a dimension (references.hpp).
#include "facts_write.hpp"

#include "names.hpp"
#include "newest.hpp"
#include "stage.hpp"

namespace sluice {

static Oid primary_key(Oid table) {
    Relation relation = table_open(table, AccessShareLock);
    (void)RelationGetIndexList(relation);
    const Oid index = relation->rd_pkindex;
    table_close(relation, NoLock);
    return index;
}

FactsTarget *open_facts_target(FactsPlan *plan, MemoryContext row) {
    FactsTarget *target = static_cast<FactsTarget *>(palloc0(sizeof(FactsTarget)));
    target->plan = plan;
    target->row = row;
    target->cache = make_writer_cache(CurrentMemoryContext);
    Relation relation = table_open(plan->relation, AccessShareLock);
    target->references = plan_references(relation, plan->written);
    table_close(relation, NoLock);
    if (!plan->newest)
        return target;
    target->newest_cache = make_writer_cache(CurrentMemoryContext);
    target->newest = find_newest(plan->newest);
    target->newest_index = primary_key(target->newest);
    return target;
}

// ---- rows

// fill_row lays the values of a group out as the table's columns, from number `from` on.
static void fill_row(const FactsPlan *plan, const TallyGroup *group, int from, int to, Datum *values, bool *nulls) {
    for (int i = from; i < to; i++) {
        values[plan->columns[i].number - 1] = group->values[i];
        nulls[plan->columns[i].number - 1] = group->nulls[i];
    }
}

// fill_measures does so with the measures, when they fit.
static void fill_measures(FactsTarget *target, const TallyGroup *group, Datum *values, bool *nulls) {
    FactsPlan *plan = target->plan;
    for (int i = plan->grain_count; i < plan->grain_count + plan->measure_count; i++) {
        FactColumn *column = target->plan->columns + i;
        bool is_null = group->nulls[i];
        target->at = column;
        values[column->number - 1] =
            column->fit.there ? coerce_value(&column->fit, group->values[i], &is_null) : group->values[i];
        nulls[column->number - 1] = is_null;
    }
    target->at = NULL;
}

static void fill_fact(FactsTarget *target, const TallyGroup *group, Datum *values, bool *nulls) {
    const FactsPlan *plan = target->plan;
    fill_row(plan, group, 0, plan->grain_count, values, nulls);
    fill_measures(target, group, values, nulls);
    fill_row(plan, group, plan->grain_count + plan->measure_count, plan->count, values, nulls);
}

static void write_context(void *argument) {
    const FactsTarget *target = static_cast<const FactsTarget *>(argument);
    const char *table = relation_name(target->plan->relation);
    if (target->at)
        errcontext("writing facts, %s, column \"%s\" of %s", target->at->pointer, target->at->name, table);
    else
        errcontext("writing facts into %s", table);
}

// confirm looks up what the facts refer to, but for what may still change: a `last` value that an older one takes the place of
// is there already.
static List *confirm(FactsTarget *target, const Tally *tally) {
    if (target->references->count == 0)
        return NIL;
    Relation relation = table_open(target->plan->relation, NoLock);
    const int count = RelationGetDescr(relation)->natts;
    table_close(relation, NoLock);
    Datum *values = static_cast<Datum *>(palloc0(sizeof(Datum) * count));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * count));
    memset(nulls, true, count);
    begin_references(target->references, CurrentMemoryContext);
    for (int64 i = 0; i < tally->group_count; i++) {
        CHECK_FOR_INTERRUPTS();
        fill_row(target->plan, tally->groups[i], 0, target->plan->count, values, nulls);
        note_references(target->references, values, nulls);
    }
    return confirm_references(target->references);
}

static Writer *open_writer(FactsTarget *target, const Tally *tally, Mode mode) {
    WriterTarget wanted{};
    wanted.relation = target->plan->relation;
    wanted.written = target->plan->written;
    wanted.parent = -1;
    wanted.mode = mode;
    wanted.key_index = target->plan->key_index;
    wanted.confirmed = confirm(target, tally);
    const WriterOptions options{};
    Writer *writer = writer_begin(&wanted, 1, &options, target->cache);
    if (target->see)
        writer_watch(writer, target->see, target->seer);
    return writer;
}

static void finish_writer(Writer *writer, WriterCounts *counts) {
    const WriterCounts written = writer_finish(writer);
    counts->inserted += written.inserted;
    counts->updated += written.updated;
    counts->deleted += written.deleted;
}

// ---- adding

// Of which time the facts are that are there.
struct KnownTime {
    SPIPlanPtr plan;
    int key_count;
};

static KnownTime open_known_time(const FactsTarget *target) {
    const FactsPlan *plan = target->plan;
    KnownTime known{NULL, plan->grain_count};
    if (!plan->newest)
        return known;
    StringInfoData query;
    initStringInfo(&query);
    appendStringInfo(&query, "SELECT m.t FROM %s m WHERE ", plan->newest);
    Oid *types = static_cast<Oid *>(palloc(sizeof(Oid) * plan->grain_count));
    for (int i = 0; i < plan->grain_count; i++) {
        types[i] = plan->columns[i].type;
        appendStringInfo(&query, "%sm.k%d = $%d", i ? " AND " : "", i + 1, i + 1);
    }
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    known.plan = SPI_prepare_cursor(query.data, plan->grain_count, types, CURSOR_OPT_GENERIC_PLAN);
    if (!known.plan)
        elog(ERROR, "could not plan the look-up of a time");
    MemoryContextSwitchTo(memory);
    return known;
}

// find_time gives the time of the fact of a grain; null when nobody knows: then it is older than any.
static Datum find_time(const KnownTime *known, const TallyGroup *group, const TallyColumn *time, bool *is_null) {
    MemoryContext memory = CurrentMemoryContext;
    if (SPI_execute_plan(known->plan, group->values, NULL, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of the look-up of a time");
    MemoryContextSwitchTo(memory);
    Datum value = 0;
    *is_null = true;
    if (SPI_processed > 0)
        value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, is_null);
    value = *is_null ? 0 : datumCopy(value, time->by_value, time->length);
    SPI_freetuptable(SPI_tuptable);
    return value;
}

// add_known adds the fact that is there to a group.
static void add_known(const FactsPlan *plan, const KnownTime *known, Tally *tally, TallyGroup *group,
                      const WriterRow *there) {
    Datum *values = static_cast<Datum *>(palloc0(sizeof(Datum) * tally->count));
    bool *nulls = static_cast<bool *>(palloc0(sizeof(bool) * tally->count));
    for (int i = 0; i < plan->count; i++) {
        values[i] = there->values[plan->columns[i].number - 1];
        nulls[i] = there->nulls[plan->columns[i].number - 1];
    }
    if (tally->timed && known->plan)
        values[plan->count] = find_time(known, group, &tally->columns[plan->count], &nulls[plan->count]);
    else if (tally->timed) {
        values[plan->count] = values[plan->last_time];
        nulls[plan->count] = nulls[plan->last_time];
    }
    tally_known(tally, group, values, nulls);
}

// sum_with adds the fact that is there to a copy of a group: what the batch knows by itself is still needed.
static const TallyGroup *sum_with(const FactsPlan *plan, const KnownTime *known, Tally *tally, const TallyGroup *group,
                                  const WriterRow *there) {
    TallyGroup *sum = static_cast<TallyGroup *>(palloc(sizeof(TallyGroup)));
    *sum = *group;
    sum->values = static_cast<Datum *>(palloc(sizeof(Datum) * tally->count));
    sum->nulls = static_cast<bool *>(palloc(sizeof(bool) * tally->count));
    memcpy(sum->values, group->values, sizeof(Datum) * tally->count);
    memcpy(sum->nulls, group->nulls, tally->count);
    add_known(plan, known, tally, sum, there);
    return sum;
}

static void add_fact(FactsTarget *target, Writer *writer, const KnownTime *known, Tally *tally,
                     const TallyGroup *group) {
    const FactsPlan *plan = target->plan;
    const WriterRow row = writer_row(writer, 0);
    fill_row(plan, group, 0, plan->grain_count, row.values, row.nulls);
    WriterRow there;
    if (known && writer_find(writer, 0, &there))
        group = sum_with(plan, known, tally, group, &there);
    fill_measures(target, group, row.values, row.nulls);
    fill_row(plan, group, plan->grain_count + plan->measure_count, plan->count, row.values, row.nulls);
    (void)writer_put(writer, 0);
}

// remember_times notes of which time the facts of the batch are, where they hold no column that tells.
static void remember_times(FactsTarget *target, const Tally *tally) {
    const int keys = target->plan->grain_count;
    WriterTarget wanted{};
    wanted.relation = target->newest;
    wanted.written = bms_add_range(NULL, 1, keys + 1);
    wanted.parent = -1;
    wanted.mode = Mode::Upsert;
    wanted.key_index = target->newest_index;
    wanted.newest_by = keys + 1;
    const WriterOptions options{};
    Writer *writer = writer_begin(&wanted, 1, &options, target->newest_cache);
    MemoryContext before = MemoryContextSwitchTo(target->row);
    for (int64 i = 0; i < tally->group_count; i++) {
        const TallyGroup *group = tally->groups[i];
        CHECK_FOR_INTERRUPTS();
        const WriterRow row = writer_row(writer, 0);
        memcpy(row.values, group->values, sizeof(Datum) * keys);
        memcpy(row.nulls, group->nulls, keys);
        row.values[keys] = group->values[tally->count - 1];
        row.nulls[keys] = group->nulls[tally->count - 1];
        (void)writer_put(writer, 0);
        if (writer_wants_flush(writer))
            writer_flush(writer);
        MemoryContextReset(target->row);
    }
    MemoryContextSwitchTo(before);
    (void)writer_finish(writer);
}

// is_empty tells whether there is no fact yet, so that none need be looked up. Should somebody else put one there meanwhile, the
// unique index refuses ours, and the batch is done again.
static bool is_empty(Oid table) {
    ListCell *cell;
    bool empty = true;
    foreach (cell, find_all_inheritors(table, NoLock, NULL)) {
        Relation relation = table_open(lfirst_oid(cell), AccessShareLock);
        const char kind = relation->rd_rel->relkind;
        if (kind != RELKIND_PARTITIONED_TABLE)
            empty = empty && kind == RELKIND_RELATION && RelationGetNumberOfBlocks(relation) == 0;
        table_close(relation, NoLock);
    }
    return empty;
}

static void add_all(FactsTarget *target, Tally *tally, WriterCounts *counts) {
    sort_groups(tally);
    const bool fresh = is_empty(target->plan->relation);
    KnownTime known = open_known_time(target);
    Writer *writer = open_writer(target, tally, fresh ? Mode::Append : Mode::Upsert);
    MemoryContext before = MemoryContextSwitchTo(target->row);
    for (int64 i = 0; i < tally->group_count; i++) {
        CHECK_FOR_INTERRUPTS();
        add_fact(target, writer, fresh ? NULL : &known, tally, tally->groups[i]);
        if (writer_wants_flush(writer))
            writer_flush(writer);
        MemoryContextReset(target->row);
    }
    MemoryContextSwitchTo(before);
    finish_writer(writer, counts);
    if (known.plan)
        SPI_freeplan(known.plan);
    if (target->plan->newest)
        remember_times(target, tally);
}

// ---- replacing

// stage_facts gives the facts to statements: f1, f2 ... in the order of the mapping, e the number.
static Stage *stage_facts(const FactsPlan *plan, const Tally *tally) {
    Stage *stage = make_stage("sluice_rows", plan->count + 1);
    for (int i = 0; i < plan->count; i++)
        describe_stage_column(stage, i + 1, psprintf("f%d", i + 1), plan->columns[i].type, plan->columns[i].typmod,
                              plan->columns[i].collation);
    describe_stage_column(stage, plan->count + 1, "e", INT8OID, -1, InvalidOid);
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * (plan->count + 1)));
    bool *nulls = static_cast<bool *>(palloc0(sizeof(bool) * (plan->count + 1)));
    for (int64 i = 0; i < tally->group_count; i++) {
        CHECK_FOR_INTERRUPTS();
        memcpy(values, tally->groups[i]->values, sizeof(Datum) * plan->count);
        memcpy(nulls, tally->groups[i]->nulls, plan->count);
        values[plan->count] = Int64GetDatum(i);
        put_on_stage(stage, values, nulls);
    }
    return stage;
}

Stage *stage_touched(const FactsPlan *plan, const Tally *touched) {
    Stage *stage = make_stage("sluice_touched", plan->replace_count);
    for (int i = 0; i < plan->replace_count; i++) {
        const FactColumn *column = &plan->columns[plan->replace_by[i]];
        describe_stage_column(stage, i + 1, psprintf("r%d", i + 1), column->type, column->typmod, column->collation);
    }
    for (int64 i = 0; i < touched->group_count; i++)
        put_on_stage(stage, touched->groups[i]->values, touched->groups[i]->nulls);
    return stage;
}

static const char *same_grain(const FactsPlan *plan) {
    StringInfoData condition;
    initStringInfo(&condition);
    for (int i = 0; i < plan->grain_count; i++)
        appendStringInfo(&condition, "%sd.%s = n.f%d", i ? " AND " : "", quote_identifier(plan->columns[i].name),
                         i + 1);
    return condition.data;
}

const char *is_touched(const FactsPlan *plan, const char *facts) {
    StringInfoData condition;
    initStringInfo(&condition);
    for (int i = 0; i < plan->replace_count; i++)
        appendStringInfo(&condition, "%s%s.%s = t.r%d", i ? " AND " : "", facts,
                         quote_identifier(plan->columns[plan->replace_by[i]].name), i + 1);
    return condition.data;
}

static const char *same_fact(const FactsPlan *plan) {
    StringInfoData there, put;
    initStringInfo(&there);
    initStringInfo(&put);
    for (int i = 0; i < plan->count; i++) {
        appendStringInfo(&there, "%sd.%s", i ? ", " : "", quote_identifier(plan->columns[i].name));
        appendStringInfo(&put, "%sn.f%d", i ? ", " : "", i + 1);
    }
    return psprintf("%s AND ROW(%s)::pg_catalog.record OPERATOR(pg_catalog.*=) ROW(%s)::pg_catalog.record",
                    same_grain(plan), there.data, put.data);
}

static const char *delete_statement(const FactsPlan *plan) {
    return psprintf(
        "DELETE FROM %s d USING sluice_touched t WHERE %s AND NOT EXISTS (SELECT FROM sluice_rows n WHERE %s)",
        relation_name(plan->relation), is_touched(plan, "d"), same_fact(plan));
}

static const char *missing_query(const FactsPlan *plan) {
    return psprintf("SELECT n.e FROM sluice_rows n WHERE NOT EXISTS (SELECT FROM %s d WHERE %s) ORDER BY 1",
                    relation_name(plan->relation), same_fact(plan));
}

struct Insertion {
    FactsTarget *target;
    Writer *writer;
    const Tally *tally;
};

static void insert_fact(void *context, HeapTuple row, TupleDesc type) {
    const Insertion *insertion = static_cast<const Insertion *>(context);
    bool is_null;
    const int64 number = DatumGetInt64(heap_getattr(row, 1, type, &is_null));
    const WriterRow to = writer_row(insertion->writer, 0);
    fill_fact(insertion->target, insertion->tally->groups[number], to.values, to.nulls);
    (void)writer_put(insertion->writer, 0);
}

static void replace_all(FactsTarget *target, Tally *tally, const Tally *touched, WriterCounts *counts) {
    const FactsPlan *plan = target->plan;
    sort_groups(tally);
    Stage *stages[] = {stage_facts(plan, tally), stage_touched(plan, touched)};
    const uint64 deleted = execute_on_stages(delete_statement(plan), stages, 2, NULL, 0);
    CommandCounterIncrement();
    Insertion insertion{target, open_writer(target, tally, Mode::Append), tally};
    scan_on_stages(missing_query(plan), stages, 1, insert_fact, &insertion);
    finish_writer(insertion.writer, counts);
    counts->deleted += deleted;
    end_stage(stages[0]);
    end_stage(stages[1]);
}

// ---- the whole

void add_facts(FactsTarget *target, Tally *tally, WriterCounts *counts) {
    ErrorContextCallback context{error_context_stack, write_context, target};
    error_context_stack = &context;
    if (tally->group_count > 0)
        add_all(target, tally, counts);
    error_context_stack = context.previous;
}

void replace_facts(FactsTarget *target, Tally *tally, const Tally *touched, WriterCounts *counts) {
    ErrorContextCallback context{error_context_stack, write_context, target};
    error_context_stack = &context;
    if (touched->group_count > 0)
        replace_all(target, tally, touched, counts);
    error_context_stack = context.previous;
}

} // namespace sluice
