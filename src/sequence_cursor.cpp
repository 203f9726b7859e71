// See sequence_cursor.hpp.
#include "sequence_cursor.hpp"

#include "catalog.hpp"
#include "leaves.hpp"
#include "names.hpp"
#include "sequence.hpp"
#include "value.hpp"

namespace sluice {

// ---- the position in the catalog

static void read_holders(SequencePosition *position, const Numbers *numbers) {
    position->holder_count = numbers->count / 3;
    position->holders = static_cast<Holder *>(palloc0(sizeof(Holder) * (position->holder_count + 1)));
    for (int i = 0; i < position->holder_count; i++)
        position->holders[i] = Holder{numbers->values[i * 3], numbers->values[i * 3 + 1], numbers->values[i * 3 + 2]};
}

static void add_holders(Parameters *parameters, const SequencePosition *position) {
    int64 *values = static_cast<int64 *>(palloc(sizeof(int64) * (position->holder_count * 3 + 1)));
    for (int i = 0; i < position->holder_count; i++) {
        values[i * 3] = position->holders[i].backend;
        values[i * 3 + 1] = position->holders[i].transaction;
        values[i * 3 + 2] = position->holders[i].low;
    }
    add_numbers(parameters, values, position->holder_count * 3);
}

static void add_number(Parameters *parameters, int64 number) {
    if (number == nothing_read)
        add_null(parameters, INT8OID);
    else
        add_int(parameters, number);
}

static SequencePosition load_sequence_position(int32 pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    static CatalogStatement statement;
    if (catalog_prepared(&statement,
                         "SELECT \"position\", sampled, holders, filenode, home, leaves FROM sluice.sequence_position "
                         "WHERE pipeline_id = $1::int",
                         &parameters) == 0)
        elog(ERROR, "pipeline %d has no position", pipeline);
    SequencePosition position{};
    bool is_null;
    position.position = result_int(0, 1, &is_null);
    if (is_null)
        position.position = nothing_read;
    position.sampled = result_int(0, 2, &is_null);
    if (is_null)
        position.sampled = nothing_read;
    const Numbers holders = result_numbers(0, 3);
    read_holders(&position, &holders);
    position.filenode = result_int(0, 4, &is_null);
    position.home = result_text(0, 5);
    position.leaves = result_numbers(0, 6);
    free_result();
    return position;
}

static void insert_sequence_position(int32 pipeline, const SequencePosition *position) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    add_number(&parameters, position->position);
    add_number(&parameters, position->sampled);
    add_holders(&parameters, position);
    add_int(&parameters, position->filenode);
    add_text(&parameters, position->home);
    add_numbers(&parameters, position->leaves.values, position->leaves.count);
    catalog_execute(
        "INSERT INTO sluice.sequence_position (pipeline_id, \"position\", sampled, holders, filenode, home, leaves) "
        "VALUES ($1::int, $2, $3, $4, $5, $6, $7)",
        &parameters);
}

static void store_sequence_position(int32 pipeline, const SequencePosition *position, int64 rows) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    add_number(&parameters, position->position);
    add_number(&parameters, position->sampled);
    add_holders(&parameters, position);
    add_int(&parameters, rows);
    add_int(&parameters, position->filenode);
    add_text(&parameters, position->home);
    add_numbers(&parameters, position->leaves.values, position->leaves.count);
    static CatalogStatement update;
    catalog_prepared(&update,
                     "UPDATE sluice.sequence_position SET \"position\" = $2, sampled = $3, holders = $4, rows_total = "
                     "rows_total + $5, "
                     "filenode = $6, home = $7, leaves = $8 WHERE pipeline_id = $1::int",
                     &parameters);
}

static bool highest_number(Oid source, const char *order_by, int64 *highest) {
    const char *query = psprintf("SELECT pg_catalog.max(%s)::pg_catalog.int8 FROM %s", quote_identifier(order_by),
                                 relation_name(source));
    MemoryContext memory = CurrentMemoryContext;
    if (SPI_execute(query, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of max()");
    MemoryContextSwitchTo(memory);
    bool is_null;
    *highest = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
    SPI_freetuptable(SPI_tuptable);
    return !is_null;
}

// ---- a new pipeline

// check_numbers refuses a source whose rows have numbers that its sequence has not reached: it would draw them again.
static void check_numbers(Oid source, const char *order_by, Oid sequence) {
    int64 highest;
    if (!highest_number(source, order_by, &highest))
        return;
    const int64 last = sequence_last_value(sequence); // after the rows were looked at
    if (last == nothing_read || highest > last)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("source %s has a row with %s = " INT64_FORMAT ", but its sequence stands at %s",
                               relation_name(source), quote_identifier(order_by), highest,
                               last == nothing_read ? "its start" : psprintf(INT64_FORMAT, last)),
                        errhint("Run SELECT setval(%s, " INT64_FORMAT ").", quote_literal_cstr(relation_name(sequence)),
                                highest)));
}

