// See trigger_cursor.hpp.
//
// A look takes the entries of the track away and keeps them in memory, in one statement: so it takes exactly those that its
// snapshot sees, and what commits later stays for the next look. The batch's transaction holds both together.
//
// Each row has the transaction that wrote as its order value, and two columns: the partition and when it changed. An entry
// without partitions says that any may have changed: then all that the source holds are rows, and where deletes count those
// that it held before, too.
#include "trigger_cursor.hpp"

#include "leaves.hpp"
#include "load_definition.hpp"
#include "order.hpp"
#include "partitions.hpp"
#include "track.hpp"

namespace sluice {

struct TrackRow {
    const char *partition;
    Datum value;
    uint64 transaction;
    TimestampTz at;
};

class TriggerCursor final : public Cursor {
public:
    TriggerCursor(const Pipeline *pipeline, MemoryContext memory)
        : pipeline_(pipeline), memory_(memory), load_(read_load(pipeline->id)) {}

    void check(Relation source) override;
    void prepare(Relation source, const SourceColumns *columns) override;
    bool look() override;
    // All rows come at once, whatever the batch's size: they are no longer in the track.
    bool open(int64) override;
    bool read(SourceRow *row) override;
    void close() override {}
    bool advance(bool, bool, int64) override { return false; }
    void store(int64) override {}
    void describe(const SourceRow *, StringInfo to) override;
    int64 expected() override { return count_; }
    const char *unread(Relation source) override;
    const char *read_by(Relation, Jsonb *, int64) override { return "false"; } // there are no positions to tell it by
    Estimate estimate(Relation) override { return Estimate{}; }
    const char *show() override;
    void seek(Relation source, Jsonb *position) override;
    void rewind(Relation, Jsonb *, int64, int64) override {}
    int64 lost(Relation, int64) override { return 0; } // no rows are counted
    void restart(Relation source, int64 rows) override;

private:
    void take_entries();
    void add_entry(SPITupleTable *entries, uint64 number);
    void add_row(const TrackRow *row);
    void expand();
    void read_values();

    const Pipeline *pipeline_;
    MemoryContext memory_;
    LoadDefinition *load_;
    Order order_; // the partition
    Oid source_;
    // the batch
    TrackRow *rows_;
    int64 count_, room_, next_;
    bool opened_;
    TrackRow all_; // the last entry without partitions; transaction 0: none
    Datum values_[2];
    bool nulls_[2];
};

void TriggerCursor::check(Relation source) {
    note_tables(pipeline_, load_, source);
    MemoryContext before = MemoryContextSwitchTo(memory_);
    load_ = read_load(pipeline_->id); // which tables are known now
    MemoryContextSwitchTo(before);
    warn_of_hidden_rows(RelationGetRelid(source));
}

void TriggerCursor::prepare(Relation source, const SourceColumns *) {
    source_ = RelationGetRelid(source);
    order_ = read_order(source, load_->partition, "partition");
}

// ---- looking

void TriggerCursor::add_row(const TrackRow *row) {
    if (count_ == room_) {
        const int64 room = Max(room_ * 2, 64);
        TrackRow *rows = static_cast<TrackRow *>(MemoryContextAllocHuge(CurrentMemoryContext, sizeof(TrackRow) * room));
        if (count_ > 0)
            memcpy(rows, rows_, sizeof(TrackRow) * count_);
        rows_ = rows;
        room_ = room;
    }
    rows_[count_++] = *row;
}

// add_entry adds the rows of an entry.
void TriggerCursor::add_entry(SPITupleTable *entries, uint64 number) {
    bool is_null, all;
    HeapTuple tuple = entries->vals[number];
    const Datum partitions = SPI_getbinval(tuple, entries->tupdesc, 1, &all);
    const Datum transaction = SPI_getbinval(tuple, entries->tupdesc, 2, &is_null);
    TrackRow row{};
    row.transaction = U64FromFullTransactionId(DatumGetFullTransactionId(transaction));
    row.at = DatumGetTimestampTz(SPI_getbinval(tuple, entries->tupdesc, 3, &is_null));
    if (all) {
        all_ = row.transaction >= all_.transaction ? row : all_;
        return;
    }
    Datum *texts;
    bool *nulls;
    int count;
    deconstruct_array(DatumGetArrayTypeP(partitions), TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &count);
    for (int i = 0; i < count; i++) {
        row.partition = TextDatumGetCString(texts[i]);
        add_row(&row);
    }
}

void TriggerCursor::take_entries() {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    const char *statement = psprintf("DELETE FROM %s t RETURNING t.partitions, t.xid, t.at", track_name(pipeline_->id));
    if (SPI_execute(statement, false, 0) != SPI_OK_DELETE_RETURNING)
        elog(ERROR, "unexpected result of a look into the track");
    MemoryContextSwitchTo(memory);
    SPITupleTable *entries = SPI_tuptable;
    const uint64 count = SPI_processed;
    for (uint64 i = 0; i < count; i++)
        add_entry(entries, i);
    SPI_freetuptable(entries);
}

// expand makes rows of what the source holds, for an entry without partitions.
void TriggerCursor::expand() {
    MemoryContext memory = CurrentMemoryContext;
    const char *query = psprintf("SELECT DISTINCT %s FROM %s s", order_.sql, relation_name(source_));
    if (SPI_execute(query, false, 0) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a look for partitions");
    MemoryContextSwitchTo(memory);
    SPITupleTable *rows = SPI_tuptable;
    const uint64 found = SPI_processed;
    TrackRow row = all_;
    for (uint64 i = 0; i < found; i++) {
        bool is_null;
        const Datum value = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &is_null);
        row.partition = is_null ? NULL : partition_text(&order_, value);
        if (row.partition)
            add_row(&row);
    }
    SPI_freetuptable(rows);
    int known = 0;
    const PartitionState *states =
        load_->reloads_deletes ? read_states(pipeline_->id, &order_, NULL, true, &known) : NULL;
    for (int i = 0; i < known; i++) {
        row.partition = states[i].partition;
        add_row(&row);
    }
}

void TriggerCursor::read_values() {
    const char **texts =
        static_cast<const char **>(MemoryContextAllocHuge(CurrentMemoryContext, sizeof(char *) * count_));
    Datum *values = static_cast<Datum *>(MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * count_));
    for (int64 i = 0; i < count_; i++)
        texts[i] = rows_[i].partition;
    stored_datums(order_.type, texts, static_cast<int>(count_), values);
    for (int64 i = 0; i < count_; i++)
        rows_[i].value = values[i];
}

