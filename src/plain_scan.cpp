// See plain_scan.hpp.
//
// A sequential scan goes on as it was, but for the projection. Of an index scan that is worth little: each row there costs
// a lock of its page, and is mostly the next one on the same page. So the numbers of rows on one page are taken from the
// index first, and then that page is looked at once. The scan is kept in the executor's node, which ends it.
#include "plain_scan.hpp"

namespace sluice {

// ---- columns

static ScanColumns columns_as_they_are(TupleDesc type) {
    ScanColumns columns{static_cast<ScanColumn *>(palloc0(sizeof(ScanColumn) * (type->natts + 1))), type->natts,
                        static_cast<AttrNumber>(type->natts)};
    for (int i = 0; i < type->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(type, i);
        columns.columns[i].kind = column->attbyval ? ScanKind::ByValue : ScanKind::ByReference;
        columns.columns[i].from = static_cast<AttrNumber>(i + 1);
        columns.columns[i].length = column->attlen;
    }
    return columns;
}

// find_column tells where an expression of a scan is found; false: it has to be evaluated.
static bool find_column(const Node *expression, ScanColumn *column) {
    if (IsA(expression, Const)) {
        column->kind = ScanKind::Null;
        column->from = 0;
        return castNode(Const, const_cast<Node *>(expression))->constisnull;
    }
    if (IsA(expression, FuncExpr)) {
        const FuncExpr *call = castNode(FuncExpr, const_cast<Node *>(expression));
        if (call->funcid != F_INT8_INT4 && call->funcid != F_INT8_INT2)
            return false;
        column->kind = call->funcid == F_INT8_INT4 ? ScanKind::Int4 : ScanKind::Int2;
        expression = static_cast<const Node *>(linitial(call->args));
    }
    if (!IsA(expression, Var))
        return false;
    column->from = castNode(Var, const_cast<Node *>(expression))->varattno;
    return column->from > 0; // neither the row itself nor what the system adds to it
}

static bool find_columns(const Plan *plan, ScanColumns *columns) {
    Assert(list_length(plan->targetlist) == columns->count);
    columns->last = 0;
    for (int i = 0; i < columns->count; i++) {
        const Expr *expression = list_nth_node(TargetEntry, plan->targetlist, i)->expr;
        if (!find_column(reinterpret_cast<const Node *>(expression), &columns->columns[i]))
            return false;
        columns->last = Max(columns->last, columns->columns[i].from);
    }
    return true;
}

// ---- rows

static bool passes(ScanState *scan) {
    PlanState *state = &scan->ps;
    if (!state->qual)
        return true;
    ResetExprContext(state->ps_ExprContext);
    state->ps_ExprContext->ecxt_scantuple = scan->ss_ScanTupleSlot;
    return ExecQual(state->qual, state->ps_ExprContext);
}

static TupleTableSlot *next_of_table(PlanState *state) {
    ScanState *scan = reinterpret_cast<ScanState *>(state);
    if (!scan->ss_currentScanDesc)
        scan->ss_currentScanDesc = table_beginscan(scan->ss_currentRelation, state->state->es_snapshot, 0, NULL);
    while (table_scan_getnextslot(scan->ss_currentScanDesc, ForwardScanDirection, scan->ss_ScanTupleSlot)) {
        CHECK_FOR_INTERRUPTS();
        if (passes(scan))
            return scan->ss_ScanTupleSlot;
    }
    return NULL;
}

// An index scan that has the rows of one page in hand.
struct PageScan {
    IndexScanState node;  // first: this stands in its place
    ItemPointerData next; // of the index, the first one of another page
    bool ended;           // there is none
    Buffer page;
    HeapTupleData rows[MaxHeapTuplesPerPage];
    int count, at;
};

static void go_to_next(PageScan *scan) {
    const ItemPointer next = index_getnext_tid(scan->node.iss_ScanDesc, ForwardScanDirection);
    scan->ended = !next;
    if (next)
        scan->next = *next;
}

// take_numbers takes what the index has next, as far as it lies on one page. When that is looked at, the index may say
// something else: an MVCC snapshot sees none of the rows that came into the place of others.
static int take_numbers(PageScan *scan, ItemPointerData *numbers) {
    const BlockNumber page = ItemPointerGetBlockNumber(&scan->next);
    int count = 0;
    while (!scan->ended && count < MaxHeapTuplesPerPage && ItemPointerGetBlockNumber(&scan->next) == page) {
        numbers[count++] = scan->next;
        go_to_next(scan);
    }
    return count;
}

// see_page looks which rows of a page the snapshot sees. The index scan keeps the page, and lets go of it: at its end,
// too, which take_numbers may reach. (Entries of dead rows are not marked: a stretch of a source is read once.)
static void see_page(PageScan *scan) {
    Relation table = scan->node.ss.ss_currentRelation;
    IndexScanDesc index = scan->node.iss_ScanDesc;
    ItemPointerData numbers[MaxHeapTuplesPerPage];
    const int count = take_numbers(scan, numbers);
    IndexFetchHeapData *fetch = reinterpret_cast<IndexFetchHeapData *>(index->xs_heapfetch);
    const Buffer before = fetch->xs_cbuf;
    scan->page = fetch->xs_cbuf = ReleaseAndReadBuffer(before, table, ItemPointerGetBlockNumber(&numbers[0]));
    if (scan->page != before)
        heap_page_prune_opt(table, scan->page);
    scan->count = scan->at = 0;
    LockBuffer(scan->page, BUFFER_LOCK_SHARE);
    for (int i = 0; i < count; i++) {
        HeapTuple row = &scan->rows[scan->count];
        if (!heap_hot_search_buffer(&numbers[i], table, scan->page, index->xs_snapshot, row, NULL, true))
            continue;
        scan->count++;
        pgstat_count_heap_fetch(index->indexRelation);
    }
    LockBuffer(scan->page, BUFFER_LOCK_UNLOCK);
}

static void begin(PageScan *scan) {
    IndexScanState *node = &scan->node;
    node->iss_ScanDesc = begin_index_scan(node->ss.ss_currentRelation, node->iss_RelationDesc,
                                          node->ss.ps.state->es_snapshot, node->iss_NumScanKeys);
    index_rescan(node->iss_ScanDesc, node->iss_ScanKeys, node->iss_NumScanKeys, NULL, 0);
    go_to_next(scan);
}

static TupleTableSlot *next_of_index(PlanState *state) {
    PageScan *scan = reinterpret_cast<PageScan *>(state);
    ScanState *node = &scan->node.ss;
    if (!scan->node.iss_ScanDesc)
        begin(scan);
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        if (scan->at < scan->count) {
            ExecStoreBufferHeapTuple(&scan->rows[scan->at++], node->ss_ScanTupleSlot, scan->page);
            if (passes(node))
                return node->ss_ScanTupleSlot;
        } else if (!scan->ended) {
            see_page(scan);
        } else {
            return NULL;
        }
    }
}

