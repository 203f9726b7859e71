// sluice.trace: which runs wrote a row of a target, from its lineage.
#include "postgres.hpp"

#include "catalog.hpp"
#include "lineage.hpp"
#include "lineage_tables.hpp"
#include "names.hpp"
#include "order.hpp"
#include "pipeline.hpp"

namespace sluice {

// The pipelines of the caller that keep lineage of a table, and its number in each.
struct Traced {
    Numbers pipelines, numbers;
};

static Traced find_pipelines(Oid table) {
    Parameters parameters{};
    add_int(&parameters, table);
    const uint64 count = catalog_execute(
        "SELECT split_part(encode(t.tgargs, 'escape'), '\\000', 1)::bigint, split_part(encode(t.tgargs, 'escape'), "
        "'\\000', 2)::bigint FROM pg_trigger t WHERE t.tgrelid = $1::oid AND t.tgfoid = "
        "'sluice.note_lineage()'::regprocedure "
        "AND t.tgtype & 1 = 1 ORDER BY 1",
        &parameters);
    Traced traced{};
    traced.pipelines.values = static_cast<int64 *>(palloc(sizeof(int64) * (count + 1)));
    traced.numbers.values = static_cast<int64 *>(palloc(sizeof(int64) * (count + 1)));
    bool any = false, is_null;
    for (uint64 i = 0; i < count; i++) {
        const int64 pipeline = result_int(i, 1, &is_null);
        const Oid owner = pipeline_owner(static_cast<int32>(pipeline));
        any = any || OidIsValid(owner);
        if (!OidIsValid(owner) || !owns_or_is_member(owner))
            continue;
        traced.pipelines.values[traced.pipelines.count++] = pipeline;
        traced.numbers.values[traced.numbers.count++] = result_int(i, 2, &is_null);
    }
    free_result();
    if (!any)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("no pipeline with lineage writes %s", relation_name(table)),
                        errhint("SELECT sluice.alter_pipeline(..., lineage => true) keeps it from then on.")));
    if (traced.pipelines.count == 0)
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("must be owner of a pipeline that writes %s to trace its rows", relation_name(table))));
    return traced;
}

// ---- the key

// A KeyPart is a column that the caller named, and its value.
struct KeyPart {
    AttrNumber column;
    Datum value;
};

static char *json_text(const JsonbValue *value) {
    switch (value->type) {
    case jbvString:
        return pnstrdup(value->val.string.val, value->val.string.len);
    case jbvNumeric:
        return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
    case jbvBool:
        return pstrdup(value->val.boolean ? "true" : "false");
    case jbvBinary:
        return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
    default:
        argument_error("key", "must not have null values", NULL);
    }
}

static KeyPart read_part(Relation table, const char *name, const JsonbValue *value) {
    const AttrNumber number = get_attnum(RelationGetRelid(table), name);
    if (number <= 0) {
        const char *hint = nearest_column_hint(table, name);
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("key: column \"%s\" of %s does not exist", name, relation_name(RelationGetRelid(table))),
                        hint ? errhint("%s", hint) : 0));
    }
    Form_pg_attribute column = TupleDescAttr(RelationGetDescr(table), number - 1);
    Oid input, parameter;
    getTypeInputInfo(column->atttypid, &input, &parameter);
    KeyPart part{number, 0};
    at_place("key", [&] { part.value = OidInputFunctionCall(input, json_text(value), parameter, column->atttypmod); });
    return part;
}

static KeyPart *read_parts(Relation table, Jsonb *key, int *count) {
    if (!JB_ROOT_IS_OBJECT(key) || JB_ROOT_COUNT(key) == 0)
        argument_error("key", "must be an object with the columns of a key", "For example {\"id\": 7}.");
    KeyPart *parts = static_cast<KeyPart *>(palloc(sizeof(KeyPart) * JB_ROOT_COUNT(key)));
    JsonbIterator *iterator = JsonbIteratorInit(&key->root);
    JsonbValue value;
    const char *name = NULL;
    *count = 0;
    for (JsonbIteratorToken token; (token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE;) {
        if (token == WJB_KEY)
            name = pnstrdup(value.val.string.val, value.val.string.len);
        else if (token == WJB_VALUE)
            parts[(*count)++] = read_part(table, name, &value);
    }
    return parts;
}

static const char *plain_row_text(TupleDesc columns, const AttrNumber *numbers, int count, const Datum *values,
                                  const bool *nulls) {
    const int settings = enter_plain_texts();
    const RowText row = make_row_text(columns);
    const char *text = row_text(&row, numbers, count, values, nulls);
    AtEOXact_GUC(false, settings);
    return text;
}

// given_key writes the key of the row, if it is what the caller named; else NULL.
static const char *given_key(Relation table, List *key, const KeyPart *parts, int count) {
    TupleDesc columns = RelationGetDescr(table);
    Datum *values = static_cast<Datum *>(palloc0(sizeof(Datum) * columns->natts));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * columns->natts));
    memset(nulls, true, sizeof(bool) * columns->natts);
    for (int i = 0; i < count; i++) {
        values[parts[i].column - 1] = parts[i].value;
        nulls[parts[i].column - 1] = false;
    }
    const AttrNumber *numbers = key_numbers(table, key);
    bool same = count == list_length(key);
    for (int i = 0; same && i < count; i++)
        same = !nulls[numbers[i] - 1];
    return same ? plain_row_text(columns, numbers, count, values, nulls) : NULL;
}

