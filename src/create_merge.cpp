// Creating merge pipelines: every argument is checked at once, as the run will need it.
#include "postgres.hpp"

#include "catalog.hpp"
#include "checks.hpp"
#include "create.hpp"
#include "cursor.hpp"
#include "document.hpp"
#include "merge.hpp"
#include "merge_state.hpp"
#include "names.hpp"
#include "pipeline.hpp"
#include "switch_lineage.hpp"

namespace sluice {

// The arguments of sluice.create_merge, in their order.
namespace argument {
enum { Name, Source, Target, Key, NewestBy, Columns, Nulls, Deep, Rules, DeleteWhen, Document, Common };
}

// ---- arguments

// read_rules reads an object of column and rule.
static void read_rules(const char *text, MergeDefinition *definition) {
    static const char *const known[] = {"sum", "min", "max", "first", "newest"};
    const Value rules = value_of_jsonb(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text))));
    if (rules.kind != ValueKind::Object)
        argument_error("rules", psprintf("is %s, not an object", kind_name(rules)),
                       "It looks like {\"visits\": \"sum\", \"first_seen\": \"min\"}.");
    Walk walk = walk_begin(rules);
    Value rule;
    while (walk_next(&walk, &rule)) {
        const char *column = pnstrdup(walk.key, walk.key_length);
        if (rule.kind != ValueKind::String)
            argument_error(psprintf("rules: /%s", column), psprintf("%s is no rule", kind_name(rule)),
                           "Rules are \"sum\", \"min\", \"max\", \"first\" and \"newest\".");
        const char *word =
            check_word(psprintf("rules: /%s", column), pnstrdup(rule.text, rule.length), known, lengthof(known));
        definition->rule_columns = lappend(definition->rule_columns, const_cast<char *>(column));
        definition->rules = lappend(definition->rules, const_cast<char *>(word));
    }
}

static void refuse_twice(const char *argument, List *names) {
    for (int i = 0; i < list_length(names); i++)
        for (int k = 0; k < i; k++)
            if (strcmp(static_cast<const char *>(list_nth(names, i)), static_cast<const char *>(list_nth(names, k))) ==
                0)
                argument_error(argument, psprintf("\"%s\" stands twice", static_cast<const char *>(list_nth(names, i))),
                               NULL);
}

static void read_definition(FunctionCallInfo fcinfo, MergeDefinition *definition) {
    using namespace argument;
    static const char *const nulls[] = {"keep", "clear"};
    definition->target = text_argument(fcinfo, Target);
    definition->key = names_argument(fcinfo, Key, "key");
    definition->newest_by = text_argument(fcinfo, NewestBy);
    definition->columns = names_argument(fcinfo, Columns, "columns");
    const char *word = check_word("nulls", text_argument(fcinfo, Nulls), nulls, lengthof(nulls));
    definition->clears = word && strcmp(word, "clear") == 0;
    definition->deep = names_argument(fcinfo, Deep, "deep");
    if (!PG_ARGISNULL(Rules))
        read_rules(text_argument(fcinfo, Rules), definition);
    definition->delete_when = text_argument(fcinfo, DeleteWhen);
    definition->document = PG_ARGISNULL(Document) ? NULL : name_text(fcinfo, Document);
    if (definition->key == NIL)
        argument_error("key", "must name at least one column", NULL);
    refuse_twice("key", definition->key);
    refuse_twice("columns", definition->columns);
    refuse_twice("deep", definition->deep);
}

// ---- a target that is missing

// is_wanted tells whether a new target gets a column of the source: not that by which the cursor reads it, unless it is named.
static bool is_wanted(const MergeDefinition *definition, const NewPipeline *pipeline, const char *name) {
    if (has_name(definition->key, name) || strcmp(definition->newest_by, name) == 0 ||
        has_name(definition->columns, name))
        return true;
    const bool transport =
        pipeline->order_by && strcmp(pipeline->order_by, name) == 0 && strcmp(pipeline->cursor, "hash") != 0;
    return definition->columns == NIL && !transport;
}

static void append_column(StringInfo list, Form_pg_attribute column) {
    appendStringInfo(list, "%s%s %s", list->len ? ", " : "", quote_identifier(NameStr(column->attname)),
                     format_type_extended(column->atttypid, column->atttypmod,
                                          FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
    if (OidIsValid(column->attcollation) && column->attcollation != get_typcollation(column->atttypid))
        appendStringInfo(list, " COLLATE %s", collation_name(column->attcollation));
}

static void execute(const char *statement) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(statement, false, 0) < 0)
        elog(ERROR, "unexpected result of a statement that looks at a source or creates a target");
    MemoryContextSwitchTo(memory);
}

static const char *qualified_name(const RangeVar *range) {
    const char *schema = range->schemaname;
    if (!schema)
        schema = get_namespace_name(RangeVarGetCreationNamespace(range));
    return quote_qualified_identifier(schema, range->relname);
}

