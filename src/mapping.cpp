// See mapping.hpp.
#include "mapping.hpp"

#include "document.hpp"
#include "names.hpp"

namespace sluice {

void mapping_error(const char *pointer, const char *what, const char *hint) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s: %s", *pointer ? pointer : "/", what),
                    hint ? errhint("%s", hint) : 0));
    pg_unreachable();
}

const char *pointer_to(const char *pointer, const char *member) {
    StringInfoData to;
    initStringInfo(&to);
    appendStringInfo(&to, "%s/", pointer);
    for (; *member; member++) {
        if (*member == '~')
            appendStringInfoString(&to, "~0");
        else if (*member == '/')
            appendStringInfoString(&to, "~1");
        else
            appendStringInfoChar(&to, *member);
    }
    return to.data;
}

const char *plain_string(const char *text, uint32 length, const char *pointer) {
    if (memchr(text, '\0', length))
        mapping_error(pointer, "a name or text must not hold \\u0000", NULL);
    return pnstrdup(text, length);
}

const char *string_of(const Value &value, const char *pointer, const char *what) {
    if (value.kind != ValueKind::String)
        mapping_error(pointer, psprintf("%s must be a string, not %s", what, kind_name(value)), NULL);
    return plain_string(value.text, value.length, pointer);
}

void unknown_member(const char *pointer, const char *name, const char *what, const char *const *known, int count) {
    const char *hint = nearest_of(name, known, count);
    if (!hint) {
        StringInfoData list;
        initStringInfo(&list);
        appendStringInfo(&list, "%s knows", what);
        for (int i = 0; i < count; i++)
            appendStringInfo(&list, "%s \"%s\"", i ? "," : "", known[i]);
        appendStringInfoChar(&list, '.');
        hint = list.data;
    }
    mapping_error(pointer_to(pointer, name), "unknown word", hint);
}

// plain_form reads the text of a value: a path or one of the other forms.
static void plain_form(const char *text, MappedColumn *column, const char *pointer) {
    static const char *const words[] = {"@key", "@index",     "#serial", "#default",
                                        "#run", "#loaded_at", "#hash",   "#rest"};
    constexpr ValueForm forms[] = {ValueForm::Key, ValueForm::Index,    ValueForm::Serial, ValueForm::Default,
                                   ValueForm::Run, ValueForm::LoadedAt, ValueForm::Hash,   ValueForm::Rest};
    for (int i = 0; i < static_cast<int>(lengthof(words)); i++) {
        if (strcmp(text, words[i]) != 0)
            continue;
        column->form = forms[i];
        return;
    }
    constexpr const char source[] = "#source.", parent[] = "parent.";
    if (strncmp(text, source, sizeof(source) - 1) == 0 || strncmp(text, parent, sizeof(parent) - 1) == 0) {
        column->form = *text == '#' ? ValueForm::SourceColumn : ValueForm::Parent;
        column->other = strchr(text, '.') + 1;
        return;
    }
    // "@keys" is a mistyped word; "@.keys" a path
    if (*text == '#' || (*text == '@' && text[1] >= 'a' && text[1] <= 'z'))
        mapping_error(pointer, psprintf("\"%s\" is no value", text), nearest_of(text, words, lengthof(words)));
    if (*text != '$' && *text != '@')
        mapping_error(
            pointer, psprintf("\"%s\" is no value", text),
            "A value is a path ($..., @...), \"@key\", \"@index\", \"parent.column\", \"#serial\", \"#default\", "
            "\"#run\", \"#loaded_at\", \"#hash\", \"#rest\" or \"#source.column\".");
    column->form = ValueForm::Path;
    column->path = parse_path(text, pointer);
    if (path_has_each(column->path))
        mapping_error(pointer, psprintf("path \"%s\" may match many values, a column takes one", text),
                      "[*] and .* belong into \"each\".");
}

static void read_null_if(const Value &list, MappedColumn *column, const char *pointer) {
    if (list.kind != ValueKind::Array)
        mapping_error(pointer, psprintf("\"null_if\" must be an array, not %s", kind_name(list)), NULL);
    column->null_if = static_cast<Value *>(palloc0(sizeof(Value) * (value_count(list) + 1)));
    Walk walk = walk_begin(list);
    for (Value item; walk_next(&walk, &item);) {
        if (item.kind == ValueKind::Array || item.kind == ValueKind::Object)
            mapping_error(pointer, "\"null_if\" lists strings, numbers and booleans", NULL);
        column->null_if[column->null_if_count++] = item;
    }
}

