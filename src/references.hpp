// References: the foreign keys of rows that are about to be written, looked up once for each distinct key of a batch instead of
// once for each row. See references.cpp.
#pragma once

#include "postgres.hpp"

#include "tally.hpp"

namespace sluice {

struct Reference {
    Oid constraint;
    Oid referenced;
    int count;
    AttrNumber *columns; // of the rows to be written
    const char *query;   // counts and locks the rows that are referred to
    TallyColumn *tally;
    Oid *types;
    Tally *keys; // of the batch
};

struct References {
    Reference *list;
    int count;
};

// plan_references finds the foreign keys of a relation that lie within the columns to be written.
References *plan_references(Relation relation, const Bitmapset *written);

// begin_references begins a batch, note_references notes what a row refers to (its values by attribute number - 1).
void begin_references(References *references, MemoryContext memory);
void note_references(References *references, const Datum *values, const bool *nulls);

// confirm_references locks what the rows refer to, and gives the constraints (oids) that hold for all of them.
List *confirm_references(References *references);

} // namespace sluice
