// See snapshot_cursor.hpp.
#include "snapshot_cursor.hpp"

#include "leaves.hpp"
#include "names.hpp"

namespace sluice {

void check_new_snapshot_cursor(const NewPipeline *pipeline, Relation source) {
    check_stamp_source(source, pipeline->order_by);
}

static void note_missing_index(Relation source, const char *column) {
    if (has_stamp_index(source, column))
        return;
    const char *table = relation_name(RelationGetRelid(source));
    ereport(NOTICE,
            (errmsg("no index of source %s begins with %s: every batch will read the whole source", table,
                    quote_identifier(column)),
             errhint("Run CREATE INDEX ON %s (%s, ...), the primary key behind it.", table, quote_identifier(column))));
}

void start_snapshot_cursor(const NewPipeline *pipeline, int32 id, Relation source) {
    ArrivalPosition position{};
    position.leaves = stamped_leaves(RelationGetRelid(source), pipeline->order_by);
    insert_arrival_position(id, &position);
    note_missing_index(source, pipeline->order_by);
}

// ---- the cursor

class SnapshotCursor final : public Cursor {
public:
    SnapshotCursor(const Pipeline *pipeline, MemoryContext memory)
        : pipeline_(pipeline), kept_(AllocSetContextCreate(memory, "sluice position", ALLOCSET_SMALL_SIZES)),
          position_(load_arrival_position(pipeline->id)) {}

    void check(Relation source) override;
    void prepare(Relation source, const SourceColumns *columns) override;
    bool look() override;
    bool open(int64 rows) override { return stamps_open(stamps_, &next_, rows); }
    bool read(SourceRow *row) override { return stamps_read(stamps_, row); }
    void close() override { stamps_close(stamps_); }
    bool is_steady() override { return true; }
    bool advance(bool all, bool last, int64 run) override;
    void store(int64 rows) override;
    void describe(const SourceRow *, StringInfo to) override { describe_stamp(stamps_, to); }
    int64 expected() override { return 0; }
    const char *unread(Relation source) override;
    const char *read_by(Relation source, Jsonb *position, int64 run) override;
    Estimate estimate(Relation source) override;
    const char *show() override;
    void seek(Relation source, Jsonb *position) override;
    void rewind(Relation source, Jsonb *position, int64 to_run, int64 rows) override;
    void restart(Relation source, int64 rows) override { rewind(source, NULL, 0, rows); }

private:
    void refuse_moved(Oid source) const;
    void note_leaves(Relation source);

    const Pipeline *pipeline_;
    MemoryContext kept_;       // of position_
    ArrivalPosition position_; // as it is stored
    ArrivalPosition next_;     // as this batch will store it
    bool changed_;
    bool begun_; // this run began the sweep in progress; else an earlier one did, and more may have come since
    Oid source_;
    StampReader *stamps_;
};

// A position that came here by a dump has numbers of another cluster: none of them says anything about the rows.
void SnapshotCursor::refuse_moved(Oid source) const {
    if (!position_.moved && position_.seen.xmax <= next_transaction())
        return;
    refuse_moved_source(pipeline_->name, source);
}

void SnapshotCursor::check(Relation source) {
    source_ = RelationGetRelid(source);
    check_stamp_source(source, pipeline_->order_by);
    refuse_moved(source_);
    note_leaves(source);
    warn_of_hidden_rows(source_);
}

[[noreturn]] static void refuse_column(const Pipeline *pipeline, Oid leaf) {
    const char *name = quote_literal_cstr(pipeline->name);
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("column %s of %s was dropped and added again", quote_identifier(pipeline->order_by),
                    relation_name(leaf)),
             errdetail("Its stamps do not tell which rows pipeline \"%s\" has read.", pipeline->name),
             errhint("If all rows that are there were loaded, run SELECT sluice.seek(%s, jsonb_build_object('seen', "
                     "pg_current_snapshot()::text)); else CALL sluice.rebuild(%s, discard => true).",
                     name, name)));
    pg_unreachable();
}

// note_leaves looks at partitions that were not there: rows whose stamps have been passed came with an ATTACH.
void SnapshotCursor::note_leaves(Relation source) {
    const Numbers now = stamped_leaves(RelationGetRelid(source), pipeline_->order_by);
    const bool read = has_seen(&position_.seen) || has_seen(&position_.target);
    for (int i = 0; read && i < now.count; i += 2) {
        const int64 *before = find_mark(&position_.leaves, now.values[i]);
        const Oid leaf = static_cast<Oid>(now.values[i]);
        if (before && *before != now.values[i + 1])
            refuse_column(pipeline_, leaf);
        if (!before && has_seen(&position_.seen))
            warn_of_attached_rows(source_, leaf,
                                  psprintf("pg_catalog.pg_visible_in_snapshot(s.%s, '%s')",
                                           quote_identifier(pipeline_->order_by), seen_text(&position_.seen)));
    }
    if (same_numbers(&now, &position_.leaves))
        return;
    MemoryContext before = MemoryContextSwitchTo(kept_);
    position_.leaves = copy_numbers(&now);
    changed_ = true;
    MemoryContextSwitchTo(before);
}

