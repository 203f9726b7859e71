// The SQL entry points that look at positions and move them.
#include "postgres.hpp"

#include "attempt.hpp"
#include "audit.hpp"
#include "catalog.hpp"
#include "cursor.hpp"
#include "late.hpp"
#include "mapping.hpp"
#include "merge_state.hpp"
#include "names.hpp"
#include "pipeline.hpp"
#include "rights.hpp"

namespace sluice {

// A Look is a pipeline's cursor and source, with the owner's rights.
struct Look {
    const Pipeline *pipeline;
    Cursor *cursor;
    Relation source;
    OwnerScope owner;
};

static Look begin_look(const Pipeline *pipeline) {
    Look look{};
    look.pipeline = pipeline;
    look.cursor = make_cursor(pipeline, CurrentMemoryContext);
    look.owner = switch_to_owner(pipeline);
    look.source = relation_open(pipeline_source(pipeline), AccessShareLock);
    return look;
}

static void end_look(const Look *look) {
    relation_close(look->source, AccessShareLock);
    switch_back(&look->owner);
}

// look_at works with a Look; errors are explained.
template <class Work> static void look_at(const Pipeline *pipeline, Work work) {
    as_defined(pipeline, [&] {
        const Look look = begin_look(pipeline);
        check_read_columns(pipeline, look.source);
        work(&look);
        end_look(&look);
    });
}

static int64 count_pending(const Pipeline *pipeline) {
    int64 pending = 0;
    look_at(pipeline, [&](const Look *look) { pending = look->cursor->pending(look->source); });
    return pending;
}

static void seek(const Pipeline *pipeline, Jsonb *position) {
    const Look look = begin_look(pipeline);
    check_read_columns(pipeline, look.source);
    look.cursor->seek(look.source, position);
    end_look(&look);
}

// ---- status

// try_to_know must not fail, whatever became of the objects of a pipeline: a view over all pipelines calls it.
template <class Work> static bool try_to_know(const Pipeline *pipeline, const char *what, Work work) {
    ErrorData *error = attempt(work);
    if (error && is_intervention(error))
        ReThrowError(error);
    if (error)
        ereport(WARNING, (errcode(error->sqlerrcode),
                          errmsg("%s of pipeline \"%s\" is not known: %s", what, pipeline->name, error->message)));
    return !error;
}

static Estimate estimate_pending(const Pipeline *pipeline, const char **name) {
    *name = quote_qualified_identifier(pipeline->source.schema, pipeline->source.name);
    Oid source;
    if (resolve_reference(&pipeline->source, &source) != Found::Yes)
        return Estimate{};
    *name = relation_name(source);
    Estimate estimate{};
    const bool known = try_to_know(pipeline, "what is pending", [&] {
        const Look look = begin_look(pipeline);
        estimate = look.cursor->estimate(look.source);
        end_look(&look);
    });
    return known ? estimate : Estimate{};
}

// waiting_keys counts the keys of a merge that wait for columns which must not be null.
static bool waiting_keys(const Pipeline *pipeline, int64 *count) {
    if (strcmp(pipeline->kind, "merge") != 0)
        return false;
    bool found = false;
    const bool known = try_to_know(pipeline, "the number of waiting keys", [&] {
        const OwnerScope owner = switch_to_owner(pipeline);
        found = count_waiting_keys(pipeline->id, count);
        switch_back(&owner);
    });
    return known && found;
}

// ---- verify

// A Witness is what sluice.verify can compare the source with: a target with one row for each document and a column that
// tells which document that was.
struct Witness {
    const char *target; // NULL: there is none
    const char *column;
    const char *source_column; // NULL: the column holds the hash
    const char *source_name;   // the same, not quoted
    const char *source_type;
};

static bool is_unique_column(Relation source, const char *column) {
    const AttrNumber number = get_attnum(RelationGetRelid(source), column);
    bool found = false;
    ListCell *cell;
    foreach (cell, RelationGetIndexList(source)) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        found = found || (index->rd_index->indisunique && index->rd_index->indnkeyatts == 1 &&
                          index->rd_index->indkey.values[0] == number && RelationGetIndexPredicate(index) == NIL);
        index_close(index, AccessShareLock);
    }
    return found;
}

