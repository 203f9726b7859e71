// See catalog.hpp.
#include "catalog.hpp"

namespace sluice {

// installed_version tells which version of the extension this database has; NULL: none (a worker in another database).
static const char *installed_version() {
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("sluice"));
    Relation catalog = table_open(ExtensionRelationId, AccessShareLock);
    SysScanDesc scan = systable_beginscan(catalog, ExtensionNameIndexId, true, NULL, 1, &key);
    const HeapTuple tuple = systable_getnext(scan);
    bool is_null = true;
    const Datum version = HeapTupleIsValid(tuple)
                              ? heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(catalog), &is_null)
                              : 0;
    const char *installed = is_null ? NULL : TextDatumGetCString(version);
    systable_endscan(scan);
    table_close(catalog, AccessShareLock);
    return installed;
}

// other_version is the version that the library does not fit; NULL: it fits. One look a transaction is enough.
static const char *other_version() {
    static LocalTransactionId checked = InvalidLocalTransactionId;
    const LocalTransactionId transaction = process_transaction(MyProc);
    if (transaction == checked)
        return NULL;
    const char *installed = installed_version();
    if (installed && strcmp(installed, SLUICE_VERSION) != 0)
        return installed;
    checked = transaction;
    return NULL;
}

bool is_same_version() { return !other_version(); }

void require_same_version() {
    const char *installed = other_version();
    if (installed)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("sluice is of version %s in this database, and its library of version %s", installed,
                               SLUICE_VERSION),
                        errhint("Run ALTER EXTENSION sluice UPDATE, and connect again.")));
}

CatalogScope enter_catalog() {
    require_same_version();
    CatalogScope scope;
    GetUserIdAndSecContext(&scope.user, &scope.security);
    scope.settings = NewGUCNestLevel();
    SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, scope.security | SECURITY_LOCAL_USERID_CHANGE);
    (void)set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
    return scope;
}

void leave_catalog(const CatalogScope *scope) {
    AtEOXact_GUC(true, scope->settings);
    SetUserIdAndSecContext(scope->user, scope->security);
}

void add_value(Parameters *parameters, Oid type, Datum value) {
    Assert(parameters->count < Parameters::most);
    parameters->types[parameters->count] = type;
    parameters->values[parameters->count] = value;
    parameters->nulls[parameters->count++] = ' ';
}

void add_int(Parameters *parameters, int64 value) { add_value(parameters, INT8OID, Int64GetDatum(value)); }

void add_null(Parameters *parameters, Oid type) {
    add_value(parameters, type, 0);
    parameters->nulls[parameters->count - 1] = 'n';
}

void add_count(Parameters *parameters, int64 count) {
    if (count >= 0)
        add_int(parameters, count);
    else
        add_null(parameters, INT8OID);
}

void add_text(Parameters *parameters, const char *value) {
    if (value)
        add_value(parameters, TEXTOID, CStringGetTextDatum(value));
    else
        add_null(parameters, TEXTOID);
}

uint64 catalog_execute(const char *statement, const Parameters *parameters) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    const CatalogScope scope = enter_catalog();
    Parameters copy = *parameters;
    const int code = SPI_execute_with_args(statement, copy.count, copy.types, copy.values, copy.nulls, false, 0);
    if (code < 0)
        elog(ERROR, "catalog statement failed: %s", SPI_result_code_string(code));
    leave_catalog(&scope);
    MemoryContextSwitchTo(memory);
    return SPI_processed;
}

static SPIPlanPtr prepare_statement(const char *statement, Parameters *parameters) {
    SPIPlanPtr plan = SPI_prepare(statement, parameters->count, parameters->types);
    if (!plan || SPI_keepplan(plan) != 0)
        elog(ERROR, "catalog statement could not be prepared: %s", SPI_result_code_string(SPI_result));
    return plan;
}

uint64 catalog_prepared(CatalogStatement *prepared, const char *statement, const Parameters *parameters) {
    MemoryContext memory = CurrentMemoryContext;
    const CatalogScope scope = enter_catalog();
    Parameters copy = *parameters;
    if (!prepared->plan)
        prepared->plan = prepare_statement(statement, &copy);
    const int code = SPI_execute_plan(prepared->plan, copy.values, copy.nulls, false, 0);
    if (code < 0)
        elog(ERROR, "catalog statement failed: %s", SPI_result_code_string(code));
    leave_catalog(&scope);
    MemoryContextSwitchTo(memory);
    return SPI_processed;
}

int64 result_int(uint64 row, int column, bool *is_null) {
    return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, is_null));
}

