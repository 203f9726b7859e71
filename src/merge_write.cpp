// See merge_write.hpp.
//
// For each key, in the order of the index: what is remembered of it, then the row that is there, then both laid together with
// what the batch folded. What changed of the row goes into the target, the times go beside it. A row of which every value is
// as new as its newest_by needs no times beside it.
//
// A row that is there and of which nothing is remembered (it was there before the pipeline, or needs no times) counts as one
// source row with its newest_by. A row that somebody deleted starts anew with what comes.
#include "merge_write.hpp"

#include "catalog.hpp"
#include "merge_delete.hpp"
#include "merge_row.hpp"
#include "names.hpp"

namespace sluice {

enum { states_target, rows_target, target_count };

struct KeyWriter {
    MergeWriter *merge;
    const MergePlan *plan;
    Writer *writer;
    StateKeeper *states;
    bool several; // keys
    // of the key in hand
    FoldKey *key;
    MergeState state, before;
    FoldValue *known;
    bool *changed;
    bool there;       // the target has its row
    WriterRow row;    // of the target, to be filled
    WriterRow stored; // that is there
    int64 newest_there;
};

const char *key_text(const MergePlan *plan, const FoldKey *key) {
    StringInfoData names, values;
    initStringInfo(&names);
    initStringInfo(&values);
    for (int i = 0; i < plan->key_count; i++) {
        appendStringInfo(&names, "%s%s", i ? ", " : "",
                         NameStr(TupleDescAttr(plan->columns, plan->key[i] - 1)->attname));
        appendStringInfo(&values, "%s%s", i ? ", " : "", stored_text(plan->key_types[i], key->key[i]));
    }
    return psprintf("(%s)=(%s)", names.data, values.data);
}

static void write_context(void *argument) {
    const MergeWriter *merge = static_cast<const MergeWriter *>(argument);
    StringInfoData text;
    initStringInfo(&text);
    if (merge->place)
        appendStringInfo(&text, ", source row with %s", merge->place);
    if (merge->key)
        appendStringInfo(&text, ", key %s", key_text(merge->plan, merge->key));
    if (merge->column)
        appendStringInfo(&text, ", column %s", merge->column);
    errcontext("merge into %s%s", relation_name(merge->plan->relation), text.data);
}

// ---- opening

static Writer *open_writer(const MergeWriter *merge) {
    WriterTarget targets[target_count] = {};
    targets[states_target] = merge_states_target(merge->states);
    targets[states_target].aside = true;
    targets[rows_target].relation = merge->plan->relation;
    targets[rows_target].parent = -1;
    targets[rows_target].mode = Mode::Merge;
    targets[rows_target].key_index = merge->plan->key_index;
    targets[rows_target].written = merge->plan->written;
    WriterOptions options{};
    options.once = true;
    Writer *writer = writer_begin(targets, target_count, &options, merge->cache);
    if (merge->see)
        writer_watch(writer, merge->see, merge->seer);
    return writer;
}

static void fill_key(const KeyWriter *write, WriterRow *row) {
    for (int i = 0; i < write->plan->key_count; i++) {
        const int column = write->plan->key[i] - 1;
        row->values[column] = write->key->key[i];
        row->nulls[column] = false;
    }
}

// ---- what is known of a key

static void find_state(KeyWriter *write) {
    write->there = false;
    write->state = find_merge_state(write->states, write->key);
    int64 *moments = write->before.moments;
    DeepTimes *deep = write->before.deep;
    write->before = write->state;
    write->before.moments = moments;
    memcpy(moments, write->state.moments, sizeof(int64) * write->plan->leaf_count);
    write->before.deep = deep;
    memcpy(deep, write->state.deep, sizeof(DeepTimes) * write->plan->leaf_count);
}

// newest_of reads the time of a row that is there.
static int64 newest_of(const MergePlan *plan, const Datum *values, const bool *nulls) {
    if (!plan->newest || !plan->comes_back || nulls[plan->newest - 1])
        return oldest_moment;
    bool is_null = false;
    const Datum moment = coerce_value(const_cast<Coercion *>(&plan->newest_back), values[plan->newest - 1], &is_null);
    return moment_of(plan->moments, moment, is_null);
}

static void know_nothing(KeyWriter *write) {
    for (int i = 0; i < write->plan->leaf_count; i++)
        write->known[i] = FoldValue{unknown_moment, 0, true};
}

// make_waiting_news makes of what waited something that is laid over a row: deep leaves become trees.
static void make_waiting_news(KeyWriter *write) {
    MergeState *state = &write->state;
    for (int i = 0; i < write->plan->leaf_count; i++) {
        FoldValue *waited = &state->waiting[i];
        if (write->plan->leaves[i].rule != Rule::Deep || waited->moment == unknown_moment)
            continue;
        Jsonb *document = waited->is_null ? NULL : DatumGetJsonbP(waited->value);
        DeepNode *tree = read_deep(&state->deep[i], document, waited->moment, state->deleted + 1);
        *waited = FoldValue{waited->moment, PointerGetDatum(tree), false};
        state->deep[i] = DeepTimes{NULL, 0};
    }
}

// know_row takes what is known from the row that is there, or was there before a delete took it. A row that somebody put
// there while its key waited is one of which nothing is remembered.
static void know_row(KeyWriter *write, const Datum *values, const bool *nulls) {
    if (write->state.exists && !write->state.waits) {
        take_target_row(write->plan, values, nulls, unknown_moment, write->state.moments, write->known);
        return;
    }
    make_waiting_news(write);
    write->newest_there = newest_of(write->plan, values, nulls);
    take_target_row(write->plan, values, nulls, write->newest_there, NULL, write->known);
    write->state.newest = Max(write->state.newest, write->newest_there);
}

// forget_unset drops from a row that was taken away what no source row set: there is no place any more that keeps it.
static void forget_unset(KeyWriter *write) {
    for (int i = 0; i < write->plan->leaf_count; i++)
        write->known[i].is_null = write->known[i].is_null || write->known[i].moment == unknown_moment;
}

static void know_waiting(KeyWriter *write) {
    memcpy(write->known, write->state.waiting, sizeof(FoldValue) * write->plan->leaf_count);
    for (int i = 0; i < write->plan->leaf_count; i++) {
        write->known[i].is_null = write->known[i].is_null || write->known[i].moment == unknown_moment;
        write->state.waiting[i].moment = unknown_moment;
    }
}

static void find_row(KeyWriter *write) {
    write->row = writer_row(write->writer, rows_target);
    fill_key(write, &write->row);
    write->there = writer_find(write->writer, rows_target, &write->stored);
    if (write->there) {
        know_row(write, write->stored.values, write->stored.nulls);
    } else if (write->key->taken) {
        know_row(write, write->key->taken->values, write->key->taken->nulls);
        forget_unset(write);
    } else if (write->state.waits) {
        know_waiting(write);
    } else {
        write->state.newest = unknown_moment; // a row that was there was deleted by somebody
    }
}

// ---- deep leaves

static bool is_same_document(const FoldValue *left, const FoldValue *right) {
    if (left->is_null || right->is_null)
        return left->is_null && right->is_null;
    const Size length = VARSIZE(DatumGetPointer(left->value));
    return length == VARSIZE(DatumGetPointer(right->value)) &&
           memcmp(DatumGetPointer(left->value), DatumGetPointer(right->value), length) == 0;
}

// put_deep puts the document that a tree makes, and its times, in place of what is known.
static void put_deep(const DeepNode *root, int64 floor, FoldValue *known, DeepTimes *times) {
    Jsonb *document = deep_document(root, floor);
    *known = FoldValue{deep_moment(root), PointerGetDatum(document), document == NULL};
    *times = deep_times(root, floor);
}

// lay_deep_leaf lays the tree that the batch folded over that of what is known; it tells whether the document changed.
static bool lay_deep_leaf(KeyWriter *write, int leaf, const FoldValue *given) {
    FoldValue *known = &write->known[leaf];
    DeepTimes *times = &write->state.deep[leaf];
    const bool is_known = known->moment != unknown_moment, is_given = given->moment != unknown_moment;
    const int64 floor = write->state.deleted + 1; // not the last moment: then nothing would be left
    if (!is_known)
        *times = DeepTimes{NULL, 0};
    if (!is_given && (!is_known || write->state.deleted == write->before.deleted))
        return false;
    DeepNode *root = make_deep();
    if (is_known && !known->is_null)
        known->value = JsonbPGetDatum(DatumGetJsonbP(known->value));
    const FoldValue before = *known;
    if (is_known)
        root = read_deep(times, known->is_null ? NULL : DatumGetJsonbP(known->value), known->moment, floor);
    if (is_given)
        lay_deep(root, reinterpret_cast<const DeepNode *>(DatumGetPointer(given->value)));
    put_deep(root, floor, known, times);
    return !is_known || !is_same_document(&before, known);
}

static bool lay_over(KeyWriter *write, int leaf, FoldValue given) {
    if (given.moment <= write->state.deleted)
        given.moment = unknown_moment;
    if (write->plan->leaves[leaf].rule == Rule::Deep)
        return lay_deep_leaf(write, leaf, &given);
    return lay_value(&write->plan->leaves[leaf], &write->known[leaf], &given);
}

// lay_together lays what waited, and then what the batch folded, over what is known.
static void lay_together(KeyWriter *write) {
    const MergePlan *plan = write->plan;
    (void)forget_deleted(plan, write->known, write->state.deleted);
    for (int i = 0; i < plan->leaf_count; i++) {
        write->merge->column = plan->leaves[i].name;
        const bool waited = lay_over(write, i, write->state.waiting[i]);
        write->changed[i] = lay_over(write, i, write->key->values[i]) || waited;
        write->state.moments[i] = write->known[i].moment;
    }
    write->merge->column = NULL;
}

// ---- writing

static bool is_put(const WriterRow *row, int column) { return !row->absent[column] && !row->nulls[column]; }

// fill_row fills the target's row: columns without news stay as they are, in a new row columns of which nothing is known get
// their default.
static void fill_row(KeyWriter *write) {
    const MergePlan *plan = write->plan;
    WriterRow *row = &write->row;
    for (int i = 0; i < plan->item_count; i++) {
        const MergeItem *item = &plan->items[i];
        const bool known = put_item(item, write->known, &row->values[item->number], &row->nulls[item->number]);
        row->absent[item->number] = write->there ? !is_item_changed(item, write->changed) : !known;
    }
    if (!plan->newest)
        return;
    const int column = plan->newest - 1;
    bool is_null;
    row->values[column] = moment_datum(plan->moments, write->state.newest, &is_null);
    if (!is_null)
        row->values[column] =
            coerce_value(const_cast<Coercion *>(&plan->newest_coercion), row->values[column], &is_null);
    row->nulls[column] = is_null;
    row->absent[column] = write->there && write->state.newest <= write->newest_there;
}

// is_complete tells whether a new row has all that it needs.
static bool is_complete(const KeyWriter *write) {
    for (int column = -1; (column = bms_next_member(write->plan->required, column)) >= 0;)
        if (!is_put(&write->row, column - 1))
            return false;
    return true;
}

static bool has_news(const KeyWriter *write) {
    for (int i = 0; i < write->plan->item_count; i++)
        if (!write->row.absent[write->plan->items[i].number])
            return true;
    return write->plan->newest && !write->row.absent[write->plan->newest - 1];
}

static void write_row(KeyWriter *write) {
    fill_row(write);
    write->state.waits = !write->there && !is_complete(write);
    if (write->state.waits)
        write->state.waiting = write->known;
    else if (!write->there || has_news(write))
        writer_put(write->writer, rows_target);
}

// needs_times tells whether times must be kept: not where each value is as new as the row says itself.
static bool needs_times(const KeyWriter *write) {
    if (write->state.exists || write->state.waits || !write->plan->newest || !write->plan->comes_back ||
        write->state.deleted != unknown_moment)
        return true;
    for (int i = 0; i < write->plan->leaf_count; i++)
        if (write->known[i].moment != write->state.newest || write->known[i].is_null || write->state.deep[i].length > 0)
            return true;
    return false;
}

static bool are_deep_times_changed(const KeyWriter *write) {
    const DeepTimes *now = write->state.deep, *before = write->before.deep;
    for (int i = 0; i < write->plan->leaf_count; i++)
        if (now[i].length != before[i].length ||
            (now[i].length > 0 && memcmp(now[i].data, before[i].data, now[i].length) != 0))
            return true;
    return false;
}

static bool is_state_changed(const KeyWriter *write) {
    const MergeState *now = &write->state, *before = &write->before;
    return !before->exists || now->waits || before->waits || now->newest != before->newest ||
           now->deleted != before->deleted ||
           memcmp(now->moments, before->moments, sizeof(int64) * write->plan->leaf_count) != 0 ||
           are_deep_times_changed(write);
}

static void write_state(KeyWriter *write) {
    if (is_state_changed(write))
        put_merge_state(write->states, write->key, &write->state);
}

static void bury_key(KeyWriter *write) {
    write->state.waits = false;
    for (int i = 0; i < write->plan->leaf_count; i++) {
        write->state.moments[i] = unknown_moment;
        write->state.deep[i] = DeepTimes{NULL, 0};
    }
}

static void write_key(KeyWriter *write) {
    MergeState *state = &write->state;
    find_state(write);
    know_nothing(write);
    write->newest_there = state->newest;
    state->deleted = Max(state->deleted, write->key->deleted);
    if (!state->exists || Max(state->newest, write->key->newest) > state->deleted)
        find_row(write);
    state->newest = Max(state->newest, write->key->newest);
    if (state->newest > state->deleted) {
        lay_together(write);
        write_row(write);
    } else {
        bury_key(write);
    }
    if (needs_times(write))
        write_state(write);
}

static void write_in_memory(KeyWriter *write, FoldKey *key) {
    write->merge->key = write->key = key;
    MemoryContext before = MemoryContextSwitchTo(write->merge->row);
    writer_begin_document(write->writer);
    write_key(write);
    if (write->several)
        write->merge->key = NULL; // what is written now is not this key alone
    MemoryContextSwitchTo(before);
    MemoryContextReset(write->merge->row);
}

// leave_key: what is remembered of keys that lie beside each other is written once.
static void leave_key(KeyWriter *write, const FoldKey *key, const FoldKey *next) {
    if (next && shares_row(write->merge->states, key, next))
        return;
    leave_merge_states(write->states);
    if (writer_wants_flush(write->writer))
        writer_flush(write->writer);
}

void write_fold(MergeWriter *merge, FoldKey **keys, int64 count) {
    KeyWriter write{};
    merge->key = count == 1 ? keys[0] : NULL;
    merge->column = NULL;
    merge->context = ErrorContextCallback{error_context_stack, write_context, merge};
    error_context_stack = &merge->context;
    if (merge->plan->deletes)
        merge->counts.deleted += delete_keys(merge->states, keys, count);
    write.merge = merge;
    write.plan = merge->plan;
    write.several = count > 1;
    write.writer = open_writer(merge);
    write.states = keep_merge_states(merge->states, write.writer, states_target);
    write.before.moments = static_cast<int64 *>(palloc(sizeof(int64) * (merge->plan->leaf_count + 1)));
    write.before.deep = static_cast<DeepTimes *>(palloc(sizeof(DeepTimes) * (merge->plan->leaf_count + 1)));
    write.known = static_cast<FoldValue *>(palloc(sizeof(FoldValue) * (merge->plan->leaf_count + 1)));
    write.changed = static_cast<bool *>(palloc(sizeof(bool) * (merge->plan->leaf_count + 1)));
    for (int64 i = 0; i < count; i++) {
        CHECK_FOR_INTERRUPTS();
        write_in_memory(&write, keys[i]);
        leave_key(&write, keys[i], i + 1 < count ? keys[i + 1] : NULL);
    }
    drop_keeper(write.states);
    const WriterCounts written = writer_finish(write.writer);
    merge->counts.inserted += written.inserted;
    merge->counts.updated += written.updated;
    error_context_stack = merge->context.previous;
}

} // namespace sluice