static bool is_whole_document(const MappedTable *table) {
    return !table->parent && !table->each.from_item && table->each.step_count == 0;
}

static bool is_witness(const MappedColumn *column, Relation source, bool by_hash) {
    if (by_hash)
        return column->form == ValueForm::Hash;
    return column->form == ValueForm::SourceColumn && is_unique_column(source, column->other);
}

// may_read tells whether the pipeline's owner, who must be able to write the target, may also read it.
static bool may_read(const MappedTable *table) {
    List *names;
    if (!SplitIdentifierString(pstrdup(table->name), '.', &names))
        return false;
    const char *schema = list_length(names) == 2 ? static_cast<char *>(linitial(names)) : NULL;
    const Oid target =
        RangeVarGetRelid(makeRangeVar(const_cast<char *>(schema), static_cast<char *>(llast(names)), -1), NoLock, true);
    return OidIsValid(target) && may_select_all(target);
}

static Witness make_witness(const MappedTable *table, const MappedColumn *column, Relation source) {
    Witness witness{table->name, quote_identifier(column->name), NULL, NULL, NULL};
    if (column->form == ValueForm::Hash)
        return witness;
    const AttrNumber number = get_attnum(RelationGetRelid(source), column->other);
    const Form_pg_attribute form = TupleDescAttr(RelationGetDescr(source), number - 1);
    witness.source_column = quote_identifier(column->other);
    witness.source_name = column->other;
    witness.source_type =
        format_type_extended(form->atttypid, form->atttypmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
    return witness;
}

static Witness find_witness(const Pipeline *pipeline, Relation source) {
    const bool by_hash = strcmp(pipeline->cursor, "hash") == 0;
    if (strcmp(pipeline->kind, "shred") != 0)
        return Witness{};
    const Mapping *mapping = read_mapping(pipeline->mapping, strlen(pipeline->mapping));
    if (by_hash && pipeline->keeps_duplicates)
        return Witness{};
    for (int i = 0; i < mapping->table_count; i++) {
        const MappedTable *table = &mapping->tables[i];
        for (int c = 0; is_whole_document(table) && c < table->column_count; c++)
            if (is_witness(&table->columns[c], source, by_hash))
                return may_read(table) ? make_witness(table, &table->columns[c], source) : Witness{};
    }
    return Witness{};
}

static int64 count_rejects(const Pipeline *pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    catalog_execute("SELECT count(*) FROM sluice.reject WHERE pipeline_id = $1::int", &parameters);
    bool is_null;
    const int64 count = result_int(0, 1, &is_null);
    free_result();
    return count;
}

// rejected_keys gives, as text[], by what the witness would know the documents that were rejected: their contents, or the
// values of the source's column. Those of which that column was not kept, since the mapping did not ask for it, are counted.
static Datum rejected_keys(const Pipeline *pipeline, const Witness *witness, int64 *unkept) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_text(&parameters, witness->source_name);
    catalog_execute(
        "SELECT coalesce(array_agg(k), '{}'), count(*) FILTER (WHERE k IS NULL) FROM (SELECT CASE WHEN $2 IS NULL "
        "THEN encode(r.hash, 'hex') ELSE (SELECT r.source_columns[i][2] FROM "
        "generate_subscripts(r.source_columns, 1) i WHERE r.source_columns[i][1] = $2) END AS k "
        "FROM sluice.reject r WHERE r.pipeline_id = $1::int) x",
        &parameters);
    bool is_null;
    const Datum keys = datumCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null), false, -1);
    *unkept = result_int(0, 2, &is_null);
    free_result();
    return keys;
}

