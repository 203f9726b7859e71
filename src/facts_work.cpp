// See facts_work.hpp.
//
// A source row is read once (facts_row.cpp) and folded into one group for each dimension and one for its fact (tally.cpp). When
// the source has no more, or the groups fill their memory, the dimensions are written, then the facts (dimension.cpp,
// facts_write.cpp): so a fact never comes before the rows that it refers to. The larger a batch the less is written.
//
// A fact that holds the surrogate of a dimension is folded by the number of the dimension's group, and once more when the
// surrogates are known: two groups may have one, in a history.
//
// In mode replace a row only tells which facts are to be rebuilt: at the end of the batch the source's rows of these are read.
//
// When a row does not fit, the batch is done again with each row taken alone, as in a merge: see merge_work.cpp.
#include "facts_work.hpp"

#include "attempt.hpp"
#include "chunk.hpp"
#include "content.hpp"
#include "dimension.hpp"
#include "facts_definition.hpp"
#include "facts_row.hpp"
#include "facts_write.hpp"
#include "key.hpp"
#include "merge_work.hpp"
#include "names.hpp"
#include "newest.hpp"
#include "reject.hpp"
#include "retention_table.hpp"
#include "row_expressions.hpp"
#include "stage.hpp"

namespace sluice {

class FactsWork final : public Work {
public:
    explicit FactsWork(Job *job) : job_(job), alone_(evaluates_at_once(job)) {}

    SourceColumns plan(Relation source) override;
    List *targets() override;
    void lock() override;
    bool wants_new_plan() override { return plan_ && alone_ != planned_alone_; }
    int64 batch_size() override { return alone_ ? careful_batch_size : 0; }
    bool is_full() override;
    void begin(RunCounts *counts) override;
    void take(const SourceRow *row) override;
    bool can_reject() override { return alone_; }
    void reject(const SourceRow *row, const Refusal *refusal) override;
    void finish() override;
    bool again(const ErrorData *error, bool last) override;
    void committed() override;

private:
    static constexpr int careful_batch_size = 10000;

    void read(const Datum *inputs, const bool *nulls);
    bool try_read(const Datum *inputs, const bool *nulls, ErrorData **error);
    void fold();
    void fold_fact();
    void replaced_by(Datum *values) const;
    void touch();
    bool is_row_touched() const;
    void keep(const SourceRow *row, const Refusal *refusal);
    void refuse(const SourceRow *row, const ErrorData *error);
    bool leaves_out() const;
    const char *locate(const ErrorData *error) const;
    void rebuild();
    const char *rebuild_query() const;
    void write_dimensions();
    void find_surrogates();
    static void take_context(void *argument);
    static void see_row(void *work, HeapTuple row, TupleDesc type);

    Job *job_;
    bool alone_, planned_alone_; // rows are taken one by one, their expressions evaluated for each
    bool has_row_, writing_;     // in hand, so that what fails is its fault; the rows are read
    bool rebuilding_, searches_; // the source is read again; all of it, since for some row replace_by fails
    // the plan
    RowExpressions *expressions_; // where they are evaluated so
    FactsPlan *plan_;
    FactsTarget *target_;
    FactRow *row_;
    Datum *inputs_; // of a row that is read again
    bool *input_nulls_;
    TallyColumn *known_; // the facts' columns when surrogates are known
    List *retentions_;   // over these facts, that are tables
    // the batch
    RunCounts *counts_;
    MemoryContext memory_; // of the tallies
    Tally *facts_, *touched_;
    Tally **dimensions_;
    int64 *numbers_; // of the row's groups in the dimensions
    Datum **surrogates_;
    const SourceRow *at_; // for error messages; NULL: the row is read again
};

// ---- planning

static TallyColumn *columns_with_surrogates(const FactsPlan *plan) {
    TallyColumn *columns = static_cast<TallyColumn *>(palloc(sizeof(TallyColumn) * (plan->tally_count + 1)));
    memcpy(columns, plan->tally, sizeof(TallyColumn) * plan->tally_count);
    for (int i = 0; i < plan->count; i++)
        if (plan->columns[i].dimension >= 0)
            describe_tally_column(&columns[i], plan->tally[i].role, plan->columns[i].type, plan->columns[i].collation,
                                  plan->columns[i].pointer);
    return columns;
}

// refuse_retry: the facts would be made anew from a source that may not hold the row any more.
static void refuse_retry(const Job *job, const FactsMapping *mapping) {
    if (job->options.retry && mapping->replaces)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("pipeline \"%s\" makes its facts anew from the source: there is nothing to load again",
                               job->pipeline->name),
                        errhint("Mend the rows in the source, or deliver them again.")));
}