// found_key looks the row up by what the caller named, with his rights; NULL: there is none.
static const char *found_key(Relation table, List *key, const KeyPart *parts, int count) {
    TupleDesc columns = RelationGetDescr(table);
    StringInfoData query;
    initStringInfo(&query);
    const char *name = relation_name(RelationGetRelid(table));
    appendStringInfo(&query, "SELECT %s FROM %s WHERE ", quoted_names(key), name);
    Oid *types = static_cast<Oid *>(palloc(sizeof(Oid) * count));
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * count));
    for (int i = 0; i < count; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, parts[i].column - 1);
        appendStringInfo(&query, "%s%s %s $%d", i ? " AND " : "", quote_identifier(NameStr(column->attname)),
                         equality_sql(column->atttypid, "key"), i + 1);
        types[i] = column->atttypid;
        values[i] = parts[i].value;
    }
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute_with_args(query.data, count, types, values, NULL, true, 2) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a look for a row");
    MemoryContextSwitchTo(memory);
    if (SPI_processed > 1)
        ereport(ERROR,
                (errcode(ERRCODE_CARDINALITY_VIOLATION), errmsg("key: several rows of %s have these values", name),
                 errhint("Rows of it are known by %s.", quoted_names(key))));
    if (SPI_processed == 0)
        return NULL;
    TupleDesc type = SPI_tuptable->tupdesc;
    Datum *found = static_cast<Datum *>(palloc(sizeof(Datum) * type->natts));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * type->natts));
    heap_deform_tuple(SPI_tuptable->vals[0], type, found, nulls);
    const char *text = plain_row_text(type, NULL, 0, found, nulls);
    free_result();
    return text;
}

static const char *row_key_of(Oid relation, Jsonb *key) {
    Relation table = table_open(relation, AccessShareLock);
    List *columns = lineage_key(table);
    int count;
    const KeyPart *parts = read_parts(table, key, &count);
    const bool may_look = pg_class_aclcheck(relation, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
    const char *text = NULL, *given = columns == NIL ? NULL : given_key(table, columns, parts, count);
    if (columns != NIL && (may_look || !given))
        text = found_key(table, columns, parts, count); // as it is written there: 7 is found by 7.0
    if (!text)
        text = given;
    table_close(table, NoLock);
    return text;
}

// ---- the entries

static void show_entries(const Traced *traced, const char *row_key, Tuplestorestate *result, TupleDesc columns) {
    Parameters parameters{};
    add_numbers(&parameters, traced->pipelines.values, traced->pipelines.count);
    add_numbers(&parameters, traced->numbers.values, traced->numbers.count);
    add_text(&parameters, row_key);
    const uint64 count =
        catalog_execute("WITH entries AS (SELECT l.* FROM unnest($1, $2) u(p, t) JOIN sluice.lineage l ON "
                        "hashtextextended(l.row_key, l.pipeline_id) = hashtextextended($3, u.p) AND l.pipeline_id = "
                        "u.p AND l.target = u.t "
                        "AND l.row_key = $3) "
                        "SELECT p.name, e.run_id, e.batch, e.written_at, e.operation, e.source_row, e.before::jsonb "
                        "FROM (SELECT * FROM "
                        "entries UNION ALL SELECT l.* FROM unnest($1, $2) u(p, t) JOIN sluice.lineage l ON "
                        "l.pipeline_id = u.p AND l.target "
                        "= u.t AND l.operation = 'truncate' WHERE l.entry > (SELECT min(entry) FROM entries)) e "
                        "JOIN sluice.pipeline p ON p.pipeline_id = e.pipeline_id ORDER BY e.entry DESC",
                        &parameters);
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * columns->natts));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * columns->natts));
    for (uint64 i = 0; i < count; i++) {
        heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
        tuplestore_putvalues(result, columns, values, nulls);
    }
    free_result();
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_trace);
Datum sluice_trace(PG_FUNCTION_ARGS) {
    static const char *const names[] = {"target", "key"};
    require_same_version();
    for (int i = 0; i < 2; i++)
        if (PG_ARGISNULL(i))
            argument_error(names[i], "must not be null", NULL);
    const Oid table = PG_GETARG_OID(0);
    if (!get_rel_name(table))
        argument_error("target", psprintf("relation %u does not exist", table), NULL);
    TupleDesc columns;
    Tuplestorestate *result = begin_result_rows(fcinfo, &columns);
    SPI_connect();
    flush_lineage();
    const Traced traced = find_pipelines(table);
    const char *row_key = row_key_of(table, PG_GETARG_JSONB_P(1));
    if (row_key)
        show_entries(&traced, row_key, result, columns);
    SPI_finish();
    PG_RETURN_NULL();
}

} // extern "C"
