// Writing facts: what a batch knows of them goes into their table. See facts_write.cpp.
#pragma once

#include "postgres.hpp"

#include "facts.hpp"
#include "references.hpp"
#include "stage.hpp"
#include "writer.hpp"

namespace sluice {

// What writing keeps over the batches of a plan.
struct FactsTarget {
    FactsPlan *plan;
    References *references;
    WriterCache *cache, *newest_cache;
    Oid newest, newest_index;                         // the table that remembers times, and its key
    MemoryContext row;                                // reset for each
    const FactColumn *at;                             // the measure in progress, for error messages
    void (*see)(void *seer, Oid relation, Datum row); // is shown each row that is written, or NULL
    void *seer;
};

FactsTarget *open_facts_target(FactsPlan *plan, MemoryContext row);

// add_facts adds the groups of a tally (without surrogates that are not known yet) to the facts that are there.
void add_facts(FactsTarget *target, Tally *tally, WriterCounts *counts);

// stage_touched gives the touched values to statements, as sluice_touched (r1, r2 ... in the order of replace_by).
Stage *stage_touched(const FactsPlan *plan, const Tally *touched);
// is_touched joins it, as t, to the facts, by their alias.
const char *is_touched(const FactsPlan *plan, const char *facts);

// replace_facts puts them in the place of all facts of the touched values (a tally of the columns of replace_by).
void replace_facts(FactsTarget *target, Tally *tally, const Tally *touched, WriterCounts *counts);

} // namespace sluice
