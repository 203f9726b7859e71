// Looking at a hash cursor and managing it: what is unread, seek, rewind, what was lost.
#include "hash_state.hpp"

#include "compare.hpp"
#include "content.hpp"
#include "names.hpp"

namespace sluice {

const char *HashCursor::unread(Relation) {
    need_ledger(pipeline_->id);
    return psprintf("NOT EXISTS (SELECT FROM %s l WHERE l.h OPERATOR(pg_catalog.=) %s)", ledger_name(pipeline_->id),
                    content_sql());
}

// arrived_condition leaves out what stamps do not tell of, where nothing else is asked: updates.
const char *HashCursor::arrived_condition(Relation source) {
    const bool indexed = pipeline_->document && has_arrival_index(source, pipeline_->document);
    const char *column = indexed ? NULL : trusted_stamps(source);
    if (!column || pipeline_->recheck >= 0 || position_.moved || !has_seen(&position_.seen))
        return "";
    const Numbers means = means_of_leaves(RelationGetRelid(source), pipeline_->document, column, false);
    if (!same_numbers(&means, &position_.leaves))
        return ""; // a compare may come first
    const StampReader *stamps = describe_stamps(source, column, &position_);
    return psprintf(" AND %s", unread_condition(stamps, &position_));
}

// in_time_condition leaves out rows that are too late to be loaded.
const char *HashCursor::in_time_condition(Relation source) {
    if (!pipeline_->lookback || !position_.order_value)
        return "";
    const Order order = read_order(source, pipeline_->order_by);
    const Datum floor = read_floor(&order, position_.order_value, pipeline_->lookback);
    return psprintf(" AND (%s < %s::%s) IS NOT TRUE", order.sql, quote_literal_cstr(order_text(&order, floor)),
                    format_type_be_qualified(order.type));
}

// Of rows with one content 'keep' counts those that the ledger does not account for.
int64 HashCursor::pending(Relation source) {
    need_ledger(pipeline_->id);
    const char *arrived = arrived_condition(source);
    if (!pipeline_->keeps_duplicates || *arrived)
        return count_rows(
            psprintf("SELECT pg_catalog.count(*) FROM %s s WHERE %s%s%s", relation_name(RelationGetRelid(source)),
                     pipeline_->keeps_duplicates ? "true" : unread(source), arrived, in_time_condition(source)),
            0, NULL, NULL);
    return count_rows(
        unaccounted_statement(relation_name(RelationGetRelid(source)), content_sql(), ledger_name(pipeline_->id)), 0,
        NULL, NULL);
}

// The ledger also holds what came too late, which was not loaded.
const char *HashCursor::read_by(Relation source, Jsonb *, int64 run) {
    need_ledger(pipeline_->id);
    return psprintf(
        "EXISTS (SELECT FROM %s l WHERE l.h OPERATOR(pg_catalog.=) %s AND l.run OPERATOR(pg_catalog.<=) '" INT64_FORMAT
        "'::pg_catalog.int8)%s",
        ledger_name(pipeline_->id), content_sql(), run, in_time_condition(source));
}

Estimate HashCursor::estimate(Relation) { return Estimate{}; }

const char *HashCursor::show() {
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfoString(&json, "{\"cursor\": \"hash\"");
    append_member(&json, "order_value", position_.order_value);
    append_member(&json, "reached", position_.reached);
    append_member(&json, "hash", position_.hash);
    append_arrival(&json, &position_);
    appendStringInfoChar(&json, '}');
    return json.data;
}

// seek enters rows up to an order value into the ledger as read. Back it goes only to where nothing was read behind.
void HashCursor::seek(Relation source, Jsonb *wanted) {
    refuse_moved(RelationGetRelid(source));
    const Order order = read_order(source, pipeline_->order_by);
    const char *to = value_string(position_member(wanted, "hash", "order_value"));
    const char *table = relation_name(RelationGetRelid(source));
    if (!order.expression)
        argument_error("position", "a hash cursor without order_by has no order to go by", NULL);
    if (!to)
        argument_error("position", "has no order_value that is a string",
                       "It looks like {\"cursor\": \"hash\", \"order_value\": \"2024-01-01\"}.");
    at_place("position", [&] { (void)order_datum(&order, to); });
    const char *bound = psprintf("%s::%s", quote_literal_cstr(to), format_type_be_qualified(order.type));
    if (count_rows(psprintf("SELECT pg_catalog.count(*) FROM (SELECT 1 FROM %s s WHERE %s > %s AND NOT %s LIMIT 1) x",
                            table, order.sql, bound, unread(source)),
                   0, NULL, NULL) > 0)
        refuse_going_back(pipeline_, RelationGetRelid(source));
    MemoryContext memory = CurrentMemoryContext;
    if (SPI_execute(psprintf("INSERT INTO %s (run, h, n) SELECT 0, %s, nullif(pg_catalog.count(*), 1) "
                             "FROM %s s WHERE %s <= %s AND %s GROUP BY 2",
                             ledger_name(pipeline_->id), content_sql(), table, order.sql, bound, unread(source)),
                    false, 0) != SPI_OK_INSERT)
        elog(ERROR, "unexpected result of an insert into the ledger");
    MemoryContextSwitchTo(memory);
    ArrivalPosition position = position_; // all is looked at again once: what was passed over is no delivery
    position.seen = position.target = Seen{};
    position.stamp = 0;
    position.key = NULL;
    position.compared_at = 0;
    position.order_value = order_text(&order, order_datum(&order, to));
    store_arrival_position(pipeline_->id, &position, 0);
}

// refuse_uncertain: how many of equal rows each run has read is not kept.
void HashCursor::refuse_uncertain(int64 to_run) const {
    if (!pipeline_->keeps_duplicates ||
        count_rows(psprintf("SELECT pg_catalog.count(*) FROM (SELECT 1 FROM %s l WHERE l.run <= " INT64_FORMAT
                            " AND l.n IS NOT NULL LIMIT 1) x",
                            ledger_name(pipeline_->id), to_run),
                   0, NULL, NULL) == 0)
        return;
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("pipeline \"%s\" cannot be rewound to run " INT64_FORMAT, pipeline_->name, to_run),
                    errdetail("Equal rows were read by runs before and after it; which of them is not kept.")));
}

