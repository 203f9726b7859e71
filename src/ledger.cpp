// See ledger.hpp.
#include "ledger.hpp"

#include "catalog.hpp"
#include "names.hpp"

namespace sluice {

// ---- the table

static const char *table_name(int32 pipeline) { return psprintf("ledger_%d", pipeline); }

const char *ledger_name(int32 pipeline) { return psprintf("sluice.%s", table_name(pipeline)); }

void create_ledger(int32 pipeline, const char *name, Oid owner) {
    const Parameters none{};
    const char *table = ledger_name(pipeline);
    catalog_execute(psprintf("CREATE TABLE %s (run bigint NOT NULL, h uuid NOT NULL PRIMARY KEY, n int)", table),
                    &none);
    catalog_execute(psprintf("REVOKE ALL ON %s FROM PUBLIC", table), &none);
    catalog_execute(psprintf("COMMENT ON TABLE %s IS %s", table,
                             quote_literal_cstr(psprintf("what pipeline %s has read, by content", name))),
                    &none);
    catalog_execute(psprintf("ALTER TABLE %s OWNER TO %s", table, quote_identifier(GetUserNameFromId(owner, false))),
                    &none);
}

static Oid find_ledger(int32 pipeline) {
    return get_relname_relid(table_name(pipeline), get_namespace_oid("sluice", false));
}

void drop_ledger(int32 pipeline) {
    const Parameters none{};
    if (OidIsValid(find_ledger(pipeline)))
        catalog_execute(psprintf("DROP TABLE %s", ledger_name(pipeline)), &none);
}

bool has_ledger(int32 pipeline) { return OidIsValid(find_ledger(pipeline)); }

void own_ledger(int32 pipeline, Oid owner) { give_table(find_ledger(pipeline), owner); }

// ---- statements, with the owner's rights

static void free_ledger_plans(void *argument) {
    Ledger *ledger = static_cast<Ledger *>(argument);
    if (ledger->probe)
        SPI_freeplan(ledger->probe);
    if (ledger->count_again)
        SPI_freeplan(ledger->count_again);
    ledger->probe = ledger->count_again = NULL;
}

static SPIPlanPtr keep_plan(const char *statement, int count, Oid *types) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    SPIPlanPtr plan = SPI_prepare_cursor(statement, count, types, CURSOR_OPT_GENERIC_PLAN);
    if (!plan || SPI_keepplan(plan) != 0)
        elog(ERROR, "could not plan a look into the ledger");
    MemoryContextSwitchTo(memory);
    return plan;
}

void need_ledger(int32 pipeline) {
    if (!has_ledger(pipeline))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("table %s, the ledger of the pipeline, is gone", ledger_name(pipeline)),
                        errdetail("It tells which documents have been read."),
                        errhint("Restore it; or CALL sluice.rebuild, which loads everything anew.")));
}

Ledger *open_ledger(int32 pipeline) {
    Ledger *ledger = static_cast<Ledger *>(palloc0(sizeof(Ledger)));
    ledger->relation = find_ledger(pipeline);
    ledger->name = ledger_name(pipeline);
    need_ledger(pipeline);
    ledger->cleanup.func = free_ledger_plans;
    ledger->cleanup.arg = ledger;
    MemoryContextRegisterResetCallback(CurrentMemoryContext, &ledger->cleanup);
    ledger->cache = make_writer_cache(CurrentMemoryContext);
    Oid types[] = {UUIDARRAYOID, INT8ARRAYOID};
    ledger->probe =
        keep_plan(psprintf("SELECT l.h FROM %s l WHERE l.h OPERATOR(pg_catalog.=) ANY ($1)", ledger->name), 1, types);
    ledger->count_again = keep_plan(
        psprintf("UPDATE %s l SET n = CASE WHEN l.n OPERATOR(pg_catalog.<) 0 THEN l.n OPERATOR(pg_catalog.-) "
                 "a.rows::pg_catalog.int4 ELSE coalesce(l.n, 1) OPERATOR(pg_catalog.+) a.rows::pg_catalog.int4 END "
                 "FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) a(h, rows) "
                 "WHERE l.h OPERATOR(pg_catalog.=) a.h",
                 ledger->name),
        2, types);
    return ledger;
}

