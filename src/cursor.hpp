// A cursor: how a pipeline knows which source rows are new. Each kind has a room of its own (sequence_cursor,
// snapshot_cursor, hash_cursor, and for loads trigger_cursor); everybody else sees only this.
//
// A batch goes: look (before its snapshot is taken), then open and read until `rows` are read or nothing is left, then
// advance. What a cursor knows between batches is its position; `store` writes it, in the batch's own transaction.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"
#include "source.hpp"

namespace sluice {

// Source rows that a batch dealt with without loading them.
struct Skipped {
    int64 duplicates; // delivered before
    int64 too_late;   // later than lookback allows
};

struct Estimate {
    bool known;
    int64 pending;
    const char *waiting_for; // NULL: for nobody
};

class Cursor {
public:
    // check refuses a source that cannot be read safely; prepare then plans the reading, in the memory of the run's plan.
    // Both are called again when a relation changed.
    virtual void check(Relation source) = 0;
    virtual void prepare(Relation source, const SourceColumns *columns) = 0;
    // look finds out, before the batch takes its snapshot, what may be read; false: nothing is new.
    virtual bool look() = 0;
    // open starts reading the next stretch of at most `rows` rows; false when the batch has seen all there is.
    virtual bool open(int64 rows) = 0;
    virtual bool read(SourceRow *row) = 0;
    virtual void close() = 0;
    // is_steady tells whether a row stays as it is while the next steady_rows are read, and until close.
    virtual bool is_steady() { return false; }
    // advance moves the position behind what was read; `all` when nothing was left unread, `last` when the run does no
    // other batch after this one. It tells whether another look may find more.
    virtual bool advance(bool all, bool last, int64 run) = 0;
    // store writes the position, if anything changed that is worth a row version. `rows` were loaded by this batch.
    virtual void store(int64 rows) = 0;
    virtual Skipped skipped() { return Skipped{}; } // by this batch
    // end gives back what outlives a transaction; it raises nothing.
    virtual void end() {}

    // describe tells which row it is, for error messages: "id = 5".
    virtual void describe(const SourceRow *row, StringInfo to) = 0;
    virtual int64 expected() = 0; // estimate of the rows that look found
    // held_back tells whether open transactions keep rows back; wait sleeps until they end or `end` comes.
    virtual bool held_back() { return false; }
    virtual void wait(TimestampTz) {}
    virtual const char *waiting_for() { return NULL; } // the sessions, when held_back

    // Looking at a pipeline and managing it, after check.
    // unread is SQL over the source as s: rows that have not been read.
    virtual const char *unread(Relation source) = 0;
    virtual int64 pending(Relation source);
    // read_by is SQL over the source as s: rows that had been read at run `run`, at whose end show() said `position`.
    virtual const char *read_by(Relation source, Jsonb *position, int64 run) = 0;
    virtual Estimate estimate(Relation source) = 0;
    virtual const char *show() = 0; // the position as JSON
    // seek moves the position, back only where no row would be loaded twice.
    virtual void seek(Relation source, Jsonb *position) = 0;
    // rewind moves the position back to where it was after run `to_run`: `position` is what show() said then, NULL at the
    // very start. `rows` are those that later runs had loaded.
    virtual void rewind(Relation source, Jsonb *position, int64 to_run, int64 rows) = 0;
    // lost counts the source rows, of `rows` that were read, that the source holds no more.
    virtual int64 lost(Relation source, int64 rows);
    // restart moves the position back to where that of a new pipeline is; `rows` were read. The source may be another one.
    virtual void restart(Relation source, int64 rows) = 0;
};

// make_cursor loads the position of a pipeline; the cursor lives in `memory`.
Cursor *make_cursor(const Pipeline *pipeline, MemoryContext memory);

// choose_cursor settles which cursor reads a new pipeline's source, and in which order: both may be left open.
void choose_cursor(NewPipeline *pipeline, Relation source);

// check_new_cursor refuses a source that the chosen cursor cannot read; start_cursor makes its first position, and tells
// which index is missing.
void check_new_cursor(const NewPipeline *pipeline, Relation source);
void start_cursor(const NewPipeline *pipeline, int32 id, Relation source);

// check_read_columns finds the columns by which a pipeline knows the source's rows.
void check_read_columns(const Pipeline *pipeline, Relation source);

// warn_of_hidden_rows warns when policies apply to the current user: he may not see all rows.
void warn_of_hidden_rows(Oid source);

// may_select_all tells whether the current user may read every column of a relation.
bool may_select_all(Oid relation);

int64 rows_total(const Pipeline *pipeline); // source rows that its cursor has read

// count_rows executes a query of one number, as the current user.
int64 count_rows(const char *query, int parameters, Oid *types, Datum *values);

// position_member takes a member out of a position given as JSON; it raises 22023 when the position is none of `cursor`.
Value position_member(Jsonb *position, const char *cursor, const char *member);
char *value_string(const Value &value); // of a JSON string; NULL for anything else

[[noreturn]] void refuse_going_back(const Pipeline *pipeline, Oid source);

} // namespace sluice