static void create_target(const MergeDefinition *definition, const NewPipeline *pipeline, Relation source) {
    if (definition->document)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("target: table %s does not exist", definition->target),
                        errdetail("What documents hold does not say which columns and types it has."),
                        errhint("Create it, for example with sluice.create_table.")));
    StringInfoData columns;
    initStringInfo(&columns);
    for (int i = 0; i < RelationGetDescr(source)->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(RelationGetDescr(source), i);
        if (!column->attisdropped && is_wanted(definition, pipeline, NameStr(column->attname)))
            append_column(&columns, column);
    }
    ListCell *cell;
    foreach (cell, definition->key)
        if (get_attnum(RelationGetRelid(source), static_cast<const char *>(lfirst(cell))) <= 0)
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                            errmsg("key: column \"%s\" of source %s does not exist",
                                   static_cast<const char *>(lfirst(cell)), relation_name(RelationGetRelid(source)))));
    const char *statement = psprintf("CREATE TABLE %s (%s, PRIMARY KEY (%s)) WITH (fillfactor = 85)",
                                     definition->target, columns.data, quoted_names(definition->key));
    at_place("target", [&] { execute(statement); });
    ereport(NOTICE,
            (errmsg("target %s was created like %s", definition->target, relation_name(RelationGetRelid(source)))));
}

// settle_target writes the target's name with its schema, and creates the table if it is missing.
static void settle_target(MergeDefinition *definition, const NewPipeline *pipeline, Relation source) {
    RangeVar *range = NULL;
    at_place("target",
             [&] { range = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(definition->target))); });
    const Oid relation = RangeVarGetRelid(range, NoLock, true);
    if (OidIsValid(relation)) {
        definition->target = relation_name(relation);
        return;
    }
    definition->target = qualified_name(range);
    create_target(definition, pipeline, source);
    CommandCounterIncrement();
}

// ---- rights

static void check_target_rights(const MergePlan *plan) {
    Bitmapset *key = NULL;
    for (int i = 0; i < plan->key_count; i++)
        key = bms_add_member(key, plan->key[i]);
    check_columns_right(plan->relation, plan->written, ACL_INSERT);
    check_columns_right(plan->relation, bms_difference(plan->written, key), ACL_UPDATE);
    check_columns_right(plan->relation, plan->written, ACL_SELECT);
    if (plan->deletes && pg_class_aclcheck(plan->relation, GetUserId(), ACL_DELETE) != ACLCHECK_OK)
        aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(plan->relation)),
                       get_rel_name(plan->relation));
}

// check_reading has the server plan what every batch will read: its rights are checked so, too.
static void check_reading(const MergePlan *plan, Relation source) {
    const SourceColumns columns = row_columns(NULL, plan->expressions, plan->expression_count);
    execute(
        psprintf("SELECT %s FROM %s s WHERE false", column_list(&columns), relation_name(RelationGetRelid(source))));
}

// ---- creating

static void store(int32 id, const NewPipeline *pipeline, const MergePlan *plan, List *slots) {
    Parameters parameters{};
    add_int(&parameters, id);
    add_names(&parameters, slots);
    catalog_execute("UPDATE sluice.pipeline SET slots = $2 WHERE pipeline_id = $1::int", &parameters);
    Relation target = table_open(plan->relation, AccessShareLock);
    create_merge_states(id, pipeline->name, target, plan, GetUserId());
    table_close(target, NoLock);
}

static void create_merge(FunctionCallInfo fcinfo) {
    static const char *const required[] = {"name", "source", "target", "key", "newest_by"};
    NewPipeline pipeline{};
    MergeDefinition definition{};
    List *slots = NIL;
    require_arguments(fcinfo, required, lengthof(required));
    pipeline.kind = "merge";
    read_definition(fcinfo, &definition);
    read_common_arguments(fcinfo, argument::Common, &pipeline);
    Relation source = relation_open(pipeline.source, AccessShareLock);
    choose_cursor(&pipeline, source);
    read_rows_as_they_are(&pipeline, source);
    settle_target(&definition, &pipeline, source);
    pipeline.mapping = merge_definition_text(&definition);
    const MergePlan *plan = plan_merge(&definition, &slots, source, false);
    if (plan->relation == pipeline.source)
        argument_error("target", psprintf("%s is the source", relation_name(pipeline.source)), NULL);
    check_target_rights(plan);
    check_reading(plan, source);
    check_new_cursor(&pipeline, source);
    check_checks(pipeline.checks, source);
    const int32 id = insert_pipeline(&pipeline);
    store(id, &pipeline, plan, slots);
    start_cursor(&pipeline, id, source);
    relation_close(source, NoLock);
    if (pipeline.lineage)
        switch_lineage(pipeline.name, true);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_create_merge);
Datum sluice_create_merge(PG_FUNCTION_ARGS) {
    SPI_connect();
    create_merge(fcinfo);
    SPI_finish();
    PG_RETURN_VOID();
}

} // extern "C"
