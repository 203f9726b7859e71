// The writer: rows into target tables, for every kind of pipeline, at the speed of COPY where the table allows it.
//
// A batch opens one Writer over all its targets. Rows are put one by one and leave in bundles:
//   - direct: plain and partitioned tables go the way of the server's COPY: rows are buffered per leaf table and written
//     by table_multi_insert, index entries made row by row. A target for which code of users runs row by
//     row (may_interfere: BEFORE ROW triggers, functions in defaults, checks ...: it might look at the rows) is written
//     row by row, after all rows put before; so are foreign partitions.
//   - by query: foreign tables, views, tables with rules or with row-level security that applies to the owner, and tables
//     that another extension plans for (Citus) collect their rows in a tuplestore; an INSERT ... SELECT writes it.
// Targets with a key find out for each row whether its key is there (keyed.cpp); those with BEFORE triggers or code of users
// in the way do it by query, too: INSERT ... ON CONFLICT.
// Either way the results are those of INSERT: defaults, identity, generated columns, checks, routing, triggers.
//
// AFTER triggers (foreign keys among them) of direct targets fire in writer_finish, when all rows of all targets are
// written; those of a target by query at the end of its INSERT, for which parents come before children.
#pragma once

#include "postgres.hpp"

#include "convert.hpp"
#include "foreign_key.hpp"
#include "mapping.hpp"

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
    Mode mode;
    Oid key_index;                // unique, over the key; of modes with a key
    AttrNumber newest_by;         // or 0
    const ColumnLink *references; // mode replace: the columns by which its rows refer to their parent
    int reference_count;
    bool aside;      // its rows are not counted
    List *confirmed; // foreign keys (oids of the constraints) that the caller has looked up for all rows
};

struct WriterCounts {
    int64 inserted, updated, deleted;
};

// What one table of a batch looks like to the caller.
struct WriterRow {
    Datum *values; // of the whole row, by attribute number - 1; defaults are there already
    bool *nulls;
    bool *absent; // mode merge: set it for a column that is to stay as it is; else NULL
};

// A WriterCache keeps buffers from one batch to the next, as long as no relation changes and none of its writers failed; it goes
// with its parent, or when it is dropped.
WriterCache *make_writer_cache(MemoryContext parent);
void drop_writer_cache(WriterCache *cache);

// writer_begin opens a batch. `interferes`: between the rows the caller runs code of users that could change what was put.
// `undoable`: documents may have to be forgotten, see below.
// `late`: keys may be looked up when all rows are put, and their errors come then, naming no document. `in_order`: the rows of
// a key are written before the next document is put, so that a value of a unique index may go from one row to another.
// `once`: writer_find asks for each key once, and before it is put; what it is to write need not wait long.
struct WriterOptions {
    bool interferes, undoable, late, in_order, once;
};
Writer *writer_begin(const WriterTarget *targets, int count, const WriterOptions *options, WriterCache *cache);

// writer_row gives the next row of a target to fill, its defaults evaluated. Values need to live until writer_put returns.
WriterRow writer_row(Writer *writer, int target);

// writer_put writes (or buffers) the row. Afterwards writer_returned gives the final values of the `returned` columns
// (after BEFORE triggers and generated columns), allocated in CurrentMemoryContext where they had to be copied.
// It tells whether the row counts: one that stays away because of its key brings no children.
bool writer_put(Writer *writer, int target);
WriterRow writer_returned(Writer *writer, int target);

// writer_find asks a target with a key for the row of the key that is filled in, before the rest is, and gives what is there
// (of the target's row type, good until writer_put); false: the key is new. Of one writer each key is asked for once.
bool writer_find(Writer *writer, int target, WriterRow *there);

// writer_asked is the row for which writer_find asked last, to be filled and put.
WriterRow writer_asked(Writer *writer, int target);

// writer_replace says that the children of the last row of their parent come now, all of them: those that it had go.
void writer_replace(Writer *writer, int target);

// writer_finish writes all that is buffered, fires the AFTER triggers and closes.
WriterCounts writer_finish(Writer *writer);

// writer_flushing names the table into which buffered rows are being written at this moment (for error contexts);
// writer_flushing_document tells of which document, counted from 1, that row is: -1 if it cannot be told.
Oid writer_flushing(const Writer *writer);
int64 writer_flushing_document(const Writer *writer);

// Documents: what a document put can be forgotten as long as nothing of it was written (writer_wrote); an undoable writer
// writes between documents (writer_flush, when writer_wants_flush) rather than within them.
void writer_begin_document(Writer *writer);
int64 writer_document(const Writer *writer); // the number of the one in progress
bool writer_wants_flush(const Writer *writer);
void writer_flush(Writer *writer);
// writer_fire writes all there is, and fires the AFTER ROW triggers that are due; not with transition tables, which hold
// the rows of all.
bool writer_can_fire(const Writer *writer);
void writer_fire(Writer *writer);
bool writer_wrote(const Writer *writer); // since writer_begin_document or writer_flush
void writer_forget_document(Writer *writer);

// writer_watch shows each row as it goes into its table, or over one that is there, to somebody.
void writer_watch(Writer *writer, void (*see)(void *seer, Oid relation, Datum row), void *seer);

// writer_abandon gives back what outlives a writer whose subtransaction was rolled back.
void writer_abandon(Writer *writer);

// is_written_by_query tells which way a relation is written for the current user. By query, what its triggers and rules
// make of a row cannot be read back.
bool is_written_by_query(Relation relation);

// is_keyed_by_query tells the same of a target with a key.
bool is_keyed_by_query(Relation relation);

// test_by_query (the setting sluice.test_by_query) sends every target the second way.
extern bool test_by_query;

} // namespace sluice
