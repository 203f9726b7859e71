// See writer.hpp. The direct way follows the server's own CopyFrom (commands/copyfrom.c) in what it checks and in which
// order; where the server's COPY and INSERT differ (domains without default), INSERT is followed.
#include "writer.hpp"

#include "names.hpp"

namespace sluice {

bool test_by_query = false;

constexpr int rows_at_once = 1000;
constexpr Size bytes_at_once = 64 * 1024;
constexpr int most_buffers = 32;
constexpr int64 most_buffered = 16 * rows_at_once; // over all buffers of a batch

// A default evaluated by us: the column's default expression, identity, or the NULL of a domain.
struct ColumnDefault {
    int column; // attribute number - 1
    ExprState *expression;
    Conversion *domain_null;
};

// The buffered rows of one leaf table. Between batches it waits in the cache with its slots, and without leaf and bulk.
struct LeafBuffer {
    LeafBuffer *next;
    Oid relation;
    ResultRelInfo *leaf;
    BulkInsertState bulk;
    TupleDesc columns; // a copy: slots of the relation's own would each pin and unpin it
    TupleTableSlot *slots[rows_at_once];
    int used;
    Size bytes;
};

struct WriterCache {
    MemoryContext memory;
    LeafBuffer *idle;
    int count;
};

struct Target {
    Relation relation;
    ResultRelInfo *root;
    bool by_query;
    ColumnDefault *defaults;
    int default_count;
    Bitmapset *returned;
    List *implied;   // foreign keys that hold by construction
    bool one_by_one; // never buffered
    bool user_code;  // putting a row runs code of users, which may look at the rows put so far
    // direct
    ModifyTableState *state;
    PartitionTupleRouting *routing;
    TransitionCaptureState *capture;
    LeafBuffer *buffers;
    int buffer_count;
    LeafBuffer *last; // the buffer of the previous row
    ResultRelInfo *last_leaf;
    bool last_buffered;
    BulkInsertState bulk; // of rows written one by one
    TupleTableSlot *slot; // the row being filled (not when it is filled in a buffer's slot)
    TupleTableSlot *filling;
    // by query
    int parent; // its rows come first
    Tuplestorestate *rows;
    TupleDesc row_type;
    int *row_columns; // attribute number - 1 of each column of row_type
    char *insert;
    // the final values of the last row
    Datum *values;
    bool *nulls;
};

struct Writer {
    EState *estate;
    Target *targets;
    int count;
    CommandId command;
    WriterCache *cache;
    int64 inserted;
    int64 buffered;
    Oid flushing;
};

// ---- opening

// written_by_others finds tables whose rows another extension distributes: only its planner knows where they go.
static bool written_by_others(Oid relation) {
    const Oid partitions = get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE);
    if (!OidIsValid(partitions))
        return false;
    Relation catalog = table_open(partitions, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
    SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 1, &key);
    const bool found = HeapTupleIsValid(systable_getnext(scan));
    systable_endscan(scan);
    table_close(catalog, AccessShareLock);
    return found;
}

static bool has_insert_rule(Relation relation) {
    if (!relation->rd_rules)
        return false;
    for (int i = 0; i < relation->rd_rules->numLocks; i++)
        if (relation->rd_rules->rules[i]->event == CMD_INSERT)
            return true;
    return false;
}

bool is_written_by_query(Relation relation) {
    const char kind = relation->rd_rel->relkind;
    if (test_by_query || (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE))
        return true;
    if (has_insert_rule(relation) || written_by_others(RelationGetRelid(relation)))
        return true;
    return check_enable_rls(RelationGetRelid(relation), InvalidOid, false) == RLS_ENABLED;
}

