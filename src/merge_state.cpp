// See merge_state.hpp.
#include "merge_state.hpp"

#include "catalog.hpp"
#include "cursor.hpp"
#include "merge_page.hpp"
#include "names.hpp"

namespace sluice {

// The columns of a key's own row, behind the key.
enum { times_column, waiting_column, deep_column, own_columns };

// ---- the table

static const char *table_name(int32 pipeline) { return psprintf("merge_%d", pipeline); }

const char *merge_states_name(int32 pipeline) { return psprintf("sluice.%s", table_name(pipeline)); }

static Oid find_table(int32 pipeline) {
    return get_relname_relid(table_name(pipeline), get_namespace_oid("sluice", false));
}

// key_definition writes the columns of the key as the target has them.
static const char *key_definition(Relation target, const MergePlan *plan, bool types) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < plan->key_count; i++) {
        Form_pg_attribute column = TupleDescAttr(RelationGetDescr(target), plan->key[i] - 1);
        appendStringInfo(&list, "%s%s", i ? ", " : "", quote_identifier(NameStr(column->attname)));
        if (!types)
            continue;
        appendStringInfo(&list, " %s NOT NULL",
                         format_type_extended(column->atttypid, column->atttypmod,
                                              FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
        if (OidIsValid(column->attcollation) && column->attcollation != DEFAULT_COLLATION_OID)
            appendStringInfo(&list, " COLLATE %s", collation_name(column->attcollation));
    }
    return list.data;
}

// page_of_plan names the column of pages, where keys have pages; else NULL.
static const char *page_of_plan(const MergePlan *plan) {
    for (int i = 0; i < plan->leaf_count; i++)
        if (plan->leaves[i].rule == Rule::Deep)
            return NULL;
    return plan->key_count == 1 ? page_column_name(plan->key_types[0]) : NULL;
}

// create_pages: what does not fit into a row together is rather stored elsewhere than the times, and these are not compressed.
static void create_pages(const char *table, const char *page) {
    const Parameters none{};
    catalog_execute(
        psprintf("CREATE TABLE %s (%s bigint PRIMARY KEY, sluice_times bytea NOT NULL, sluice_waiting text[]) "
                 "WITH (fillfactor = 50, toast_tuple_target = %d)",
                 table, page, static_cast<int>(TOAST_TUPLE_TARGET_MAIN)),
        &none);
    catalog_execute(psprintf("ALTER TABLE %s ALTER COLUMN sluice_times SET STORAGE MAIN", table), &none);
}

static void create_rows(const char *table, Relation target, const MergePlan *plan) {
    const Parameters none{};
    catalog_execute(psprintf("CREATE TABLE %s (%s, sluice_times bytea NOT NULL, sluice_waiting text[], "
                             "sluice_deep bytea, PRIMARY KEY (%s)) "
                             "WITH (fillfactor = 50)",
                             table, key_definition(target, plan, true), key_definition(target, plan, false)),
                    &none);
}

void create_merge_states(int32 pipeline, const char *name, Relation target, const MergePlan *plan, Oid owner) {
    const Parameters none{};
    const char *table = merge_states_name(pipeline), *page = page_of_plan(plan);
    if (page)
        create_pages(table, page);
    else
        create_rows(table, target, plan);
    catalog_execute(
        psprintf("CREATE INDEX merge_%d_waiting ON %s ((true)) WHERE sluice_waiting IS NOT NULL", pipeline, table),
        &none);
    catalog_execute(psprintf("REVOKE ALL ON %s FROM PUBLIC", table), &none);
    catalog_execute(psprintf("COMMENT ON TABLE %s IS %s", table,
                             quote_literal_cstr(psprintf("when pipeline %s set each value of a key", name))),
                    &none);
    catalog_execute(psprintf("ALTER TABLE %s OWNER TO %s", table, quote_identifier(GetUserNameFromId(owner, false))),
                    &none);
}

void drop_merge_states(int32 pipeline) {
    const Parameters none{};
    if (OidIsValid(find_table(pipeline)))
        catalog_execute(psprintf("DROP TABLE %s", merge_states_name(pipeline)), &none);
}

// has_pages: only rows of single keys have a place for deep columns.
static bool has_pages(Oid states) { return get_attnum(states, "sluice_deep") == InvalidAttrNumber; }

bool count_waiting_keys(int32 pipeline, int64 *count) {
    const Oid table = find_table(pipeline);
    if (!OidIsValid(table) || pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
        return false;
    const char *keys = has_pages(table) ? ", LATERAL (SELECT DISTINCT s.sluice_waiting[i][1] FROM "
                                          "pg_catalog.generate_subscripts(s.sluice_waiting, 1) i) k"
                                        : "";
    *count = count_rows(psprintf("SELECT pg_catalog.count(*) FROM %s s%s WHERE s.sluice_waiting IS NOT NULL",
                                 merge_states_name(pipeline), keys),
                        0, NULL, NULL);
    return true;
}

// misfit tells what column of the key is not of the type with which the table was made: a key of another type, or of other
// columns, sorts and compares otherwise. -1: none.
static int misfit(Relation table, const MergePlan *plan) {
    if (has_pages(RelationGetRelid(table))) {
        const char *page = page_of_plan(plan);
        const char *there = NameStr(TupleDescAttr(RelationGetDescr(table), page_number_column)->attname);
        return page && strcmp(page, there) == 0 ? -1 : 0;
    }
    for (int i = 0; i < plan->key_count; i++) {
        Form_pg_attribute there = TupleDescAttr(RelationGetDescr(table), i);
        Form_pg_attribute target = TupleDescAttr(plan->columns, plan->key[i] - 1);
        if (there->atttypid != target->atttypid || there->attcollation != target->attcollation)
            return i;
    }
    return -1;
}

static bool fits(Oid states, const MergePlan *plan) {
    Relation table = table_open(states, AccessShareLock);
    const bool fit = misfit(table, plan) < 0;
    table_close(table, NoLock);
    return fit;
}

bool empty_merge_states(const Pipeline *pipeline, const MergePlan *plan) {
    const Oid states = find_table(pipeline->id);
    if (!OidIsValid(states) || !fits(states, plan))
        return false;
    give_table(states, pipeline->owner);
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(psprintf("DELETE FROM %s", merge_states_name(pipeline->id)), false, 0) != SPI_OK_DELETE)
        elog(ERROR, "unexpected result of a delete from the states of a merge");
    MemoryContextSwitchTo(memory);
    return true;
}

static void check_key(const Pipeline *pipeline, Relation table, const MergePlan *plan) {
    const int column = misfit(table, plan);
    if (column < 0)
        return;
    Form_pg_attribute there = TupleDescAttr(RelationGetDescr(table), column);
    Form_pg_attribute target = TupleDescAttr(plan->columns, plan->key[column] - 1);
    ereport(
        ERROR,
        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
         errmsg("the type of key column %s of target %s was changed", NameStr(target->attname),
                relation_name(plan->relation)),
         errdetail("%s, which holds when each value was set, has the key as it was.", merge_states_name(pipeline->id)),
         has_pages(RelationGetRelid(table))
             ? errhint("CALL sluice.rebuild(%s), which merges everything anew.", quote_literal_cstr(pipeline->name))
             : errhint("ALTER TABLE %s ALTER COLUMN %s TYPE %s;", merge_states_name(pipeline->id),
                       quote_identifier(NameStr(there->attname)), format_type_be(target->atttypid))));
}

