// See facts_definition.hpp. The mapping is kept as a string: so it stays as it was written, and faults keep their places.
#include "facts_definition.hpp"

#include "value.hpp"

namespace sluice {

const char *facts_definition_text(const FactsDefinition *definition) {
    StringInfoData text;
    initStringInfo(&text);
    appendStringInfoChar(&text, '{');
    append_json_member(&text, "target", definition->target);
    append_json_member(&text, "newest_by", definition->newest_by);
    append_json_member(&text, "mapping", definition->mapping);
    appendStringInfoChar(&text, '}');
    return text.data;
}

static const char *member(const Value &object, const char *name) {
    const Value value = value_member(object, name, strlen(name));
    return value.kind == ValueKind::String ? pnstrdup(value.text, value.length) : NULL;
}

FactsDefinition read_facts_definition(const char *text) {
    const Value value = value_of_jsonb(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text))));
    return FactsDefinition{member(value, "target"), member(value, "newest_by"), member(value, "mapping")};
}

} // namespace sluice
