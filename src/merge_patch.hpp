// Merge patches (RFC 7396): a patch says which members of an object get which value, null removes a member, and a patch
// that is no object is the new value itself.
#pragma once

#include "postgres.hpp"

namespace sluice {

// Members is a walk through the members of an object, in jsonb's order of keys: the shorter first, then by their bytes.
struct Members {
    JsonbIterator *iterator;
    JsonbValue key;
    JsonbValue value; // arrays and objects as they are (jbvBinary)
};

Members members_of(const JsonbValue *object);
bool next_member(Members *members); // false at the end

bool is_object(const JsonbValue *value);
int keys_order(const JsonbValue *left, const JsonbValue *right);

// push_merged writes what a patch that is an object makes of a target; NULL, or a target that is no object, counts as {}.
JsonbValue *push_merged(JsonbParseState **to, const JsonbValue *target, const JsonbValue *patch);

// merge_patch gives the patched document; a target that is NULL is absent.
Jsonb *merge_patch(Jsonb *target, Jsonb *patch);

} // namespace sluice