// plan_defaults prepares the columns that the caller does not fill (by query: only those that children refer to, the
// INSERT fills the others).
static void plan_defaults(Target *target, const Bitmapset *written) {
    TupleDesc columns = RelationGetDescr(target->relation);
    target->defaults = static_cast<ColumnDefault *>(palloc0(sizeof(ColumnDefault) * columns->natts));
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        if (column->attisdropped || column->attgenerated || bms_is_member(i + 1, written))
            continue;
        if (target->by_query && !bms_is_member(i + 1, target->returned))
            continue;
        ColumnDefault *entry = &target->defaults[target->default_count];
        entry->column = i;
        Node *expression = build_column_default(target->relation, i + 1);
        if (expression) {
            Expr *planned = expression_planner(reinterpret_cast<Expr *>(expression));
            entry->expression = ExecInitExpr(planned, NULL);
        } else if (getBaseType(column->atttypid) != column->atttypid) {
            entry->domain_null = static_cast<Conversion *>(palloc0(sizeof(Conversion)));
            plan_conversion(entry->domain_null, column->atttypid, column->atttypmod);
        } else {
            continue;
        }
        target->default_count++;
    }
}

static bool has_before_row_trigger(const ResultRelInfo *relation) {
    return relation->ri_TrigDesc && relation->ri_TrigDesc->trig_insert_before_row;
}

