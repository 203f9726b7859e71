// See shred.hpp. The way of a document: each root table walks its `each` from the document; every match becomes a row and
// at once, with its final values at hand, the starting point of the table's children.
#include "shred.hpp"

#include "attempt.hpp"
#include "lineage_scope.hpp"
#include "names.hpp"

namespace sluice {

// What `each` matched: its value, and the key and position nearest to it.
struct Item {
    Value value;
    const char *key;
    uint32 key_length;
    int64 index;
};

static void emit_row(Shredder *shredder, int table, const Item &item);

// ---- where it is, for error messages

// append_place writes the path of the current item, its [*] and .* filled in.
static void append_place(StringInfo to, const Shredder *shredder, int table, int steps) {
    const ShredTable *at = &shredder->plan->tables[table];
    const Path &each = at->mapped->each;
    if (each.from_item)
        append_place(to, shredder, at->parent, INT_MAX);
    else
        appendStringInfoChar(to, '$');
    for (int i = 0; i < Min(each.step_count, steps); i++) {
        const Step &step = each.steps[i];
        const Place &place = at->places[i];
        if (step.kind == StepKind::Key)
            append_key_step(to, step.key, step.length);
        else if (step.kind == StepKind::Item)
            appendStringInfo(to, "[" INT64_FORMAT "]", step.index);
        else if (step.kind == StepKind::EachItem)
            appendStringInfo(to, "[" INT64_FORMAT "]", place.index);
        else if (place.key)
            append_key_step(to, place.key, place.key_length);
    }
}

// is_in_document tells whether a column's value comes out of the document.
static bool is_in_document(const MappedColumn *mapped) {
    return mapped->form == ValueForm::Path || mapped->form == ValueForm::Key || mapped->form == ValueForm::Index;
}

// append_path writes where in the document a column's value is, or with none the place reached.
static void append_path(StringInfo to, const Shredder *shredder, const MappedColumn *mapped) {
    if (!mapped || mapped->form != ValueForm::Path || mapped->path.from_item)
        append_place(to, shredder, shredder->table, mapped ? INT_MAX : shredder->step);
    if (mapped && mapped->form == ValueForm::Path)
        appendStringInfoString(to, mapped->path.text + (mapped->path.from_item ? 1 : 0));
    else if (mapped)
        appendStringInfoString(to, mapped->form == ValueForm::Key ? " @key" : " @index");
}

static void append_column_path(StringInfo to, const Shredder *shredder) {
    const MappedColumn *mapped = shredder->column ? shredder->column->mapped : NULL;
    if (mapped && !is_in_document(mapped))
        return;
    appendStringInfoString(to, ", path ");
    append_path(to, shredder, mapped);
}

static void describe_source_row(const Shredder *shredder, StringInfo to) {
    if (shredder->row->place)
        appendStringInfoString(to, shredder->row->place);
    else
        shredder->describe(shredder->cursor, shredder->row, to);
}

static void error_context(void *argument) {
    const Shredder *shredder = static_cast<const Shredder *>(argument);
    if (shredder->writer && writer_flushing(shredder->writer)) {
        errcontext("writing the rows of a %s into %s", shredder->in_order ? "document" : "batch",
                   relation_name(writer_flushing(shredder->writer)));
        if (!shredder->in_order)
            return;
    }
    if (!shredder->row)
        return;
    StringInfoData place;
    initStringInfo(&place);
    appendStringInfo(&place, "document of %s with ", relation_name(shredder->source));
    describe_source_row(shredder, &place);
    if (shredder->table >= 0) {
        append_column_path(&place, shredder);
        appendStringInfoString(&place, shredder->column ? ", column " : ", table ");
        appendStringInfoString(&place, relation_name(shredder->plan->tables[shredder->table].relation));
        if (shredder->column)
            appendStringInfo(&place, ".%s", quote_identifier(shredder->column->mapped->name));
    }
    errcontext("%s", place.data);
}

// ---- where an error happened, as JSON

// clipped_value writes a value, shortened; NULL for what PostgreSQL's text cannot hold.
static const char *clipped_value(const Value &value) {
    constexpr int most = 1000;
    if (value.kind == ValueKind::Absent || value.in_tree ||
        (value.kind == ValueKind::String && memchr(value.text, '\0', value.length)))
        return value.in_tree ? kind_name(value) : NULL;
    StringInfoData text;
    initStringInfo(&text);
    if (value.kind == ValueKind::String)
        appendBinaryStringInfo(&text, value.text, value.length);
    else
        append_value_text(&text, value);
    if (text.len > most)
        return psprintf("%s ...", pnstrdup(text.data, pg_mbcliplen(text.data, text.len, most)));
    return text.data;
}

// faulty_column finds the mapped column of an error: the one being converted, or the one a constraint names.
static const MappedColumn *faulty_column(const Shredder *shredder, const ErrorData *error) {
    if (shredder->column)
        return shredder->column->mapped;
    return error->column_name ? mapped_column(shredder->plan->tables[shredder->table].mapped, error->column_name)
                              : NULL;
}

static void append_document_place(StringInfo to, const Shredder *shredder, const ErrorData *error) {
    const MappedColumn *column = faulty_column(shredder, error);
    append_json_member(to, "table", relation_name(shredder->plan->tables[shredder->table].relation));
    append_json_member(to, "column", column ? column->name : error->column_name);
    if (!column || is_in_document(column)) {
        StringInfoData path;
        initStringInfo(&path);
        append_path(&path, shredder, column);
        append_json_member(to, "path", path.data);
    }
    if (shredder->column && is_in_document(shredder->column->mapped))
        append_json_member(to, "value", clipped_value(shredder->value));
}

const char *locate_error(const Shredder *shredder, const ErrorData *error) {
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfoChar(&json, '{');
    if (shredder->row && shredder->table >= 0) {
        append_document_place(&json, shredder, error);
    } else if (error->table_name) {
        append_json_member(&json, "table", quote_qualified_identifier(error->schema_name, error->table_name));
        append_json_member(&json, "column", error->column_name);
    } else if (shredder->writer && writer_flushing(shredder->writer)) {
        append_json_member(&json, "table", relation_name(writer_flushing(shredder->writer)));
    }
    append_json_member(&json, "path", shredder->unknown);
    append_json_member(&json, "constraint", error->constraint_name);
    append_json_member(&json, "detail", error->detail);
    appendStringInfoChar(&json, '}');
    return json.data;
}

// ---- values

static Value follow_step(const Step &step, const Value &from, const Item &item) {
    switch (step.kind) {
    case StepKind::Key:
        return from.kind == ValueKind::Object ? value_member(from, step.key, step.length) : absent_value();
    case StepKind::ItemKey:
        return from.kind == ValueKind::Object ? value_member(from, item.key, item.key_length) : absent_value();
    case StepKind::Item:
        return from.kind == ValueKind::Array ? value_item(from, step.index) : absent_value();
    default:
        return absent_value();
    }
}

static Value find_value(const Shredder *shredder, const Path &path, const Item &item) {
    Value value = path.from_item ? item.value : shredder->document;
    for (int i = 0; i < path.step_count; i++)
        value = follow_step(path.steps[i], value, item);
    return value;
}

static Value mapped_value(const Shredder *shredder, const MappedColumn *mapped, const Item &item) {
    Value value{};
    switch (mapped->form) {
    case ValueForm::Key:
        value.kind = ValueKind::String;
        value.text = item.key;
        value.length = item.key_length;
        break;
    case ValueForm::Index:
        value.kind = ValueKind::Number;
        value.form = NumberForm::Integer;
        value.integer = item.index;
        break;
    default:
        value = find_value(shredder, mapped->path, item);
    }
    for (int i = 0; i < mapped->null_if_count; i++)
        if (values_equal(value, mapped->null_if[i]))
            value.kind = ValueKind::Null;
    return value;
}

static Datum convert_column(ShredColumn *column, const Value &value, bool *is_null) {
    if (is_missing(value) && column->has_default) {
        *is_null = false;
        return column->default_value;
    }
    if (column->format && !is_missing(value))
        return format_value(column->format, &column->conversion, value, is_null);
    return convert_value(&column->conversion, value, is_null);
}

// is_value_error tells what a value's conversion may raise from what has nothing to do with the value: cancels, lack of
// resources, faults of the system or of the program.
static bool is_value_error(int code) {
    switch (ERRCODE_TO_CATEGORY(code)) {
    case ERRCODE_OPERATOR_INTERVENTION:
    case ERRCODE_INSUFFICIENT_RESOURCES:
    case ERRCODE_SYSTEM_ERROR:
    case ERRCODE_INTERNAL_ERROR:
    case ERRCODE_TRANSACTION_ROLLBACK:
    case ERRCODE_INVALID_TRANSACTION_STATE:
    case ERRCODE_CONNECTION_EXCEPTION:
        return false;
    }
    return code != ERRCODE_INSUFFICIENT_PRIVILEGE;
}

// convert_or_null serves "on_error": "null": a value that does not fit becomes NULL. The subtransaction writes nothing.
static Datum convert_or_null(Shredder *shredder, ShredColumn *column, const Value &value, bool *is_null) {
    Datum result = 0;
    ErrorData *error = attempt([&] { result = convert_column(column, value, is_null); });
    if (!error)
        return result;
    if (!is_value_error(error->sqlerrcode))
        ReThrowError(error);
    FreeErrorData(error);
    *is_null = true;
    shredder->nulled++;
    return 0;
}

// hash_value gives the document's hash, computed once for all its rows.
static Datum hash_value(Shredder *shredder, bool as_uuid) {
    const SourceRow *row = shredder->row;
    if (!shredder->has_hash)
        shredder->hash = row->hash ? *row->hash : content_of(row->document, row->document_is_null);
    shredder->has_hash = true;
    if (as_uuid)
        return PointerGetDatum(shredder->hash.bytes);
    bytea *value = static_cast<bytea *>(palloc(VARHDRSZ + sizeof(ContentHash)));
    SET_VARSIZE(value, VARHDRSZ + sizeof(ContentHash));
    memcpy(VARDATA(value), shredder->hash.bytes, sizeof(ContentHash));
    return PointerGetDatum(value);
}

// column_value gives a column's value; `absent`, where it matters, whether the document says nothing about it.
static Datum column_value(Shredder *shredder, const ShredTable *table, ShredColumn *column, const Item &item,
                          bool *is_null, bool *absent) {
    *is_null = false;
    switch (column->mapped->form) {
    case ValueForm::Parent: {
        const WriterRow parent = writer_returned(shredder->writer, table->parent);
        *is_null = parent.nulls[column->other];
        return coerce_value(&column->coercion, parent.values[column->other], is_null);
    }
    case ValueForm::SourceColumn:
        *is_null = shredder->row->nulls[column->other];
        return coerce_value(&column->coercion, shredder->row->columns[column->other], is_null);
    case ValueForm::Run:
        return coerce_value(&column->coercion, Int64GetDatum(shredder->run_id), is_null);
    case ValueForm::Hash:
        return coerce_value(&column->coercion, hash_value(shredder, column->hash_as_uuid), is_null);
    case ValueForm::Rest: {
        Jsonb *rest = uncovered_part(shredder->plan->coverage, table - shredder->plan->tables, item.value);
        *is_null = !rest;
        return coerce_value(&column->coercion, PointerGetDatum(rest), is_null);
    }
    case ValueForm::LoadedAt:
        return coerce_value(&column->coercion, TimestampTzGetDatum(shredder->loaded_at), is_null);
    default: {
        const Value value = shredder->value = mapped_value(shredder, column->mapped, item);
        if (absent)
            *absent = value.kind == ValueKind::Absent;
        if (unlikely(column->mapped->null_on_error))
            return convert_or_null(shredder, column, value, is_null);
        return convert_column(column, value, is_null);
    }
    }
}

// ---- rows

[[noreturn]] static void wrong_kind(const ShredTable *table, const Value &value, const char *wanted) {
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("\"each\" path %s meets %s where it expects %s",
                                                               table->mapped->each.text, kind_name(value), wanted)));
    pg_unreachable();
}

