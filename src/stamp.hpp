// Stamps: a column xid8 DEFAULT pg_current_xact_id() tells of each row which transaction wrote it. The StampReader reads
// what arrived, in the order (stamp, key), stops after any number of rows and goes on from there.
#pragma once

#include "postgres.hpp"

#include "arrival.hpp"
#include "source.hpp"

namespace sluice {

// find_stamp_column names a column that fits; NULL when there is none.
const char *find_stamp_column(Relation source);

// check_stamp_source refuses sources whose column cannot be trusted.
void check_stamp_source(Relation source, const char *column);

// are_stamps_trusted tells whether check_stamp_source would let the source pass.
bool are_stamps_trusted(Relation source, const char *column);

// stamped_leaves lists each leaf with the number of its stamp column, below 0: another one may be added under the same name.
Numbers stamped_leaves(Oid source, const char *column);

bool has_stamp_index(Relation source, const char *column);

struct StampReader {
    Oid source;
    const char *column, *table;
    // the key: what tells rows of one stamp apart; of an index (stamp, key), else the primary key
    AttrNumber *keys;
    const char **key_names;
    int key_count;
    bool indexed;
    const char *order; // what the rows have as their order value: an expression over the source as s
    const char *selected;
    const SourceColumns *columns;
    SourceReader *readers[4]; // of transactions that were listed, of later ones; both from the start, or going on
    SourceReader *reader;     // that is open
    Oid *types;               // of the keys
    int16 *lengths;
    bool *by_value;
    const char **orders;
    Datum *last;       // key and stamp of the row read last
    uint64 last_stamp; // 0: none
    int stretch;
    MemoryContext memory, row;
};

// prepare_stamps plans nothing yet; `order` is NULL for the stamp itself. A sweep in progress goes on by the key it began
// with, whatever index there is now.
StampReader *prepare_stamps(Relation source, const char *column, const char *order, const SourceColumns *columns,
                            const ArrivalPosition *position);

// describe_stamps is a StampReader that reads nothing: for conditions.
// can_describe_stamps tells whether column and key are there: describe_stamps raises otherwise.
bool can_describe_stamps(Relation source, const char *column, const ArrivalPosition *position);
StampReader *describe_stamps(Relation source, const char *column, const ArrivalPosition *position);

// begin_stamps starts a batch at the position; stamps_open opens the next stretch of at most `rows` rows.
void begin_stamps(StampReader *stamps);
bool stamps_open(StampReader *stamps, const ArrivalPosition *position, int64 rows);
bool stamps_read(StampReader *stamps, SourceRow *row);
uint64 stamps_fetch(StampReader *stamps); // many rows at once, into stamps->reader->rows
void stamps_close(StampReader *stamps);

// note_stamp keeps in the position how far the sweep is.
void note_stamp(const StampReader *stamps, ArrivalPosition *position);

// unread_condition is SQL over the source as s: what is visible and was not read at a position.
const char *unread_condition(const StampReader *stamps, const ArrivalPosition *position);

// has_future_stamps tells whether rows have stamps that lie ahead: given by hand, or brought from another cluster. No sweep gets that
// far. warn_of_future_stamps tells of them, where an index finds them.
bool has_future_stamps(const StampReader *stamps);
void warn_of_future_stamps(const StampReader *stamps);

// describe_stamp writes the key of the last row (its stamp, without a key) for messages.
void describe_stamp(const StampReader *stamps, StringInfo to);

} // namespace sluice