static void open_direct(Writer *writer, Target *target, int index) {
    EState *estate = writer->estate;
    target->root = makeNode(ResultRelInfo);
    ExecInitResultRelation(estate, target->root, index + 1);
    check_valid_insert_target(target->root);
    ExecOpenIndices(target->root, false);
    target->state = makeNode(ModifyTableState);
    target->state->ps.state = estate;
    target->state->operation = CMD_INSERT;
    target->state->mt_nrels = 1;
    target->state->resultRelInfo = target->root;
    target->state->rootResultRelInfo = target->root;
    target->capture = target->state->mt_transition_capture =
        MakeTransitionCaptureState(target->relation->trigdesc, RelationGetRelid(target->relation), CMD_INSERT);
    if (target->relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
        target->routing = ExecSetupPartitionTupleRouting(estate, target->relation);
    target->one_by_one = target->user_code || (target->routing && target->capture);
    if (target->one_by_one || target->routing) {
        target->slot = table_slot_create(target->relation, &estate->es_tupleTable);
        target->bulk = GetBulkInsertState();
    }
}

// open_query prepares the INSERT ... SELECT of a target, over the columns that somebody fills here: the caller, or we,
// where a child refers to a column's default.
static void open_query(Target *target, const Bitmapset *written) {
    TupleDesc columns = RelationGetDescr(target->relation);
    Bitmapset *all = bms_union(written, target->returned);
    target->row_type = CreateTemplateTupleDesc(bms_num_members(all));
    target->row_columns = static_cast<int *>(palloc(sizeof(int) * columns->natts));
    StringInfoData names;
    initStringInfo(&names);
    bool overriding = false;
    int count = 0;
    for (int number = -1; (number = bms_next_member(all, number)) >= 0; count++) {
        Form_pg_attribute column = TupleDescAttr(columns, number - 1);
        TupleDescInitEntry(target->row_type, count + 1, NameStr(column->attname), column->atttypid, column->atttypmod,
                           column->attndims);
        TupleDescInitEntryCollation(target->row_type, count + 1, column->attcollation);
        target->row_columns[count] = number - 1;
        overriding = overriding || column->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
        appendStringInfo(&names, "%s%s", count ? ", " : "", quote_identifier(NameStr(column->attname)));
    }
    const char *list = count > 0 ? psprintf(" (%s)%s", names.data, overriding ? " OVERRIDING SYSTEM VALUE" : "") : "";
    target->insert = psprintf("INSERT INTO %s%s SELECT %s FROM sluice_rows",
                              relation_name(RelationGetRelid(target->relation)), list, names.data);
    target->rows = tuplestore_begin_heap(false, false, work_mem);
}

static Bitmapset *permission_columns(const Bitmapset *written) {
    Bitmapset *result = NULL;
    for (int number = -1; (number = bms_next_member(written, number)) >= 0;)
        result = bms_add_member(result, number - FirstLowInvalidHeapAttributeNumber);
    return result;
}

static void open_target(Writer *writer, int index, const WriterTarget *wanted) {
    Target *target = &writer->targets[index];
    TupleDesc columns = RelationGetDescr(target->relation);
    target->parent = wanted->parent;
    target->returned = bms_copy(wanted->returned);
    target->values = static_cast<Datum *>(palloc0(sizeof(Datum) * columns->natts));
    target->nulls = static_cast<bool *>(palloc(sizeof(bool) * columns->natts));
    target->by_query = is_written_by_query(target->relation);
    target->user_code = may_interfere(target->relation, target->by_query);
    plan_defaults(target, wanted->written);
    if (target->by_query)
        open_query(target, wanted->written);
    else
        open_direct(writer, target, index);
}

// stands_alone tells whether a target shares no table with another: triggers are known by their table alone.
static bool stands_alone(const Writer *writer, int index) {
    const Relation relation = writer->targets[index].relation;
    for (int i = 0; i < writer->count; i++) {
        const Relation other = writer->targets[i].relation;
        if (i != index && (RelationGetRelid(other) == RelationGetRelid(relation) || other->rd_rel->relispartition ||
                           relation->rd_rel->relispartition))
            return false;
    }
    return true;
}

// imply_foreign_keys finds the checks that the batch need not make; it must be certain that nothing interferes.
static void imply_foreign_keys(Writer *writer, const WriterTarget *wanted) {
    for (int i = 0; i < writer->count; i++)
        if (writer->targets[i].user_code)
            return;
    for (int i = 0; i < writer->count; i++) {
        Target *target = &writer->targets[i];
        if (target->by_query || wanted[i].parent < 0 || writer->targets[wanted[i].parent].by_query ||
            !stands_alone(writer, i))
            continue;
        target->implied = implied_foreign_keys(target->relation, wanted[wanted[i].parent].relation, wanted[i].links,
                                               wanted[i].link_count);
        drop_implied_checks(target->root, target->implied);
    }
}

Writer *writer_begin(const WriterTarget *wanted, int count, bool interferes, WriterCache *cache) {
    Writer *writer = static_cast<Writer *>(palloc0(sizeof(Writer)));
    writer->cache = cache;
    writer->count = count;
    writer->targets = static_cast<Target *>(palloc0(sizeof(Target) * count));
    writer->estate = CreateExecutorState();
    MemoryContext before = MemoryContextSwitchTo(writer->estate->es_query_cxt);
    InsertRangeTable range{};
    for (int i = 0; i < count; i++) {
        Relation relation = writer->targets[i].relation = table_open(wanted[i].relation, RowExclusiveLock);
        if (XactReadOnly && !relation->rd_islocaltemp)
            PreventCommandIfReadOnly("sluice.run");
        add_insert_target(&range, relation, permission_columns(wanted[i].written));
    }
    init_insert_range_table(writer->estate, &range);
    writer->command = GetCurrentCommandId(true);
    writer->estate->es_output_cid = writer->command;
    AfterTriggerBeginQuery();
    for (int i = 0; i < count; i++)
        open_target(writer, i, &wanted[i]);
    if (!interferes)
        imply_foreign_keys(writer, wanted);
    for (int i = 0; i < count; i++)
        if (!writer->targets[i].by_query)
            ExecBSInsertTriggers(writer->estate, writer->targets[i].root);
    MemoryContextSwitchTo(before);
    return writer;
}

Oid writer_flushing(const Writer *writer) { return writer->flushing; }

// ---- buffers

WriterCache *make_writer_cache(MemoryContext memory) {
    WriterCache *cache = static_cast<WriterCache *>(MemoryContextAllocZero(memory, sizeof(WriterCache)));
    cache->memory = memory;
    return cache;
}

static LeafBuffer *take_idle_buffer(WriterCache *cache, Oid relation) {
    for (LeafBuffer **link = &cache->idle; *link; link = &(*link)->next) {
        LeafBuffer *buffer = *link;
        if (buffer->relation == relation) {
            *link = buffer->next;
            cache->count--;
            return buffer;
        }
    }
    return NULL;
}

static LeafBuffer *new_buffer(WriterCache *cache, Relation relation) {
    MemoryContext before = MemoryContextSwitchTo(cache->memory);
    LeafBuffer *buffer = static_cast<LeafBuffer *>(palloc0(sizeof(LeafBuffer)));
    buffer->relation = RelationGetRelid(relation);
    buffer->columns = CreateTupleDescCopyConstr(RelationGetDescr(relation));
    MemoryContextSwitchTo(before);
    return buffer;
}

static LeafBuffer *leaf_buffer(Writer *writer, Target *target, ResultRelInfo *leaf) {
    if (target->last && target->last->leaf == leaf)
        return target->last;
    for (LeafBuffer *buffer = target->buffers; buffer; buffer = buffer->next)
        if (buffer->leaf == leaf)
            return buffer;
    LeafBuffer *buffer = take_idle_buffer(writer->cache, RelationGetRelid(leaf->ri_RelationDesc));
    if (!buffer)
        buffer = new_buffer(writer->cache, leaf->ri_RelationDesc);
    buffer->leaf = leaf;
    MemoryContext before = MemoryContextSwitchTo(writer->estate->es_query_cxt);
    buffer->bulk = GetBulkInsertState();
    MemoryContextSwitchTo(before);
    if (leaf != target->root)
        drop_implied_checks(leaf, target->implied);
    buffer->next = target->buffers;
    target->buffers = buffer;
    target->buffer_count++;
    return buffer;
}

static TupleTableSlot *free_slot(Writer *writer, LeafBuffer *buffer) {
    TupleTableSlot *&slot = buffer->slots[buffer->used];
    if (!slot) {
        MemoryContext before = MemoryContextSwitchTo(writer->cache->memory);
        slot = MakeSingleTupleTableSlot(buffer->columns, table_slot_callbacks(buffer->leaf->ri_RelationDesc));
        MemoryContextSwitchTo(before);
    }
    return slot;
}

static void after_row_insert(Writer *writer, Target *target, ResultRelInfo *leaf, TupleTableSlot *slot) {
    List *recheck = NIL;
    if (leaf->ri_NumIndices > 0)
        recheck = exec_insert_index_tuples(leaf, slot, writer->estate);
    if (target->capture || (leaf->ri_TrigDesc && leaf->ri_TrigDesc->trig_insert_after_row))
        ExecARInsertTriggers(writer->estate, leaf, slot, recheck, target->capture);
    list_free(recheck);
}

static void flush_buffer(Writer *writer, Target *target, LeafBuffer *buffer) {
    if (buffer->used == 0)
        return;
    CHECK_FOR_INTERRUPTS();
    writer->flushing = RelationGetRelid(buffer->leaf->ri_RelationDesc);
    MemoryContext before = MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));
    table_multi_insert(buffer->leaf->ri_RelationDesc, buffer->slots, buffer->used, writer->command, 0, buffer->bulk);
    MemoryContextSwitchTo(writer->estate->es_query_cxt);
    for (int i = 0; i < buffer->used; i++) {
        after_row_insert(writer, target, buffer->leaf, buffer->slots[i]);
        ExecClearTuple(buffer->slots[i]);
        ResetPerTupleExprContext(writer->estate);
    }
    MemoryContextSwitchTo(before);
    writer->buffered -= buffer->used;
    buffer->used = 0;
    buffer->bytes = 0;
    writer->flushing = InvalidOid;
}

