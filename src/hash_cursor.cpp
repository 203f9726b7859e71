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
#include "hash_state.hpp"

#include "content.hpp"
#include "leaves.hpp"
#include "names.hpp"

namespace sluice {

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

Cursor *make_hash_cursor(const Pipeline *pipeline, MemoryContext memory) {
    return new (palloc0(sizeof(HashCursor))) HashCursor(pipeline, memory);
}

} // namespace sluice
