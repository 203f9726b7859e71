// Lineage: which run wrote each row of a target, and what the row was before. The rows of sluice.lineage.
//
// Every table that a pipeline with lineage writes has a row trigger, sluice.note_lineage('<pipeline>', '<number>'), whose
// arguments say which target of which pipeline it is (lineage_tables). See lineage.cpp.
#pragma once

#include "postgres.hpp"

namespace sluice {

// A LineageScope is the run in whose name this session writes. It outlives what it points to nowhere: enter and leave it.
struct LineageScope {
    LineageScope *outer;
    int32 pipeline;
    bool notes;                    // the pipeline has lineage
    const int64 *run_id, *batches; // of the run, done so far
    // which source row the rows come from
    MemoryContext memory;
    HTAB *placed;
    const char **documents; // by their number in a writer
    int64 room;
    const char *place; // of all rows; NULL: not known
};

void enter_lineage(LineageScope *scope);
void leave_lineage(LineageScope *scope); // and those entered since
void start_lineage_batch();              // nothing is known of source rows

// Source rows. A writer's documents have numbers; it tells where their rows came to lie.
bool notes_source_rows();
void note_document(int64 number, const char *place);
void place_row(Oid relation, const ItemPointerData *tid, int64 document);
void place_all(const char *place);

// flush_lineage writes the entries that wait in memory.
void flush_lineage();

// A row as the entries have it: an object of column names and values as text that does not depend on settings. Of
// the columns with these numbers, in their order, or with NULL of all that are stored.
const char *row_text(TupleDesc columns, const AttrNumber *numbers, int count, const Datum *values, const bool *nulls);

// While rows are put back, nothing is noted for the pipeline; rows that are not among those `expected` (by row_mark) are told.
struct Restoring {
    int32 pipeline;
    HTAB *expected; // NULL: whatever comes
    int target;     // of an unexpected row
    const char *row_key;
};
void start_restoring(Restoring *restoring);
void end_restoring();
uint64 row_mark(int target, const char *row_key);

void watch_lineage(); // once, when the library is loaded

} // namespace sluice