// ---- taking a scan

static bool has_pages(const IndexScanState *scan) {
    return IsMVCCSnapshot(scan->ss.ps.state->es_snapshot) && scan->iss_NumRuntimeKeys == 0 &&
           scan->iss_NumOrderByKeys == 0 &&
           ScanDirectionIsForward(reinterpret_cast<const IndexScan *>(scan->ss.ps.plan)->indexorderdir) &&
           scan->iss_RelationDesc->rd_rel->relam == BTREE_AM_OID && // which never asks to check rows again
           scan->ss.ss_currentRelation->rd_tableam == GetHeapamTableAmRoutine();
}

static void take_index_scan(QueryDesc *query) {
    PageScan *scan = static_cast<PageScan *>(MemoryContextAllocZero(query->estate->es_query_cxt, sizeof(PageScan)));
    scan->node = *castNode(IndexScanState, query->planstate);
    scan->node.ss.ps.ExecProcNode = next_of_index;
    query->planstate = &scan->node.ss.ps;
}

static bool take(const Portal portal, ScanColumns *columns) {
    if (portal->strategy != PORTAL_ONE_SELECT || !portal->queryDesc || portal->queryDesc->estate->es_junkFilter)
        return false;
    QueryDesc *query = portal->queryDesc;
    PlanState *state = query->planstate;
    const bool by_index = IsA(state, IndexScanState) && has_pages(castNode(IndexScanState, state));
    if (state->instrument || !(by_index || IsA(state, SeqScanState)) || !find_columns(state->plan, columns))
        return false;
    if (by_index)
        take_index_scan(query);
    else
        state->ExecProcNode = next_of_table;
    elog(DEBUG1, "the source is read by a plain scan of its %s", by_index ? "index" : "table");
    return true;
}

ScanColumns take_scan(Portal portal) {
    MemoryContext before = MemoryContextSwitchTo(portal->portalContext);
    ScanColumns columns = columns_as_they_are(portal->tupDesc);
    if (!take(portal, &columns))
        columns = columns_as_they_are(portal->tupDesc);
    MemoryContextSwitchTo(before);
    return columns;
}

} // namespace sluice