// count_unloaded counts what a statement finds that was not rejected; its $1 are the rejected keys.
static int64 count_unloaded(const Pipeline *pipeline, const Witness *witness, const char *statement) {
    int64 unkept;
    Oid types[] = {TEXTARRAYOID};
    Datum values[] = {rejected_keys(pipeline, witness, &unkept)};
    return Max(static_cast<int64>(0), count_rows(statement, 1, types, values) - unkept);
}

// The hash cursor has no position that could pass over a row. By a witness, contents that the ledger holds are looked up;
// without one, what the ledger does not hold is missing. (With lookback the ledger also holds rows that came too late.)
static int64 count_missing_contents(const Look *look, const Witness *witness) {
    if (!witness->target || look->pipeline->lookback)
        return look->cursor->pending(look->source);
    const char *document = quote_identifier(look->pipeline->document);
    return count_unloaded(
        look->pipeline, witness,
        psprintf("SELECT pg_catalog.count(DISTINCT sluice.content(s.%s)) FROM %s s WHERE EXISTS (SELECT FROM "
                 "sluice.ledger_%d l WHERE l.run OPERATOR(pg_catalog.>) 0 AND l.h OPERATOR(pg_catalog.=) "
                 "sluice.content(s.%s)) AND s.%s IS "
                 "NOT NULL AND NOT EXISTS (SELECT FROM %s t WHERE pg_catalog.replace(pg_catalog.ltrim("
                 "t.%s::pg_catalog.text, '\\x'), '-', '') = pg_catalog.replace(sluice.content(s.%s)::pg_catalog.text, "
                 "'-', '')) AND NOT EXISTS (SELECT FROM pg_catalog.unnest($1) j WHERE j OPERATOR(pg_catalog.=) "
                 "pg_catalog.replace(sluice.content(s.%s)::pg_catalog.text, '-', ''))",
                 document, relation_name(RelationGetRelid(look->source)), look->pipeline->id, document, document,
                 witness->target, witness->column, document, document));
}

// count_missing counts rows that were passed over: by the witness; else as many as there are read ones more than loaded.
static int64 count_missing(const Look *look, const Witness *witness, int64 loaded) {
    const char *source = relation_name(RelationGetRelid(look->source));
    const char *unread = look->cursor->unread(look->source);
    if (strcmp(look->pipeline->cursor, "hash") == 0)
        return count_missing_contents(look, witness);
    if (!witness->target)
        return Max(
            static_cast<int64>(0),
            count_rows(psprintf("SELECT pg_catalog.count(*) FROM %s s WHERE NOT (%s)", source, unread), 0, NULL, NULL) -
                loaded);
    return count_unloaded(
        look->pipeline, witness,
        psprintf("SELECT pg_catalog.count(*) FROM %s s WHERE NOT (%s) AND s.%s IS NOT NULL AND NOT EXISTS "
                 "(SELECT FROM %s t WHERE t.%s::pg_catalog.text = s.%s::pg_catalog.text) AND NOT EXISTS (SELECT FROM "
                 "pg_catalog.unnest($1) j WHERE j::%s::pg_catalog.text = s.%s::pg_catalog.text)",
                 source, unread, quote_identifier(look->pipeline->document), witness->target, witness->column,
                 witness->source_column, witness->source_type, witness->source_column));
}

static Audit audit_partitions(const Pipeline *pipeline) {
    const LoadAudit found = audit_load(pipeline);
    return Audit{found.missing, found.too_many, found.failed, found.loaded, true};
}

static Audit audit_rows(const Look *look) {
    Audit result{};
    const Witness witness = find_witness(look->pipeline, look->source);
    const int64 read = rows_total(look->pipeline);
    result.rejected = count_rejects(look->pipeline);
    result.loaded = read - result.rejected;
    result.missing = count_missing(look, &witness, read);
    result.counts_duplicated = witness.target != NULL;
    if (witness.target)
        result.duplicated =
            count_rows(psprintf("SELECT pg_catalog.count(t.%s) OPERATOR(pg_catalog.-) pg_catalog.count(DISTINCT t.%s) "
                                "FROM %s t",
                                witness.column, witness.column, witness.target),
                       0, NULL, NULL);
    return result;
}

