// Coverage: which parts of documents a mapping takes, and so what of a document it does not. A value is taken where a
// column's path ends; what `each` iterates is looked into. Nulls are never uncovered.
#pragma once

#include "postgres.hpp"

#include "mapping.hpp"
#include "value.hpp"

namespace sluice {

struct Coverage;
struct CoverNode; // a place that paths of the mapping go to or through

// plan_coverage lays all paths of a mapping over each other, in CurrentMemoryContext.
Coverage *plan_coverage(const Mapping *mapping);

bool has_rest(const Coverage *coverage, int table); // maps a column to "#rest"

// item_place is where the items of a table stand, member_place a member of what stands at a place. NULL: no path goes through
// the items, or to the member.
const CoverNode *item_place(const Coverage *coverage, int table);
const CoverNode *member_place(const CoverNode *object, const char *key, uint32 length);

// uncovered_part gives what of an item of a table, which has a column mapped to "#rest", no column and no child table takes:
// objects with their uncovered members only; arrays with null in place of items of which nothing is left, none at the end.
// NULL: nothing is left. What lies in items of a table with a rest of its own is that table's.
Jsonb *uncovered_part(const Coverage *coverage, int table, const Value &item);

// An Uncovered value: the table whose item is nearest around it (-1: none), and the object keys from there to it. What lies
// within an array or a map that no table iterates is not told apart: the whole array or map is uncovered, once.
struct Uncovered {
    int table;
    const Step *steps; // valid during the call
    int step_count;
    Value value;
};

using UncoveredCallback = void (*)(void *context, const Uncovered *uncovered);

// find_uncovered calls back for each uncovered value of a document. `but_rests`: not for what goes into a rest. It
// allocates nothing as long as nothing is uncovered.
void find_uncovered(const Coverage *coverage, const Value &document, bool but_rests, UncoveredCallback callback,
                    void *context);

} // namespace sluice
