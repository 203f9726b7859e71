// The sequence cursor: a source row is known by the number that a sequence gave it. Numbers become visible out of order;
// this room knows up to which one nothing can appear any more, and never waits for it.
#pragma once

#include "postgres.hpp"

#include "catalog.hpp"

namespace sluice {

// default_sequence finds the sequence that fills a column (identity, or a plain nextval as default); InvalidOid if none does.
Oid default_sequence(Relation relation, AttrNumber column);

// choose_sequence_column names the column of the primary key that a sequence fills, or NULL.
const char *choose_sequence_column(Relation source);

// check_sequence_source refuses sources that this cursor cannot read safely; it returns the column's sequence. Checked at
// creation and at the start of every run.
Oid check_sequence_source(Relation source, const char *column);

// is_subscribed tells whether a subscription writes into the relation: its rows come in the publisher's commit order, with
// numbers drawn elsewhere.
bool is_subscribed(Oid relation);

// A Holder is a transaction that may still insert numbers above `low`.
struct Holder {
    int64 backend, transaction, low;
};

// What the catalog keeps of a sequence cursor.
struct SequencePosition {
    int64 position; // all numbers up to here have been read
    int64 sampled;  // the sequence's last value when the holders were listed last
    Holder *holders;
    int holder_count;
    int64 filenode; // of the sequence, to notice that it was started anew
    const char *home;
    Numbers leaves; // partitions that were there
};

constexpr int64 nothing_read = PG_INT64_MIN;

struct SequenceSample {
    Holder *own;  // the caller's own transaction among position->holders, or NULL
    int64 safe;   // no number up to here can appear any more
    int64 last;   // the sequence's last value; nothing_read when it was never used
    bool changed; // the position's sampled/holders differ from what is stored
};

// sample_sequence lists who still writes and moves `position->sampled` and `holders` on (allocated in the current context).
SequenceSample sample_sequence(Oid sequence, SequencePosition *position);

// note_own_rows tells the sample that this transaction has inserted all it drew up to `number`.
void note_own_rows(SequenceSample *sample, const SequencePosition *position, int64 number);

// describe_holders lists the sessions that may still insert numbers that were drawn already; NULL: nobody.
const char *describe_holders(Oid sequence);

int64 sequence_filenode(Oid sequence);
int64 sequence_last_value(Oid sequence); // nothing_read when it was never used

// check_sequence_position notices numbers that start anew below the position.
void check_sequence_position(Oid sequence, const SequencePosition *position, int64 last, Oid source);

} // namespace sluice