MergeStates *open_merge_states(const Pipeline *pipeline, const MergePlan *plan) {
    MergeStates *states = static_cast<MergeStates *>(palloc0(sizeof(MergeStates)));
    states->plan = plan;
    states->relation = find_table(pipeline->id);
    if (!OidIsValid(states->relation))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("table %s of pipeline \"%s\" is gone", merge_states_name(pipeline->id), pipeline->name),
                        errdetail("It held when each value of a key was set."),
                        errhint("Restore it; or CALL sluice.rebuild, which merges everything anew.")));
    give_table(states->relation, pipeline->owner);
    Relation table = table_open(states->relation, AccessShareLock);
    check_key(pipeline, table, plan);
    states->page = has_pages(states->relation) ? page_of_plan(plan) : NULL;
    states->column_count = states->page ? static_cast<int>(page_column_count) : plan->key_count + own_columns;
    (void)RelationGetIndexList(table); // sets rd_pkindex
    states->key_index = table->rd_pkindex;
    table_close(table, NoLock);
    return states;
}

WriterTarget merge_states_target(const MergeStates *states) {
    WriterTarget target{};
    target.relation = states->relation;
    target.parent = -1;
    target.mode = Mode::Upsert;
    target.key_index = states->key_index;
    for (int i = 1; i <= states->column_count; i++)
        target.written = bms_add_member(target.written, i);
    return target;
}

