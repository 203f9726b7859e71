// See arrival_index.hpp.
//
// sluice.arrival() is declared immutable, or no index could be built on it, and is nothing of the kind: it returns the number
// of the running transaction. So the index is never used by the planner's leave; it is read here, by the index access
// method's own functions, which never evaluate the expression again. What may restamp a row (an UPDATE that makes a new
// entry, REINDEX, VACUUM FULL) makes it appear again, never disappear; the ledger then knows its content.
//
// A sweep goes leaf by leaf in the order of their numbers, in each through the stamps that were going on at the last sweep
// and are over now, then through those from seen.xmax on. Entries of one stamp lie in the order of their row pointers, so
// (leaf, stamp, pointer) says where to go on.
#include "arrival_index.hpp"

#include "leaves.hpp"
#include "names.hpp"

namespace sluice {

struct ArrivalRange {
    uint64 low, high; // stamps from low, below high
};

struct ArrivalScan {
    Oid source;
    AttrNumber document;
    TupleDesc layout;
    AttrNumber *columns; // of the source, for each of the layout from the second on
    TupleDesc source_columns;
    ExprState *order;
    ExprContext *context;
    TupleTableSlot *row; // in the shape of the source
    // the sweep
    Seen seen, target;
    Numbers known_leaves;
    List *leaves; // in ascending order
    int leaf;     // position in leaves; the next to open
    // where to go on
    Oid at_leaf;
    uint64 at_stamp;
    ItemPointerData at_entry;
    // the leaf that is open
    Relation relation, index;
    IndexScanDesc scan;
    TupleTableSlot *slot;
    TupleConversionMap *map;
    ArrivalRange *ranges;
    int range_count, range;
    bool searching;  // in a range
    bool leaf_known; // at the last sweep
    MemoryContext memory, leaf_memory;
};

// ---- finding it

static Oid arrival_function() {
    Oid any[] = {ANYOID};
    return LookupFuncName(list_make2(makeString(pstrdup("sluice")), makeString(pstrdup("arrival"))), 1, any, true);
}

static bool is_arrival_expression(Node *expression, AttrNumber document, Oid function) {
    if (!IsA(expression, FuncExpr) || castNode(FuncExpr, expression)->funcid != function)
        return false;
    Node *argument = static_cast<Node *>(linitial(castNode(FuncExpr, expression)->args));
    while (IsA(argument, RelabelType))
        argument = reinterpret_cast<Node *>(castNode(RelabelType, argument)->arg);
    return IsA(argument, Var) && castNode(Var, argument)->varattno == document;
}

static bool is_arrival_index(Relation index, AttrNumber document, Oid function) {
    if (!index->rd_index->indisvalid || index->rd_rel->relam != BTREE_AM_OID ||
        index->rd_index->indkey.values[0] != 0 || RelationGetIndexPredicate(index) != NIL)
        return false;
    List *expressions = RelationGetIndexExpressions(index);
    return is_arrival_expression(static_cast<Node *>(linitial(expressions)), document, function);
}

static Oid find_arrival_index(Relation leaf, const char *document) {
    const AttrNumber column = get_attnum(RelationGetRelid(leaf), document);
    const Oid function = arrival_function();
    ListCell *cell;
    foreach (cell, RelationGetIndexList(leaf)) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        const bool found = is_arrival_index(index, column, function);
        index_close(index, AccessShareLock);
        if (found)
            return lfirst_oid(cell);
    }
    return InvalidOid;
}

static bool leaf_has_index(Oid leaf, const char *document) {
    Relation relation = relation_open(leaf, AccessShareLock);
    const bool found = OidIsValid(find_arrival_index(relation, document));
    relation_close(relation, AccessShareLock);
    return found;
}

bool has_arrival_index(Relation source, const char *document) {
    const char kind = source->rd_rel->relkind;
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        return false;
    ListCell *cell;
    foreach (cell, find_all_inheritors(RelationGetRelid(source), AccessShareLock, NULL)) {
        const char leaf = get_rel_relkind(lfirst_oid(cell));
        if (leaf != RELKIND_PARTITIONED_TABLE &&
            (leaf != RELKIND_RELATION || !leaf_has_index(lfirst_oid(cell), document)))
            return false;
    }
    return true;
}

