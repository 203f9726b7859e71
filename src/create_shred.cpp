// Creating and altering shred pipelines: every argument is checked at once, as the run will need it.
#include "postgres.hpp"

#include "catalog.hpp"
#include "mapping.hpp"
#include "pipeline.hpp"
#include "rights.hpp"
#include "sequence_cursor.hpp"
#include "shred.hpp"

namespace sluice {

static char *text_argument(FunctionCallInfo fcinfo, int number) {
    return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

static void check_batch_size(FunctionCallInfo fcinfo, int number) {
    if (!PG_ARGISNULL(number) && PG_GETARG_INT32(number) < 1)
        argument_error("batch_size", "must be at least 1", NULL);
}

static const char *check_cursor(Relation source, const char *cursor, const char *order_by) {
    static const char *const known[] = {"sequence", "hash", "snapshot"};
    if (cursor && strcmp(cursor, "sequence") != 0) {
        if (strcmp(cursor, "hash") == 0 || strcmp(cursor, "snapshot") == 0)
            ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                            errmsg("cursor: \"%s\" is not supported by this version", cursor)));
        argument_error("cursor", psprintf("\"%s\" is no cursor", cursor), nearest_of(cursor, known, lengthof(known)));
    }
    const char kind = source->rd_rel->relkind;
    if (!order_by && (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE))
        order_by = choose_sequence_column(source);
    else if (!order_by)
        (void)check_sequence_source(source, ""); // says what is wrong with such a source
    if (!order_by)
        argument_error("order_by",
                       psprintf("the primary key of %s has no column filled by a sequence or identity",
                                relation_name(RelationGetRelid(source))),
                       "Name a column that is an identity or has nextval() as its default.");
    return order_by;
}

static void check_select(Oid source, const AttrNumber *columns, int count) {
    if (pg_class_aclcheck(source, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
        return;
    for (int i = 0; i < count; i++)
        if (pg_attribute_aclcheck(source, columns[i], GetUserId(), ACL_SELECT) != ACLCHECK_OK)
            aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(source)), get_rel_name(source));
}

static void check_source_rights(const ShredPlan *plan, Relation source, const char *document, const char *order_by) {
    const Oid relation = RelationGetRelid(source);
    AttrNumber *columns = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * (plan->source_column_count + 2)));
    memcpy(columns, plan->source_columns, sizeof(AttrNumber) * plan->source_column_count);
    columns[plan->source_column_count] = get_attnum(relation, document);
    columns[plan->source_column_count + 1] = get_attnum(relation, order_by);
    check_select(relation, columns, plan->source_column_count + 2);
}

static void check_target_rights(const ShredTable *table) {
    if (pg_class_aclcheck(table->relation, GetUserId(), ACL_INSERT) == ACLCHECK_OK)
        return;
    for (int column = -1; (column = bms_next_member(table->written, column)) >= 0;)
        if (pg_attribute_aclcheck(table->relation, column, GetUserId(), ACL_INSERT) != ACLCHECK_OK)
            aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(table->relation)),
                           get_rel_name(table->relation));
}

static void check_rights(const ShredPlan *plan, Relation source, const char *document, const char *order_by) {
    check_source_rights(plan, source, document, order_by);
    for (int i = 0; i < plan->table_count; i++)
        check_target_rights(&plan->tables[i]);
}

// check_numbers refuses a source whose rows have numbers that its sequence has not reached: it would draw them again.
static void check_numbers(Oid source, const char *order_by, Oid sequence) {
    int64 highest;
    if (!highest_number(source, order_by, &highest))
        return;
    const int64 last = sequence_last_value(sequence); // after the rows were looked at
    if (last == nothing_read || highest > last)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("source %s has a row with %s = " INT64_FORMAT ", but its sequence stands at %s",
                               relation_name(source), quote_identifier(order_by), highest,
                               last == nothing_read ? "its start" : psprintf(INT64_FORMAT, last)),
                        errhint("Run SELECT setval(%s, " INT64_FORMAT ").", quote_literal_cstr(relation_name(sequence)),
                                highest)));
}

