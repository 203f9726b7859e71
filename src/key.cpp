// See key.hpp.
#include "key.hpp"

#include "names.hpp"

namespace sluice {

static bool is_over_key(const Form_pg_index form, const char *const *columns, int count, Oid relation) {
    if (form->indnkeyatts != count)
        return false;
    for (int i = 0; i < count; i++) {
        const AttrNumber column = get_attnum(relation, columns[i]);
        bool found = false;
        for (int k = 0; k < form->indnkeyatts; k++)
            found = found || (column > 0 && form->indkey.values[k] == column);
        if (!found)
            return false;
    }
    return true;
}

Oid find_key_index(Relation relation, const char *const *columns, int count) {
    Oid found = InvalidOid;
    ListCell *cell;
    foreach (cell, RelationGetIndexList(relation)) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        const Form_pg_index form = index->rd_index;
        if (form->indisunique && form->indimmediate && form->indisvalid && index->rd_rel->relam == BTREE_AM_OID &&
            RelationGetIndexPredicate(index) == NIL && RelationGetIndexExpressions(index) == NIL &&
            is_over_key(form, columns, count, RelationGetRelid(relation)))
            found = RelationGetRelid(index);
        index_close(index, NoLock);
        if (OidIsValid(found))
            break;
    }
    return found;
}

void refuse_without_conflicts(const char *place, Relation relation) {
    const char *what = NULL;
    if (relation->rd_rel->relkind == RELKIND_VIEW)
        what = "a view";
    else if (relation->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
        what = "a foreign table";
    for (int i = 0; relation->rd_rules && i < relation->rd_rules->numLocks; i++)
        if (relation->rd_rules->rules[i]->event == CMD_INSERT || relation->rd_rules->rules[i]->event == CMD_UPDATE)
            what = "a table with rules";
    if (what)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("%s: %s is %s, which cannot take rows by a key", place,
                               relation_name(RelationGetRelid(relation)), what),
                        errhint("Write to the table behind it, or append to it with a pipeline that has no key.")));
}

static bool is_part_of(Oid index, const Oid *indexes, int count) {
    for (int i = 0; i < count; i++)
        if (OidIsValid(index) && OidIsValid(indexes[i]) &&
            (index == indexes[i] ||
             (get_rel_relispartition(index) && list_member_oid(get_partition_ancestors(index), indexes[i]))))
            return true;
    return false;
}

bool is_key_race(const ErrorData *error, const Oid *indexes, int count) {
    if (error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE)
        return true;
    if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION || !error->constraint_name || !error->schema_name)
        return false;
    const Oid schema = get_namespace_oid(error->schema_name, true);
    return OidIsValid(schema) && is_part_of(get_relname_relid(error->constraint_name, schema), indexes, count);
}

void missing_key_index(const char *place, Relation relation, const char *columns) {
    const char *name = relation_name(RelationGetRelid(relation));
    ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
                    errmsg("%s: %s has no unique index over (%s)", place, name, columns),
                    errdetail("It must be a plain one: of just these columns, without condition, not deferrable."),
                    errhint("CREATE UNIQUE INDEX ON %s (%s);", name, columns)));
    pg_unreachable();
}

} // namespace sluice
