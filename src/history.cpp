// See history.hpp.
#include "history.hpp"

#include "catalog.hpp"
#include "outcome.hpp"

namespace sluice {

int keep_runs = 90 * 24 * 60;

// prune_lineage forgets what the runs before the oldest that is kept did: of each row they wrote the last entry stays, if
// nobody wrote it since. `pruned` are runs whose history was deleted just now.
static void prune_lineage(int32 pipeline, const Numbers *pruned) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    add_numbers(&parameters, pruned->values, pruned->count);
    catalog_execute(
        "WITH kept AS MATERIALIZED (SELECT coalesce((SELECT e.entry FROM sluice.lineage e WHERE e.pipeline_id = "
        "$1::int AND "
        "e.run_id >= (SELECT min(r.run_id) FROM sluice.run_log r WHERE r.pipeline_id = $1::int) ORDER BY e.run_id, "
        "e.entry "
        "LIMIT 1), 9223372036854775807) AS entry), "
        "old AS MATERIALIZED (SELECT DISTINCT e.target, e.row_key FROM sluice.lineage e WHERE e.pipeline_id = $1::int "
        "AND "
        "(e.run_id = ANY ($2) OR (e.run_id IS NULL AND e.entry < (SELECT entry FROM kept)))) "
        "DELETE FROM sluice.lineage l USING old o WHERE hashtextextended(l.row_key, l.pipeline_id) = "
        "hashtextextended(o.row_key, $1::int) AND l.pipeline_id = $1::int AND l.target = o.target AND l.row_key = "
        "o.row_key "
        "AND l.entry < (SELECT entry FROM kept) AND EXISTS (SELECT FROM sluice.lineage n WHERE "
        "hashtextextended(n.row_key, n.pipeline_id) = hashtextextended(l.row_key, l.pipeline_id) AND n.pipeline_id = "
        "l.pipeline_id AND n.target = l.target AND n.row_key = l.row_key AND n.entry > l.entry)",
        &parameters);
}

void prune_history(const Pipeline *pipeline) {
    if (keep_runs < 0)
        return;
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_int(&parameters, keep_runs);
    catalog_execute("WITH pruned AS ("
                    "DELETE FROM sluice.run_log r WHERE r.run_id IN (SELECT o.run_id FROM sluice.run_log o "
                    "WHERE o.pipeline_id = $1::int ORDER BY o.run_id LIMIT 100) AND r.pipeline_id = $1::int "
                    "AND r.started_at < pg_catalog.now() - pg_catalog.make_interval(mins => $2::int) "
                    "AND r.run_id < (SELECT max(n.run_id) FROM sluice.run_log n WHERE n.pipeline_id = $1::int) "
                    "AND r.run_id <> coalesce((SELECT s.run_id FROM sluice.run_log s WHERE s.pipeline_id = $1::int "
                    "AND s.status = 'succeeded' ORDER BY s.run_id DESC LIMIT 1), 0) RETURNING r.run_id, "
                    "CASE WHEN r.undone_at IS NULL THEN r.inserted - r.deleted - r.kept ELSE 0 END AS rows), "
                    "counted AS (UPDATE sluice.pipeline p SET pruned_rows = p.pruned_rows + x.rows "
                    "FROM (SELECT sum(rows) AS rows FROM pruned) x WHERE p.pipeline_id = $1::int AND x.rows <> 0) "
                    "SELECT coalesce(array_agg(p.run_id), '{}') FROM pruned p",
                    &parameters);
    const Numbers pruned = result_numbers(0, 1);
    free_result();
    if (pipeline->lineage && pruned.count > 0)
        prune_lineage(pipeline->id, &pruned);
}

void mark_undone(int32 pipeline, int64 to_run) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    add_int(&parameters, to_run);
    catalog_execute("UPDATE sluice.run_log SET undone_at = pg_catalog.now() "
                    "WHERE pipeline_id = $1::int AND run_id > $2 AND undone_at IS NULL",
                    &parameters);
}

void record_nothing(int32 pipeline, const char *name, TimestampTz started_at, const char *status, const char *reason) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    add_text(&parameters, status);
    add_value(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(started_at));
    add_text(&parameters, reason);
    const uint64 updated = catalog_execute(
        "UPDATE sluice.run_log SET started_at = $3, finished_at = pg_catalog.clock_timestamp(), "
        "idle_runs = idle_runs + 1 "
        "WHERE run_id = (SELECT run_id FROM sluice.run_log WHERE run_id = (SELECT run_id FROM sluice.run_log "
        "WHERE pipeline_id = $1::int ORDER BY run_id DESC LIMIT 1) AND status = $2 AND source_rows = 0 "
        "AND error IS NOT DISTINCT FROM $4 FOR UPDATE SKIP LOCKED) RETURNING run_id",
        &parameters);
    if (updated == 0)
        catalog_execute("INSERT INTO sluice.run_log (pipeline_id, status, started_at, finished_at, error) "
                        "VALUES ($1::int, $2, $3, pg_catalog.clock_timestamp(), $4) RETURNING run_id",
                        &parameters);
    bool is_null;
    log_run(name, result_int(0, 1, &is_null), status, 0, started_at);
    free_result();
}

} // namespace sluice
