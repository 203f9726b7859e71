// See names.hpp.
#include "names.hpp"

namespace sluice {

NearestName nearest_begin(const char *wanted) { return NearestName{wanted, NULL, 0}; }

void nearest_offer(NearestName *nearest, const char *candidate) {
    const int wanted = strlen(nearest->wanted), offered = strlen(candidate);
    if (wanted > 200 || offered > 200 || wanted == 0 || offered == 0)
        return;
    int most = Max(1, Min(3, wanted / 3));
    if (nearest->best)
        most = nearest->distance - 1;
    if (most < 0)
        return;
    const int distance =
        varstr_levenshtein_less_equal(nearest->wanted, wanted, candidate, offered, 1, 1, 1, most, true);
    if (distance <= most) {
        nearest->best = candidate;
        nearest->distance = distance;
    }
}

const char *nearest_hint(const NearestName *nearest) {
    return nearest->best ? psprintf("Perhaps you meant \"%s\".", nearest->best) : NULL;
}

const char *nearest_of(const char *wanted, const char *const *candidates, int count) {
    NearestName nearest = nearest_begin(wanted);
    for (int i = 0; i < count; i++)
        nearest_offer(&nearest, candidates[i]);
    return nearest_hint(&nearest);
}

const char *nearest_column_hint(Relation relation, const char *wanted) {
    NearestName nearest = nearest_begin(wanted);
    TupleDesc columns = RelationGetDescr(relation);
    for (int i = 0; i < columns->natts; i++)
        if (!TupleDescAttr(columns, i)->attisdropped)
            nearest_offer(&nearest, NameStr(TupleDescAttr(columns, i)->attname));
    return nearest_hint(&nearest);
}

RangeVar *read_relation_name(const char *written, const char *place) {
    List *parts;
    if (!SplitIdentifierString(pstrdup(written), '.', &parts) || list_length(parts) < 1 || list_length(parts) > 2)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s: \"%s\" is no name of a table", place, written),
                 errhint("Write schema.table or table; parts with other characters in double quotes.")));
    char *last = static_cast<char *>(llast(parts));
    return makeRangeVar(list_length(parts) == 2 ? static_cast<char *>(linitial(parts)) : NULL, last, -1);
}

const char *relation_name(Oid relation) {
    const char *name = get_rel_name(relation);
    if (!name)
        return "?";
    return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), name);
}

const char *collation_name(Oid collation) {
    HeapTuple tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for collation %u", collation);
    const Form_pg_collation form = reinterpret_cast<Form_pg_collation>(GETSTRUCT(tuple));
    const char *name = quote_qualified_identifier(get_namespace_name(form->collnamespace), NameStr(form->collname));
    ReleaseSysCache(tuple);
    return name;
}

const char *this_home() { return psprintf(UINT64_FORMAT "/%u", GetSystemIdentifier(), MyDatabaseId); }

RelationReference reference_to(Oid relation) {
    return RelationReference{get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation), relation,
                             this_home()};
}

Found resolve_reference(const RelationReference *reference, Oid *relation) {
    const bool home = strcmp(reference->home, this_home()) == 0;
    if (home && get_rel_name(reference->oid)) {
        *relation = reference->oid;
        return Found::Yes;
    }
    const Oid schema = get_namespace_oid(reference->schema, true);
    *relation = OidIsValid(schema) ? get_relname_relid(reference->name, schema) : InvalidOid;
    if (!OidIsValid(*relation))
        return Found::Missing;
    return home ? Found::MadeAgain : Found::Yes;
}

bool has_name(List *names, const char *name) {
    ListCell *cell;
    foreach (cell, names)
        if (strcmp(static_cast<const char *>(lfirst(cell)), name) == 0)
            return true;
    return false;
}

const char *quoted_names(List *names) {
    StringInfoData list;
    initStringInfo(&list);
    ListCell *cell;
    foreach (cell, names)
        appendStringInfo(&list, "%s%s", list.len ? ", " : "",
                         quote_identifier(static_cast<const char *>(lfirst(cell))));
    return list.data;
}

} // namespace sluice
