// See expression.hpp.
#include "expression.hpp"

#include "mapping.hpp"
#include "names.hpp"

namespace sluice {

// What is being read, for errors.
struct Reading {
    const char *place;
    const char *written;
    const char *statement;
};

// Errors of the parser point into a text of ours: they show it.
static void expression_context(void *argument) {
    const Reading *reading = static_cast<const Reading *>(argument);
    const int position = geterrposition();
    if (position > 0) {
        errposition(0);
        internalerrposition(position);
        internalerrquery(reading->statement);
    }
    errcontext("%s", reading->place);
}

[[noreturn]] static void bad_expression(const Reading *reading) {
    mapping_error(reading->place, psprintf("\"%s\" is no single SQL expression", reading->written),
                  "It is an expression over columns, such as created_at.");
}

// parse_expression takes just an expression: nothing that would end it and go on with other clauses.
static Node *parse_expression(const Reading *reading) {
    List *parsed = raw_parser(reading->statement, RAW_PARSE_DEFAULT);
    if (list_length(parsed) != 1 || !IsA(linitial_node(RawStmt, parsed)->stmt, SelectStmt))
        bad_expression(reading);
    SelectStmt *select = castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt);
    SelectStmt plain = *select;
    plain.targetList = NIL;
    SelectStmt *empty = makeNode(SelectStmt);
    empty->limitOption = plain.limitOption;
    if (list_length(select->targetList) != 1 || !equal(&plain, empty))
        bad_expression(reading);
    return linitial_node(ResTarget, select->targetList)->val;
}

// check_column says of a single name that is no column what the server would say less well.
static void check_column(Relation relation, Node *parsed, const Reading *reading) {
    if (!IsA(parsed, ColumnRef) || list_length(castNode(ColumnRef, parsed)->fields) != 1 ||
        !IsA(linitial(castNode(ColumnRef, parsed)->fields), String))
        return;
    const char *column = strVal(linitial(castNode(ColumnRef, parsed)->fields));
    if (get_attnum(RelationGetRelid(relation), column) != InvalidAttrNumber)
        return;
    const char *hint = nearest_column_hint(relation, column);
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                    errmsg("%s: column \"%s\" of %s does not exist", reading->place, reading->written,
                           relation_name(RelationGetRelid(relation))),
                    hint ? errhint("%s", hint) : 0));
}

static bool has_system_column(Node *node, void *context) {
    if (!node)
        return false;
    if (IsA(node, Var) && castNode(Var, node)->varattno < 0)
        return true;
    return walk_expression(node, has_system_column, context);
}

static Node *transform_expression(Relation relation, Node *parsed, const char *place, const char *alias) {
    ParseState *state = make_parsestate(NULL);
    ParseNamespaceItem *item =
        addRangeTableEntryForRelation(state, relation, AccessShareLock, makeAlias(alias, NIL), false, true);
    addNSItemToQuery(state, item, false, true, true);
    Node *expression = transformExpr(state, parsed, EXPR_KIND_INDEX_EXPRESSION);
    expression = coerce_to_common_type(state, expression,
                                       exprType(expression) == UNKNOWNOID ? TEXTOID : exprType(expression), place);
    assign_expr_collations(state, expression);
    free_parsestate(state);
    return expression;
}

static void check_expression(Node *expression, const Reading *reading) {
    if (contain_volatile_functions(expression))
        mapping_error(reading->place, psprintf("\"%s\" calls a volatile function", reading->written),
                      "What is read of a row must not change from look to look.");
    if (IsA(expression, RowExpr) || exprType(expression) == RECORDOID)
        bad_expression(reading);
    if (has_system_column(expression, NULL))
        mapping_error(reading->place, psprintf("\"%s\" reads a system column", reading->written), NULL);
}

Expression read_expression(Relation relation, const char *written, const char *place, const char *alias) {
    const Oid oid = RelationGetRelid(relation);
    // The name of a column needs no quotes, whatever it is.
    const char *plain = get_attnum(oid, written) > 0 ? quote_identifier(written) : written;
    Reading reading{place, written, psprintf("SELECT (%s\n)", plain)};
    if (strspn(written, " \t\n") == strlen(written))
        bad_expression(&reading);
    ErrorContextCallback context{error_context_stack, expression_context, &reading};
    error_context_stack = &context;
    Node *parsed = parse_expression(&reading);
    error_context_stack = context.previous;
    check_column(relation, parsed, &reading);
    error_context_stack = &context;
    Expression expression{};
    expression.node = transform_expression(relation, parsed, place, alias);
    error_context_stack = context.previous;
    check_expression(expression.node, &reading);
    expression.type = exprType(expression.node);
    expression.typmod = exprTypmod(expression.node);
    expression.collation = exprCollation(expression.node);
    expression.sql =
        psprintf("(%s)", deparse_expression(expression.node, deparse_context_for(alias, oid), true, false));
    return expression;
}

} // namespace sluice
