// See writer.hpp. The direct way follows the server's own CopyFrom (commands/copyfrom.c) in what it checks and in which
// order; where the server's COPY and INSERT differ (domains without default), INSERT is followed.
#include "writer_state.hpp"

#include "lineage_scope.hpp"
#include "names.hpp"

namespace sluice {

bool test_by_query = false;

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

// updates_run_triggers looks for BEFORE UPDATE triggers for each row, of a table or one of its partitions.
static bool updates_run_triggers(Relation relation) {
    List *members = find_all_inheritors(RelationGetRelid(relation), AccessShareLock, NULL);
    ListCell *cell;
    bool found = false;
    foreach (cell, members) {
        Relation member = table_open(lfirst_oid(cell), NoLock);
        found = found || (member->trigdesc && member->trigdesc->trig_update_before_row);
        table_close(member, NoLock);
    }
    return found;
}

static bool captures_rows(Relation relation) {
    const TriggerDesc *triggers = relation->trigdesc;
    return triggers &&
           (triggers->trig_insert_new_table || triggers->trig_update_old_table || triggers->trig_update_new_table);
}

bool is_keyed_by_query(Relation relation) {
    return is_written_by_query(relation) || may_interfere(relation, false) || updates_run_triggers(relation) ||
           (relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE && captures_rows(relation));
}

static bool has_key(Mode mode) { return mode == Mode::Upsert || mode == Mode::Skip || mode == Mode::Merge; }

// plan_defaults prepares the columns that the caller does not fill (by query: only those that children refer to, the
// INSERT fills the others).
static void plan_defaults(Target *target, const Bitmapset *written) {
    TupleDesc columns = RelationGetDescr(target->relation);
    target->defaults = static_cast<ColumnDefault *>(palloc0(sizeof(ColumnDefault) * columns->natts));
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        const bool filled = bms_is_member(i + 1, written);
        if (column->attisdropped || column->attgenerated || (filled && target->mode != Mode::Merge))
            continue;
        if (target->by_query && !filled && !bms_is_member(i + 1, target->returned))
            continue;
        ColumnDefault *entry = &target->defaults[target->default_count];
        entry->column = i;
        entry->when_absent = filled;
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

bool has_before_row_trigger(const ResultRelInfo *relation) {
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
    if (!has_key(target->mode))
        return;
    target->slot =
        ExecInitExtraTupleSlot(estate, CreateTupleDescCopy(RelationGetDescr(target->relation)), &TTSOpsVirtual);
    target->update_capture =
        MakeTransitionCaptureState(target->relation->trigdesc, RelationGetRelid(target->relation), CMD_UPDATE);
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
    target->insert =
        psprintf("INSERT INTO %s%s%s SELECT %s FROM sluice_rows", relation_name(RelationGetRelid(target->relation)),
                 has_key(target->mode) ? " AS t" : "", list, names.data);
    target->rows = tuplestore_begin_heap(false, false, work_mem);
}

static void open_keyed_query(Target *target, EState *estate) {
    target->slot =
        ExecInitExtraTupleSlot(estate, CreateTupleDescCopy(RelationGetDescr(target->relation)), &TTSOpsVirtual);
}

static Bitmapset *permission_columns(const Bitmapset *written) {
    Bitmapset *result = NULL;
    for (int number = -1; (number = bms_next_member(written, number)) >= 0;)
        result = bms_add_member(result, number - FirstLowInvalidHeapAttributeNumber);
    return result;
}

static void open_target(Writer *writer, int index, const WriterTarget *all) {
    const WriterTarget *wanted = &all[index];
    Target *target = &writer->targets[index];
    TupleDesc columns = RelationGetDescr(target->relation);
    target->index = index;
    target->mode = wanted->mode;
    target->parent = wanted->parent;
    target->aside = wanted->aside;
    target->written = wanted->written;
    target->returned = bms_copy(wanted->returned);
    target->values = static_cast<Datum *>(palloc0(sizeof(Datum) * columns->natts));
    target->nulls = static_cast<bool *>(palloc(sizeof(bool) * columns->natts));
    const bool keyed = has_key(target->mode);
    target->by_query = keyed ? is_keyed_by_query(target->relation) : is_written_by_query(target->relation);
    target->user_code = may_interfere(target->relation, target->by_query);
    if (target->mode == Mode::Merge)
        target->absent = static_cast<bool *>(palloc0(sizeof(bool) * columns->natts));
    plan_replaced(target, all);
    plan_defaults(target, wanted->written);
    if (target->by_query)
        open_query(target, wanted->written);
    else
        open_direct(writer, target, index);
    if (keyed && target->by_query)
        open_keyed_query(target, writer->estate);
    if (keyed)
        open_keyed(writer, target, all);
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
        const int parent = wanted[i].parent;
        if (target->by_query || !stands_alone(writer, i))
            continue;
        target->implied = list_copy(wanted[i].confirmed);
        if (parent >= 0 && !writer->targets[parent].by_query)
            target->implied =
                list_concat(target->implied, implied_foreign_keys(target->relation, wanted[parent].relation,
                                                                  wanted[i].links, wanted[i].link_count));
        drop_implied_checks(target->root, target->implied);
    }
}

// key_columns lists the columns by which rows that are there are found.
static Bitmapset *key_columns(const WriterTarget *wanted) {
    Relation index = index_open(wanted->key_index, AccessShareLock);
    Bitmapset *columns = bms_copy(wanted->returned);
    for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
        columns = bms_add_member(columns, index->rd_index->indkey.values[i]);
    index_close(index, NoLock);
    if (wanted->newest_by)
        columns = bms_add_member(columns, wanted->newest_by);
    return permission_columns(columns);
}

// updated_columns lists the columns that are written over: all but those of the key, which stays as it is.
static Bitmapset *updated_columns(const WriterTarget *wanted) {
    if (wanted->mode != Mode::Upsert && wanted->mode != Mode::Merge)
        return NULL;
    Bitmapset *columns = bms_copy(wanted->written);
    Relation index = index_open(wanted->key_index, AccessShareLock);
    for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
        columns = bms_del_member(columns, index->rd_index->indkey.values[i]);
    index_close(index, NoLock);
    return columns;
}

static void add_target(InsertRangeTable *range, Target *target, const WriterTarget *wanted) {
    Bitmapset *updated = updated_columns(wanted);
    target->updates = !bms_is_empty(updated);
    add_insert_target(range, target->relation, permission_columns(wanted->written), permission_columns(updated),
                      has_key(wanted->mode) ? key_columns(wanted) : NULL);
}

// fire_statement_triggers fires those of the whole statement; with a key it is an INSERT ... ON CONFLICT, which is both.
static void fire_before_statement(Writer *writer, Target *target) {
    ExecBSInsertTriggers(writer->estate, target->root);
    if (target->updates)
        ExecBSUpdateTriggers(writer->estate, target->root);
}

// keyed_memory gives memory for keyed rows, if there are to be any.
static MemoryContext keyed_memory(const WriterTarget *wanted, int count, WriterCache *cache) {
    constexpr Size block = 16 * 1024 * 1024;
    bool needed = false;
    for (int i = 0; i < count; i++)
        needed = needed || has_key(wanted[i].mode);
    if (!needed)
        return NULL;
    if (!cache->keyed)
        cache->keyed = AllocSetContextCreate(cache->memory, "sluice keyed rows", static_cast<Size>(0), block, block);
    MemoryContextReset(cache->keyed);
    return cache->keyed;
}

Writer *writer_begin(const WriterTarget *wanted, int count, const WriterOptions *options, WriterCache *cache) {
    Writer *writer = static_cast<Writer *>(palloc0(sizeof(Writer)));
    writer->cache = cache;
    writer->count = count;
    writer->undoable = options->undoable;
    writer->may_be_late = options->late;
    writer->in_order = options->in_order;
    writer->once = options->once;
    Assert(!(writer->once && writer->undoable));
    writer->flushing_document = -1;
    writer->places = notes_source_rows();
    writer->resources = CurrentResourceOwner;
    writer->targets = static_cast<Target *>(palloc0(sizeof(Target) * count));
    writer->estate = CreateExecutorState();
    MemoryContext before = MemoryContextSwitchTo(writer->estate->es_query_cxt);
    InsertRangeTable range{};
    for (int i = 0; i < count; i++) {
        Relation relation = writer->targets[i].relation = table_open(wanted[i].relation, RowExclusiveLock);
        if (XactReadOnly && !relation->rd_islocaltemp)
            PreventCommandIfReadOnly("sluice.run");
        add_target(&range, &writer->targets[i], &wanted[i]);
    }
    init_insert_range_table(writer->estate, &range);
    writer->command = GetCurrentCommandId(true);
    writer->estate->es_output_cid = writer->command;
    writer->keyed_memory = keyed_memory(wanted, count, cache);
    AfterTriggerBeginQuery();
    for (int i = 0; i < count; i++) {
        open_target(writer, i, wanted);
        writer->runs_user_code = writer->runs_user_code || writer->targets[i].user_code;
    }
    if (!options->interferes)
        imply_foreign_keys(writer, wanted);
    for (int i = 0; i < count; i++)
        if (!writer->targets[i].by_query)
            fire_before_statement(writer, &writer->targets[i]);
    MemoryContextSwitchTo(before);
    return writer;
}

Oid writer_flushing(const Writer *writer) { return writer->flushing; }
int64 writer_flushing_document(const Writer *writer) { return writer->flushing_document; }

void next_command(Writer *writer) {
    CommandCounterIncrement();
    writer->command = GetCurrentCommandId(true);
    writer->estate->es_output_cid = writer->command;
}

// ---- rows

void fill_defaults(Writer *writer, Target *target, Datum *values, bool *nulls) {
    ExprContext *context = GetPerTupleExprContext(writer->estate);
    for (int i = 0; i < target->default_count; i++) {
        const ColumnDefault *entry = &target->defaults[i];
        if (entry->when_absent && !target->absent[entry->column])
            continue;
        if (entry->expression)
            values[entry->column] = ExecEvalExpr(entry->expression, context, &nulls[entry->column]);
        else
            convert_value(entry->domain_null, absent_value(), &nulls[entry->column]);
    }
}

void start_row(Writer *writer, Target *target) {
    target->filling = target->slot;
    if (!target->slot) {
        target->last = leaf_buffer(writer, target, target->root);
        target->filling = free_slot(writer, target->last);
    }
    ExecClearTuple(target->filling);
}

// A ResourceScope lets what the writer opens live as long as the writer, whatever subtransaction asks it to.
struct ResourceScope {
    ResourceOwner before;
};

static ResourceScope enter_resources(const Writer *writer) {
    const ResourceScope scope{CurrentResourceOwner};
    CurrentResourceOwner = writer->resources;
    return scope;
}

static void leave_resources(const ResourceScope *scope) { CurrentResourceOwner = scope->before; }

WriterRow writer_row(Writer *writer, int index) {
    Target *target = &writer->targets[index];
    const int count = RelationGetDescr(target->relation)->natts;
    const ResourceScope resources = enter_resources(writer);
    WriterRow row;
    if (target->by_query && !target->keyed) {
        row = WriterRow{target->values, target->nulls, NULL};
    } else {
        start_row(writer, target);
        row = WriterRow{target->filling->tts_values, target->filling->tts_isnull, target->absent};
    }
    memset(row.nulls, true, sizeof(bool) * count);
    memset(row.values, 0, sizeof(Datum) * count);
    if (target->absent)
        memset(target->absent, false, sizeof(bool) * count);
    if (target->user_code)
        flush_all(writer);
    if (!target->keyed) // else only a row that is not there yet gets them
        fill_defaults(writer, target, row.values, row.nulls);
    leave_resources(&resources);
    return row;
}

void keep_returned(Writer *writer, Target *target, ResultRelInfo *leaf, TupleTableSlot *slot, bool copy) {
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

void show_slot(Writer *writer, const Target *target, TupleTableSlot *slot) {
    if (unlikely(writer->see != NULL) && !target->aside)
        writer->see(writer->seer, slot->tts_tableOid, ExecFetchSlotHeapTupleDatum(slot));
}

// filled_row takes the columns that are filled here of a row that is written by query.
static HeapTuple filled_row(const Target *target, TupleDesc type, const Datum *values, const bool *nulls) {
    Datum *filled = static_cast<Datum *>(palloc(sizeof(Datum) * type->natts));
    bool *empty = static_cast<bool *>(palloc(sizeof(bool) * type->natts));
    for (int i = 0; i < type->natts; i++) {
        filled[i] = values[target->row_columns[i]];
        empty[i] = nulls[target->row_columns[i]];
    }
    return heap_form_tuple(type, filled, empty);
}

void show_filled(Writer *writer, const Target *target, const Datum *values, const bool *nulls) {
    if (likely(writer->see == NULL) || target->aside)
        return;
    TupleDesc type = BlessTupleDesc(CreateTupleDescCopy(target->row_type));
    writer->see(writer->seer, RelationGetRelid(target->relation),
                HeapTupleGetDatum(filled_row(target, type, values, nulls)));
}

void put_by_query(Writer *writer, Target *target) {
    show_filled(writer, target, target->values, target->nulls);
    HeapTuple row = filled_row(target, target->row_type, target->values, target->nulls);
    if (!writer->undoable) {
        tuplestore_puttuple(target->rows, row);
        return;
    }
    MemoryContext before = MemoryContextSwitchTo(writer->estate->es_query_cxt);
    target->document_rows = lappend(target->document_rows, heap_copytuple(row));
    MemoryContextSwitchTo(before);
}

static void drop_document_rows(Target *target, bool keep) {
    ListCell *cell;
    foreach (cell, target->document_rows) {
        HeapTuple row = static_cast<HeapTuple>(lfirst(cell));
        if (keep)
            tuplestore_puttuple(target->rows, row);
        heap_freetuple(row);
    }
    list_free(target->document_rows);
    target->document_rows = NIL;
}

// choose_leaf routes the row in target->filling; it returns the leaf and whether its rows are buffered.
ResultRelInfo *choose_leaf(Writer *writer, Target *target, bool *buffered) {
    if (!target->routing) {
        *buffered = !target->one_by_one;
        return target->root;
    }
    ResultRelInfo *leaf =
        ExecFindPartition(target->state, target->root, target->routing, target->filling, writer->estate);
    if (leaf != target->last_leaf) {
        target->last_buffered = !target->one_by_one && !has_before_row_trigger(leaf) && !leaf->ri_FdwRoutine;
        target->last_leaf = leaf;
        if (target->bulk)
            ReleaseBulkInsertStatePin(target->bulk);
    }
    *buffered = target->last_buffered;
    return leaf;
}

// leaf_slot brings the routed row into the leaf's row type, and into the slot from which it will be written.
static TupleTableSlot *leaf_slot(Writer *writer, Target *target, ResultRelInfo *leaf, bool buffered) {
    TupleTableSlot *slot = target->filling;
    if (target->slot) {
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

void check_row(Writer *writer, Target *target, ResultRelInfo *leaf, TupleTableSlot *slot) {
    TupleConstr *constraints = leaf->ri_RelationDesc->rd_att->constr;
    if (constraints && constraints->has_generated_stored)
        ExecComputeStoredGenerated(leaf, writer->estate, slot, CMD_INSERT);
    if (!leaf->ri_FdwRoutine && constraints)
        ExecConstraints(leaf, slot, writer->estate);
    if (leaf->ri_RelationDesc->rd_rel->relispartition && (!target->routing || has_before_row_trigger(leaf)))
        ExecPartitionCheck(leaf, slot, writer->estate, true);
}

static void insert_one(Writer *writer, Target *target, ResultRelInfo *leaf, TupleTableSlot *slot) {
    writer->wrote = true;
    if (leaf->ri_FdwRoutine) {
        slot = leaf->ri_FdwRoutine->ExecForeignInsert(writer->estate, leaf, slot, NULL);
        if (!slot)
            return;
        slot->tts_tableOid = RelationGetRelid(leaf->ri_RelationDesc);
    } else {
        table_tuple_insert(leaf->ri_RelationDesc, slot, writer->command, 0, target->bulk);
    }
    after_row_insert(writer, target, leaf, slot, writer->document);
    counts_of(writer, target)->inserted++;
}

static void put_in_leaf(Writer *writer, Target *target, MemoryContext caller, KeyedRow *owner) {
    target->filling->tts_tableOid = RelationGetRelid(target->relation);
    bool buffered;
    ResultRelInfo *leaf = choose_leaf(writer, target, &buffered);
    if (target->capture && target->routing)
        target->capture->tcs_original_insert_tuple = has_before_row_trigger(leaf) ? NULL : target->filling;
    TupleTableSlot *slot = leaf_slot(writer, target, leaf, buffered);
    bool inserts = true;
    if (!buffered) {
        writer->wrote = true;
        flush_all(writer);
        if (has_before_row_trigger(leaf))
            inserts = ExecBRInsertTriggers(writer->estate, leaf, slot);
    }
    if (inserts) {
        check_row(writer, target, leaf, slot);
        show_slot(writer, target, slot);
    }
    MemoryContextSwitchTo(caller);
    TupleConstr *constraints = leaf->ri_RelationDesc->rd_att->constr;
    const bool copy = !buffered || target->slot || (constraints && constraints->has_generated_stored);
    // A trigger that suppressed the row may have left its slot empty: what was put stays the value.
    if (target->returned)
        keep_returned(writer, target, inserts ? leaf : target->root, inserts ? slot : target->filling, copy);
    MemoryContextSwitchTo(writer->estate->es_query_cxt);
    if (!inserts)
        return;
    if (!buffered) {
        insert_one(writer, target, leaf, slot);
        if (owner)
            note_written(target, owner, slot);
        return;
    }
    buffer_row(writer, target, target->last, slot, owner);
}

void put_new(Writer *writer, Target *target, MemoryContext caller, KeyedRow *owner) {
    MemoryContext before = MemoryContextSwitchTo(writer->estate->es_query_cxt);
    put_in_leaf(writer, target, caller, owner);
    MemoryContextSwitchTo(before);
}

// put_row puts the row of a target without a key.
static void put_row(Writer *writer, Target *target, MemoryContext caller) {
    target->current = target->parent >= 0 ? writer->targets[target->parent].current : NULL;
    if (target->current)
        target->current->has_children = true;
    if (!target->by_query)
        ExecStoreVirtualTuple(target->filling);
    if (defer_row(writer, target, caller))
        return;
    if (target->by_query)
        put_by_query(writer, target);
    else
        put_new(writer, target, caller, target->mode == Mode::Replace ? target->current : NULL);
}

bool writer_put(Writer *writer, int index) {
    Target *target = &writer->targets[index];
    const ResourceScope resources = enter_resources(writer);
    MemoryContext caller = CurrentMemoryContext;
    bool counts = true;
    if (target->keyed) {
        ExecStoreVirtualTuple(target->filling);
        MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));
        counts = put_keyed(writer, target, caller);
    } else {
        if (!target->by_query)
            MemoryContextSwitchTo(writer->estate->es_query_cxt);
        put_row(writer, target, caller);
    }
    MemoryContextSwitchTo(caller);
    ResetPerTupleExprContext(writer->estate);
    leave_resources(&resources);
    return counts;
}

bool writer_find(Writer *writer, int index, WriterRow *there) {
    Target *target = &writer->targets[index];
    const ResourceScope resources = enter_resources(writer);
    MemoryContext caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));
    ExecStoreVirtualTuple(target->filling);
    const TupleTableSlot *found = find_keyed(writer, target);
    ExecClearTuple(target->filling); // its values stay, to be filled on
    MemoryContextSwitchTo(caller);
    leave_resources(&resources);
    if (found)
        *there = WriterRow{found->tts_values, found->tts_isnull, NULL};
    return found != NULL;
}

