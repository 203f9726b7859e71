// Keyed rows: targets in which a row with the same key may be there already (modes upsert, skip and merge).
//
// A batch remembers each key that it met. The first time a key comes, the table is asked for it: by a scan of the unique
// index, kept open over the batch, under a snapshot of the batch's own (by query: by a SELECT ... FOR NO KEY UPDATE).
// From then on the batch knows the row: what comes later lays itself over what it knows, so that each row is written
// once, however often its key came. (Where a writer asks for each key once, none need be found again.) A new row goes the
// way of all new rows, into the buffer of its table; what changes a row that is there waits, and is written in the order
// in which the rows lie, when the batch ends (or its memory is full).
//
// Nothing is locked between the look and the write. Where another transaction wrote the same key meanwhile, the write
// finds out (the row has changed, or the unique index refuses the new one) and the batch is done again; run.cpp and
// chunk.cpp see to that.
//
// The rows of a parent that was delivered before are replaced: see replaced.cpp. What lies in buffers of an earlier
// delivery in the same batch is known by its version, and left out when the buffer is written.
#include "keyed.hpp"

#include "key.hpp"
#include "names.hpp"

namespace sluice {

Size row_size(const Writer *writer) { return offsetof(KeyedRow, versions) + sizeof(uint32) * writer->count; }

bool is_superseded(const KeyedRow *owner, int target, uint32 version) { return owner->versions[target] != version; }
uint32 current_version(const KeyedRow *owner, int target) { return owner->versions[target]; }

// ---- opening

// number_order gives the type of a key that is one number, and sorts like it.
static Oid number_order(const Keyed *keyed, Relation relation) {
    const Oid type = getBaseType(TupleDescAttr(RelationGetDescr(relation), keyed->columns[0] - 1)->atttypid);
    const bool is_number = keyed->count == 1 && is_number_type(type) &&
                           keyed->order[0].fn_oid == lookup_type_cache(type, TYPECACHE_CMP_PROC)->cmp_proc;
    return is_number ? type : InvalidOid;
}

static void plan_key(Keyed *keyed, Relation relation, Oid index_oid) {
    Relation index = index_open(index_oid, AccessShareLock);
    const int count = keyed->count = IndexRelationGetNumberOfKeyAttributes(index);
    keyed->columns = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * count));
    keyed->hash = static_cast<FmgrInfo *>(palloc(sizeof(FmgrInfo) * count));
    keyed->equal = static_cast<FmgrInfo *>(palloc(sizeof(FmgrInfo) * count));
    keyed->order = static_cast<FmgrInfo *>(palloc(sizeof(FmgrInfo) * count));
    keyed->collations = static_cast<Oid *>(palloc(sizeof(Oid) * count));
    for (int i = 0; i < count; i++) {
        keyed->columns[i] = index->rd_index->indkey.values[i];
        keyed->collations[i] = index->rd_indcollation[i];
        const Oid type = getBaseType(TupleDescAttr(RelationGetDescr(relation), keyed->columns[i] - 1)->atttypid);
        fmgr_info_copy(&keyed->hash[i], &lookup_type_cache(type, TYPECACHE_HASH_PROC_FINFO)->hash_proc_finfo,
                       CurrentMemoryContext);
        const Oid equal = get_opfamily_member(index->rd_opfamily[i], index->rd_opcintype[i], index->rd_opcintype[i],
                                              BTEqualStrategyNumber);
        fmgr_info(get_opcode(equal), &keyed->equal[i]);
        fmgr_info_copy(&keyed->order[i], index_getprocinfo(index, i + 1, BTORDER_PROC), CurrentMemoryContext);
    }
    index_close(index, NoLock);
    keyed->number_type = number_order(keyed, relation);
}

static void plan_newest(Keyed *keyed, Relation relation, AttrNumber column) {
    keyed->newest_by = column;
    if (column == 0)
        return;
    Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), column - 1);
    TypeCacheEntry *type = lookup_type_cache(getBaseType(attribute->atttypid), TYPECACHE_CMP_PROC_FINFO);
    fmgr_info_copy(&keyed->newest_order, &type->cmp_proc_finfo, CurrentMemoryContext);
    keyed->newest_collation = attribute->attcollation;
}

