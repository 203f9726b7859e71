// Settling a batch: everything that waits is written, in this order: rows that are new, rows that are there, deletes of the
// rows that are replaced, the rows that replace them. See keyed.cpp for how rows come to wait.
//
// Where nobody needs to know earlier what a key's row holds, keys are looked up here, in their order: neighbours lie on the
// same pages of index and table.
#include "keyed.hpp"

#include "key.hpp"
#include "lineage_scope.hpp"
#include "names.hpp"

namespace sluice {

constexpr Size most_kept = 64 * 1024 * 1024;

// ---- keys that are looked up late

static int compare_keys(const void *left, const void *right, void *context) {
    Keyed *keyed = static_cast<Keyed *>(context);
    const KeyedRow *a = *static_cast<KeyedRow *const *>(left), *b = *static_cast<KeyedRow *const *>(right);
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    for (int i = 0; i < keyed->count; i++) {
        const int side = DatumGetInt32(FunctionCall2Coll(&keyed->order[i], keyed->collations[i], a->key[i], b->key[i]));
        if (side != 0)
            return side;
    }
    return 0;
}

static void place_keys(const Keyed *keyed, Oid type) {
    for (int i = 0; i < keyed->row_count; i++)
        keyed->rows[i]->place = number_of_key(type, keyed->rows[i]->key[0]);
}

static void look_up_row(Writer *writer, Target *target, KeyedRow *row) {
    HeapTuple put = row->pending;
    row->pending = NULL;
    writer->document = writer->flushing_document = row->document;
    start_row(writer, target);
    heap_deform_tuple(put, RelationGetDescr(target->relation), target->filling->tts_values,
                      target->filling->tts_isnull);
    ExecStoreVirtualTuple(target->filling);
    (void)meet_row(writer, target, row, CurrentMemoryContext);
    ExecClearTuple(target->filling);
    heap_freetuple(put);
}

static void look_up_rows(Writer *writer, Target *target) {
    Keyed *keyed = target->keyed;
    place_keys(keyed, getBaseType(TupleDescAttr(RelationGetDescr(target->relation), keyed->columns[0] - 1)->atttypid));
    qsort_arg(keyed->rows, keyed->row_count, sizeof(KeyedRow *), compare_keys, keyed);
    MemoryContext before = MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));
    writer->flushing = RelationGetRelid(target->relation);
    for (int i = 0; i < keyed->row_count; i++) {
        CHECK_FOR_INTERRUPTS();
        look_up_row(writer, target, keyed->rows[i]);
        ResetPerTupleExprContext(writer->estate);
    }
    writer->flushing = InvalidOid;
    writer->flushing_document = -1;
    MemoryContextSwitchTo(before);
}

// ---- rows that are there

// lost_race ends the batch because another transaction wrote the same row; the batch is done again.
[[noreturn]] static void lost_race(const Target *target) {
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("a row of %s was changed by another transaction at the same time",
                           relation_name(RelationGetRelid(target->relation))),
                    errhint("Run the pipeline again.")));
    pg_unreachable();
}

static bool has_update_triggers(const Target *target, const ResultRelInfo *leaf) {
    return target->update_capture || (leaf->ri_TrigDesc && leaf->ri_TrigDesc->trig_update_after_row);
}

// may_wait_for_entry tells whether the index entry of a row may be made when the rows around it are written, too, and without a look
// for others: nobody looks at the row before, and the leaf's only index is that of the key, which it keeps, as the batch knows it.
// (That of a partition may be checked at the end, though the root's is not.)
static bool may_wait_for_entry(const Target *target, const ResultRelInfo *leaf) {
    if (leaf->ri_NumIndices != 1 || !target->keyed->one_way || has_update_triggers(target, leaf))
        return false;
    const Form_pg_index index = leaf->ri_IndexRelationDescs[0]->rd_index;
    return index->indimmediate && index->indnatts == index->indnkeyatts;
}

static List *make_entries(Writer *writer, Target *target, KeyedRow *row, TupleTableSlot *slot, IndexEntries entries) {
    if (entries == IndexEntries::None || row->leaf->ri_NumIndices == 0)
        return NIL;
    if (entries != IndexEntries::All || !may_wait_for_entry(target, row->leaf))
        return exec_insert_index_tuples(row->leaf, slot, writer->estate, true, entries);
    row->tid = slot->tts_tid;
    row->entry_due = true;
    return NIL;
}

