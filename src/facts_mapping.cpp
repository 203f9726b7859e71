// See facts_mapping.hpp.
#include "facts_mapping.hpp"

#include "document.hpp"
#include "mapping.hpp"
#include "names.hpp"

namespace sluice {

static void require_object(const Value &value, const char *pointer, const char *what) {
    if (value.kind != ValueKind::Object)
        mapping_error(pointer, psprintf("%s must be an object, not %s", what, kind_name(value)), NULL);
}

static bool read_flag(const Value &value, const char *pointer) {
    if (value.kind != ValueKind::Bool)
        mapping_error(pointer, psprintf("must be true or false, not %s", kind_name(value)), NULL);
    return value.boolean;
}

static List *read_words(const Value &value, const char *pointer) {
    if (value.kind != ValueKind::Array)
        mapping_error(pointer, psprintf("must be an array of strings, not %s", kind_name(value)), NULL);
    List *words = NIL;
    Walk walk = walk_begin(value);
    for (Value item; walk_next(&walk, &item);)
        words = lappend(words, const_cast<char *>(string_of(item, pointer, "an item")));
    return words;
}

// ---- values

// read_surrogate reads {"dimension": ..., "column": ...}.
static void read_surrogate(const Value &object, FactValue *value) {
    static const char *const known[] = {"dimension", "column"};
    Walk walk = walk_begin(object);
    for (Value member; walk_next(&walk, &member);) {
        const char *word = plain_string(walk.key, walk.key_length, value->pointer);
        const char *place = pointer_to(value->pointer, word);
        if (strcmp(word, "dimension") == 0)
            value->dimension = string_of(member, place, "\"dimension\"");
        else if (strcmp(word, "column") == 0)
            value->surrogate = string_of(member, place, "\"column\"");
        else
            unknown_member(value->pointer, word, "A surrogate", known, lengthof(known));
    }
    if (!value->dimension || !value->surrogate)
        mapping_error(value->pointer, "a surrogate needs \"dimension\" and \"column\"", NULL);
}

static void check_once(const FactValue *values, int count, const FactValue *value) {
    for (int i = 0; i < count; i++)
        if (strcmp(values[i].column, value->column) == 0)
            mapping_error(value->pointer, "the column stands twice", NULL);
}

// read_values reads an object of columns and their expressions.
static FactValue *read_values(const Value &object, const char *pointer, const char *what, bool surrogates, int *count) {
    require_object(object, pointer, what);
    FactValue *values = static_cast<FactValue *>(palloc0(sizeof(FactValue) * (value_count(object) + 1)));
    Walk walk = walk_begin(object);
    for (Value member; walk_next(&walk, &member);) {
        FactValue *value = &values[*count];
        value->column = plain_string(walk.key, walk.key_length, pointer);
        value->pointer = pointer_to(pointer, value->column);
        if (surrogates && member.kind == ValueKind::Object)
            read_surrogate(member, value);
        else
            value->expression = string_of(member, value->pointer, "an SQL expression");
        check_once(values, *count, value);
        ++*count;
    }
    return values;
}

// ---- measures

static Measure read_count(const Value &value, const char *pointer) {
    static const char *const words[] = {"all", "positive", "negative"};
    constexpr Measure measures[] = {Measure::CountAll, Measure::CountPositive, Measure::CountNegative};
    const char *word = string_of(value, pointer, "\"count\"");
    for (int i = 0; i < static_cast<int>(lengthof(words)); i++)
        if (strcmp(word, words[i]) == 0)
            return measures[i];
    const char *hint = nearest_of(word, words, lengthof(words));
    mapping_error(pointer, psprintf("\"%s\" is nothing to count", word),
                  hint ? hint : "Rows counted are \"all\", \"positive\" or \"negative\".");
}

// read_fold reads the word that says how a measure is made of the rows of a fact; false: it is none.
static bool read_fold(const char *word, const Value &value, const char *pointer, MappedMeasure *measure) {
    static const char *const words[] = {"sum", "min", "max"};
    constexpr Measure measures[] = {Measure::Sum, Measure::Min, Measure::Max};
    if (strcmp(word, "count") == 0) {
        measure->measure = read_count(value, pointer);
        return true;
    }
    for (int i = 0; i < static_cast<int>(lengthof(words)); i++) {
        if (strcmp(word, words[i]) != 0)
            continue;
        measure->measure = measures[i];
        measure->expression = string_of(value, pointer, "an SQL expression");
        measure->has_sign = measure->measure == Measure::Sum;
        return true;
    }
    return false;
}

static void read_measure_object(const Value &object, MappedMeasure *measure) {
    static const char *const known[] = {"sum", "min", "max", "count", "signed"};
    const char *sign = NULL;
    bool has_sign = false;
    int folds = 0;
    Walk walk = walk_begin(object);
    for (Value member; walk_next(&walk, &member);) {
        const char *word = plain_string(walk.key, walk.key_length, measure->pointer);
        const char *place = pointer_to(measure->pointer, word);
        if (strcmp(word, "signed") == 0)
            has_sign = read_flag(member, sign = place);
        else if (read_fold(word, member, place, measure))
            folds++;
        else
            unknown_member(measure->pointer, word, "A measure", known, lengthof(known));
    }
    if (folds != 1)
        mapping_error(measure->pointer, "a measure needs one of \"sum\", \"min\", \"max\" and \"count\"", NULL);
    if (sign && !measure->expression)
        mapping_error(sign, "counts have no sign", "Count \"positive\" or \"negative\" rows.");
    if (sign)
        measure->has_sign = has_sign;
}

static void read_measures(const Value &object, FactsMapping *mapping) {
    constexpr const char *pointer = "/measures";
    require_object(object, pointer, "\"measures\"");
    mapping->measures = static_cast<MappedMeasure *>(palloc0(sizeof(MappedMeasure) * (value_count(object) + 1)));
    Walk walk = walk_begin(object);
    for (Value member; walk_next(&walk, &member); mapping->measure_count++) {
        MappedMeasure *measure = &mapping->measures[mapping->measure_count];
        measure->column = plain_string(walk.key, walk.key_length, pointer);
        measure->pointer = pointer_to(pointer, measure->column);
        measure->has_sign = true;
        if (member.kind == ValueKind::Object)
            read_measure_object(member, measure);
        else
            measure->expression = string_of(member, measure->pointer, "an SQL expression");
    }
}

// ---- sign

static void read_sign(const Value &object, FactsMapping *mapping) {
    constexpr const char *pointer = "/sign";
    static const char *const known[] = {"by", "negative", "ignore"};
    require_object(object, pointer, "\"sign\"");
    Walk walk = walk_begin(object);
    for (Value member; walk_next(&walk, &member);) {
        const char *word = plain_string(walk.key, walk.key_length, pointer);
        const char *place = pointer_to(pointer, word);
        if (strcmp(word, "by") == 0)
            mapping->sign_by = string_of(member, place, "an SQL expression");
        else if (strcmp(word, "negative") == 0)
            mapping->negative = read_words(member, place);
        else if (strcmp(word, "ignore") == 0)
            mapping->ignore = read_words(member, place);
        else
            unknown_member(pointer, word, "\"sign\"", known, lengthof(known));
    }
    if (!mapping->sign_by)
        mapping_error(pointer, "\"by\" is missing", "Name the column or expression that holds the status.");
    ListCell *cell;
    foreach (cell, mapping->ignore) {
        ListCell *other;
        foreach (other, mapping->negative)
            if (strcmp(static_cast<char *>(lfirst(cell)), static_cast<char *>(lfirst(other))) == 0)
                mapping_error("/sign/ignore",
                              psprintf("status \"%s\" is in \"negative\" too", static_cast<char *>(lfirst(cell))),
                              NULL);
    }
}

// ---- dimensions

static void check_dimension(const MappedDimension *dimension) {
    const char *pointer = dimension->pointer;
    if (!dimension->table)
        mapping_error(pointer, "\"table\" is missing", NULL);
    if (dimension->key_count == 0)
        mapping_error(pointer, "\"key\" is missing", "Name the columns by which a row of the dimension is known.");
    if (dimension->history && dimension->calendar)
        mapping_error(pointer, "a calendar has no history", NULL);
    if (dimension->history && dimension->column_count == 0)
        mapping_error(pointer, "a dimension with history needs \"columns\"", NULL);
    for (int i = 0; i < dimension->column_count; i++)
        check_once(dimension->key, dimension->key_count, &dimension->columns[i]);
}

static void read_dimension(const Value &object, const char *pointer, MappedDimension *dimension) {
    static const char *const known[] = {"table", "key", "columns", "history", "calendar"};
    require_object(object, pointer, "a dimension");
    dimension->pointer = pointer;
    Walk walk = walk_begin(object);
    for (Value member; walk_next(&walk, &member);) {
        const char *word = plain_string(walk.key, walk.key_length, pointer);
        const char *place = pointer_to(pointer, word);
        if (strcmp(word, "table") == 0)
            dimension->table = string_of(member, place, "\"table\"");
        else if (strcmp(word, "key") == 0)
            dimension->key = read_values(member, place, "\"key\"", false, &dimension->key_count);
        else if (strcmp(word, "columns") == 0)
            dimension->columns = read_values(member, place, "\"columns\"", false, &dimension->column_count);
        else if (strcmp(word, "history") == 0)
            dimension->history = read_flag(member, place);
        else if (strcmp(word, "calendar") == 0)
            dimension->calendar = string_of(member, place, "an SQL expression");
        else
            unknown_member(pointer, word, "A dimension", known, lengthof(known));
    }
    check_dimension(dimension);
}

static void read_dimensions(const Value &list, FactsMapping *mapping) {
    if (list.kind != ValueKind::Array)
        mapping_error("/dimensions", psprintf("\"dimensions\" must be an array, not %s", kind_name(list)), NULL);
    mapping->dimensions = static_cast<MappedDimension *>(palloc0(sizeof(MappedDimension) * (value_count(list) + 1)));
    Walk walk = walk_begin(list);
    for (Value item; walk_next(&walk, &item); mapping->dimension_count++)
        read_dimension(item, psprintf("/dimensions/%d", mapping->dimension_count),
                       &mapping->dimensions[mapping->dimension_count]);
}

// ---- the whole

static void read_mode(const Value &value, FactsMapping *mapping) {
    static const char *const modes[] = {"add", "replace"};
    const char *mode = string_of(value, "/mode", "\"mode\"");
    if (strcmp(mode, "add") != 0 && strcmp(mode, "replace") != 0) {
        const char *hint = nearest_of(mode, modes, lengthof(modes));
        mapping_error("/mode", psprintf("\"%s\" is no mode", mode), hint ? hint : "Modes are \"add\" and \"replace\".");
    }
    mapping->replaces = strcmp(mode, "replace") == 0;
}

static void read_member(const char *word, const Value &member, FactsMapping *mapping) {
    static const char *const known[] = {"grain", "last", "measures", "sign", "mode", "replace_by", "dimensions"};
    if (strcmp(word, "grain") == 0)
        mapping->grain = read_values(member, "/grain", "\"grain\"", true, &mapping->grain_count);
    else if (strcmp(word, "last") == 0)
        mapping->last = read_values(member, "/last", "\"last\"", true, &mapping->last_count);
    else if (strcmp(word, "measures") == 0)
        read_measures(member, mapping);
    else if (strcmp(word, "sign") == 0)
        read_sign(member, mapping);
    else if (strcmp(word, "mode") == 0)
        read_mode(member, mapping);
    else if (strcmp(word, "replace_by") == 0)
        mapping->replace_by = read_words(member, "/replace_by");
    else if (strcmp(word, "dimensions") == 0)
        read_dimensions(member, mapping);
    else
        unknown_member("", word, "The mapping of facts", known, lengthof(known));
}

static void check_replace_by(const FactsMapping *mapping) {
    if (mapping->replaces && mapping->replace_by == NIL)
        mapping_error("", "mode \"replace\" needs \"replace_by\"",
                      "Name the columns of the grain whose facts are rebuilt together, such as [\"date_id\"].");
    if (!mapping->replaces && mapping->replace_by != NIL)
        mapping_error("/replace_by", "goes with \"mode\": \"replace\"", NULL);
    if (list_length(mapping->replace_by) > INDEX_MAX_KEYS)
        mapping_error("/replace_by", psprintf("more than %d columns", INDEX_MAX_KEYS), NULL);
    ListCell *cell;
    foreach (cell, mapping->replace_by) {
        const char *column = static_cast<const char *>(lfirst(cell));
        NearestName nearest = nearest_begin(column);
        const FactValue *found = NULL;
        for (int i = 0; i < mapping->grain_count; i++) {
            nearest_offer(&nearest, mapping->grain[i].column);
            if (strcmp(mapping->grain[i].column, column) == 0)
                found = &mapping->grain[i];
        }
        if (!found)
            mapping_error("/replace_by", psprintf("column \"%s\" is not in \"grain\"", column), nearest_hint(&nearest));
        if (!found->expression)
            mapping_error("/replace_by", psprintf("column \"%s\" is a surrogate: no row of the source has it", column),
                          NULL);
    }
}

static void check_columns(const FactsMapping *mapping) {
    for (int i = 0; i < mapping->last_count; i++)
        check_once(mapping->grain, mapping->grain_count, &mapping->last[i]);
    for (int i = 0; i < mapping->measure_count; i++) {
        const FactValue value{mapping->measures[i].column, mapping->measures[i].pointer, NULL, NULL, NULL};
        check_once(mapping->grain, mapping->grain_count, &value);
        check_once(mapping->last, mapping->last_count, &value);
    }
}

FactsMapping *read_facts_mapping(const char *text) {
    const Value root = read_json(text, strlen(text), "mapping");
    require_object(root, "", "a mapping");
    FactsMapping *mapping = static_cast<FactsMapping *>(palloc0(sizeof(FactsMapping)));
    Walk walk = walk_begin(root);
    for (Value value; walk_next(&walk, &value);)
        read_member(plain_string(walk.key, walk.key_length, ""), value, mapping);
    if (mapping->grain_count == 0)
        mapping_error("", "\"grain\" is missing", "Name the columns by which a fact is known.");
    check_replace_by(mapping);
    check_columns(mapping);
    return mapping;
}

} // namespace sluice
