// See grow.hpp. Each statement is SQL of the owner, who must own the tables. Adding a column or a table cannot fail for a
// document's sake; changing a type can (a view depends on the column, a key refers to it), so each change of a type has a
// subtransaction of its own, and what was refused is remembered: its documents do not fit, and the reason is told.
#include "grow.hpp"

#include "attempt.hpp"
#include "catalog.hpp"
#include "ddl.hpp"
#include "infer.hpp"
#include "mapping_text.hpp"
#include "names.hpp"

namespace sluice {

Growth *make_growth(int table_count) {
    Growth *growth = static_cast<Growth *>(palloc0(sizeof(Growth)));
    growth->memory = CurrentMemoryContext;
    growth->table_count = table_count;
    growth->shapes = static_cast<Shape **>(palloc0(sizeof(Shape *) * table_count));
    return growth;
}

static void note_unknown(void *context, const Uncovered *unknown) {
    Growth *growth = static_cast<Growth *>(context);
    if (unknown->table < 0) // in no row of any table
        return;
    if (!growth->shapes[unknown->table]) {
        MemoryContext before = MemoryContextSwitchTo(growth->memory);
        growth->shapes[unknown->table] = make_shape();
        MemoryContextSwitchTo(before);
    }
    shape_add_at(growth->shapes[unknown->table], unknown->steps, unknown->step_count, unknown->value);
    growth->unknowns++;
    growth->any = true;
}

bool note_unknowns(Growth *growth, const Coverage *coverage, const Value &document) {
    const int64 before = growth->unknowns;
    find_uncovered(coverage, document, true, note_unknown, growth);
    return growth->unknowns > before;
}

// ---- wider types

static bool is_integer_type(Oid type) { return type == INT2OID || type == INT4OID || type == INT8OID; }

static const char *type_for_number(Oid type, const Value &value) {
    int64 integer;
    const bool whole =
        value.form == NumberForm::Integer || numeric_integer(value_numeric(value), &integer) == Whole::Yes;
    if (is_integer_type(type))
        return whole && type != INT8OID ? "bigint" : "numeric";
    if (type == NUMERICOID || type == FLOAT4OID || type == FLOAT8OID || type == CASHOID)
        return "numeric";
    return "text";
}

// wider_type finds the narrowest type in the order int, bigint, numeric, text that holds the value too; jsonb holds all.
static const char *wider_type(const Conversion *conversion, const Value &value) {
    switch (value.kind) {
    case ValueKind::Number:
        return type_for_number(conversion->base, value);
    case ValueKind::String:
    case ValueKind::Bool:
        return "text";
    case ValueKind::Array:
    case ValueKind::Object:
        return "jsonb";
    default:
        return NULL;
    }
}

static Widening *find_widening(const Growth *growth, const Shredder *shredder) {
    ListCell *cell;
    foreach (cell, growth->widenings) {
        Widening *widening = static_cast<Widening *>(lfirst(cell));
        if (widening->table == shredder->table && strcmp(widening->column, shredder->column->mapped->name) == 0)
            return widening;
    }
    return NULL;
}

// wider_of joins two wishes: an integer and text make text, anything and jsonb jsonb.
static const char *wider_of(const char *one, const char *other) {
    static const char *const order[] = {"bigint", "numeric", "text", "jsonb"};
    for (int i = static_cast<int>(lengthof(order)) - 1; i > 0; i--)
        if (strcmp(one, order[i]) == 0 || strcmp(other, order[i]) == 0)
            return order[i];
    return order[0];
}

bool note_misfit(Growth *growth, const Shredder *shredder) {
    const ShredColumn *column = shredder->column;
    if (!shredder->row || !column || column->mapped->form != ValueForm::Path || column->format)
        return false;
    const char *type = wider_type(&column->conversion, shredder->value);
    if (!type || strcmp(type, format_type_with_typemod(column->conversion.type, column->conversion.typmod)) == 0)
        return false;
    Widening *widening = find_widening(growth, shredder);
    if (widening && widening->refused)
        return false;
    growth->any = true;
    if (widening) {
        widening->type = wider_of(widening->type, type);
        return true;
    }
    MemoryContext before = MemoryContextSwitchTo(growth->memory);
    widening = static_cast<Widening *>(palloc0(sizeof(Widening)));
    widening->table = shredder->table;
    widening->column = pstrdup(column->mapped->name);
    widening->type = type;
    growth->widenings = lappend(growth->widenings, widening);
    MemoryContextSwitchTo(before);
    return true;
}

const char *why_not_wider(const Growth *growth, const Shredder *shredder) {
    const Widening *widening = shredder->row && shredder->column ? find_widening(growth, shredder) : NULL;
    return widening && widening->refused
               ? psprintf("The column could not become %s: %s", widening->type, widening->refused)
               : NULL;
}

// ---- carrying it out

struct Grower {
    Growth *growth;
    const Pipeline *pipeline;
    int64 run;
    Mapping *mapping;
};

static void log_change(const Grower *grower, int table, const char *column, const char *statement) {
    Parameters parameters{};
    add_int(&parameters, grower->pipeline->id);
    add_int(&parameters, grower->run);
    add_text(&parameters, grower->mapping->tables[table].name);
    add_text(&parameters, column);
    add_text(&parameters, statement);
    catalog_execute("INSERT INTO sluice.change (pipeline_id, run_id, target, \"column\", statement) "
                    "VALUES ($1::int, $2, $3, $4, $5)",
                    &parameters);
}

static void execute_ddl(const char *statement) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(statement, false, 0) < 0)
        elog(ERROR, "unexpected result of a statement that alters a target");
    MemoryContextSwitchTo(memory);
}

