// See field.hpp.
#include "field.hpp"

#include "document.hpp"
#include "mapping.hpp"
#include "names.hpp"

namespace sluice {

// What a type takes beside its name.
enum class TypeTakes : uint8_t { Nothing, MaxLength, Precision, RangeElement, Fields };

struct KnownType {
    const char *name;
    const char *sql;
    TypeTakes takes;
};

static const KnownType known_types[] = {
    {"STRING", "text", TypeTakes::MaxLength},
    {"BYTES", "bytea", TypeTakes::MaxLength},
    {"INTEGER", "int8", TypeTakes::Nothing},
    {"INT64", "int8", TypeTakes::Nothing},
    {"INT", "int8", TypeTakes::Nothing},
    {"SMALLINT", "int8", TypeTakes::Nothing},
    {"BIGINT", "int8", TypeTakes::Nothing},
    {"TINYINT", "int8", TypeTakes::Nothing},
    {"BYTEINT", "int8", TypeTakes::Nothing},
    {"FLOAT", "float8", TypeTakes::Nothing},
    {"FLOAT64", "float8", TypeTakes::Nothing},
    {"BOOLEAN", "bool", TypeTakes::Nothing},
    {"BOOL", "bool", TypeTakes::Nothing},
    {"TIMESTAMP", "timestamptz", TypeTakes::Nothing},
    {"DATE", "date", TypeTakes::Nothing},
    {"TIME", "time", TypeTakes::Nothing},
    {"DATETIME", "timestamp", TypeTakes::Nothing},
    {"NUMERIC", "numeric", TypeTakes::Precision},
    {"DECIMAL", "numeric", TypeTakes::Precision},
    {"BIGNUMERIC", "numeric", TypeTakes::Precision},
    {"BIGDECIMAL", "numeric", TypeTakes::Precision},
    {"GEOGRAPHY", "text", TypeTakes::Nothing},
    {"JSON", "jsonb", TypeTakes::Nothing},
    {"INTERVAL", "interval", TypeTakes::Nothing},
    {"RANGE", NULL, TypeTakes::RangeElement},
    {"RECORD", NULL, TypeTakes::Fields},
    {"STRUCT", NULL, TypeTakes::Fields},
};

// A field as it is written: the values of its words, absent where they do not stand.
struct WrittenField {
    const char *pointer;
    Value name, type, mode, description, fields, max_length, precision, scale, range_element;
};

static const char *upper(const char *word) {
    char *result = pstrdup(word);
    for (char *at = result; *at; at++)
        *at = pg_ascii_toupper(*at);
    return result;
}

// word_of reads a word in either case, as an upper one.
static const char *word_of(const Value &value, const char *pointer, const char *what) {
    return upper(string_of(value, pointer, what));
}

// ---- words

// tell_left_out tells of a word that means something to BigQuery alone.
static void tell_left_out(const char *pointer, const Value &value) {
    const bool empty = is_missing(value) || (value.kind == ValueKind::String && value.length == 0) ||
                       ((value.kind == ValueKind::Array || value.kind == ValueKind::Object) && value_count(value) == 0);
    if (!empty)
        ereport(NOTICE, (errmsg("%s: is left out", pointer)));
}

static Value *place_of_word(WrittenField *field, const char *word) {
    struct Word {
        const char *name;
        Value *value;
    };
    const Word words[] = {{"name", &field->name},
                          {"type", &field->type},
                          {"mode", &field->mode},
                          {"description", &field->description},
                          {"fields", &field->fields},
                          {"maxLength", &field->max_length},
                          {"precision", &field->precision},
                          {"scale", &field->scale},
                          {"rangeElementType", &field->range_element}};
    for (size_t i = 0; i < lengthof(words); i++)
        if (strcmp(word, words[i].name) == 0)
            return words[i].value;
    return NULL;
}

static void read_word(WrittenField *field, const char *word, const Value &value) {
    static const char *const left_out[] = {"policyTags",
                                           "categories",
                                           "dataPolicies",
                                           "collation",
                                           "defaultValueExpression",
                                           "roundingMode",
                                           "generatedColumn",
                                           "timestampPrecision",
                                           "foreignTypeDefinition"};
    static const char *const known[] = {"name",      "type",      "mode",  "description",     "fields",
                                        "maxLength", "precision", "scale", "rangeElementType"};
    if (Value *place = place_of_word(field, word)) {
        *place = value;
        return;
    }
    for (size_t i = 0; i < lengthof(left_out); i++)
        if (strcmp(word, left_out[i]) == 0) {
            tell_left_out(pointer_to(field->pointer, word), value);
            return;
        }
    unknown_member(field->pointer, word, "A field", known, lengthof(known));
}

static WrittenField read_words(const Value &object, const char *pointer) {
    if (object.kind != ValueKind::Object)
        mapping_error(pointer, psprintf("a field must be an object, not %s", kind_name(object)), NULL);
    const Value absent = absent_value();
    WrittenField field{pointer, absent, absent, absent, absent, absent, absent, absent, absent, absent};
    Walk walk = walk_begin(object);
    for (Value value; walk_next(&walk, &value);)
        read_word(&field, plain_string(walk.key, walk.key_length, pointer), value);
    return field;
}

// ---- types

static const KnownType *read_type(const Value &type, const char *pointer) {
    if (is_missing(type))
        mapping_error(pointer, "\"type\" is missing", NULL);
    const char *place = pointer_to(pointer, "type");
    const char *word = word_of(type, place, "\"type\"");
    NearestName nearest = nearest_begin(word);
    for (size_t i = 0; i < lengthof(known_types); i++) {
        if (strcmp(word, known_types[i].name) == 0)
            return &known_types[i];
        nearest_offer(&nearest, known_types[i].name);
    }
    const char *hint = nearest_hint(&nearest);
    mapping_error(place, psprintf("\"%s\" is no type", string_of(type, place, "\"type\"")),
                  hint ? hint
                       : "Types are STRING, BYTES, INT64, FLOAT64, NUMERIC, BIGNUMERIC, BOOL, TIMESTAMP, DATE, TIME, "
                         "DATETIME, INTERVAL, RANGE, GEOGRAPHY, JSON and RECORD.");
}

// number_of reads a number, which the tools write as a string.
static int64 number_of(const Value &value, const char *pointer, int64 least, int64 most) {
    int64 number = least - 1;
    char *end = NULL;
    if (value.kind == ValueKind::Number && value.form == NumberForm::Integer)
        number = value.integer;
    else if (value.kind == ValueKind::String && value.length > 0 && value.length < 19) {
        number = strtoll(string_of(value, pointer, ""), &end, 10);
        if (*end != '\0')
            number = least - 1;
    }
    if (number < least || number > most)
        mapping_error(pointer, psprintf("must be a whole number from " INT64_FORMAT " to " INT64_FORMAT, least, most),
                      NULL);
    return number;
}

static void check_takes(const WrittenField *field, const KnownType *type, const Value &value, const char *word,
                        TypeTakes takes, const char *which) {
    if (!is_missing(value) && type->takes != takes)
        mapping_error(pointer_to(field->pointer, word), psprintf("does not go with type %s", type->name),
                      psprintf("It goes with %s.", which));
}

static void check_words(const WrittenField *field, const KnownType *type) {
    check_takes(field, type, field->max_length, "maxLength", TypeTakes::MaxLength, "STRING and BYTES");
    check_takes(field, type, field->precision, "precision", TypeTakes::Precision, "NUMERIC and BIGNUMERIC");
    check_takes(field, type, field->scale, "scale", TypeTakes::Precision, "NUMERIC and BIGNUMERIC");
    check_takes(field, type, field->range_element, "rangeElementType", TypeTakes::RangeElement, "RANGE");
    const bool empty = field->fields.kind == ValueKind::Array && value_count(field->fields) == 0;
    if (!empty)
        check_takes(field, type, field->fields, "fields", TypeTakes::Fields, "RECORD");
    if (is_missing(field->precision) && !is_missing(field->scale))
        mapping_error(pointer_to(field->pointer, "scale"), "goes with \"precision\"", NULL);
}

// length_type reads maxLength; bytea has no type with a length.
static const char *length_type(const WrittenField *field, const KnownType *type) {
    const char *plain = psprintf("pg_catalog.%s", type->sql);
    if (is_missing(field->max_length))
        return plain;
    const int64 length = number_of(field->max_length, pointer_to(field->pointer, "maxLength"), 1, PG_INT64_MAX);
    const bool fits = strcmp(type->sql, "text") == 0 && length <= MaxAttrSize;
    return fits ? psprintf("pg_catalog.varchar(" INT64_FORMAT ")", length) : plain;
}

static const char *numeric_type(const WrittenField *field) {
    if (is_missing(field->precision))
        return "pg_catalog.numeric";
    const int64 precision =
        number_of(field->precision, pointer_to(field->pointer, "precision"), 1, NUMERIC_MAX_PRECISION);
    if (is_missing(field->scale))
        return psprintf("pg_catalog.numeric(" INT64_FORMAT ")", precision);
    const int64 scale = number_of(field->scale, pointer_to(field->pointer, "scale"), 0, precision);
    return psprintf("pg_catalog.numeric(" INT64_FORMAT ", " INT64_FORMAT ")", precision, scale);
}

// range_type reads {"type": "DATE"}.
static const char *range_type(const WrittenField *field) {
    const char *place = pointer_to(field->pointer, "rangeElementType");
    if (field->range_element.kind != ValueKind::Object)
        mapping_error(place, "must be an object with the \"type\" of the range's bounds", NULL);
    const Value element = value_member(field->range_element, "type", 4);
    const KnownType *type = read_type(element, place);
    if (strcmp(type->sql ? type->sql : "", "date") == 0)
        return "pg_catalog.daterange";
    if (strcmp(type->sql ? type->sql : "", "timestamp") == 0)
        return "pg_catalog.tsrange";
    if (strcmp(type->sql ? type->sql : "", "timestamptz") == 0)
        return "pg_catalog.tstzrange";
    mapping_error(pointer_to(place, "type"), psprintf("there are no ranges of %s", type->name),
                  "Ranges are of DATE, DATETIME or TIMESTAMP.");
}

static const char *sql_type(const WrittenField *field, const KnownType *type) {
    switch (type->takes) {
    case TypeTakes::Nothing:
        return psprintf("pg_catalog.%s", type->sql);
    case TypeTakes::MaxLength:
        return length_type(field, type);
    case TypeTakes::Precision:
        return numeric_type(field);
    case TypeTakes::RangeElement:
        return range_type(field);
    case TypeTakes::Fields:
        return NULL;
    }
    pg_unreachable();
}

// ---- fields

static FieldMode read_field_mode(const Value &mode, const char *pointer) {
    static const char *const words[] = {"NULLABLE", "REQUIRED", "REPEATED"};
    if (is_missing(mode))
        return FieldMode::Nullable;
    const char *word = word_of(mode, pointer, "\"mode\"");
    for (int i = 0; i < static_cast<int>(lengthof(words)); i++)
        if (strcmp(word, words[i]) == 0)
            return static_cast<FieldMode>(i);
    const char *hint = nearest_of(word, words, lengthof(words));
    mapping_error(pointer, psprintf("\"%s\" is no mode", string_of(mode, pointer, "\"mode\"")),
                  hint ? hint : "Modes are \"NULLABLE\", \"REQUIRED\" and \"REPEATED\".");
}

static const char *read_field_name(const Value &name, const char *pointer) {
    if (is_missing(name))
        mapping_error(pointer, "\"name\" is missing", NULL);
    const char *place = pointer_to(pointer, "name");
    const char *result = string_of(name, place, "\"name\"");
    if (*result == '\0')
        mapping_error(place, "must not be empty", NULL);
    return result;
}

static FieldList *read_list(const Value &list, const char *pointer);

static Field read_field(const Value &object, const char *pointer) {
    const WrittenField written = read_words(object, pointer);
    Field field{};
    field.pointer = pointer;
    field.name = read_field_name(written.name, pointer);
    const KnownType *type = read_type(written.type, pointer);
    check_words(&written, type);
    field.type = sql_type(&written, type);
    field.mode = read_field_mode(written.mode, pointer_to(pointer, "mode"));
    if (!is_missing(written.description))
        field.description = string_of(written.description, pointer_to(pointer, "description"), "\"description\"");
    if (type->takes != TypeTakes::Fields)
        return field;
    if (is_missing(written.fields))
        mapping_error(pointer, psprintf("a %s needs \"fields\"", type->name), NULL);
    field.record = read_list(written.fields, pointer_to(pointer, "fields"));
    return field;
}

static bool is_in(const FieldList *list, const char *name) {
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->fields[i].name, name) == 0)
            return true;
    return false;
}

