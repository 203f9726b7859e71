// See definition.hpp.
//
// Everything is left out that is as if it were left out, but for what was chosen when the pipeline was created: the cursor, the
// order, an inferred mapping, the settings. The choice might turn out otherwise in another database, or once the source has
// another key.
#include "definition.hpp"

#include "catalog.hpp"
#include "cron.hpp"
#include "facts_definition.hpp"
#include "load_definition.hpp"
#include "merge.hpp"
#include "names.hpp"

namespace sluice {

const char *const setting_names[setting_count] = {"TimeZone", "DateStyle", "IntervalStyle", "search_path"};

const char *member_json(const char *object, const char *name) {
    LOCAL_FCINFO(call, 2);
    InitFunctionCallInfoData(*call, NULL, 2, InvalidOid, NULL, NULL);
    call->args[0] = NullableDatum{CStringGetTextDatum(object), false};
    call->args[1] = NullableDatum{CStringGetTextDatum(name), false};
    const Datum member = json_object_field(call);
    const char *json = call->isnull ? NULL : TextDatumGetCString(member);
    return json && strcmp(json, "null") != 0 ? json : NULL;
}

// present_name is how a relation is called now; where it is gone, how it was.
static const char *present_name(const RelationReference *reference) {
    Oid relation;
    return quoted_json(resolve_reference(reference, &relation) == Found::Missing
                           ? quote_qualified_identifier(reference->schema, reference->name)
                           : relation_name(relation));
}

static const char *rules_json(const Pipeline *pipeline) {
    const MergeDefinition *merge = read_merge_definition(pipeline->mapping);
    StringInfoData rules;
    initStringInfo(&rules);
    appendStringInfoChar(&rules, '{');
    ListCell *column, *rule;
    forboth(column, merge->rule_columns, rule, merge->rules)
        append_json_member(&rules, static_cast<const char *>(lfirst(column)), static_cast<const char *>(lfirst(rule)));
    appendStringInfoChar(&rules, '}');
    return rules.data;
}

// Rows are what the catalog keeps of a pipeline, as JSON: the first that has a member of its name tells the value of an argument.
struct Rows {
    const char *of_kind; // or NULL
    const char *pipeline;
};

static Rows read_rows(const Pipeline *pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    const int settings = NewGUCNestLevel(); // intervals are written the same for everybody
    (void)set_config_option("IntervalStyle", "postgres", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
    catalog_execute("SELECT pg_catalog.row_to_json(p), pg_catalog.row_to_json(l) FROM sluice.pipeline p "
                    "LEFT JOIN sluice.load l USING (pipeline_id) WHERE p.pipeline_id = $1::int",
                    &parameters);
    AtEOXact_GUC(false, settings);
    Rows rows{result_text(0, 2), result_text(0, 1)};
    free_result();
    if (strcmp(pipeline->kind, "merge") == 0 || strcmp(pipeline->kind, "facts") == 0)
        rows.of_kind = pipeline->mapping;
    return rows;
}

// present_value gives the value of an argument as it is now.
static const char *present_value(const Pipeline *pipeline, const Rows *rows, const char *name) {
    const bool merge = strcmp(pipeline->kind, "merge") == 0, facts = strcmp(pipeline->kind, "facts") == 0,
               load = strcmp(pipeline->kind, "load") == 0;
    if (strcmp(name, "source") == 0)
        return present_name(&pipeline->source);
    if (strcmp(name, "target") == 0 && load)
        return present_name(&read_load(pipeline->id)->target);
    if (strcmp(name, "rules") == 0 && merge)
        return rules_json(pipeline);
    if (strcmp(name, "mapping") == 0 && facts)
        return read_facts_definition(pipeline->mapping).mapping;
    if (strcmp(name, "cursor") == 0 && strcmp(pipeline->cursor, "trigger") == 0)
        return NULL; // follows from "track"
    if (strcmp(name, "duplicates") == 0 && strcmp(pipeline->cursor, "hash") != 0)
        return NULL;
    const char *value = rows->of_kind ? member_json(rows->of_kind, name) : NULL;
    return value ? value : member_json(rows->pipeline, name);
}

Definition load_definition(const Pipeline *pipeline) {
    Definition definition{};
    const char *const settings[] = {pipeline->time_zone, pipeline->date_style, pipeline->interval_style,
                                    pipeline->search_path};
    const Rows rows = read_rows(pipeline);
    definition.pipeline = pipeline;
    definition.arguments = load_arguments(pipeline->kind);
    definition.values = static_cast<const char **>(palloc0(sizeof(char *) * definition.arguments.count));
    for (int i = 0; i < definition.arguments.count; i++)
        definition.values[i] = present_value(pipeline, &rows, definition.arguments.items[i].name);
    memcpy(definition.settings, settings, sizeof(settings));
    definition.schedule = own_schedule(pipeline->name);
    return definition;
}

// Relations are plain already, and may be gone.
const char *plain_value(const Definition *definition, int argument) {
    const Argument *of = &definition->arguments.items[argument];
    const bool relation = of->type == REGCLASSOID || strcmp(of->name, "target") == 0;
    return relation ? definition->values[argument] : plain_argument(of, definition->values[argument], of->name);
}

const char *fallback_of(const Definition *definition, int argument) {
    const Argument *of = &definition->arguments.items[argument];
    if (strcmp(of->name, "duplicates") == 0 && strcmp(definition->pipeline->cursor, "hash") != 0)
        return NULL;
    return plain_argument(of, of->fallback, of->name);
}

// ---- writing

static void append_member(StringInfo to, const char *name, const char *json) {
    appendStringInfo(to, "%s\n  %s: %s", to->len > 1 ? "," : "", quoted_json(name), json);
}

static void append_argument(StringInfo to, const Definition *definition, int number) {
    const Argument *argument = &definition->arguments.items[number];
    const char *value = plain_value(definition, number);
    const char *fallback = fallback_of(definition, number);
    if (!value || (fallback && strcmp(value, fallback) == 0))
        return;
    append_member(to, argument->name, argument->type == JSONOID ? definition->values[number] : value);
}

static const char *settings_json(const Definition *definition) {
    StringInfoData settings;
    initStringInfo(&settings);
    appendStringInfoChar(&settings, '{');
    for (int i = 0; i < setting_count; i++)
        append_json_member(&settings, setting_names[i], definition->settings[i]);
    appendStringInfoChar(&settings, '}');
    return settings.data;
}

static void append_definition(StringInfo to, const Definition *definition) {
    appendStringInfoChar(to, '{');
    append_member(to, "kind", quoted_json(definition->pipeline->kind));
    for (int i = 0; i < definition->arguments.count; i++)
        append_argument(to, definition, i);
    if (definition->schedule)
        append_member(to, "schedule", quoted_json(definition->schedule));
    append_member(to, "settings", settings_json(definition));
    appendStringInfoString(to, "\n}");
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_definition);
Datum sluice_definition(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    StringInfoData text;
    initStringInfo(&text); // before SPI_connect: it outlives SPI's memory
    SPI_connect();
    const Definition definition = load_definition(find_pipeline(name));
    append_definition(&text, &definition);
    SPI_finish();
    PG_RETURN_TEXT_P(cstring_to_text_with_len(text.data, text.len));
}

} // extern "C"
