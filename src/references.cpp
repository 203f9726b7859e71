// See references.hpp.
//
// What the server does for each row (select the referenced row FOR KEY SHARE, as the owner of its table), a statement does here
// for all distinct keys at once, before any row is written: the locks hold to the end of the transaction, so nobody can take
// the referenced rows away. Where a key is not found, or the constraint is of another kind, nothing is confirmed: the server
// then checks each row and says which one it is.
#include "references.hpp"

#include "foreign_key.hpp"
#include "names.hpp"
#include "stage.hpp"

namespace sluice {

static const char *operator_sql(Oid number) {
    HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(number));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for operator %u", number);
    const Form_pg_operator form = reinterpret_cast<Form_pg_operator>(GETSTRUCT(tuple));
    const char *sql =
        psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)), NameStr(form->oprname));
    ReleaseSysCache(tuple);
    return sql;
}

static const char *reference_query(const ForeignKeyCacheInfo *key) {
    StringInfoData condition;
    initStringInfo(&condition);
    for (int i = 0; i < key->nkeys; i++)
        appendStringInfo(&condition, "%sp.%s %s k.k%d", i ? " AND " : "",
                         quote_identifier(get_attname(key->confrelid, key->confkey[i], false)),
                         operator_sql(key->conpfeqop[i]), i + 1);
    const bool partitioned = get_rel_relkind(key->confrelid) == RELKIND_PARTITIONED_TABLE;
    return psprintf(
        "SELECT pg_catalog.count(*) FROM (SELECT 1 FROM sluice_rows k JOIN %s%s p ON %s FOR KEY SHARE OF p) found",
        partitioned ? "" : "ONLY ", relation_name(key->confrelid), condition.data);
}

// is_tractable tells whether the constraint is plain, and its columns can be told apart in memory.
static bool is_tractable(const ForeignKeyCacheInfo *key, Relation relation, const Bitmapset *written) {
    if (key->nkeys == 0 || key->conrelid != RelationGetRelid(relation) || !is_simple_key(key->conoid))
        return false;
    for (int i = 0; i < key->nkeys; i++) {
        Form_pg_attribute column = TupleDescAttr(RelationGetDescr(relation), key->conkey[i] - 1);
        const TypeCacheEntry *type = lookup_type_cache(getBaseType(column->atttypid),
                                                       TYPECACHE_HASH_PROC | TYPECACHE_EQ_OPR | TYPECACHE_CMP_PROC);
        if (!bms_is_member(key->conkey[i], written) || !OidIsValid(type->hash_proc) || !OidIsValid(type->eq_opr) ||
            !OidIsValid(type->cmp_proc))
            return false;
    }
    return true;
}

static void plan_reference(Reference *reference, const ForeignKeyCacheInfo *key, Relation relation) {
    reference->constraint = key->conoid;
    reference->referenced = key->confrelid;
    reference->count = key->nkeys;
    reference->columns = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * key->nkeys));
    reference->types = static_cast<Oid *>(palloc(sizeof(Oid) * key->nkeys));
    reference->tally = static_cast<TallyColumn *>(palloc0(sizeof(TallyColumn) * key->nkeys));
    for (int i = 0; i < key->nkeys; i++) {
        Form_pg_attribute column = TupleDescAttr(RelationGetDescr(relation), key->conkey[i] - 1);
        reference->columns[i] = key->conkey[i];
        reference->types[i] = column->atttypid;
        describe_tally_column(&reference->tally[i], TallyRole::Key, column->atttypid, column->attcollation,
                              NameStr(column->attname));
    }
    reference->query = reference_query(key);
}

References *plan_references(Relation relation, const Bitmapset *written) {
    References *references = static_cast<References *>(palloc0(sizeof(References)));
    List *keys = RelationGetFKeyList(relation);
    references->list = static_cast<Reference *>(palloc0(sizeof(Reference) * (list_length(keys) + 1)));
    ListCell *cell;
    foreach (cell, keys) {
        const ForeignKeyCacheInfo *key = lfirst_node(ForeignKeyCacheInfo, cell);
        if (is_tractable(key, relation, written))
            plan_reference(&references->list[references->count++], key, relation);
    }
    return references;
}

void begin_references(References *references, MemoryContext memory) {
    for (int i = 0; i < references->count; i++)
        references->list[i].keys = make_tally(references->list[i].tally, references->list[i].count, memory);
}

// A null refers to nothing.
void note_references(References *references, const Datum *values, const bool *nulls) {
    for (int i = 0; i < references->count; i++) {
        const Reference *reference = &references->list[i];
        Datum key[INDEX_MAX_KEYS];
        bool key_nulls[INDEX_MAX_KEYS] = {};
        bool is_null = false;
        for (int k = 0; k < reference->count; k++) {
            key[k] = values[reference->columns[k] - 1];
            is_null = is_null || nulls[reference->columns[k] - 1];
        }
        if (!is_null)
            (void)tally_row(reference->keys, key, key_nulls);
    }
}

// count_referenced looks the keys up as the owner of the referenced table, like the server.
static int64 count_referenced(const Reference *reference, Stage *stage) {
    Oid user;
    int security;
    GetUserIdAndSecContext(&user, &security);
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(reference->referenced));
    if (!HeapTupleIsValid(tuple))
        return -1;
    const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    SetUserIdAndSecContext(owner, security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
    int64 count;
    (void)execute_on_stages(reference->query, &stage, 1, &count, 1);
    SetUserIdAndSecContext(user, security);
    return count;
}

static bool is_confirmed(const Reference *reference) {
    const Tally *keys = reference->keys;
    Stage *stage = make_stage("sluice_rows", reference->count);
    for (int i = 0; i < reference->count; i++)
        describe_stage_column(stage, i + 1, psprintf("k%d", i + 1), reference->types[i], -1,
                              reference->tally[i].collation);
    for (int64 i = 0; i < keys->group_count; i++)
        put_on_stage(stage, keys->groups[i]->values, keys->groups[i]->nulls);
    const bool all = keys->group_count == 0 || count_referenced(reference, stage) == keys->group_count;
    end_stage(stage);
    return all;
}

List *confirm_references(References *references) {
    List *confirmed = NIL;
    for (int i = 0; i < references->count; i++)
        if (is_confirmed(&references->list[i]))
            confirmed = lappend_oid(confirmed, references->list[i].constraint);
    return confirmed;
}

} // namespace sluice
