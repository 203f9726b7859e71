// Creating shred pipelines: every argument is checked at once, as the run will need it.
#include "postgres.hpp"

#include "checks.hpp"
#include "create.hpp"
#include "create_shred.hpp"
#include "cursor.hpp"
#include "ddl.hpp"
#include "infer.hpp"
#include "mapping.hpp"
#include "mapping_text.hpp"
#include "pipeline.hpp"
#include "rights.hpp"
#include "shred.hpp"
#include "switch_lineage.hpp"

namespace sluice {

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
enum { Name, Source, Document, MappingText, TargetSchema, Unknown, Common };
}

const char *check_unknown(const char *unknown) {
    static const char *const known[] = {"ignore", "add", "keep", "reject"};
    return check_word("unknown", unknown, known, lengthof(known));
}

static void read_arguments(FunctionCallInfo fcinfo, NewPipeline *pipeline) {
    using namespace argument;
    static const char *const required[] = {"name", "source", "document"};
    require_arguments(fcinfo, required, lengthof(required));
    pipeline->kind = "shred";
    pipeline->document = name_text(fcinfo, Document);
    pipeline->mapping = text_argument(fcinfo, MappingText);
    pipeline->unknown = check_unknown(text_argument(fcinfo, Unknown));
    read_common_arguments(fcinfo, Common, pipeline);
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
    Relation source = relation_open(pipeline.source, AccessShareLock);
    choose_cursor(&pipeline, source);
    (void)document_type(source, pipeline.document);
    prepare_mapping(&pipeline, source, fcinfo);
    const ShredPlan *plan = plan_shred(read_mapping(pipeline.mapping, strlen(pipeline.mapping)), source, false);
    check_rests(pipeline.unknown, plan);
    check_rights(plan, source, pipeline.document);
    check_new_cursor(&pipeline, source);
    check_checks(pipeline.checks, source);
    start_cursor(&pipeline, insert_pipeline(&pipeline), source);
    advise_indexes(plan);
    relation_close(source, NoLock);
    if (pipeline.lineage)
        switch_lineage(pipeline.name, true);
}

void check_new_mapping(const Pipeline *pipeline, const char *mapping, const char *unknown) {
    const OwnerScope owner = switch_to_owner(pipeline);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    const ShredPlan *plan = plan_shred(read_mapping(mapping, strlen(mapping)), source, false);
    check_rights(plan, source, pipeline->document);
    check_rests(unknown, plan);
    relation_close(source, AccessShareLock);
    switch_back(&owner);
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

} // extern "C"
