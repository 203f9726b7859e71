// Children that are replaced: when a parent is delivered again, the rows it had before go, and those it has now come.
//
// Old rows are deleted by one statement a table and batch, whose keys are the values by which they refer to their parents.
// Until then the new rows wait with their keyed parent (defer_row); those of a parent that the table had not, and that came
// for the first time, need not, unless they may refer to a value that was another parent's. The delete is SQL of the owner: his rights, triggers, rules and policies hold, and any kind
// of table will do.
#include "writer_state.hpp"

#include "names.hpp"

namespace sluice {

static bool is_key_column(Oid key_index, AttrNumber column) {
    Relation index = index_open(key_index, AccessShareLock);
    bool found = false;
    for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
        found = found || index->rd_index->indkey.values[i] == column;
    index_close(index, NoLock);
    return found;
}

// link_changes tells whether what a target's rows refer to may go from one parent to another: it is filled, and no key.
static bool link_changes(const WriterTarget *wanted, const WriterTarget *parent) {
    for (int i = 0; i < wanted->reference_count && OidIsValid(parent->key_index); i++)
        if (bms_is_member(wanted->references[i].parent, parent->written) &&
            !is_key_column(parent->key_index, wanted->references[i].parent))
            return true;
    return false;
}

void plan_replaced(Target *target, const WriterTarget *all) {
    const WriterTarget *wanted = &all[target->index];
    target->references = wanted->references;
    target->reference_count = wanted->reference_count;
    for (; wanted->mode == Mode::Replace; wanted = &all[wanted->parent]) // they go together
        target->link_changes = target->link_changes || link_changes(wanted, &all[wanted->parent]);
}

// is_under tells whether a target is another one or below it.
static bool is_under(const Writer *writer, int index, int above) {
    while (index >= 0 && index != above)
        index = writer->targets[index].parent;
    return index == above;
}

static TupleDesc key_type(const Target *target, const Target *parent) {
    TupleDesc type = CreateTemplateTupleDesc(target->reference_count);
    for (int i = 0; i < target->reference_count; i++) {
        Form_pg_attribute column = TupleDescAttr(RelationGetDescr(parent->relation), target->references[i].parent - 1);
        TupleDescInitEntry(type, i + 1, psprintf("k%d", i + 1), column->atttypid, column->atttypmod, column->attndims);
        TupleDescInitEntryCollation(type, i + 1, column->attcollation);
    }
    return type;
}

// replaced_values takes what the old rows hold from what the parent's row held; NULL when that finds no row.
static HeapTuple replaced_values(const Target *target, const Target *parent, const KeyedRow *owner) {
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * target->reference_count));
    bool *nulls = static_cast<bool *>(palloc0(sizeof(bool) * target->reference_count));
    for (int i = 0; i < target->reference_count; i++) {
        const int at = bms_member_index(parent->returned, target->references[i].parent);
        if (owner->previous_nulls[at])
            return NULL;
        values[i] = owner->previous[at];
    }
    return heap_form_tuple(target->key_type, values, nulls);
}

void writer_replace(Writer *writer, int index) {
    Target *target = &writer->targets[index];
    const Target *parent = &writer->targets[target->parent];
    KeyedRow *owner = parent->current;
    if (!owner || (!owner->existed && !owner->again && !owner->late))
        return;
    for (int i = 0; i < writer->count; i++)
        if (is_under(writer, i, index))
            owner->versions[i]++;
    if (!owner->existed && !owner->in_table && !owner->children_written && !owner->late)
        return;
    MemoryContext before = MemoryContextSwitchTo(writer->estate->es_query_cxt);
    if (!target->key_type)
        target->key_type = key_type(target, parent);
    MemoryContextSwitchTo(writer->keyed_memory);
    HeapTuple values = replaced_values(target, parent, owner);
    if (values) {
        ReplacedKey *key = static_cast<ReplacedKey *>(palloc(sizeof(ReplacedKey)));
        *key = ReplacedKey{target->replaced, owner, values};
        target->replaced = key;
    }
    MemoryContextSwitchTo(before);
}

bool defer_row(Writer *writer, Target *target, MemoryContext caller) {
    KeyedRow *owner = target->current;
    if (target->mode != Mode::Replace || !owner ||
        !(owner->existed || owner->again || owner->late || target->by_query || target->link_changes))
        return false;
    if (!target->by_query && !target->routing)
        check_row(writer, target, target->root, target->filling);
    MemoryContext before = MemoryContextSwitchTo(caller);
    if (!target->by_query)
        keep_returned(writer, target, target->root, target->filling, true);
    MemoryContextSwitchTo(writer->keyed_memory);
    DeferredRow *row = static_cast<DeferredRow *>(palloc0(sizeof(DeferredRow)));
    row->target = target->index;
    row->version = owner->versions[target->index];
    row->document = writer->document;
    if (target->by_query)
        row->row = heap_form_tuple(RelationGetDescr(target->relation), target->values, target->nulls);
    else
        row->row = ExecCopySlotHeapTuple(target->filling);
    MemoryContextSwitchTo(before);
    if (owner->last_deferred)
        owner->last_deferred->next = row;
    else
        owner->deferred = row;
    owner->last_deferred = row;
    return true;
}

