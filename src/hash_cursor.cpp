// See hash_cursor.hpp.
//
// Identity and detection are two things. A row is known by its content, and the ledger holds the contents that were read:
// whatever is brought up as a candidate, however often, is loaded once. How candidates are found decides what a run costs:
//
//   arrivals  through the arrival index: what arrived since the last sweep
//   stamps    through an xid8 column: the same
//   all       the first time: the whole source, in order
//   compare   otherwise: the contents of the source counted and compared with the ledger; as often as `recheck` says
//   range     between two compares: the rows at and behind the position (less `lookback`), in order
//
// A pass is one sweep, or one statement read to its end, over as many batches as it takes. When it ends, all that was
// visible to `seen` has been dealt with. Beside each leaf the position keeps by what arrivals are known there (the file of its
// arrival index, the number of its snapshot column). Where that is another one than at the last pass, or a partition comes
// with rows whose stamps have been passed, or a dump brought the position here, the stamps say nothing: a compare comes first.
//
// With duplicates => 'skip' further rows of a known content are deliveries of the same document: counted, not loaded. The
// arrival index also brings up rows that were updated, which are none. With 'keep' the n-th equal row is a row of its own;
// then only stamps, or the counts of a compare, say how many there are.
//
// `lookback`: rows more than that behind the greatest order value that was reached by the passes before are too late. With
// arrivals or stamps the ledger then forgets runs that lie behind altogether; a compare needs it whole.
#include "hash_cursor.hpp"

#include "arrival_index.hpp"
#include "compare.hpp"
#include "content.hpp"
#include "leaves.hpp"
#include "ledger.hpp"
#include "names.hpp"
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

static bool by_statement(Way way) { return way == Way::All || way == Way::Compare || way == Way::Range; }

// ---- a new pipeline

static bool keeps(const NewPipeline *pipeline) {
    return pipeline->duplicates && strcmp(pipeline->duplicates, "keep") == 0;
}

void check_new_hash_cursor(const NewPipeline *pipeline, Relation source) {
    Order order = read_order(source, pipeline->order_by);
    if (pipeline->lookback)
        check_lookback(&order, pipeline->lookback);
}

// may_have_arrivals tells whether an arrival index finds what is new: of equal rows it cannot tell which.
static bool may_have_arrivals(const char *document, bool keeps, Relation source) {
    return document && !keeps && has_arrival_index(source, document);
}

