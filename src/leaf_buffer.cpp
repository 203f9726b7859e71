// Rows on their way into a leaf table: as the server's COPY does it, they are collected and written by table_multi_insert.
// See writer_state.hpp.
#include "writer_state.hpp"

#include "lineage_scope.hpp"

namespace sluice {

WriterCache *make_writer_cache(MemoryContext parent) {
    MemoryContext memory = AllocSetContextCreate(parent, "sluice writer cache", ALLOCSET_DEFAULT_SIZES);
    WriterCache *cache = static_cast<WriterCache *>(MemoryContextAllocZero(memory, sizeof(WriterCache)));
    cache->memory = memory;
    return cache;
}

void drop_writer_cache(WriterCache *cache) { MemoryContextDelete(cache->memory); }

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

LeafBuffer *leaf_buffer(Writer *writer, Target *target, ResultRelInfo *leaf) {
    if (target->last && target->last->leaf == leaf)
        return target->last;
    for (LeafBuffer *buffer = target->buffers; buffer; buffer = buffer->next)
        if (buffer->leaf == leaf)
            return buffer;
    LeafBuffer *buffer = take_idle_buffer(writer->cache, RelationGetRelid(leaf->ri_RelationDesc));
    if (!buffer)
        buffer = new_buffer(writer->cache, leaf->ri_RelationDesc);
    buffer->leaf = leaf;
    buffer->document = -1;
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

TupleTableSlot *free_slot(Writer *writer, LeafBuffer *buffer) {
    TupleTableSlot *&slot = buffer->slots[buffer->used];
    if (!slot) {
        MemoryContext before = MemoryContextSwitchTo(writer->cache->memory);
        slot = MakeSingleTupleTableSlot(buffer->columns, table_slot_callbacks(buffer->leaf->ri_RelationDesc));
        MemoryContextSwitchTo(before);
    }
    return slot;
}

void after_row_insert(Writer *writer, Target *target, ResultRelInfo *leaf, TupleTableSlot *slot, int64 document) {
    if (unlikely(writer->places))
        place_row(slot->tts_tableOid, &slot->tts_tid, document);
    List *recheck = NIL;
    if (leaf->ri_NumIndices > 0)
        recheck = exec_insert_index_tuples(leaf, slot, writer->estate, false);
    if (target->capture || (leaf->ri_TrigDesc && leaf->ri_TrigDesc->trig_insert_after_row))
        ExecARInsertTriggers(writer->estate, leaf, slot, recheck, target->capture);
    list_free(recheck);
}

// drop_superseded takes out the rows of keys that came again; it returns how many are left, in their order.
static int drop_superseded(Target *target, LeafBuffer *buffer) {
    int live = 0;
    for (int i = 0; i < buffer->used; i++) {
        const BufferedRow row = buffer->rows[i];
        if (row.owner && is_superseded(row.owner, target->index, row.version)) {
            ExecClearTuple(buffer->slots[i]);
            continue;
        }
        TupleTableSlot *slot = buffer->slots[i];
        buffer->slots[i] = buffer->slots[live];
        buffer->slots[live] = slot;
        buffer->rows[live++] = row;
    }
    return live;
}

static void flush_buffer(Writer *writer, Target *target, LeafBuffer *buffer) {
    if (buffer->used == 0)
        return;
    CHECK_FOR_INTERRUPTS();
    const int rows = writer->has_keys ? drop_superseded(target, buffer) : buffer->used;
    writer->flushing = RelationGetRelid(buffer->leaf->ri_RelationDesc);
    writer->wrote = true;
    MemoryContext before = MemoryContextSwitchTo(GetPerTupleMemoryContext(writer->estate));
    if (rows > 0)
        table_multi_insert(buffer->leaf->ri_RelationDesc, buffer->slots, rows, writer->command, 0, buffer->bulk);
    MemoryContextSwitchTo(writer->estate->es_query_cxt);
    for (int i = 0; i < rows; i++) {
        writer->flushing_document = buffer->rows[i].document;
        after_row_insert(writer, target, buffer->leaf, buffer->slots[i], buffer->rows[i].document);
        if (buffer->rows[i].owner)
            note_written(target, buffer->rows[i].owner, buffer->slots[i]);
        ExecClearTuple(buffer->slots[i]);
        ResetPerTupleExprContext(writer->estate);
    }
    MemoryContextSwitchTo(before);
    writer->flushing_document = -1;
    counts_of(writer, target)->inserted += rows;
    writer->buffered -= buffer->used;
    buffer->used = 0;
    buffer->bytes = 0;
    writer->flushing = InvalidOid;
}

static void flush_target(Writer *writer, Target *target) {
    for (LeafBuffer *buffer = target->buffers; buffer; buffer = buffer->next)
        flush_buffer(writer, target, buffer);
}

void flush_all(Writer *writer) {
    if (writer->buffered > 0)
        for (int i = 0; i < writer->count; i++)
            flush_target(writer, &writer->targets[i]);
}

void close_buffer(Writer *writer, LeafBuffer *buffer) {
    if (buffer->bulk) {
        FreeBulkInsertState(buffer->bulk);
        table_finish_bulk_insert(buffer->leaf->ri_RelationDesc, 0);
    }
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

static Size slot_bytes(const TupleTableSlot *slot) {
    return TTS_IS_BUFFERTUPLE(slot) || TTS_IS_HEAPTUPLE(slot)
               ? reinterpret_cast<const HeapTupleTableSlot *>(slot)->tuple->t_len
               : bytes_at_once / rows_at_once;
}

void buffer_row(Writer *writer, Target *target, LeafBuffer *buffer, TupleTableSlot *slot, KeyedRow *owner) {
    ExecMaterializeSlot(slot);
    if (buffer->document != writer->document) {
        buffer->document = writer->document;
        buffer->used_before = buffer->used;
        buffer->bytes_before = buffer->bytes;
    }
    buffer->rows[buffer->used] =
        BufferedRow{writer->document, owner, owner ? current_version(owner, target->index) : 0};
    if (owner)
        note_buffered(target, owner, buffer, buffer->used);
    buffer->used++;
    writer->buffered++;
    buffer->bytes += slot_bytes(slot);
    if (buffer->used >= rows_at_once || buffer->bytes >= bytes_at_once)
        flush_buffer(writer, target, buffer);
    if (writer->buffered >= most_buffered)
        flush_all(writer);
    if (target->buffer_count > most_buffers)
        limit_buffers(writer, target);
}

bool is_half_full(const Writer *writer) {
    if (writer->buffered >= most_buffered / 2)
        return true;
    for (int i = 0; i < writer->count; i++)
        for (const LeafBuffer *buffer = writer->targets[i].buffers; buffer; buffer = buffer->next)
            if (buffer->used >= rows_at_once / 2 || buffer->bytes >= bytes_at_once / 2)
                return true;
    return false;
}

void forget_buffered(Writer *writer) {
    for (int i = 0; i < writer->count; i++)
        for (LeafBuffer *buffer = writer->targets[i].buffers; buffer; buffer = buffer->next) {
            if (buffer->document != writer->document)
                continue;
            for (int row = buffer->used_before; row < buffer->used; row++)
                ExecClearTuple(buffer->slots[row]);
            writer->buffered -= buffer->used - buffer->used_before;
            buffer->used = buffer->used_before;
            buffer->bytes = buffer->bytes_before;
        }
}

} // namespace sluice