SourceColumns FactsWork::plan(Relation source) {
    plan_ = NULL;
    Pipeline *pipeline = job_->pipeline;
    const FactsDefinition definition = read_facts_definition(pipeline->mapping);
    const FactsMapping *mapping = read_facts_mapping(definition.mapping);
    refuse_retry(job_, mapping);
    FactsPlan *plan = plan_facts(mapping, find_fact_table(definition.target, "target", source), definition.newest_by,
                                 source, pipeline->id, alone_);
    own_newest(plan, pipeline->id, pipeline->owner);
    target_ = open_facts_target(plan, job_->row);
    target_->see = job_->see;
    target_->seer = job_->seer;
    row_ = make_fact_row(plan);
    inputs_ = static_cast<Datum *>(palloc(sizeof(Datum) * (plan->input_count + 1)));
    input_nulls_ = static_cast<bool *>(palloc(sizeof(bool) * (plan->input_count + 1)));
    known_ = plan->surrogates ? columns_with_surrogates(plan) : NULL;
    retentions_ = find_retention_tables(plan, pipeline->owner);
    planned_alone_ = alone_;
    expressions_ = alone_ ? prepare_row_expressions(source, plan->inputs, plan->input_count) : NULL;
    plan_ = plan;
    const char *content = pipeline->content_columns ? content_sql(NULL, pipeline->content_columns) : NULL;
    if (alone_)
        return row_columns(content, &plan->inputs[plan->whole], 1);
    return row_columns(content, plan->inputs, plan->input_count);
}

// targets: retentions are no targets of their own, they are computed from the facts.
List *FactsWork::targets() {
    List *tables = list_make1_oid(plan_->relation);
    if (OidIsValid(target_->newest))
        tables = lappend_oid(tables, target_->newest);
    for (int i = 0; i < plan_->dimension_count; i++) {
        const Dimension *dimension = &plan_->dimensions[i];
        tables = list_append_unique_oid(tables, dimension->relation);
        if (dimension->newest)
            tables = lappend_oid(tables, find_newest(newest_name(job_->pipeline->id, dimension->number)));
    }
    return tables;
}

// lock takes the facts before the dimensions that they refer to: the order of ALTER TABLE ... ADD FOREIGN KEY.
void FactsWork::lock() {
    LockRelationOid(plan_->relation, RowExclusiveLock);
    for (int i = 0; i < plan_->dimension_count; i++)
        LockRelationOid(plan_->dimensions[i].relation, RowExclusiveLock);
}

// ---- the rows of a batch

// make_touched makes a tally of the columns of replace_by.
static Tally *make_touched(const FactsPlan *plan, MemoryContext memory) {
    TallyColumn *columns = static_cast<TallyColumn *>(palloc(sizeof(TallyColumn) * (plan->replace_count + 1)));
    for (int i = 0; i < plan->replace_count; i++)
        columns[i] = plan->tally[plan->replace_by[i]];
    return make_tally(columns, plan->replace_count, memory);
}

void FactsWork::begin(RunCounts *counts) {
    counts_ = counts;
    memory_ = AllocSetContextCreate(job_->batch, "sluice facts", ALLOCSET_DEFAULT_SIZES);
    facts_ = make_tally(plan_->tally, plan_->tally_count, memory_);
    touched_ = plan_->mapping->replaces ? make_touched(plan_, memory_) : NULL;
    dimensions_ = static_cast<Tally **>(palloc(sizeof(Tally *) * (plan_->dimension_count + 1)));
    surrogates_ = static_cast<Datum **>(palloc0(sizeof(Datum *) * (plan_->dimension_count + 1)));
    numbers_ = static_cast<int64 *>(palloc(sizeof(int64) * (plan_->dimension_count + 1)));
    for (int i = 0; i < plan_->dimension_count; i++)
        dimensions_[i] = make_tally(plan_->dimensions[i].tally, plan_->dimensions[i].tally_count, memory_);
    begin_periods(retentions_, memory_);
}