// object_form reads a value written as an object: {"path": ..., "format": ...}.
static void object_form(const Value &object, MappedColumn *column, const char *pointer) {
    static const char *const known[] = {"path", "format", "default", "null_if", "on_error", "type"};
    bool has_path = false;
    Walk walk = walk_begin(object);
    for (Value member; walk_next(&walk, &member);) {
        const char *word = plain_string(walk.key, walk.key_length, pointer);
        const char *place = pointer_to(pointer, word);
        if (strcmp(word, "path") == 0) {
            plain_form(string_of(member, place, "\"path\""), column, place);
            has_path = true;
        } else if (strcmp(word, "format") == 0) {
            column->format = string_of(member, place, "\"format\"");
        } else if (strcmp(word, "default") == 0) {
            column->default_value = member;
        } else if (strcmp(word, "null_if") == 0) {
            read_null_if(member, column, place);
        } else if (strcmp(word, "on_error") == 0) {
            if (strcmp(string_of(member, place, "\"on_error\""), "null") != 0)
                mapping_error(place, "\"on_error\" takes only \"null\"",
                              "Leave it out, and a value that does not fit is an error.");
            column->null_on_error = true;
        } else if (strcmp(word, "type") == 0) {
            column->type = string_of(member, place, "\"type\"");
        } else {
            unknown_member(pointer, word, "A value", known, lengthof(known));
        }
    }
    if (!has_path)
        mapping_error(pointer, "\"path\" is missing", NULL);
    const bool from_document =
        column->form == ValueForm::Path || column->form == ValueForm::Key || column->form == ValueForm::Index;
    if (!from_document &&
        (column->format || column->null_if || column->null_on_error || column->default_value.kind != ValueKind::Absent))
        mapping_error(pointer, "\"format\", \"default\", \"null_if\" and \"on_error\" go with a path into the document",
                      NULL);
}

static MappedColumn read_column(const char *name, const Value &value, const char *pointer) {
    MappedColumn column{};
    column.name = name;
    column.pointer = pointer;
    column.default_value = absent_value();
    if (value.kind == ValueKind::String)
        plain_form(plain_string(value.text, value.length, pointer), &column, pointer);
    else if (value.kind == ValueKind::Object)
        object_form(value, &column, pointer);
    else
        mapping_error(pointer, psprintf("a column's value must be a string or an object, not %s", kind_name(value)),
                      NULL);
    return column;
}

static void read_columns(const Value &columns, MappedTable *table, const char *pointer) {
    if (columns.kind != ValueKind::Object)
        mapping_error(pointer, psprintf("\"columns\" must be an object, not %s", kind_name(columns)), NULL);
    if (value_count(columns) == 0)
        mapping_error(pointer, "a table needs at least one column", NULL);
    table->columns = static_cast<MappedColumn *>(palloc0(sizeof(MappedColumn) * value_count(columns)));
    Walk walk = walk_begin(columns);
    for (Value value; walk_next(&walk, &value);) {
        const char *name = plain_string(walk.key, walk.key_length, pointer);
        table->columns[table->column_count++] = read_column(name, value, pointer_to(pointer, name));
    }
}

static const char *const mode_names[] = {"append", "upsert", "skip", "merge", "replace"};

const char *mode_name(Mode mode) { return mode_names[static_cast<int>(mode)]; }

static Mode read_mode(const char *mode, const char *pointer) {
    for (int i = 0; i < static_cast<int>(lengthof(mode_names)); i++)
        if (strcmp(mode, mode_names[i]) == 0)
            return static_cast<Mode>(i);
    const char *hint = nearest_of(mode, mode_names, lengthof(mode_names));
    mapping_error(pointer, psprintf("\"%s\" is no mode", mode),
                  hint ? hint : "Modes are \"append\", \"upsert\", \"skip\", \"merge\" and \"replace\".");
}

// read_key reads the names of the key's columns: one as a string, or several as an array.
static void read_key(const Value &value, MappedTable *table, const char *pointer) {
    if (value.kind == ValueKind::String) {
        table->key = static_cast<const char **>(palloc(sizeof(char *)));
        table->key[table->key_count++] = plain_string(value.text, value.length, pointer);
        return;
    }
    if (value.kind != ValueKind::Array || value_count(value) == 0)
        mapping_error(pointer, "\"key\" must be the name of a column or an array of names", NULL);
    table->key = static_cast<const char **>(palloc(sizeof(char *) * value_count(value)));
    Walk walk = walk_begin(value);
    for (Value name; walk_next(&walk, &name);) {
        const char *column = string_of(name, pointer, "a column of \"key\"");
        for (int i = 0; i < table->key_count; i++)
            if (strcmp(table->key[i], column) == 0)
                mapping_error(pointer, psprintf("column \"%s\" stands twice in the key", column), NULL);
        table->key[table->key_count++] = column;
    }
}

const MappedColumn *mapped_column(const MappedTable *table, const char *name) {
    for (int i = 0; i < table->column_count; i++)
        if (strcmp(table->columns[i].name, name) == 0)
            return &table->columns[i];
    return NULL;
}

[[noreturn]] static void unmapped_column(const MappedTable *table, const char *pointer, const char *name) {
    NearestName nearest = nearest_begin(name);
    for (int i = 0; i < table->column_count; i++)
        nearest_offer(&nearest, table->columns[i].name);
    mapping_error(pointer, psprintf("column \"%s\" is not among \"columns\"", name), nearest_hint(&nearest));
}

