// See merge_keeper.hpp.
#include "merge_keeper.hpp"

#include "catalog.hpp"
#include "merge_page.hpp"

namespace sluice {

// ---- the times

constexpr int heads = 2; // the newest moment and that of the last delete

static MergeState make_merge_state(const MergePlan *plan) {
    MergeState state{};
    state.moments = static_cast<int64 *>(palloc(sizeof(int64) * (plan->leaf_count + 1)));
    state.waiting = static_cast<FoldValue *>(palloc(sizeof(FoldValue) * (plan->leaf_count + 1)));
    state.deep = static_cast<DeepTimes *>(palloc(sizeof(DeepTimes) * (plan->leaf_count + 1)));
    return state;
}

// know_nothing makes it the state of a key of which nothing is remembered.
static void know_nothing(const MergePlan *plan, MergeState *state) {
    state->exists = state->waits = false;
    state->newest = state->deleted = unknown_moment;
    for (int i = 0; i < plan->leaf_count; i++) {
        state->moments[i] = unknown_moment;
        state->waiting[i] = FoldValue{unknown_moment, 0, false};
        state->deep[i] = DeepTimes{NULL, 0};
    }
}

static int count_times(const MergePlan *plan) { return heads + plan->slot_count; }

static int64 *make_times(const MergePlan *plan) {
    return static_cast<int64 *>(palloc(sizeof(int64) * count_times(plan)));
}

static void take_times(const MergePlan *plan, const int64 *times, MergeState *state) {
    state->exists = true;
    state->newest = times[0];
    state->deleted = times[1];
    for (int i = 0; i < plan->leaf_count; i++)
        state->moments[i] = times[heads + plan->leaves[i].slot];
}

static void give_times(const MergePlan *plan, const MergeState *state, int64 *times) {
    times[0] = state->newest;
    times[1] = state->deleted;
    for (int i = heads; i < count_times(plan); i++)
        times[i] = unknown_moment;
    for (int i = 0; i < plan->leaf_count; i++)
        times[heads + plan->leaves[i].slot] = state->moments[i];
}

// ---- values that wait

static void take_waiting(const MergePlan *plan, Datum name, Datum value, bool is_null, MergeState *state) {
    const char *leaf = TextDatumGetCString(name);
    for (int i = 0; i < plan->leaf_count; i++)
        if (strcmp(leaf, plan->leaves[i].name) == 0)
            state->waiting[i] =
                FoldValue{state->moments[i],
                          is_null ? 0 : stored_datum(plan->leaves[i].type, TextDatumGetCString(value)), is_null};
}

// give_waiting lists what is known of a key that waits; NULL: nothing.
static WaitingText *give_waiting(const MergePlan *plan, const MergeState *state) {
    WaitingText *first = NULL;
    for (int i = plan->leaf_count - 1; i >= 0; i--) { // each comes to stand first
        const FoldValue *value = &state->waiting[i];
        if (value->moment == unknown_moment)
            continue;
        WaitingText *text = static_cast<WaitingText *>(palloc(sizeof(WaitingText)));
        *text = WaitingText{first, CStringGetTextDatum(plan->leaves[i].name), 0, false, value->is_null};
        if (!value->is_null)
            text->value = CStringGetTextDatum(stored_text(plan->leaves[i].type, value->value));
        first = text;
    }
    return first;
}

// ---- a row for each key

[[noreturn]] static void damaged_row() {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("what is remembered of a key is damaged"),
                    errdetail("It holds when each of its values was set."),
                    errhint("Restore it; or CALL sluice.rebuild, which merges everything anew.")));
    pg_unreachable();
}

static void read_row_times(const MergePlan *plan, Datum stored, int64 *times, MergeState *state) {
    struct varlena *data = PG_DETOAST_DATUM_PACKED(stored);
    for (int i = 0; i < count_times(plan); i++)
        times[i] = unknown_moment; // as what a state was written without
    memcpy(times, VARDATA_ANY(data),
           sizeof(int64) * Min(VARSIZE_ANY_EXHDR(data) / sizeof(int64), static_cast<Size>(count_times(plan))));
    take_times(plan, times, state);
}

static Datum write_row_times(const MergePlan *plan, const MergeState *state, int64 *times) {
    const Size size = sizeof(int64) * count_times(plan);
    bytea *stored = static_cast<bytea *>(palloc(VARHDRSZ + size));
    SET_VARSIZE(stored, VARHDRSZ + size);
    give_times(plan, state, times);
    memcpy(VARDATA(stored), times, size);
    return PointerGetDatum(stored);
}