void check_new_sequence_cursor(const NewPipeline *pipeline, Relation source) {
    const Oid sequence = check_sequence_source(source, pipeline->order_by);
    check_numbers(RelationGetRelid(source), pipeline->order_by, sequence);
}

static void note_missing_index(Relation source, const char *order_by) {
    if (has_order_index(source, get_attnum(RelationGetRelid(source), order_by)))
        return;
    ereport(NOTICE, (errmsg("no index of source %s begins with %s: every batch will read the whole source",
                            relation_name(RelationGetRelid(source)), quote_identifier(order_by)),
                     errhint("Run CREATE INDEX ON %s (%s).", relation_name(RelationGetRelid(source)),
                             quote_identifier(order_by))));
}

void start_sequence_cursor(const NewPipeline *pipeline, int32 id, Relation source) {
    const Oid sequence = check_sequence_source(source, pipeline->order_by);
    SequencePosition position{};
    position.position = position.sampled = nothing_read;
    position.filenode = sequence_filenode(sequence);
    position.home = this_home();
    position.leaves = leaf_numbers(leaves_of(RelationGetRelid(source)));
    sample_sequence(sequence, &position);
    insert_sequence_position(id, &position);
    note_missing_index(source, pipeline->order_by);
}

// ---- seek

// read_order_value takes the number out of {"cursor": "sequence", "order_value": 42}.
static int64 read_order_value(Jsonb *wanted) {
    const Value number = position_member(wanted, "sequence", "order_value");
    if (number.kind != ValueKind::Number && number.kind != ValueKind::Null)
        argument_error("position", "has no order_value that is a number",
                       "It looks like {\"cursor\": \"sequence\", \"order_value\": 42}; see sluice.cursor_position.");
    if (number.kind == ValueKind::Null)
        return nothing_read;
    return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value_numeric(number))));
}

