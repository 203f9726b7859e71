// Creating and altering shred pipelines: every argument is checked at once, as the run will need it.
#include "postgres.hpp"

#include "catalog.hpp"
#include "cursor.hpp"
#include "mapping.hpp"
#include "order.hpp"
#include "pipeline.hpp"
#include "rights.hpp"
#include "shred.hpp"

namespace sluice {

static char *text_argument(FunctionCallInfo fcinfo, int number) {
    return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

static char *name_text(FunctionCallInfo fcinfo, int number) { return pstrdup(NameStr(*PG_GETARG_NAME(number))); }

static void check_batch_size(FunctionCallInfo fcinfo, int number) {
    if (!PG_ARGISNULL(number) && PG_GETARG_INT32(number) < 1)
        argument_error("batch_size", "must be at least 1", NULL);
}

static void check_select(Oid source, const AttrNumber *columns, int count) {
    if (pg_class_aclcheck(source, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
        return;
    for (int i = 0; i < count; i++)
        if (pg_attribute_aclcheck(source, columns[i], GetUserId(), ACL_SELECT) != ACLCHECK_OK)
            aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(source)), get_rel_name(source));
}

// The order is an expression: whether its columns may be read is found out when it is planned.
static void check_source_rights(const ShredPlan *plan, Relation source, const char *document) {
    const Oid relation = RelationGetRelid(source);
    AttrNumber *columns = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * (plan->source_column_count + 1)));
    memcpy(columns, plan->source_columns, sizeof(AttrNumber) * plan->source_column_count);
    columns[plan->source_column_count] = get_attnum(relation, document);
    check_select(relation, columns, plan->source_column_count + 1);
}

static void check_columns_right(Oid relation, const Bitmapset *columns, AclMode right) {
    if (pg_class_aclcheck(relation, GetUserId(), right) == ACLCHECK_OK)
        return;
    for (int column = -1; (column = bms_next_member(columns, column)) >= 0;)
        if (pg_attribute_aclcheck(relation, column, GetUserId(), right) != ACLCHECK_OK)
            aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(relation)), get_rel_name(relation));
}

// check_key_rights: rows are found by their key, and written over but for it.
static void check_key_rights(const ShredTable *table) {
    Bitmapset *key = NULL;
    for (int i = 0; i < table->mapped->key_count; i++)
        key = bms_add_member(key, get_attnum(table->relation, table->mapped->key[i]));
    if (table->mode == Mode::Upsert || table->mode == Mode::Merge)
        check_columns_right(table->relation, bms_difference(table->written, key), ACL_UPDATE);
    if (table->newest_by)
        key = bms_add_member(key, table->newest_by);
    check_columns_right(table->relation, bms_add_members(key, table->returned), ACL_SELECT);
}

static void check_replace_rights(const ShredTable *table) {
    if (pg_class_aclcheck(table->relation, GetUserId(), ACL_DELETE) != ACLCHECK_OK)
        aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(table->relation)),
                       get_rel_name(table->relation));
    Bitmapset *references = NULL;
    for (int i = 0; i < table->reference_count; i++)
        references = bms_add_member(references, table->references[i].child);
    check_columns_right(table->relation, references, ACL_SELECT);
}

static void check_target_rights(const ShredTable *table) {
    check_columns_right(table->relation, table->written, ACL_INSERT);
    if (table->mapped->key_count > 0)
        check_key_rights(table);
    if (table->mode == Mode::Replace)
        check_replace_rights(table);
}

static void check_rights(const ShredPlan *plan, Relation source, const char *document) {
    check_source_rights(plan, source, document);
    for (int i = 0; i < plan->table_count; i++)
        check_target_rights(&plan->tables[i]);
}

// The arguments of sluice.create_shred, in their order.
namespace argument {
enum { Name, Source, Document, MappingText, CursorName, OrderBy, Lookback, Duplicates, Recheck, BatchSize };
}

static const char *check_duplicates(const char *duplicates) {
    static const char *const known[] = {"skip", "keep"};
    if (duplicates && strcmp(duplicates, "skip") != 0 && strcmp(duplicates, "keep") != 0)
        argument_error("duplicates", psprintf("\"%s\" is neither \"skip\" nor \"keep\"", duplicates),
                       nearest_of(duplicates, known, lengthof(known)));
    return duplicates;
}

static const Interval *recheck_argument(FunctionCallInfo fcinfo, int number) {
    if (PG_ARGISNULL(number))
        return NULL;
    const Interval *recheck = PG_GETARG_INTERVAL_P(number);
    if (recheck->month < 0 || recheck->day < 0 || recheck->time < 0)
        argument_error("recheck", "must not be negative", "'0' compares in every run.");
    return recheck;
}

