// Arrival: what the snapshot and the hash cursor remember of a source. Both read it in sweeps: a sweep reads what the
// transactions wrote that were not over at the last one (`seen`) and are over now (`target`), in as many batches as it
// takes; when all is read, `seen` becomes what `target` was.
#pragma once

#include "postgres.hpp"

#include "catalog.hpp"
#include "seen.hpp"

namespace sluice {

struct ArrivalPosition {
    Seen seen;
    Seen target;     // of the sweep in progress; nothing when there is none
    uint64 stamp;    // of the row read last in that sweep; 0 when none was
    ArrayType *key;  // text[]: that row's key among those of its stamp; NULL without one
    bool moved;      // the row of the catalog came here by a dump or a copy: numbers of transactions mean nothing here
    uint64 moved_at; // the transaction that brought it
    // the hash cursor's
    const char *order_value; // the greatest one of all sweeps that are done; NULL
    const char *reached;     // of the sweep in progress
    const char *hash;        // of the document read last, in hexadecimal digits
    const char *order_type;  // of these values
    TimestampTz compared_at; // start of the last full compare; 0: never
    int64 forgotten;         // the ledger holds nothing of runs up to here
    Numbers leaves;          // partitions that were there; see hash_cursor.cpp for what it keeps beside them
};

ArrivalPosition load_arrival_position(int32 pipeline); // in CurrentMemoryContext
void insert_arrival_position(int32 pipeline, const ArrivalPosition *position);
void store_arrival_position(int32 pipeline, const ArrivalPosition *position, int64 rows);

ArrivalPosition copy_arrival_position(const ArrivalPosition *position); // in CurrentMemoryContext

// keep_arrival_position replaces the position that a cursor keeps over its batches; `memory` holds nothing else.
void keep_arrival_position(ArrivalPosition *kept, const ArrivalPosition *position, MemoryContext *memory);

// forget_positions voids what the run log says of positions: those after each run, or their order values alone.
void forget_positions(int32 pipeline, bool order_values);

[[noreturn]] void refuse_moved_source(const char *pipeline, Oid source);

void append_member(StringInfo json, const char *name, const char *value); // of a JSON object, not its first; NULL: none

// append_arrival shows the transactions of a position as members of a JSON object.
void append_arrival(StringInfo json, const ArrivalPosition *position);
// read_arrival takes them back; members that are not there are nothing.
void read_arrival(ArrivalPosition *position, Jsonb *json, const char *cursor);

} // namespace sluice