static void update_row(Writer *writer, Target *target, KeyedRow *row) {
    ResultRelInfo *leaf = row->leaf;
    TupleTableSlot *slot = leaf_probe(writer, target->keyed, leaf)->fresh;
    ExecForceStoreHeapTuple(row->pending, slot, true);
    row->pending = NULL;
    slot->tts_tableOid = RelationGetRelid(leaf->ri_RelationDesc);
    IndexEntries entries;
    if (update_tuple(leaf->ri_RelationDesc, &row->tid, slot, writer->command, GetActiveSnapshot(), &entries) != TM_Ok)
        lost_race(target);
    List *recheck = make_entries(writer, target, row, slot, entries);
    if (unlikely(writer->places))
        place_row(slot->tts_tableOid, &slot->tts_tid, row->document);
    if (has_update_triggers(target, leaf))
        fire_after_row_update(writer->estate, leaf, &row->tid, slot, recheck, target->update_capture);
    list_free(recheck);
    ExecClearTuple(slot);
    counts_of(writer, target)->updated++;
}

// lock_parent sees to it that a row which is there and stays as it is outlives its new children's transaction: their
// foreign keys are not looked up.
static void lock_parent(Writer *writer, Target *target, KeyedRow *row) {
    TM_FailureData failure;
    TupleTableSlot *slot = leaf_probe(writer, target->keyed, row->leaf)->found;
    if (table_tuple_lock(row->leaf->ri_RelationDesc, &row->tid, GetActiveSnapshot(), slot, writer->command,
                         LockTupleKeyShare, LockWaitBlock, 0, &failure) != TM_Ok)
        lost_race(target);
    ExecClearTuple(slot);
}

static int compare_places(const KeyedRow *a, const KeyedRow *b) {
    if (a->leaf != b->leaf)
        return a->leaf < b->leaf ? -1 : 1;
    return ItemPointerCompare(const_cast<ItemPointer>(&a->tid), const_cast<ItemPointer>(&b->tid));
}

using WaitingRow = KeyedRow *;

#define ST_SORT sort_by_place
#define ST_ELEMENT_TYPE WaitingRow
#define ST_COMPARE(a, b) compare_places(*(a), *(b))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

static bool has_implied_children(const Writer *writer, const Target *target) {
    for (int i = 0; i < writer->count; i++)
        if (writer->targets[i].parent == target->index && writer->targets[i].implied != NIL)
            return true;
    return false;
}

// make_due_entries makes entries one after the other: each step of the work stays in the processor's cache.
static void make_due_entries(Writer *writer, Keyed *keyed, KeyedRow *const *rows, int count) {
    bool nulls[INDEX_MAX_KEYS] = {};
    for (int i = 0; i < count; i++) {
        if (!rows[i]->entry_due)
            continue;
        CHECK_FOR_INTERRUPTS();
        writer->flushing_document = rows[i]->document;
        insert_unchanged_entry(rows[i]->leaf, rows[i]->key, nulls, &rows[i]->tid,
                               leaf_probe(writer, keyed, rows[i]->leaf)->may_have_dead);
        rows[i]->entry_due = false;
        ResetPerTupleExprContext(writer->estate);
    }
}

// update_rows writes over the rows that are there, in the order in which they lie; then the entries of those that wait for them.
static void update_rows(Writer *writer, Target *target) {
    Keyed *keyed = target->keyed;
    const bool locks = has_implied_children(writer, target);
    int count = 0;
    KeyedRow **rows = static_cast<KeyedRow **>(
        MemoryContextAllocHuge(writer->keyed_memory, sizeof(KeyedRow *) * (keyed->row_count + 1)));
    for (int i = 0; i < keyed->row_count; i++)
        if (keyed->rows[i]->changed || (locks && keyed->rows[i]->existed && keyed->rows[i]->has_children))
            rows[count++] = keyed->rows[i];
    sort_by_place(rows, count);
    MemoryContext before = MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));
    for (int i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        writer->flushing_document = rows[i]->document;
        if (rows[i]->changed)
            update_row(writer, target, rows[i]);
        else
            lock_parent(writer, target, rows[i]);
        ResetPerTupleExprContext(writer->estate);
    }
    make_due_entries(writer, keyed, rows, count);
    MemoryContextSwitchTo(before);
    writer->flushing_document = -1;
}

