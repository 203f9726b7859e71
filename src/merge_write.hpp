// Writing what a batch folded: into the target, and what is remembered of each key.
#pragma once

#include "postgres.hpp"

#include "fold.hpp"
#include "merge_keeper.hpp"
#include "writer.hpp"

namespace sluice {

struct MergeWriter {
    const MergePlan *plan;
    const MergeStates *states;
    WriterCache *cache;
    MemoryContext row; // reset for each key
    void (*see)(void *seer, Oid relation, Datum row);
    void *seer;
    WriterCounts counts;
    // where it is, for error messages
    const FoldKey *key;
    const char *column; // whose values are being added up
    const char *place;  // of the only source row, or NULL
    ErrorContextCallback context;
};

// write_fold writes keys in the order in which they stand: that of the index, or the other way round.
void write_fold(MergeWriter *writer, FoldKey **keys, int64 count);

const char *key_text(const MergePlan *plan, const FoldKey *key); // (id)=(5)

} // namespace sluice