// ---- planning

static TupleDesc make_layout(ArrivalScan *scan, Relation source, const SourceColumns *columns, const Order *order) {
    TupleDesc from = RelationGetDescr(source);
    TupleDesc layout = CreateTemplateTupleDesc(columns->count + 2);
    scan->columns = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * (columns->count + 1)));
    scan->columns[0] = scan->document;
    for (int i = 0; i < columns->count; i++)
        scan->columns[i + 1] = columns->others[i];
    TupleDescInitEntry(layout, 1, "order", order->type, -1, 0);
    for (int i = 0; i <= columns->count; i++)
        TupleDescCopyEntry(layout, i + 2, from, scan->columns[i]);
    return BlessTupleDesc(layout);
}

ArrivalScan *begin_arrivals(Relation source, const SourceColumns *columns, const Order *order) {
    ArrivalScan *scan = static_cast<ArrivalScan *>(palloc0(sizeof(ArrivalScan)));
    scan->memory = CurrentMemoryContext;
    scan->leaf_memory = AllocSetContextCreate(CurrentMemoryContext, "sluice partition", ALLOCSET_SMALL_SIZES);
    scan->source = RelationGetRelid(source);
    scan->document = get_attnum(scan->source, columns->document);
    scan->layout = make_layout(scan, source, columns, order);
    scan->source_columns = CreateTupleDescCopy(RelationGetDescr(source));
    scan->context = CreateStandaloneExprContext();
    if (order->expression)
        scan->order = ExecInitExpr(expression_planner(static_cast<Expr *>(copyObjectImpl(order->expression))), NULL);
    return scan;
}

TupleDesc arrivals_layout(const ArrivalScan *scan) { return scan->layout; }

// ---- where to go on

bool is_arrival_key(const ArrivalPosition *position) {
    Datum *parts;
    bool *nulls;
    int count;
    if (!position->key)
        return false;
    deconstruct_array(position->key, TEXTOID, -1, false, TYPALIGN_INT, &parts, &nulls, &count);
    return count == 3 && strcmp(TextDatumGetCString(parts[0]), "") == 0;
}

// The key of such a sweep begins with an empty text, which is no name of a column.
void note_arrival(ArrivalPosition *position, Oid leaf, uint64 stamp, const ItemPointerData *entry) {
    const char *tid = psprintf("(%u,%u)", ItemPointerGetBlockNumber(entry), ItemPointerGetOffsetNumber(entry));
    Datum parts[] = {CStringGetTextDatum(""), CStringGetTextDatum(psprintf("%u", leaf)), CStringGetTextDatum(tid)};
    position->stamp = stamp;
    position->key = construct_array(parts, lengthof(parts), TEXTOID, -1, false, TYPALIGN_INT);
}

Oid arrival_place(const ArrivalPosition *position) {
    Datum *parts;
    bool *nulls;
    int count;
    if (!is_arrival_key(position))
        return InvalidOid;
    deconstruct_array(position->key, TEXTOID, -1, false, TYPALIGN_INT, &parts, &nulls, &count);
    return static_cast<Oid>(strtoul(TextDatumGetCString(parts[1]), NULL, 10));
}

static void read_place(ArrivalScan *scan, const ArrivalPosition *position) {
    scan->at_leaf = InvalidOid;
    if (position->stamp == 0 || !is_arrival_key(position))
        return;
    Datum *parts;
    bool *nulls;
    int count;
    deconstruct_array(position->key, TEXTOID, -1, false, TYPALIGN_INT, &parts, &nulls, &count);
    scan->at_leaf = arrival_place(position);
    scan->at_stamp = position->stamp;
    const Datum entry = DirectFunctionCall1(tidin, CStringGetDatum(TextDatumGetCString(parts[2])));
    scan->at_entry = *reinterpret_cast<ItemPointer>(DatumGetPointer(entry));
}