// has_rows_between looks for source rows that have been read and would be read again.
static bool has_rows_between(Oid source, const char *order_by, int64 after, int64 upto) {
    const char *query =
        psprintf("SELECT 1 FROM %s WHERE %s OPERATOR(pg_catalog.>) $1 AND %s OPERATOR(pg_catalog.<=) $2 LIMIT 1",
                 relation_name(source), quote_identifier(order_by), quote_identifier(order_by));
    Oid types[] = {INT8OID, INT8OID};
    Datum values[] = {Int64GetDatum(after), Int64GetDatum(upto)};
    MemoryContext memory = CurrentMemoryContext;
    if (SPI_execute_with_args(query, lengthof(types), types, values, NULL, false, 1) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a look at the source");
    MemoryContextSwitchTo(memory);
    return SPI_processed > 0;
}

// ---- the cursor

class SequenceCursor final : public Cursor {
public:
    SequenceCursor(const Pipeline *pipeline, MemoryContext memory)
        : pipeline_(pipeline), memory_(memory), position_(load_sequence_position(pipeline->id)) {}

    void check(Relation source) override;
    void prepare(Relation source, const SourceColumns *columns) override;
    bool look() override;
    bool open(int64 rows) override;
    bool read(SourceRow *row) override;
    void close() override { close_reader(open_); }
    bool is_steady() override { return true; }
    bool advance(bool all, bool last, int64 run) override;
    void store(int64 rows) override;
    void describe(const SourceRow *row, StringInfo to) override {
        appendStringInfo(to, "%s = " INT64_FORMAT, pipeline_->order_by, DatumGetInt64(row->order));
    }
    int64 expected() override {
        return position_.position == nothing_read ? sample_.last : sample_.last - position_.position;
    }
    bool held_back() override { return sample_.safe < sample_.last; }
    void wait(TimestampTz end) override;
    const char *waiting_for() override { return describe_holders(sequence_); }
    const char *unread(Relation source) override;
    const char *read_by(Relation source, Jsonb *position, int64 run) override;
    Estimate estimate(Relation source) override;
    const char *show() override;
    void seek(Relation source, Jsonb *position) override;
    void rewind(Relation source, Jsonb *position, int64 to_run, int64 rows) override;
    int64 lost(Relation source, int64 rows) override;
    void restart(Relation source, int64 rows) override;

private:
    int64 bound_of(int64 rows) const;
    void end_stretch();
    bool is_started_anew() const;
    void sample_anew(Relation source);
    void note_leaves(Relation source);
    void move_to(int64 number, int64 rows);
    void look_at_own_rows();
    void note_foreign_numbers();
    void keep();

    const Pipeline *pipeline_;
    MemoryContext memory_;
    SequencePosition position_; // as it is stored
    SequencePosition next_;     // as this batch will store it
    SequenceSample sample_;
    bool leaves_changed_;
    // the stretch that is read: the next rows in their order, or those up to a number, in any order
    int64 left_;  // rows that it may still have
    int64 bound_; // nothing_read: in their order
    bool ended_;  // there are no other rows
    bool sparse_; // few numbers have rows
    Oid source_, sequence_;
    SourceReader *reader_;
    SourceReader *lying_;   // in any order; NULL: the order matters
    SourceReader *open_;    // one of them
    SourceReader *numbers_; // without the documents
};

void SequenceCursor::check(Relation source) {
    sequence_ = check_sequence_source(source, pipeline_->order_by);
    note_leaves(source);
    warn_of_hidden_rows(RelationGetRelid(source));
}

// note_leaves looks at partitions that were not there: rows whose numbers have been passed came with an ATTACH.
void SequenceCursor::note_leaves(Relation source) {
    List *now = leaves_of(RelationGetRelid(source));
    List *added = new_leaves(now, &position_.leaves);
    if (list_length(now) == position_.leaves.count && added == NIL)
        return;
    ListCell *cell;
    if (position_.position != nothing_read && strcmp(position_.home, this_home()) == 0)
        foreach (cell, added)
            warn_of_attached_rows(
                RelationGetRelid(source), lfirst_oid(cell),
                psprintf("s.%s <= " INT64_FORMAT, quote_identifier(pipeline_->order_by), position_.position));
    MemoryContext before = MemoryContextSwitchTo(memory_);
    position_.leaves = leaf_numbers(now);
    leaves_changed_ = true;
    MemoryContextSwitchTo(before);
}

void SequenceCursor::prepare(Relation source, const SourceColumns *columns) {
    source_ = RelationGetRelid(source);
    const bool indexed = has_order_index(source, get_attnum(source_, pipeline_->order_by));
    const char *order = quote_identifier(pipeline_->order_by);
    // WITH TIES: rows that share a number (explicit values) never fall between two batches.
    const char *statement =
        psprintf("SELECT s.%s::pg_catalog.int8, %s FROM %s s WHERE s.%s OPERATOR(pg_catalog.>) $1 "
                 "AND s.%s OPERATOR(pg_catalog.<=) $2 ORDER BY s.%s FETCH FIRST ($3) ROWS WITH TIES",
                 order, column_list(columns), relation_name(source_), order, order, order);
    Oid types[] = {INT8OID, INT8OID, INT8OID};
    reader_ = prepare_reader(statement, lengthof(types), types, columns, indexed);
    const char *numbers =
        psprintf("SELECT s.%s::pg_catalog.int8, NULL::pg_catalog.text FROM %s s WHERE s.%s "
                 "OPERATOR(pg_catalog.>) $1 AND s.%s OPERATOR(pg_catalog.<=) $2 ORDER BY s.%s LIMIT $3",
                 order, relation_name(source_), order, order, order);
    const char *lying = psprintf("SELECT s.%s::pg_catalog.int8, %s FROM %s s WHERE s.%s OPERATOR(pg_catalog.>) $1 "
                                 "AND s.%s OPERATOR(pg_catalog.<=) $2",
                                 order, column_list(columns), relation_name(source_), order, order);
    lying_ = columns->any_order ? prepare_reader(lying, 2, types, columns, false) : NULL;
    const SourceColumns none{};
    numbers_ = prepare_reader(numbers, lengthof(types), types, &none, indexed);
}

// look_at_own_rows follows the numbers from our own `low` on, as long as each has a row, a good batch far.
void SequenceCursor::look_at_own_rows() {
    constexpr int64 far = 100000;
    int64 number = sample_.own->low;
    Datum parameters[] = {Int64GetDatum(number), Int64GetDatum(sample_.last), Int64GetDatum(far)};
    CommandCounterIncrement();
    open_reader(numbers_, parameters);
    SourceRow row{};
    while (read_row(numbers_, &row) && DatumGetInt64(row.order) <= number + 1)
        number = DatumGetInt64(row.order);
    close_reader(numbers_);
    note_own_rows(&sample_, &next_, number);
}

bool SequenceCursor::look() {
    next_ = position_;
    sample_ = sample_sequence(sequence_, &next_);
    check_sequence_position(sequence_, &next_, sample_.last, source_);
    next_.filenode = sequence_filenode(sequence_);
    next_.home = this_home();
    if (sample_.own)
        look_at_own_rows();
    ended_ = sparse_ = false;
    const bool any = sample_.safe > position_.position;
    if (!any)
        note_foreign_numbers();
    return any;
}

// bound_of gives the number up to which a stretch may be read as it lies: where it is long enough to be worth a plan of its
// own, and most numbers have rows.
int64 SequenceCursor::bound_of(int64 rows) const {
    constexpr int64 many = 10000;
    const int64 from = next_.position;
    if (!lying_ || sparse_ || rows < many || from < 0 || sample_.safe - from < many)
        return nothing_read;
    return sample_.safe - from <= rows ? sample_.safe : from + rows;
}

bool SequenceCursor::open(int64 rows) {
    if (ended_)
        return false;
    bound_ = bound_of(rows);
    left_ = bound_ == nothing_read ? rows : bound_ - next_.position;
    open_ = bound_ == nothing_read ? reader_ : lying_;
    Datum parameters[] = {Int64GetDatum(next_.position), Int64GetDatum(bound_ == nothing_read ? sample_.safe : bound_),
                          Int64GetDatum(rows)};
    open_reader(open_, parameters);
    return true;
}

// end_stretch: where hardly any number had a row, looking for the next rows is faster than going through the numbers.
void SequenceCursor::end_stretch() {
    if (bound_ == nothing_read) {
        ended_ = left_ > 0;
        return;
    }
    sparse_ = left_ > (bound_ - next_.position) / 2;
    ended_ = bound_ == sample_.safe;
    next_.position = bound_;
}

bool SequenceCursor::read(SourceRow *row) {
    if (!read_row(open_, row)) {
        end_stretch();
        return false;
    }
    if (bound_ == nothing_read)
        next_.position = Max(next_.position, DatumGetInt64(row->order));
    left_--;
    return true;
}

bool SequenceCursor::advance(bool all, bool, int64) {
    if (!all)
        return true;
    next_.position = sample_.safe;
    note_foreign_numbers();
    return false;
}

// note_foreign_numbers tells of rows above what the sequence has reached: they were given their numbers by hand, and are
// not read before the sequence passes them.
void SequenceCursor::note_foreign_numbers() {
    int64 highest;
    if (!reader_->indexed || !highest_number(source_, pipeline_->order_by, &highest))
        return;
    const int64 last = sequence_last_value(sequence_);
    if (highest > last)
        ereport(WARNING,
                (errmsg("source %s has a row with %s = " INT64_FORMAT ", but its sequence stands at " INT64_FORMAT,
                        relation_name(source_), quote_identifier(pipeline_->order_by), highest, last),
                 errdetail("Numbers not drawn from the sequence are read only when it has passed them."),
                 errhint("Run SELECT setval(%s, " INT64_FORMAT ").", quote_literal_cstr(relation_name(sequence_)),
                         highest)));
}

// store also keeps who is writing when nothing could be read: the next run then knows what lies above them.
void SequenceCursor::store(int64 rows) {
    const bool moved = next_.position != position_.position;
    const bool learned = sample_.changed && sample_.last != nothing_read && sample_.last > position_.position;
    if (!moved && !learned && !leaves_changed_)
        return;
    store_sequence_position(pipeline_->id, &next_, rows);
    leaves_changed_ = false;
    keep();
}

void SequenceCursor::keep() {
    MemoryContext before = MemoryContextSwitchTo(memory_);
    Holder *old_holders = position_.holders;
    const char *old_home = position_.home;
    const Holder *holders = next_.holders;
    position_ = next_;
    position_.holders = static_cast<Holder *>(palloc0(sizeof(Holder) * (next_.holder_count + 1)));
    memcpy(position_.holders, holders, sizeof(Holder) * next_.holder_count);
    position_.home = pstrdup(next_.home);
    int64 *old_leaves = position_.leaves.values;
    position_.leaves = copy_numbers(&next_.leaves);
    pfree(old_leaves);
    pfree(old_holders);
    pfree(const_cast<char *>(old_home));
    MemoryContextSwitchTo(before);
}

// wait sleeps until the transactions listed by the last sample have ended. Prepared ones are not waited for.
void SequenceCursor::wait(TimestampTz end) {
    constexpr long pause = 10; // ms
    for (int i = 0; i < position_.holder_count; i++)
        while (open_process(position_.holders[i].backend, position_.holders[i].transaction)) {
            if (GetCurrentTimestamp() >= end)
                return;
            (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause, PG_WAIT_EXTENSION);
            ResetLatch(MyLatch);
            if (QueryCancelPending || ProcDiePending) // served where a cancel is recorded
                return;
            CHECK_FOR_INTERRUPTS();
        }
}

const char *SequenceCursor::unread(Relation source) {
    (void)check_sequence_source(source, pipeline_->order_by);
    return psprintf("s.%s OPERATOR(pg_catalog.>) '" INT64_FORMAT "'::pg_catalog.int8",
                    quote_identifier(pipeline_->order_by), position_.position);
}

const char *SequenceCursor::read_by(Relation source, Jsonb *position, int64) {
    const int64 then = read_order_value(position);
    (void)check_sequence_source(source, pipeline_->order_by);
    return psprintf("s.%s OPERATOR(pg_catalog.<=) '" INT64_FORMAT "'::pg_catalog.int8",
                    quote_identifier(pipeline_->order_by), then);
}

Estimate SequenceCursor::estimate(Relation source) {
    Estimate estimate{};
    const AttrNumber column = get_attnum(RelationGetRelid(source), pipeline_->order_by);
    const Oid sequence = column > 0 ? default_sequence(source, column) : InvalidOid;
    if (!OidIsValid(sequence))
        return estimate;
    const int64 last = sequence_last_value(sequence), position = position_.position;
    estimate.known = true;
    estimate.pending =
        last == nothing_read ? 0 : Max(static_cast<int64>(0), position == nothing_read ? last : last - position);
    if (estimate.pending > 0)
        estimate.waiting_for = describe_holders(sequence);
    return estimate;
}

const char *SequenceCursor::show() {
    const char *number = position_.position == nothing_read ? "null" : psprintf(INT64_FORMAT, position_.position);
    return psprintf("{\"cursor\": \"sequence\", \"order_value\": %s}", number);
}

void SequenceCursor::move_to(int64 number, int64 rows) {
    SequencePosition to = position_;
    to.position = number;
    to.filenode = sequence_filenode(sequence_);
    to.home = this_home();
    store_sequence_position(pipeline_->id, &to, rows);
}

// seek also takes the sequence as it is now.
void SequenceCursor::seek(Relation source, Jsonb *wanted) {
    const int64 to = read_order_value(wanted);
    sequence_ = check_sequence_source(source, pipeline_->order_by);
    if (to < position_.position &&
        has_rows_between(RelationGetRelid(source), pipeline_->order_by, to, position_.position))
        refuse_going_back(pipeline_, RelationGetRelid(source));
    move_to(to, 0);
}

void SequenceCursor::rewind(Relation source, Jsonb *position, int64, int64 rows) {
    sequence_ = check_sequence_source(source, pipeline_->order_by);
    move_to(position ? read_order_value(position) : nothing_read, -rows);
}

// is_started_anew tells of numbers that say nothing of those that were read.
bool SequenceCursor::is_started_anew() const {
    return position_.position != nothing_read && sequence_last_value(sequence_) < position_.position;
}

int64 SequenceCursor::lost(Relation source, int64 rows) {
    sequence_ = check_sequence_source(source, pipeline_->order_by);
    return is_started_anew() ? rows : Cursor::lost(source, rows);
}

// sample_anew forgets who was writing when it was another sequence. Writers that are at work now hold back everything: then what
// was loaded would be gone until they end.
void SequenceCursor::sample_anew(Relation source) {
    position_.sampled = nothing_read;
    position_.holder_count = 0;
    const SequenceSample sample = sample_sequence(sequence_, &position_);
    if (sample.safe >= sample.last)
        return;
    const char *writers = describe_holders(sequence_);
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_IN_USE),
             errmsg("rows of source %s are held back by open transactions", relation_name(RelationGetRelid(source))),
             errdetail("Sequence %s was altered or made anew; what lies below the numbers of %s is not known.",
                       relation_name(sequence_), writers ? writers : "this transaction"),
             errhint("Try again when they have ended.")));
}

// restart keeps who is writing, as long as it is the same sequence: else writers would hold back what was read long ago.
void SequenceCursor::restart(Relation source, int64 rows) {
    sequence_ = check_sequence_source(source, pipeline_->order_by);
    if (strcmp(position_.home, this_home()) != 0 || sequence_filenode(sequence_) != position_.filenode ||
        is_started_anew())
        sample_anew(source);
    move_to(nothing_read, -rows);
}

Cursor *make_sequence_cursor(const Pipeline *pipeline, MemoryContext memory) {
    return new (palloc0(sizeof(SequenceCursor))) SequenceCursor(pipeline, memory);
}

} // namespace sluice
