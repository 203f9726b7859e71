// Foreign keys by construction: a child row whose key was copied from a parent row that the same batch inserted needs no
// lookup. See foreign_key.cpp for when that is certain.
#pragma once

#include "postgres.hpp"

namespace sluice {

// A ColumnLink says that a child's column holds, unchanged, the value of its parent row's column.
struct ColumnLink {
    AttrNumber child, parent;
};

// implied_foreign_keys lists the constraints of `child` that such links fulfil when the parent rows are in `parent`.
List *implied_foreign_keys(Relation child, Oid parent, const ColumnLink *links, int count);

// is_simple_key tells whether a foreign key asks no more than that its columns, where none is null, are found.
bool is_simple_key(Oid constraint);

// drop_implied_checks takes the check triggers of these constraints from a table that is about to be written.
void drop_implied_checks(ResultRelInfo *relation, List *constraints);

// may_interfere tells whether putting rows into a table (or one of its partitions) runs code of users row by row, which could
// change or suppress rows of this batch: BEFORE ROW triggers, functions in defaults, generated columns, checks, indexes,
// partition keys and domains.
bool may_interfere(Relation relation, bool by_query);

// runs_user_code tells whether evaluating an expression may run code that writes.
bool runs_user_code(Node *expression);

} // namespace sluice