// ---- the sweep

static int compare_oids(const ListCell *left, const ListCell *right) {
    return (lfirst_oid(left) > lfirst_oid(right)) - (lfirst_oid(left) < lfirst_oid(right));
}

void open_arrivals(ArrivalScan *scan, const ArrivalPosition *position) {
    scan->seen = position->seen;
    scan->target = position->target;
    scan->known_leaves = position->leaves;
    scan->leaves = leaves_of(scan->source);
    list_sort(scan->leaves, compare_oids);
    scan->leaf = 0;
    scan->relation = NULL;
    read_place(scan, position);
    scan->row = MakeSingleTupleTableSlot(scan->source_columns, &TTSOpsVirtual);
}

static void plan_ranges(ArrivalScan *scan, Oid leaf) {
    const bool known = scan->leaf_known = new_leaves(list_make1_oid(leaf), &scan->known_leaves) == NIL;
    scan->ranges = static_cast<ArrivalRange *>(palloc(sizeof(ArrivalRange) * (scan->seen.count + 1)));
    scan->range_count = scan->range = 0;
    scan->searching = false;
    for (int i = 0; known && i < scan->seen.count; i++)
        if (seen_includes(&scan->target, scan->seen.xip[i]))
            scan->ranges[scan->range_count++] = ArrivalRange{scan->seen.xip[i], scan->seen.xip[i] + 1};
    scan->ranges[scan->range_count++] = ArrivalRange{known ? scan->seen.xmax : 0, scan->target.xmax};
}

static void open_leaf(ArrivalScan *scan, Oid leaf) {
    MemoryContextReset(scan->leaf_memory);
    MemoryContext before = MemoryContextSwitchTo(scan->leaf_memory);
    scan->relation = relation_open(leaf, AccessShareLock);
    const Oid index = find_arrival_index(scan->relation, get_attname(scan->source, scan->document, false));
    if (!OidIsValid(index))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the arrival index of %s disappeared", relation_name(leaf)), errhint("Run again.")));
    scan->index = index_open(index, AccessShareLock);
    scan->slot = table_slot_create(scan->relation, NULL);
    scan->map =
        leaf == scan->source ? NULL : convert_tuples_by_name(RelationGetDescr(scan->relation), scan->source_columns);
    scan->scan = begin_index_scan(scan->relation, scan->index, GetActiveSnapshot(), 2);
    scan->scan->xs_want_itup = true; // the stamps are wanted
    plan_ranges(scan, leaf);
    MemoryContextSwitchTo(before);
}

static void close_leaf(ArrivalScan *scan) {
    if (!scan->relation)
        return;
    index_endscan(scan->scan);
    ExecDropSingleTupleTableSlot(scan->slot);
    index_close(scan->index, NoLock);
    relation_close(scan->relation, NoLock);
    scan->relation = NULL;
}

static void search_range(ArrivalScan *scan, const ArrivalRange *range) {
    const uint64 low = scan->at_leaf == RelationGetRelid(scan->relation) ? Max(range->low, scan->at_stamp) : range->low;
    ScanKeyData keys[2];
    ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_XID8GE,
                FullTransactionIdGetDatum(FullTransactionIdFromU64(low)));
    ScanKeyInit(&keys[1], 1, BTLessStrategyNumber, F_XID8LT,
                FullTransactionIdGetDatum(FullTransactionIdFromU64(range->high)));
    index_rescan(scan->scan, keys, 2, NULL, 0);
    scan->searching = true;
}

static bool next_leaf(ArrivalScan *scan) {
    close_leaf(scan);
    while (scan->leaf < list_length(scan->leaves)) {
        const Oid leaf = list_nth_oid(scan->leaves, scan->leaf++);
        if (leaf >= scan->at_leaf) {
            open_leaf(scan, leaf);
            return true;
        }
    }
    return false;
}

static uint64 entry_stamp(const ArrivalScan *scan) {
    bool is_null;
    return U64FromFullTransactionId(
        DatumGetFullTransactionId(index_getattr(scan->scan->xs_itup, 1, scan->scan->xs_itupdesc, &is_null)));
}

