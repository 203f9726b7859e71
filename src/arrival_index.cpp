// See arrival_index.hpp.
//
// sluice.arrival() is declared immutable, or no index could be built on it, and is nothing of the kind: it returns the number
// of the running transaction. So the index is never used by the planner's leave; it is read here, by the index access
// method's own functions, which never evaluate the expression again. An UPDATE that makes a new entry makes its row appear
// again, and the ledger knows its content. What makes all entries anew (REINDEX, VACUUM FULL) also makes a new file, which
// the hash cursor notices and answers with a compare.
//
// A sweep goes leaf by leaf in the order of their numbers, in each through the stamps that were going on at the last sweep
// and are over now, then through those from seen.xmax on. Entries of one stamp lie in the order of their row pointers, so
// (leaf, stamp, pointer) says where to go on. But an index cannot be entered in the middle of a stamp, and an index that was
// built over rows that were there has one stamp for all of them. So the entries that a batch does not get to are kept in a
// list over the commits of the run, without their rows: those are fetched when they are read.
//
// A row of the list may be gone by then, and its place taken by another one: that is told by its writer, which was not over
// when the list was made.
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
    ExprState *order, *last;
    ExprContext *context;
    TupleTableSlot *row; // in the shape of the source
    // the sweep
    Seen seen, target;
    List *leaves; // in ascending order
    int leaf;     // position in leaves; the next to open
    // where to go on
    Oid at_leaf;
    uint64 at_stamp;
    ItemPointerData at_entry;
    // the index that is open
    Relation indexed, index;
    IndexScanDesc scan;
    ArrivalRange *ranges;
    int range_count, range;
    bool searching; // in a range
    // the leaf whose rows are fetched
    Relation relation;
    IndexFetchTableData *fetch;
    TupleTableSlot *slot;
    TupleConversionMap *map;
    WorkList *list; // of entries that were found before; NULL: the index is read
    MemoryContext index_memory, leaf_memory;
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
    if (!index->rd_index->indisvalid || index->rd_rel->relam != BTREE_AM_OID || index->rd_index->indnkeyatts != 1 ||
        index->rd_index->indkey.values[0] != 0 || (index->rd_indoption[0] & INDOPTION_DESC) ||
        RelationGetIndexPredicate(index) != NIL)
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

int64 arrival_storage(Oid leaf, const char *document) {
    Relation relation = relation_open(leaf, AccessShareLock);
    const Oid found = find_arrival_index(relation, document);
    int64 storage = 0;
    if (OidIsValid(found)) {
        Relation index = index_open(found, AccessShareLock);
        storage = index->rd_rel->relfilenode;
        index_close(index, AccessShareLock);
    }
    relation_close(relation, AccessShareLock);
    return storage;
}

// ---- planning

static TupleDesc make_layout(ArrivalScan *scan, Relation source, const SourceColumns *columns, const Order *order) {
    TupleDesc from = RelationGetDescr(source);
    TupleDesc layout = CreateTemplateTupleDesc(columns->count + 2);
    scan->columns = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * (columns->count + 1)));
    scan->columns[0] = scan->document;
    for (int i = 0; i < columns->count; i++)
        scan->columns[i + 1] = columns->last && i == columns->count - 1 ? InvalidAttrNumber : columns->numbers[i];
    TupleDescInitEntry(layout, 1, "order", order->type, -1, 0);
    for (int i = 0; i <= columns->count; i++)
        if (scan->columns[i] == InvalidAttrNumber)
            TupleDescInitEntry(layout, i + 2, "last", exprType(columns->last), -1, 0);
        else
            TupleDescCopyEntry(layout, i + 2, from, scan->columns[i]);
    return BlessTupleDesc(layout);
}

static ExprState *prepare_expression(const Node *expression) {
    return expression ? ExecInitExpr(expression_planner(static_cast<Expr *>(copyObjectImpl(expression))), NULL) : NULL;
}