bool FactsWork::is_full() { return MemoryContextMemAllocated(memory_, true) > static_cast<Size>(fold_memory) * 1024; }

void FactsWork::take_context(void *argument) {
    const FactsWork *work = static_cast<const FactsWork *>(argument);
    StringInfoData place;
    initStringInfo(&place);
    if (work->at_)
        work->job_->cursor->describe(work->at_, &place);
    const FactColumn *column = work->row_->at;
    const char *where = column ? psprintf(", %s, column \"%s\" of %s", column->pointer, column->name,
                                          relation_name(work->row_->relation))
                               : "";
    errcontext("source row %s%s%s", work->at_ ? "with " : "that is read again", place.data, where);
}

// fold_fact adds the row's fact; the rows of its dimensions stand for their surrogates.
void FactsWork::fold_fact() {
    for (int i = 0; plan_->surrogates && i < plan_->count; i++)
        if (plan_->columns[i].dimension >= 0) {
            row_->facts.values[i] = Int64GetDatum(numbers_[plan_->columns[i].dimension]);
            row_->facts.nulls[i] = false;
        }
    (void)tally_row(facts_, row_->facts.values, row_->facts.nulls);
}

// replaced_by takes from what was read of a row by which values its facts are rebuilt.
void FactsWork::replaced_by(Datum *values) const {
    for (int i = 0; i < plan_->replace_count; i++)
        values[i] = row_->facts.values[plan_->replace_by[i]];
}

// touch notes which facts are to be rebuilt: also for a row that counts nothing now, it may have counted before.
void FactsWork::touch() {
    Datum values[INDEX_MAX_KEYS];
    const bool nulls[INDEX_MAX_KEYS] = {};
    replaced_by(values);
    (void)tally_row(touched_, values, nulls);
}

bool FactsWork::is_row_touched() const {
    Datum values[INDEX_MAX_KEYS];
    replaced_by(values);
    return tally_has(touched_, values);
}

// fold adds what was read of a row to its groups.
void FactsWork::fold() {
    for (int i = 0; i < plan_->dimension_count; i++)
        numbers_[i] = tally_row(dimensions_[i], row_->dimensions[i].values, row_->dimensions[i].nulls)->number;
}

// read reads a row: what the source's expressions gave, or the row itself.
void FactsWork::read(const Datum *inputs, const bool *nulls) {
    if (!expressions_) {
        read_fact_row(plan_, inputs, nulls, row_);
        return;
    }
    const EvaluatedRow evaluated = evaluate_row(expressions_, inputs[0]);
    read_fact_row(plan_, evaluated.values, evaluated.nulls, row_);
}

// try_read reads a row in a subtransaction; it gives the error of one that does not fit.
bool FactsWork::try_read(const Datum *inputs, const bool *nulls, ErrorData **result) {
    ErrorData *error = attempt([&] { read(inputs, nulls); });
    if (error && !is_document_error(error))
        ReThrowError(error);
    *result = error;
    return !error;
}

void FactsWork::take(const SourceRow *row) {
    ErrorContextCallback context{error_context_stack, take_context, this};
    at_ = row;
    row_->at = NULL;
    has_row_ = true;
    error_context_stack = &context;
    MemoryContextSwitchTo(job_->row);
    ErrorData *error = NULL;
    if (!alone_ || !rejects_rows(job_))
        read(row->columns, row->nulls);
    else if (!try_read(row->columns, row->nulls, &error))
        refuse(row, error);
    if (!error) {
        fold();
        if (touched_)
            touch();
        else if (!row_->ignored)
            fold_fact();
        if (row->number != 0) {
            release_reject(row->number);
            counts_->retried++;
        }
    }
    MemoryContextSwitchTo(job_->batch);
    MemoryContextReset(job_->row);
    has_row_ = false;
    error_context_stack = context.previous;
}