static const char *trusted_stamps(Relation source) {
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

// means_of_leaves lists each leaf with what tells of arrivals in it.
static Numbers means_of_leaves(Oid source, const char *document, const char *column, bool indexed) {
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

// ---- the cursor

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

// ---- planning

// With 'keep', stamps alone say which rows are new: those of another cluster say nothing.
void HashCursor::refuse_moved(Oid source) const {
    if (!pipeline_->keeps_duplicates || !position_.moved || !has_seen(&position_.seen))
        return;
    Relation relation = relation_open(source, AccessShareLock);
    const bool stamped = trusted_stamps(relation) != NULL;
    relation_close(relation, AccessShareLock);
    if (stamped)
        refuse_moved_source(pipeline_->name, source);
}

// The ledger follows the pipeline's owner, whichever way that was changed.
void HashCursor::check(Relation source) {
    source_ = RelationGetRelid(source);
    own_ledger(pipeline_->id, pipeline_->owner);
    refuse_moved(source_);
    check_read_columns(pipeline_, source);
    warn_of_hidden_rows(source_);
}

// A sweep that was begun by another way cannot be gone on with, and none when a compare has to come first.
void HashCursor::drop_sweep() {
    position_.target = Seen{};
    position_.stamp = 0;
    position_.key = NULL;
    sweeping_ = false;
    if (work_ && !in_pass_)
        drop_work();
}

// brings_old_rows looks whether a new partition holds rows whose stamps have been passed, by the last sweep or the one in
// progress: those were attached.
bool HashCursor::brings_old_rows(Oid leaf) {
    const Seen *passed = has_seen(&position_.target) ? &position_.target : &position_.seen;
    if (arrivals_)
        return has_old_arrivals(arrivals_, leaf, passed);
    return !stamps_ || has_rows(leaf, psprintf("pg_catalog.pg_visible_in_snapshot(s.%s, '%s')", stamps_->column,
                                               seen_text(passed)));
}

// are_stamps_void tells whether what arrived can be told from where the last pass ended.
bool HashCursor::are_stamps_void() {
    if (position_.moved || (!has_seen(&position_.seen) && !has_seen(&position_.target)))
        return !is_ledger_empty(ledger_);
    for (int i = 0; i < means_.count; i += 2) {
        const int64 *before = find_mark(&position_.leaves, means_.values[i]);
        if (before ? *before != means_.values[i + 1] : brings_old_rows(static_cast<Oid>(means_.values[i])))
            return true;
    }
    return false;
}

void HashCursor::learn_means(const char *column) {
    means_ = means_of_leaves(source_, pipeline_->document, column, arrivals_ != NULL);
    must_compare_ = are_stamps_void();
    const bool fits = is_arrival_key(&position_) == (arrivals_ != NULL) || !position_.key;
    if (has_seen(&position_.target) && (must_compare_ || !fits || (!arrivals_ && !stamps_)))
        drop_sweep();
}

// Order values of another type say nothing any more.
void HashCursor::check_order_type() {
    const char *type = order_.expression ? format_type_be_qualified(order_.type) : NULL;
    if (type && position_.order_type && strcmp(type, position_.order_type) != 0) {
        position_.order_value = position_.reached = NULL;
        position_.compared_at = 0;
        forget_positions(pipeline_->id, true);
    }
    MemoryContext before = MemoryContextSwitchTo(memory_);
    position_.order_type = type ? pstrdup(type) : NULL;
    has_reached_ = position_.reached && order_.expression;
    if (has_reached_)
        reached_ = order_datum(&order_, position_.reached);
    MemoryContextSwitchTo(before);
}

// check_select has the server check the owner's rights: rows that are fetched by way of the arrival index pass no executor.
void HashCursor::check_select() const {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(psprintf("%s WHERE false", selection("")), true, 0) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a look at the source");
    MemoryContextSwitchTo(memory);
}

void HashCursor::prepare(Relation source, const SourceColumns *columns) {
    SourceColumns *kept = static_cast<SourceColumns *>(palloc(sizeof(SourceColumns)));
    *kept = *columns;
    columns_ = kept;
    order_ = read_order(source, pipeline_->order_by);
    ledger_ = open_ledger(pipeline_->id);
    const bool policies = check_enable_rls(source_, InvalidOid, true) == RLS_ENABLED;
    const bool indexed = !policies && may_have_arrivals(pipeline_->document, pipeline_->keeps_duplicates, source);
    const char *column = indexed ? NULL : trusted_stamps(source);
    arrivals_ = indexed ? begin_arrivals(source, columns_, &order_) : NULL;
    if (indexed)
        check_select();
    stamps_ = column ? prepare_stamps(source, column, order_.sql, columns_, &position_) : NULL;
    plain_ = make_reader(columns_);
    is_plain_ = source->rd_rel->relkind == RELKIND_RELATION && source->rd_rel->relam == HEAP_TABLE_AM_OID &&
                !has_subclass(source_) && !policies;
    check_order_type();
    learn_means(column);
    if (work_ && (!equalTupleDescs(source_columns_, RelationGetDescr(source)) || !fits_work())) {
        drop_work();
        in_pass_ = sweeping_ = false;
    }
    if (walking_ && (stamps_ || arrivals_ || order_.expression)) // the rest is compared
        in_pass_ = walking_ = false;
    MemoryContext before = MemoryContextSwitchTo(memory_);
    source_columns_ = CreateTupleDescCopyConstr(RelationGetDescr(source));
    MemoryContextSwitchTo(before);
}

// fits_work tells whether the rows of the work list hold what is read now: the work may want other columns than in the batch before.
// Those of an arrival index are fetched anew.
bool HashCursor::fits_work() const {
    return way_ == Way::Arrivals || strcmp(work_columns_, column_list(columns_)) == 0;
}

void HashCursor::drop_work() {
    if (work_)
        end_work_list(work_);
    work_ = NULL;
}

// ---- passes

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

// ---- reading

const char *HashCursor::selection(const char *extra) const {
    StringInfoData list;
    initStringInfo(&list);
    appendStringInfo(&list, "SELECT %s, %s%s FROM %s s", order_.sql, column_list(columns_), extra,
                     relation_name(source_));
    return list.data;
}

// covered_condition leaves out, where there are stamps, the own transaction's rows: they will not be in `seen`. With 'keep',
// where stamps alone tell which of equal rows are new, it leaves out all that will not be.
const char *HashCursor::covered_condition(const char *word) const {
    const FullTransactionId own = GetTopFullTransactionIdIfAny();
    if (stamps_ && pipeline_->keeps_duplicates)
        return psprintf(" %s pg_catalog.pg_visible_in_snapshot(s.%s, '%s')", word, stamps_->column,
                        seen_text(&pass_seen_));
    if (stamps_ && FullTransactionIdIsValid(own))
        return psprintf(" %s s.%s OPERATOR(pg_catalog.<>) '" UINT64_FORMAT "'::pg_catalog.xid8", word, stamps_->column,
                        U64FromFullTransactionId(own));
    return "";
}

// can_walk tells whether a first pass may take the rows as they lie, from row pointer to row pointer, with no list of the rest:
// where no order is asked for, and no later sweep builds on all having been seen (a row that is updated meanwhile may move to a
// place that was passed; the next compare finds it).
bool HashCursor::can_walk() const {
    return way_ == Way::All && !order_.expression && !stamps_ && !arrivals_ && is_plain_;
}

const char *HashCursor::statement(Way way) const {
    const char *by_order = order_.expression ? " ORDER BY 1" : "";
    if (walking_)
        return psprintf("%s WHERE s.ctid OPERATOR(pg_catalog.>) $1", selection(", s.ctid"));
    if (way == Way::All)
        return psprintf("%s%s%s", selection(""), covered_condition("WHERE"), by_order);
    if (way == Way::Range)
        return psprintf("%s WHERE %s %s $1%s", selection(""), order_.sql,
                        pipeline_->keeps_duplicates ? ">" : ">=", by_order);
    const char *extra =
        pipeline_->keeps_duplicates
            ? psprintf(
                  ", news.more AS sluice_more, news.h AS sluice_h, pg_catalog.row_number() OVER (PARTITION BY news.h "
                  "ORDER BY %s DESC NULLS LAST) AS sluice_place",
                  order_.sql)
            : ", 0::bigint, news.h";
    return compare_statement(relation_name(source_), content_sql(), ledger_->name, pipeline_->keeps_duplicates,
                             columns_->count + 2, selection(extra), covered_condition(""));
}

// set_option holds until the batch leaves the owner's settings.
static void set_option(const char *name, const char *value) {
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

// A compare hashes and sorts: it may use as much memory as maintenance work does.
static void lend_memory() {
    if (maintenance_work_mem <= work_mem)
        return;
    set_option("work_mem", psprintf("%d", maintenance_work_mem));
    set_option("hash_mem_multiplier", "1");
}

void HashCursor::open_statement() {
    walking_ = walking_ || can_walk();
    Oid types[] = {walking_ ? static_cast<Oid>(TIDOID) : order_.type};
    Datum values[] = {PointerGetDatum(&place_)};
    const bool range = way_ == Way::Range;
    // Of 'keep' nothing is read again: what lies behind the position was counted, row by row.
    if (range)
        values[0] = has_floor_ && !pipeline_->keeps_duplicates ? floor_ : order_datum(&order_, position_.order_value);
    // The statement reads by the very snapshot that `seen` is taken from.
    MemoryContext before = MemoryContextSwitchTo(memory_);
    pass_seen_ = walking_ ? Seen{} : seen_now();
    MemoryContextSwitchTo(before);
    if (walking_)
        set_option("synchronize_seqscans", "off"); // in case the plan is none by row pointers after all
    else
        lend_memory();
    reader_ = prepare_reader(statement(way_), range || walking_ ? 1 : 0, types, columns_, walking_);
    reader_->steady = true;
    open_reader(reader_, values);
}

bool HashCursor::open(int64 rows) {
    begin_filter();
    if (way_ == Way::Stamps || !opened_) {
        limit_ = rows;
        delivered_ = candidates_ = 0;
    }
    if (way_ == Way::Stamps)
        return stamps_open(stamps_, &next_, rows);
    if (opened_) { // goes on where it was
        limit_ += exhausted_ ? 0 : rows;
        return !exhausted_;
    }
    opened_ = true;
    if (way_ == Way::Arrivals)
        open_arrivals(arrivals_, &next_, work_);
    else if (!work_)
        open_statement();
    return true;
}

void HashCursor::close() {
    if (way_ != Way::Stamps)
        return; // open until advance: the rest may be wanted
    stamps_close(stamps_);
    if (candidates_ < limit_)
        return;
    // The stretch has more: the next one begins where this one ended.
    note_stamp(stamps_, &next_);
    begin_stamps(stamps_);
}

// keep_rest keeps what this batch did not get to.
void HashCursor::keep_rest() {
    if (walking_)
        return;
    if (way_ == Way::Arrivals) {
        work_ = keep_arrivals(arrivals_, memory_);
        return;
    }
    work_ = make_work_list(chunk_.layout, memory_);
    work_columns_ = MemoryContextStrdup(memory_, column_list(columns_));
    for (; chunk_.next < chunk_.count; chunk_.next++)
        add_work(work_, chunk_.rows[chunk_.next].tuple);
    while (fetch_rows(reader_) > 0) {
        CHECK_FOR_INTERRUPTS();
        for (uint64 i = 0; i < reader_->fetched; i++)
            add_work(work_, reader_->rows->vals[i]);
    }
}

// content_of_tuple: in the place of the document rows have their content.
ContentHash HashCursor::content_of_tuple(HeapTuple tuple, TupleDesc layout) const {
    bool is_null;
    const Datum document = heap_getattr(tuple, 2, layout, &is_null);
    if (pipeline_->document)
        return content_of(document, is_null);
    ContentHash hash;
    memcpy(&hash, DatumGetPointer(document), sizeof(hash));
    return hash;
}

void HashCursor::take_tuple(Candidate *candidate, HeapTuple tuple, TupleDesc layout) {
    bool is_null;
    const int plain = columns_->count + 2;
    *candidate = Candidate{};
    candidate->tuple = tuple;
    if (way_ == Way::Compare) {
        candidate->more =
            pipeline_->keeps_duplicates ? 0 : DatumGetInt64(heap_getattr(tuple, plain + 1, layout, &is_null));
        memcpy(&candidate->hash, DatumGetPointer(heap_getattr(tuple, plain + 2, layout, &is_null)),
               sizeof(ContentHash));
        return;
    }
    candidate->hash = content_of_tuple(tuple, layout);
}

// From a list nothing is taken that this batch would leave behind.
int HashCursor::fill_from_statement() {
    int count = 0;
    if (work_) {
        const int64 most = Min(static_cast<int64>(chunk_size), limit_ - delivered_);
        chunk_.layout = work_->layout;
        for (HeapTuple tuple; count < most && (tuple = next_work(work_)); count++)
            take_tuple(&chunk_.rows[count], tuple, work_->layout);
        return count;
    }
    count = static_cast<int>(fetch_rows(reader_));
    chunk_.layout = reader_->rows->tupdesc;
    for (int i = 0; i < count; i++)
        take_tuple(&chunk_.rows[i], reader_->rows->vals[i], chunk_.layout);
    return count;
}

int HashCursor::fill_from_stamps() {
    const int count = static_cast<int>(stamps_fetch(stamps_));
    SPITupleTable *rows = stamps_->reader->rows;
    chunk_.layout = rows->tupdesc;
    for (int i = 0; i < count; i++) {
        chunk_.rows[i] = Candidate{};
        chunk_.rows[i].tuple = rows->vals[i];
        chunk_.rows[i].hash = content_of_tuple(rows->vals[i], rows->tupdesc);
    }
    candidates_ += count;
    return count;
}

int HashCursor::fill_from_arrivals() {
    int count = 0;
    ArrivedRow row;
    chunk_.layout = arrivals_layout(arrivals_);
    const int64 most = Min(static_cast<int64>(chunk_size), limit_ - delivered_);
    while (count < most && next_arrival(arrivals_, &row)) {
        Candidate *candidate = &chunk_.rows[count++];
        take_tuple(candidate, row.tuple, chunk_.layout);
        candidate->updated = row.updated;
        candidate->premature = row.premature;
        candidate->entry = row.entry;
    }
    return count;
}

// look_up finds out which contents of the chunk are in the ledger. When the ledger was empty as the run began, the filter
// has all that is in it by now: what the filter lacks needs no look.
void HashCursor::look_up(int count) {
    ContentHash *hashes = static_cast<ContentHash *>(palloc(sizeof(ContentHash) * (count + 1)));
    bool *known = static_cast<bool *>(palloc0(sizeof(bool) * (count + 1)));
    int *places = static_cast<int *>(palloc(sizeof(int) * (count + 1)));
    int asked = 0;
    for (int i = 0; i < count; i++) {
        if (filter_ && !*filter_bit(&chunk_.rows[i].hash))
            continue;
        places[asked] = i;
        hashes[asked++] = chunk_.rows[i].hash;
    }
    if (asked > 0)
        probe_ledger(ledger_, hashes, asked, known);
    for (int i = 0; i < asked; i++)
        chunk_.rows[places[i]].known = known[i];
}

// A hash is random already: some of its bits number a byte. With ten million contents every second byte is still unset.
bool *HashCursor::filter_bit(const ContentHash *hash) const {
    uint64 number;
    memcpy(&number, hash->bytes, sizeof(number));
    return &filter_[number % filter_size];
}

void HashCursor::begin_filter() {
    if (!has_filter_ && is_ledger_empty(ledger_))
        filter_ = static_cast<bool *>(MemoryContextAllocZero(memory_, filter_size));
    has_filter_ = true;
}

void HashCursor::enter_contents(int64 run) {
    if (hash_get_num_entries(entries_) == 0)
        return;
    write_ledger(ledger_, entries_, run);
    HASH_SEQ_STATUS walk;
    if (!filter_)
        return;
    hash_seq_init(&walk, entries_);
    while (LedgerEntry *entry = static_cast<LedgerEntry *>(hash_seq_search(&walk)))
        *filter_bit(&entry->hash) = true;
}

bool HashCursor::fill_chunk() {
    if (!chunk_.memory)
        chunk_.memory = AllocSetContextCreate(CurrentMemoryContext, "sluice candidates", ALLOCSET_DEFAULT_SIZES);
    MemoryContextReset(chunk_.memory);
    MemoryContext before = MemoryContextSwitchTo(chunk_.memory);
    chunk_.rows = static_cast<Candidate *>(palloc(sizeof(Candidate) * chunk_size));
    chunk_.next = 0;
    chunk_.count = way_ == Way::Arrivals ? fill_from_arrivals()
                   : way_ == Way::Stamps ? fill_from_stamps()
                                         : fill_from_statement();
    if (chunk_.count > 0)
        look_up(chunk_.count);
    MemoryContextSwitchTo(before);
    return chunk_.count > 0;
}

// ---- what becomes of a candidate

void HashCursor::note_order(const Candidate *candidate) {
    bool is_null;
    const Datum value = heap_getattr(candidate->tuple, 1, chunk_.layout, &is_null);
    if (is_null || !order_.expression || (has_reached_ && compare_orders(&order_, value, reached_) <= 0))
        return;
    MemoryContext before = MemoryContextSwitchTo(memory_);
    if (has_reached_ && !order_.by_value)
        pfree(DatumGetPointer(reached_));
    reached_ = datumCopy(value, order_.by_value, order_.length);
    has_reached_ = true;
    MemoryContextSwitchTo(before);
}

bool HashCursor::is_late(const Candidate *candidate) {
    bool is_null;
    const Datum value = heap_getattr(candidate->tuple, 1, chunk_.layout, &is_null);
    return has_floor_ && !is_null && compare_orders(&order_, value, floor_) < 0;
}

// A row without an order value is never late, so the ledger must never forget it.
bool HashCursor::is_unordered(const Candidate *candidate) const {
    bool is_null;
    (void)heap_getattr(candidate->tuple, 1, chunk_.layout, &is_null);
    return is_null && pipeline_->lookback;
}

// consume_again deals with a content that this batch has met already.
bool HashCursor::consume_again(const Candidate *candidate, LedgerEntry *entry) {
    if (pipeline_->keeps_duplicates) {
        entry->rows++;
        skipped_.too_late += is_late(candidate);
        return !is_late(candidate);
    }
    if (candidate->updated || way_ == Way::Range)
        return false;
    entry->rows++;
    skipped_.duplicates++;
    return false;
}

// consume decides whether a candidate is loaded, and counts it.
bool HashCursor::consume(const Candidate *candidate) {
    if (candidate->premature)
        return false;
    bool met;
    LedgerEntry *entry = static_cast<LedgerEntry *>(hash_search(entries_, &candidate->hash, HASH_ENTER, &met));
    if (!met)
        *entry = LedgerEntry{candidate->hash, candidate->known, is_unordered(candidate), 0};
    if (candidate->more > 0) {
        entry->rows += candidate->more;
        skipped_.duplicates += candidate->more;
        return false;
    }
    note_order(candidate);
    if (met)
        return consume_again(candidate, entry);
    entry->rows = 1;
    if (candidate->known && !pipeline_->keeps_duplicates) {
        // A known content is a delivery of its own only where this is known to be another row.
        if (way_ == Way::Range || candidate->updated)
            (void)hash_search(entries_, &candidate->hash, HASH_REMOVE, NULL);
        else
            skipped_.duplicates++;
        return false;
    }
    if (!is_late(candidate))
        return true;
    // A compare brings up what the ledger has forgotten.
    if (by_statement(way_) && next_.forgotten > 0)
        (void)hash_search(entries_, &candidate->hash, HASH_REMOVE, NULL);
    else
        skipped_.too_late++;
    return false;
}

void HashCursor::note_place(const Candidate *candidate) {
    bool is_null;
    const Datum place = heap_getattr(candidate->tuple, columns_->count + 3, chunk_.layout, &is_null);
    place_ = *reinterpret_cast<ItemPointer>(DatumGetPointer(place));
}

bool HashCursor::deliver(const Candidate *candidate, SourceRow *row) {
    read_tuple(plain_, candidate->tuple, chunk_.layout, row);
    row->hash = &candidate->hash;
    current_ = candidate;
    last_hash_ = candidate->hash;
    has_last_hash_ = true;
    delivered_++;
    return true;
}

bool HashCursor::read(SourceRow *row) {
    for (;;) {
        if (delivered_ >= limit_ && way_ != Way::Stamps)
            return false;
        if (chunk_.next >= chunk_.count && (exhausted_ || !fill_chunk())) {
            exhausted_ = way_ != Way::Stamps;
            return false;
        }
        const Candidate *candidate = &chunk_.rows[chunk_.next++];
        if (way_ == Way::Arrivals)
            last_entry_ = candidate->entry;
        if (walking_)
            note_place(candidate);
        if (consume(candidate))
            return deliver(candidate, row);
    }
}

void HashCursor::describe(const SourceRow *row, StringInfo to) {
    if (pipeline_->order_by && !row->order_is_null)
        appendStringInfo(to, "%s = %s, ", pipeline_->order_by, shown_order(&order_, row->order));
    appendStringInfo(to, "hash = %s", current_ ? content_text(&current_->hash) : "?");
}

// ---- moving on

bool HashCursor::advance(bool all, bool last, int64 run) {
    if (!all && !last && !work_ && way_ != Way::Stamps)
        keep_rest();
    if (reader_)
        close_reader(reader_);
    if (way_ == Way::Arrivals)
        close_arrivals(arrivals_);
    if (all) {
        drop_work();
        finish_pass();
    } else if (way_ == Way::Stamps) {
        note_stamp(stamps_, &next_);
    } else if (way_ == Way::Arrivals) {
        note_arrival(&next_, &last_entry_);
    }
    if (!all && has_reached_)
        next_.reached = order_text(&order_, reached_);
    enter_contents(run);
    if (has_last_hash_)
        next_.hash = content_text(&last_hash_);
    return !all || (!by_statement(way_) && !begun_);
}

// store writes a position after a pass without news only where the next look gets cheaper by it.
void HashCursor::store(int64 rows) {
    const bool compared =
        next_.compared_at != position_.compared_at && (pipeline_->recheck > 0 || !position_.compared_at);
    const bool news = rows > 0 || skipped_.duplicates > 0 || skipped_.too_late > 0;
    const bool leaves = !same_numbers(&next_.leaves, &position_.leaves);
    const bool finished =
        (has_seen(&position_.target) && !has_seen(&next_.target)) || (position_.reached && !next_.reached);
    if (!news && !finished && !compared && !position_.moved && !leaves &&
        !is_worth_noting(&position_.seen, &next_.seen))
        return;
    store_arrival_position(pipeline_->id, &next_, rows);
    keep_arrival_position(&position_, &next_, &kept_);
}

// ---- looking at it and managing it

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

Cursor *make_hash_cursor(const Pipeline *pipeline, MemoryContext memory) {
    return new (palloc0(sizeof(HashCursor))) HashCursor(pipeline, memory);
}

} // namespace sluice
