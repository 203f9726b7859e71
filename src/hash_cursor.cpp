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
// visible to `seen` at its start has been dealt with; so the ways can follow one another in any order.
//
// With duplicates => 'skip' further rows of a known content are deliveries of the same document: counted, not loaded. The
// arrival index brings up more than arrivals (see arrival_index.cpp), which are told apart for that count. With 'keep' the
// n-th equal row is a row of its own; then only stamps, or the counts of a compare, say how many there are.
//
// `lookback`: rows more than that behind the greatest order value that was reached by the passes before are too late. With
// arrivals or stamps the ledger then forgets runs that lie behind altogether; a compare needs it whole.
#include "hash_cursor.hpp"

#include "arrival_index.hpp"
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
    bool processed;     // seen by an earlier sweep
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
    const Order order = read_order(source, pipeline->order_by);
    if (pipeline->lookback)
        check_lookback(&order, pipeline->lookback);
}

static const char *trusted_stamps(Relation source) {
    const char *column = find_stamp_column(source);
    return column && are_stamps_trusted(source, column) ? column : NULL;
}

// note_way tells what every run will cost, where it could cost less.
static void note_way(const NewPipeline *pipeline, Relation source) {
    const char *table = relation_name(RelationGetRelid(source));
    const bool arrivals = !keeps(pipeline) && has_arrival_index(source, pipeline->document);
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
    else if (keeps(pipeline))
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

void start_hash_cursor(const NewPipeline *pipeline, int32 id, Relation source) {
    ArrivalPosition position{};
    position.leaves = leaf_numbers(leaves_of(RelationGetRelid(source)));
    insert_arrival_position(id, &position);
    create_ledger(id, pipeline->name, GetUserId());
    note_way(pipeline, source);
}

// ---- the cursor

class HashCursor final : public Cursor {
public:
    HashCursor(const Pipeline *pipeline, MemoryContext memory)
        : pipeline_(pipeline), memory_(memory), position_(load_arrival_position(pipeline->id)) {}

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
    int64 pending(Relation source) override;
    Estimate estimate(Relation source) override;
    const char *show() override;
    void seek(Relation source, Jsonb *position) override;
    void rewind(Relation source, Jsonb *position, int64 to_run, int64 rows) override;

private:
    void refuse_moved(Oid source) const;
    void drop_work();
    void check_select() const;
    void drop_foreign_sweep();
    bool brings_old_rows(const char *column) const;
    void note_pass_leaves();
    // passes
    Way choose_way();
    bool is_compare_due() const;
    bool begin_pass();
    bool begin_sweep(const Seen *now);
    void finish_pass();
    void set_floor();
    void raise_order_value();
    void forget();
    // reading
    const char *selection(const char *extra) const;
    const char *statement(Way way) const;
    void open_statement();
    void keep_rest();
    bool fill_chunk();
    int fill_from_statement();
    int fill_from_stamps();
    int fill_from_arrivals();
    void take_tuple(Candidate *candidate, HeapTuple tuple, TupleDesc layout);
    void look_up(int count);
    void begin_filter();
    bool *filter_bit(const ContentHash *hash) const;
    void enter_contents(int64 run);
    bool consume(const Candidate *candidate);
    bool consume_again(const Candidate *candidate, LedgerEntry *entry);
    bool is_late(const Candidate *candidate);
    void note_order(const Candidate *candidate);
    bool deliver(const Candidate *candidate, SourceRow *row);

    const Pipeline *pipeline_;
    MemoryContext memory_;
    ArrivalPosition position_; // as it is stored
    ArrivalPosition next_;     // as this batch will store it
    // the plan
    Oid source_;
    TupleDesc source_columns_; // of the rows in the work list
    Order order_;
    const SourceColumns *columns_;
    Ledger *ledger_;
    ArrivalScan *arrivals_; // NULL: no arrival index
    StampReader *stamps_;   // NULL: no stamps
    SourceReader *plain_;
    List *added_;         // leaves that were not there at the last pass
    bool leaves_changed_; // they may hold rows that only a look at all of them finds
    // the pass
    Way way_;
    bool in_pass_;  // of a statement
    bool sweeping_; // by arrivals or stamps
    bool begun_;    // this run began the sweep; else an earlier one did, and more may have come since
    bool passed_;   // a statement was read to its end in this run
    Seen pass_seen_;
    Numbers pass_leaves_;
    TimestampTz pass_began_;
    WorkList *work_;
    bool *filter_; // NULL: the ledger was not empty
    bool has_filter_;
    bool has_floor_, has_reached_;
    Datum floor_, reached_;
    // the batch
    SourceReader *reader_;
    bool opened_, exhausted_, scanning_;
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
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("source %s of pipeline \"%s\" was moved here by a dump: its transaction numbers are those of "
                        "another cluster",
                        relation_name(source), pipeline_->name),
                 errhint("Run SELECT sluice.rebase(%s).", quote_literal_cstr(pipeline_->name))));
}