Audit audit(const Pipeline *pipeline) {
    Audit result{};
    if (strcmp(pipeline->kind, "load") == 0)
        as_defined(pipeline, [&] { result = audit_partitions(pipeline); });
    else
        look_at(pipeline, [&](const Look *look) { result = audit_rows(look); });
    return result;
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_pending);
Datum sluice_pending(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    SPI_connect();
    const int64 pending = count_pending(find_pipeline(name));
    SPI_finish();
    PG_RETURN_INT64(pending);
}

PG_FUNCTION_INFO_V1(sluice_cursor_position);
Datum sluice_cursor_position(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    MemoryContext caller = CurrentMemoryContext;
    SPI_connect();
    const char *json = make_cursor(find_pipeline(name), CurrentMemoryContext)->show();
    MemoryContextSwitchTo(caller);
    const Datum result = DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
    SPI_finish();
    return result;
}

PG_FUNCTION_INFO_V1(sluice_seek);
Datum sluice_seek(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    if (PG_ARGISNULL(1))
        argument_error("position", "must not be null", NULL);
    SPI_connect();
    const Pipeline *pipeline = find_pipeline(name);
    require_idle(pipeline);
    seek(pipeline, PG_GETARG_JSONB_P(1));
    SPI_finish();
    PG_RETURN_VOID();
}

static TupleDesc result_columns(FunctionCallInfo fcinfo) {
    TupleDesc columns;
    if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    return BlessTupleDesc(columns);
}

PG_FUNCTION_INFO_V1(sluice_verify);
Datum sluice_verify(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    TupleDesc columns = result_columns(fcinfo);
    SPI_connect();
    const Pipeline *pipeline = find_pipeline(name);
    const Audit found = audit(pipeline);
    SPI_finish();
    Datum values[] = {Int64GetDatum(found.missing), Int64GetDatum(found.duplicated), Int64GetDatum(found.rejected),
                      Int64GetDatum(found.loaded)};
    bool nulls[] = {false, !found.counts_duplicated, false, false};
    return HeapTupleGetDatum(heap_form_tuple(columns, values, nulls));
}

PG_FUNCTION_INFO_V1(sluice_pending_estimate);
Datum sluice_pending_estimate(PG_FUNCTION_ARGS) {
    TupleDesc columns = result_columns(fcinfo);
    MemoryContext caller = CurrentMemoryContext;
    SPI_connect();
    Datum values[3] = {};
    bool nulls[3] = {true, true, true};
    const Pipeline *pipeline = find_visible_pipeline(PG_GETARG_INT32(0));
    if (pipeline) {
        const char *source;
        const Estimate estimate = estimate_pending(pipeline, &source);
        MemoryContextSwitchTo(caller);
        values[0] = CStringGetTextDatum(source);
        nulls[0] = false;
        values[1] = Int64GetDatum(estimate.pending);
        nulls[1] = !estimate.known;
        nulls[2] = !estimate.waiting_for;
        if (estimate.waiting_for)
            values[2] = CStringGetTextDatum(estimate.waiting_for);
    }
    SPI_finish();
    return HeapTupleGetDatum(heap_form_tuple(columns, values, nulls));
}

PG_FUNCTION_INFO_V1(sluice_waiting_keys);
Datum sluice_waiting_keys(PG_FUNCTION_ARGS) {
    int64 count = 0;
    SPI_connect();
    const Pipeline *pipeline = find_visible_pipeline(PG_GETARG_INT32(0));
    const bool found = pipeline && waiting_keys(pipeline, &count);
    SPI_finish();
    if (!found)
        PG_RETURN_NULL();
    PG_RETURN_INT64(count);
}

} // extern "C"
