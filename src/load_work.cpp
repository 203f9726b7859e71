// See load_work.hpp.
//
// First the cursor's rows are read, to the end, and the partitions they belong to entered as changed: position and states
// commit together. Then each partition that is wanted is loaded in a transaction of its own, whose snapshot is younger than
// what the states were made from: everything that made a partition late is in what is loaded. What is committed later is
// loaded, too, or not, and stays to be found by the next run.
#include "load_work.hpp"

#include "attempt.hpp"
#include "catalog.hpp"
#include "content.hpp"
#include "datum_set.hpp"
#include "lineage_scope.hpp"
#include "load_definition.hpp"
#include "load_plan.hpp"
#include "names.hpp"
#include "partitions.hpp"

namespace sluice {

class LoadWork final : public Work {
public:
    explicit LoadWork(Job *job) : job_(job), load_(read_load(job->pipeline->id)) {}

    SourceColumns plan(Relation source) override;
    List *targets() override { return list_make1_oid(plan_->target); }
    void lock() override { LockRelationOid(plan_->target, RowExclusiveLock); }
    int64 batch_size() override { return 100000; }
    void begin(RunCounts *) override;
    void take(const SourceRow *row) override;
    void finish() override;
    bool again(const ErrorData *, bool) override { return false; }
    bool goes_on() override { return true; }
    BatchEnd step(RunCounts *counts) override;
    int64 steps() override { return done_ + count_ - next_; }
    void failed(const char *error) override;
    void committed() override { current_ = NULL; }

private:
    void grow_changes();
    void choose();
    void add_listed();
    void add_loaded();
    void filter_range();
    void filter_wanted();
    Datum bound(const char *argument, const char *text) const;
    bool is_at_most(const PartitionState *state, Datum bound);
    void load_partition(const PartitionState *state, RunCounts *counts);
    void try_partition(const PartitionState *state, RunCounts *counts);
    int64 execute(SPIPlanPtr statement, Datum partition, int expected);