void HashCursor::check(Relation source) {
    source_ = RelationGetRelid(source);
    refuse_moved(source_);
    added_ = new_leaves(leaves_of(source_), &position_.leaves);
    warn_of_hidden_rows(source_);
}

// A sweep that was begun by another way cannot be gone on with: it begins anew, and the ledger knows what it had read.
void HashCursor::drop_foreign_sweep() {
    if (has_seen(&position_.target) && is_arrival_key(&position_) == (arrivals_ != NULL) && !position_.moved)
        return;
    position_.target = Seen{};
    position_.stamp = 0;
    position_.key = NULL;
}

// brings_old_rows looks whether new partitions hold rows whose stamps have been passed: those were attached.
bool HashCursor::brings_old_rows(const char *column) const {
    ListCell *cell;
    foreach (cell, added_)
        if (has_seen(&position_.seen) &&
            has_rows(lfirst_oid(cell), psprintf("pg_catalog.pg_visible_in_snapshot(s.%s, '%s')",
                                                quote_identifier(column), seen_text(&position_.seen))))
            return true;
    return false;
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
    const bool indexed = !pipeline_->keeps_duplicates && !policies && has_arrival_index(source, columns_->document);
    const char *column = indexed ? NULL : trusted_stamps(source);
    arrivals_ = indexed ? begin_arrivals(source, columns_, &order_) : NULL;
    if (indexed)
        check_select();
    drop_foreign_sweep();
    leaves_changed_ = added_ != NIL && (!column || brings_old_rows(column));
    stamps_ = column ? prepare_stamps(source, column, order_.sql, columns_, &position_) : NULL;
    plain_ = make_reader(columns_);
    if (work_ && (!equalTupleDescs(source_columns_, RelationGetDescr(source)) || (sweeping_ && !arrivals_))) {
        drop_work();
        in_pass_ = sweeping_ = false;
    }
    MemoryContext before = MemoryContextSwitchTo(memory_);
    source_columns_ = CreateTupleDescCopyConstr(RelationGetDescr(source));
    has_reached_ = position_.reached && order_.expression;
    if (has_reached_)
        reached_ = order_datum(&order_, position_.reached);
    MemoryContextSwitchTo(before);
}

void HashCursor::drop_work() {
    if (work_)
        end_work_list(work_);
    work_ = NULL;
}

// ---- passes

bool HashCursor::is_compare_due() const {
    const ArrivalPosition &at = position_;
    if (pipeline_->recheck == 0 || at.compared_at == 0 || at.moved || leaves_changed_)
        return true;
    if (pipeline_->keeps_duplicates && at.reached)
        return true; // a pass ended early: which of the rows behind the position it read is known by counting alone
    return GetCurrentTimestamp() - at.compared_at >= pipeline_->recheck * USECS_PER_SEC;
}

Way HashCursor::choose_way() {
    if (arrivals_)
        return Way::Arrivals;
    if (stamps_ && !position_.moved && !leaves_changed_)
        return Way::Stamps;
    if (!stamps_ && !is_compare_due())
        return Way::Range;
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

// note_pass_leaves keeps which leaves the pass covers: those that are there when it begins. Of a sweep that an earlier run
// began that is certain of those known before, and of new ones that it has not come to yet.
void HashCursor::note_pass_leaves() {
    const Oid place = by_statement(way_) ? InvalidOid : arrival_place(&next_);
    List *covered = NIL;
    ListCell *cell;
    foreach (cell, leaves_of(source_))
        if (lfirst_oid(cell) > place || !list_member_oid(added_, lfirst_oid(cell)))
            covered = lappend_oid(covered, lfirst_oid(cell));
    MemoryContext before = MemoryContextSwitchTo(memory_);
    pass_leaves_ = leaf_numbers(covered);
    MemoryContextSwitchTo(before);
}

bool HashCursor::begin_sweep(const Seen *now) {
    if (!sweeping_)
        note_pass_leaves();
    sweeping_ = true;
    if (stamps_)
        begin_stamps(stamps_);
    if (has_seen(&next_.target))
        return true;
    if (position_.moved)
        next_.seen = Seen{};
    if (now->xmax == next_.seen.xmax && !over_since(&next_.seen, now) && added_ == NIL) {
        sweeping_ = false;
        return false;
    }
    next_.target = *now;
    begun_ = true;
    next_.covered = !has_seen(&next_.seen) && !is_ledger_empty(ledger_);
    return true;
}

// begin_pass settles what the next pass will have dealt with when it is done; false: there is nothing to do.
bool HashCursor::begin_pass() {
    way_ = choose_way();
    set_floor();
    const Seen now = seen_now();
    if (!by_statement(way_))
        return begin_sweep(&now);
    if (way_ == Way::Range && !position_.order_value)
        return false; // nothing with an order value was there at the last compare; the next one finds what comes
    note_pass_leaves();
    MemoryContext before = MemoryContextSwitchTo(memory_);
    ArrivalPosition at{};
    at.seen = now;
    pass_seen_ = copy_arrival_position(&at).seen;
    pass_began_ = GetCurrentTimestamp();
    MemoryContextSwitchTo(before);
    in_pass_ = true;
    return true;
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
        next_.target = Seen{};
        next_.stamp = 0;
        next_.key = NULL;
        next_.leaves = pass_leaves_;
        next_.covered = sweeping_ = false;
        if (has_floor_)
            forget();
        return;
    }
    in_pass_ = false;
    passed_ = true;
    if (way_ == Way::Range)
        return;
    next_.seen = pass_seen_;
    next_.leaves = pass_leaves_;
    next_.compared_at = pass_began_;
    next_.target = Seen{};
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
    (void)forget_runs(ledger_, run);
    next_.forgotten = run;
}