static bool is_key(const Keyed *keyed, int number) {
    for (int i = 0; i < keyed->count; i++)
        if (keyed->columns[i] == number)
            return true;
    return false;
}

// is_written_one_way tells whether equal values of a type are the same to the byte (1.0 and 1.00 are not).
static bool is_written_one_way(Oid type, Oid collation) {
    const Oid base = getBaseType(type);
    if (base == TEXTOID || base == VARCHAROID)
        return get_collation_isdeterministic(collation);
    return is_number_type(base) || base == UUIDOID;
}

static bool is_key_written_one_way(const Keyed *keyed, TupleDesc columns) {
    for (int i = 0; i < keyed->count; i++)
        if (!is_written_one_way(TupleDescAttr(columns, keyed->columns[i] - 1)->atttypid, keyed->collations[i]))
            return false;
    return true;
}

// plan_query writes the statements of a target by query: how a key is asked for, and how rows are written.
static void plan_query(Target *target) {
    Keyed *keyed = target->keyed;
    TupleDesc columns = RelationGetDescr(target->relation);
    StringInfoData names, conditions, keys, sets;
    initStringInfo(&names);
    initStringInfo(&conditions);
    initStringInfo(&keys);
    initStringInfo(&sets);
    Oid *types = static_cast<Oid *>(palloc(sizeof(Oid) * keyed->count));
    for (int i = 0; i < keyed->count; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, keyed->columns[i] - 1);
        const char *name = quote_identifier(NameStr(column->attname));
        types[i] = column->atttypid;
        appendStringInfo(&conditions, "%st.%s = $%d", i ? " AND " : "", name, i + 1);
        appendStringInfo(&keys, "%s%s", i ? ", " : "", name);
    }
    for (int i = 0; i < target->row_type->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, target->row_columns[i]);
        const char *name = quote_identifier(NameStr(column->attname));
        appendStringInfo(&names, "%st.%s", i ? ", " : "", name);
        if (is_key(keyed, column->attnum) || !bms_is_member(column->attnum, target->written))
            continue;
        appendStringInfo(&sets, "%s%s = excluded.%s", sets.len ? ", " : "", name, name);
    }
    const char *relation = relation_name(RelationGetRelid(target->relation));
    const bool skips = target->mode == Mode::Skip || sets.len == 0;
    const char *find = psprintf("SELECT %s FROM %s t WHERE %s%s", names.data, relation, conditions.data,
                                skips ? "" : " FOR NO KEY UPDATE");
    keyed->find = SPI_prepare(find, keyed->count, types);
    if (!keyed->find)
        elog(ERROR, "could not plan the look-up of a key: %s", SPI_result_code_string(SPI_result));
    keyed->write = psprintf("%s ON CONFLICT (%s) DO %s", target->insert, keys.data,
                            skips ? "NOTHING" : psprintf("UPDATE SET %s", sets.data));
}

// may_look_up_late tells whether nobody needs to know what a row holds before the batch is settled: its children, if any, are
// replaced and refer to nothing but its key.
static bool may_look_up_late(const Writer *writer, const Target *target, const WriterTarget *all) {
    if (writer->undoable || target->by_query || target->mode != Mode::Upsert || all[target->index].newest_by)
        return false;
    for (int number = -1; (number = bms_next_member(target->returned, number)) >= 0;) {
        Form_pg_attribute column = TupleDescAttr(RelationGetDescr(target->relation), number - 1);
        if (!is_key(target->keyed, number) || !is_written_one_way(column->atttypid, column->attcollation))
            return false;
    }
    for (int i = 0; i < writer->count; i++)
        if (all[i].parent == target->index && all[i].mode != Mode::Replace)
            return false;
    return true;
}

