// A cursor: how a run knows which source rows are new. Each kind has a room of its own (sequence, snapshot); a run sees
// only this.
//
// A batch goes: look (before its snapshot is taken), then open and read until `rows` are read or nothing is left, then
// advance. What a cursor knows between batches is its position; `store` writes it, in the batch's own transaction.
#pragma once

#include "postgres.hpp"

#include "source.hpp"

namespace sluice {

struct Pipeline;

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
    // advance moves the position behind what was read; `all` when nothing was left unread.
    virtual void advance(bool all) = 0;
    // store writes the position; false when nothing changed that is worth a row version. `rows` were read by this batch.
    virtual void store(int64 rows) = 0;

    virtual int64 expected() = 0; // estimate of the rows that look found
    // held_back tells whether open transactions keep rows back; wait sleeps until they end or `end` comes.
    virtual bool held_back() = 0;
    virtual void wait(TimestampTz end) = 0;
};

} // namespace sluice