static FieldList *read_list(const Value &array, const char *pointer) {
    check_stack_depth();
    if (array.kind != ValueKind::Array)
        mapping_error(pointer, psprintf("\"fields\" must be an array, not %s", kind_name(array)), NULL);
    const int count = value_count(array);
    if (count == 0)
        mapping_error(pointer, "at least one field is needed", NULL);
    if (count > MaxHeapAttributeNumber)
        mapping_error(
            pointer,
            psprintf("%d fields are more than the %d columns that a table can have", count, MaxHeapAttributeNumber),
            NULL);
    FieldList *list = static_cast<FieldList *>(palloc0(sizeof(FieldList)));
    list->fields = static_cast<Field *>(palloc0(sizeof(Field) * count));
    Walk walk = walk_begin(array);
    for (Value value; walk_next(&walk, &value); list->count++) {
        const Field field = read_field(value, psprintf("%s/%d", pointer, list->count));
        if (is_in(list, field.name))
            mapping_error(pointer_to(field.pointer, "name"), psprintf("the name \"%s\" stands twice", field.name),
                          NULL);
        list->fields[list->count] = field;
    }
    return list;
}

FieldList *read_fields(const char *text, size_t length) {
    static const char *const known[] = {"fields"};
    const Value root = read_json(text, length, "schema");
    if (root.kind == ValueKind::Array)
        return read_list(root, "");
    if (root.kind != ValueKind::Object)
        mapping_error("", "a schema must be an object with \"fields\", or an array of fields",
                      "For example {\"fields\": [{\"name\": \"id\", \"type\": \"INTEGER\", \"mode\": \"REQUIRED\"}]}.");
    Walk walk = walk_begin(root);
    for (Value value; walk_next(&walk, &value);)
        if (walk.key_length != 6 || memcmp(walk.key, "fields", 6) != 0)
            unknown_member("", plain_string(walk.key, walk.key_length, ""), "A schema", known, lengthof(known));
    const Value list = value_member(root, "fields", 6);
    if (list.kind == ValueKind::Absent)
        mapping_error("", "\"fields\" is missing", NULL);
    return read_list(list, "/fields");
}

} // namespace sluice