static void walk_each(Shredder *shredder, int index, int step_number, const Item &item);

static void walk_all(Shredder *shredder, int index, int step_number, const Item &from) {
    Place *place = &shredder->plan->tables[index].places[step_number];
    const bool object = from.value.kind == ValueKind::Object;
    Walk walk = walk_begin(from.value);
    Item item = from;
    for (item.index = 0; walk_next(&walk, &item.value); item.index++) {
        if (object) {
            item.key = place->key = walk.key;
            item.key_length = place->key_length = walk.key_length;
        }
        place->index = item.index;
        walk_each(shredder, index, step_number + 1, item);
    }
}

// walk_each follows `each` from step `step_number` on; every match becomes a row.
static void walk_each(Shredder *shredder, int index, int step_number, const Item &from) {
    const ShredTable *table = &shredder->plan->tables[index];
    const Path &each = table->mapped->each;
    shredder->table = index;
    shredder->step = step_number;
    shredder->column = NULL;
    // Null items of an array are items; a null, or nothing, where `each` starts or goes on gives no rows.
    if (is_missing(from.value) && (step_number == 0 || step_number < each.step_count))
        return;
    if (step_number == each.step_count) {
        emit_row(shredder, index, from);
        return;
    }
    const Step &step = each.steps[step_number];
    const ValueKind kind = from.value.kind;
    const bool wants_array = step.kind == StepKind::Item || step.kind == StepKind::EachItem;
    if (kind != (wants_array ? ValueKind::Array : ValueKind::Object) && table->rests)
        return;
    if (kind != (wants_array ? ValueKind::Array : ValueKind::Object))
        wrong_kind(table, from.value, wants_array ? "an array" : "an object");
    if (step.kind == StepKind::EachItem || step.kind == StepKind::EachValue) {
        walk_all(shredder, index, step_number, from);
        return;
    }
    Item item = from;
    item.value = follow_step(step, from.value, from);
    if (step.kind == StepKind::ItemKey) {
        table->places[step_number].key = from.key;
        table->places[step_number].key_length = from.key_length;
    }
    if (!is_missing(item.value))
        walk_each(shredder, index, step_number + 1, item);
}

