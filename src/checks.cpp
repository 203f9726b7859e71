// See checks.hpp.
#include "checks.hpp"

#include "attempt.hpp"
#include "names.hpp"
#include "pipeline.hpp"
#include "rights.hpp"

namespace sluice {

static const char what_it_is[] =
    "A check is an SQL condition over the source's columns, such as amount >= 0, or a query of one boolean.";
static const char what_to_do[] =
    "Mend what it looks at, or change the checks with sluice.alter_pipeline(..., checks => ...).";

// ---- queries

// parse_statement parses a check as a statement; NIL: it is none, and so a condition if anything.
static List *parse_statement(const char *text) {
    List *parsed = NIL;
    const ErrorData *error = attempt([&] { parsed = raw_parser(text, RAW_PARSE_DEFAULT); });
    if (error && error->sqlerrcode != ERRCODE_SYNTAX_ERROR)
        ReThrowError(const_cast<ErrorData *>(error));
    return error ? NIL : parsed;
}

// writes finds what does more than read. Functions are another matter: they do what they like, with the owner's rights.
static bool writes(Node *node, void *context) {
    if (!node)
        return false;
    if (IsA(node, InsertStmt) || IsA(node, UpdateStmt) || IsA(node, DeleteStmt) || is_merge_statement(node) ||
        IsA(node, LockingClause) || IsA(node, IntoClause))
        return true;
    return walk_parsed(node, writes, context);
}

static void check_statement(const char *place, const char *text, List *parsed) {
    Node *statement = linitial_node(RawStmt, parsed)->stmt;
    if (list_length(parsed) > 1)
        argument_error(place, psprintf("\"%s\" is more than one statement", text), what_it_is);
    if (!IsA(statement, SelectStmt))
        argument_error(place, psprintf("\"%s\" is neither a condition nor a query", text), what_it_is);
    if (writes(statement, NULL))
        argument_error(place, psprintf("\"%s\" does more than read", text), NULL);
}

static void check_result(const char *place, const char *text, SPIPlanPtr query) {
    const CachedPlanSource *source = static_cast<const CachedPlanSource *>(linitial(SPI_plan_get_plan_sources(query)));
    const TupleDesc columns = source->resultDesc;
    if (columns->natts != 1)
        argument_error(place, psprintf("\"%s\" gives %d columns", text, columns->natts), what_it_is);
    const Oid type = TupleDescAttr(columns, 0)->atttypid;
    if (getBaseType(type) != BOOLOID)
        argument_error(place, psprintf("\"%s\" gives a column of type %s", text, format_type_be(type)), what_it_is);
}

static SPIPlanPtr prepare(const char *statement, int parameters, Oid *types, int options) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    SPIPlanPtr plan = SPI_prepare_cursor(statement, parameters, types, options);
    if (!plan)
        elog(ERROR, "could not prepare a check: %s", SPI_result_code_string(SPI_result));
    MemoryContextSwitchTo(memory);
    return plan;
}

static SPIPlanPtr keep(SPIPlanPtr plan) {
    if (SPI_keepplan(plan) != 0)
        elog(ERROR, "could not keep a check");
    return plan;
}

static void read_query(Check *check, const char *place, List *parsed) {
    check_statement(place, check->text, parsed);
    SPIPlanPtr query = prepare(check->text, 0, NULL, 0);
    check_result(place, check->text, query);
    check->query = keep(query);
}

// ---- conditions

static void read_condition(Check *check, const char *place, Relation source) {
    const Expression condition = read_expression(source, place, check->text);
    if (getBaseType(condition.type) != BOOLOID)
        argument_error(place,
                       psprintf("\"%s\" is of type %s, not boolean", check->text, format_type_be(condition.type)),
                       what_it_is);
    check->condition = condition.sql;
}

static Expression read_verdict(const Checks *checks, Relation source) {
    StringInfoData verdict;
    initStringInfo(&verdict);
    appendStringInfoString(&verdict, "CASE");
    for (int i = 0; i < checks->count; i++)
        if (checks->items[i].condition)
            appendStringInfo(&verdict, " WHEN %s IS FALSE THEN %d", checks->items[i].condition, i);
    appendStringInfoString(&verdict, " END");
    return read_expression(source, "checks", verdict.data);
}

// ---- planning

static void free_plans(void *argument) {
    Checks *checks = static_cast<Checks *>(argument);
    for (int i = 0; i < checks->count; i++) {
        if (checks->items[i].query)
            SPI_freeplan(checks->items[i].query);
        checks->items[i].query = NULL;
    }
    if (checks->partition)
        SPI_freeplan(checks->partition);
    checks->partition = NULL;
}

static void check_context(void *check) { errcontext("check \"%s\"", static_cast<const Check *>(check)->text); }

