// See mapping_text.hpp.
#include "mapping_text.hpp"

namespace sluice {

static const char *form_text(const MappedColumn *column) {
    switch (column->form) {
    case ValueForm::Path:
        return column->path.text;
    case ValueForm::Key:
        return "@key";
    case ValueForm::Index:
        return "@index";
    case ValueForm::Parent:
        return psprintf("parent.%s", column->other);
    case ValueForm::Serial:
        return "#serial";
    case ValueForm::Default:
        return "#default";
    case ValueForm::Run:
        return "#run";
    case ValueForm::LoadedAt:
        return "#loaded_at";
    case ValueForm::Hash:
        return "#hash";
    case ValueForm::SourceColumn:
        return psprintf("#source.%s", column->other);
    case ValueForm::Rest:
        return "#rest";
    }
    pg_unreachable();
}

// append_text_member writes ", "word": "text"" (the first member without the comma); nothing when there is no text.
static void append_text_member(StringInfo to, bool first, const char *word, const char *text) {
    if (!text)
        return;
    appendStringInfo(to, "%s\"%s\": ", first ? "" : ", ", word);
    escape_json(to, text);
}

static void append_null_if(StringInfo to, const MappedColumn *column) {
    appendStringInfoString(to, ", \"null_if\": [");
    for (int i = 0; i < column->null_if_count; i++) {
        if (i > 0)
            appendStringInfoString(to, ", ");
        append_value_text(to, column->null_if[i]);
    }
    appendStringInfoChar(to, ']');
}

static void append_column(StringInfo to, const MappedColumn *column) {
    const bool has_default = column->default_value.kind != ValueKind::Absent;
    escape_json(to, column->name);
    appendStringInfoString(to, ": ");
    if (!column->type && !column->format && !has_default && !column->null_if && !column->null_on_error) {
        escape_json(to, form_text(column));
        return;
    }
    appendStringInfoChar(to, '{');
    append_text_member(to, true, "path", form_text(column));
    append_text_member(to, false, "type", column->type);
    append_text_member(to, false, "format", column->format);
    if (has_default) {
        appendStringInfoString(to, ", \"default\": ");
        append_value_text(to, column->default_value);
    }
    if (column->null_if)
        append_null_if(to, column);
    append_text_member(to, false, "on_error", column->null_on_error ? "null" : NULL);
    appendStringInfoChar(to, '}');
}

static void append_columns(StringInfo to, const MappedTable *table) {
    appendStringInfoString(to, "\"columns\": {");
    for (int i = 0; i < table->column_count; i++) {
        if (i > 0)
            appendStringInfoString(to, ", ");
        append_column(to, &table->columns[i]);
    }
    appendStringInfoChar(to, '}');
}

static void append_key(StringInfo to, const MappedTable *table) {
    if (table->key_count == 0)
        return;
    appendStringInfoString(to, ", \"key\": [");
    for (int i = 0; i < table->key_count; i++) {
        if (i > 0)
            appendStringInfoString(to, ", ");
        escape_json(to, table->key[i]);
    }
    appendStringInfoChar(to, ']');
}

static void append_table(StringInfo to, const MappedTable *table) {
    escape_json(to, table->name);
    appendStringInfoString(to, ": {");
    append_text_member(to, true, "parent", table->parent);
    const bool whole = !table->each.from_item && table->each.step_count == 0; // as without "each"
    append_text_member(to, !table->parent, "each", whole ? NULL : table->each.text);
    if (table->parent || !whole)
        appendStringInfoString(to, ", ");
    append_columns(to, table);
    append_key(to, table);
    append_text_member(to, false, "mode", table->has_mode ? mode_name(table->mode) : NULL);
    append_text_member(to, false, "newest_by", table->newest_by);
    appendStringInfoChar(to, '}');
}

void append_mapping(StringInfo to, const Mapping *mapping) {
    appendStringInfoString(to, "{ ");
    for (int i = 0; i < mapping->table_count; i++) {
        CHECK_FOR_INTERRUPTS();
        if (i > 0)
            appendStringInfoString(to, ",\n  ");
        append_table(to, &mapping->tables[i]);
    }
    appendStringInfoString(to, " }");
}

} // namespace sluice