ArrivalScan *begin_arrivals(Relation source, const SourceColumns *columns, const Order *order) {
    ArrivalScan *scan = static_cast<ArrivalScan *>(palloc0(sizeof(ArrivalScan)));
    scan->index_memory = AllocSetContextCreate(CurrentMemoryContext, "sluice arrival index", ALLOCSET_SMALL_SIZES);
    scan->leaf_memory = AllocSetContextCreate(CurrentMemoryContext, "sluice partition", ALLOCSET_SMALL_SIZES);
    scan->source = RelationGetRelid(source);
    scan->document = columns->column;
    scan->layout = make_layout(scan, source, columns, order);
    scan->source_columns = CreateTupleDescCopy(RelationGetDescr(source));
    scan->context = CreateStandaloneExprContext();
    scan->order = prepare_expression(order->expression);
    scan->last = prepare_expression(columns->last);
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
void note_arrival(ArrivalPosition *position, const ArrivalEntry *entry) {
    const char *place =
        psprintf("(%u,%u)", ItemPointerGetBlockNumber(&entry->place), ItemPointerGetOffsetNumber(&entry->place));
    Datum parts[] = {CStringGetTextDatum(""), CStringGetTextDatum(psprintf("%u", entry->leaf)),
                     CStringGetTextDatum(place)};
    position->stamp = entry->stamp;
    position->key = construct_array(parts, lengthof(parts), TEXTOID, -1, false, TYPALIGN_INT);
}

static Oid arrival_place(const ArrivalPosition *position) {
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

void open_arrivals(ArrivalScan *scan, const ArrivalPosition *position, WorkList *list) {
    scan->seen = position->seen;
    scan->target = position->target;
    scan->leaves = leaves_of(scan->source);
    list_sort(scan->leaves, compare_oids);
    scan->leaf = 0;
    scan->relation = scan->indexed = NULL;
    scan->list = list;
    read_place(scan, position);
    scan->row = MakeSingleTupleTableSlot(scan->source_columns, &TTSOpsVirtual);
}

// ---- entries from the index

static void plan_ranges(ArrivalScan *scan) {
    scan->ranges = static_cast<ArrivalRange *>(palloc(sizeof(ArrivalRange) * (scan->seen.count + 1)));
    scan->range_count = scan->range = 0;
    scan->searching = false;
    for (int i = 0; i < scan->seen.count; i++)
        if (seen_includes(&scan->target, scan->seen.xip[i]))
            scan->ranges[scan->range_count++] = ArrivalRange{scan->seen.xip[i], scan->seen.xip[i] + 1};
    scan->ranges[scan->range_count++] = ArrivalRange{scan->seen.xmax, scan->target.xmax};
}

static void open_index(ArrivalScan *scan, Oid leaf) {
    MemoryContextReset(scan->index_memory);
    MemoryContextSwitchTo(scan->index_memory);
    scan->indexed = relation_open(leaf, AccessShareLock);
    const Oid index = find_arrival_index(scan->indexed, get_attname(scan->source, scan->document, false));
    if (!OidIsValid(index))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the arrival index of %s disappeared", relation_name(leaf)), errhint("Run again.")));
    scan->index = index_open(index, AccessShareLock);
    scan->scan = begin_index_scan(scan->indexed, scan->index, GetActiveSnapshot(), 2);
    scan->scan->xs_want_itup = true; // the stamps are wanted
    plan_ranges(scan);
}

static void close_index(ArrivalScan *scan) {
    if (!scan->indexed)
        return;
    index_endscan(scan->scan);
    index_close(scan->index, NoLock);
    relation_close(scan->indexed, NoLock);
    scan->indexed = NULL;
}

static void search_range(ArrivalScan *scan, const ArrivalRange *range) {
    const uint64 low = scan->at_leaf == RelationGetRelid(scan->indexed) ? Max(range->low, scan->at_stamp) : range->low;
    ScanKeyData keys[2];
    ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_XID8GE,
                FullTransactionIdGetDatum(FullTransactionIdFromU64(low)));
    ScanKeyInit(&keys[1], 1, BTLessStrategyNumber, F_XID8LT,
                FullTransactionIdGetDatum(FullTransactionIdFromU64(range->high)));
    index_rescan(scan->scan, keys, 2, NULL, 0);
    scan->searching = true;
}

static bool next_index(ArrivalScan *scan) {
    close_index(scan);
    while (scan->leaf < list_length(scan->leaves)) {
        const Oid leaf = list_nth_oid(scan->leaves, scan->leaf++);
        if (leaf >= scan->at_leaf) {
            open_index(scan, leaf);
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

static bool was_read(const ArrivalScan *scan, const ArrivalEntry *entry) {
    if (scan->at_leaf != entry->leaf || entry->stamp > scan->at_stamp)
        return false;
    return entry->stamp < scan->at_stamp ||
           ItemPointerCompare(const_cast<ItemPointer>(&entry->place), const_cast<ItemPointer>(&scan->at_entry)) <= 0;
}

// next_in_range finds the next entry of the open range.
static bool next_in_range(ArrivalScan *scan, ArrivalEntry *entry) {
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        ItemPointer at = index_getnext_tid(scan->scan, ForwardScanDirection);
        if (!at)
            return false;
        *entry = ArrivalEntry{RelationGetRelid(scan->indexed), entry_stamp(scan), *at};
        if (seen_includes(&scan->target, entry->stamp) && !was_read(scan, entry))
            return true;
    }
}

static bool next_indexed(ArrivalScan *scan, ArrivalEntry *entry) {
    for (;;) {
        if (!scan->indexed && !next_index(scan))
            return false;
        if (scan->searching && next_in_range(scan, entry))
            return true;
        scan->searching = false;
        if (scan->range < scan->range_count)
            search_range(scan, &scan->ranges[scan->range++]);
        else if (!next_index(scan))
            return false;
    }
}

// ---- entries from the list

static TupleDesc entry_layout() {
    TupleDesc layout = CreateTemplateTupleDesc(3);
    TupleDescInitEntry(layout, 1, "leaf", OIDOID, -1, 0);
    TupleDescInitEntry(layout, 2, "stamp", XID8OID, -1, 0);
    TupleDescInitEntry(layout, 3, "place", TIDOID, -1, 0);
    return layout;
}

WorkList *keep_arrivals(ArrivalScan *scan, MemoryContext parent) {
    TupleDesc layout = entry_layout();
    WorkList *list = make_work_list(layout, parent);
    MemoryContext before = MemoryContextSwitchTo(scan->index_memory);
    ArrivalEntry entry;
    while (next_indexed(scan, &entry)) {
        Datum values[] = {ObjectIdGetDatum(entry.leaf),
                          FullTransactionIdGetDatum(FullTransactionIdFromU64(entry.stamp)),
                          PointerGetDatum(&entry.place)};
        bool nulls[] = {false, false, false};
        HeapTuple tuple = heap_form_tuple(layout, values, nulls);
        add_work(list, tuple);
        heap_freetuple(tuple);
    }
    MemoryContextSwitchTo(before);
    return list;
}

static bool next_listed(WorkList *list, ArrivalEntry *entry) {
    HeapTuple tuple = next_work(list);
    if (!tuple)
        return false;
    bool is_null;
    entry->leaf = DatumGetObjectId(heap_getattr(tuple, 1, list->layout, &is_null));
    entry->stamp = U64FromFullTransactionId(DatumGetFullTransactionId(heap_getattr(tuple, 2, list->layout, &is_null)));
    entry->place = *reinterpret_cast<ItemPointer>(DatumGetPointer(heap_getattr(tuple, 3, list->layout, &is_null)));
    heap_freetuple(tuple);
    return true;
}

// next_entry works in memory of its own: what the access method keeps from entry to entry must not lie in that of a row.
static bool next_entry(ArrivalScan *scan, ArrivalEntry *entry) {
    if (scan->list)
        return next_listed(scan->list, entry);
    MemoryContext before = MemoryContextSwitchTo(scan->index_memory);
    const bool found = next_indexed(scan, entry);
    MemoryContextSwitchTo(before);
    return found;
}

// ---- rows

static void close_leaf(ArrivalScan *scan) {
    if (!scan->relation)
        return;
    table_index_fetch_end(scan->fetch);
    ExecDropSingleTupleTableSlot(scan->slot);
    relation_close(scan->relation, NoLock);
    scan->relation = NULL;
}

// open_leaf returns false when the leaf is gone since its entries were listed.
static bool open_leaf(ArrivalScan *scan, Oid leaf) {
    if (scan->relation && RelationGetRelid(scan->relation) == leaf)
        return true;
    close_leaf(scan);
    if (!list_member_oid(scan->leaves, leaf))
        return false;
    MemoryContextReset(scan->leaf_memory);
    MemoryContext before = MemoryContextSwitchTo(scan->leaf_memory);
    scan->relation = relation_open(leaf, AccessShareLock);
    scan->fetch = table_index_fetch_begin(scan->relation);
    scan->slot = table_slot_create(scan->relation, NULL);
    scan->map =
        leaf == scan->source ? NULL : convert_tuples_by_name(RelationGetDescr(scan->relation), scan->source_columns);
    MemoryContextSwitchTo(before);
    return true;
}

static bool fetch_row(ArrivalScan *scan, const ArrivalEntry *entry) {
    bool again = false, all_dead = false;
    ItemPointerData place = entry->place;
    return open_leaf(scan, entry->leaf) &&
           table_index_fetch_tuple(scan->fetch, &place, GetActiveSnapshot(), scan->slot, &again, &all_dead);
}

// judge_row tells what the row's header says about it. A row written by a transaction that is not over in `target` has taken
// the place of one of the list, and belongs to the next sweep.
static void judge_row(const ArrivalScan *scan, ArrivedRow *arrived) {
    bool should_free;
    HeapTuple tuple = ExecFetchSlotHeapTuple(scan->slot, false, &should_free);
    const TransactionId writer = HeapTupleHeaderGetRawXmin(tuple->t_data);
    arrived->updated = (tuple->t_data->t_infomask & HEAP_UPDATED) != 0;
    arrived->premature = scan->list && !arrived->updated && TransactionIdIsNormal(writer) &&
                         !HeapTupleHeaderXminFrozen(tuple->t_data) &&
                         TransactionIdFollowsOrEquals(writer, static_cast<TransactionId>(scan->target.xmax));
    if (should_free)
        heap_freetuple(tuple);
}

static Datum evaluate(ArrivalScan *scan, ExprState *expression, TupleTableSlot *row, bool *is_null) {
    *is_null = true;
    if (!expression)
        return 0;
    scan->context->ecxt_scantuple = row;
    return ExecEvalExprSwitchContext(expression, scan->context, is_null);
}

bool next_arrival(ArrivalScan *scan, ArrivedRow *arrived) {
    do {
        CHECK_FOR_INTERRUPTS();
        if (!next_entry(scan, &arrived->entry))
            return false;
    } while (!fetch_row(scan, &arrived->entry));
    judge_row(scan, arrived);
    TupleTableSlot *row = scan->map ? execute_attr_map_slot(scan->map->attrMap, scan->slot, scan->row) : scan->slot;
    const int count = scan->layout->natts;
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * count));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * count));
    ResetExprContext(scan->context);
    values[0] = evaluate(scan, scan->order, row, &nulls[0]);
    for (int i = 1; i < count; i++)
        values[i] = scan->columns[i - 1] == InvalidAttrNumber ? evaluate(scan, scan->last, row, &nulls[i])
                                                              : slot_getattr(row, scan->columns[i - 1], &nulls[i]);
    arrived->tuple = heap_form_tuple(scan->layout, values, nulls);
    pfree(values);
    pfree(nulls);
    return true;
}

bool has_old_arrivals(ArrivalScan *scan, Oid leaf, const Seen *seen) {
    MemoryContext before = MemoryContextSwitchTo(scan->index_memory);
    scan->seen = Seen{};
    scan->target = *seen;
    scan->at_leaf = InvalidOid;
    open_index(scan, leaf);
    search_range(scan, &scan->ranges[0]);
    ArrivalEntry entry;
    const bool found = next_in_range(scan, &entry);
    close_index(scan);
    MemoryContextSwitchTo(before);
    return found;
}

void close_arrivals(ArrivalScan *scan) {
    close_index(scan);
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