static void read_check(Check *check, int number, Relation source, const char *hint) {
    const char *place = psprintf("checks[%d]", number);
    ErrorContextCallback context{error_context_stack, check_context, check};
    error_context_stack = &context;
    at_place(
        place,
        [&] {
            // The name of a column needs no quotes, whatever it is.
            List *parsed = get_attnum(RelationGetRelid(source), check->text) > 0 ? NIL : parse_statement(check->text);
            if (parsed == NIL)
                read_condition(check, place, source);
            else
                read_query(check, place, parsed);
        },
        hint);
    error_context_stack = context.previous;
}

// read_checks reads what was written; the hint is for errors that have none.
static Checks *read_checks(List *texts, Relation source, const char *hint) {
    if (texts == NIL)
        return NULL;
    Checks *checks = static_cast<Checks *>(palloc0(sizeof(Checks)));
    checks->items = static_cast<Check *>(palloc0(sizeof(Check) * list_length(texts)));
    checks->source = RelationGetRelid(source);
    checks->at = -1;
    checks->cleanup.func = free_plans;
    checks->cleanup.arg = checks;
    MemoryContextRegisterResetCallback(CurrentMemoryContext, &checks->cleanup);
    ListCell *cell;
    foreach (cell, texts) {
        Check *check = &checks->items[checks->count++];
        check->text = pstrdup(static_cast<const char *>(lfirst(cell)));
        read_check(check, checks->count, source, hint);
        checks->has_conditions = checks->has_conditions || check->condition;
        checks->has_queries = checks->has_queries || check->query;
    }
    if (checks->has_conditions)
        checks->verdict = checks->last = read_verdict(checks, source);
    return checks;
}

// look_closely prepares the conditions for one row at a time.
static void look_closely(Checks *checks, Relation source) {
    checks->closely = true;
    checks->last = read_expression(source, "checks", whole_row(source));
    checks->last.sql = whole_row(source); // written without its type it would be all columns
    for (int i = 0; i < checks->count; i++) {
        Check *check = &checks->items[i];
        if (check->condition)
            check->expression = prepare_row_expressions(source, &check->condition, 1);
    }
}

Checks *plan_checks(List *texts, Relation source, bool closely) {
    Checks *checks = read_checks(texts, source, what_to_do);
    if (checks && checks->has_conditions && closely)
        look_closely(checks, source);
    return checks;
}

// try_rights lets the server check the rights that a statement needs: it does so before the first row is asked for.
static void try_rights(SPIPlanPtr statement) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    SPI_cursor_close(SPI_cursor_open(NULL, statement, NULL, NULL, true));
    MemoryContextSwitchTo(memory);
}

static void try_check(const Checks *checks, const Check *check) {
    if (check->query) {
        try_rights(check->query);
        return;
    }
    SPIPlanPtr look =
        prepare(psprintf("SELECT %s FROM %s s", check->condition, relation_name(checks->source)), 0, NULL, 0);
    try_rights(look);
    SPI_freeplan(look);
}

void check_checks(List *texts, Relation source) {
    const Checks *checks = read_checks(texts, source, what_it_is);
    for (int i = 0; checks && i < checks->count; i++)
        at_place(psprintf("checks[%d]", i + 1), [&] { try_check(checks, &checks->items[i]); });
}

// ---- source rows

SourceColumns with_checks(Checks *checks, const SourceColumns *columns) {
    if (!checks->has_conditions)
        return *columns;
    SourceColumns with = *columns;
    const char **others = static_cast<const char **>(palloc(sizeof(char *) * (columns->count + 1)));
    memcpy(others, columns->others, sizeof(char *) * columns->count);
    others[columns->count] = checks->last.sql;
    with.others = others;
    with.last = checks->last.node;
    checks->at = with.count++;
    return with;
}

Bitmapset *columns_of_conditions(const Checks *checks, Relation source) {
    Bitmapset *offset = NULL, *columns = NULL;
    if (!checks || !checks->has_conditions)
        return NULL;
    pull_varattnos(checks->verdict.node, 1, &offset);
    const bool whole = bms_is_member(-FirstLowInvalidHeapAttributeNumber, offset);
    for (int i = 0; i < RelationGetDescr(source)->natts; i++)
        if (!TupleDescAttr(RelationGetDescr(source), i)->attisdropped &&
            (whole || bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, offset)))
            columns = bms_add_member(columns, i + 1);
    return columns;
}

static Refusal refusal_by(const Check *check, int sqlstate, const char *message, const char *more) {
    StringInfoData detail;
    initStringInfo(&detail);
    appendStringInfoChar(&detail, '{');
    append_json_member(&detail, "check", check->text);
    append_json_member(&detail, "detail", more);
    appendStringInfoChar(&detail, '}');
    return Refusal{sqlstate, message, detail.data};
}

static Refusal refusal_by_false(const Check *check) {
    return refusal_by(check, ERRCODE_CHECK_VIOLATION, psprintf("check \"%s\" is false", check->text), NULL);
}

static bool is_false_for(const Check *check, Datum row) {
    const EvaluatedRow verdict = evaluate_row(check->expression, row);
    return !verdict.nulls[0] && !DatumGetBool(verdict.values[0]);
}

