// See argument.hpp.
#include "argument.hpp"

#include "catalog.hpp"
#include "mapping.hpp"
#include "names.hpp"

namespace sluice {

void check_kind(const char *kind, const char *pointer) {
    static const char *const known[] = {"shred", "merge", "facts", "load"};
    for (const char *word : known)
        if (strcmp(kind, word) == 0)
            return;
    const char *hint = nearest_of(kind, known, lengthof(known));
    mapping_error(pointer, psprintf("\"%s\" is no kind of pipeline", kind),
                  hint ? hint : "Kinds are \"shred\", \"merge\", \"facts\" and \"load\".");
}

// ---- what the functions declare

// load_fallbacks evaluates defaults: that of the function, else that of the column which keeps the argument.
static void load_fallbacks(Arguments *arguments, const char *expressions) {
    const Parameters none{};
    catalog_execute(psprintf("SELECT %s", expressions), &none);
    for (int i = 0; i < arguments->count; i++)
        arguments->items[i].fallback = result_text(0, i + 1);
    free_result();
}

static Argument read_argument(uint64 row, StringInfo expressions) {
    bool is_null;
    Argument argument{};
    argument.name = result_text(row, 1);
    argument.type = static_cast<Oid>(result_int(row, 2, &is_null));
    const char *of_function = result_text(row, 3), *of_column = result_text(row, 4);
    argument.required = !of_function;
    argument.alterable = result_int(row, 5, &is_null);
    appendStringInfo(expressions, "%scoalesce(pg_catalog.to_json(%s)::text, pg_catalog.to_json(%s)::text)",
                     row ? ", " : "", of_function ? of_function : "NULL::text", of_column ? of_column : "NULL::text");
    return argument;
}

Arguments load_arguments(const char *kind) {
    Parameters parameters{};
    StringInfoData expressions;
    initStringInfo(&expressions);
    add_text(&parameters, psprintf("create_%s", kind));
    Arguments arguments{};
    arguments.count = catalog_execute(
        "SELECT a.name, a.type::bigint, pg_catalog.pg_get_function_arg_default(p.oid, a.number::int), "
        "(SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attribute c "
        "JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.attrelid AND d.adnum = c.attnum "
        "WHERE c.attrelid = 'sluice.pipeline'::regclass AND c.attname = a.name), "
        "(a.name <> 'name' AND EXISTS (SELECT FROM pg_catalog.pg_proc q WHERE q.pronamespace = p.pronamespace "
        "AND q.proname = 'alter_pipeline' AND a.name = ANY (q.proargnames)))::int::bigint "
        "FROM pg_catalog.pg_proc p, "
        "unnest(p.proargnames, p.proargtypes::oid[]) WITH ORDINALITY a (name, type, number) "
        "WHERE p.pronamespace = 'sluice'::regnamespace AND p.proname = $1 ORDER BY a.number",
        &parameters);
    arguments.items = static_cast<Argument *>(palloc0(sizeof(Argument) * (arguments.count + 1)));
    for (int i = 0; i < arguments.count; i++)
        arguments.items[i] = read_argument(i, &expressions);
    free_result();
    load_fallbacks(&arguments, expressions.data);
    // Shreds alone can be given another mapping, and for them alone equal documents are one.
    const bool shred = strcmp(kind, "shred") == 0;
    const int mapping = find_argument(&arguments, "mapping"), duplicates = find_argument(&arguments, "duplicates");
    if (mapping >= 0)
        arguments.items[mapping].alterable = shred;
    arguments.items[duplicates].fallback = shred ? "\"skip\"" : "\"keep\"";
    return arguments;
}

int find_argument(const Arguments *arguments, const char *name) {
    for (int i = 0; i < arguments->count; i++)
        if (strcmp(arguments->items[i].name, name) == 0)
            return i;
    return -1;
}

// ---- values

static void require_kind(const Value &value, ValueKind kind, const char *what, const char *pointer) {
    if (value.kind != kind)
        mapping_error(pointer, psprintf("must be %s, not %s", what, kind_name(value)), NULL);
}

static void check_names(const Value &array, const char *pointer) {
    require_kind(array, ValueKind::Array, "an array of strings", pointer);
    Walk walk = walk_begin(array);
    int number = 0;
    for (Value item; walk_next(&walk, &item); number++) {
        const char *place = psprintf("%s/%d", pointer, number);
        require_kind(item, ValueKind::String, "a string", place);
        (void)plain_string(item.text, item.length, place);
    }
}

void check_argument(const Argument *argument, const Value &value, const char *pointer) {
    switch (argument->type) {
    case INT4OID:
    case INT8OID:
        require_kind(value, ValueKind::Number, "a number", pointer);
        break;
    case BOOLOID:
        require_kind(value, ValueKind::Bool, "true or false", pointer);
        break;
    case TEXTARRAYOID:
        check_names(value, pointer);
        break;
    case JSONOID:
        require_kind(value, ValueKind::Object, "an object", pointer);
        break;
    default:
        require_kind(value, ValueKind::String, "a string", pointer);
        (void)plain_string(value.text, value.length, pointer);
    }
}

static Datum names_datum(const Value &array) {
    Datum *names = static_cast<Datum *>(palloc(sizeof(Datum) * (value_count(array) + 1)));
    int count = 0;
    Walk walk = walk_begin(array);
    for (Value item; walk_next(&walk, &item);)
        names[count++] = PointerGetDatum(cstring_to_text_with_len(item.text, item.length));
    return PointerGetDatum(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static const char *value_words(const Value &value) { // of a scalar, as SQL writes it
    return value.kind == ValueKind::String ? pnstrdup(value.text, value.length) : value_text(value);
}

Datum argument_datum(const Argument *argument, const char *json, const char *pointer) {
    const Value value = read_json(json, strlen(json), argument->name);
    Oid input, parameter;
    Datum datum = 0;
    if (argument->type == TEXTARRAYOID)
        return names_datum(value);
    if (argument->type == JSONOID)
        return CStringGetTextDatum(json);
    getTypeInputInfo(argument->type, &input, &parameter);
    at_place(pointer,
             [&] { datum = OidInputFunctionCall(input, const_cast<char *>(value_words(value)), parameter, -1); });
    return datum;
}

const char *quoted_json(const char *text) {
    StringInfoData json;
    initStringInfo(&json);
    escape_json(&json, text);
    return json.data;
}

// table_name is the name of a target as it is kept, with its schema.
static const char *table_name(const char *written, const char *pointer) {
    RangeVar *range = read_relation_name(written, pointer);
    const Oid relation = RangeVarGetRelid(range, NoLock, true);
    if (OidIsValid(relation))
        return relation_name(relation);
    const char *schema =
        range->schemaname ? range->schemaname : get_namespace_name(RangeVarGetCreationNamespace(range));
    return quote_qualified_identifier(schema, range->relname);
}

const char *plain_argument(const Argument *argument, const char *json, const char *pointer) {
    if (!json)
        return NULL;
    const Value value = read_json(json, strlen(json), argument->name);
    switch (argument->type) {
    case REGCLASSOID:
        return quoted_json(relation_name(DatumGetObjectId(argument_datum(argument, json, pointer))));
    case INTERVALOID:
        return quoted_json(stored_text(INTERVALOID, argument_datum(argument, json, pointer)));
    case JSONOID:
        return value_text(value_of_jsonb(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)))));
    case TEXTARRAYOID:
        return value_count(value) == 0 ? NULL : value_text(value);
    case TEXTOID:
        if (strcmp(argument->name, "target") == 0)
            return quoted_json(table_name(value_words(value), pointer));
    }
    return value_text(value);
}

} // namespace sluice
