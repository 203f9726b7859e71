// Rewind: undo what runs wrote, and let their rows be read again.
//
// It is exact or refused. With lineage what the rows were is known, and who changed them since (restore). Without, which rows a
// run wrote is known where every target of a shred has a column that holds "#run"; that nobody changed them since, as far as it
// can be known, from their number.
#include "postgres.hpp"

#include "catalog.hpp"
#include "cursor.hpp"
#include "facts_definition.hpp"
#include "history.hpp"
#include "lineage.hpp"
#include "mapping.hpp"
#include "names.hpp"
#include "pipeline.hpp"
#include "restore.hpp"
#include "retention_table.hpp"
#include "rewind.hpp"
#include "rewind_load.hpp"
#include "rights.hpp"

namespace sluice {

// The runs to undo, and where the position was before them.
struct Undo {
    int64 to_run;
    int64 runs, source_rows, inserted, updated, deleted, retried;
    ArrayType *ids;  // text[]
    Jsonb *position; // NULL: the very start
};

[[noreturn]] void refuse_rewind(const Pipeline *pipeline, int64 to_run, const char *why, const char *hint) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("pipeline \"%s\" cannot be rewound to run " INT64_FORMAT, pipeline->name, to_run),
                    errdetail("%s", why), hint ? errhint("%s", hint) : 0));
    pg_unreachable();
}

// find_position takes the position of the last run up to to_run that moved it, and how much had been loaded by then.
static Jsonb *find_position(const Parameters *parameters, int64 *rows_total) {
    Jsonb *position = NULL;
    *rows_total = 0;
    if (catalog_execute("SELECT r.\"position\", r.rows_total FROM sluice.run_log r WHERE r.pipeline_id = $1::int "
                        "AND r.run_id <= $2 AND r.\"position\" IS NOT NULL AND r.undone_at IS NULL "
                        "ORDER BY r.run_id DESC LIMIT 1",
                        parameters) > 0) {
        bool is_null;
        const Datum found = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
        position = DatumGetJsonbPCopy(found);
        *rows_total = result_int(0, 2, &is_null);
    }
    free_result();
    return position;
}

static Undo plan_undo(const Pipeline *pipeline, int64 to_run) {
    Undo undo{};
    undo.to_run = to_run;
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_int(&parameters, to_run);
    catalog_execute("SELECT count(*), coalesce(sum(r.source_rows), 0)::bigint, coalesce(sum(r.inserted), 0)::bigint, "
                    "coalesce(array_agg(r.run_id::text), '{}'), "
                    "(SELECT coalesce(sum(p.rows_total), 0)::bigint FROM (SELECT s.rows_total FROM "
                    "sluice.sequence_position s WHERE s.pipeline_id = $1::int UNION ALL SELECT a.rows_total FROM "
                    "sluice.arrival_position a WHERE a.pipeline_id = $1::int) p), coalesce(sum(r.updated), 0)::bigint, "
                    "coalesce(sum(r.deleted), 0)::bigint, coalesce(sum(r.retried), 0)::bigint FROM sluice.run_log r "
                    "WHERE r.pipeline_id = $1::int AND r.run_id > $2 AND r.undone_at IS NULL",
                    &parameters);
    bool is_null;
    undo.runs = result_int(0, 1, &is_null);
    undo.source_rows = result_int(0, 2, &is_null);
    undo.inserted = result_int(0, 3, &is_null);
    undo.ids = DatumGetArrayTypePCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4, &is_null));
    const int64 total = result_int(0, 5, &is_null);
    undo.updated = result_int(0, 6, &is_null);
    undo.deleted = result_int(0, 7, &is_null);
    undo.retried = result_int(0, 8, &is_null);
    free_result();
    int64 before;
    undo.position = find_position(&parameters, &before);
    if (undo.source_rows != total - before)
        refuse_rewind(pipeline, to_run,
                      psprintf("Its history holds " INT64_FORMAT " of the " INT64_FORMAT
                               " source rows that were loaded after it.",
                               undo.source_rows, total - before),
                      "Runs older than sluice.keep_runs were deleted; rewind to a run that sluice.runs still shows.");
    return undo;
}

