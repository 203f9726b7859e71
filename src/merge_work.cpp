// See merge_work.hpp.
//
// A source row is taken apart and folded into what the batch knows of its key (fold.cpp); when the source has no more, or the
// fold fills its memory, all keys are written in the order of the index (merge_write.cpp). So a batch costs one look-up and
// at most one write for each key that it met, however many rows it had: the larger, the better.
//
// That takes all rows for good ones. When one is not, the batch is rolled back and done again, smaller and with a closer look:
//
//   alone     What fails while the source is read (an SQL expression, a conversion) is the fault of one row. Rows are read as
//             they are, and their expressions evaluated for one at a time (row_expressions.cpp): it is rejected, or named.
//   careful   What only writing shows (a check, a foreign key) is the fault of a key, whose rows are not at hand any more. Now
//             they are held. Keys are written in halves until the bad ones are found, and the rows of these one by one, as they
//             came. Where none may be rejected that is done, too: to tell which row it is, and because a unique index may have
//             refused what is right: a value that goes from one key to another is free only when the other is written. So keys
//             that are refused are tried again as long as that gets any of them in; what is left goes the way its rows went.
#include "merge_work.hpp"

#include "attempt.hpp"
#include "catalog.hpp"
#include "chunk.hpp"
#include "document.hpp"
#include "fold_queue.hpp"
#include "key.hpp"
#include "merge_row.hpp"
#include "merge_write.hpp"
#include "names.hpp"
#include "reject.hpp"
#include "rights.hpp"
#include "row_expressions.hpp"

namespace sluice {

int fold_memory = 256 * 1024;

class MergeWork final : public Work {
public:
    explicit MergeWork(Job *job) : job_(job), careful_(job->options.retry), alone_(evaluates_at_once(job)) {}

    SourceColumns plan(Relation source) override;
    List *targets() override { return list_make2_oid(plan_->relation, states_->relation); }
    void lock() override;
    bool wants_new_plan() override { return plan_ && (alone_ != planned_alone_ || careful_ != planned_careful_); }
    int64 batch_size() override { return careful_ || alone_ ? careful_batch_size : 0; }
    bool is_full() override { return fold_size(fold_) > memory_limit(); }
    int64 room(int64 rows) override;
    void begin(RunCounts *counts) override;
    void take(const SourceRow *row) override;
    bool can_reject() override { return alone_; }
    void reject(const SourceRow *row, const Refusal *refusal) override;
    void let_go() override {
        if (queue_)
            take_queued();
    }
    void finish() override;
    bool again(const ErrorData *error, bool last) override;
    void committed() override;

private:
    static constexpr int careful_batch_size = 10000;

    static Size memory_limit() { return static_cast<Size>(fold_memory) * 1024; }
    bool rejects() const { return rejects_rows(job_); }
    bool may_queue() const;
    void take_queued();
    void fold(const SourceRow *row);
    void hold(const SourceRow *row, FoldKey *key, FoldKey *alone);
    bool fold_or_refuse(const SourceRow *row);
    void keep(const SourceRow *row, const char *place, Datum whole, const Refusal *refusal);
    void refuse(const SourceRow *row, const char *place, Datum whole, const ErrorData *error);
    const char *locate(const ErrorData *error) const;
    MergeWriter writer(const char *place) const;
    void count(const MergeWriter *writer);
    ErrorData *try_write(FoldKey **keys, int64 count, const char *place);
    int64 write_halves(FoldKey **keys, int64 count);
    void write_rows(FoldKey **keys, int64 count);
    void write_carefully(FoldKey **keys, int64 count);
    void release(const FoldRow *row);
    static void take_context(void *argument);