static bool was_read(const ArrivalScan *scan, uint64 stamp, ItemPointer entry) {
    if (scan->at_leaf != RelationGetRelid(scan->relation) || stamp > scan->at_stamp)
        return false;
    return stamp < scan->at_stamp || ItemPointerCompare(entry, const_cast<ItemPointer>(&scan->at_entry)) <= 0;
}

// next_entry finds the next entry of the open range whose row is visible.
static bool next_entry(ArrivalScan *scan, uint64 *stamp, ItemPointerData *entry) {
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        ItemPointer at = index_getnext_tid(scan->scan, ForwardScanDirection);
        if (!at)
            return false;
        *stamp = entry_stamp(scan);
        *entry = *at;
        if (seen_includes(&scan->target, *stamp) && !was_read(scan, *stamp, entry) &&
            index_fetch_heap(scan->scan, scan->slot))
            return true;
    }
}

static bool find_next(ArrivalScan *scan, uint64 *stamp, ItemPointerData *entry) {
    for (;;) {
        if (!scan->relation && !next_leaf(scan))
            return false;
        if (scan->searching && next_entry(scan, stamp, entry))
            return true;
        scan->searching = false;
        if (scan->range < scan->range_count)
            search_range(scan, &scan->ranges[scan->range++]);
        else if (!next_leaf(scan))
            return false;
    }
}

// judge_row tells what the row's header says about it. All rows written by transactions below seen.xmin were there at the
// last sweep, in every partition that it knew.
static void judge_row(const ArrivalScan *scan, ArrivedRow *arrived) {
    bool should_free;
    HeapTuple tuple = ExecFetchSlotHeapTuple(scan->slot, false, &should_free);
    const TransactionId writer = HeapTupleHeaderGetRawXmin(tuple->t_data);
    arrived->updated = (tuple->t_data->t_infomask & HEAP_UPDATED) != 0;
    arrived->processed = scan->leaf_known && has_seen(&scan->seen) && TransactionIdIsNormal(writer) &&
                         TransactionIdPrecedes(writer, static_cast<TransactionId>(scan->seen.xmin));
    if (should_free)
        heap_freetuple(tuple);
}

static Datum order_value(ArrivalScan *scan, TupleTableSlot *row, bool *is_null) {
    *is_null = true;
    if (!scan->order)
        return 0;
    scan->context->ecxt_scantuple = row;
    return ExecEvalExprSwitchContext(scan->order, scan->context, is_null);
}

bool next_arrival(ArrivalScan *scan, ArrivedRow *arrived) {
    // What the access method keeps from entry to entry must not lie in the memory of a row.
    MemoryContext before = MemoryContextSwitchTo(scan->leaf_memory);
    const bool found = find_next(scan, &arrived->stamp, &arrived->entry);
    MemoryContextSwitchTo(before);
    if (!found)
        return false;
    arrived->leaf = RelationGetRelid(scan->relation);
    judge_row(scan, arrived);
    TupleTableSlot *row = scan->map ? execute_attr_map_slot(scan->map->attrMap, scan->slot, scan->row) : scan->slot;
    const int count = scan->layout->natts;
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * count));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * count));
    ResetExprContext(scan->context);
    values[0] = order_value(scan, row, &nulls[0]);
    for (int i = 1; i < count; i++)
        values[i] = slot_getattr(row, scan->columns[i - 1], &nulls[i]);
    arrived->tuple = heap_form_tuple(scan->layout, values, nulls);
    pfree(values);
    pfree(nulls);
    return true;
}

void close_arrivals(ArrivalScan *scan) {
    close_leaf(scan);
    ExecDropSingleTupleTableSlot(scan->row);
    scan->row = NULL;
}

} // namespace sluice

using namespace sluice;

extern "C" {

// sluice.arrival gives an index entry the number of the transaction that makes it.
PG_FUNCTION_INFO_V1(sluice_arrival);
Datum sluice_arrival(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    return FullTransactionIdGetDatum(GetTopFullTransactionId());
}

} // extern "C"