static void read_arguments(FunctionCallInfo fcinfo, NewPipeline *pipeline) {
    using namespace argument;
    static const char *const required[] = {"name", "source", "document", "mapping"};
    for (int i = 0; i < static_cast<int>(lengthof(required)); i++)
        if (PG_ARGISNULL(i))
            argument_error(required[i], "must not be null", NULL);
    check_batch_size(fcinfo, BatchSize);
    pipeline->name = text_argument(fcinfo, Name);
    pipeline->kind = "shred";
    pipeline->source = PG_GETARG_OID(Source);
    if (!get_rel_name(pipeline->source))
        argument_error("source", psprintf("relation %u does not exist", pipeline->source), NULL);
    pipeline->document = name_text(fcinfo, Document);
    pipeline->mapping = text_argument(fcinfo, MappingText);
    pipeline->cursor = text_argument(fcinfo, CursorName);
    pipeline->order_by = text_argument(fcinfo, OrderBy);
    pipeline->lookback = text_argument(fcinfo, Lookback);
    pipeline->duplicates = check_duplicates(text_argument(fcinfo, Duplicates));
    pipeline->recheck = recheck_argument(fcinfo, Recheck);
    pipeline->batch_size = PG_ARGISNULL(BatchSize) ? 0 : PG_GETARG_INT32(BatchSize);
}

static void check_source_kind(Oid source) {
    const char kind = get_rel_relkind(source);
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
        kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("source: %s is no table, view or foreign table", relation_name(source))));
}

static void create_shred(FunctionCallInfo fcinfo) {
    NewPipeline pipeline{};
    read_arguments(fcinfo, &pipeline);
    check_source_kind(pipeline.source);
    Relation source = relation_open(pipeline.source, AccessShareLock);
    choose_cursor(&pipeline, source);
    (void)document_type(source, pipeline.document);
    const ShredPlan *plan = plan_shred(read_mapping(pipeline.mapping, strlen(pipeline.mapping)), source);
    check_rights(plan, source, pipeline.document);
    check_new_cursor(&pipeline, source);
    start_cursor(&pipeline, insert_pipeline(&pipeline), source);
    advise_indexes(plan);
    relation_close(source, NoLock);
}

static void check_new_mapping(const Pipeline *pipeline, const char *mapping) {
    const OwnerScope owner = switch_to_owner(pipeline);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    check_rights(plan_shred(read_mapping(mapping, strlen(mapping)), source), source, pipeline->document);
    relation_close(source, AccessShareLock);
    switch_back(&owner);
}

// check_new_lookback checks what only a hash cursor has, against its order.
static void check_new_lookback(const Pipeline *pipeline, const char *lookback) {
    if (strcmp(pipeline->cursor, "hash") != 0)
        argument_error(lookback ? "lookback" : "recheck",
                       psprintf("is for cursor \"hash\", not for \"%s\"", pipeline->cursor), NULL);
    if (!lookback)
        return;
    const OwnerScope owner = switch_to_owner(pipeline);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    Order order = read_order(source, pipeline->order_by);
    check_lookback(&order, lookback);
    relation_close(source, AccessShareLock);
    switch_back(&owner);
}

static void alter_pipeline(FunctionCallInfo fcinfo) {
    enum { name, mapping, lookback, recheck, batch_size };
    if (PG_ARGISNULL(name))
        argument_error("name", "must not be null", NULL);
    check_batch_size(fcinfo, batch_size);
    const Pipeline *pipeline = find_pipeline(text_argument(fcinfo, name));
    const Interval *new_recheck = recheck_argument(fcinfo, recheck);
    if (!PG_ARGISNULL(mapping))
        check_new_mapping(pipeline, text_argument(fcinfo, mapping));
    if (!PG_ARGISNULL(lookback) || new_recheck)
        check_new_lookback(pipeline, text_argument(fcinfo, lookback));
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_text(&parameters, text_argument(fcinfo, mapping));
    add_text(&parameters, text_argument(fcinfo, lookback));
    if (new_recheck)
        add_value(&parameters, INTERVALOID, IntervalPGetDatum(new_recheck));
    else
        add_null(&parameters, INTERVALOID);
    if (PG_ARGISNULL(batch_size))
        add_null(&parameters, INT8OID);
    else
        add_int(&parameters, PG_GETARG_INT32(batch_size));
    catalog_execute(
        "UPDATE sluice.pipeline SET mapping = coalesce($2::json, mapping), lookback = coalesce($3, lookback), "
        "recheck = coalesce($4, recheck), batch_size = coalesce($5::int, batch_size) "
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