// ---- refusing

const char *FactsWork::locate(const ErrorData *error) const {
    const FactColumn *column = row_->at;
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfoChar(&json, '{');
    append_json_member(&json, "table", column ? relation_name(row_->relation) : NULL);
    append_json_member(&json, "column", column ? column->name : NULL);
    append_json_member(&json, "path", column ? column->pointer : NULL);
    append_json_member(&json, "expression", failed_expression(expressions_));
    append_json_member(&json, "detail", error->detail);
    appendStringInfoChar(&json, '}');
    return json.data;
}

void FactsWork::keep(const SourceRow *row, const Refusal *refusal) {
    StringInfoData place;
    initStringInfo(&place);
    job_->cursor->describe(row, &place);
    counts_->rejected += row->number == 0;
    check_max_rejects(job_, counts_->rejected, place.data, refusal->message);
    keep_row(job_->pipeline, job_->run_id, row, place.data, row->columns[0], refusal);
}

void FactsWork::refuse(const SourceRow *row, const ErrorData *error) {
    const Refusal refusal{error->sqlerrcode, error->message ? error->message : "", locate(error)};
    keep(row, &refusal);
}

void FactsWork::reject(const SourceRow *row, const Refusal *refusal) {
    MemoryContextSwitchTo(job_->row);
    keep(row, refusal);
    MemoryContextSwitchTo(job_->batch);
}

// ---- rebuilding

// rebuild_query reads the source's rows of all touched values; or all, where the values cannot be had of each.
const char *FactsWork::rebuild_query() const {
    StringInfoData query, condition;
    initStringInfo(&query);
    initStringInfo(&condition);
    if (expressions_)
        appendStringInfo(&query, "SELECT %s", plan_->inputs[plan_->whole]);
    for (int i = 0; !expressions_ && i < plan_->input_count; i++)
        appendStringInfo(&query, "%s%s", i ? ", " : "SELECT ", i == plan_->whole ? "NULL" : plan_->inputs[i]);
    if (job_->checks && job_->checks->has_conditions)
        appendStringInfo(&query, ", %s", job_->checks->last.sql);
    for (int i = 0; i < plan_->replace_count; i++) {
        const FactColumn *column = &plan_->columns[plan_->replace_by[i]];
        appendStringInfo(&condition, "%s%s = t.r%d", i ? " AND " : "", plan_->inputs[column->input], i + 1);
    }
    appendStringInfo(&query, " FROM %s s", relation_name(job_->source));
    if (!searches_)
        appendStringInfo(&query, " JOIN sluice_touched t ON %s", condition.data);
    return query.data;
}

// leaves_out tells a row that is read again, and that a condition rejected when it came, or will.
bool FactsWork::leaves_out() const {
    Refusal refusal{};
    if (!job_->checks || !refuses_row(job_->checks, inputs_, input_nulls_, rejects_rows(job_), &refusal))
        return false;
    if (!rejects_rows(job_))
        stop_for_row(job_->checks, &refusal, NULL, true);
    return true;
}

// see_row takes a row of the source that is read again. One that does not fit was rejected when it came, or will be.
void FactsWork::see_row(void *argument, HeapTuple tuple, TupleDesc type) {
    FactsWork *work = static_cast<FactsWork *>(argument);
    CHECK_FOR_INTERRUPTS();
    heap_deform_tuple(tuple, type, work->inputs_, work->input_nulls_);
    MemoryContext before = MemoryContextSwitchTo(work->job_->row);
    ErrorData *error = NULL;
    work->row_->at = NULL;
    work->has_row_ = true;
    bool left_out = !work->searches_ && work->leaves_out();
    if (!left_out && (!work->alone_ || !rejects_rows(work->job_)))
        work->read(work->inputs_, work->input_nulls_);
    else if (!left_out)
        (void)work->try_read(work->inputs_, work->input_nulls_, &error);
    if (!error && work->searches_)
        left_out = !work->is_row_touched() || work->leaves_out();
    if (!error && !left_out) {
        work->fold();
        if (!work->row_->ignored)
            work->fold_fact();
    }
    work->has_row_ = false;
    MemoryContextSwitchTo(before);
    MemoryContextReset(work->job_->row);
}

