// The writer: rows into target tables, for every kind of pipeline, at the speed of COPY where the table allows it.
//
// A batch opens one Writer over all its targets. Rows are put one by one and leave in bundles:
//   - direct: plain and partitioned tables go the way of the server's COPY: rows are buffered per leaf table and written
//     by table_multi_insert, index entries made row by row. A target for which code of users runs row by
//     row (may_interfere: BEFORE ROW triggers, functions in defaults, checks ...: it might look at the rows) is written
//     row by row, after all rows put before; so are foreign partitions.
//   - by query: foreign tables, views, tables with rules or with row-level security that applies to the owner, and tables
//     that another extension plans for (Citus) collect their rows in a tuplestore; an INSERT ... SELECT writes it.
// Either way the results are those of INSERT: defaults, identity, generated columns, checks, routing, triggers.
//
// AFTER triggers (foreign keys among them) of direct targets fire in writer_finish, when all rows of all targets are
// written; those of a target by query at the end of its INSERT, for which parents come before children.
#pragma once

#include "postgres.hpp"

#include "convert.hpp"
#include "foreign_key.hpp"

namespace sluice {

struct Writer;
struct WriterCache;

struct WriterTarget {
    Oid relation;
    Bitmapset *written;  // attribute numbers that the caller fills
    Bitmapset *returned; // attribute numbers whose final values the caller wants to read after writer_put
    int parent;          // the target whose rows this one's rows refer to, or -1
    const ColumnLink *links;
    int link_count;
};

// What one table of a batch looks like to the caller.
struct WriterRow {
    Datum *values; // of the whole row, by attribute number - 1; defaults are there already
    bool *nulls;
};

// A WriterCache keeps buffers from one batch to the next, as long as no relation changes; it goes with its memory context.
WriterCache *make_writer_cache(MemoryContext memory);

// writer_begin opens a batch. `interferes`: between the rows the caller runs code of users that could change what was put.
Writer *writer_begin(const WriterTarget *targets, int count, bool interferes, WriterCache *cache);

// writer_row gives the next row of a target to fill, its defaults evaluated. Values need to live until writer_put returns.
WriterRow writer_row(Writer *writer, int target);

// writer_put writes (or buffers) the row. Afterwards writer_returned gives the final values of the `returned` columns
// (after BEFORE triggers and generated columns), allocated in CurrentMemoryContext where they had to be copied.
void writer_put(Writer *writer, int target);
WriterRow writer_returned(Writer *writer, int target);

// writer_finish writes all that is buffered, fires the AFTER triggers and closes; it returns the number of rows inserted.
int64 writer_finish(Writer *writer);

// writer_flushing names the table into which buffered rows are being written at this moment (for error contexts).
Oid writer_flushing(const Writer *writer);

// is_written_by_query tells which way a relation is written for the current user. By query, what its triggers and rules
// make of a row cannot be read back.
bool is_written_by_query(Relation relation);

// test_by_query (the setting sluice.test_by_query) sends every target the second way.
extern bool test_by_query;

} // namespace sluice
