// See cursor.hpp. Here is what does not depend on the kind of cursor, and where the kinds are told apart.
#include "cursor.hpp"

#include "catalog.hpp"
#include "hash_cursor.hpp"
#include "names.hpp"
#include "sequence_cursor.hpp"
#include "snapshot_cursor.hpp"
#include "trigger_cursor.hpp"

namespace sluice {

static bool is_kind(const char *cursor, const char *kind) { return strcmp(cursor, kind) == 0; }

Cursor *make_cursor(const Pipeline *pipeline, MemoryContext memory) {
    MemoryContext before = MemoryContextSwitchTo(memory);
    Cursor *cursor = is_kind(pipeline->cursor, "sequence")   ? make_sequence_cursor(pipeline, memory)
                     : is_kind(pipeline->cursor, "snapshot") ? make_snapshot_cursor(pipeline, memory)
                     : is_kind(pipeline->cursor, "trigger")  ? make_trigger_cursor(pipeline, memory)
                                                             : make_hash_cursor(pipeline, memory);
    MemoryContextSwitchTo(before);
    return cursor;
}

static void check_kind(const char *cursor) {
    static const char *const known[] = {"sequence", "hash", "snapshot"};
    for (int i = 0; i < static_cast<int>(lengthof(known)); i++)
        if (strcmp(cursor, known[i]) == 0)
            return;
    argument_error("cursor", psprintf("\"%s\" is no cursor", cursor), nearest_of(cursor, known, lengthof(known)));
}

static bool is_table(Relation source) {
    return source->rd_rel->relkind == RELKIND_RELATION || source->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
}

// is_column tells whether an order is just the name of a column that a sequence fills.
static bool is_sequence_column(Relation source, const char *order_by) {
    const AttrNumber column = get_attnum(RelationGetRelid(source), order_by);
    return column > 0 && OidIsValid(default_sequence(source, column));
}

static const char *sequence_order(Relation source, const char *order_by) {
    if (order_by)
        return order_by;
    if (!is_table(source))
        (void)check_sequence_source(source, ""); // says what is wrong with such a source
    order_by = choose_sequence_column(source);
    if (!order_by)
        argument_error("order_by",
                       psprintf("the primary key of %s has no column filled by a sequence or identity",
                                relation_name(RelationGetRelid(source))),
                       "Name a column that is an identity or has nextval() as its default.");
    return order_by;
}

static const char *snapshot_order(Relation source, const char *order_by) {
    if (!order_by)
        order_by = find_stamp_column(source);
    if (!order_by)
        argument_error("order_by",
                       psprintf("%s has no column of type xid8 with the default pg_current_xact_id()",
                                relation_name(RelationGetRelid(source))),
                       is_table(source) ? psprintf("Run SELECT sluice.add_snapshot_column(%s).",
                                                   quote_literal_cstr(relation_name(RelationGetRelid(source))))
                                        : "It is no table: use cursor \"hash\", or read the table behind it.");
    return order_by;
}

// With nothing said, a source whose primary key counts up is read by it; with another order_by it is not what is wanted.
static const char *automatic_cursor(Relation source, const char *order_by) {
    const char *column = is_table(source) ? choose_sequence_column(source) : NULL;
    if (order_by)
        return is_table(source) && is_sequence_column(source, order_by) ? "sequence" : "hash";
    return column ? "sequence" : "hash";
}

void choose_cursor(NewPipeline *pipeline, Relation source) {
    if (pipeline->cursor)
        check_kind(pipeline->cursor);
    else
        pipeline->cursor = automatic_cursor(source, pipeline->order_by);
    if (is_kind(pipeline->cursor, "sequence"))
        pipeline->order_by = sequence_order(source, pipeline->order_by);
    if (is_kind(pipeline->cursor, "snapshot"))
        pipeline->order_by = snapshot_order(source, pipeline->order_by);
    if (is_kind(pipeline->cursor, "hash"))
        return;
    if (pipeline->lookback)
        argument_error("lookback", psprintf("is for cursor \"hash\", not for \"%s\"", pipeline->cursor), NULL);
    if (pipeline->recheck)
        argument_error("recheck", psprintf("is for cursor \"hash\", not for \"%s\"", pipeline->cursor), NULL);
    if (pipeline->duplicates)
        argument_error("duplicates", psprintf("is for cursor \"hash\", not for \"%s\"", pipeline->cursor), NULL);
}

void check_new_cursor(const NewPipeline *pipeline, Relation source) {
    if (is_kind(pipeline->cursor, "sequence"))
        check_new_sequence_cursor(pipeline, source);
    else if (is_kind(pipeline->cursor, "snapshot"))
        check_new_snapshot_cursor(pipeline, source);
    else
        check_new_hash_cursor(pipeline, source);
    warn_of_hidden_rows(RelationGetRelid(source));
}

void start_cursor(const NewPipeline *pipeline, int32 id, Relation source) {
    if (is_kind(pipeline->cursor, "sequence"))
        start_sequence_cursor(pipeline, id, source);
    else if (is_kind(pipeline->cursor, "snapshot"))
        start_snapshot_cursor(pipeline, id, source);
    else
        start_hash_cursor(pipeline, id, source);
}

void warn_of_hidden_rows(Oid source) {
    if (check_enable_rls(source, InvalidOid, true) == RLS_ENABLED)
        ereport(WARNING, (errmsg("row-level security may hide rows of source %s from role %s", relation_name(source),
                                 quote_identifier(GetUserNameFromId(GetUserId(), false))),
                          errdetail("Rows that are hidden when the position passes them are not loaded later either."),
                          errhint("Let a role own the pipeline to which no policy applies.")));
}

bool may_select_all(Oid relation) {
    return may_use_schema(get_rel_namespace(relation)) &&
           (pg_class_aclcheck(relation, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
            pg_attribute_aclcheck_all(relation, GetUserId(), ACL_SELECT, ACLMASK_ALL) == ACLCHECK_OK);
}

int64 count_rows(const char *query, int parameters, Oid *types, Datum *values) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute_with_args(query, parameters, types, values, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
        elog(ERROR, "unexpected result of a count");
    MemoryContextSwitchTo(memory);
    bool is_null;
    const int64 count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
    SPI_freetuptable(SPI_tuptable);
    return is_null ? 0 : count;
}

int64 Cursor::pending(Relation source) {
    return count_rows(psprintf("SELECT pg_catalog.count(*) FROM %s s WHERE %s", relation_name(RelationGetRelid(source)),
                               unread(source)),
                      0, NULL, NULL);
}

int64 rows_total(const Pipeline *pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    catalog_execute("SELECT coalesce(max(rows_total), 0)::bigint FROM "
                    "(SELECT rows_total FROM sluice.sequence_position WHERE pipeline_id = $1::int UNION ALL "
                    "SELECT rows_total FROM sluice.arrival_position WHERE pipeline_id = $1::int) p",
                    &parameters);
    bool is_null;
    const int64 total = result_int(0, 1, &is_null);
    free_result();
    return total;
}

void check_read_columns(const Pipeline *pipeline, Relation source) {
    if (pipeline->document)
        (void)find_source_column(source, pipeline->document, "document");
    ListCell *cell;
    foreach (cell, pipeline->content_columns)
        (void)find_source_column(source, static_cast<const char *>(lfirst(cell)), "cursor \"hash\"");
}

int64 Cursor::lost(Relation source, int64 rows) {
    const char *read = psprintf("SELECT pg_catalog.count(*) FROM %s s WHERE NOT (%s)",
                                relation_name(RelationGetRelid(source)), unread(source));
    return Max(static_cast<int64>(0), rows - count_rows(read, 0, NULL, NULL));
}

static bool is_string(const Value &value, const char *text) {
    return value.kind == ValueKind::String && value.length == strlen(text) &&
           memcmp(value.text, text, value.length) == 0;
}

Value position_member(Jsonb *position, const char *cursor, const char *member) {
    const Value object = value_of_jsonb(position);
    const bool fits = object.kind == ValueKind::Object;
    const Value kind = fits ? value_member(object, "cursor", strlen("cursor")) : absent_value();
    if (!fits || (kind.kind != ValueKind::Absent && !is_string(kind, cursor)))
        argument_error("position", psprintf("is no position of a %s cursor", cursor),
                       "It looks like what sluice.cursor_position shows.");
    return value_member(object, member, strlen(member));
}

char *value_string(const Value &value) {
    return value.kind == ValueKind::String ? pnstrdup(value.text, value.length) : NULL;
}

void refuse_going_back(const Pipeline *pipeline, Oid source) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("pipeline \"%s\" cannot go back: rows of source %s that it has read would be loaded twice",
                           pipeline->name, relation_name(source)),
                    errhint("CALL sluice.rewind undoes what was loaded; CALL sluice.rebuild loads everything anew.")));
    pg_unreachable();
}

} // namespace sluice
