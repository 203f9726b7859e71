// The passes of a hash cursor: which way each goes, what it may leave out, and what is known when it ends. See hash_cursor.cpp.
#include "hash_state.hpp"

#include "content.hpp"

namespace sluice {

bool HashCursor::is_compare_due() const {
    const ArrivalPosition &at = position_;
    if (pipeline_->recheck <= 0)
        return pipeline_->recheck == 0 || !stamps_;
    if (at.compared_at == 0 || (pipeline_->keeps_duplicates && at.reached && !stamps_))
        return true; // a pass ended early: which of the rows behind the position it read is known by counting alone
    return GetCurrentTimestamp() - at.compared_at >= pipeline_->recheck * USECS_PER_SEC;
}

// is_out_of_reach tells whether a first sweep by stamps would not see all there is: rows from another cluster may lie ahead. Read
// as they lie they are loaded; when transactions have got that far they are known. With 'keep' nothing tells of a row but its stamp.
bool HashCursor::is_out_of_reach() const {
    return stamps_ && !pipeline_->keeps_duplicates && !has_seen(&position_.seen) && !has_seen(&position_.target) &&
           has_future_stamps(stamps_);
}

Way HashCursor::choose_way() {
    if (!must_compare_ && !is_out_of_reach()) {
        if (arrivals_)
            return Way::Arrivals;
        if (stamps_ && (has_seen(&position_.target) || !is_compare_due()))
            return Way::Stamps;
        if (!stamps_ && !is_compare_due())
            return Way::Range;
    }
    return is_ledger_empty(ledger_) ? Way::All : Way::Compare;
}

void HashCursor::set_floor() {
    has_floor_ = pipeline_->lookback && position_.order_value && order_.expression;
    if (!has_floor_)
        return;
    MemoryContext before = MemoryContextSwitchTo(memory_);
    floor_ = read_floor(&order_, position_.order_value, pipeline_->lookback);
    MemoryContextSwitchTo(before);
}

bool HashCursor::begin_sweep() {
    if (stamps_)
        begin_stamps(stamps_);
    sweeping_ = true;
    next_.leaves = means_;
    if (has_seen(&next_.target))
        return true;
    const Seen now = seen_now();
    if (now.xmax == next_.seen.xmax && !over_since(&next_.seen, &now))
        return sweeping_ = false;
    next_.target = now;
    begun_ = true;
    return true;
}

// begin_pass settles what the next pass is; false: there is nothing to do.
bool HashCursor::begin_pass() {
    way_ = choose_way();
    if (!sweeping_) // the floor is that of the whole pass
        set_floor();
    if (!by_statement(way_))
        return begin_sweep();
    if (way_ == Way::Range && !position_.order_value)
        return false; // nothing with an order value was there at the last compare; the next one finds what comes
    MemoryContext before = MemoryContextSwitchTo(memory_);
    pass_means_ = copy_numbers(&means_);
    pass_began_ = GetCurrentTimestamp();
    MemoryContextSwitchTo(before);
    ItemPointerSet(&place_, 0, 0);
    return in_pass_ = true;
}

void HashCursor::raise_order_value() {
    next_.reached = NULL;
    if (!has_reached_)
        return;
    if (!next_.order_value || compare_orders(&order_, reached_, order_datum(&order_, next_.order_value)) > 0)
        next_.order_value = order_text(&order_, reached_);
    has_reached_ = false;
}

void HashCursor::finish_pass() {
    raise_order_value();
    if (!by_statement(way_)) {
        next_.seen = next_.target;
        sweeping_ = false;
        if (stamps_ && pipeline_->keeps_duplicates)
            warn_of_future_stamps(stamps_);
        if (has_floor_)
            forget();
    } else {
        in_pass_ = walking_ = false;
        passed_ = true;
    }
    if (way_ == Way::All || way_ == Way::Compare) {
        next_.seen = pass_seen_;
        next_.leaves = pass_means_;
        next_.compared_at = pass_began_;
        must_compare_ = false;
    }
    next_.target = Seen{};
    next_.stamp = 0;
    next_.key = NULL;
}

// forget deletes what runs have read that lie behind the floor altogether, when that is a good part of the ledger: a
// delete reads it whole.
void HashCursor::forget() {
    constexpr int part = 10;
    const char *type = format_type_be_qualified(order_.type);
    const char *floor = order_text(&order_, floor_);
    Parameters parameters{};
    add_int(&parameters, pipeline_->id);
    add_int(&parameters, next_.forgotten);
    catalog_execute(psprintf("SELECT max(r.run_id), coalesce(sum(r.source_rows), 0)::bigint, "
                             "(SELECT coalesce(sum(a.source_rows), 0)::bigint FROM sluice.run_log a "
                             "WHERE a.pipeline_id = $1::int AND a.run_id > $2) FROM sluice.run_log r "
                             "WHERE r.pipeline_id = $1::int AND r.run_id > $2 AND r.source_rows > 0 "
                             "AND r.status <> 'running' "
                             "AND (r.\"position\" ->> 'order_value')::%s < %s::%s "
                             "AND coalesce((r.\"position\" ->> 'reached')::%s < %s::%s, true)",
                             type, quote_literal_cstr(floor), type, type, quote_literal_cstr(floor), type),
                    &parameters);
    bool none, is_null;
    const int64 run = result_int(0, 1, &none), rows = result_int(0, 2, &is_null), all = result_int(0, 3, &is_null);
    free_result();
    if (none || rows * part < all)
        return;
    forget_runs(ledger_, run);
    next_.forgotten = run;
}

bool HashCursor::look() {
    next_ = copy_arrival_position(&position_);
    skipped_ = Skipped{};
    opened_ = exhausted_ = false;
    reader_ = NULL;
    current_ = NULL;
    chunk_ = Chunk{};
    HASHCTL control{};
    control.keysize = sizeof(ContentHash);
    control.entrysize = sizeof(LedgerEntry);
    control.hcxt = CurrentMemoryContext;
    entries_ = hash_create("sluice contents of a batch", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    if (walking_ || (work_ && work_->left > 0))
        return true;
    if (in_pass_ || work_) { // its last batch was full to the brim
        drop_work();
        finish_pass();
    }
    return !passed_ && begin_pass();
}

} // namespace sluice
