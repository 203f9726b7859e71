// See merge_state.hpp.
#include "merge_state.hpp"

#include "catalog.hpp"
#include "cursor.hpp"
#include "key.hpp"
#include "merge_page.hpp"
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

// page_of_plan names the column of pages, where keys have pages; else NULL.
static const char *page_of_plan(const MergePlan *plan) {
    for (int i = 0; i < plan->leaf_count; i++)
        if (plan->leaves[i].rule == Rule::Deep)
            return NULL;
    return plan->key_count == 1 ? page_column_name(plan->key_types[0]) : NULL;
}

// create_pages: the times lie in their row, as they are, up to a length that no plan of usual width reaches.
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

static bool has_pages(Oid states) {
    const char *first = get_attname(states, 1, true);
    return first && is_page_column_name(first);
}

bool count_waiting_keys(int32 pipeline, int64 *count) {
    const Oid table = find_table(pipeline);
    if (!OidIsValid(table) || pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
        !ConditionalLockRelationOid(table, AccessShareLock)) // a rebuild that makes it anew takes its time
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

static bool is_column(Relation table, int number, const char *name, Oid type) {
    if (number >= RelationGetDescr(table)->natts)
        return false;
    Form_pg_attribute column = TupleDescAttr(RelationGetDescr(table), number);
    return !column->attisdropped && strcmp(NameStr(column->attname), name) == 0 && column->atttypid == type;
}

// states_index finds the index of the table's key, which its first columns are.
static Oid states_index(Relation table, int count) {
    const char **names = static_cast<const char **>(palloc(sizeof(char *) * count));
    for (int i = 0; i < count; i++)
        names[i] = NameStr(TupleDescAttr(RelationGetDescr(table), i)->attname);
    return find_key_index(table, names, count);
}

// is_as_made: its owner may alter it, though there is nothing to gain.
static bool is_as_made(Relation table, const MergePlan *plan) {
    const bool pages = has_pages(RelationGetRelid(table));
    const int key = pages ? 1 : plan->key_count;
    return (!pages || TupleDescAttr(RelationGetDescr(table), 0)->atttypid == INT8OID) &&
           is_column(table, key, "sluice_times", BYTEAOID) &&
           is_column(table, key + 1, "sluice_waiting", TEXTARRAYOID) &&
           (pages || is_column(table, key + 2, "sluice_deep", BYTEAOID)) && OidIsValid(states_index(table, key));
}

static bool fits(Oid states, const MergePlan *plan) {
    Relation table = table_open(states, AccessShareLock);
    const bool fit = misfit(table, plan) < 0 && is_as_made(table, plan);
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
    if (!is_as_made(table, plan))
        ereport(
            ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("table %s of pipeline \"%s\" was altered", merge_states_name(pipeline->id), pipeline->name),
             errdetail("It holds when each value of a key was set, in columns and by a primary key of its own."),
             errhint("CALL sluice.rebuild(%s), which merges everything anew.", quote_literal_cstr(pipeline->name))));
    states->page = has_pages(states->relation) ? page_of_plan(plan) : NULL;
    states->column_count = states->page ? static_cast<int>(page_column_count) : plan->key_count + own_column_count;
    states->key_index = states_index(table, states->page ? 1 : plan->key_count);
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

} // namespace sluice