static void flush_target(Writer *writer, Target *target) {
    for (LeafBuffer *buffer = target->buffers; buffer; buffer = buffer->next)
        flush_buffer(writer, target, buffer);
}

// flush_all makes every row put so far visible, before code of the user runs that may look at it.
static void flush_all(Writer *writer) {
    if (writer->buffered > 0)
        for (int i = 0; i < writer->count; i++)
            flush_target(writer, &writer->targets[i]);
}

// close_buffer ends the use of a buffer; it waits in the cache for the next batch, or goes when there are many.
static void close_buffer(Writer *writer, LeafBuffer *buffer) {
    FreeBulkInsertState(buffer->bulk);
    table_finish_bulk_insert(buffer->leaf->ri_RelationDesc, 0);
    buffer->bulk = NULL;
    buffer->leaf = NULL;
    if (writer->cache->count < most_buffers) {
        buffer->next = writer->cache->idle;
        writer->cache->idle = buffer;
        writer->cache->count++;
        return;
    }
    for (int i = 0; i < rows_at_once && buffer->slots[i]; i++)
        ExecDropSingleTupleTableSlot(buffer->slots[i]);
    FreeTupleDesc(buffer->columns);
    pfree(buffer);
}

// limit_buffers closes all but half of the allowed buffers; those opened first are last in the list.
static void limit_buffers(Writer *writer, Target *target) {
    int count = 0;
    for (LeafBuffer **link = &target->buffers; *link;) {
        LeafBuffer *buffer = *link;
        if (++count <= most_buffers / 2 || buffer == target->last) {
            link = &buffer->next;
            continue;
        }
        flush_buffer(writer, target, buffer);
        *link = buffer->next;
        target->buffer_count--;
        close_buffer(writer, buffer);
    }
}