void put_deferred(Writer *writer, KeyedRow *owner) {
    for (const DeferredRow *row = owner->deferred; row; row = row->next) {
        Target *target = &writer->targets[row->target];
        if (row->version != owner->versions[row->target])
            continue;
        TupleDesc columns = RelationGetDescr(target->relation);
        writer->document = row->document;
        if (target->by_query) {
            heap_deform_tuple(row->row, columns, target->values, target->nulls);
            put_by_query(writer, target);
            continue;
        }
        start_row(writer, target);
        heap_deform_tuple(row->row, columns, target->filling->tts_values, target->filling->tts_isnull);
        ExecStoreVirtualTuple(target->filling);
        put_new(writer, target, CurrentMemoryContext, NULL);
        ResetPerTupleExprContext(writer->estate);
    }
}

// ---- deleting

// delete_statement deletes the rows of `index`, a target under the replaced one: from one to the other by what they refer to.
static char *delete_statement(const Writer *writer, int index, int replaced) {
    StringInfoData tables, conditions;
    initStringInfo(&tables);
    initStringInfo(&conditions);
    for (int at = index, number = 0;; at = writer->targets[at].parent, number++) {
        const Target *target = &writer->targets[at];
        const bool last = at == replaced;
        TupleDesc columns = RelationGetDescr(target->relation);
        if (number > 0)
            appendStringInfo(&tables, "%s t%d, ", relation_name(RelationGetRelid(target->relation)), number);
        for (int i = 0; i < target->reference_count; i++) {
            const ColumnLink &link = target->references[i];
            appendStringInfo(&conditions, "%st%d.%s = ", conditions.len ? " AND " : "", number,
                             quote_identifier(NameStr(TupleDescAttr(columns, link.child - 1)->attname)));
            if (last) {
                appendStringInfo(&conditions, "k.k%d", i + 1);
                continue;
            }
            TupleDesc above = RelationGetDescr(writer->targets[target->parent].relation);
            appendStringInfo(&conditions, "t%d.%s", number + 1,
                             quote_identifier(NameStr(TupleDescAttr(above, link.parent - 1)->attname)));
        }
        if (last)
            break;
    }
    return psprintf("DELETE FROM %s t0 USING %ssluice_rows k WHERE %s",
                    relation_name(RelationGetRelid(writer->targets[index].relation)), tables.data, conditions.data);
}

static int depth_below(const Writer *writer, int index, int above) {
    int depth = 0;
    for (; index != above; index = writer->targets[index].parent)
        depth++;
    return depth;
}

// delete_under deletes what is `depth` steps below a replaced target; it tells whether there is anything as deep.
static bool delete_under(Writer *writer, const Target *target, Tuplestorestate *keys, int depth) {
    bool any = false;
    for (int i = 0; i < writer->count; i++) {
        if (!is_under(writer, i, target->index) || depth_below(writer, i, target->index) != depth)
            continue;
        any = true;
        writer->flushing = RelationGetRelid(writer->targets[i].relation);
        tuplestore_rescan(keys);
        run_on_rows(delete_statement(writer, i, target->index), keys, target->key_type);
        writer->counts.deleted += SPI_processed;
        writer->flushing = InvalidOid;
    }
    return any;
}

void delete_replaced(Writer *writer) {
    for (int i = 0; i < writer->count; i++) {
        Target *target = &writer->targets[i];
        if (!target->replaced)
            continue;
        Tuplestorestate *keys = tuplestore_begin_heap(false, false, work_mem);
        for (const ReplacedKey *key = target->replaced; key; key = key->next)
            if (!key->owner->late || key->owner->existed) // else there was nothing, as is known by now
                tuplestore_puttuple(keys, key->values);
        int deepest = 0;
        for (int d = 0; d < writer->count; d++)
            if (is_under(writer, d, i))
                deepest = Max(deepest, depth_below(writer, d, i));
        for (int depth = deepest; depth >= 0; depth--)
            (void)delete_under(writer, target, keys, depth);
        tuplestore_end(keys);
        target->replaced = NULL;
    }
}

} // namespace sluice
