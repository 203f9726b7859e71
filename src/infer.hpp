// Inference: from what documents look like to a mapping, whole or grown by what has come.
//
// The root table has one row a document. Nested objects become columns a_b, arrays and dictionaries child tables
// root__path, conflicting kinds of values jsonb; what no row or mapping could hold goes into a jsonb column mapped to
// "#rest". Every scalar of the documents a shape was made of is in exactly one cell.
#pragma once

#include "postgres.hpp"

#include "mapping.hpp"
#include "shape.hpp"

namespace sluice {

// infer_mapping makes a mapping in CurrentMemoryContext. `root` is the name of the root table as it is to be (not quoted);
// so is `schema`, NULL for tables without one.
Mapping *infer_mapping(const Shape *shape, const char *root, const char *schema);

// infer_source infers from documents of a source: `sample` of them, all when it is 0. It reads by SPI (which must be
// connected) with the rights of the current user. Text that is no JSON is skipped with a warning.
Mapping *infer_source(Relation source, const char *document, int sample, const char *root, const char *schema);

// Names that are taken beside those of a mapping: columns and tables that exist. A member may be NULL: nothing is taken.
struct TakenNames {
    bool (*column)(void *context, int table, const char *name);            // also asked for tables that are being added
    bool (*relation)(void *context, const char *schema, const char *name); // schema NULL: not qualified
    void *context;
};

struct MappingChange {
    int table;
    int column; // -1: the table is new, with all its columns
};

// What extend_mapping has added, in the order in which it is to be created: tables after their parents.
struct MappingChanges {
    MappingChange *changes;
    int count, room;
};

// extend_mapping adds to a table what the mapping did not know: `shape` has, at their places in the items of that table,
// the values that find_uncovered (coverage.hpp) told of it, put there by shape_add_at. Columns and child tables are made
// as infer_mapping makes them, within what a row of the table can hold beside its mapped columns. For what they cannot be
// made of (no room; the mapping expects another kind of value there) the table gets a column mapped to "#rest", unless it
// has one. Without a "#serial" in the table, to which children refer, arrays are kept as jsonb.
//
// It adds to `changes` (zeroed by the caller before the first call). The new parts lie in CurrentMemoryContext, which must
// be the mapping's. Tables and columns keep their positions, but not their addresses: plans made of the mapping, its
// coverage too, are to be made anew.
void extend_mapping(Mapping *mapping, int table, const Shape *shape, const TakenNames *taken, MappingChanges *changes);

} // namespace sluice
