// Leaves: the tables in which the rows of a source lie. A table that is attached as a partition brings rows with it, which
// fires nothing and draws no number: they are noticed by comparing the leaves.
#pragma once

#include "postgres.hpp"

#include "catalog.hpp"

namespace sluice {

List *leaves_of(Oid source); // plain tables alone, as an Oid list

Numbers leaf_numbers(List *leaves);
List *new_leaves(List *leaves, const Numbers *known);

// A list of leaves with marks: oid, mark, oid, mark. find_mark gives the mark of a leaf; NULL when it is not there.
const int64 *find_mark(const Numbers *leaves, int64 leaf);

// has_rows tells whether a leaf holds rows that fulfil a condition over it as s. It looks as the superuser.
bool has_rows(Oid leaf, const char *condition);

// warn_of_attached_rows warns when a new leaf holds rows that fulfil `condition` (over the leaf as s): rows that a position
// has passed already.
void warn_of_attached_rows(Oid source, Oid leaf, const char *condition);

} // namespace sluice
