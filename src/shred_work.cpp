// See shred_work.hpp.
#include "shred_work.hpp"

#include "chunk.hpp"
#include "document.hpp"
#include "lineage_tables.hpp"
#include "mapping.hpp"
#include "reject.hpp"
#include "shred.hpp"

namespace sluice {

constexpr int automatic_batch_size = 10000;
constexpr int automatic_keyed_batch_size = 50000; // the more rows are looked up and folded at once, the less is written

class ShredWork final : public Work {
public:
    explicit ShredWork(Job *job) : job_(job), rows_at_once_(most_rows_at_once) {}

    SourceColumns plan(Relation source) override;
    List *targets() override;
    void lock() override;
    int64 batch_size() override { return has_keys() ? automatic_keyed_batch_size : automatic_batch_size; }
    void begin(RunCounts *counts) override;
    void take(const SourceRow *row) override;
    void reject(const SourceRow *row, const Refusal *refusal) override { hold(row, refusal); }
    void finish() override;
    bool again(const ErrorData *error, bool last) override;
    void committed() override { precise_ = false; } // the next one is fast again

private:
    bool is_unknown(const char *what) const { return strcmp(job_->pipeline->unknown, what) == 0; }
    bool holds_rows() const { return rejects_rows(job_) || is_unknown("add"); }
    bool has_keys() const;
    ShredPlan *plan_targets(Relation source);
    void begin_chunks();
    Bitmapset *kept_columns(Relation source) const;
    void hold(const SourceRow *row, const Refusal *refusal);
    void finish_chunk();
    void grow();