bool is_ledger_empty(const Ledger *ledger) {
    MemoryContext memory = CurrentMemoryContext;
    if (SPI_execute(psprintf("SELECT 1 FROM %s LIMIT 1", ledger->name), false, 1) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a look into the ledger");
    MemoryContextSwitchTo(memory);
    SPI_freetuptable(SPI_tuptable);
    return SPI_processed == 0;
}

static int compare_hashes(const void *left, const void *right) { return memcmp(left, right, sizeof(ContentHash)); }

static Datum hash_datum(const ContentHash *hash) { return PointerGetDatum(hash->bytes); }

static ArrayType *hash_array(Datum *values, int count) {
    return construct_array(values, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
}

static void set_planning(const char *name, const char *value) {
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

// execute_plan runs a kept plan; its first planning must not be led astray by a table that was empty a moment ago.
static void execute_plan(SPIPlanPtr plan, Datum *values, int expected) {
    MemoryContext memory = CurrentMemoryContext;
    const int settings = NewGUCNestLevel();
    set_planning("enable_seqscan", "off");
    set_planning("enable_hashjoin", "off");
    set_planning("enable_mergejoin", "off");
    set_planning("jit", "off");
    if (SPI_execute_plan(plan, values, NULL, false, 0) != expected)
        elog(ERROR, "unexpected result of a statement on the ledger");
    AtEOXact_GUC(true, settings);
    MemoryContextSwitchTo(memory);
}

struct NumberedHash {
    ContentHash hash;
    int number;
};

// Sorted, the probes go through the index from left to right.
void probe_ledger(Ledger *ledger, const ContentHash *hashes, int count, bool *known) {
    NumberedHash *sorted = static_cast<NumberedHash *>(palloc(sizeof(NumberedHash) * (count + 1)));
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * (count + 1)));
    for (int i = 0; i < count; i++)
        sorted[i] = NumberedHash{hashes[i], i};
    qsort(sorted, count, sizeof(NumberedHash), compare_hashes);
    for (int i = 0; i < count; i++)
        values[i] = hash_datum(&sorted[i].hash);
    Datum parameters[] = {PointerGetDatum(hash_array(values, count))};
    execute_plan(ledger->probe, parameters, SPI_OK_SELECT);
    memset(known, 0, sizeof(bool) * count);
    for (uint64 i = 0; i < SPI_processed; i++) {
        bool is_null;
        const Datum found = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null);
        int low = 0, high = count;
        while (low < high) {
            const int middle = (low + high) / 2;
            if (memcmp(&sorted[middle].hash, DatumGetPointer(found), sizeof(ContentHash)) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < count && memcmp(&sorted[low].hash, DatumGetPointer(found), sizeof(ContentHash)) == 0; low++)
            known[sorted[low].number] = true;
    }
    SPI_freetuptable(SPI_tuptable);
    pfree(sorted);
    pfree(values);
}

// ---- entering a batch

enum LedgerColumn { Run, Hash, Rows };

static void insert_entries(Ledger *ledger, const LedgerEntry *entries, int count, int64 run) {
    if (count == 0)
        return;
    const WriterOptions options{};
    WriterTarget target{};
    target.relation = ledger->relation;
    target.parent = -1;
    for (int column = 1; column <= 3; column++)
        target.written = bms_add_member(target.written, column);
    Writer *writer = writer_begin(&target, 1, &options, ledger->cache);
    for (int i = 0; i < count; i++) {
        const WriterRow row = writer_row(writer, 0);
        row.values[Run] = Int64GetDatum(run);
        row.values[Hash] = hash_datum(&entries[i].hash);
        const int32 rows = static_cast<int32>(entries[i].rows);
        row.values[Rows] = Int32GetDatum(entries[i].unordered ? -rows : rows);
        row.nulls[Run] = row.nulls[Hash] = false;
        row.nulls[Rows] = rows == 1 && !entries[i].unordered;
        writer_put(writer, 0);
    }
    writer_finish(writer);
}

static void count_again(const Ledger *ledger, const LedgerEntry *entries, int count) {
    if (count == 0)
        return;
    Datum *hashes = static_cast<Datum *>(palloc(sizeof(Datum) * count));
    Datum *rows = static_cast<Datum *>(palloc(sizeof(Datum) * count));
    for (int i = 0; i < count; i++) {
        hashes[i] = hash_datum(&entries[i].hash);
        rows[i] = Int64GetDatum(entries[i].rows);
    }
    Datum parameters[] = {
        PointerGetDatum(hash_array(hashes, count)),
        PointerGetDatum(construct_array(rows, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE))};
    execute_plan(ledger->count_again, parameters, SPI_OK_UPDATE);
}

void write_ledger(Ledger *ledger, HTAB *entries, int64 run) {
    const long most = hash_get_num_entries(entries);
    LedgerEntry *fresh =
        static_cast<LedgerEntry *>(MemoryContextAllocHuge(CurrentMemoryContext, sizeof(LedgerEntry) * (most + 1)));
    long count = 0, known = 0;
    HASH_SEQ_STATUS walk;
    hash_seq_init(&walk, entries);
    while (const LedgerEntry *entry = static_cast<const LedgerEntry *>(hash_seq_search(&walk))) {
        if (entry->known)
            fresh[most - ++known] = *entry;
        else
            fresh[count++] = *entry;
    }
    qsort(fresh, count, sizeof(LedgerEntry), compare_hashes);
    insert_entries(ledger, fresh, count, run);
    count_again(ledger, &fresh[most - known], known);
    pfree(fresh);
}

// ---- forgetting

static void delete_entries(const Ledger *ledger, const char *condition, int64 run) {
    Oid types[] = {INT8OID};
    Datum values[] = {Int64GetDatum(run)};
    MemoryContext memory = CurrentMemoryContext;
    const char *statement = psprintf("DELETE FROM %s l WHERE l.run OPERATOR(pg_catalog.%s", ledger->name, condition);
    if (SPI_execute_with_args(statement, 1, types, values, NULL, false, 0) != SPI_OK_DELETE)
        elog(ERROR, "unexpected result of a delete from the ledger");
    MemoryContextSwitchTo(memory);
}

void forget_runs(const Ledger *ledger, int64 upto) {
    delete_entries(ledger, "<=) $1 AND coalesce(l.n, 1) OPERATOR(pg_catalog.>) 0", upto);
}

void empty_ledger(int32 pipeline, Oid owner) {
    own_ledger(pipeline, owner);
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(psprintf("DELETE FROM %s", ledger_name(pipeline)), false, 0) != SPI_OK_DELETE)
        elog(ERROR, "unexpected result of a delete from the ledger");
    MemoryContextSwitchTo(memory);
}

void forget_later_runs(const Ledger *ledger, int64 run) { delete_entries(ledger, ">) $1", run); }

} // namespace sluice
