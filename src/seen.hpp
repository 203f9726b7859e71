// Seen: which transactions were over at some moment, as a snapshot knows it. A row that a transaction stamped with its own
// number is new exactly if that transaction was not over at the last look and is over now.
#pragma once

#include "postgres.hpp"

namespace sluice {

// The server's pg_snapshot, in full 64-bit numbers: all below xmin were over, none from xmax on, between them all but xip.
struct Seen {
    uint64 xmin, xmax;
    uint64 *xip; // in ascending order
    int count;
};

bool seen_includes(const Seen *seen, uint64 transaction);

// seen_now is what the active snapshot sees, without the caller's own transaction: it may write more.
Seen seen_now();

// Its text is that of pg_snapshot: xmin:xmax:xip,xip. read_seen takes NULL for nothing, and raises on anything else.
Seen read_seen(const char *text);
const char *seen_text(const Seen *seen);

bool has_seen(const Seen *seen); // false: nothing ever

// over_since lists, as xid8[], the transactions of old->xip that are over in `now`; NULL when there are none.
ArrayType *over_since(const Seen *old, const Seen *now);

// is_worth_noting tells whether a look that found no row makes the next one cheaper: transactions that went on are over, or
// go on still, or there were a great many.
bool is_worth_noting(const Seen *before, const Seen *after);

Datum stamp_array(const Seen *seen); // xip as xid8[]

uint64 next_transaction(); // no transaction had this number yet

} // namespace sluice
