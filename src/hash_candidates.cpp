// The rows that a pass of a hash cursor brings up, chunk by chunk, looked up in the ledger. See hash_cursor.cpp.
#include "hash_state.hpp"

#include "compare.hpp"
#include "content.hpp"
#include "names.hpp"

namespace sluice {

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

} // namespace sluice