bool HashCursor::look() {
    next_ = copy_arrival_position(&position_);
    skipped_ = Skipped{};
    opened_ = exhausted_ = scanning_ = false;
    reader_ = NULL;
    current_ = NULL;
    chunk_ = Chunk{};
    HASHCTL control{};
    control.keysize = sizeof(ContentHash);
    control.entrysize = sizeof(LedgerEntry);
    control.hcxt = CurrentMemoryContext;
    entries_ = hash_create("sluice contents of a batch", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    if (work_ && work_->left > 0)
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
    appendStringInfo(&list, "SELECT %s, s.%s", order_.sql, quote_identifier(columns_->document));
    for (int i = 0; i < columns_->count; i++)
        appendStringInfo(&list, ", s.%s", quote_identifier(get_attname(source_, columns_->others[i], false)));
    appendStringInfo(&list, "%s FROM %s s", extra, relation_name(source_));
    return list.data;
}

static const char *null_list(int count) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < count; i++)
        appendStringInfoString(&list, "NULL, ");
    return list.data;
}

// compare_statement counts the contents of the source and brings up what the ledger does not account for: first how many
// more rows there are of known contents ('skip' alone counts them), then the rows to load, in order.
static const char *compare_statement(const char *source, const char *document, const char *ledger, bool keep,
                                     const char *nulls, const char *rows) {
    const char *news =
        psprintf("WITH counted AS (SELECT sluice.content(s.%s) AS h, pg_catalog.count(*) AS n FROM %s s GROUP BY 1), "
                 "news AS MATERIALIZED (SELECT c.h AS h, l.h IS NOT NULL AS known, "
                 "c.n OPERATOR(pg_catalog.-) CASE WHEN l.h IS NULL THEN 0 ELSE coalesce(l.n, 1) END AS more "
                 "FROM counted c LEFT JOIN %s l ON l.h OPERATOR(pg_catalog.=) c.h "
                 "WHERE l.h IS NULL OR c.n OPERATOR(pg_catalog.>) coalesce(l.n, 1)) ",
                 document, source, ledger);
    const char *match = psprintf("sluice.content(s.%s) OPERATOR(pg_catalog.=) news.h", document);
    if (!keep)
        return psprintf("%s SELECT %snews.more, news.h FROM news WHERE news.known UNION ALL "
                        "(%s JOIN news ON %s WHERE NOT news.known ORDER BY 1)",
                        news, nulls, rows, match);
    // Of equal rows the last in the order are the new ones.
    return psprintf("%s SELECT * FROM (%s JOIN news ON %s) AS r WHERE r.sluice_place OPERATOR(pg_catalog.<=) "
                    "r.sluice_more ORDER BY 1",
                    news, rows, match);
}

const char *HashCursor::statement(Way way) const {
    const char *by_order = order_.expression ? " ORDER BY 1" : "";
    if (way == Way::All)
        return psprintf("%s%s", selection(""), by_order);
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
    return compare_statement(relation_name(source_), quote_identifier(columns_->document), ledger_->name,
                             pipeline_->keeps_duplicates, null_list(columns_->count + 2), selection(extra));
}

