// The definition of a merge, as it is kept in the catalog: JSON.
#include "merge.hpp"

#include "document.hpp"

namespace sluice {

// ---- writing

static void append_list(StringInfo to, const char *name, List *values) {
    if (values == NIL)
        return;
    appendStringInfoString(to, to->len > 1 ? ", " : "");
    escape_json(to, name);
    appendStringInfoString(to, ": [");
    ListCell *cell;
    foreach (cell, values) {
        appendStringInfoString(to, cell == list_head(values) ? "" : ", ");
        escape_json(to, static_cast<const char *>(lfirst(cell)));
    }
    appendStringInfoChar(to, ']');
}

const char *merge_definition_text(const MergeDefinition *definition) {
    StringInfoData text;
    initStringInfo(&text);
    appendStringInfoChar(&text, '{');
    append_json_member(&text, "target", definition->target);
    append_list(&text, "key", definition->key);
    append_json_member(&text, "newest_by", definition->newest_by);
    append_list(&text, "columns", definition->columns);
    append_json_member(&text, "nulls", definition->clears ? "clear" : "keep");
    append_list(&text, "deep", definition->deep);
    append_list(&text, "rule_columns", definition->rule_columns);
    append_list(&text, "rules", definition->rules);
    append_json_member(&text, "delete_when", definition->delete_when);
    append_json_member(&text, "document", definition->document);
    appendStringInfoChar(&text, '}');
    return text.data;
}

// ---- reading

static Value member(const Value &object, const char *name) { return value_member(object, name, strlen(name)); }

static const char *string_member(const Value &object, const char *name) {
    const Value value = member(object, name);
    return value.kind == ValueKind::String ? pnstrdup(value.text, value.length) : NULL;
}

static List *list_member(const Value &object, const char *name) {
    const Value array = member(object, name);
    List *list = NIL;
    if (array.kind != ValueKind::Array)
        return NIL;
    Walk walk = walk_begin(array);
    Value item;
    while (walk_next(&walk, &item))
        list = lappend(list, pnstrdup(item.text, item.length));
    return list;
}

MergeDefinition *read_merge_definition(const char *text) {
    const Value value = value_of_jsonb(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text))));
    MergeDefinition *definition = static_cast<MergeDefinition *>(palloc0(sizeof(MergeDefinition)));
    definition->target = string_member(value, "target");
    definition->key = list_member(value, "key");
    definition->newest_by = string_member(value, "newest_by");
    definition->columns = list_member(value, "columns");
    definition->clears = strcmp(string_member(value, "nulls"), "clear") == 0;
    definition->deep = list_member(value, "deep");
    definition->rule_columns = list_member(value, "rule_columns");
    definition->rules = list_member(value, "rules");
    definition->delete_when = string_member(value, "delete_when");
    definition->document = string_member(value, "document");
    return definition;
}

} // namespace sluice
