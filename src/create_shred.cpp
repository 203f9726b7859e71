// Creating and altering shred pipelines: every argument is checked at once, as the run will need it.
#include "postgres.hpp"

#include "catalog.hpp"
#include "cursor.hpp"
#include "ddl.hpp"
#include "infer.hpp"
#include "mapping.hpp"
#include "mapping_text.hpp"
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
enum {
    Name,
    Source,
    Document,
    MappingText,
    TargetSchema,
    Unknown,
    CursorName,
    OrderBy,
    Lookback,
    Duplicates,
    Recheck,
    BatchSize,
    OnError,
    MaxRejects
};
}

// check_word refuses a word that is none of the known ones.
static const char *check_word(const char *argument, const char *word, const char *const *known, int count) {
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

static const char *check_unknown(const char *unknown) {
    static const char *const known[] = {"ignore", "add", "keep", "reject"};
    return check_word("unknown", unknown, known, lengthof(known));
}

static const char *check_on_error(const char *on_error) {
    static const char *const known[] = {"stop", "reject"};
    return check_word("on_error", on_error, known, lengthof(known));
}

static int64 max_rejects_argument(FunctionCallInfo fcinfo, int number) {
    if (PG_ARGISNULL(number))
        return -1;
    if (PG_GETARG_INT64(number) < 0)
        argument_error("max_rejects", "must not be negative", "Null sets no limit.");
    return PG_GETARG_INT64(number);
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
    static const char *const required[] = {"name", "source", "document"};
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
    pipeline->unknown = check_unknown(text_argument(fcinfo, Unknown));
    pipeline->on_error = check_on_error(text_argument(fcinfo, OnError));
    pipeline->max_rejects = max_rejects_argument(fcinfo, MaxRejects);
}

static void check_source_kind(Oid source) {
    const char kind = get_rel_relkind(source);
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
        kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("source: %s is no table, view or foreign table", relation_name(source))));
}

static void execute(const char *statement) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(statement, false, 0) < 0)
        elog(ERROR, "unexpected result of a statement that creates a target");
    MemoryContextSwitchTo(memory);
}

static const char *first_schema() {
    List *path = fetch_search_path(false);
    if (path == NIL)
        argument_error("target_schema", "is null, and search_path names no schema that exists",
                       "Say in which schema the tables are to be created.");
    return get_namespace_name(linitial_oid(path));
}

// infer_targets infers a mapping from the documents and creates its tables.
static void infer_targets(NewPipeline *pipeline, Relation source, const char *schema) {
    constexpr int sample = 10000;
    if (!schema)
        schema = first_schema();
    if (!OidIsValid(get_namespace_oid(schema, true)))
        execute(psprintf("CREATE SCHEMA %s", quote_identifier(schema)));
    const Mapping *mapping = infer_source(source, pipeline->document, sample, pipeline->name, schema);
    StringInfoData text, statements;
    initStringInfo(&text);
    initStringInfo(&statements);
    append_mapping(&text, mapping);
    append_mapping_ddl(&statements, mapping);
    execute(statements.data);
    CommandCounterIncrement();
    pipeline->mapping = text.data;
    if (!pipeline->unknown)
        pipeline->unknown = "add";
}

static void prepare_mapping(NewPipeline *pipeline, Relation source, FunctionCallInfo fcinfo) {
    const char *schema = PG_ARGISNULL(argument::TargetSchema) ? NULL : name_text(fcinfo, argument::TargetSchema);
    if (pipeline->mapping && schema)
        argument_error("target_schema", "is for pipelines without a mapping, whose tables sluice creates",
                       "Write the schema into the mapping's table names; sluice.ddl(mapping) gives the statements that "
                       "create them.");
    if (!pipeline->mapping)
        infer_targets(pipeline, source, schema);
}

// check_rests sees to it that what is to be kept has a place.
static void check_rests(const char *unknown, const ShredPlan *plan) {
    if (!unknown || strcmp(unknown, "keep") != 0)
        return;
    for (int i = 0; i < plan->table_count; i++) {
        const ShredTable *table = &plan->tables[i];
        bool rest = table->parent >= 0;
        for (int c = 0; c < table->column_count; c++)
            rest = rest || table->columns[c].mapped->form == ValueForm::Rest;
        if (!rest)
            argument_error("unknown",
                           psprintf("\"keep\" needs a column of %s that is mapped to \"#rest\"", table->mapped->name),
                           "Add a jsonb column to the table and to its \"columns\": \"rest\": \"#rest\".");
    }
}

static void create_shred(FunctionCallInfo fcinfo) {
    NewPipeline pipeline{};
    read_arguments(fcinfo, &pipeline);
    check_source_kind(pipeline.source);
    Relation source = relation_open(pipeline.source, AccessShareLock);
    choose_cursor(&pipeline, source);
    (void)document_type(source, pipeline.document);
    prepare_mapping(&pipeline, source, fcinfo);
    const ShredPlan *plan = plan_shred(read_mapping(pipeline.mapping, strlen(pipeline.mapping)), source, false);
    check_rests(pipeline.unknown, plan);
    check_rights(plan, source, pipeline.document);
    check_new_cursor(&pipeline, source);
    start_cursor(&pipeline, insert_pipeline(&pipeline), source);
    advise_indexes(plan);
    relation_close(source, NoLock);
}

// check_new_mapping checks the mapping that is to be, and whether it goes with `unknown`.
static void check_new_mapping(const Pipeline *pipeline, const char *mapping, const char *unknown) {
    const OwnerScope owner = switch_to_owner(pipeline);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    const ShredPlan *plan = plan_shred(read_mapping(mapping, strlen(mapping)), source, false);
    check_rights(plan, source, pipeline->document);
    check_rests(unknown, plan);
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
    enum { name, mapping, unknown, lookback, recheck, batch_size, on_error, max_rejects };
    if (PG_ARGISNULL(name))
        argument_error("name", "must not be null", NULL);
    check_batch_size(fcinfo, batch_size);
    const Pipeline *pipeline = find_pipeline(text_argument(fcinfo, name));
    const Interval *new_recheck = recheck_argument(fcinfo, recheck);
    if (!PG_ARGISNULL(mapping) || !PG_ARGISNULL(unknown))
        check_new_mapping(pipeline, PG_ARGISNULL(mapping) ? pipeline->mapping : text_argument(fcinfo, mapping),
                          PG_ARGISNULL(unknown) ? pipeline->unknown : check_unknown(text_argument(fcinfo, unknown)));
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
    add_text(&parameters, check_unknown(text_argument(fcinfo, unknown)));
    add_text(&parameters, check_on_error(text_argument(fcinfo, on_error)));
    const int64 most = max_rejects_argument(fcinfo, max_rejects);
    if (most >= 0)
        add_int(&parameters, most);
    else
        add_null(&parameters, INT8OID);
    catalog_execute(
        "UPDATE sluice.pipeline SET mapping = coalesce($2::json, mapping), lookback = coalesce($3, lookback), "
        "recheck = coalesce($4, recheck), batch_size = coalesce($5::int, batch_size), "
        "\"unknown\" = coalesce($6, \"unknown\"), on_error = coalesce($7, on_error), "
        "max_rejects = coalesce($8, max_rejects) "
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