// A compare hashes and sorts: it may use as much memory as maintenance work does.
static void lend_memory() {
    if (maintenance_work_mem > work_mem)
        (void)set_config_option("work_mem", psprintf("%d", maintenance_work_mem), PGC_USERSET, PGC_S_SESSION,
                                GUC_ACTION_SAVE, true, 0, false);
}

void HashCursor::open_statement() {
    Oid types[] = {order_.type};
    Datum values[] = {0};
    const bool range = way_ == Way::Range;
    // Of 'keep' nothing is read again: what lies behind the position was counted, row by row.
    if (range)
        values[0] = has_floor_ && !pipeline_->keeps_duplicates ? floor_ : order_datum(&order_, position_.order_value);
    lend_memory();
    reader_ = prepare_reader(statement(way_), range ? 1 : 0, types, columns_, false);
    open_reader(reader_, values);
}

bool HashCursor::open(int64 rows) {
    begin_filter();
    limit_ = rows;
    delivered_ = candidates_ = 0;
    if (way_ == Way::Stamps)
        return scanning_ = stamps_open(stamps_, &next_, rows);
    if (opened_)
        return false;
    opened_ = true;
    if (way_ == Way::Arrivals)
        open_arrivals(arrivals_, &next_, work_);
    else if (!work_)
        open_statement();
    scanning_ = true;
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
    if (way_ == Way::Arrivals) {
        work_ = keep_arrivals(arrivals_, memory_);
        return;
    }
    work_ = make_work_list(chunk_.layout, memory_);
    for (; chunk_.next < chunk_.count; chunk_.next++)
        add_work(work_, chunk_.rows[chunk_.next].tuple);
    while (fetch_rows(reader_) > 0) {
        CHECK_FOR_INTERRUPTS();
        for (uint64 i = 0; i < reader_->fetched; i++)
            add_work(work_, reader_->rows->vals[i]);
    }
}

void HashCursor::take_tuple(Candidate *candidate, HeapTuple tuple, TupleDesc layout) {
    bool is_null;
    const int plain = columns_->count + 2;
    *candidate = Candidate{};
    candidate->tuple = tuple;
    if (layout->natts > plain) {
        candidate->more =
            pipeline_->keeps_duplicates ? 0 : DatumGetInt64(heap_getattr(tuple, plain + 1, layout, &is_null));
        memcpy(&candidate->hash, DatumGetPointer(heap_getattr(tuple, plain + 2, layout, &is_null)),
               sizeof(ContentHash));
        return;
    }
    const Datum document = heap_getattr(tuple, 2, layout, &is_null);
    candidate->hash = content_of(document, is_null);
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
        bool is_null;
        chunk_.rows[i] = Candidate{};
        chunk_.rows[i].tuple = rows->vals[i];
        const Datum document = heap_getattr(rows->vals[i], 2, rows->tupdesc, &is_null);
        chunk_.rows[i].hash = content_of(document, is_null);
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
        candidate->processed = row.processed;
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

// After a restore from a dump a ledger that has forgotten cannot tell old rows without an order value: they count as late.
bool HashCursor::is_late(const Candidate *candidate) {
    bool is_null;
    const Datum value = heap_getattr(candidate->tuple, 1, chunk_.layout, &is_null);
    if (is_null)
        return has_floor_ && position_.moved && position_.forgotten > 0;
    return has_floor_ && compare_orders(&order_, value, floor_) < 0;
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
    if (candidate->processed)
        return false;
    bool met;
    LedgerEntry *entry = static_cast<LedgerEntry *>(hash_search(entries_, &candidate->hash, HASH_ENTER, &met));
    if (!met)
        *entry = LedgerEntry{candidate->hash, candidate->known, 0};
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
        if (way_ == Way::Range || candidate->updated || next_.covered)
            (void)hash_search(entries_, &candidate->hash, HASH_REMOVE, NULL);
        else
            skipped_.duplicates++;
        return false;
    }
    if (!is_late(candidate))
        return true;
    skipped_.too_late++;
    return false;
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
        if (consume(candidate))
            return deliver(candidate, row);
    }
}

void HashCursor::describe(const SourceRow *row, StringInfo to) {
    if (pipeline_->order_by && !row->order_is_null)
        appendStringInfo(to, "%s = %s, ", pipeline_->order_by, order_text(&order_, row->order));
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
    const bool leaves = next_.leaves.values != NULL && added_ != NIL;
    const bool finished =
        (has_seen(&position_.target) && !has_seen(&next_.target)) || (position_.reached && !next_.reached);
    if (!news && !finished && !compared && !position_.moved && !leaves &&
        !is_worth_noting(&position_.seen, &next_.seen))
        return;
    store_arrival_position(pipeline_->id, &next_, rows);
    MemoryContext before = MemoryContextSwitchTo(memory_);
    position_ = copy_arrival_position(&next_);
    added_ = new_leaves(leaves_of(source_), &position_.leaves);
    leaves_changed_ = leaves_changed_ && added_ != NIL;
    MemoryContextSwitchTo(before);
}

