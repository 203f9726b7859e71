// Lineage's view of a run: in whose name this session writes, and which source rows the rows it writes come from.
#pragma once

#include "postgres.hpp"

namespace sluice {

// A LineageScope is a run; scopes lie one in another where a trigger of a target runs a pipeline. Enter it, and leave it
// before it goes, also when an error ends the run.
struct LineageScope {
    LineageScope *outer;
    int32 pipeline;
    bool notes;                    // the pipeline has lineage
    const int64 *run_id, *batches; // of the run; those that are done
    // which source row the rows come from
    MemoryContext memory;
    HTAB *placed;
    const char **documents; // by their number in a writer
    int64 room;
    const char *place; // of all rows; NULL: not known
};

void enter_lineage(LineageScope *scope);
void leave_lineage(const LineageScope *scope); // and those entered since
void start_lineage_batch();                    // nothing is known of source rows

// lineage_scope finds the run of a pipeline that this session is in; NULL: it is in none.
const LineageScope *lineage_scope(int32 pipeline);

// Source rows. A writer's documents have numbers; it tells where their rows came to lie.
bool notes_source_rows();
void note_document(int64 number, const char *place);
void place_row(Oid relation, const ItemPointerData *tid, int64 document);
void place_all(const char *place);
// place_of tells which source row a row comes from; NULL: it is not known.
const char *place_of(const LineageScope *scope, Oid relation, const ItemPointerData *tid);

} // namespace sluice