// says_nothing tells whether a document does not so much as name what a child iterates.
static bool says_nothing(const Path &each, const Item &start) {
    Value value = start.value;
    for (int i = 0; i < each.step_count && each.steps[i].kind != StepKind::EachItem &&
                    each.steps[i].kind != StepKind::EachValue && value.kind != ValueKind::Absent;
         i++)
        value = follow_step(each.steps[i], value, start);
    return value.kind == ValueKind::Absent;
}

static void walk_child(Shredder *shredder, const ShredTable *table, int index, const Item &item) {
    const ShredTable *child = &shredder->plan->tables[index];
    const Path &each = child->mapped->each;
    Item start = item;
    if (!each.from_item) {
        start = Item{};
        start.value = shredder->document;
    }
    if (child->mode == Mode::Replace && table->mapped->key_count > 0) {
        if (table->mode == Mode::Merge && says_nothing(each, start))
            return; // they stay
        writer_replace(shredder->writer, index);
    }
    walk_each(shredder, index, 0, start);
}

static void emit_row(Shredder *shredder, int index, const Item &item) {
    ShredTable *table = &shredder->plan->tables[index];
    CHECK_FOR_INTERRUPTS();
    const WriterRow row = writer_row(shredder->writer, index);
    for (int i = 0; i < table->column_count; i++) {
        ShredColumn *column = &table->columns[i];
        shredder->column = column;
        row.values[column->column] = column_value(shredder, table, column, item, &row.nulls[column->column],
                                                  row.absent ? &row.absent[column->column] : NULL);
    }
    shredder->column = NULL;
    shredder->step = INT_MAX;
    if (!writer_put(shredder->writer, index))
        return;
    for (int i = 0; i < table->child_count; i++)
        walk_child(shredder, table, table->children[i], item);
}