static void change_type(const Grower *grower, const Widening *widening) {
    MappedTable *table = &grower->mapping->tables[widening->table];
    const char *column = quote_identifier(widening->column);
    const char *value = strcmp(widening->type, "jsonb") == 0 ? psprintf("pg_catalog.to_jsonb(%s)", column)
                                                             : psprintf("%s::%s", column, widening->type);
    const char *statement =
        psprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %s", table->name, column, widening->type, value);
    execute_ddl(statement);
    log_change(grower, widening->table, widening->column, statement);
    for (int i = 0; i < table->column_count; i++)
        if (strcmp(table->columns[i].name, widening->column) == 0)
            table->columns[i].type = widening->type;
}

static void try_widening(const Grower *grower, Widening *widening) {
    ErrorData *error = attempt([&] { change_type(grower, widening); });
    if (!error)
        return;
    const int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
    if (category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_INTERNAL_ERROR ||
        category == ERRCODE_INSUFFICIENT_RESOURCES || category == ERRCODE_SYSTEM_ERROR)
        ReThrowError(error);
    widening->refused = MemoryContextStrdup(grower->growth->memory, error->message);
    FreeErrorData(error);
}

static void widen_columns(const Grower *grower) {
    ListCell *cell;
    foreach (cell, grower->growth->widenings) {
        Widening *widening = static_cast<Widening *>(lfirst(cell));
        if (!widening->refused)
            try_widening(grower, widening);
    }
    // What was done is no wish any more.
    List *refused = NIL;
    MemoryContext before = MemoryContextSwitchTo(grower->growth->memory);
    foreach (cell, grower->growth->widenings)
        if (static_cast<Widening *>(lfirst(cell))->refused)
            refused = lappend(refused, lfirst(cell));
    grower->growth->widenings = refused;
    MemoryContextSwitchTo(before);
}

// ---- names that are taken

static Oid mapped_relation(const char *name) {
    List *parts;
    if (!SplitIdentifierString(pstrdup(name), '.', &parts))
        return InvalidOid;
    char *schema = list_length(parts) == 2 ? static_cast<char *>(linitial(parts)) : NULL;
    return RangeVarGetRelid(makeRangeVar(schema, static_cast<char *>(llast(parts)), -1), NoLock, true);
}

static bool is_column_taken(void *context, int table, const char *name) {
    const Grower *grower = static_cast<const Grower *>(context);
    const Oid relation = mapped_relation(grower->mapping->tables[table].name);
    return OidIsValid(relation) && get_attnum(relation, name) != InvalidAttrNumber;
}

static bool is_relation_taken(void *, const char *schema, const char *name) {
    if (!schema)
        return OidIsValid(RelnameGetRelid(name));
    const Oid space = get_namespace_oid(schema, true);
    return OidIsValid(space) && OidIsValid(get_relname_relid(name, space));
}

// execute_change runs what creates a new table, or adds a new column.
static void execute_change(const Grower *grower, const MappingChange *change) {
    StringInfoData statement;
    initStringInfo(&statement);
    const bool table = change->column < 0;
    if (table)
        append_table_ddl(&statement, grower->mapping, change->table);
    else
        append_column_ddl(&statement, grower->mapping, change->table, change->column);
    while (statement.len > 0 && strchr(";\n", statement.data[statement.len - 1]))
        statement.data[--statement.len] = '\0';
    execute_ddl(statement.data);
    log_change(grower, change->table,
               table ? NULL : grower->mapping->tables[change->table].columns[change->column].name, statement.data);
}

static void add_unknowns(Grower *grower) {
    const TakenNames taken{is_column_taken, is_relation_taken, grower};
    MappingChanges changes{};
    for (int i = 0; i < grower->growth->table_count; i++) {
        if (grower->growth->shapes[i])
            extend_mapping(grower->mapping, i, grower->growth->shapes[i], &taken, &changes);
        grower->growth->shapes[i] = NULL;
    }
    for (int i = 0; i < changes.count; i++)
        execute_change(grower, &changes.changes[i]);
}

// store_mapping writes the mapping over the one that grew. When somebody altered that during the run, the batch is done again.
static void store_mapping(const Pipeline *pipeline, const char *mapping) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_text(&parameters, mapping);
    add_text(&parameters, pipeline->mapping);
    if (catalog_execute(
            "UPDATE sluice.pipeline SET mapping = $2::json WHERE pipeline_id = $1::int AND mapping::text = $3",
            &parameters) == 0)
        ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                        errmsg("the mapping of pipeline \"%s\" was altered while it ran", pipeline->name),
                        errhint("Run the pipeline again.")));
}

const char *carry_out(Growth *growth, const Pipeline *pipeline, int64 run) {
    Grower grower{growth, pipeline, run, read_mapping(pipeline->mapping, strlen(pipeline->mapping))};
    growth->any = false;
    widen_columns(&grower);
    add_unknowns(&grower);
    StringInfoData text;
    initStringInfo(&text);
    append_mapping(&text, grower.mapping);
    store_mapping(pipeline, text.data);
    CommandCounterIncrement();
    return text.data;
}

} // namespace sluice
