// See expression.hpp.
#include "expression.hpp"

#include "names.hpp"
#include "pipeline.hpp"

namespace sluice {

struct Reading {
    const char *argument;
    const char *query; // of ours, which the parser reads
};

// Errors of the parser point into a text of ours: they show it.
static void expression_context(void *context) {
    const int position = geterrposition();
    if (position > 0) {
        errposition(0);
        internalerrposition(position);
        internalerrquery(static_cast<const Reading *>(context)->query);
    }
    errcontext("%s", static_cast<const Reading *>(context)->argument);
}

[[noreturn]] static void bad_expression(const char *argument, const char *written) {
    argument_error(argument, psprintf("\"%s\" is no single SQL expression", written),
                   "It is an expression over the source's columns, such as created_at.");
}

// parse_expression takes just an expression: nothing that would end it and go on with other clauses.
static Node *parse_expression(const char *argument, const char *written) {
    List *parsed = raw_parser(psprintf("SELECT (%s\n)", written), RAW_PARSE_DEFAULT);
    if (list_length(parsed) != 1 || !IsA(linitial_node(RawStmt, parsed)->stmt, SelectStmt))
        bad_expression(argument, written);
    SelectStmt *select = castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt);
    SelectStmt plain = *select;
    plain.targetList = NIL;
    SelectStmt *empty = makeNode(SelectStmt);
    empty->limitOption = plain.limitOption;
    if (list_length(select->targetList) != 1 || !equal(&plain, empty))
        bad_expression(argument, written);
    return linitial_node(ResTarget, select->targetList)->val;
}

// check_column says of a single name that is no column what the server would say less well.
static void check_column(Relation source, Node *parsed, const char *argument) {
    if (!IsA(parsed, ColumnRef) || list_length(castNode(ColumnRef, parsed)->fields) != 1 ||
        !IsA(linitial(castNode(ColumnRef, parsed)->fields), String))
        return;
    const char *column = strVal(linitial(castNode(ColumnRef, parsed)->fields));
    if (get_attnum(RelationGetRelid(source), column) == InvalidAttrNumber)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("%s: column \"%s\" of source %s does not exist", argument, column,
                               relation_name(RelationGetRelid(source))),
                        nearest_column_hint(source, column) ? errhint("%s", nearest_column_hint(source, column)) : 0));
}

static bool has_system_column(Node *node, void *context) {
    if (!node)
        return false;
    if (IsA(node, Var) && castNode(Var, node)->varattno < 0)
        return true;
    return walk_expression(node, has_system_column, context);
}

static Node *transform_expression(Relation source, Node *parsed, const char *argument) {
    ParseState *state = make_parsestate(NULL);
    ParseNamespaceItem *item =
        addRangeTableEntryForRelation(state, source, AccessShareLock, makeAlias("s", NIL), false, true);
    addNSItemToQuery(state, item, false, true, true);
    Node *expression = transformExpr(state, parsed, EXPR_KIND_INDEX_EXPRESSION);
    expression = coerce_to_common_type(state, expression,
                                       exprType(expression) == UNKNOWNOID ? TEXTOID : exprType(expression), argument);
    assign_expr_collations(state, expression);
    free_parsestate(state);
    return expression;
}

static void check_expression(Node *expression, const char *argument, const char *written) {
    if (contain_volatile_functions(expression))
        argument_error(argument, psprintf("\"%s\" calls a volatile function", written),
                       "What it gives for a row must not change from look to look.");
    if (IsA(expression, RowExpr) || exprType(expression) == RECORDOID)
        bad_expression(argument, written);
    if (has_system_column(expression, NULL))
        argument_error(argument, psprintf("\"%s\" reads a system column", written), NULL);
}

Expression read_expression(Relation source, const char *argument, const char *text) {
    if (strspn(text, " \t\n") == strlen(text))
        bad_expression(argument, text);
    // The name of a column needs no quotes, whatever it is.
    const Oid relation = RelationGetRelid(source);
    const char *written = get_attnum(relation, text) > 0 ? quote_identifier(text) : text;
    Reading reading{argument, psprintf("SELECT (%s\n)", written)};
    ErrorContextCallback context{error_context_stack, expression_context, &reading};
    error_context_stack = &context;
    Node *parsed = parse_expression(argument, written);
    error_context_stack = context.previous;
    check_column(source, parsed, argument);
    error_context_stack = &context;
    Expression expression{};
    expression.node = transform_expression(source, parsed, argument);
    error_context_stack = context.previous;
    check_expression(expression.node, argument, text);
    expression.type = exprType(expression.node);
    expression.typmod = exprTypmod(expression.node);
    expression.collation = exprCollation(expression.node);
    expression.sql =
        psprintf("(%s)", deparse_expression(expression.node, deparse_context_for("s", relation), true, false));
    return expression;
}

} // namespace sluice