// refuses_closely looks at one condition of a row.
static bool refuses_closely(const Check *check, Datum row, bool catches, Refusal *refusal) {
    bool refused = false;
    if (!catches) {
        refused = is_false_for(check, row);
    } else if (ErrorData *error = attempt([&] { refused = is_false_for(check, row); })) {
        if (!is_document_error(error))
            ReThrowError(error);
        *refusal = refusal_by(check, error->sqlerrcode, error->message ? error->message : "", error->detail);
        return true;
    }
    if (refused)
        *refusal = refusal_by_false(check);
    return refused;
}

bool refuses_row(const Checks *checks, const Datum *columns, const bool *nulls, bool catches, Refusal *refusal) {
    if (checks->at < 0)
        return false;
    for (int i = 0; checks->closely && i < checks->count; i++)
        if (checks->items[i].expression && refuses_closely(&checks->items[i], columns[checks->at], catches, refusal))
            return true;
    if (checks->closely || nulls[checks->at])
        return false;
    *refusal = refusal_by_false(&checks->items[DatumGetInt32(columns[checks->at])]);
    return true;
}

void stop_for_row(Checks *checks, const Refusal *refusal, const char *place, bool failed) {
    checks->failed = failed;
    const char *source = relation_name(checks->source);
    ereport(ERROR, (errcode(refusal->sqlstate),
                    place ? errmsg("%s for the row of %s with %s", refusal->message, source, place)
                          : errmsg("%s for a row of %s", refusal->message, source),
                    errhint("Mend the row, or change the checks with sluice.alter_pipeline(..., checks => ...). With "
                            "on_error => 'reject' such rows are set aside.")));
    pg_unreachable();
}

// ---- partitions

void plan_partition_check(Checks *checks, const Order *partition) {
    if (!checks->has_conditions)
        return;
    Oid types[] = {partition->type};
    const char *statement = psprintf(
        "SELECT v.n, pg_catalog.count(*) FROM (SELECT %s AS n FROM %s s WHERE %s %s $1) v WHERE v.n IS NOT NULL "
        "GROUP BY 1 ORDER BY 1 LIMIT 1",
        checks->verdict.sql, relation_name(checks->source), partition->sql, equality_sql(partition->type, "partition"));
    // Planned anew for each value: partitions of the source are left out by it.
    checks->partition = keep(prepare(statement, lengthof(types), types, CURSOR_OPT_CUSTOM_PLAN));
}

void check_partition(Checks *checks, Datum partition) {
    if (!checks->partition)
        return;
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute_plan(checks->partition, &partition, NULL, false, 0) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a look at a partition");
    MemoryContextSwitchTo(memory);
    bool is_null;
    if (SPI_processed > 0) {
        const HeapTuple row = SPI_tuptable->vals[0];
        const Check *check = &checks->items[DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &is_null))];
        const int64 rows = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &is_null));
        checks->failed = true;
        ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION),
                        errmsg_plural("check \"%s\" is false for " INT64_FORMAT " row of the partition in %s",
                                      "check \"%s\" is false for " INT64_FORMAT " rows of the partition in %s", rows,
                                      check->text, rows, relation_name(checks->source)),
                        errhint("%s", what_to_do)));
    }
    SPI_freetuptable(SPI_tuptable);
}

// ---- asking

// says_false asks a query. Read-only, it sees what the snapshot sees, and may not write by itself.
static bool says_false(const Check *check) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute_plan(check->query, NULL, NULL, true, 2) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a check");
    MemoryContextSwitchTo(memory);
    if (SPI_processed > 1)
        ereport(ERROR, (errcode(ERRCODE_CARDINALITY_VIOLATION),
                        errmsg("check \"%s\" gave more than one row", check->text), errhint("%s", what_it_is)));
    bool is_null = true;
    const Datum value =
        SPI_processed == 0 ? 0 : SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    const bool is_false = !is_null && !DatumGetBool(value);
    SPI_freetuptable(SPI_tuptable);
    return is_false;
}

static void ask_query(Check *check) {
    ErrorContextCallback context{error_context_stack, check_context, check};
    error_context_stack = &context;
    const bool is_false = says_false(check);
    error_context_stack = context.previous;
    if (is_false)
        ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION), errmsg("check \"%s\" is false", check->text),
                        errdetail("It was asked when the rows of the batch were written."), errhint("%s", what_to_do)));
}

void ask_queries(Checks *checks, bool fires) {
    if (!checks->has_queries)
        return;
    if (fires)
        fire_deferred();
    // A snapshot that sees what the batch wrote.
    CommandCounterIncrement();
    PushActiveSnapshot(GetTransactionSnapshot());
    checks->failed = true; // until all are answered
    for (int i = 0; i < checks->count; i++)
        if (checks->items[i].query)
            ask_query(&checks->items[i]);
    checks->failed = false;
    PopActiveSnapshot();
}

} // namespace sluice