void open_keyed(Writer *writer, Target *target, const WriterTarget *all) {
    const WriterTarget *wanted = &all[target->index];
    Keyed *keyed = target->keyed = static_cast<Keyed *>(palloc0(sizeof(Keyed)));
    plan_key(keyed, target->relation, wanted->key_index);
    plan_newest(keyed, target->relation, wanted->newest_by);
    keyed->index = wanted->key_index;
    keyed->one_way = is_key_written_one_way(keyed, RelationGetDescr(target->relation));
    keyed->returned_count = bms_num_members(target->returned);
    keyed->size = 1024;
    keyed->buckets = static_cast<KeyedRow **>(palloc0(sizeof(KeyedRow *) * keyed->size));
    keyed->known = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(target->relation)), &TTSOpsVirtual);
    writer->has_keys = true;
    keyed->late = writer->may_be_late && may_look_up_late(writer, target, all);
    if (target->by_query) {
        MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
        plan_query(target);
        MemoryContextSwitchTo(memory);
    }
}

// leaf_index finds the leaf's part of the key's index.
static Relation leaf_index(const Keyed *keyed, const ResultRelInfo *leaf) {
    for (int i = 0; i < leaf->ri_NumIndices; i++) {
        Relation index = leaf->ri_IndexRelationDescs[i];
        if (RelationGetRelid(index) == keyed->index ||
            (index->rd_rel->relispartition &&
             list_member_oid(get_partition_ancestors(RelationGetRelid(index)), keyed->index)))
            return index;
    }
    elog(ERROR, "partition %s has no part of index %u", relation_name(RelationGetRelid(leaf->ri_RelationDesc)),
         keyed->index);
}

static void plan_scan_keys(const Keyed *keyed, LeafProbe *probe) {
    probe->keys = static_cast<ScanKey>(palloc0(sizeof(ScanKeyData) * keyed->count));
    for (int i = 0; i < keyed->count; i++)
        ScanKeyEntryInitialize(&probe->keys[i], 0, i + 1, BTEqualStrategyNumber, probe->index->rd_opcintype[i],
                               keyed->collations[i], keyed->equal[i].fn_oid, 0);
}

LeafProbe *leaf_probe(Writer *writer, Keyed *keyed, ResultRelInfo *leaf) {
    if (keyed->last && keyed->last->leaf == leaf)
        return keyed->last;
    for (LeafProbe *probe = keyed->probes; probe; probe = probe->next)
        if (probe->leaf == leaf)
            return keyed->last = probe;
    MemoryContext before = MemoryContextSwitchTo(writer->estate->es_query_cxt);
    LeafProbe *probe = static_cast<LeafProbe *>(palloc0(sizeof(LeafProbe)));
    probe->leaf = leaf;
    probe->index = leaf_index(keyed, leaf);
    plan_scan_keys(keyed, probe);
    probe->found = table_slot_create(leaf->ri_RelationDesc, &writer->estate->es_tupleTable);
    probe->fresh =
        MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(leaf->ri_RelationDesc)), &TTSOpsHeapTuple);
    probe->next = keyed->probes;
    (void)partition_to_root_map(leaf); // made here, where it stays
    probe->empty = RelationGetNumberOfBlocks(leaf->ri_RelationDesc) == 0;
    probe->may_have_dead = may_have_dead_rows(leaf->ri_RelationDesc);
    MemoryContextSwitchTo(before);
    return keyed->last = keyed->probes = probe;
}

void end_scans(Writer *writer) {
    for (int i = 0; i < writer->count; i++)
        for (LeafProbe *probe = writer->targets[i].keyed ? writer->targets[i].keyed->probes : NULL; probe;
             probe = probe->next) {
            ExecClearTuple(probe->found);
            if (probe->scan)
                index_endscan(probe->scan);
            probe->scan = NULL;
            end_walk(probe);
        }
    if (writer->snapshot)
        UnregisterSnapshot(writer->snapshot);
    writer->snapshot = NULL;
}

// ---- keys

static uint32 hash_key(Keyed *keyed, const Datum *values) {
    uint32 hash = 0;
    for (int i = 0; i < keyed->count; i++)
        hash = hash_combine(hash, DatumGetUInt32(FunctionCall1Coll(&keyed->hash[i], keyed->collations[i],
                                                                   values[keyed->columns[i] - 1])));
    return hash;
}

static bool is_same_key(Keyed *keyed, const KeyedRow *row, const Datum *values) {
    for (int i = 0; i < keyed->count; i++)
        if (!DatumGetBool(
                FunctionCall2Coll(&keyed->equal[i], keyed->collations[i], row->key[i], values[keyed->columns[i] - 1])))
            return false;
    return true;
}

