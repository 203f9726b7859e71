// A new pipeline with a hash cursor: what is checked, where it starts, and what every run will cost.
#include "hash_state.hpp"

#include "leaves.hpp"
#include "names.hpp"

namespace sluice {

static bool keeps(const NewPipeline *pipeline) {
    return pipeline->duplicates && strcmp(pipeline->duplicates, "keep") == 0;
}

void check_new_hash_cursor(const NewPipeline *pipeline, Relation source) {
    Order order = read_order(source, pipeline->order_by);
    if (pipeline->lookback)
        check_lookback(&order, pipeline->lookback);
}

bool may_have_arrivals(const char *document, bool keeps, Relation source) {
    return document && !keeps && has_arrival_index(source, document);
}

const char *trusted_stamps(Relation source) {
    const char *column = find_stamp_column(source);
    return column && are_stamps_trusted(source, column) ? column : NULL;
}

// note_way tells what every run will cost, where it could cost less.
static void note_way(const NewPipeline *pipeline, Relation source) {
    const char *table = relation_name(RelationGetRelid(source));
    const bool arrivals = may_have_arrivals(pipeline->document, keeps(pipeline), source);
    const char *stamps = trusted_stamps(source);
    const char kind = source->rd_rel->relkind;
    if (arrivals || (stamps && has_stamp_index(source, stamps)))
        return;
    if (stamps)
        ereport(NOTICE, (errmsg("no index of source %s begins with %s: every run will read the whole source", table,
                                quote_identifier(stamps)),
                         errhint("Run CREATE INDEX ON %s (%s, ...), the primary key behind it.", table,
                                 quote_identifier(stamps))));
    else if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        ereport(NOTICE, (errmsg("source %s is no table: new rows are found by comparing the whole of it", table)));
    else if (keeps(pipeline) || !pipeline->document)
        ereport(NOTICE,
                (errmsg("source %s has no snapshot column: new rows are found by comparing the whole of it", table),
                 errhint("Run SELECT sluice.add_snapshot_column(%s).", quote_literal_cstr(table))));
    else
        ereport(NOTICE,
                (errmsg("source %s has no arrival index: late rows are found by comparing the whole of it", table),
                 errhint("Run SELECT sluice.add_arrival_index(%s, %s).", quote_literal_cstr(table),
                         quote_literal_cstr(pipeline->document))));
    if (pipeline->recheck && pipeline->order_by && !arrivals && !stamps) {
        const Order order = read_order(source, pipeline->order_by);
        if (!is_order_indexed(source, &order))
            ereport(NOTICE,
                    (errmsg("no index of source %s begins with its order: every run will read the whole source", table),
                     errhint("Run CREATE INDEX ON %s ((%s)).", table, pipeline->order_by)));
    }
}

Numbers means_of_leaves(Oid source, const char *document, const char *column, bool indexed) {
    if (column)
        return stamped_leaves(source, column);
    List *leaves = leaves_of(source);
    Numbers means{static_cast<int64 *>(palloc(sizeof(int64) * (list_length(leaves) * 2 + 1))), 0};
    ListCell *cell;
    foreach (cell, leaves) {
        const Oid leaf = lfirst_oid(cell);
        means.values[means.count++] = leaf;
        means.values[means.count++] = indexed ? arrival_storage(leaf, document) : 0;
    }
    return means;
}

void start_hash_cursor(const NewPipeline *pipeline, int32 id, Relation source) {
    ArrivalPosition position{};
    const bool indexed = may_have_arrivals(pipeline->document, keeps(pipeline), source);
    position.leaves =
        means_of_leaves(RelationGetRelid(source), pipeline->document, indexed ? NULL : trusted_stamps(source), indexed);
    insert_arrival_position(id, &position);
    create_ledger(id, pipeline->name, GetUserId());
    note_way(pipeline, source);
}

} // namespace sluice
