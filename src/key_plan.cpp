// Planning what becomes of rows that come again: the mode of each table, the unique index behind its key, and how the rows
// of children that are replaced refer to their parents. See shred.hpp.
#include "shred.hpp"

#include "key.hpp"
#include "names.hpp"

namespace sluice {

static bool has_key(const ShredTable *table) { return table->mapped->key_count > 0; }

// resolve_mode settles the mode of a table that says none: the children of rows that may come again are replaced with them.
static void resolve_mode(ShredPlan *plan, ShredTable *table) {
    const MappedTable *mapped = table->mapped;
    const char *place = mapped->has_mode ? psprintf("%s/mode", mapped->pointer) : mapped->pointer;
    const ShredTable *parent = table->parent >= 0 ? &plan->tables[table->parent] : NULL;
    const bool may_come_again = parent && parent->mode != Mode::Append;
    table->mode = mapped->mode;
    if (!mapped->has_mode && !has_key(table) && may_come_again)
        table->mode = Mode::Replace;
    if (table->mode == Mode::Replace && !may_come_again)
        mapping_error(place,
                      psprintf("\"replace\" needs a parent that may come again, but %s has no \"key\"",
                               mapped->parent ? mapped->parent : "the document"),
                      "Give the parent a \"key\".");
    if (parent && parent->mode == Mode::Replace && table->mode != Mode::Replace)
        mapping_error(
            has_key(table) ? psprintf("%s/key", mapped->pointer) : place,
            psprintf("the rows of parent %s are replaced, and with them those of its children", mapped->parent),
            "Leave \"key\" and \"mode\" out, or give the parent a \"key\" of its own.");
}

static void resolve_below(ShredPlan *plan, ShredTable *table) {
    resolve_mode(plan, table);
    for (int i = 0; i < table->child_count; i++)
        resolve_below(plan, &plan->tables[table->children[i]]);
}

// plan_modes goes from the parents to the children.
void plan_modes(ShredPlan *plan) {
    for (int i = 0; i < plan->table_count; i++)
        if (plan->tables[i].parent < 0)
            resolve_below(plan, &plan->tables[i]);
}

// ---- the index behind a key

static const char *key_list(const MappedTable *mapped) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < mapped->key_count; i++)
        appendStringInfo(&list, "%s%s", i ? ", " : "", quote_identifier(mapped->key[i]));
    return list.data;
}

static void check_key_type(const MappedTable *mapped, Relation relation, const char *column, int needed,
                           const char *what) {
    const AttrNumber number = get_attnum(RelationGetRelid(relation), column);
    const Oid type = getBaseType(TupleDescAttr(RelationGetDescr(relation), number - 1)->atttypid);
    const TypeCacheEntry *entry = lookup_type_cache(type, needed);
    if (!OidIsValid(needed == TYPECACHE_HASH_PROC ? entry->hash_proc : entry->cmp_proc))
        mapping_error(mapped->pointer,
                      psprintf("column \"%s\" has type %s, which cannot be %s", column, format_type_be(type), what),
                      NULL);
}

static void plan_key(ShredTable *table, Relation relation) {
    const MappedTable *mapped = table->mapped;
    const char *pointer = psprintf("%s/key", mapped->pointer);
    refuse_without_conflicts(pointer, relation);
    table->key_index = find_key_index(relation, mapped->key, mapped->key_count);
    if (!OidIsValid(table->key_index))
        missing_key_index(pointer, relation, key_list(mapped));
    for (int i = 0; i < mapped->key_count; i++)
        check_key_type(mapped, relation, mapped->key[i], TYPECACHE_HASH_PROC, "looked up by its hash");
    if (!mapped->newest_by)
        return;
    check_key_type(mapped, relation, mapped->newest_by, TYPECACHE_CMP_PROC, "compared");
    table->newest_by = get_attnum(RelationGetRelid(relation), mapped->newest_by);
}

// refuse_twice refuses a table that is written by two parts of the mapping, if one of them looks keys up.
static void refuse_twice(const ShredPlan *plan, const ShredTable *table) {
    for (int i = 0; i < plan->table_count; i++)
        if (&plan->tables[i] != table && plan->tables[i].relation == table->relation)
            mapping_error(table->mapped->pointer,
                          psprintf("the table stands twice in the mapping, as %s too, and has a \"key\"",
                                   plan->tables[i].mapped->name),
                          NULL);
}

static void plan_references(ShredTable *table) {
    table->references = static_cast<ColumnLink *>(palloc(sizeof(ColumnLink) * (table->column_count + 1)));
    for (int i = 0; i < table->column_count; i++) {
        const ShredColumn *column = &table->columns[i];
        if (column->mapped->form == ValueForm::Parent)
            table->references[table->reference_count++] =
                ColumnLink{static_cast<AttrNumber>(column->column + 1), static_cast<AttrNumber>(column->other + 1)};
    }
    if (table->reference_count == 0)
        mapping_error(table->mapped->pointer,
                      "its rows are replaced when the parent comes again, but no column tells whose they are",
                      "Map a column to \"parent.column\", or set \"mode\" to \"append\".");
}

void plan_keys(ShredPlan *plan) {
    for (int i = 0; i < plan->table_count; i++) {
        ShredTable *table = &plan->tables[i];
        Relation relation = table_open(table->relation, AccessShareLock);
        if (has_key(table)) {
            refuse_twice(plan, table);
            plan_key(table, relation);
        } else if (table->mode == Mode::Replace) {
            plan_references(table);
        }
        table_close(relation, AccessShareLock);
    }
}

// ---- advice

static bool has_index_on(Relation relation, const ShredTable *table) {
    bool found = false;
    ListCell *cell;
    foreach (cell, RelationGetIndexList(relation)) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        for (int i = 0; i < table->reference_count; i++)
            found = found || (index->rd_index->indkey.values[0] == table->references[i].child &&
                              RelationGetIndexPredicate(index) == NIL);
        index_close(index, NoLock);
    }
    return found;
}

void advise_indexes(const ShredPlan *plan) {
    for (int i = 0; i < plan->table_count; i++) {
        const ShredTable *table = &plan->tables[i];
        if (table->mode != Mode::Replace)
            continue;
        Relation relation = table_open(table->relation, AccessShareLock);
        const char kind = relation->rd_rel->relkind;
        if ((kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE) && !has_index_on(relation, table)) {
            const char *name = relation_name(table->relation);
            const char *column = quote_identifier(
                NameStr(TupleDescAttr(RelationGetDescr(relation), table->references[0].child - 1)->attname));
            ereport(NOTICE, (errmsg("%s has no index on %s: replacing its rows reads the whole table", name, column),
                             errhint("CREATE INDEX ON %s (%s);", name, column)));
        }
        table_close(relation, AccessShareLock);
    }
}

} // namespace sluice