static void read_row_deep(const MergePlan *plan, Datum times, MergeState *state) {
    struct varlena *stored = PG_DETOAST_DATUM_COPY(times); // the row that it lies in may go
    for (int i = 0; i < plan->leaf_count; i++)
        if (plan->leaves[i].rule == Rule::Deep)
            state->deep[i] = unpack_deep(VARDATA(stored), VARSIZE(stored) - VARHDRSZ, plan->leaves[i].slot);
}

// write_row_deep: false, nothing needs to be written.
static bool write_row_deep(const MergePlan *plan, const MergeState *state, Datum *times) {
    StringInfoData data;
    initStringInfo(&data);
    appendStringInfoSpaces(&data, VARHDRSZ);
    for (int i = 0; i < plan->leaf_count; i++)
        pack_deep(&data, plan->leaves[i].slot, &state->deep[i]);
    SET_VARSIZE(data.data, data.len);
    *times = PointerGetDatum(data.data);
    return data.len > VARHDRSZ;
}

static void read_row_waiting(const MergePlan *plan, Datum array, MergeState *state) {
    Datum *texts;
    bool *nulls;
    int count;
    deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &count);
    state->waits = true;
    for (int at = 0; at + 1 < count; at += 2)
        if (nulls[at])
            damaged_row();
        else
            take_waiting(plan, texts[at], texts[at + 1], nulls[at + 1], state);
}

static Datum write_row_waiting(const MergePlan *plan, const MergeState *state) {
    Datum *texts = static_cast<Datum *>(palloc0(sizeof(Datum) * (2 * plan->leaf_count + 1)));
    bool *nulls = static_cast<bool *>(palloc0(sizeof(bool) * (2 * plan->leaf_count + 1)));
    int count = 0;
    for (const WaitingText *text = give_waiting(plan, state); text; text = text->next) {
        texts[count++] = text->name;
        nulls[count] = text->is_null;
        texts[count++] = text->value;
    }
    int dimensions[] = {count}, lower[] = {1};
    return PointerGetDatum(construct_md_array(texts, nulls, 1, dimensions, lower, TEXTOID, -1, false, TYPALIGN_INT));
}

static void read_row_state(const MergePlan *plan, const Datum *values, const bool *nulls, int64 *times,
                           MergeState *state) {
    if (nulls[plan->key_count + times_column])
        damaged_row();
    read_row_times(plan, values[plan->key_count + times_column], times, state);
    if (!nulls[plan->key_count + waiting_column])
        read_row_waiting(plan, values[plan->key_count + waiting_column], state);
    if (!nulls[plan->key_count + deep_column])
        read_row_deep(plan, values[plan->key_count + deep_column], state);
}

static void fill_row_state(const MergePlan *plan, const MergeState *state, int64 *times, WriterRow *row) {
    Datum *values = &row->values[plan->key_count];
    bool *nulls = &row->nulls[plan->key_count];
    values[times_column] = write_row_times(plan, state, times);
    nulls[times_column] = false;
    nulls[waiting_column] = !state->waits;
    if (state->waits)
        values[waiting_column] = write_row_waiting(plan, state);
    nulls[deep_column] = !write_row_deep(plan, state, &values[deep_column]);
}

// ---- a row for many keys

static void read_page_state(const MergePlan *plan, const MergePage *page, const FoldKey *key, int64 *times,
                            MergeState *state) {
    const int place = place_on_page(key->place);
    if (!page_times(page, place, times, count_times(plan)))
        return;
    take_times(plan, times, state);
    for (const WaitingText *text = page->entries[place].waiting; text; text = text->next) {
        state->waits = true;
        if (!text->nameless)
            take_waiting(plan, text->name, text->value, text->is_null, state);
    }
}

static WaitingText *page_waiting(const MergePlan *plan, const MergeState *state) {
    if (!state->waits)
        return NULL;
    WaitingText *waiting = give_waiting(plan, state);
    if (!waiting) {
        waiting = static_cast<WaitingText *>(palloc0(sizeof(WaitingText)));
        waiting->nameless = waiting->is_null = true;
    }
    return waiting;
}