static const char *run_column(const MappedTable *table) {
    for (int i = 0; i < table->column_count; i++)
        if (table->columns[i].form == ValueForm::Run)
            return table->columns[i].name;
    return NULL;
}

static void check_run_columns(const Pipeline *pipeline, const Mapping *mapping, int64 to_run) {
    for (int i = 0; i < mapping->table_count; i++)
        if (!run_column(&mapping->tables[i]))
            refuse_rewind(pipeline, to_run,
                          psprintf("Which rows of %s a run wrote is not known: no column of it holds \"#run\".",
                                   mapping->tables[i].name),
                          "Map a column of each table to \"#run\"; rows written from then on can be undone.");
}

static int64 delete_rows(const MappedTable *table, ArrayType *ids) {
    Oid types[] = {TEXTARRAYOID};
    Datum values[] = {PointerGetDatum(ids)};
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    const char *statement = psprintf("DELETE FROM %s t WHERE t.%s::pg_catalog.text OPERATOR(pg_catalog.=) ANY ($1)",
                                     table->name, quote_identifier(run_column(table)));
    if (SPI_execute_with_args(statement, 1, types, values, NULL, false, 0) != SPI_OK_DELETE)
        elog(ERROR, "unexpected result of a delete");
    MemoryContextSwitchTo(memory);
    return SPI_processed;
}

static int depth_of(const Mapping *mapping, const MappedTable *table) {
    int depth = 0;
    for (int i = 0; table->parent && i < mapping->table_count; i++)
        if (strcmp(mapping->tables[i].name, table->parent) == 0) {
            table = &mapping->tables[i];
            depth++;
            i = -1;
        }
    return depth;
}

// delete_targets deletes children before their parents.
static int64 delete_targets(const Mapping *mapping, ArrayType *ids) {
    int64 deleted = 0;
    for (int depth = mapping->table_count; depth >= 0; depth--)
        for (int i = mapping->table_count - 1; i >= 0; i--)
            if (depth_of(mapping, &mapping->tables[i]) == depth)
                deleted += delete_rows(&mapping->tables[i], ids);
    return deleted;
}

// check_writes refuses what deleting rows cannot undo.
static void check_writes(const Pipeline *pipeline, const Undo *undo) {
    if (undo->updated > 0 || undo->deleted > 0)
        refuse_rewind(pipeline, undo->to_run,
                      psprintf("Runs after it updated " INT64_FORMAT " rows and deleted " INT64_FORMAT
                               ": what these held before is not known.",
                               undo->updated, undo->deleted),
                      "Without lineage only what was inserted can be undone.");
}

static void forget_rejects(const Pipeline *pipeline, const Undo *undo) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_int(&parameters, undo->to_run);
    catalog_execute("DELETE FROM sluice.reject WHERE pipeline_id = $1::int AND run_id > $2", &parameters);
}

// check_retried: what was loaded from the rejects is not among them any more.
static void check_retried(const Pipeline *pipeline, const Undo *undo) {
    if (undo->retried > 0)
        refuse_rewind(pipeline, undo->to_run,
                      psprintf("Runs after it loaded " INT64_FORMAT " documents from sluice.rejects.", undo->retried),
                      "Rewind to a run after the last sluice.retry.");
}

