// What the rooms of the hash cursor share: hash_start (a new pipeline), hash_pass (which way the source is gone through),
// hash_candidates (the rows that a pass brings up), hash_cursor (what becomes of them), hash_manage (looking at it and managing it).
#pragma once

#include "hash_cursor.hpp"

#include "arrival_index.hpp"
#include "ledger.hpp"
#include "order.hpp"
#include "stamp.hpp"
#include "work_list.hpp"

namespace sluice {

// Candidates come in chunks, so that their contents can be looked up in the ledger together.
struct Candidate {
    HeapTuple tuple;
    ContentHash hash;
    bool known;         // in the ledger
    bool updated;       // another version of an older row
    bool premature;     // it belongs to the next sweep
    int64 more;         // a compare says: not a row to load, but so many more rows of a known content
    ArrivalEntry entry; // where it stands in its sweep
};

constexpr int chunk_size = 256;

struct Chunk {
    Candidate *rows;
    int count, next;
    TupleDesc layout; // order value, document, other columns
    MemoryContext memory;
};

constexpr uint64 filter_size = 16 * 1024 * 1024;

enum class Way : uint8_t { All, Compare, Range, Stamps, Arrivals };

inline bool by_statement(Way way) { return way == Way::All || way == Way::Compare || way == Way::Range; }

class HashCursor final : public Cursor {
public:
    HashCursor(const Pipeline *pipeline, MemoryContext memory)
        : pipeline_(pipeline), memory_(memory),
          kept_(AllocSetContextCreate(memory, "sluice position", ALLOCSET_SMALL_SIZES)),
          position_(load_arrival_position(pipeline->id)) {}

    void check(Relation source) override;
    void prepare(Relation source, const SourceColumns *columns) override;
    bool look() override;
    bool open(int64 rows) override;
    bool read(SourceRow *row) override;
    void close() override;
    bool advance(bool all, bool last, int64 run) override;
    void store(int64 rows) override;
    Skipped skipped() override { return skipped_; }
    void end() override { drop_work(); }
    void describe(const SourceRow *row, StringInfo to) override;
    int64 expected() override { return work_ ? work_->left : 0; }
    const char *unread(Relation source) override;
    const char *arrived_condition(Relation source);
    const char *in_time_condition(Relation source);
    int64 pending(Relation source) override;
    const char *read_by(Relation source, Jsonb *position, int64 run) override;
    Estimate estimate(Relation source) override;
    const char *show() override;
    void seek(Relation source, Jsonb *position) override;
    void rewind(Relation source, Jsonb *position, int64 to_run, int64 rows) override;
    int64 lost(Relation source, int64 rows) override;
    void restart(Relation source, int64 rows) override;

private:
    void refuse_moved(Oid source) const;
    int64 lost_contents(Relation source) const;
    void refuse_uncertain(int64 to_run) const;
    void drop_work();
    bool fits_work() const;
    void check_select() const;
    void check_order_type();
    void learn_means(const char *column);
    bool are_stamps_void();
    bool brings_old_rows(Oid leaf);
    void drop_sweep();
    // passes
    bool is_out_of_reach() const;
    Way choose_way();
    bool is_compare_due() const;
    bool begin_pass();
    bool begin_sweep();
    void finish_pass();
    void set_floor();
    void raise_order_value();
    void forget();
    // reading
    const char *content_sql() const { return sluice::content_sql(pipeline_->document, pipeline_->content_columns); }
    const char *selection(const char *extra) const;
    const char *statement(Way way) const;
    const char *covered_condition(const char *word) const;
    void open_statement();
    void keep_rest();
    bool fill_chunk();
    int fill_from_statement();
    int fill_from_stamps();
    int fill_from_arrivals();
    ContentHash content_of_tuple(HeapTuple tuple, TupleDesc layout) const;
    void take_tuple(Candidate *candidate, HeapTuple tuple, TupleDesc layout);
    void look_up(int count);
    void begin_filter();
    bool *filter_bit(const ContentHash *hash) const;
    void enter_contents(int64 run);
    bool consume(const Candidate *candidate);
    bool consume_again(const Candidate *candidate, LedgerEntry *entry);
    bool is_late(const Candidate *candidate);
    bool is_unordered(const Candidate *candidate) const;
    void note_order(const Candidate *candidate);
    bool deliver(const Candidate *candidate, SourceRow *row);
    bool can_walk() const;
    void note_place(const Candidate *candidate);

    const Pipeline *pipeline_;
    MemoryContext memory_, kept_; // of the run; of position_
    ArrivalPosition position_;    // as it is stored
    ArrivalPosition next_;        // as this batch will store it
    // the plan
    Oid source_;
    TupleDesc source_columns_; // of the rows in the work list
    Order order_;
    const SourceColumns *columns_;
    Ledger *ledger_;
    ArrivalScan *arrivals_; // NULL: no arrival index
    StampReader *stamps_;   // NULL: no stamps
    SourceReader *plain_;
    bool is_plain_;     // one heap, all of it visible
    Numbers means_;     // what tells of arrivals in each leaf
    bool must_compare_; // before that can be trusted
    // the pass
    Way way_;
    bool in_pass_;          // of a statement
    bool sweeping_;         // by arrivals or stamps
    bool walking_;          // in a pass that takes the rows as they lie
    ItemPointerData place_; // of the row read last there
    bool begun_;            // this run began the sweep; else an earlier one did, and more may have come since
    bool passed_;           // a statement was read to its end in this run
    Seen pass_seen_;
    Numbers pass_means_;
    TimestampTz pass_began_;
    WorkList *work_;
    const char *work_columns_; // of its rows
    bool *filter_;             // NULL: the ledger was not empty
    bool has_filter_;
    bool has_floor_, has_reached_;
    Datum floor_, reached_;
    // the batch
    SourceReader *reader_;
    bool opened_, exhausted_;
    int64 limit_, delivered_, candidates_;
    Chunk chunk_;
    ArrivalEntry last_entry_; // of the arrivals: the one consumed last
    HTAB *entries_;
    Skipped skipped_;
    const Candidate *current_;
    ContentHash last_hash_;
    bool has_last_hash_;
};

// may_have_arrivals tells whether an arrival index finds what is new: of equal rows it cannot tell which.
bool may_have_arrivals(const char *document, bool keeps, Relation source);
const char *trusted_stamps(Relation source); // the snapshot column, NULL: there is none that can be trusted
// means_of_leaves lists each leaf with what tells of arrivals in it.
Numbers means_of_leaves(Oid source, const char *document, const char *column, bool indexed);

} // namespace sluice