static WriterTarget writer_target(const ShredTable *table) {
    return WriterTarget{table->relation,
                        table->written,
                        table->returned,
                        table->parent,
                        table->links,
                        table->link_count,
                        table->mode,
                        table->key_index,
                        table->newest_by,
                        table->references,
                        table->reference_count,
                        false,
                        NIL};
}

void begin_shredding(Shredder *shredder) {
    const ShredPlan *plan = shredder->plan;
    WriterTarget *targets = static_cast<WriterTarget *>(palloc(sizeof(WriterTarget) * plan->table_count));
    for (int i = 0; i < plan->table_count; i++)
        targets[i] = writer_target(&plan->tables[i]);
    const WriterOptions options{plan->interferes, shredder->undoable, shredder->late, shredder->in_order, false};
    shredder->writer = writer_begin(targets, plan->table_count, &options, shredder->cache);
    writer_watch(shredder->writer, shredder->see, shredder->seer);
    shredder->row = NULL;
    shredder->nulled = 0;
    shredder->context.callback = error_context;
    shredder->context.arg = shredder;
    shredder->context.previous = error_context_stack;
    error_context_stack = &shredder->context;
}

// note_source_row tells lineage which row the document comes from.
static void note_source_row(const Shredder *shredder) {
    StringInfoData place;
    initStringInfo(&place);
    describe_source_row(shredder, &place);
    note_document(writer_document(shredder->writer), place.data);
    pfree(place.data);
}