WriterRow writer_asked(Writer *writer, int index) {
    const Target *target = &writer->targets[index];
    return WriterRow{target->filling->tts_values, target->filling->tts_isnull, target->absent};
}

WriterRow writer_returned(Writer *writer, int target) {
    return WriterRow{writer->targets[target].values, writer->targets[target].nulls, NULL};
}

// ---- closing

// run_on_rows uses an SPI connection of its own: the registered relation lives as long as its connection.
void run_on_rows(const char *statement, Tuplestorestate *rows, TupleDesc type) {
    MemoryContext memory = CurrentMemoryContext;
    SPI_connect();
    EphemeralNamedRelation relation = static_cast<EphemeralNamedRelation>(palloc0(sizeof(EphemeralNamedRelationData)));
    relation->md.name = const_cast<char *>("sluice_rows");
    relation->md.tupdesc = type;
    relation->md.enrtype = ENR_NAMED_TUPLESTORE;
    relation->md.enrtuples = tuplestore_tuple_count(rows);
    relation->reldata = rows;
    if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
        elog(ERROR, "could not register the rows of a target");
    if (SPI_execute(statement, false, 0) < 0)
        elog(ERROR, "unexpected result of a statement over the rows of a target");
    const uint64 processed = SPI_processed;
    SPI_finish();
    SPI_processed = processed;
    MemoryContextSwitchTo(memory);
}