// ---- the times

constexpr int heads = 2; // the newest moment and that of the last delete

static MergeState no_merge_state(const MergePlan *plan) {
    MergeState state{};
    state.newest = state.deleted = unknown_moment;
    state.moments = static_cast<int64 *>(palloc(sizeof(int64) * (plan->leaf_count + 1)));
    state.waiting = static_cast<FoldValue *>(palloc0(sizeof(FoldValue) * (plan->leaf_count + 1)));
    state.deep = static_cast<DeepTimes *>(palloc0(sizeof(DeepTimes) * (plan->leaf_count + 1)));
    for (int i = 0; i < plan->leaf_count; i++)
        state.moments[i] = state.waiting[i].moment = unknown_moment;
    return state;
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

static void read_row_times(const MergePlan *plan, Datum stored, MergeState *state) {
    struct varlena *data = PG_DETOAST_DATUM_PACKED(stored);
    int64 *times = make_times(plan);
    for (int i = 0; i < count_times(plan); i++)
        times[i] = unknown_moment; // as what a state was written without
    memcpy(times, VARDATA_ANY(data),
           sizeof(int64) * Min(VARSIZE_ANY_EXHDR(data) / sizeof(int64), static_cast<Size>(count_times(plan))));
    take_times(plan, times, state);
    pfree(times);
}

static Datum write_row_times(const MergePlan *plan, const MergeState *state) {
    const Size size = sizeof(int64) * count_times(plan);
    bytea *stored = static_cast<bytea *>(palloc(VARHDRSZ + size));
    SET_VARSIZE(stored, VARHDRSZ + size);
    int64 *times = make_times(plan);
    give_times(plan, state, times);
    memcpy(VARDATA(stored), times, size);
    pfree(times);
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

static void read_row_state(const MergePlan *plan, const Datum *values, const bool *nulls, MergeState *state) {
    read_row_times(plan, values[plan->key_count + times_column], state);
    if (!nulls[plan->key_count + waiting_column])
        read_row_waiting(plan, values[plan->key_count + waiting_column], state);
    if (!nulls[plan->key_count + deep_column])
        read_row_deep(plan, values[plan->key_count + deep_column], state);
}

static void fill_row_state(const MergePlan *plan, const MergeState *state, WriterRow *row) {
    Datum *values = &row->values[plan->key_count];
    bool *nulls = &row->nulls[plan->key_count];
    values[times_column] = write_row_times(plan, state);
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
    MergeState state = no_merge_state(states->plan);
    if (states->page) {
        MergePage page{};
        page.relation = states->relation;
        page.memory = CurrentMemoryContext;
        read_page(&page, values, nulls);
        read_page_state(states->plan, &page, key, make_times(states->plan), &state);
    } else {
        read_row_state(states->plan, values, nulls, &state);
    }
    return state;
}

struct StateKeeper {
    const MergeStates *states;
    Writer *writer;
    int target;
    // with pages
    MergePage page;
    bool at_hand, changed; // the page
    int64 *times;          // of a key
};

StateKeeper *keep_merge_states(const MergeStates *states, Writer *writer, int target) {
    StateKeeper *keeper = static_cast<StateKeeper *>(palloc0(sizeof(StateKeeper)));
    keeper->states = states;
    keeper->writer = writer;
    keeper->target = target;
    if (!states->page)
        return keeper;
    keeper->page.relation = states->relation;
    keeper->page.memory = AllocSetContextCreate(CurrentMemoryContext, "sluice merge page", ALLOCSET_DEFAULT_SIZES);
    keeper->times = make_times(states->plan);
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
    MergeState state = no_merge_state(plan);
    if (keeper->states->page) {
        if (!keeper->at_hand)
            find_page(keeper, page_of(key->place));
        read_page_state(plan, &keeper->page, key, keeper->times, &state);
    } else {
        WriterRow there;
        if (find_key_row(keeper, key, &there))
            read_row_state(plan, there.values, there.nulls, &state);
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
        fill_row_state(plan, state, &row);
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

void drop_keeper(StateKeeper *keeper) {
    if (keeper->page.memory)
        MemoryContextDelete(keeper->page.memory);
    if (keeper->times)
        pfree(keeper->times);
    pfree(keeper);
}

} // namespace sluice