void FactsWork::rebuild() {
    if (touched_->group_count == 0)
        return;
    ErrorContextCallback context{error_context_stack, take_context, this};
    at_ = NULL;
    row_->at = NULL;
    error_context_stack = &context;
    Stage *stage = stage_touched(plan_, touched_);
    touch_replaced(retentions_, plan_, stage, is_touched(plan_, "s"));
    if (job_->checks)
        job_->checks->reading = true;
    rebuilding_ = true;
    scan_on_stages(rebuild_query(), &stage, 1, see_row, this);
    rebuilding_ = false;
    if (job_->checks)
        job_->checks->reading = false;
    end_stage(stage);
    error_context_stack = context.previous;
}

// ---- writing

void FactsWork::write_dimensions() {
    WriterCounts counts{};
    for (int i = 0; i < plan_->dimension_count; i++) {
        const Tally *tally = dimensions_[i];
        if (tally->group_count == 0)
            continue;
        if (plan_->dimensions[i].surrogate)
            surrogates_[i] = static_cast<Datum *>(MemoryContextAllocExtended(
                memory_, sizeof(Datum) * tally->group_count, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
        const WriterCounts before = counts;
        write_dimension(&plan_->dimensions[i], tally, &counts, surrogates_[i]);
        if (!plan_->dimensions[i].mapped->history)
            counts_->kept += (counts.inserted - before.inserted) - (counts.deleted - before.deleted);
        if (job_->see)
            show_dimension(&plan_->dimensions[i], tally, job_->see, job_->seer);
    }
    counts_->inserted += counts.inserted;
    counts_->updated += counts.updated;
    counts_->deleted += counts.deleted;
}

// find_surrogates folds the facts once more, by the surrogates that are known now.
void FactsWork::find_surrogates() {
    Tally *known = make_tally(known_, plan_->tally_count, memory_);
    for (int64 g = 0; g < facts_->group_count; g++) {
        const TallyGroup *group = facts_->groups[g];
        CHECK_FOR_INTERRUPTS();
        for (int i = 0; i < plan_->count; i++)
            if (plan_->columns[i].dimension >= 0)
                group->values[i] = surrogates_[plan_->columns[i].dimension][DatumGetInt64(group->values[i])];
        (void)tally_row(known, group->values, group->nulls);
    }
    facts_ = known;
}

void FactsWork::finish() {
    if (touched_)
        rebuild();
    writing_ = true;
    write_dimensions();
    if (plan_->surrogates)
        find_surrogates();
    WriterCounts counts{};
    touch_periods(retentions_, plan_, facts_);
    if (touched_)
        replace_facts(target_, facts_, touched_, &counts);
    else
        add_facts(target_, facts_, &counts);
    counts_->inserted += counts.inserted;
    counts_->updated += counts.updated;
    counts_->deleted += counts.deleted;
    refresh_periods(retentions_);
    MemoryContextDelete(memory_);
}

bool FactsWork::again(const ErrorData *error, bool last) {
    const bool may_help = !writing_ && !alone_ && (!has_row_ || rejects_rows(job_));
    const bool may_search = rebuilding_ && !has_row_ && alone_ && !searches_ && rejects_rows(job_);
    has_row_ = writing_ = rebuilding_ = false;
    if (last || !plan_)
        return false;
    if (is_key_race(error, &plan_->key_index, 1))
        return true;
    if (!is_document_error(error))
        return false;
    alone_ = alone_ || may_help;
    searches_ = searches_ || may_search;
    return may_help || may_search;
}

void FactsWork::committed() {
    alone_ = evaluates_at_once(job_);
    writing_ = searches_ = false;
}

Work *make_facts_work(Job *job) { return new (palloc0(sizeof(FactsWork))) FactsWork(job); }

} // namespace sluice