    Job *job_;
    LoadDefinition *load_;
    // the plan
    Order order_; // the partition
    LoadPlan *plan_;
    // rows that say what changed
    DatumSet values_;
    PartitionChange *changes_; // for each value
    int room_;
    int64 version_;
    Datum transaction_; // of the last row of a trigger cursor
    bool any_;
    int64 without_partition_;
    // partitions to load
    bool chosen_, backed_off_;
    PartitionState *states_;
    int count_, next_;
    int64 done_; // of this run
    const PartitionState *current_;
};

// ---- planning

SourceColumns LoadWork::plan(Relation source) {
    plan_ = NULL;
    order_ = read_order(source, load_->partition, "partition");
    plan_ = plan_load(load_, load_target(load_), &order_);
    if (job_->checks)
        plan_partition_check(job_->checks, &order_);
    const bool by_content = strcmp(job_->pipeline->cursor, "hash") == 0;
    static const char at[] = "pg_catalog.clock_timestamp()";
    const char **columns = static_cast<const char **>(palloc(sizeof(char *) * 2));
    columns[0] = order_.sql;
    columns[1] = at;
    return row_columns(by_content ? content_sql(NULL, job_->pipeline->content_columns) : NULL, columns, 2);
}

// ---- what changed

void LoadWork::begin(RunCounts *) {
    MemoryContext before = MemoryContextSwitchTo(job_->batch);
    values_ = make_datum_set(order_.type);
    MemoryContextSwitchTo(before);
    room_ = 0;
    version_ = load_->version;
    any_ = false;
    without_partition_ = 0;
}

void LoadWork::grow_changes() {
    const int room = Max(room_ * 2, 64);
    PartitionChange *changes =
        static_cast<PartitionChange *>(MemoryContextAllocHuge(job_->batch, sizeof(PartitionChange) * room));
    if (room_ > 0)
        memcpy(changes, changes_, sizeof(PartitionChange) * room_);
    changes_ = changes;
    room_ = room;
}

// A version is a transaction where triggers tell of it, else what a batch of new rows brings.
void LoadWork::take(const SourceRow *row) {
    if (!any_ || (load_->by_trigger && row->order != transaction_))
        version_++;
    any_ = true;
    transaction_ = row->order;
    if (row->nulls[0]) {
        without_partition_++;
        return;
    }
    const int number = add_datum(&values_, row->columns[0]);
    if (number >= room_)
        grow_changes();
    changes_[number] = PartitionChange{NULL, version_, DatumGetTimestampTz(row->columns[1])};
}

void LoadWork::finish() {
    const char **texts = static_cast<const char **>(palloc(sizeof(char *) * (values_.count + 1)));
    partition_texts(&order_, values_.values, values_.count, texts);
    for (int i = 0; i < values_.count; i++)
        changes_[i].partition = texts[i];
    note_changes(job_->pipeline->id, changes_, values_.count, version_);
    load_->version = version_;
    chosen_ = false;
    if (without_partition_ > 0)
        ereport(WARNING, (errmsg("rows of source %s belong to no partition: %s is null for " INT64_FORMAT " of them",
                                 relation_name(job_->source), load_->partition, without_partition_),
                          errdetail("They are not loaded.")));
}

// ---- which partitions are loaded

// bound reads an argument as a partition.
Datum LoadWork::bound(const char *argument, const char *text) const {
    Datum value = 0;
    at_place(argument, [&] {
        Oid input, parameter;
        getTypeInputInfo(order_.type, &input, &parameter);
        value = OidInputFunctionCall(input, const_cast<char *>(text), parameter, -1);
    });
    return value;
}

bool LoadWork::is_at_most(const PartitionState *state, Datum bound) {
    return compare_orders(&order_, state->value, bound) <= 0;
}

// add_listed asks the list, and enters partitions that are not known.
void LoadWork::add_listed() {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(list_sql(load_->partition_list, &order_), false, 0) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of partition_list");
    MemoryContextSwitchTo(memory);
    SPITupleTable *rows = SPI_tuptable;
    const uint64 found = SPI_processed;
    PartitionChange *listed = static_cast<PartitionChange *>(palloc(sizeof(PartitionChange) * (found + 1)));
    for (uint64 i = 0; i < found; i++) {
        bool is_null;
        const Datum value = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &is_null);
        listed[i] = PartitionChange{partition_text(&order_, value), 0, DT_NOBEGIN};
    }
    SPI_freetuptable(rows);
    note_changes(job_->pipeline->id, listed, found, load_->version);
    states_ = read_states(job_->pipeline->id, &order_, NULL, true, &count_);
    int kept = 0;
    for (int i = 0; i < count_; i++)
        for (uint64 l = 0; l < found; l++)
            if (strcmp(states_[i].partition, listed[l].partition) == 0) {
                states_[kept++] = states_[i];
                break;
            }
    count_ = kept;
}

// add_loaded adds to those listed, in a rebuild, those that were loaded before.
void LoadWork::add_loaded() {
    int count, kept = 0;
    PartitionState *all = read_states(job_->pipeline->id, &order_, NULL, true, &count);
    for (int i = 0; i < count; i++) {
        bool wanted = all[i].loaded || !load_->partition_list;
        for (int l = 0; !wanted && l < count_; l++)
            wanted = states_[l].id == all[i].id;
        if (wanted)
            all[kept++] = all[i];
    }
    states_ = all;
    count_ = kept;
}

// filter_range keeps what a backfill asks for.
void LoadWork::filter_range() {
    const Datum from = bound("from_partition", job_->options.from), to = bound("to_partition", job_->options.upto);
    int kept = 0;
    for (int i = 0; i < count_; i++)
        if (is_at_most(&states_[i], to) && compare_orders(&order_, states_[i].value, from) >= 0)
            states_[kept++] = states_[i];
    count_ = kept;
}

// filter_wanted keeps what changed, and the newest that are always loaded again; none after the current partition.
void LoadWork::filter_wanted() {
    if (job_->options.upto) {
        const Datum current = bound("upto", job_->options.upto);
        while (count_ > 0 && !is_at_most(&states_[count_ - 1], current))
            count_--;
    }
    if (load_->partition_list)
        return;
    int kept = 0;
    for (int i = 0; i < count_; i++)
        if (states_[i].wanted || i >= count_ - load_->reload_last)
            states_[kept++] = states_[i];
    count_ = kept;
}

