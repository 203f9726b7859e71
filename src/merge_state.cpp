// See merge_state.hpp.
#include "merge_state.hpp"

#include "catalog.hpp"
#include "cursor.hpp"
#include "names.hpp"

namespace sluice {

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

void create_merge_states(int32 pipeline, const char *name, Relation target, const MergePlan *plan, Oid owner) {
    const Parameters none{};
    const char *table = merge_states_name(pipeline);
    catalog_execute(psprintf("CREATE TABLE %s (%s, sluice_times bytea NOT NULL, sluice_waiting text[], "
                             "sluice_deep bytea, PRIMARY KEY (%s)) "
                             "WITH (fillfactor = 50)",
                             table, key_definition(target, plan, true), key_definition(target, plan, false)),
                    &none);
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

bool count_waiting_keys(int32 pipeline, int64 *count) {
    const Oid table = find_table(pipeline);
    if (!OidIsValid(table) || pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
        return false;
    *count = count_rows(
        psprintf("SELECT pg_catalog.count(*) FROM %s WHERE sluice_waiting IS NOT NULL", merge_states_name(pipeline)), 0,
        NULL, NULL);
    return true;
}

bool empty_merge_states(const Pipeline *pipeline) {
    const Oid states = find_table(pipeline->id);
    if (!OidIsValid(states))
        return false;
    give_table(states, pipeline->owner);
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(psprintf("DELETE FROM %s", merge_states_name(pipeline->id)), false, 0) != SPI_OK_DELETE)
        elog(ERROR, "unexpected result of a delete from the states of a merge");
    MemoryContextSwitchTo(memory);
    return true;
}

// check_key: a key of another type, or of other columns, sorts and compares otherwise.
static void check_key(const Pipeline *pipeline, Relation table, const MergePlan *plan) {
    for (int i = 0; i < plan->key_count; i++) {
        Form_pg_attribute there = TupleDescAttr(RelationGetDescr(table), i);
        Form_pg_attribute target = TupleDescAttr(plan->columns, plan->key[i] - 1);
        if (there->atttypid == target->atttypid && there->attcollation == target->attcollation)
            continue;
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the type of key column %s of target %s was changed", NameStr(target->attname),
                               relation_name(plan->relation)),
                        errdetail("%s, which holds when each value was set, has the key as it was.",
                                  merge_states_name(pipeline->id)),
                        errhint("ALTER TABLE %s ALTER COLUMN %s TYPE %s;", merge_states_name(pipeline->id),
                                quote_identifier(NameStr(there->attname)), format_type_be(target->atttypid))));
    }
}

MergeStates *open_merge_states(const Pipeline *pipeline, const MergePlan *plan) {
    MergeStates *states = static_cast<MergeStates *>(palloc0(sizeof(MergeStates)));
    states->plan = plan;
    states->key_count = plan->key_count;
    states->relation = find_table(pipeline->id);
    if (!OidIsValid(states->relation))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("table %s of pipeline \"%s\" is gone", merge_states_name(pipeline->id), pipeline->name),
                        errdetail("It held when each value of a key was set."),
                        errhint("Restore it; or CALL sluice.rebuild, which merges everything anew.")));
    give_table(states->relation, pipeline->owner);
    Relation table = table_open(states->relation, AccessShareLock);
    check_key(pipeline, table, plan);
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
    for (int i = 1; i <= states->key_count + merge_state_columns; i++)
        target.written = bms_add_member(target.written, i);
    return target;
}

// ---- the times

constexpr int heads = 2; // the newest moment and that of the last delete

MergeState no_merge_state(const MergePlan *plan) {
    MergeState state{};
    state.newest = state.deleted = unknown_moment;
    state.moments = static_cast<int64 *>(palloc(sizeof(int64) * (plan->leaf_count + 1)));
    state.waiting = static_cast<FoldValue *>(palloc0(sizeof(FoldValue) * (plan->leaf_count + 1)));
    state.deep = static_cast<DeepTimes *>(palloc0(sizeof(DeepTimes) * (plan->leaf_count + 1)));
    for (int i = 0; i < plan->leaf_count; i++)
        state.moments[i] = state.waiting[i].moment = unknown_moment;
    return state;
}

// moment_at reads one of the times; what a state was written without is unknown.
static int64 moment_at(const char *data, Size length, int number) {
    int64 moment = unknown_moment;
    if (sizeof(int64) * (number + 1) <= length)
        memcpy(&moment, data + sizeof(int64) * number, sizeof(moment));
    return moment;
}