// ---- looking at it and managing it

const char *HashCursor::unread(Relation source) {
    (void)source;
    return psprintf("NOT EXISTS (SELECT FROM %s l WHERE l.h OPERATOR(pg_catalog.=) sluice.content(s.%s))",
                    ledger_name(pipeline_->id), quote_identifier(pipeline_->document));
}

// Of rows with one content 'keep' counts those that the ledger does not account for.
int64 HashCursor::pending(Relation source) {
    if (!pipeline_->keeps_duplicates)
        return Cursor::pending(source);
    return count_rows(
        psprintf("SELECT coalesce(pg_catalog.sum(c.n OPERATOR(pg_catalog.-) CASE WHEN l.h IS NULL THEN 0 ELSE "
                 "coalesce(l.n, 1) END), 0)::bigint FROM (SELECT sluice.content(s.%s) AS h, pg_catalog.count(*) AS n "
                 "FROM %s "
                 "s GROUP BY 1) c LEFT JOIN %s l ON l.h OPERATOR(pg_catalog.=) c.h "
                 "WHERE l.h IS NULL OR c.n OPERATOR(pg_catalog.>) coalesce(l.n, 1)",
                 quote_identifier(pipeline_->document), relation_name(RelationGetRelid(source)),
                 ledger_name(pipeline_->id)),
        0, NULL, NULL);
}

Estimate HashCursor::estimate(Relation) { return Estimate{}; }

static void append_member(StringInfo json, const char *name, const char *value) {
    if (!value)
        return;
    appendStringInfo(json, ", \"%s\": ", name);
    escape_json(json, value);
}

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
    const Order order = read_order(source, pipeline_->order_by);
    const char *to = value_string(position_member(wanted, "hash", "order_value"));
    const char *table = relation_name(RelationGetRelid(source));
    if (!order.expression)
        argument_error("position", "a hash cursor without order_by has no order to go by", NULL);
    if (!to)
        argument_error("position", "has no order_value that is a string",
                       "It looks like {\"cursor\": \"hash\", \"order_value\": \"2024-01-01\"}.");
    (void)order_datum(&order, to);
    const char *bound = psprintf("%s::%s", quote_literal_cstr(to), format_type_be_qualified(order.type));
    if (count_rows(psprintf("SELECT pg_catalog.count(*) FROM (SELECT 1 FROM %s s WHERE %s > %s AND NOT %s LIMIT 1) x",
                            table, order.sql, bound, unread(source)),
                   0, NULL, NULL) > 0)
        refuse_going_back(pipeline_, RelationGetRelid(source));
    MemoryContext memory = CurrentMemoryContext;
    if (SPI_execute(
            psprintf("INSERT INTO %s (run, h, n) SELECT 0, sluice.content(s.%s), nullif(pg_catalog.count(*), 1) "
                     "FROM %s s WHERE %s <= %s AND %s GROUP BY 2",
                     ledger_name(pipeline_->id), quote_identifier(pipeline_->document), table, order.sql, bound,
                     unread(source)),
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

void HashCursor::rewind(Relation, Jsonb *position, int64 to_run, int64 rows) {
    if (position_.forgotten > to_run)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("pipeline \"%s\" cannot be rewound to run " INT64_FORMAT, pipeline_->name, to_run),
                        errdetail("What runs up to " INT64_FORMAT " read lies beyond lookback and was forgotten.",
                                  position_.forgotten)));
    // With 'keep' the stamps say what was read; else everything is looked at again, and the ledger knows.
    ArrivalPosition to{};
    if (position && pipeline_->keeps_duplicates) {
        read_arrival(&to, position, "hash");
        to.leaves = position_.leaves;
    }
    if (position) {
        to.order_value = value_string(position_member(position, "hash", "order_value"));
        to.reached = value_string(position_member(position, "hash", "reached"));
        to.hash = value_string(position_member(position, "hash", "hash"));
    }
    to.forgotten = position_.forgotten;
    forget_later_runs(open_ledger(pipeline_->id), to_run);
    store_arrival_position(pipeline_->id, &to, -rows);
}

Cursor *make_hash_cursor(const Pipeline *pipeline, MemoryContext memory) {
    return new (palloc0(sizeof(HashCursor))) HashCursor(pipeline, memory);
}

} // namespace sluice