static void insert_by_query(Writer *writer, Target *target) {
    if (!target->by_query || target->keyed || !target->rows)
        return;
    if (target->parent >= 0)
        insert_by_query(writer, &writer->targets[target->parent]);
    drop_document_rows(target, true);
    writer->flushing = RelationGetRelid(target->relation);
    run_on_rows(target->insert, target->rows, target->row_type);
    writer->flushing = InvalidOid;
    counts_of(writer, target)->inserted += SPI_processed;
    tuplestore_end(target->rows);
    target->rows = NULL;
}

// insert_between writes what waits for its INSERT in the middle of a batch: rows that are replaced again must lie there.
static void insert_between(Writer *writer) {
    for (int i = 0; i < writer->count; i++)
        insert_by_query(writer, &writer->targets[i]);
    MemoryContext before = MemoryContextSwitchTo(writer->estate->es_query_cxt);
    for (int i = 0; i < writer->count; i++)
        if (writer->targets[i].by_query && !writer->targets[i].rows)
            writer->targets[i].rows = tuplestore_begin_heap(false, false, work_mem);
    MemoryContextSwitchTo(before);
}

static void finish_target(Writer *writer, Target *target) {
    if (target->by_query)
        return;
    if (target->bulk)
        FreeBulkInsertState(target->bulk);
    if (target->updates)
        ExecASUpdateTriggers(writer->estate, target->root, target->update_capture);
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

WriterCounts writer_finish(Writer *writer) {
    settle_keyed(writer);
    for (int i = 0; i < writer->count; i++)
        insert_by_query(writer, &writer->targets[i]);
    for (int i = 0; i < writer->count; i++)
        finish_target(writer, &writer->targets[i]);
    AfterTriggerEndQuery(writer->estate);
    for (int i = 0; i < writer->count; i++)
        close_target(writer, &writer->targets[i]);
    close_keyed(writer);
    ExecResetTupleTable(writer->estate->es_tupleTable, false);
    ExecCloseResultRelations(writer->estate);
    ExecCloseRangeTableRelations(writer->estate);
    const WriterCounts counts = writer->counts;
    FreeExecutorState(writer->estate);
    CommandCounterIncrement();
    return counts;
}

// ---- documents

void writer_begin_document(Writer *writer) {
    writer->document++;
    writer->wrote = writer->runs_user_code;
    if (!writer->undoable)
        return;
    for (int i = 0; i < writer->count; i++)
        if (writer->targets[i].document_rows)
            drop_document_rows(&writer->targets[i], true);
    if (writer->has_keys)
        mark_keyed(writer);
}

int64 writer_document(const Writer *writer) { return writer->document; }

bool writer_wants_flush(const Writer *writer) {
    return keeps_much(writer) || (writer->undoable && is_half_full(writer));
}

void writer_flush(Writer *writer) {
    const int64 document = writer->document;
    if (keeps_much(writer)) {
        settle_keyed(writer);
        insert_between(writer);
    } else {
        flush_all(writer);
    }
    writer->document = document;
    writer->wrote = writer->runs_user_code;
}

void writer_watch(Writer *writer, void (*see)(void *seer, Oid relation, Datum row), void *seer) {
    writer->see = see;
    writer->seer = seer;
}

bool writer_can_fire(const Writer *writer) {
    for (int i = 0; i < writer->count; i++)
        if (writer->targets[i].capture || writer->targets[i].update_capture)
            return false;
    return true;
}

void writer_fire(Writer *writer) {
    const int64 document = writer->document;
    settle_keyed(writer);
    insert_between(writer);
    AfterTriggerEndQuery(writer->estate);
    AfterTriggerBeginQuery();
    writer->document = document;
}

bool writer_wrote(const Writer *writer) { return writer->wrote; }

void writer_forget_document(Writer *writer) {
    forget_buffered(writer);
    for (int i = 0; i < writer->count; i++)
        drop_document_rows(&writer->targets[i], false);
    if (writer->has_keys)
        forget_keyed(writer);
}

void writer_abandon(Writer *writer) {
    for (int i = 0; i < writer->count; i++)
        for (LeafBuffer *buffer = writer->targets[i].buffers, *next; buffer; buffer = next) {
            next = buffer->next;
            for (int row = 0; row < rows_at_once && buffer->slots[row]; row++)
                ExecClearTuple(buffer->slots[row]);
            buffer->used = 0;
            buffer->bytes = 0;
            buffer->bulk = NULL; // its pin went with the subtransaction
            close_buffer(writer, buffer);
        }
}

} // namespace sluice
