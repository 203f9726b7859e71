// Growing targets: what documents bring that the mapping does not know (unknown => 'add') becomes columns and child tables,
// and a column grows to a wider type where a value does not fit.
#pragma once

#include "postgres.hpp"

#include "coverage.hpp"
#include "pipeline.hpp"
#include "shape.hpp"
#include "shred.hpp"

namespace sluice {

// A column that is to have another type.
struct Widening {
    int table;
    const char *column;
    const char *type;
    const char *refused; // why it cannot be; NULL: it is not known yet
};

// A Growth collects what the documents of a chunk ask for.
struct Growth {
    MemoryContext memory;
    Shape **shapes; // for each table what was not known; NULL: nothing
    int table_count;
    int64 unknowns; // values so far
    List *widenings;
    bool any; // anything new since it was last carried out
};

Growth *make_growth(int table_count);

// note_unknowns looks for what the mapping does not know of a document; it tells whether there is anything.
bool note_unknowns(Growth *growth, const Coverage *coverage, const Value &document);

// note_misfit asks for a type that holds a value which does not fit its column; false: there is none, or it was tried.
bool note_misfit(Growth *growth, const Shredder *shredder);

// why_not_wider says why a column could not be widened; NULL: it was not tried.
const char *why_not_wider(const Growth *growth, const Shredder *shredder);

// carry_out alters and creates tables as the current user, and returns the new mapping, in CurrentMemoryContext; the caller
// stores it (store_mapping) with what was done.
const char *carry_out(Growth *growth, const Pipeline *pipeline, int64 run);

} // namespace sluice