static void buffer_row(Writer *writer, Target *target, LeafBuffer *buffer, TupleTableSlot *slot) {
    ExecMaterializeSlot(slot);
    buffer->used++;
    writer->buffered++;
    buffer->bytes += TTS_IS_BUFFERTUPLE(slot) || TTS_IS_HEAPTUPLE(slot)
                         ? reinterpret_cast<HeapTupleTableSlot *>(slot)->tuple->t_len
                         : bytes_at_once / rows_at_once;
    if (buffer->used >= rows_at_once || buffer->bytes >= bytes_at_once)
        flush_buffer(writer, target, buffer);
    if (writer->buffered >= most_buffered)
        flush_all(writer);
    if (target->buffer_count > most_buffers)
        limit_buffers(writer, target);
}

// ---- rows

static void fill_defaults(Writer *writer, Target *target, Datum *values, bool *nulls) {
    ExprContext *context = GetPerTupleExprContext(writer->estate);
    for (int i = 0; i < target->default_count; i++) {
        const ColumnDefault *entry = &target->defaults[i];
        if (entry->expression)
            values[entry->column] = ExecEvalExpr(entry->expression, context, &nulls[entry->column]);
        else
            convert_value(entry->domain_null, absent_value(), &nulls[entry->column]);
    }
}

WriterRow writer_row(Writer *writer, int index) {
    Target *target = &writer->targets[index];
    const int count = RelationGetDescr(target->relation)->natts;
    WriterRow row;
    if (target->by_query) {
        row = WriterRow{target->values, target->nulls};
    } else {
        target->filling = target->slot;
        if (!target->slot) {
            target->last = leaf_buffer(writer, target, target->root);
            target->filling = free_slot(writer, target->last);
        }
        ExecClearTuple(target->filling);
        row = WriterRow{target->filling->tts_values, target->filling->tts_isnull};
    }
    memset(row.nulls, true, sizeof(bool) * count);
    memset(row.values, 0, sizeof(Datum) * count);
    if (target->user_code)
        flush_all(writer);
    fill_defaults(writer, target, row.values, row.nulls);
    return row;
}

// keep_returned remembers the final values of the columns that children refer to. `slot` has the leaf's columns; `copy`
// when its values may go away before the document is done.
static void keep_returned(Writer *writer, Target *target, ResultRelInfo *leaf, TupleTableSlot *slot, bool copy) {
    TupleConversionMap *map = leaf != target->root ? root_to_partition_map(leaf, writer->estate) : NULL;
    for (int number = -1; (number = bms_next_member(target->returned, number)) >= 0;) {
        int at = number;
        if (map)
            for (int i = 0; i < map->attrMap->maplen; i++)
                if (map->attrMap->attnums[i] == number)
                    at = i + 1;
        Form_pg_attribute column = TupleDescAttr(RelationGetDescr(target->relation), number - 1);
        const Datum value = slot_getattr(slot, at, &target->nulls[number - 1]);
        target->values[number - 1] =
            copy && !target->nulls[number - 1] ? datumCopy(value, column->attbyval, column->attlen) : value;
    }
}