void begin_document(Shredder *shredder, const SourceRow *row) {
    writer_begin_document(shredder->writer);
    shredder->row = row;
    shredder->has_hash = false;
    shredder->unknown = NULL;
    shredder->table = -1;
    shredder->column = NULL;
    if (notes_source_rows())
        note_source_row(shredder);
}

// append_each writes the path from the document to the items of a table.
static void append_each(StringInfo to, const ShredPlan *plan, int table) {
    const Path &each = plan->tables[table].mapped->each;
    if (each.from_item)
        append_each(to, plan, plan->tables[table].parent);
    appendStringInfoString(to, each.text + (each.from_item ? 1 : 0));
}

// refuse_unknown refuses a part of the document that the mapping does not take.
[[noreturn]] static void refuse_unknown(void *context, const Uncovered *unknown) {
    Shredder *shredder = static_cast<Shredder *>(context);
    StringInfoData path;
    initStringInfo(&path);
    shredder->table = unknown->table;
    if (unknown->table >= 0)
        append_each(&path, shredder->plan, unknown->table);
    else
        appendStringInfoChar(&path, '$');
    for (int i = 0; i < unknown->step_count; i++)
        append_key_step(&path, unknown->steps[i].key, unknown->steps[i].length);
    shredder->table = -1;
    shredder->unknown = path.data;
    ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("the mapping does not know %s", path.data),
                    errdetail("It is %s.", kind_name(unknown->value)),
                    errhint("Map it, or let \"unknown\" be ignore, keep or add.")));
    pg_unreachable();
}

void end_document(Shredder *shredder) { shredder->row = NULL; }

void shred_document(Shredder *shredder, const Value &document) {
    shredder->document = document;
    if (shredder->refuses_unknown)
        find_uncovered(shredder->plan->coverage, document, true, refuse_unknown, shredder);
    Item item{};
    item.value = document;
    for (int i = 0; i < shredder->plan->table_count; i++)
        if (shredder->plan->tables[i].parent < 0)
            walk_each(shredder, i, 0, item);
    shredder->table = -1;
    if (!shredder->in_order)
        end_document(shredder);
    if (!shredder->undoable && writer_wants_flush(shredder->writer))
        writer_flush(shredder->writer);
    end_document(shredder);
}

WriterCounts finish_shredding(Shredder *shredder) {
    const WriterCounts counts = writer_finish(shredder->writer);
    shredder->writer = NULL;
    error_context_stack = shredder->context.previous;
    return counts;
}

} // namespace sluice