static void note_missing_index(Relation source, const char *order_by) {
    if (has_order_index(source, get_attnum(RelationGetRelid(source), order_by)))
        return;
    ereport(NOTICE, (errmsg("no index of source %s begins with %s: every batch will read the whole source",
                            relation_name(RelationGetRelid(source)), quote_identifier(order_by)),
                     errhint("Run CREATE INDEX ON %s (%s).", relation_name(RelationGetRelid(source)),
                             quote_identifier(order_by))));
}

static void create_shred(FunctionCallInfo fcinfo) {
    static const char *const required[] = {"name", "source", "document", "mapping"};
    for (int i = 0; i < static_cast<int>(lengthof(required)); i++)
        if (PG_ARGISNULL(i))
            argument_error(required[i], "must not be null", NULL);
    check_batch_size(fcinfo, 6);
    NewPipeline pipeline{};
    pipeline.name = text_argument(fcinfo, 0);
    pipeline.kind = "shred";
    pipeline.source = PG_GETARG_OID(1);
    if (!get_rel_name(pipeline.source))
        argument_error("source", psprintf("relation %u does not exist", pipeline.source), NULL);
    pipeline.document = pstrdup(NameStr(*PG_GETARG_NAME(2)));
    pipeline.mapping = text_argument(fcinfo, 3);
    pipeline.batch_size = PG_ARGISNULL(6) ? 0 : PG_GETARG_INT32(6);
    Relation source = relation_open(pipeline.source, AccessShareLock);
    pipeline.order_by = check_cursor(source, text_argument(fcinfo, 4), text_argument(fcinfo, 5));
    (void)document_type(source, pipeline.document);
    const Oid sequence = check_sequence_source(source, pipeline.order_by);
    warn_of_hidden_rows(pipeline.source);
    const ShredPlan *plan = plan_shred(read_mapping(pipeline.mapping, strlen(pipeline.mapping)), source);
    check_rights(plan, source, pipeline.document, pipeline.order_by);
    check_numbers(pipeline.source, pipeline.order_by, sequence);
    pipeline.cursor = "sequence";
    const SequencePosition position = start_sequence_position(sequence);
    insert_sequence_position(insert_pipeline(&pipeline), &position);
    note_missing_index(source, pipeline.order_by);
    relation_close(source, NoLock);
}

static void check_new_mapping(const Pipeline *pipeline, const char *mapping) {
    const OwnerScope owner = switch_to_owner(pipeline);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    check_rights(plan_shred(read_mapping(mapping, strlen(mapping)), source), source, pipeline->document,
                 pipeline->order_by);
    relation_close(source, AccessShareLock);
    switch_back(&owner);
}

static void alter_pipeline(FunctionCallInfo fcinfo) {
    if (PG_ARGISNULL(0))
        argument_error("name", "must not be null", NULL);
    check_batch_size(fcinfo, 2);
    const Pipeline *pipeline = find_pipeline(text_argument(fcinfo, 0));
    const char *mapping = text_argument(fcinfo, 1);
    if (mapping)
        check_new_mapping(pipeline, mapping);
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_text(&parameters, mapping);
    if (PG_ARGISNULL(2))
        add_null(&parameters, INT8OID);
    else
        add_int(&parameters, PG_GETARG_INT32(2));
    catalog_execute(
        "UPDATE sluice.pipeline SET mapping = coalesce($2::json, mapping), batch_size = coalesce($3::int, batch_size) "
        "WHERE pipeline_id = $1::int",
        &parameters);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_create_shred);
Datum sluice_create_shred(PG_FUNCTION_ARGS) {
    SPI_connect();
    create_shred(fcinfo);
    SPI_finish();
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(sluice_alter_pipeline);
Datum sluice_alter_pipeline(PG_FUNCTION_ARGS) {
    SPI_connect();
    alter_pipeline(fcinfo);
    SPI_finish();
    PG_RETURN_VOID();
}

} // extern "C"