static void put_by_query(Writer *writer, Target *target) {
    const int count = target->row_type->natts;
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * count));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * count));
    for (int i = 0; i < count; i++) {
        values[i] = target->values[target->row_columns[i]];
        nulls[i] = target->nulls[target->row_columns[i]];
    }
    (void)writer;
    tuplestore_putvalues(target->rows, target->row_type, values, nulls);
}

// choose_leaf routes the row in target->filling; it returns the leaf and whether its rows are buffered.
static ResultRelInfo *choose_leaf(Writer *writer, Target *target, bool *buffered) {
    if (!target->routing) {
        *buffered = !target->one_by_one;
        return target->root;
    }
    ResultRelInfo *leaf =
        ExecFindPartition(target->state, target->root, target->routing, target->filling, writer->estate);
    if (leaf != target->last_leaf) {
        target->last_buffered = !target->one_by_one && !has_before_row_trigger(leaf) && !leaf->ri_FdwRoutine;
        target->last_leaf = leaf;
        ReleaseBulkInsertStatePin(target->bulk);
    }
    *buffered = target->last_buffered;
    return leaf;
}

// leaf_slot brings the routed row into the leaf's row type, and into the slot from which it will be written.
static TupleTableSlot *leaf_slot(Writer *writer, Target *target, ResultRelInfo *leaf, bool buffered) {
    TupleTableSlot *slot = target->filling;
    if (target->routing) {
        TupleConversionMap *map = root_to_partition_map(leaf, writer->estate);
        TupleTableSlot *to = NULL;
        if (buffered) {
            target->last = leaf_buffer(writer, target, leaf);
            to = free_slot(writer, target->last);
        } else if (map) {
            to = leaf->ri_PartitionTupleSlot;
        }
        if (map)
            slot = execute_attr_map_slot(map->attrMap, slot, to);
        else if (to)
            slot = ExecCopySlot(to, slot);
    }
    slot->tts_tableOid = RelationGetRelid(leaf->ri_RelationDesc);
    return slot;
}

static void check_row(Writer *writer, Target *target, ResultRelInfo *leaf, TupleTableSlot *slot) {
    TupleConstr *constraints = leaf->ri_RelationDesc->rd_att->constr;
    if (constraints && constraints->has_generated_stored)
        ExecComputeStoredGenerated(leaf, writer->estate, slot, CMD_INSERT);
    if (!leaf->ri_FdwRoutine && constraints)
        ExecConstraints(leaf, slot, writer->estate);
    if (leaf->ri_RelationDesc->rd_rel->relispartition && (!target->routing || has_before_row_trigger(leaf)))
        ExecPartitionCheck(leaf, slot, writer->estate, true);
}

static void insert_one(Writer *writer, Target *target, ResultRelInfo *leaf, TupleTableSlot *slot) {
    if (leaf->ri_FdwRoutine) {
        slot = leaf->ri_FdwRoutine->ExecForeignInsert(writer->estate, leaf, slot, NULL);
        if (!slot)
            return;
        slot->tts_tableOid = RelationGetRelid(leaf->ri_RelationDesc);
    } else {
        table_tuple_insert(leaf->ri_RelationDesc, slot, writer->command, 0, target->bulk);
    }
    after_row_insert(writer, target, leaf, slot);
    writer->inserted++;
}