    Job *job_;
    bool careful_, alone_, planned_careful_, planned_alone_; // how closely rows are looked at: see above
    bool has_row_, writing_, found_bad_;                     // a row is in hand: what fails is its fault
    // the plan
    RowExpressions *expressions_; // where they are evaluated so
    MergePlan *plan_;
    MergeStates *states_;
    WriterCache *cache_;
    DocumentReader documents_;
    // the batch
    RunCounts *counts_;
    Fold *fold_;
    FoldInput *input_;
    int64 held_;       // rows
    FoldQueue *queue_; // NULL: rows are taken as they come
    // where it is, for error messages
    const SourceRow *row_;
};

// ---- planning

static void store_slots(const Pipeline *pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_names(&parameters, pipeline->slots);
    catalog_execute("UPDATE sluice.pipeline SET slots = $2 WHERE pipeline_id = $1::int", &parameters);
}

static List *copy_names(List *names) {
    List *copy = NIL;
    ListCell *cell;
    foreach (cell, names)
        copy = lappend(copy, pstrdup(static_cast<const char *>(lfirst(cell))));
    return copy;
}

static bool has_item(const MergePlan *plan, const char *column) {
    for (int i = 0; i < plan->item_count; i++)
        if (strcmp(plan->items[i].name, column) == 0)
            return true;
    return false;
}

// warn_of_lost_columns tells of columns that were merged, and of which the source has none of that name any more.
static void warn_of_lost_columns(const MergePlan *plan, List *slots, Relation source) {
    ListCell *cell;
    foreach (cell, slots) {
        const char *column = static_cast<const char *>(lfirst(cell));
        if (get_attnum(plan->relation, column) <= 0 || has_item(plan, column))
            continue;
        const char *nearest = nearest_column_hint(source, column);
        ereport(WARNING,
                (errmsg("column \"%s\" of %s is not merged any more: source %s has no such column", column,
                        relation_name(plan->relation), relation_name(RelationGetRelid(source))),
                 errhint("%s", nearest ? nearest : "Name it so again, or drop the column of the target, too.")));
    }
}

// plan: columns that are new get times of their own, behind those of the others.
SourceColumns MergeWork::plan(Relation source) {
    plan_ = NULL;
    Pipeline *pipeline = job_->pipeline;
    List *slots = list_copy(pipeline->slots);
    MergePlan *plan =
        plan_merge(read_merge_definition(pipeline->mapping), &slots, source, alone_ || (careful_ && rejects()));
    if (list_length(slots) != list_length(pipeline->slots)) {
        MemoryContext before = MemoryContextSwitchTo(job_->memory);
        pipeline->slots = copy_names(slots);
        MemoryContextSwitchTo(before);
        store_slots(pipeline);
    }
    warn_of_lost_columns(plan, slots, source);
    states_ = open_merge_states(pipeline, plan);
    cache_ = make_writer_cache(CurrentMemoryContext);
    if (plan->document >= 0)
        open_document_reader(&documents_, plan->document_type, CurrentMemoryContext);
    planned_alone_ = alone_;
    planned_careful_ = careful_;
    expressions_ = alone_ ? prepare_row_expressions(source, plan->expressions, plan->expression_count) : NULL;
    plan_ = plan;
    const char *content = pipeline->content_columns ? content_sql(NULL, pipeline->content_columns) : NULL;
    if (alone_)
        return row_columns(content, &plan->expressions[plan->whole], 1);
    SourceColumns columns = row_columns(content, plan->expressions, plan->expression_count);
    columns.any_order = !careful_;
    return columns;
}

void MergeWork::lock() {
    LockRelationOid(plan_->relation, RowExclusiveLock);
    LockRelationOid(states_->relation, RowExclusiveLock);
}

// ---- reading

// room looks at what the rows so far took. The first ones are few, for they may be long; the next ones show what a row takes
// when there are many: only then as much as fits is read at once.
int64 MergeWork::room(int64 rows) {
    constexpr int64 first_rows = 1000, more_rows = 20000, fewest = 100;
    if (rows == 0)
        return first_rows;
    const Size used = fold_size(fold_), left = memory_limit() > used ? memory_limit() - used : 0;
    const int64 fit = static_cast<int64>(left / (used / rows + 1));
    if (rows < more_rows)
        return Max(Min(fit, more_rows), fewest);
    return Max(Min(fit, Max(fit / 4 * 3, most_at_once)), fewest);
}

void MergeWork::begin(RunCounts *counts) {
    counts_ = counts;
    found_bad_ = false;
    held_ = 0;
    fold_ = make_fold(plan_, job_->batch);
    input_ = make_fold_input(plan_);
    queue_ = may_queue() ? make_fold_queue(fold_, input_, job_->row) : NULL;
}

bool MergeWork::may_queue() const { return job_->cursor->is_steady() && !careful_ && !alone_ && can_queue(plan_); }

void MergeWork::take_context(void *argument) {
    const MergeWork *work = static_cast<const MergeWork *>(argument);
    StringInfoData place;
    initStringInfo(&place);
    work->job_->cursor->describe(work->queue_ ? work->queue_->folded : work->row_, &place);
    if (work->input_->column)
        errcontext("merge into %s, source row with %s, column %s", relation_name(work->plan_->relation), place.data,
                   work->input_->column);
    else
        errcontext("merge into %s, source row with %s", relation_name(work->plan_->relation), place.data);
}

// hold keeps a row with its key, and what it says by itself.
void MergeWork::hold(const SourceRow *row, FoldKey *key, FoldKey *alone) {
    MemoryContext before = MemoryContextSwitchTo(fold_->memory);
    FoldRow *held = static_cast<FoldRow *>(palloc0(sizeof(FoldRow)));
    StringInfoData place;
    initStringInfo(&place);
    job_->cursor->describe(row, &place);
    held->place = place.data;
    held->arrival = held_++;
    held->row.number = row->number;
    if (row->hash)
        held->row.hash =
            static_cast<ContentHash *>(memcpy(palloc(sizeof(ContentHash)), row->hash, sizeof(ContentHash)));
    if (plan_->whole >= 0)
        held->whole = datumCopy(row->columns[plan_->whole], false, -1);
    held->alone = alone;
    if (key->last_row)
        key->last_row->next = held;
    else
        key->rows = held;
    key->last_row = held;
    MemoryContextSwitchTo(before);
}

// fold reads a row, and lays it over what is known of its key.
void MergeWork::fold(const SourceRow *row) {
    SourceRow with_values = *row;
    if (expressions_) {
        const EvaluatedRow evaluated = evaluate_row(expressions_, row->columns[0]);
        with_values.columns = evaluated.values;
        with_values.nulls = evaluated.nulls;
        row = &with_values;
    }
    const Value *document = NULL;
    Value value;
    if (plan_->document >= 0) {
        if (row->nulls[plan_->document])
            return;
        value = read_document(&documents_, row->columns[plan_->document]);
        document = &value;
    }
    take_source_row(plan_, row, document, input_);
    FoldKey *alone = careful_ ? fold_alone(fold_, input_) : NULL;
    FoldKey *key = fold_row(fold_, input_, fold_hash(plan_, input_->key));
    if (alone)
        hold(row, key, alone);
}

// fold_or_refuse folds a row within a subtransaction, and refuses it when it does not fit.
bool MergeWork::fold_or_refuse(const SourceRow *row) {
    ErrorData *error = attempt([&] { fold(row); });
    if (!error)
        return true;
    if (!is_document_error(error))
        ReThrowError(error);
    StringInfoData place;
    initStringInfo(&place);
    job_->cursor->describe(row, &place);
    refuse(row, place.data, row->columns[0], error);
    return false;
}

// take_queued folds the rows that wait.
void MergeWork::take_queued() {
    ErrorContextCallback context{error_context_stack, take_context, this};
    error_context_stack = &context;
    has_row_ = true;
    fold_waiting(queue_);
    has_row_ = false;
    error_context_stack = context.previous;
}

void MergeWork::take(const SourceRow *row) {
    if (queue_) {
        if (is_queue_full(queue_))
            take_queued();
        put_in_queue(queue_, row);
        return;
    }
    ErrorContextCallback context{error_context_stack, take_context, this};
    row_ = row;
    has_row_ = true;
    input_->column = NULL;
    error_context_stack = &context;
    MemoryContextSwitchTo(job_->row);
    if (alone_ && rejects())
        (void)fold_or_refuse(row);
    else
        fold(row);
    MemoryContextSwitchTo(job_->batch);
    MemoryContextReset(job_->row);
    has_row_ = false;
    error_context_stack = context.previous;
}

// ---- refusing

// locate tells where an error happened, as far as it is known.
const char *MergeWork::locate(const ErrorData *error) const {
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfoChar(&json, '{');
    append_json_member(&json, "table",
                       error->table_name ? quote_qualified_identifier(error->schema_name, error->table_name)
                                         : relation_name(plan_->relation));
    append_json_member(&json, "column", error->column_name ? error->column_name : input_->column);
    append_json_member(&json, "expression", has_row_ ? failed_expression(expressions_) : NULL);
    append_json_member(&json, "constraint", error->constraint_name);
    append_json_member(&json, "detail", error->detail);
    appendStringInfoChar(&json, '}');
    return json.data;
}

void MergeWork::keep(const SourceRow *row, const char *place, Datum whole, const Refusal *refusal) {
    counts_->rejected += row->number == 0;
    check_max_rejects(job_, counts_->rejected, place, refusal->message);
    keep_row(job_->pipeline, job_->run_id, row, place, whole, refusal);
}

void MergeWork::refuse(const SourceRow *row, const char *place, Datum whole, const ErrorData *error) {
    const Refusal refusal{error->sqlerrcode, error->message ? error->message : "", locate(error)};
    keep(row, place, whole, &refusal);
}

void MergeWork::reject(const SourceRow *row, const Refusal *refusal) {
    MemoryContextSwitchTo(job_->row);
    StringInfoData place;
    initStringInfo(&place);
    job_->cursor->describe(row, &place);
    keep(row, place.data, row->columns[0], refusal);
    MemoryContextSwitchTo(job_->batch);
}

void MergeWork::release(const FoldRow *row) {
    if (row->row.number == 0)
        return;
    release_reject(row->row.number);
    counts_->retried++;
}

// ---- writing

MergeWriter MergeWork::writer(const char *place) const {
    MergeWriter writer{};
    writer.place = place;
    writer.plan = plan_;
    writer.states = states_;
    writer.cache = cache_;
    writer.row = job_->row;
    writer.see = job_->see;
    writer.seer = job_->seer;
    return writer;
}

void MergeWork::count(const MergeWriter *writer) {
    counts_->inserted += writer->counts.inserted;
    counts_->updated += writer->counts.updated;
    counts_->deleted += writer->counts.deleted;
}

static bool is_unique_error(const ErrorData *error) {
    return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION || error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION;
}

// try_write writes keys in a subtransaction of their own; what is wrong with them is given back.
ErrorData *MergeWork::try_write(FoldKey **keys, int64 count, const char *place) {
    MergeWriter writer = this->writer(place);
    ErrorData *error = attempt([&] {
        write_fold(&writer, keys, count);
        if (!job_->atomic)
            fire_deferred();
    });
    if (!error) {
        this->count(&writer);
        return NULL;
    }
    drop_writer_cache(cache_);
    cache_ = make_writer_cache(job_->planned);
    if (!is_document_error(error) || is_key_race(error, &plan_->key_index, 1))
        ReThrowError(error);
    return error;
}

static int compare_arrivals(const void *left, const void *right) {
    const FoldRow *a = *static_cast<FoldRow *const *>(left), *b = *static_cast<FoldRow *const *>(right);
    return a->arrival < b->arrival ? -1 : a->arrival > b->arrival;
}

// rows_of lists the rows of keys as they came.
static FoldRow **rows_of(FoldKey **keys, int64 count, int64 held, int64 *rows) {
    FoldRow **list =
        static_cast<FoldRow **>(MemoryContextAllocHuge(CurrentMemoryContext, sizeof(FoldRow *) * (held + 1)));
    *rows = 0;
    for (int64 i = 0; i < count; i++)
        for (FoldRow *row = keys[i]->rows; row; row = row->next)
            list[(*rows)++] = row;
    qsort(list, *rows, sizeof(FoldRow *), compare_arrivals);
    return list;
}

// write_rows writes the rows of keys one by one, as they came, and refuses those that do not fit.
void MergeWork::write_rows(FoldKey **keys, int64 count) {
    int64 rows;
    FoldRow **list = rows_of(keys, count, held_, &rows);
    for (int64 i = 0; i < rows; i++) {
        const FoldRow *row = list[i];
        FoldKey *alone = row->alone;
        ErrorData *error = try_write(&alone, 1, row->place);
        if (error && !rejects())
            ReThrowError(error);
        if (error)
            refuse(&row->row, row->place, row->whole, error);
        else
            release(row);
    }
    pfree(list);
}

// write_halves writes what can be written of keys; the others come to stand first, and it tells how many there are.
int64 MergeWork::write_halves(FoldKey **keys, int64 count) {
    CHECK_FOR_INTERRUPTS();
    if (count == 0)
        return 0;
    const ErrorData *error = try_write(keys, count, NULL);
    if (!error) {
        for (int64 i = 0; i < count; i++)
            for (const FoldRow *row = keys[i]->rows; row; row = row->next)
                release(row);
        return 0;
    }
    found_bad_ = true;
    if (count == 1 && !rejects() && !is_unique_error(error)) {
        write_rows(keys, 1); // which ends the batch, unless they fit one by one
        return 0;
    }
    if (count == 1)
        return 1;
    const int64 half = count / 2, left = write_halves(keys, half), more = write_halves(keys + half, count - half);
    memmove(keys + left, keys + half, sizeof(FoldKey *) * more);
    return left + more;
}

static void reverse_keys(FoldKey **keys, int64 count) {
    for (int64 i = 0; i < count / 2; i++) {
        FoldKey *key = keys[i];
        keys[i] = keys[count - 1 - i];
        keys[count - 1 - i] = key;
    }
}

// write_carefully goes up and down the order of keys: where a value of each goes to the next, one of the two ways is right.
void MergeWork::write_carefully(FoldKey **keys, int64 count) {
    int64 before;
    do {
        before = count;
        count = write_halves(keys, count);
        reverse_keys(keys, count);
    } while (count > 0 && count < before);
    write_rows(keys, count);
}

void MergeWork::finish() {
    sort_fold(fold_);
    writing_ = true;
    if (careful_) {
        input_->column = NULL;
        write_carefully(fold_->keys, fold_->count);
        return;
    }
    MergeWriter writer = this->writer(NULL);
    write_fold(&writer, fold_->keys, fold_->count);
    count(&writer);
}

// ---- when a batch fails

bool MergeWork::again(const ErrorData *error, bool last) {
    const bool at_row = has_row_, writing = writing_;
    has_row_ = writing_ = false;
    if (last || !plan_)
        return false;
    if (is_key_race(error, &plan_->key_index, 1))
        return true;
    if (!is_document_error(error))
        return false;
    if (writing)
        return careful_ ? false : (careful_ = true);
    if (alone_ || (at_row && !rejects()))
        return false;
    return alone_ = true;
}

// committed: after a batch in which nothing had to be searched for, the next one is fast again.
void MergeWork::committed() {
    careful_ = job_->options.retry || (careful_ && found_bad_);
    alone_ = evaluates_at_once(job_);
    writing_ = false;
}

Work *make_merge_work(Job *job) { return new (palloc0(sizeof(MergeWork))) MergeWork(job); }

} // namespace sluice