    Job *job_;
    // the plan
    ShredPlan *plan_;
    WriterCache *cache_;
    DocumentReader documents_;
    // the batch
    Shredder shredder_;
    ChunkLoader chunks_;
    RunCounts *counts_;
    bool
        precise_; // the batch failed, and is done again document by document: it may do so, or its error names the document
    int rows_at_once_; // of a chunk, where rows are held
};

// ---- planning

// kept_columns are those that a reject needs besides, so that the conditions can be evaluated when it is loaded again.
Bitmapset *ShredWork::kept_columns(Relation source) const {
    if (!rejects_rows(job_))
        return NULL;
    return bms_del_member(columns_of_conditions(job_->checks, source),
                          get_attnum(RelationGetRelid(source), job_->pipeline->document));
}

// plan_targets plans the writing. Where columns grow to hold what comes, they are not to bend it into what they are.
ShredPlan *ShredWork::plan_targets(Relation source) {
    const bool grows = is_unknown("add");
    const char *mapping = job_->pipeline->mapping;
    ShredPlan *plan =
        plan_shred(read_mapping(mapping, strlen(mapping)), source, grows || is_unknown("reject"), kept_columns(source));
    for (int i = 0; i < plan->table_count; i++)
        for (int c = 0; c < plan->tables[i].column_count; c++)
            plan->tables[i].columns[c].conversion.strict = grows;
    return plan;
}

SourceColumns ShredWork::plan(Relation source) {
    plan_ = NULL;
    const Oid document = document_type(source, job_->pipeline->document);
    ShredPlan *plan = plan_targets(source);
    open_document_reader(&documents_, document, CurrentMemoryContext);
    cache_ = make_writer_cache(CurrentMemoryContext);
    plan_ = plan;
    return document_columns(source, job_->pipeline->document, plan->source_columns, plan->source_column_count);
}

List *ShredWork::targets() {
    List *tables = NIL;
    for (int i = 0; i < plan_->table_count; i++)
        tables = lappend_oid(tables, plan_->tables[i].relation);
    return tables;
}

// lock takes the locks children before parents: the order of ALTER TABLE ... ADD FOREIGN KEY, with which another order would
// deadlock.
void ShredWork::lock() {
    for (int i = plan_->table_count - 1; i >= 0; i--)
        LockRelationOid(plan_->tables[i].relation, RowExclusiveLock);
}

bool ShredWork::has_keys() const {
    for (int i = 0; plan_ && i < plan_->table_count; i++)
        if (OidIsValid(plan_->tables[i].key_index))
            return true;
    return false;
}

// ---- the batch

static void describe_row(void *cursor, const SourceRow *row, StringInfo to) {
    static_cast<Cursor *>(cursor)->describe(row, to);
}

// grow lets the targets grow, and plans anew how they are written; the reading goes on as it is.
void ShredWork::grow() {
    MemoryContext before = MemoryContextSwitchTo(job_->memory);
    job_->pipeline->mapping = carry_out(chunks_.growth, job_->pipeline, job_->run_id);
    MemoryContextSwitchTo(job_->planned);
    Relation source = relation_open(job_->source, AccessShareLock);
    plan_ = plan_targets(source);
    relation_close(source, NoLock);
    if (job_->pipeline->lineage)
        keep_lineage(job_->pipeline, targets());
    cache_ = make_writer_cache(job_->planned);
    MemoryContextSwitchTo(job_->batch);
    List *refused = chunks_.growth->widenings;
    chunks_.growth = make_growth(plan_->table_count);
    chunks_.growth->widenings = refused;
    chunks_.like.plan = plan_;
    chunks_.like.cache = cache_;
    MemoryContextSwitchTo(before);
}

void ShredWork::begin_chunks() {
    chunks_ = ChunkLoader{};
    chunks_.like = shredder_;
    chunks_.like.undoable = true;
    chunks_.documents = &documents_;
    chunks_.memory = job_->batch;
    chunks_.document = job_->row;
    chunks_.rejects = rejects_rows(job_);
    if (is_unknown("add")) {
        chunks_.growth = make_growth(plan_->table_count);
        chunks_.grow = [](ChunkLoader *, void *grower) { static_cast<ShredWork *>(grower)->grow(); };
        chunks_.grower = this;
    }
    chunks_.fires = !job_->atomic;
    chunks_.rows_at_once = rows_at_once_;
    open_chunks(&chunks_);
}

void ShredWork::begin(RunCounts *counts) {
    counts_ = counts;
    shredder_ = Shredder{};
    shredder_.plan = plan_;
    shredder_.cache = cache_;
    shredder_.source = job_->source;
    shredder_.describe = describe_row;
    shredder_.cursor = job_->cursor;
    shredder_.run_id = job_->run_id;
    shredder_.loaded_at = GetCurrentTransactionStartTimestamp();
    shredder_.late = !job_->atomic && !precise_;
    shredder_.in_order = precise_;
    shredder_.refuses_unknown = is_unknown("reject");
    if (holds_rows())
        begin_chunks();
    else
        begin_shredding(&shredder_);
}

static const HeldRow *last_refused(const Chunk *chunk) {
    const HeldRow *last = NULL;
    for (int i = 0; i < chunk->count; i++)
        if (chunk->rows[i].refusal)
            last = &chunk->rows[i];
    return last;
}

// finish_chunk loads the rows held so far.
void ShredWork::finish_chunk() {
    load_chunk(&chunks_);
    counts_->rejected += chunks_.rejected;
    chunks_.rejected = 0;
    const HeldRow *last = last_refused(&chunks_.chunk);
    check_max_rejects(job_, counts_->rejected, last ? last->row.place : NULL, last ? last->refusal->message : NULL);
    counts_->retried += keep_rejects(job_->pipeline, job_->run_id, documents_.type, plan_, &chunks_.chunk);
    empty_chunk(&chunks_);
    rows_at_once_ = chunks_.rows_at_once;
}

void ShredWork::hold(const SourceRow *row, const Refusal *refusal) {
    StringInfoData place;
    initStringInfo(&place);
    job_->cursor->describe(row, &place);
    hold_row(&chunks_, row, place.data);
    if (refusal)
        refuse_held(&chunks_, refusal);
    pfree(place.data);
    if (is_chunk_full(&chunks_))
        finish_chunk();
}

void ShredWork::take(const SourceRow *row) {
    if (holds_rows()) {
        hold(row, NULL);
        return;
    }
    if (row->document_is_null)
        return;
    begin_document(&shredder_, row);
    MemoryContextSwitchTo(job_->row);
    shred_document(&shredder_, read_document(&documents_, row->document));
    MemoryContextSwitchTo(job_->batch);
    MemoryContextReset(job_->row);
}

void ShredWork::finish() {
    if (holds_rows())
        finish_chunk();
    const WriterCounts written = holds_rows() ? chunks_.counts : finish_shredding(&shredder_);
    counts_->inserted += written.inserted;
    counts_->updated += written.updated;
    counts_->deleted += written.deleted;
    counts_->nulled += holds_rows() ? chunks_.nulled : shredder_.nulled;
}

bool ShredWork::again(const ErrorData *error, bool last) {
    const bool vague = !precise_ && !holds_rows() && has_keys() && is_document_error(error);
    const bool may = !last && plan_ && (vague || is_race(plan_, error));
    precise_ = precise_ || vague;
    return may;
}

Work *make_shred_work(Job *job) { return new (palloc0(sizeof(ShredWork))) ShredWork(job); }

} // namespace sluice