char *result_text(uint64 row, int column) {
    return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

static void set(const char *name, const char *value) {
    if (strcmp(GetConfigOption(name, false, false), value) != 0)
        (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

int enter_plain_texts() {
    const int settings = NewGUCNestLevel();
    set("DateStyle", "ISO, YMD");
    set("IntervalStyle", "postgres");
    set("TimeZone", "UTC");
    set("extra_float_digits", "3");
    return settings;
}

// Settings are left alone where they make no difference: changing them costs more than a hundred values.
static bool depends_on_settings(Oid type) {
    switch (type) {
    case DATEOID: // written by date_text, and read as it is written whatever DateStyle says
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case NUMERICOID:
    case TEXTOID:
    case VARCHAROID:
    case BPCHAROID:
    case NAMEOID:
    case UUIDOID:
    case BOOLOID:
        return false;
    }
    return true;
}

bool needs_plain_texts(Oid type) { return type == DATEOID || depends_on_settings(type); }

static const char *date_text(DateADT date) {
    char text[MAXDATELEN + 1];
    struct pg_tm parts {};
    if (DATE_NOT_FINITE(date)) {
        EncodeSpecialDate(date, text);
    } else {
        j2date(date + POSTGRES_EPOCH_JDATE, &parts.tm_year, &parts.tm_mon, &parts.tm_mday);
        EncodeDateOnly(&parts, USE_ISO_DATES, text);
    }
    return pstrdup(text);
}

void stored_texts(Oid type, const Datum *values, int count, const char **texts) {
    Oid output;
    bool varlena;
    FmgrInfo function;
    const bool depends = depends_on_settings(type);
    const int settings = depends ? enter_plain_texts() : 0;
    getTypeOutputInfo(type, &output, &varlena);
    fmgr_info(output, &function);
    for (int i = 0; i < count; i++)
        texts[i] = type == DATEOID ? date_text(DatumGetDateADT(values[i])) : OutputFunctionCall(&function, values[i]);
    if (depends)
        AtEOXact_GUC(false, settings);
}

void stored_datums(Oid type, const char *const *texts, int count, Datum *values) {
    Oid input, parameter;
    FmgrInfo function;
    const bool depends = depends_on_settings(type);
    const int settings = depends ? enter_plain_texts() : 0;
    getTypeInputInfo(type, &input, &parameter);
    fmgr_info(input, &function);
    for (int i = 0; i < count; i++)
        values[i] = InputFunctionCall(&function, const_cast<char *>(texts[i]), parameter, -1);
    if (depends)
        AtEOXact_GUC(false, settings);
}

const char *stored_text(Oid type, Datum value) {
    const char *text;
    stored_texts(type, &value, 1, &text);
    return text;
}

Datum stored_datum(Oid type, const char *text) {
    Datum value;
    stored_datums(type, &text, 1, &value);
    return value;
}

void add_numbers(Parameters *parameters, const int64 *values, int count) {
    Datum *datums = static_cast<Datum *>(palloc(sizeof(Datum) * (count + 1)));
    for (int i = 0; i < count; i++)
        datums[i] = Int64GetDatum(values[i]);
    ArrayType *array = construct_array(datums, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
    add_value(parameters, INT8ARRAYOID, PointerGetDatum(array));
}

Numbers result_numbers(uint64 row, int column) {
    bool is_null;
    const Datum array = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);
    Datum *datums;
    bool *nulls;
    Numbers numbers{};
    deconstruct_array(DatumGetArrayTypeP(array), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &datums,
                      &nulls, &numbers.count);
    numbers.values = static_cast<int64 *>(palloc(sizeof(int64) * (numbers.count + 1)));
    for (int i = 0; i < numbers.count; i++)
        numbers.values[i] = DatumGetInt64(datums[i]);
    return numbers;
}

void add_names(Parameters *parameters, List *names) {
    if (names == NIL) {
        add_null(parameters, TEXTARRAYOID);
        return;
    }
    Datum *datums = static_cast<Datum *>(palloc(sizeof(Datum) * list_length(names)));
    int count = 0;
    ListCell *cell;
    foreach (cell, names)
        datums[count++] = CStringGetTextDatum(static_cast<const char *>(lfirst(cell)));
    add_value(parameters, TEXTARRAYOID,
              PointerGetDatum(construct_array(datums, count, TEXTOID, -1, false, TYPALIGN_INT)));
}

List *result_names(uint64 row, int column) {
    bool is_null;
    const Datum array = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);
    Datum *datums;
    bool *nulls;
    int count = 0;
    List *names = NIL;
    if (!is_null)
        deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &datums, &nulls, &count);
    for (int i = 0; i < count; i++)
        names = lappend(names, TextDatumGetCString(datums[i]));
    return names;
}

bool same_numbers(const Numbers *left, const Numbers *right) {
    return left->count == right->count && memcmp(left->values, right->values, sizeof(int64) * left->count) == 0;
}

Numbers copy_numbers(const Numbers *numbers) {
    Numbers copy = *numbers;
    copy.values = static_cast<int64 *>(palloc(sizeof(int64) * (numbers->count + 1)));
    memcpy(copy.values, numbers->values, sizeof(int64) * numbers->count);
    return copy;
}

void free_result() {
    SPI_freetuptable(SPI_tuptable);
    SPI_tuptable = NULL;
}

void give_table(Oid table, Oid owner) {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
    if (!HeapTupleIsValid(tuple))
        return;
    const Oid now = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    const Parameters none{};
    if (now != owner)
        catalog_execute(
            psprintf("ALTER TABLE %s OWNER TO %s",
                     quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)), get_rel_name(table)),
                     quote_identifier(GetUserNameFromId(owner, false))),
            &none);
}

} // namespace sluice
