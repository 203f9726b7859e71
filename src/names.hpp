// Names: the nearest right one for a hint, quoting for messages, and relations that are remembered over renames,
// dumps and restores.
#pragma once

#include "postgres.hpp"

namespace sluice {

// A NearestName collects candidates and keeps the one closest to what was written.
struct NearestName {
    const char *wanted;
    const char *best; // NULL when nothing is near
    int distance;
};

NearestName nearest_begin(const char *wanted);
void nearest_offer(NearestName *nearest, const char *candidate);
const char *nearest_hint(const NearestName *nearest); // "Perhaps you meant \"x\"." or NULL

const char *nearest_of(const char *wanted, const char *const *candidates, int count); // the hint at once

// nearest_column_hint looks among the columns of a relation.
const char *nearest_column_hint(Relation relation, const char *wanted);

// read_relation_name reads a name as it is written in an argument or a mapping, by SQL's rules: quoted parts as they are,
// others in lower case. It raises 22023 at `place`.
RangeVar *read_relation_name(const char *written, const char *place);

// Lists of names: whether one is among them; all of them quoted, with commas.
bool has_name(List *names, const char *name);
const char *quoted_names(List *names);

const char *relation_name(Oid relation);   // schema.table, quoted where needed; "?" when it is gone
const char *collation_name(Oid collation); // with its schema

// A RelationReference is how the catalog remembers a relation: by name, and by oid as long as it stays in the database
// where that oid was taken (`home`). Renames are followed by oid; dumps and restores by name.
struct RelationReference {
    const char *schema;
    const char *name;
    Oid oid;
    const char *home;
};

enum class Found : uint8_t { Yes, MadeAgain, Missing };

const char *this_home(); // system identifier and database
RelationReference reference_to(Oid relation);
Found resolve_reference(const RelationReference *reference, Oid *relation);

// at_place runs a piece of checking; an error it raises gets the place, or the argument, before its message,
// unless it has it already, and the hint, unless it has one.
template <class Work> void at_place(const char *place, Work work, const char *hint = NULL) {
    MemoryContext memory = CurrentMemoryContext;
    PG_TRY();
    { work(); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(memory);
        ErrorData *error = CopyErrorData();
        const bool placed = strncmp(error->message, place, strlen(place)) == 0 && error->message[strlen(place)] == ':';
        if (placed || ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
            PG_RE_THROW();
        FlushErrorState();
        const char *advice = error->hint ? error->hint : hint;
        ereport(ERROR, (errcode(error->sqlerrcode), errmsg("%s: %s", place, error->message),
                        error->detail ? errdetail("%s", error->detail) : 0, advice ? errhint("%s", advice) : 0));
    }
    PG_END_TRY();
}

} // namespace sluice