void LoadWork::choose() {
    MemoryContext before = MemoryContextSwitchTo(job_->memory);
    const bool rebuild = job_->options.rebuild, all = job_->options.from || load_->reload_last > 0;
    if (load_->partition_list && !job_->options.from)
        add_listed();
    else
        states_ = read_states(job_->pipeline->id, &order_, rebuild ? NULL : load_->settle, all, &count_);
    if (rebuild)
        add_loaded();
    else if (job_->options.from)
        filter_range();
    else
        filter_wanted();
    next_ = 0;
    chosen_ = true;
    MemoryContextSwitchTo(before);
}

// ---- loading

int64 LoadWork::execute(SPIPlanPtr statement, Datum partition, int expected) {
    Datum values[] = {partition, 0};
    const bool update = expected == SPI_OK_INSERT && plan_->asks_for_update;
    if (update)
        values[1] = TimestampTzGetDatum(last_update_of(plan_, partition));
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute_plan(statement, values, update ? NULL : " n", false, 0) != expected)
        elog(ERROR, "unexpected result of a load");
    MemoryContextSwitchTo(memory);
    return SPI_processed;
}

static void partition_context(void *state) {
    errcontext("loading partition %s", static_cast<const PartitionState *>(state)->partition);
}

void LoadWork::load_partition(const PartitionState *state, RunCounts *counts) {
    const LOCKTAG lock = partition_lock_tag(state->id);
    (void)LockAcquire(&lock, ExclusiveLock, false, false);
    ErrorContextCallback context{error_context_stack, partition_context, const_cast<PartitionState *>(state)};
    error_context_stack = &context;
    place_all(psprintf("partition %s", state->partition));
    const int64 deleted = plan_->remove ? execute(plan_->remove, state->value, SPI_OK_DELETE) : 0;
    const int64 rows = execute(plan_->insert, state->value, SPI_OK_INSERT);
    if (job_->checks) {
        check_partition(job_->checks, state->value); // now it sees all that the query saw
        ask_queries(job_->checks, !job_->atomic);
    }
    error_context_stack = context.previous;
    if (job_->pipeline->lineage)
        note_state(state, job_->run_id);
    mark_loaded(state, job_->run_id, rows, deleted);
    if (job_->atomic || job_->options.rebuild)
        (void)LockRelease(&lock, ExclusiveLock, false); // the transaction may load many more
    counts->deleted += deleted;
    counts->inserted += rows;
    counts->source_rows += rows;
    counts->batches++;
}

// try_partition leaves a partition that cannot be loaded as failed, and the run goes on with the others.
void LoadWork::try_partition(const PartitionState *state, RunCounts *counts) {
    const RunCounts before = *counts;
    ErrorData *error = attempt([&] { load_partition(state, counts); });
    if (!error)
        return;
    if (is_intervention(error))
        ReThrowError(error);
    *counts = before;
    counts->rejected++;
    mark_failed(state, error_report(error));
    ereport(WARNING, (errcode(error->sqlerrcode),
                      errmsg("partition %s could not be loaded: %s", state->partition, error->message)));
}

BatchEnd LoadWork::step(RunCounts *counts) {
    if (!chosen_)
        choose();
    if (next_ == count_)
        return BatchEnd::Idle;
    need_run_id(job_);
    current_ = &states_[next_++];
    done_++;
    if (plan_->has_time && !backed_off_)
        counts->deleted += back_off(&plan_->time, plan_->time.table, last_success(job_->pipeline->id), NULL);
    backed_off_ = true;
    // In a rebuild the rows of a partition that was appended to are gone already.
    if (job_->pipeline->rejects && !(job_->options.rebuild && load_->appends))
        try_partition(current_, counts);
    else
        load_partition(current_, counts);
    return next_ < count_ ? BatchEnd::More : BatchEnd::Last;
}

void LoadWork::failed(const char *error) {
    if (current_)
        mark_failed(current_, error);
}

Work *make_load_work(Job *job) { return new (palloc0(sizeof(LoadWork))) LoadWork(job); }

} // namespace sluice