void HashCursor::rewind(Relation source, Jsonb *position, int64 to_run, int64 rows) {
    if (position_.forgotten > 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("pipeline \"%s\" cannot be rewound to run " INT64_FORMAT, pipeline_->name, to_run),
                        errdetail("What runs up to " INT64_FORMAT " read lies beyond lookback and was forgotten.",
                                  position_.forgotten)));
    refuse_moved(RelationGetRelid(source));
    refuse_uncertain(to_run);
    ArrivalPosition to{}; // everything is looked at again, and the ledger knows
    if (position) {
        to.order_value = value_string(position_member(position, "hash", "order_value"));
        to.reached = value_string(position_member(position, "hash", "reached"));
        to.hash = value_string(position_member(position, "hash", "hash"));
    }
    to.forgotten = position_.forgotten;
    to.order_type = position_.order_type;
    to.leaves = position_.leaves;
    forget_later_runs(open_ledger(pipeline_->id), to_run);
    store_arrival_position(pipeline_->id, &to, -rows);
}

// lost_contents counts what the ledger holds and the source does not; what a seek entered was not loaded.
int64 HashCursor::lost_contents(Relation source) const {
    const char *table = relation_name(RelationGetRelid(source)), *ledger = ledger_name(pipeline_->id);
    if (!pipeline_->keeps_duplicates)
        return count_rows(psprintf("SELECT pg_catalog.count(*) FROM %s l WHERE l.run OPERATOR(pg_catalog.>) 0 AND NOT "
                                   "EXISTS (SELECT FROM %s s WHERE %s OPERATOR(pg_catalog.=) l.h)",
                                   ledger, table, content_sql()),
                          0, NULL, NULL);
    return count_rows(
        psprintf("SELECT pg_catalog.sum(greatest(0, pg_catalog.abs(coalesce(l.n, 1)) OPERATOR(pg_catalog.-) "
                 "coalesce(c.n, 0)))::pg_catalog.int8 FROM %s l LEFT JOIN (SELECT %s AS h, pg_catalog.count(*) AS n "
                 "FROM %s s GROUP BY 1) c ON c.h OPERATOR(pg_catalog.=) l.h WHERE l.run OPERATOR(pg_catalog.>) 0",
                 ledger, content_sql(), table),
        0, NULL, NULL);
}

// Where the ledger has forgotten contents their number tells.
int64 HashCursor::lost(Relation source, int64 rows) {
    own_ledger(pipeline_->id, pipeline_->owner);
    const int64 contents = has_ledger(pipeline_->id) ? lost_contents(source) : 0;
    if (position_.forgotten == 0 && has_ledger(pipeline_->id))
        return contents;
    const char *there =
        psprintf("SELECT pg_catalog.count(%s%s) FROM %s s", pipeline_->keeps_duplicates ? "" : "DISTINCT ",
                 content_sql(), relation_name(RelationGetRelid(source)));
    return Max(contents, rows - count_rows(there, 0, NULL, NULL));
}

// restart makes the ledger empty, or anew where it is gone.
void HashCursor::restart(Relation source, int64 rows) {
    refuse_moved(RelationGetRelid(source));
    if (has_ledger(pipeline_->id))
        empty_ledger(pipeline_->id, pipeline_->owner);
    else
        create_ledger(pipeline_->id, pipeline_->name, pipeline_->owner);
    ArrivalPosition to{};
    to.order_type = position_.order_type;
    to.leaves = position_.leaves;
    store_arrival_position(pipeline_->id, &to, -rows);
}

} // namespace sluice