static void refuse_blind(const Pipeline *pipeline, int64 to_run, int64 blind) {
    const bool merges = strcmp(pipeline->kind, "merge") == 0;
    if (!merges && strcmp(pipeline->kind, "facts") != 0)
        return;
    if (pipeline->lineage && blind == 0)
        return;
    if (pipeline->lineage)
        refuse_rewind(pipeline, to_run, psprintf("Run " INT64_FORMAT " wrote before lineage was kept.", blind),
                      "Rewind to a later run.");
    if (merges)
        refuse_rewind(
            pipeline, to_run, "What a row was before others were merged into it is not kept.",
            "CALL sluice.rebuild merges everything anew. With lineage => true what runs do from then on can be "
            "undone.");
    refuse_rewind(
        pipeline, to_run, "What a fact was before others were added to it is not kept.",
        "CALL sluice.rebuild adds everything anew. With lineage => true what runs do from then on can be undone.");
}

// undo_by_column deletes what runs inserted, by the columns that hold "#run".
static void undo_by_column(const Pipeline *pipeline, const Mapping *mapping, const Undo *undo) {
    Restoring restoring{};
    restoring.pipeline = pipeline->id;
    start_restoring(&restoring);
    const int64 deleted = delete_targets(mapping, undo->ids);
    end_restoring();
    if (deleted != undo->inserted)
        refuse_rewind(pipeline, undo->to_run,
                      psprintf("Runs after it inserted " INT64_FORMAT " rows, of which " INT64_FORMAT " are there.",
                               undo->inserted, deleted),
                      "Others have deleted or changed rows since: what these runs did cannot be told from that.");
}

// refresh_retentions computes the retentions over the facts that were put back.
static void refresh_retentions(const Pipeline *pipeline, Relation source) {
    const FactsDefinition definition = read_facts_definition(pipeline->mapping);
    const FactsPlan *plan =
        plan_facts(read_facts_mapping(definition.mapping), find_fact_table(definition.target, "target", source),
                   definition.newest_by, source, pipeline->id, false);
    refresh_all_periods(find_retention_tables(plan, pipeline->owner));
}

static void rewind(const Pipeline *pipeline, int64 to_run) {
    const int64 blind = run_without_lineage(pipeline->id, to_run);
    refuse_blind(pipeline, to_run, blind);
    const Undo undo = plan_undo(pipeline, to_run);
    if (undo.source_rows == 0 && undo.retried == 0) {
        ereport(NOTICE, (errmsg("pipeline \"%s\" has loaded nothing after that run", pipeline->name)));
        return;
    }
    const bool by_column = !pipeline->lineage || blind > 0;
    if (by_column)
        check_writes(pipeline, &undo);
    check_retried(pipeline, &undo);
    Cursor *cursor = make_cursor(pipeline, CurrentMemoryContext);
    const OwnerScope owner = enter_owner(pipeline, true);
    const Mapping *mapping = by_column ? read_mapping(pipeline->mapping, strlen(pipeline->mapping)) : NULL;
    if (by_column)
        check_run_columns(pipeline, mapping, to_run);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    if (by_column)
        undo_by_column(pipeline, mapping, &undo);
    else
        restore_rows(pipeline, to_run);
    if (strcmp(pipeline->kind, "facts") == 0)
        refresh_retentions(pipeline, source);
    cursor->rewind(source, undo.position, to_run, undo.source_rows);
    relation_close(source, AccessShareLock);
    leave_owner(&owner);
    forget_later_lineage(pipeline->id, to_run);
    mark_undone(pipeline->id, to_run);
    forget_rejects(pipeline, &undo);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_rewind);
Datum sluice_rewind(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    if (PG_ARGISNULL(1))
        argument_error("to_run", "must not be null", "0 undoes all runs.");
    if (PG_GETARG_INT64(1) < 0)
        argument_error("to_run", "must not be negative", "0 undoes all runs.");
    SPI_connect();
    const Pipeline *pipeline = find_pipeline(name);
    require_idle(pipeline);
    if (strcmp(pipeline->kind, "load") == 0)
        as_defined(pipeline, [&] { rewind_load(pipeline, PG_GETARG_INT64(1)); });
    else
        as_defined(pipeline, [&] { rewind(pipeline, PG_GETARG_INT64(1)); });
    SPI_finish();
    PG_RETURN_VOID();
}

} // extern "C"
