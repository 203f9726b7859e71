// See load_definition.hpp.
#include "load_definition.hpp"

namespace sluice {

static const Interval *result_interval(uint64 row, int column) {
    bool is_null;
    const Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);
    if (is_null)
        return NULL;
    return DatumGetIntervalP(datumCopy(value, false, sizeof(Interval)));
}

static LoadDefinition *read_row(int32 pipeline) {
    bool is_null;
    LoadDefinition *load = static_cast<LoadDefinition *>(palloc0(sizeof(LoadDefinition)));
    load->pipeline = pipeline;
    load->partition = result_text(0, 1);
    load->target = RelationReference{result_text(0, 2), result_text(0, 3), static_cast<Oid>(result_int(0, 4, &is_null)),
                                     result_text(0, 5)};
    load->target_partition = result_text(0, 6);
    load->query = result_text(0, 7);
    load->appends = result_int(0, 8, &is_null);
    load->by_trigger = result_int(0, 9, &is_null);
    load->reloads_deletes = result_int(0, 10, &is_null);
    load->settle = result_interval(0, 11);
    load->reload_last = result_int(0, 12, &is_null);
    load->partition_list = result_text(0, 13);
    load->back_off = result_text(0, 14);
    load->version = result_int(0, 15, &is_null);
    load->leaves = result_numbers(0, 16);
    load->leaves_home = result_text(0, 17);
    return load;
}

LoadDefinition *read_load(int32 pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    static CatalogStatement statement;
    const uint64 found = catalog_prepared(
        &statement,
        "SELECT l.partition, l.target_schema, l.target_name, l.target_oid, l.home, l.target_partition, l.query, "
        "(l.mode = 'append')::int::bigint, (l.track = 'trigger')::int::bigint, (l.deletes = 'reload')::int::bigint, "
        "l.settle, l.reload_last::bigint, l.partition_list, l.back_off, l.version, l.leaves, l.leaves_home "
        "FROM sluice.load l WHERE l.pipeline_id = $1::int",
        &parameters);
    if (found == 0)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("the pipeline is no load"),
                        errhint("Loads are created by sluice.create_load.")));
    LoadDefinition *load = read_row(pipeline);
    free_result();
    return load;
}

void insert_load(const LoadDefinition *load) {
    Parameters parameters{};
    add_int(&parameters, load->pipeline);
    add_text(&parameters, load->partition);
    add_text(&parameters, load->target.schema);
    add_text(&parameters, load->target.name);
    add_int(&parameters, load->target.oid);
    add_text(&parameters, load->target.home);
    add_text(&parameters, load->target_partition);
    add_text(&parameters, load->query);
    add_text(&parameters, load->appends ? "append" : "replace");
    add_text(&parameters, load->by_trigger ? "trigger" : "cursor");
    add_text(&parameters, load->reloads_deletes ? "reload" : "ignore");
    if (load->settle)
        add_value(&parameters, INTERVALOID, IntervalPGetDatum(load->settle));
    else
        add_null(&parameters, INTERVALOID);
    add_int(&parameters, load->reload_last);
    add_text(&parameters, load->partition_list);
    add_text(&parameters, load->back_off);
    catalog_execute("INSERT INTO sluice.load (pipeline_id, partition, target_schema, target_name, target_oid, home, "
                    "target_partition, query, mode, track, deletes, settle, reload_last, partition_list, back_off) "
                    "VALUES ($1::int, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::int, $14, $15)",
                    &parameters);
}

void update_load(const LoadDefinition *load) {
    Parameters parameters{};
    add_int(&parameters, load->pipeline);
    add_text(&parameters, load->query);
    if (load->settle)
        add_value(&parameters, INTERVALOID, IntervalPGetDatum(load->settle));
    else
        add_null(&parameters, INTERVALOID);
    add_int(&parameters, load->reload_last);
    add_text(&parameters, load->partition_list);
    add_text(&parameters, load->back_off);
    catalog_execute(
        "UPDATE sluice.load SET query = $2, settle = $3, reload_last = $4::int, partition_list = $5, back_off = "
        "$6 WHERE pipeline_id = $1::int",
        &parameters);
}

void store_leaves(int32 pipeline, const Numbers *leaves) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    add_numbers(&parameters, leaves->values, leaves->count);
    add_text(&parameters, this_home());
    catalog_execute("UPDATE sluice.load SET leaves = $2, leaves_home = $3 WHERE pipeline_id = $1::int", &parameters);
}

} // namespace sluice