static KeyedRow *find_row(Keyed *keyed, uint32 hash, const Datum *values) {
    for (KeyedRow *row = keyed->buckets[hash & (keyed->size - 1)]; row; row = row->chain)
        if (row->hash == hash && is_same_key(keyed, row, values))
            return row;
    return NULL;
}

void link_row(Keyed *keyed, KeyedRow *row) {
    KeyedRow **bucket = &keyed->buckets[row->hash & (keyed->size - 1)];
    row->chain = *bucket;
    *bucket = row;
}

static void grow_keyed(Writer *writer, Keyed *keyed) {
    if (keyed->row_count == keyed->row_room) {
        keyed->row_room = keyed->row_room ? keyed->row_room * 2 : 1024;
        const Size size = sizeof(KeyedRow *) * keyed->row_room;
        keyed->rows = static_cast<KeyedRow **>(keyed->rows ? repalloc_huge(keyed->rows, size)
                                                           : MemoryContextAlloc(writer->estate->es_query_cxt, size));
    }
    if (writer->once || static_cast<uint32>(keyed->row_count) < keyed->size)
        return;
    pfree(keyed->buckets);
    keyed->size *= 2;
    keyed->buckets = static_cast<KeyedRow **>(MemoryContextAllocExtended(
        writer->estate->es_query_cxt, sizeof(KeyedRow *) * keyed->size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
    for (int i = 0; i < keyed->row_count; i++)
        link_row(keyed, keyed->rows[i]);
}

static Datum keep_datum(Writer *writer, Form_pg_attribute column, Datum value) {
    MemoryContext before = MemoryContextSwitchTo(writer->keyed_memory);
    const Datum copy = datumCopy(value, column->attbyval, column->attlen);
    MemoryContextSwitchTo(before);
    return copy;
}

static KeyedRow *add_row(Writer *writer, Target *target, uint32 hash, const Datum *values) {
    Keyed *keyed = target->keyed;
    grow_keyed(writer, keyed);
    KeyedRow *row = static_cast<KeyedRow *>(MemoryContextAllocZero(writer->keyed_memory, row_size(writer)));
    row->hash = hash;
    row->born = row->document = writer->document;
    row->key = static_cast<Datum *>(MemoryContextAlloc(writer->keyed_memory, sizeof(Datum) * keyed->count));
    for (int i = 0; i < keyed->count; i++)
        row->key[i] = keep_datum(writer, TupleDescAttr(RelationGetDescr(target->relation), keyed->columns[i] - 1),
                                 values[keyed->columns[i] - 1]);
    keyed->rows[keyed->row_count++] = row;
    if (!writer->once)
        link_row(keyed, row);
    return row;
}

// touch_row notes that the document in progress changes what the batch knows of a row.
static void touch_row(Writer *writer, KeyedRow *row) {
    if (row->document == writer->document)
        return;
    if (writer->undoable) {
        row->saved = static_cast<KeyedRow *>(MemoryContextAlloc(writer->keyed_memory, row_size(writer)));
        memcpy(row->saved, row, row_size(writer));
        row->next_touched = writer->touched;
        writer->touched = row;
    }
    row->document = writer->document;
}

// ---- what is known of a row

// to_root brings a leaf's row into the root's row type; the result is good as long as the slot is.
static TupleTableSlot *to_root(Target *target, ResultRelInfo *leaf, TupleTableSlot *slot) {
    TupleConversionMap *map = leaf && leaf != target->root ? partition_to_root_map(leaf) : NULL;
    if (map)
        slot = execute_attr_map_slot(map->attrMap, slot, target->keyed->known);
    slot_getallattrs(slot);
    return slot;
}

// descend looks for a key from the root of the index.
static bool descend(Writer *writer, Keyed *keyed, LeafProbe *probe, const Datum *key) {
    if (!probe->scan)
        probe->scan = begin_index_scan(probe->leaf->ri_RelationDesc, probe->index, writer->snapshot, keyed->count);
    for (int i = 0; i < keyed->count; i++)
        probe->keys[i].sk_argument = key[i];
    index_rescan(probe->scan, probe->keys, keyed->count, NULL, 0);
    return index_getnext_slot(probe->scan, ForwardScanDirection, probe->found);
}

static bool probe_table(Writer *writer, Target *target, KeyedRow *row) {
    Keyed *keyed = target->keyed;
    bool buffered;
    row->leaf = choose_leaf(writer, target, &buffered);
    LeafProbe *probe = leaf_probe(writer, keyed, row->leaf);
    if (writer->once && probe->empty)
        return false; // nor has this writer put the key there: it is asked for once
    if (!writer->snapshot)
        writer->snapshot = RegisterSnapshot(GetLatestSnapshot());
    // what the access method keeps with its scan (the dead entries that it met ...) it takes from the current context
    MemoryContext before = MemoryContextSwitchTo(writer->estate->es_query_cxt);
    const bool found = may_walk(writer, keyed, probe) ? walk_to(writer, keyed, probe, row->key[0])
                                                      : descend(writer, keyed, probe, row->key);
    MemoryContextSwitchTo(before);
    if (!found)
        return false;
    row->tid = probe->found->tts_tid;
    row->existed = row->in_table = true;
    return true;
}

// store_known fills the slot of what is known from the columns of a target by query.
static void store_known(Target *target, HeapTuple tuple, TupleDesc type) {
    TupleTableSlot *known = ExecClearTuple(target->keyed->known);
    memset(known->tts_isnull, true, sizeof(bool) * known->tts_tupleDescriptor->natts);
    for (int i = 0; i < target->row_type->natts; i++) {
        const int column = target->row_columns[i];
        known->tts_values[column] = heap_getattr(tuple, i + 1, type, &known->tts_isnull[column]);
    }
    ExecStoreVirtualTuple(known);
}

// probe_by_query asks for a key by SQL, and locks what it finds.
static bool probe_by_query(Writer *writer, Target *target, KeyedRow *row) {
    writer->wrote = true;
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute_plan(target->keyed->find, row->key, NULL, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of the look-up of a key");
    MemoryContextSwitchTo(memory);
    const bool found = SPI_processed > 0;
    if (found) {
        MemoryContextSwitchTo(writer->keyed_memory);
        HeapTuple copy = heap_copytuple(SPI_tuptable->vals[0]);
        MemoryContextSwitchTo(memory);
        store_known(target, copy, SPI_tuptable->tupdesc);
        row->existed = true;
        MemoryContextSwitchTo(writer->keyed_memory);
        row->pending = ExecCopySlotHeapTuple(target->keyed->known);
        MemoryContextSwitchTo(memory);
    }
    SPI_freetuptable(SPI_tuptable);
    return found;
}

// known_row gives what the batch knows of a row that it met before, of the root's row type.
static TupleTableSlot *known_row(Writer *writer, Target *target, KeyedRow *row) {
    Keyed *keyed = target->keyed;
    if (target->by_query) {
        ExecClearTuple(keyed->known);
        heap_deform_tuple(row->pending, keyed->known->tts_tupleDescriptor, keyed->known->tts_values,
                          keyed->known->tts_isnull);
        return ExecStoreVirtualTuple(keyed->known);
    }
    if (row->buffer)
        return to_root(target, row->leaf, row->buffer->slots[row->at]);
    LeafProbe *probe = leaf_probe(writer, keyed, row->leaf);
    if (row->pending) {
        ExecForceStoreHeapTuple(row->pending, probe->fresh, false);
        return to_root(target, row->leaf, probe->fresh);
    }
    if (!table_tuple_fetch_row_version(row->leaf->ri_RelationDesc, &row->tid, SnapshotAny, probe->found))
        elog(ERROR, "a row of %s that was just written is gone", relation_name(RelationGetRelid(target->relation)));
    return to_root(target, row->leaf, probe->found);
}

// ---- what becomes of the row being put

static void check_key(const Target *target, const bool *nulls) {
    const Keyed *keyed = target->keyed;
    for (int i = 0; i < keyed->count; i++) {
        if (!nulls[keyed->columns[i] - 1])
            continue;
        const char *name = NameStr(TupleDescAttr(RelationGetDescr(target->relation), keyed->columns[i] - 1)->attname);
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                        errmsg("column \"%s\" of the key of %s is null", name,
                               relation_name(RelationGetRelid(target->relation))),
                        errdetail("A row without a key cannot be found when it comes again."),
                        errtablecol(target->relation, keyed->columns[i])));
    }
}

static bool is_left_alone(const Target *target, int column) {
    return !bms_is_member(column + 1, target->written) || (target->absent && target->absent[column]);
}

// is_older compares by newest_by; null is older than anything.
static bool is_older(Keyed *keyed, const TupleTableSlot *fresh, const TupleTableSlot *known) {
    const int column = keyed->newest_by - 1;
    if (column < 0 || known->tts_isnull[column])
        return false;
    return fresh->tts_isnull[column] ||
           DatumGetInt32(FunctionCall2Coll(&keyed->newest_order, keyed->newest_collation, fresh->tts_values[column],
                                           known->tts_values[column])) < 0;
}

// is_same compares values by their bytes; short ones, which lie in their row, at once.
static bool is_same(Form_pg_attribute column, Datum left, Datum right) {
    const struct varlena *a = reinterpret_cast<struct varlena *>(DatumGetPointer(left));
    const struct varlena *b = reinterpret_cast<struct varlena *>(DatumGetPointer(right));
    if (column->attlen != -1 || VARATT_IS_EXTERNAL(a) || VARATT_IS_COMPRESSED(a) || VARATT_IS_EXTERNAL(b) ||
        VARATT_IS_COMPRESSED(b))
        return datum_image_eq(left, right, column->attbyval, column->attlen);
    return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
           memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

// lay_over fills what the document leaves alone from what is known; it tells whether anything changes. The key stays as it
// is written there (1.0 is found by 1.00): by ON CONFLICT it does, too.
static bool lay_over(Target *target, TupleTableSlot *fresh, const TupleTableSlot *known) {
    TupleDesc columns = RelationGetDescr(target->relation);
    bool changed = false;
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        if (column->attisdropped)
            continue;
        if (is_left_alone(target, i) || is_key(target->keyed, i + 1)) {
            fresh->tts_values[i] = known->tts_values[i];
            fresh->tts_isnull[i] = known->tts_isnull[i];
        } else if (!changed) {
            changed = fresh->tts_isnull[i] != known->tts_isnull[i] ||
                      (!fresh->tts_isnull[i] && !is_same(column, fresh->tts_values[i], known->tts_values[i]));
        }
    }
    return changed;
}

// keep_stored remembers what children refer to, from target->values.
static void keep_stored(Writer *writer, Target *target, KeyedRow *row) {
    const int count = target->keyed->returned_count;
    row->previous = row->returned;
    row->previous_nulls = row->returned_nulls;
    if (count == 0)
        return;
    row->returned = static_cast<Datum *>(MemoryContextAlloc(writer->keyed_memory, sizeof(Datum) * count));
    row->returned_nulls = static_cast<bool *>(MemoryContextAlloc(writer->keyed_memory, sizeof(bool) * count));
    for (int number = -1, i = 0; (number = bms_next_member(target->returned, number)) >= 0; i++) {
        row->returned_nulls[i] = target->nulls[number - 1];
        if (!target->nulls[number - 1])
            row->returned[i] = keep_datum(writer, TupleDescAttr(RelationGetDescr(target->relation), number - 1),
                                          target->values[number - 1]);
    }
}

// give_returned hands the values of a slot of the root's row type to whoever asks for writer_returned.
static void give_returned(Target *target, const TupleTableSlot *slot, MemoryContext caller) {
    MemoryContext before = MemoryContextSwitchTo(caller);
    for (int number = -1; (number = bms_next_member(target->returned, number)) >= 0;) {
        Form_pg_attribute column = TupleDescAttr(RelationGetDescr(target->relation), number - 1);
        target->nulls[number - 1] = slot->tts_isnull[number - 1];
        if (!slot->tts_isnull[number - 1])
            target->values[number - 1] = datumCopy(slot->tts_values[number - 1], column->attbyval, column->attlen);
    }
    MemoryContextSwitchTo(before);
}

// fresh_slot brings the changed row into the row type of its leaf, what is generated computed.
static TupleTableSlot *fresh_slot(Writer *writer, Target *target, ResultRelInfo *leaf) {
    TupleConversionMap *map = leaf != target->root ? root_to_partition_map(leaf, writer->estate) : NULL;
    TupleConstr *constraints = RelationGetDescr(leaf->ri_RelationDesc)->constr;
    const bool generates = constraints && constraints->has_generated_stored;
    if (!map && !generates)
        return target->filling;
    TupleTableSlot *fresh = leaf_probe(writer, target->keyed, leaf)->fresh;
    ExecClearTuple(fresh);
    TupleTableSlot *slot =
        map ? execute_attr_map_slot(map->attrMap, target->filling, fresh) : ExecCopySlot(fresh, target->filling);
    slot->tts_tableOid = RelationGetRelid(leaf->ri_RelationDesc);
    if (generates)
        ExecComputeStoredGenerated(leaf, writer->estate, slot, CMD_INSERT); // all of them
    return slot;
}

// wait_for_update checks the changed row and lets it wait until it is written over the one in the table.
static void wait_for_update(Writer *writer, Target *target, KeyedRow *row, MemoryContext caller) {
    ResultRelInfo *leaf = row->leaf;
    TupleTableSlot *slot = fresh_slot(writer, target, leaf);
    slot->tts_tableOid = RelationGetRelid(leaf->ri_RelationDesc);
    if (RelationGetDescr(leaf->ri_RelationDesc)->constr)
        ExecConstraints(leaf, slot, writer->estate);
    show_slot(writer, target, slot);
    MemoryContext before = MemoryContextSwitchTo(writer->keyed_memory);
    row->pending = ExecCopySlotHeapTuple(slot);
    row->changed = true;
    MemoryContextSwitchTo(before);
    give_returned(target, slot == target->filling ? slot : to_root(target, leaf, slot), caller);
}

// wait_for_query lets the row wait for the statement that writes all.
static void wait_for_query(Writer *writer, Target *target, KeyedRow *row, MemoryContext caller) {
    MemoryContext before = MemoryContextSwitchTo(writer->keyed_memory);
    row->pending =
        heap_form_tuple(RelationGetDescr(target->relation), target->filling->tts_values, target->filling->tts_isnull);
    row->changed = true;
    MemoryContextSwitchTo(before);
    show_filled(writer, target, target->filling->tts_values, target->filling->tts_isnull);
    give_returned(target, target->filling, caller);
}

static void put_changed(Writer *writer, Target *target, KeyedRow *row, MemoryContext caller) {
    if (target->by_query) {
        wait_for_query(writer, target, row, caller);
    } else if (row->in_table) {
        wait_for_update(writer, target, row, caller);
    } else {
        row->versions[target->index]++; // the one in the buffer is not written
        put_new(writer, target, caller, row);
    }
}

// put_known deals with a row whose key is there; false: it is left out.
static bool put_known(Writer *writer, Target *target, KeyedRow *row, TupleTableSlot *known, bool met,
                      MemoryContext caller) {
    if (target->mode == Mode::Skip || is_older(target->keyed, target->filling, known))
        return false;
    const bool changed = lay_over(target, target->filling, known);
    touch_row(writer, row);
    if (!row->returned) { // what children referred to before this batch: nothing of it counted so far
        give_returned(target, known, caller);
        keep_stored(writer, target, row);
    }
    row->again = row->again || met;
    if (changed)
        put_changed(writer, target, row, caller);
    else
        give_returned(target, target->filling, caller);
    keep_stored(writer, target, row);
    return true;
}

static void put_first(Writer *writer, Target *target, KeyedRow *row, MemoryContext caller) {
    TupleTableSlot *slot = target->filling;
    fill_defaults(writer, target, slot->tts_values, slot->tts_isnull);
    if (target->by_query) {
        wait_for_query(writer, target, row, caller);
    } else {
        put_new(writer, target, caller, row);
    }
    keep_stored(writer, target, row);
}

static bool probe(Writer *writer, Target *target, KeyedRow *row) {
    return target->by_query ? probe_by_query(writer, target, row) : probe_table(writer, target, row);
}

// probed_row gives what probe found.
static TupleTableSlot *probed_row(Writer *writer, Target *target, KeyedRow *row) {
    if (target->by_query)
        return target->keyed->known;
    return to_root(target, row->leaf, leaf_probe(writer, target->keyed, row->leaf)->found);
}

// put_probed goes on once it is known whether the key is there; false: the row is left out.
static bool put_probed(Writer *writer, Target *target, KeyedRow *row, MemoryContext caller) {
    if (row->existed)
        return put_known(writer, target, row, probed_row(writer, target, row), false, caller);
    put_first(writer, target, row, caller);
    return true;
}

bool meet_row(Writer *writer, Target *target, KeyedRow *row, MemoryContext caller) {
    (void)probe(writer, target, row);
    return put_probed(writer, target, row, caller);
}

TupleTableSlot *find_keyed(Writer *writer, Target *target) {
    Keyed *keyed = target->keyed;
    TupleTableSlot *slot = target->filling;
    check_key(target, slot->tts_isnull);
    uint32 hash = 0;
    if (!writer->once) {
        hash = hash_key(keyed, slot->tts_values);
        if (find_row(keyed, hash, slot->tts_values))
            elog(ERROR, "a key of %s was asked for twice", relation_name(RelationGetRelid(target->relation)));
    }
    target->asked = add_row(writer, target, hash, slot->tts_values);
    return probe(writer, target, target->asked) ? probed_row(writer, target, target->asked) : NULL;
}

// put_late lets the row wait until all keys are looked up; what came before of the same key has had its time.
static void put_late(Writer *writer, Target *target, KeyedRow *row, MemoryContext caller) {
    for (int i = 0; i < target->keyed->count; i++) // as it was written first
        target->filling->tts_values[target->keyed->columns[i] - 1] = row->key[i];
    MemoryContext before = MemoryContextSwitchTo(writer->keyed_memory);
    if (row->pending)
        heap_freetuple(row->pending);
    row->pending =
        heap_form_tuple(RelationGetDescr(target->relation), target->filling->tts_values, target->filling->tts_isnull);
    MemoryContextSwitchTo(before);
    row->document = writer->document;
    give_returned(target, target->filling, caller);
    if (!row->late) { // its key, which stays
        keep_stored(writer, target, row);
        row->previous = row->returned;
        row->previous_nulls = row->returned_nulls;
    }
    row->again = row->late;
    row->late = true;
}

bool put_keyed(Writer *writer, Target *target, MemoryContext caller) {
    Keyed *keyed = target->keyed;
    const TupleTableSlot *slot = target->filling;
    target->current = NULL;
    if (target->asked) {
        target->current = target->asked;
        target->asked = NULL;
        return put_probed(writer, target, target->current, caller);
    }
    Assert(!writer->once);
    check_key(target, slot->tts_isnull);
    const uint32 hash = hash_key(keyed, slot->tts_values);
    KeyedRow *row = find_row(keyed, hash, slot->tts_values);
    bool go_on = true;
    if (keyed->late)
        put_late(writer, target, row ? row : (row = add_row(writer, target, hash, slot->tts_values)), caller);
    else if (row)
        go_on = put_known(writer, target, row, known_row(writer, target, row), true, caller);
    else
        go_on = meet_row(writer, target, row = add_row(writer, target, hash, slot->tts_values), caller);
    target->current = row;
    if (target->parent >= 0 && writer->targets[target->parent].current)
        writer->targets[target->parent].current->has_children = true;
    return go_on;
}

void note_buffered(Target *target, KeyedRow *owner, LeafBuffer *buffer, int at) {
    if (!target->keyed)
        return;
    owner->buffer = buffer;
    owner->at = at;
}

void note_written(Target *target, KeyedRow *owner, TupleTableSlot *slot) {
    if (!target->keyed) {
        owner->children_written = true;
        return;
    }
    owner->tid = slot->tts_tid;
    owner->in_table = true;
    owner->buffer = NULL;
}

} // namespace sluice