void SnapshotCursor::prepare(Relation source, const SourceColumns *columns) {
    stamps_ = prepare_stamps(source, pipeline_->order_by, NULL, columns, &position_);
}

// look begins a sweep, or goes on with the one in progress. A sweep that ends when nothing was written since the last one
// is over before it began.
bool SnapshotCursor::look() {
    next_ = copy_arrival_position(&position_);
    begin_stamps(stamps_);
    if (has_seen(&next_.target))
        return true;
    const Seen now = seen_now();
    if (now.xmax == next_.seen.xmax && !over_since(&next_.seen, &now))
        return false;
    next_.target = now;
    begun_ = true;
    return true;
}

bool SnapshotCursor::advance(bool all, bool, int64) {
    if (!all) {
        note_stamp(stamps_, &next_);
        return true;
    }
    next_.seen = next_.target;
    next_.target = Seen{};
    next_.stamp = 0;
    next_.key = NULL;
    warn_of_future_stamps(stamps_);
    return !begun_;
}

// store also notes, without a row read, that transactions are over or go on still, so that what they wrote or did not
// write is not looked at time and again. A sweep over nothing but other people's numbers is not worth a row version.
void SnapshotCursor::store(int64 rows) {
    const bool finished = has_seen(&position_.target) && !has_seen(&next_.target);
    if (rows == 0 && !finished && !changed_ && !is_worth_noting(&position_.seen, &next_.seen))
        return;
    store_arrival_position(pipeline_->id, &next_, rows);
    keep_arrival_position(&position_, &next_, &kept_);
    changed_ = false;
}

const char *SnapshotCursor::unread(Relation source) {
    return unread_condition(describe_stamps(source, pipeline_->order_by, &position_), &position_);
}

// A sweep that was in progress then counts as not begun: its rows are in those of a later run.
const char *SnapshotCursor::read_by(Relation source, Jsonb *position, int64) {
    refuse_moved(RelationGetRelid(source));
    ArrivalPosition then{};
    read_arrival(&then, position, "snapshot");
    if (!has_seen(&then.seen))
        return "false";
    return psprintf("pg_catalog.pg_visible_in_snapshot(s.%s, '%s')", quote_identifier(pipeline_->order_by),
                    seen_text(&then.seen));
}

// An estimate looks at so many rows at most.
Estimate SnapshotCursor::estimate(Relation source) {
    constexpr int most = 10000;
    Estimate estimate{};
    if (position_.moved || !may_select_all(RelationGetRelid(source)) ||
        !can_describe_stamps(source, pipeline_->order_by, &position_) || !has_stamp_index(source, pipeline_->order_by))
        return estimate;
    estimate.known = true;
    estimate.pending = count_rows(psprintf("SELECT pg_catalog.count(*) FROM (SELECT 1 FROM %s s WHERE %s LIMIT %d) x",
                                           relation_name(RelationGetRelid(source)), unread(source), most),
                                  0, NULL, NULL);
    return estimate;
}

const char *SnapshotCursor::show() {
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfoString(&json, "{\"cursor\": \"snapshot\"");
    append_arrival(&json, &position_);
    appendStringInfoChar(&json, '}');
    return json.data;
}

// goes_back finds rows that have been read and would be read again.
static bool goes_back(Relation source, const char *unread_now, const char *unread_then) {
    const char *query =
        psprintf("SELECT pg_catalog.count(*) FROM (SELECT 1 FROM %s s WHERE NOT (%s) AND (%s) LIMIT 1) x",
                 relation_name(RelationGetRelid(source)), unread_now, unread_then);
    return count_rows(query, 0, NULL, NULL) > 0;
}

void SnapshotCursor::seek(Relation source, Jsonb *wanted) {
    refuse_moved(RelationGetRelid(source));
    ArrivalPosition to = position_;
    read_arrival(&to, wanted, "snapshot");
    if (to.seen.xmax > next_transaction() || to.target.xmax > next_transaction())
        argument_error("position", "lies ahead of the transactions of this cluster", NULL);
    to.leaves = stamped_leaves(RelationGetRelid(source), pipeline_->order_by);
    const char *unread_now = unread(source);
    const char *unread_then = unread_condition(describe_stamps(source, pipeline_->order_by, &to), &to);
    if (goes_back(source, unread_now, unread_then))
        refuse_going_back(pipeline_, RelationGetRelid(source));
    store_arrival_position(pipeline_->id, &to, 0);
}

void SnapshotCursor::rewind(Relation source, Jsonb *position, int64, int64 rows) {
    refuse_moved(RelationGetRelid(source));
    ArrivalPosition to = position_;
    to.seen = to.target = Seen{};
    to.stamp = 0;
    to.key = NULL;
    if (position)
        read_arrival(&to, position, "snapshot");
    store_arrival_position(pipeline_->id, &to, -rows);
}

Cursor *make_snapshot_cursor(const Pipeline *pipeline, MemoryContext memory) {
    return new (palloc0(sizeof(SnapshotCursor))) SnapshotCursor(pipeline, memory);
}

} // namespace sluice
