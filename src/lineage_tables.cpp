// See lineage_tables.hpp.
//
// A target is known by its number, an argument of its trigger: so renames, dumps and restores do no harm. A table that is
// dropped and made again is another one, and gets a number of its own.
#include "lineage_tables.hpp"

#include "catalog.hpp"
#include "names.hpp"

namespace sluice {

// ---- keys

// index_key gives the columns of an index by which a row can be known; NIL: it is none of those. `nullable`: its columns may
// be null.
static List *index_key(Relation relation, Oid index_id, bool nullable) {
    Relation index = index_open(index_id, AccessShareLock);
    const Form_pg_index form = index->rd_index;
    List *names = NIL;
    bool fits = form->indisunique && form->indimmediate && form->indisvalid && !RelationGetIndexPredicate(index) &&
                !RelationGetIndexExpressions(index);
    for (int i = 0; fits && i < IndexRelationGetNumberOfKeyAttributes(index); i++) {
        Form_pg_attribute column = TupleDescAttr(RelationGetDescr(relation), form->indkey.values[i] - 1);
        fits = column->attnotnull || nullable;
        names = lappend(names, pstrdup(NameStr(column->attname)));
    }
    index_close(index, AccessShareLock);
    return fits ? names : NIL;
}

static bool is_smaller(List *left, List *right) {
    if (list_length(left) != list_length(right))
        return list_length(left) < list_length(right);
    return strcmp(quoted_names(left), quoted_names(right)) < 0;
}

static List *own_key(Relation relation, bool nullable = false) {
    List *key = NIL;
    ListCell *cell;
    List *indexes = RelationGetIndexList(relation); // sets rd_pkindex
    foreach (cell, indexes) {
        const bool primary = lfirst_oid(cell) == relation->rd_pkindex;
        List *names = index_key(relation, lfirst_oid(cell), primary || nullable);
        if (names != NIL && primary)
            return names;
        if (names != NIL && (key == NIL || is_smaller(names, key)))
            key = names;
    }
    return key;
}

List *lineage_key(Relation relation) {
    if (!relation->rd_rel->relispartition)
        return own_key(relation);
    List *ancestors = get_partition_ancestors(RelationGetRelid(relation));
    if (ancestors == NIL)
        return own_key(relation);
    Relation root = table_open(llast_oid(ancestors), AccessShareLock);
    List *key = own_key(root);
    table_close(root, AccessShareLock);
    return key;
}

AttrNumber *key_numbers(Relation relation, List *key) {
    AttrNumber *numbers = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * (list_length(key) + 1)));
    int count = 0;
    ListCell *cell;
    foreach (cell, key)
        numbers[count++] = get_attnum(RelationGetRelid(relation), static_cast<const char *>(lfirst(cell)));
    return numbers;
}

// ---- triggers

static void execute(const char *statement) {
    const Parameters none{};
    catalog_execute(statement, &none);
}

static const char *row_trigger(int32 pipeline) { return psprintf("sluice_%d_lineage", pipeline); }
static const char *truncate_trigger(int32 pipeline) { return psprintf("sluice_%d_lineage_truncate", pipeline); }

List *lineage_targets(int32 pipeline) {
    Parameters parameters{};
    add_text(&parameters, psprintf("%d", pipeline));
    const uint64 count = catalog_execute(
        "SELECT split_part(encode(t.tgargs, 'escape'), '\\000', 2)::bigint, t.tgrelid::bigint FROM pg_trigger t WHERE "
        "t.tgfoid = 'sluice.note_lineage()'::regprocedure AND t.tgparentid = 0 AND t.tgtype & 1 = 1 AND "
        "split_part(encode(t.tgargs, 'escape'), '\\000', 1) = $1 ORDER BY 1",
        &parameters);
    List *targets = NIL;
    bool is_null;
    for (uint64 i = 0; i < count; i++) {
        LineageTarget *target = static_cast<LineageTarget *>(palloc(sizeof(LineageTarget)));
        *target =
            LineageTarget{static_cast<int>(result_int(i, 1, &is_null)), static_cast<Oid>(result_int(i, 2, &is_null))};
        targets = lappend(targets, target);
    }
    free_result();
    return targets;
}

static int next_number(int32 pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    catalog_execute("UPDATE sluice.pipeline SET lineage_targets = lineage_targets + 1 WHERE pipeline_id = $1::int "
                    "RETURNING lineage_targets::bigint",
                    &parameters);
    bool is_null;
    const int number = static_cast<int>(result_int(0, 1, &is_null));
    free_result();
    return number;
}

// refuse_keyless says how a table gets a key.
[[noreturn]] static void refuse_keyless(Relation relation) {
    const char *name = relation_name(RelationGetRelid(relation));
    List *key = own_key(relation, true); // but for nulls
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("lineage: the rows of %s cannot be told apart: it has no primary key", name),
                    errdetail("Nor has it a unique index over columns that are NOT NULL."),
                    key != NIL ? errhint("ALTER TABLE %s ADD PRIMARY KEY (%s);", name, quoted_names(key))
                               : errhint("ALTER TABLE %s ADD COLUMN sluice_id bigint GENERATED ALWAYS AS IDENTITY "
                                         "PRIMARY KEY;",
                                         name)));
    pg_unreachable();
}

static void check_table(Relation relation, Oid owner) {
    const Oid table = RelationGetRelid(relation);
    const char *name = relation_name(table);
    const char kind = relation->rd_rel->relkind;
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("lineage: %s is not a table", name),
                        errdetail("The rows of views and foreign tables have no key by which they could be known.")));
    if (lineage_key(relation) == NIL)
        refuse_keyless(relation);
    if (pg_class_aclcheck(table, owner, ACL_TRIGGER) != ACLCHECK_OK)
        ereport(ERROR,
                (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied to create triggers on %s", name),
                 errhint("GRANT TRIGGER ON %s TO %s;", name, quote_identifier(GetUserNameFromId(owner, false)))));
}

static void add_triggers(const Pipeline *pipeline, Oid table) {
    Relation relation = table_open(table, ShareRowExclusiveLock);
    check_table(relation, pipeline->owner);
    const char *name = relation_name(table);
    const int number = next_number(pipeline->id);
    execute(psprintf("CREATE TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION "
                     "sluice.note_lineage('%d', '%d')",
                     row_trigger(pipeline->id), name, pipeline->id, number));
    execute(psprintf("CREATE TRIGGER %s BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION "
                     "sluice.note_lineage('%d', '%d')",
                     truncate_trigger(pipeline->id), name, pipeline->id, number));
    enable_trigger_always(relation, row_trigger(pipeline->id));
    enable_trigger_always(relation, truncate_trigger(pipeline->id));
    table_close(relation, NoLock);
    CommandCounterIncrement();
}

void keep_lineage(const Pipeline *pipeline, List *relations) {
    ListCell *cell;
    foreach (cell, relations)
        if (!OidIsValid(get_trigger_oid(lfirst_oid(cell), row_trigger(pipeline->id), true)))
            add_triggers(pipeline, lfirst_oid(cell));
}

void drop_lineage(int32 pipeline) {
    ListCell *cell;
    foreach (cell, lineage_targets(pipeline)) {
        const Oid table = static_cast<const LineageTarget *>(lfirst(cell))->relation;
        execute(psprintf("DROP TRIGGER %s ON %s", row_trigger(pipeline), relation_name(table)));
        if (OidIsValid(get_trigger_oid(table, truncate_trigger(pipeline), true)))
            execute(psprintf("DROP TRIGGER %s ON %s", truncate_trigger(pipeline), relation_name(table)));
    }
}

} // namespace sluice
