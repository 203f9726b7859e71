// Lineage: which run wrote each row of a target, and what the row was before. The rows of sluice.lineage.
//
// Every table that a pipeline with lineage writes has a row trigger, sluice.note_lineage('<pipeline>', '<number>'), whose
// arguments say which target of which pipeline it is (lineage_tables). See lineage.cpp.
#pragma once

#include "postgres.hpp"

namespace sluice {

// flush_lineage writes the entries that wait in memory, so that they can be read; flush_own_lineage those of this subtransaction.
void flush_lineage();
void flush_own_lineage();

// A RowText writes rows as the entries have them: objects of column names and values as text.
struct RowText {
    TupleDesc columns;
    FmgrInfo *outputs;
    const char **labels; // NULL: the column is not there, or not stored
};

RowText make_row_text(TupleDesc columns);
// row_text writes the columns with these numbers, in their order, or with NULL all; under enter_plain_texts.
const char *row_text(const RowText *row, const AttrNumber *numbers, int count, const Datum *values, const bool *nulls);

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
