// See leaves.hpp.
#include "leaves.hpp"

#include "catalog.hpp"
#include "names.hpp"

namespace sluice {

List *leaves_of(Oid source) {
    List *leaves = NIL;
    ListCell *cell;
    foreach (cell, find_all_inheritors(source, AccessShareLock, NULL))
        if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_RELATION &&
            !isOtherTempNamespace(get_rel_namespace(lfirst_oid(cell)))) // which the server does not read either
            leaves = lappend_oid(leaves, lfirst_oid(cell));
    return leaves;
}

Numbers leaf_numbers(List *leaves) {
    Numbers numbers{static_cast<int64 *>(palloc(sizeof(int64) * (list_length(leaves) + 1))), 0};
    ListCell *cell;
    foreach (cell, leaves)
        numbers.values[numbers.count++] = lfirst_oid(cell);
    return numbers;
}

static bool is_known(Oid leaf, const Numbers *known) {
    for (int i = 0; i < known->count; i++)
        if (known->values[i] == leaf)
            return true;
    return false;
}

List *new_leaves(List *leaves, const Numbers *known) {
    List *found = NIL;
    ListCell *cell;
    foreach (cell, leaves)
        if (!is_known(lfirst_oid(cell), known))
            found = lappend_oid(found, lfirst_oid(cell));
    return found;
}

const int64 *find_mark(const Numbers *leaves, int64 leaf) {
    for (int i = 0; i < leaves->count; i += 2)
        if (leaves->values[i] == leaf)
            return &leaves->values[i + 1];
    return NULL;
}

// The owner of the pipeline may have no right on a partition: the look is the superuser's, at nothing but built-in types.
bool has_rows(Oid leaf, const char *condition) {
    const Parameters none{};
    const uint64 found =
        catalog_execute(psprintf("SELECT 1 FROM ONLY %s s WHERE %s LIMIT 1", relation_name(leaf), condition), &none);
    free_result();
    return found > 0;
}

void warn_of_attached_rows(Oid source, Oid leaf, const char *condition) {
    if (!has_rows(leaf, condition))
        return;
    ereport(WARNING, (errmsg("partition %s was attached to source %s with rows that look as if they had been read",
                             relation_name(leaf), relation_name(source)),
                      errdetail("Rows that stand below the position are not loaded."),
                      errhint("Load them by a pipeline of its own on %s, or delete them and insert them again.",
                              relation_name(leaf))));
}

} // namespace sluice