static void put_page_state(const MergePlan *plan, MergePage *page, const FoldKey *key, const MergeState *state,
                           int64 *times) {
    const int place = place_on_page(key->place);
    give_times(plan, state, times);
    set_page_times(page, place, times, count_times(plan));
    MemoryContext before = MemoryContextSwitchTo(page->memory);
    page->entries[place].waiting = page_waiting(plan, state);
    MemoryContextSwitchTo(before);
}

// ---- whichever it is

bool shares_row(const MergeStates *states, const FoldKey *left, const FoldKey *right) {
    return states->page && page_of(left->place) == page_of(right->place);
}

MergeState read_merge_state(const MergeStates *states, const FoldKey *key, const Datum *values, const bool *nulls) {
    MergeState state = make_merge_state(states->plan);
    int64 *times = make_times(states->plan);
    know_nothing(states->plan, &state);
    if (states->page) {
        MergePage page{};
        page.relation = states->relation;
        page.memory = CurrentMemoryContext;
        read_page(&page, values, nulls);
        read_page_state(states->plan, &page, key, times, &state);
    } else {
        read_row_state(states->plan, values, nulls, times, &state);
    }
    return state;
}

struct StateKeeper {
    MemoryContext memory; // of all this
    const MergeStates *states;
    Writer *writer;
    int target;
    MergeState state; // of the key found last
    int64 *times;     // of a key
    // with pages
    MergePage page;
    bool at_hand, changed; // the page
};

StateKeeper *keep_merge_states(const MergeStates *states, Writer *writer, int target) {
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "sluice merge states", ALLOCSET_DEFAULT_SIZES);
    MemoryContext before = MemoryContextSwitchTo(memory);
    StateKeeper *keeper = static_cast<StateKeeper *>(palloc0(sizeof(StateKeeper)));
    keeper->memory = memory;
    keeper->states = states;
    keeper->writer = writer;
    keeper->target = target;
    keeper->state = make_merge_state(states->plan);
    keeper->times = make_times(states->plan);
    keeper->page.relation = states->relation;
    if (states->page)
        keeper->page.memory = AllocSetContextCreate(memory, "sluice merge page", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(before);
    return keeper;
}

static bool find_key_row(StateKeeper *keeper, const FoldKey *key, WriterRow *there) {
    WriterRow row = writer_row(keeper->writer, keeper->target);
    for (int i = 0; i < keeper->states->plan->key_count; i++) {
        row.values[i] = key->key[i];
        row.nulls[i] = false;
    }
    return writer_find(keeper->writer, keeper->target, there);
}

static void find_page(StateKeeper *keeper, int64 number) {
    MergePage *page = &keeper->page;
    WriterRow row = writer_row(keeper->writer, keeper->target), there;
    MemoryContextReset(page->memory);
    clear_page(page, number);
    row.values[page_number_column] = Int64GetDatum(number);
    row.nulls[page_number_column] = false;
    if (writer_find(keeper->writer, keeper->target, &there))
        read_page(page, there.values, there.nulls);
    keeper->at_hand = true;
}

MergeState find_merge_state(StateKeeper *keeper, const FoldKey *key) {
    const MergePlan *plan = keeper->states->plan;
    MergeState state = keeper->state;
    know_nothing(plan, &state);
    if (keeper->states->page) {
        if (!keeper->at_hand)
            find_page(keeper, page_of(key->place));
        Assert(keeper->page.number == page_of(key->place));
        read_page_state(plan, &keeper->page, key, keeper->times, &state);
    } else {
        WriterRow there;
        if (find_key_row(keeper, key, &there))
            read_row_state(plan, there.values, there.nulls, keeper->times, &state);
    }
    return state;
}

void put_merge_state(StateKeeper *keeper, const FoldKey *key, const MergeState *state) {
    const MergePlan *plan = keeper->states->plan;
    if (keeper->states->page) {
        put_page_state(plan, &keeper->page, key, state, keeper->times);
        keeper->changed = true;
    } else {
        WriterRow row = writer_asked(keeper->writer, keeper->target);
        fill_row_state(plan, state, keeper->times, &row);
        writer_put(keeper->writer, keeper->target);
    }
}

void leave_merge_states(StateKeeper *keeper) {
    if (keeper->changed) {
        WriterRow row = writer_asked(keeper->writer, keeper->target);
        fill_page(&keeper->page, &row);
        writer_put(keeper->writer, keeper->target);
    }
    keeper->at_hand = keeper->changed = false;
}

void drop_keeper(StateKeeper *keeper) { MemoryContextDelete(keeper->memory); }

} // namespace sluice
