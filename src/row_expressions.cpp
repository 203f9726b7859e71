// See row_expressions.hpp.
#include "row_expressions.hpp"

#include "names.hpp"

namespace sluice {

struct RowExpressions {
    const char *const *sql;
    int count;
    List *nodes;          // as the server parsed them, over a range table of one
    MemoryContext memory; // of the states; NULL: there are none
    ExprState **states;
    ExprContext *context;
    TupleTableSlot *row;
    TupleDesc columns;
    EvaluatedRow result;
    int at; // the one being evaluated; -1: none
};

// parse_all lets the server parse them in one statement: the columns of its result are the expressions.
static List *parse_all(Relation source, const char *const *expressions, int count) {
    StringInfoData statement;
    initStringInfo(&statement);
    for (int i = 0; i < count; i++)
        appendStringInfo(&statement, "%s%s", i ? ", " : "SELECT ", expressions[i]);
    appendStringInfo(&statement, " FROM %s s", relation_name(RelationGetRelid(source)));
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    SPIPlanPtr plan = SPI_prepare(statement.data, 0, NULL);
    if (!plan)
        elog(ERROR, "could not parse the expressions over a row");
    MemoryContextSwitchTo(memory);
    const CachedPlanSource *parsed = static_cast<CachedPlanSource *>(linitial(SPI_plan_get_plan_sources(plan)));
    List *nodes = NIL;
    ListCell *cell;
    foreach (cell, linitial_node(Query, parsed->query_list)->targetList)
        nodes = lappend(nodes, copyObjectImpl(lfirst_node(TargetEntry, cell)->expr));
    SPI_freeplan(plan);
    return nodes;
}

RowExpressions *prepare_row_expressions(Relation source, const char *const *expressions, int count) {
    RowExpressions *prepared = static_cast<RowExpressions *>(palloc0(sizeof(RowExpressions)));
    prepared->sql = expressions;
    prepared->count = count;
    prepared->nodes = parse_all(source, expressions, count);
    prepared->columns = CreateTupleDescCopy(RelationGetDescr(source));
    prepared->result.values = static_cast<Datum *>(palloc(sizeof(Datum) * (count + 1)));
    prepared->result.nulls = static_cast<bool *>(palloc(sizeof(bool) * (count + 1)));
    prepared->at = -1;
    return prepared;
}

// make_states: what an error left of states of before is no good any more.
static void make_states(RowExpressions *expressions) {
    if (expressions->memory)
        MemoryContextDelete(expressions->memory);
    MemoryContext home = GetMemoryChunkContext(expressions);
    expressions->memory = AllocSetContextCreate(home, "sluice row expressions", ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(expressions->memory);
    EState *estate = CreateExecutorState();
    expressions->context = GetPerTupleExprContext(estate);
    expressions->row = MakeSingleTupleTableSlot(expressions->columns, &TTSOpsHeapTuple);
    expressions->context->ecxt_scantuple = expressions->row;
    expressions->states = static_cast<ExprState **>(palloc(sizeof(ExprState *) * expressions->count));
    for (int i = 0; i < expressions->count; i++)
        expressions->states[i] = ExecPrepareExpr(static_cast<Expr *>(list_nth(expressions->nodes, i)), estate);
    MemoryContextSwitchTo(before);
}

static void expression_context(void *argument) {
    const RowExpressions *expressions = static_cast<const RowExpressions *>(argument);
    errcontext("expression %s", expressions->sql[expressions->at]);
}

EvaluatedRow evaluate_row(RowExpressions *expressions, Datum row) {
    if (!expressions->memory || expressions->at >= 0)
        make_states(expressions);
    HeapTupleHeader header = DatumGetHeapTupleHeader(row);
    HeapTupleData tuple{};
    tuple.t_len = HeapTupleHeaderGetDatumLength(header);
    tuple.t_data = header;
    ExecStoreHeapTuple(&tuple, expressions->row, false);
    ErrorContextCallback context{error_context_stack, expression_context, expressions};
    error_context_stack = &context;
    ResetExprContext(expressions->context);
    for (int i = 0; i < expressions->count; i++) {
        expressions->at = i;
        expressions->result.values[i] =
            ExecEvalExpr(expressions->states[i], expressions->context, &expressions->result.nulls[i]);
    }
    expressions->at = -1;
    error_context_stack = context.previous;
    ExecClearTuple(expressions->row);
    return expressions->result;
}

const char *failed_expression(const RowExpressions *expressions) {
    return expressions && expressions->at >= 0 ? expressions->sql[expressions->at] : NULL;
}

} // namespace sluice