// check_keys looks at what goes together: key, mode and newest_by.
static void check_keys(const MappedTable *table, const char *pointer) {
    const bool keyed = table->key_count > 0;
    for (int i = 0; i < table->key_count; i++) {
        const MappedColumn *column = mapped_column(table, table->key[i]);
        if (!column)
            unmapped_column(table, pointer_to(pointer, "key"), table->key[i]);
        if (column->form == ValueForm::Serial || column->form == ValueForm::Default)
            mapping_error(pointer_to(pointer, "key"),
                          psprintf("column \"%s\" gets a new value with each row: it cannot tell rows that come again",
                                   table->key[i]),
                          "The key consists of columns that the document fills.");
    }
    if (table->has_mode && keyed && (table->mode == Mode::Append || table->mode == Mode::Replace))
        mapping_error(pointer_to(pointer, "mode"), psprintf("\"%s\" goes without \"key\"", mode_name(table->mode)),
                      NULL);
    if (table->has_mode && !keyed && table->mode != Mode::Append && table->mode != Mode::Replace)
        mapping_error(pointer_to(pointer, "mode"), psprintf("\"%s\" needs a \"key\"", mode_name(table->mode)),
                      "Name the columns by which a row that comes again is known.");
    if (table->has_mode && table->mode == Mode::Replace && !table->parent)
        mapping_error(pointer_to(pointer, "mode"), "\"replace\" is for children of a parent with a key", NULL);
    if (!table->newest_by)
        return;
    const char *newest_by = pointer_to(pointer, "newest_by");
    if (!keyed)
        mapping_error(newest_by, "goes with \"key\"", NULL);
    if (table->has_mode && table->mode == Mode::Skip)
        mapping_error(newest_by, "means nothing in mode \"skip\": a key that exists stays", NULL);
    const MappedColumn *column = mapped_column(table, table->newest_by);
    if (!column)
        unmapped_column(table, newest_by, table->newest_by);
    if (column->form == ValueForm::Serial || column->form == ValueForm::Default)
        mapping_error(newest_by, psprintf("column \"%s\" is not filled by the document", table->newest_by), NULL);
}

static MappedTable read_table(const char *name, const Value &value, const char *pointer) {
    static const char *const known[] = {"parent", "each", "columns", "key", "mode", "newest_by"};
    MappedTable table{};
    table.name = name;
    table.pointer = pointer;
    table.each = parse_path("$", pointer);
    if (value.kind != ValueKind::Object)
        mapping_error(pointer, psprintf("a table must be an object, not %s", kind_name(value)), NULL);
    Walk walk = walk_begin(value);
    for (Value member; walk_next(&walk, &member);) {
        const char *word = plain_string(walk.key, walk.key_length, pointer);
        const char *place = pointer_to(pointer, word);
        if (strcmp(word, "parent") == 0)
            table.parent = string_of(member, place, "\"parent\"");
        else if (strcmp(word, "each") == 0)
            table.each = parse_path(string_of(member, place, "\"each\""), place);
        else if (strcmp(word, "columns") == 0)
            read_columns(member, &table, place);
        else if (strcmp(word, "key") == 0)
            read_key(member, &table, place);
        else if (strcmp(word, "newest_by") == 0)
            table.newest_by = string_of(member, place, "\"newest_by\"");
        else if (strcmp(word, "mode") == 0) {
            table.mode = read_mode(string_of(member, place, "\"mode\""), place);
            table.has_mode = true;
        } else
            unknown_member(pointer, word, "A table", known, lengthof(known));
    }
    if (!table.columns)
        mapping_error(pointer, "\"columns\" is missing", NULL);
    if (!table.has_mode)
        table.mode = table.key_count > 0 ? Mode::Upsert : Mode::Append;
    check_keys(&table, pointer);
    return table;
}

Value read_json(const char *text, size_t length, const char *what) {
    ParsedText parsed = parse_json_text(text, length, CurrentMemoryContext);
    if (parsed.result == ParseResult::Beyond)
        mapping_error("", "a number is too large", NULL);
    if (parsed.result == ParseResult::Syntax)
        json_syntax_error(&parsed, text, length, what);
    if (parsed.duplicate)
        mapping_error(parsed.duplicate, "the word stands twice in one object", NULL);
    return value_of_node(parsed.root);
}

Mapping *read_mapping(const char *text, size_t length) {
    const Value root = read_json(text, length, "mapping");
    if (root.kind != ValueKind::Object || value_count(root) == 0)
        mapping_error("", "a mapping must be an object with a member for each table",
                      "For example {\"crm.clients\": {\"columns\": {\"name\": \"$.name\"}}}.");
    Mapping *mapping = static_cast<Mapping *>(palloc0(sizeof(Mapping)));
    mapping->tables = static_cast<MappedTable *>(palloc0(sizeof(MappedTable) * value_count(root)));
    Walk walk = walk_begin(root);
    for (Value value; walk_next(&walk, &value);) {
        const char *name = plain_string(walk.key, walk.key_length, "");
        mapping->tables[mapping->table_count++] = read_table(name, value, pointer_to("", name));
    }
    return mapping;
}

} // namespace sluice
