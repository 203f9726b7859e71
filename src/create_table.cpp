// sluice.create_table: a table from the JSON schema that BigQuery's tools write.
//
// A record becomes a composite type of its own, named after the table and its column, in the table's schema; records in
// records come before those that hold them. Everything is created by statements of the caller, with his rights.
#include "postgres.hpp"

#include "field.hpp"
#include "names.hpp"
#include "naming.hpp"
#include "pipeline.hpp"

namespace sluice {

// A TableMaker collects the statements that create a table.
struct TableMaker {
    const char *schema;
    Oid schema_id;
    const char *name;
    NameSet types; // the names of types and of the table
    List *statements;
    List *comments; // the statements that come after
};

static void execute(const char *statement) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(statement, false, 0) < 0)
        elog(ERROR, "unexpected result of a statement that creates a table");
    MemoryContextSwitchTo(memory);
}

static bool is_type_taken(void *context, const char *name) {
    const Oid schema = static_cast<const TableMaker *>(context)->schema_id;
    return SearchSysCacheExists2(TYPENAMENSP, CStringGetDatum(name), ObjectIdGetDatum(schema)) ||
           OidIsValid(get_relname_relid(name, schema));
}

// ---- columns

static void add_comment(TableMaker *maker, const char *relation, const char *column, const char *description) {
    if (!description || *description == '\0')
        return;
    maker->comments = lappend(maker->comments, psprintf("COMMENT ON COLUMN %s.%s IS %s",
                                                        quote_qualified_identifier(maker->schema, relation),
                                                        quote_identifier(column), quote_literal_cstr(description)));
}

static const char *create_record(TableMaker *maker, const char *wanted, FieldList *fields);

static const char *field_type(TableMaker *maker, const char *relation, const Field *field) {
    const char *type = field->type;
    if (field->record)
        type = create_record(maker, psprintf("%s_%s", relation, field->column), field->record);
    return field->mode == FieldMode::Repeated ? psprintf("%s[]", type) : type;
}

// append_fields writes the columns of the table, or the attributes of a type; these cannot be NOT NULL. A name that is too
// long is cut.
static void append_fields(StringInfo to, TableMaker *maker, const char *relation, FieldList *fields, bool in_table) {
    NameSet names = make_name_set();
    for (int i = 0; i < fields->count; i++) {
        Field *field = &fields->fields[i];
        field->column = new_name(&names, field->name, NULL, NULL);
        appendStringInfo(to, "%s%s %s", i == 0 ? "" : ", ", quote_identifier(field->column),
                         field_type(maker, relation, field));
        if (in_table && field->mode == FieldMode::Required)
            appendStringInfoString(to, " NOT NULL");
        add_comment(maker, relation, field->column, field->description);
    }
}

static const char *create_record(TableMaker *maker, const char *wanted, FieldList *fields) {
    check_stack_depth();
    const char *name = new_name(&maker->types, wanted, is_type_taken, maker);
    const char *quoted = quote_qualified_identifier(maker->schema, name);
    StringInfoData statement;
    initStringInfo(&statement);
    appendStringInfo(&statement, "CREATE TYPE %s AS (", quoted);
    append_fields(&statement, maker, name, fields, false);
    appendStringInfoChar(&statement, ')');
    maker->statements = lappend(maker->statements, statement.data);
    return quoted;
}

// ---- the key

static const Field *key_field(const FieldList *fields, const char *name) {
    NearestName nearest = nearest_begin(name);
    for (int i = 0; i < fields->count; i++) {
        if (strcmp(fields->fields[i].name, name) == 0)
            return &fields->fields[i];
        nearest_offer(&nearest, fields->fields[i].name);
    }
    argument_error("key", psprintf("the schema has no field \"%s\"", name), nearest_hint(&nearest));
}

static const char *key_column(const FieldList *fields, const char *name) {
    const Field *field = key_field(fields, name);
    if (field->record)
        argument_error("key", psprintf("field \"%s\" is a record", name), "A key consists of single values.");
    if (field->mode == FieldMode::Repeated)
        argument_error("key", psprintf("field \"%s\" is repeated", name), "A key consists of single values.");
    return field->column;
}

// key_argument gives the names of the key, none when it is null.
static List *key_argument(FunctionCallInfo fcinfo, int number) {
    List *key = NIL;
    Datum *names;
    bool *nulls;
    int count;
    if (PG_ARGISNULL(number))
        return NIL;
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(number), TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &count);
    for (int i = 0; i < count; i++) {
        if (nulls[i])
            argument_error("key", "must not hold null", NULL);
        char *name = TextDatumGetCString(names[i]);
        ListCell *cell;
        foreach (cell, key)
            if (strcmp(static_cast<const char *>(lfirst(cell)), name) == 0)
                argument_error("key", psprintf("field \"%s\" stands twice", name), NULL);
        key = lappend(key, name);
    }
    return key;
}

static void append_primary_key(StringInfo to, const FieldList *fields, List *key) {
    ListCell *cell;
    foreach (cell, key)
        appendStringInfo(to, "%s%s", cell == list_head(key) ? ", PRIMARY KEY (" : ", ",
                         quote_identifier(key_column(fields, static_cast<const char *>(lfirst(cell)))));
    if (key != NIL)
        appendStringInfoChar(to, ')');
}

// ---- the table

static TableMaker make_table_maker(const char *written) {
    QualifiedName name;
    if (!split_table_name(written, &name))
        argument_error("name", psprintf("\"%s\" is no name of a table", written),
                       "Write schema.table or table; parts with other characters in double quotes.");
    TableMaker maker{};
    maker.schema_id =
        RangeVarGetCreationNamespace(makeRangeVar(name.schema ? pstrdup(name.schema) : NULL, pstrdup(name.name), -1));
    maker.schema = get_namespace_name(maker.schema_id);
    maker.name = name.name;
    maker.types = make_name_set();
    take_name(&maker.types, maker.name);
    return maker;
}

static void execute_all(List *statements) {
    ListCell *cell;
    foreach (cell, statements) {
        CHECK_FOR_INTERRUPTS();
        execute(static_cast<const char *>(lfirst(cell)));
    }
}

static void create_table(const char *name, FieldList *fields, List *key) {
    TableMaker maker = make_table_maker(name);
    StringInfoData statement;
    initStringInfo(&statement);
    appendStringInfo(&statement, "CREATE TABLE %s (", quote_qualified_identifier(maker.schema, maker.name));
    append_fields(&statement, &maker, maker.name, fields, true);
    append_primary_key(&statement, fields, key);
    appendStringInfoChar(&statement, ')');
    execute_all(lappend(maker.statements, statement.data));
    execute_all(maker.comments);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_create_table);
Datum sluice_create_table(PG_FUNCTION_ARGS) {
    SPI_connect();
    const char *name = name_argument(fcinfo);
    if (PG_ARGISNULL(1))
        argument_error("schema", "must not be null", NULL);
    text *schema = PG_GETARG_TEXT_PP(1);
    create_table(name, read_fields(VARDATA_ANY(schema), VARSIZE_ANY_EXHDR(schema)), key_argument(fcinfo, 2));
    SPI_finish();
    PG_RETURN_VOID();
}

} // extern "C"