static void write_by_query(Writer *writer, Target *target) {
    Keyed *keyed = target->keyed;
    Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
    TupleTableSlot *slot = keyed->known;
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * target->row_type->natts));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * target->row_type->natts));
    int64 fresh = 0, count = 0;
    for (int i = 0; i < keyed->row_count; i++) {
        KeyedRow *row = keyed->rows[i];
        if (!row->changed)
            continue;
        heap_deform_tuple(row->pending, slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull);
        for (int c = 0; c < target->row_type->natts; c++) {
            values[c] = slot->tts_values[target->row_columns[c]];
            nulls[c] = slot->tts_isnull[target->row_columns[c]];
        }
        tuplestore_putvalues(rows, target->row_type, values, nulls);
        fresh += !row->existed;
        count++;
    }
    if (count > 0) {
        run_on_rows(keyed->write, rows, target->row_type);
        counts_of(writer, target)->inserted += fresh;
        counts_of(writer, target)->updated += Max(static_cast<int64>(SPI_processed) - fresh, static_cast<int64>(0));
    }
    tuplestore_end(rows);
}

// write_keyed writes a target's rows, those of the target above it first.
static void write_keyed(Writer *writer, Target *target, bool *done) {
    if (done[target->index])
        return;
    done[target->index] = true;
    if (target->parent >= 0)
        write_keyed(writer, &writer->targets[target->parent], done);
    if (!target->keyed)
        return;
    writer->flushing = RelationGetRelid(target->relation);
    if (target->by_query)
        write_by_query(writer, target);
    else
        update_rows(writer, target);
    writer->flushing = InvalidOid;
}

static void forget_all(Writer *writer) {
    for (int i = 0; i < writer->count; i++) {
        Target *target = &writer->targets[i];
        target->current = NULL;
        target->replaced = NULL;
        target->asked = NULL;
        if (!target->keyed)
            continue;
        memset(target->keyed->buckets, 0, sizeof(KeyedRow *) * target->keyed->size);
        target->keyed->row_count = 0;
    }
    MemoryContextReset(writer->keyed_memory);
}

void settle_keyed(Writer *writer) {
    for (int i = 0; i < writer->count; i++)
        if (writer->targets[i].keyed && writer->targets[i].keyed->late)
            look_up_rows(writer, &writer->targets[i]);
    flush_all(writer);
    if (!writer->has_keys)
        return;
    writer->wrote = true;
    next_command(writer); // in which the rows written so far can be seen
    bool *done = static_cast<bool *>(palloc0(sizeof(bool) * writer->count));
    for (int i = 0; i < writer->count; i++)
        write_keyed(writer, &writer->targets[i], done);
    delete_replaced(writer);
    next_command(writer);
    for (int i = 0; i < writer->count; i++)
        for (int row = 0; writer->targets[i].keyed && row < writer->targets[i].keyed->row_count; row++)
            put_deferred(writer, writer->targets[i].keyed->rows[row]);
    flush_all(writer);
    end_scans(writer);
    forget_all(writer);
    next_command(writer);
}

bool keeps_much(const Writer *writer) {
    constexpr int most_once = 4096; // of one target: what stays in the processor's cache
    if (!writer->has_keys)
        return false;
    for (int i = 0; writer->once && i < writer->count; i++)
        if (writer->targets[i].keyed && writer->targets[i].keyed->row_count >= most_once)
            return true;
    return writer->in_order || MemoryContextMemAllocated(writer->keyed_memory, true) > most_kept;
}

void close_keyed(Writer *writer) {
    for (int i = 0; i < writer->count; i++)
        if (writer->targets[i].keyed && writer->targets[i].keyed->find)
            SPI_freeplan(writer->targets[i].keyed->find);
}

// ---- documents that are forgotten

void mark_keyed(Writer *writer) {
    writer->touched = NULL;
    for (int i = 0; i < writer->count; i++)
        writer->targets[i].replaced_before = writer->targets[i].replaced;
}

static void unlink_row(Keyed *keyed, KeyedRow *row) {
    KeyedRow **link = &keyed->buckets[row->hash & (keyed->size - 1)];
    while (*link != row)
        link = &(*link)->chain;
    *link = row->chain;
}

static void restore_row(KeyedRow *row, Size size) {
    KeyedRow *chain = row->chain; // buckets may have grown since
    memcpy(row, row->saved, size);
    row->chain = chain;
    if (row->last_deferred)
        row->last_deferred->next = NULL;
}

void forget_keyed(Writer *writer) {
    for (KeyedRow *row = writer->touched, *next; row; row = next) {
        next = row->next_touched;
        restore_row(row, row_size(writer));
    }
    writer->touched = NULL;
    for (int i = 0; i < writer->count; i++) {
        Target *target = &writer->targets[i];
        target->current = NULL;
        target->replaced = target->replaced_before;
        Keyed *keyed = target->keyed;
        while (keyed && keyed->row_count > 0 && keyed->rows[keyed->row_count - 1]->born == writer->document)
            unlink_row(keyed, keyed->rows[--keyed->row_count]);
    }
}

} // namespace sluice