static void put_direct(Writer *writer, Target *target, MemoryContext caller) {
    ExecStoreVirtualTuple(target->filling);
    target->filling->tts_tableOid = RelationGetRelid(target->relation);
    bool buffered;
    ResultRelInfo *leaf = choose_leaf(writer, target, &buffered);
    if (target->capture && target->routing)
        target->capture->tcs_original_insert_tuple = has_before_row_trigger(leaf) ? NULL : target->filling;
    TupleTableSlot *slot = leaf_slot(writer, target, leaf, buffered);
    bool inserts = true;
    if (!buffered) {
        flush_all(writer);
        if (has_before_row_trigger(leaf))
            inserts = ExecBRInsertTriggers(writer->estate, leaf, slot);
    }
    if (inserts)
        check_row(writer, target, leaf, slot);
    MemoryContextSwitchTo(caller);
    TupleConstr *constraints = leaf->ri_RelationDesc->rd_att->constr;
    const bool copy = !buffered || target->routing || (constraints && constraints->has_generated_stored);
    // A trigger that suppressed the row may have left its slot empty: what was put stays the value.
    if (target->returned)
        keep_returned(writer, target, inserts ? leaf : target->root, inserts ? slot : target->filling, copy);
    MemoryContextSwitchTo(writer->estate->es_query_cxt);
    if (!inserts)
        return;
    if (!buffered) {
        insert_one(writer, target, leaf, slot);
        return;
    }
    buffer_row(writer, target, target->last, slot);
    writer->inserted++;
}

void writer_put(Writer *writer, int index) {
    Target *target = &writer->targets[index];
    if (target->by_query) {
        put_by_query(writer, target);
        return;
    }
    MemoryContext caller = MemoryContextSwitchTo(writer->estate->es_query_cxt);
    put_direct(writer, target, caller);
    MemoryContextSwitchTo(caller);
    ResetPerTupleExprContext(writer->estate);
}

WriterRow writer_returned(Writer *writer, int target) {
    return WriterRow{writer->targets[target].values, writer->targets[target].nulls};
}

// ---- closing

// insert_by_query uses an SPI connection of its own: the registered relation lives as long as its connection.
static void insert_by_query(Writer *writer, Target *target) {
    if (!target->by_query || !target->rows)
        return;
    if (target->parent >= 0)
        insert_by_query(writer, &writer->targets[target->parent]);
    MemoryContext memory = CurrentMemoryContext;
    SPI_connect();
    EphemeralNamedRelation rows = static_cast<EphemeralNamedRelation>(palloc0(sizeof(EphemeralNamedRelationData)));
    rows->md.name = const_cast<char *>("sluice_rows");
    rows->md.tupdesc = target->row_type;
    rows->md.enrtype = ENR_NAMED_TUPLESTORE;
    rows->md.enrtuples = tuplestore_tuple_count(target->rows);
    rows->reldata = target->rows;
    if (SPI_register_relation(rows) != SPI_OK_REL_REGISTER)
        elog(ERROR, "could not register the rows of a target");
    if (SPI_execute(target->insert, false, 0) < 0)
        elog(ERROR, "unexpected result of the INSERT into a target");
    writer->inserted += SPI_processed;
    SPI_finish();
    MemoryContextSwitchTo(memory);
    tuplestore_end(target->rows);
    target->rows = NULL;
}

static void finish_target(Writer *writer, Target *target) {
    if (target->by_query)
        return;
    if (target->bulk)
        FreeBulkInsertState(target->bulk);
    ExecASInsertTriggers(writer->estate, target->root, target->capture);
}

static void close_target(Writer *writer, Target *target) {
    if (!target->by_query) {
        for (LeafBuffer *buffer = target->buffers, *next; buffer; buffer = next) {
            next = buffer->next;
            close_buffer(writer, buffer);
        }
        if (target->routing)
            ExecCleanupTupleRouting(target->state, target->routing);
    }
    table_close(target->relation, NoLock);
}

int64 writer_finish(Writer *writer) {
    flush_all(writer);
    for (int i = 0; i < writer->count; i++)
        insert_by_query(writer, &writer->targets[i]);
    for (int i = 0; i < writer->count; i++)
        finish_target(writer, &writer->targets[i]);
    AfterTriggerEndQuery(writer->estate);
    for (int i = 0; i < writer->count; i++)
        close_target(writer, &writer->targets[i]);
    ExecResetTupleTable(writer->estate->es_tupleTable, false);
    ExecCloseResultRelations(writer->estate);
    ExecCloseRangeTableRelations(writer->estate);
    const int64 inserted = writer->inserted;
    FreeExecutorState(writer->estate);
    CommandCounterIncrement();
    return inserted;
}

} // namespace sluice
