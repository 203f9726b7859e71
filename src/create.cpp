// See create.hpp.
#include "create.hpp"

#include "catalog.hpp"
#include "names.hpp"
#include "stamp.hpp"

namespace sluice {

char *text_argument(FunctionCallInfo fcinfo, int number) {
    return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

char *name_text(FunctionCallInfo fcinfo, int number) { return pstrdup(NameStr(*PG_GETARG_NAME(number))); }

void check_batch_size(FunctionCallInfo fcinfo, int number) {
    if (!PG_ARGISNULL(number) && PG_GETARG_INT32(number) < 1)
        argument_error("batch_size", "must be at least 1", NULL);
}

const char *check_word(const char *argument, const char *word, const char *const *known, int count) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < count; i++) {
        if (!word || strcmp(word, known[i]) == 0)
            return word;
        appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : i + 1 < count ? ", " : " or ", known[i]);
    }
    const char *hint = nearest_of(word, known, count);
    argument_error(argument, psprintf("\"%s\" is not %s", word, list.data), hint);
}

const char *check_on_error(const char *on_error) {
    static const char *const known[] = {"stop", "reject"};
    return check_word("on_error", on_error, known, lengthof(known));
}

int64 max_rejects_argument(FunctionCallInfo fcinfo, int number) {
    if (PG_ARGISNULL(number))
        return -1;
    if (PG_GETARG_INT64(number) < 0)
        argument_error("max_rejects", "must not be negative", "Null sets no limit.");
    return PG_GETARG_INT64(number);
}

int max_failures_argument(FunctionCallInfo fcinfo, int number) {
    if (PG_ARGISNULL(number))
        return -1;
    if (PG_GETARG_INT32(number) < 0)
        argument_error("max_failures", "must not be negative", "0 never pauses the pipeline.");
    return PG_GETARG_INT32(number);
}

static const char *check_duplicates(const char *duplicates) {
    static const char *const known[] = {"skip", "keep"};
    if (duplicates && strcmp(duplicates, "skip") != 0 && strcmp(duplicates, "keep") != 0)
        argument_error("duplicates", psprintf("\"%s\" is neither \"skip\" nor \"keep\"", duplicates),
                       nearest_of(duplicates, known, lengthof(known)));
    return duplicates;
}

const Interval *recheck_argument(FunctionCallInfo fcinfo, int number) {
    if (PG_ARGISNULL(number))
        return NULL;
    const Interval *recheck = PG_GETARG_INTERVAL_P(number);
    if (recheck->month < 0 || recheck->day < 0 || recheck->time < 0)
        argument_error("recheck", "must not be negative", "'0' compares in every run.");
    return recheck;
}

static void check_source_kind(Oid source) {
    const char kind = get_rel_relkind(source);
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
        kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("source: %s is no table, view or foreign table", relation_name(source))));
}

List *names_argument(FunctionCallInfo fcinfo, int number, const char *name) {
    if (PG_ARGISNULL(number))
        return NIL;
    Datum *values;
    bool *nulls;
    int count;
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(number), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
    List *names = NIL;
    for (int i = 0; i < count; i++) {
        if (nulls[i])
            argument_error(name, "must not have null elements", NULL);
        names = lappend(names, TextDatumGetCString(values[i]));
    }
    return names;
}

void check_columns_right(Oid relation, const Bitmapset *columns, AclMode right) {
    if (pg_class_aclcheck(relation, GetUserId(), right) == ACLCHECK_OK)
        return;
    for (int column = -1; (column = bms_next_member(columns, column)) >= 0;)
        if (pg_attribute_aclcheck(relation, column, GetUserId(), right) != ACLCHECK_OK)
            aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(relation)), get_rel_name(relation));
}

void require_arguments(FunctionCallInfo fcinfo, const char *const *names, int count) {
    require_same_version();
    for (int i = 0; i < count; i++)
        if (PG_ARGISNULL(i))
            argument_error(names[i], "must not be null", NULL);
}

void read_common_arguments(FunctionCallInfo fcinfo, int first, NewPipeline *pipeline) {
    enum {
        cursor,
        order_by,
        lookback,
        duplicates,
        recheck,
        batch_size,
        on_error,
        max_rejects,
        max_failures,
        after,
        checks,
        lineage
    };
    check_batch_size(fcinfo, first + batch_size);
    pipeline->name = text_argument(fcinfo, 0);
    pipeline->source = PG_GETARG_OID(1);
    if (!get_rel_name(pipeline->source))
        argument_error("source", psprintf("relation %u does not exist", pipeline->source), NULL);
    check_source_kind(pipeline->source);
    pipeline->cursor = text_argument(fcinfo, first + cursor);
    pipeline->order_by = text_argument(fcinfo, first + order_by);
    pipeline->lookback = text_argument(fcinfo, first + lookback);
    pipeline->duplicates = check_duplicates(text_argument(fcinfo, first + duplicates));
    pipeline->recheck = recheck_argument(fcinfo, first + recheck);
    pipeline->batch_size = PG_ARGISNULL(first + batch_size) ? 0 : PG_GETARG_INT32(first + batch_size);
    pipeline->on_error = check_on_error(text_argument(fcinfo, first + on_error));
    pipeline->max_rejects = max_rejects_argument(fcinfo, first + max_rejects);
    pipeline->max_failures = max_failures_argument(fcinfo, first + max_failures);
    pipeline->after = names_argument(fcinfo, first + after, "after");
    pipeline->checks = names_argument(fcinfo, first + checks, "checks");
    pipeline->lineage = !PG_ARGISNULL(first + lineage) && PG_GETARG_BOOL(first + lineage);
}

// A row is known by all of its columns as they are now: one that is added later does not make every row a new one. A snapshot
// column says when it was delivered, not what it is.
void read_rows_as_they_are(NewPipeline *pipeline, Relation source) {
    TupleDesc columns = RelationGetDescr(source);
    const char *stamp = find_stamp_column(source);
    if (strcmp(pipeline->cursor, "hash") != 0)
        return;
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        if (!column->attisdropped && !(stamp && strcmp(stamp, NameStr(column->attname)) == 0))
            pipeline->content_columns = lappend(pipeline->content_columns, pstrdup(NameStr(column->attname)));
    }
    if (!pipeline->duplicates)
        pipeline->duplicates = "keep";
}

} // namespace sluice
