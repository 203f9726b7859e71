// See ddl.hpp. What a mapping leaves open about a type, this decides; where it cannot, the error asks for "type".
#include "ddl.hpp"

#include "names.hpp"
#include "naming.hpp"

namespace sluice {

static const MappedTable *parent_of(const Mapping *mapping, const MappedTable *table) {
    if (!table->parent)
        return NULL;
    NearestName nearest = nearest_begin(table->parent);
    for (int i = 0; i < mapping->table_count; i++) {
        if (strcmp(mapping->tables[i].name, table->parent) == 0)
            return &mapping->tables[i];
        nearest_offer(&nearest, mapping->tables[i].name);
    }
    mapping_error(psprintf("%s/parent", table->pointer), psprintf("\"%s\" is no table of this mapping", table->parent),
                  nearest_hint(&nearest));
}

// check_parents finds tables that are among their own parents.
static void check_parents(const Mapping *mapping, const MappedTable *table) {
    const MappedTable *up = parent_of(mapping, table);
    for (int steps = 0; up && steps < mapping->table_count; steps++)
        up = parent_of(mapping, up);
    if (up)
        mapping_error(psprintf("%s/parent", table->pointer), "the table is among its own parents", NULL);
}

static const char *ddl_table_name(const MappedTable *table) {
    QualifiedName name;
    if (!split_table_name(table->name, &name))
        mapping_error(table->pointer, psprintf("\"%s\" is no name of a table", table->name),
                      "Write schema.table or table; parts with other characters in double quotes.");
    return quoted_table_name(&name);
}

// ---- types

// checked_type refuses what is not one name of a type.
static const char *checked_type(const MappedColumn *column) {
    at_place(psprintf("%s/type", column->pointer), [=] {
        Oid type;
        int32 typmod;
#if PG_VERSION_NUM >= 160000
        parseTypeString(column->type, &type, &typmod, NULL);
#else
        parseTypeString(column->type, &type, &typmod, false);
#endif
    });
    return column->type;
}

// has_time tells whether a pattern reads a time of day: hours, minutes, seconds or a zone stand outside its quotes.
static bool has_time(const char *pattern) {
    bool quoted = false;
    for (const char *at = pattern; *at; at++) {
        if (*at == '\\' && at[1])
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (!quoted && (pg_strncasecmp(at, "hh", 2) == 0 || pg_strncasecmp(at, "mi", 2) == 0 ||
                             pg_strncasecmp(at, "ss", 2) == 0 || pg_strncasecmp(at, "tz", 2) == 0))
            return true;
    }
    return false;
}

static const char *format_type_word(const char *format) {
    const bool epoch = strcmp(format, "epoch_s") == 0 || strcmp(format, "epoch_ms") == 0;
    return epoch || has_time(format) ? "timestamptz" : "date";
}

[[noreturn]] static void unknown_type(const MappedColumn *column, const char *what) {
    mapping_error(column->pointer, psprintf("the type of %s is not known", what),
                  "Write the value as an object with \"path\" and \"type\".");
}

static const MappedColumn *parent_column(const Mapping *mapping, const MappedTable *table, const MappedColumn *column) {
    const MappedTable *parent = parent_of(mapping, table);
    if (!parent)
        mapping_error(column->pointer, "the table has no parent", "Add \"parent\".");
    return mapped_column(parent, column->other);
}

static const char *column_type(const Mapping *mapping, const MappedTable *table, const MappedColumn *column) {
    if (column->type)
        return checked_type(column);
    switch (column->form) {
    case ValueForm::Path:
        return column->format ? format_type_word(column->format) : "text";
    case ValueForm::Key:
        return "text";
    case ValueForm::Index:
    case ValueForm::Serial:
    case ValueForm::Run:
        return "bigint";
    case ValueForm::LoadedAt:
        return "timestamptz";
    case ValueForm::Hash:
        return "bytea";
    case ValueForm::Rest:
        return "jsonb";
    case ValueForm::Default:
        unknown_type(column, "a column with \"#default\"");
    case ValueForm::SourceColumn:
        unknown_type(column, "a column of the source");
    case ValueForm::Parent: {
        const MappedColumn *above = parent_column(mapping, table, column);
        if (!above)
            unknown_type(column, psprintf("column \"%s\", which the mapping of %s does not have,", column->other,
                                          table->parent));
        return column_type(mapping, parent_of(mapping, table), above);
    }
    }
    pg_unreachable();
}

// ---- statements

// first_serial is the column that becomes the primary key.
static const MappedColumn *first_serial(const MappedTable *table) {
    for (int i = 0; i < table->column_count; i++)
        if (table->columns[i].form == ValueForm::Serial)
            return &table->columns[i];
    return NULL;
}

static bool refers_to_parent(const Mapping *mapping, const MappedTable *table, const MappedColumn *column) {
    if (column->form != ValueForm::Parent)
        return false;
    const MappedColumn *above = parent_column(mapping, table, column);
    return above && above == first_serial(parent_of(mapping, table));
}

static bool is_key_column(const MappedTable *table, const char *name) {
    for (int i = 0; i < table->key_count; i++)
        if (strcmp(table->key[i], name) == 0)
            return true;
    return false;
}

static void append_column_definition(StringInfo to, const Mapping *mapping, const MappedTable *table,
                                     const MappedColumn *column) {
    appendStringInfo(to, "%s %s", quote_identifier(column->name), column_type(mapping, table, column));
    if (column->form == ValueForm::Serial)
        appendStringInfoString(to, " GENERATED BY DEFAULT AS IDENTITY");
    if (column == first_serial(table))
        appendStringInfoString(to, " PRIMARY KEY");
    else if (column->form == ValueForm::Parent || is_key_column(table, column->name))
        appendStringInfoString(to, " NOT NULL");
    if (refers_to_parent(mapping, table, column))
        appendStringInfo(to, " REFERENCES %s (%s)", ddl_table_name(parent_of(mapping, table)),
                         quote_identifier(column->other));
}

static void append_key(StringInfo to, const MappedTable *table) {
    if (table->key_count == 0)
        return;
    appendStringInfoString(to, ",\n    UNIQUE (");
    for (int i = 0; i < table->key_count; i++)
        appendStringInfo(to, "%s%s", i > 0 ? ", " : "", quote_identifier(table->key[i]));
    appendStringInfoChar(to, ')');
}

void append_table_ddl(StringInfo to, const Mapping *mapping, int number) {
    const MappedTable *table = &mapping->tables[number];
    check_parents(mapping, table);
    const char *name = ddl_table_name(table);
    appendStringInfo(to, "CREATE TABLE %s (\n    ", name);
    for (int i = 0; i < table->column_count; i++) {
        if (i > 0)
            appendStringInfoString(to, ",\n    ");
        append_column_definition(to, mapping, table, &table->columns[i]);
    }
    append_key(to, table);
    appendStringInfoString(to, "\n);\n");
    for (int i = 0; i < table->column_count; i++)
        if (refers_to_parent(mapping, table, &table->columns[i]))
            appendStringInfo(to, "CREATE INDEX ON %s (%s);\n", name, quote_identifier(table->columns[i].name));
}

void append_column_ddl(StringInfo to, const Mapping *mapping, int number, int column) {
    const MappedTable *table = &mapping->tables[number];
    check_parents(mapping, table);
    appendStringInfo(to, "ALTER TABLE %s ADD COLUMN ", ddl_table_name(table));
    append_column_definition(to, mapping, table, &table->columns[column]);
    appendStringInfoString(to, ";\n");
}

static void append_with_parents(StringInfo to, const Mapping *mapping, const MappedTable *table, bool *written) {
    const int number = table - mapping->tables;
    if (written[number])
        return;
    check_stack_depth();
    const MappedTable *parent = parent_of(mapping, table);
    if (parent)
        append_with_parents(to, mapping, parent, written);
    written[number] = true;
    append_table_ddl(to, mapping, number);
}

void append_mapping_ddl(StringInfo to, const Mapping *mapping) {
    bool *written = static_cast<bool *>(palloc0(sizeof(bool) * mapping->table_count));
    for (int i = 0; i < mapping->table_count; i++)
        check_parents(mapping, &mapping->tables[i]);
    for (int i = 0; i < mapping->table_count; i++) {
        CHECK_FOR_INTERRUPTS();
        append_with_parents(to, mapping, &mapping->tables[i], written);
    }
}

} // namespace sluice