static int compare_rows(const void *left, const void *right) {
    const uint64 a = static_cast<const TrackRow *>(left)->transaction;
    const uint64 b = static_cast<const TrackRow *>(right)->transaction;
    return a < b ? -1 : a > b;
}

bool TriggerCursor::look() {
    rows_ = NULL;
    count_ = room_ = next_ = 0;
    opened_ = false;
    all_ = TrackRow{};
    take_entries();
    if (all_.transaction != 0)
        expand();
    if (count_ == 0)
        return false;
    read_values();
    qsort(rows_, count_, sizeof(TrackRow), compare_rows);
    return true;
}

bool TriggerCursor::open(int64) {
    const bool first = !opened_;
    opened_ = true;
    return first;
}

bool TriggerCursor::read(SourceRow *row) {
    if (next_ == count_)
        return false;
    const TrackRow *entry = &rows_[next_++];
    row->order = FullTransactionIdGetDatum(FullTransactionIdFromU64(entry->transaction));
    row->order_is_null = false;
    row->document_is_null = true;
    values_[0] = entry->value;
    values_[1] = TimestampTzGetDatum(entry->at);
    nulls_[0] = nulls_[1] = false;
    row->columns = values_;
    row->nulls = nulls_;
    return true;
}

void TriggerCursor::describe(const SourceRow *, StringInfo to) {
    appendStringInfo(to, "partition %s", next_ > 0 ? rows_[next_ - 1].partition : "");
}

// ---- looking at it and managing it

const char *TriggerCursor::unread(Relation source) {
    need_track(pipeline_->id);
    const Order order = read_order(source, load_->partition, "partition");
    return psprintf("EXISTS (SELECT FROM %s t WHERE t.partitions IS NULL OR %s = ANY (t.partitions::%s[]))",
                    track_name(pipeline_->id), order.sql, format_type_be_qualified(order.type));
}

const char *TriggerCursor::show() {
    return psprintf("{\"cursor\": \"trigger\", \"version\": " INT64_FORMAT "}", read_load(pipeline_->id)->version);
}

void TriggerCursor::seek(Relation, Jsonb *) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("pipeline \"%s\" has no position to seek: triggers tell it what changed", pipeline_->name),
                    errhint("CALL sluice.backfill loads partitions again.")));
}

// restart notes that every partition may have changed.
void TriggerCursor::restart(Relation, int64) {
    need_track(pipeline_->id);
    own_track(pipeline_->id, pipeline_->owner);
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(psprintf("INSERT INTO %s (partitions, xid, at) VALUES (NULL, pg_catalog.pg_current_xact_id(), "
                             "pg_catalog.clock_timestamp())",
                             track_name(pipeline_->id)),
                    false, 0) != SPI_OK_INSERT)
        elog(ERROR, "unexpected result of an insert into the track");
    MemoryContextSwitchTo(memory);
}

Cursor *make_trigger_cursor(const Pipeline *pipeline, MemoryContext memory) {
    return new (palloc0(sizeof(TriggerCursor))) TriggerCursor(pipeline, memory);
}

} // namespace sluice