static void read_times(const MergePlan *plan, Datum times, MergeState *state) {
    struct varlena *stored = PG_DETOAST_DATUM_PACKED(times);
    const char *data = VARDATA_ANY(stored);
    const Size length = VARSIZE_ANY_EXHDR(stored);
    state->newest = moment_at(data, length, 0);
    state->deleted = moment_at(data, length, 1);
    for (int i = 0; i < plan->leaf_count; i++)
        state->moments[i] = moment_at(data, length, heads + plan->leaves[i].slot);
}

static Datum write_times(const MergePlan *plan, const MergeState *state) {
    const Size size = sizeof(int64) * (heads + plan->slot_count);
    bytea *times = static_cast<bytea *>(palloc(VARHDRSZ + size));
    SET_VARSIZE(times, VARHDRSZ + size);
    int64 *moments = static_cast<int64 *>(palloc(size));
    moments[0] = state->newest;
    moments[1] = state->deleted;
    for (int i = heads; i < heads + plan->slot_count; i++)
        moments[i] = unknown_moment;
    for (int i = 0; i < plan->leaf_count; i++)
        moments[heads + plan->leaves[i].slot] = state->moments[i];
    memcpy(VARDATA(times), moments, size);
    pfree(moments);
    return PointerGetDatum(times);
}

static void read_deep_times(const MergePlan *plan, Datum times, MergeState *state) {
    struct varlena *stored = PG_DETOAST_DATUM_COPY(times); // the row that it lies in may go
    for (int i = 0; i < plan->leaf_count; i++)
        if (plan->leaves[i].rule == Rule::Deep)
            state->deep[i] = unpack_deep(VARDATA(stored), VARSIZE(stored) - VARHDRSZ, plan->leaves[i].slot);
}

// write_deep_times: false, nothing needs to be written.
static bool write_deep_times(const MergePlan *plan, const MergeState *state, Datum *times) {
    StringInfoData data;
    initStringInfo(&data);
    appendStringInfoSpaces(&data, VARHDRSZ);
    for (int i = 0; i < plan->leaf_count; i++)
        pack_deep(&data, plan->leaves[i].slot, &state->deep[i]);
    SET_VARSIZE(data.data, data.len);
    *times = PointerGetDatum(data.data);
    return data.len > VARHDRSZ;
}

// ---- values that wait

static void read_waiting(const MergePlan *plan, Datum array, MergeState *state) {
    Datum *texts;
    bool *nulls;
    int count;
    deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &count);
    state->waits = true;
    for (int i = 0; i < plan->leaf_count; i++)
        for (int at = 0; at + 1 < count; at += 2)
            if (strcmp(TextDatumGetCString(texts[at]), plan->leaves[i].name) == 0)
                state->waiting[i] = FoldValue{
                    state->moments[i],
                    nulls[at + 1] ? 0 : stored_datum(plan->leaves[i].type, TextDatumGetCString(texts[at + 1])),
                    nulls[at + 1]};
}

static Datum write_waiting(const MergePlan *plan, const MergeState *state) {
    Datum *texts = static_cast<Datum *>(palloc0(sizeof(Datum) * (2 * plan->leaf_count + 1)));
    bool *nulls = static_cast<bool *>(palloc0(sizeof(bool) * (2 * plan->leaf_count + 1)));
    int count = 0;
    for (int i = 0; i < plan->leaf_count; i++) {
        const FoldValue *value = &state->waiting[i];
        if (value->moment == unknown_moment)
            continue;
        texts[count++] = CStringGetTextDatum(plan->leaves[i].name);
        nulls[count] = value->is_null;
        if (!value->is_null)
            texts[count] = CStringGetTextDatum(stored_text(plan->leaves[i].type, value->value));
        count++;
    }
    int dimensions[] = {count}, lower[] = {1};
    return PointerGetDatum(construct_md_array(texts, nulls, 1, dimensions, lower, TEXTOID, -1, false, TYPALIGN_INT));
}

// ---- rows

MergeState read_merge_state(const MergeStates *states, const Datum *values, const bool *nulls) {
    MergeState state = no_merge_state(states->plan);
    state.exists = true;
    read_times(states->plan, values[states->key_count], &state);
    if (!nulls[states->key_count + 1])
        read_waiting(states->plan, values[states->key_count + 1], &state);
    if (!nulls[states->key_count + 2])
        read_deep_times(states->plan, values[states->key_count + 2], &state);
    return state;
}

void fill_merge_state(const MergeStates *states, const MergeState *state, WriterRow *row) {
    row->values[states->key_count] = write_times(states->plan, state);
    row->nulls[states->key_count] = false;
    row->nulls[states->key_count + 1] = !state->waits;
    if (state->waits)
        row->values[states->key_count + 1] = write_waiting(states->plan, state);
    row->nulls[states->key_count + 2] = !write_deep_times(states->plan, state, &row->values[states->key_count + 2]);
}

} // namespace sluice
