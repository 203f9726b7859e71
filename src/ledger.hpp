// The ledger: what a pipeline with a hash cursor has read, by content. One table for each pipeline, sluice.ledger_<id>,
// owned by the pipeline's owner and read and written with his rights alone.
//
//   run  the run that read it
//   h    the content, 128 bits
//   n    source rows with this content that are accounted for; null: one (so that it takes no room); negative: so many,
//        never to be forgotten
#pragma once

#include "postgres.hpp"

#include "content.hpp"
#include "writer.hpp"

namespace sluice {

struct LedgerEntry {
    ContentHash hash;
    bool known;     // in the ledger before this batch
    bool unordered; // never to be forgotten
    int64 rows;     // source rows of this batch with this content
};

struct Ledger {
    Oid relation;
    const char *name;
    SPIPlanPtr probe, count_again;
    WriterCache *cache;
    MemoryContextCallback cleanup;
};

void create_ledger(int32 pipeline, const char *name, Oid owner);
const char *ledger_name(int32 pipeline); // sluice.ledger_<id>
void drop_ledger(int32 pipeline);
bool has_ledger(int32 pipeline);  // false: it is gone
void need_ledger(int32 pipeline); // raises then

void own_ledger(int32 pipeline, Oid owner); // gives it to the owner, if it is not his

// open_ledger prepares for reading and writing, in CurrentMemoryContext, as the owner.
Ledger *open_ledger(int32 pipeline);

bool is_ledger_empty(const Ledger *ledger);

// probe_ledger finds out which of the hashes are known.
void probe_ledger(Ledger *ledger, const ContentHash *hashes, int count, bool *known);

// write_ledger enters a batch: new contents under its run, known ones as seen again.
void write_ledger(Ledger *ledger, HTAB *entries, int64 run);

void forget_runs(const Ledger *ledger, int64 upto);
void empty_ledger(int32 pipeline, Oid owner);            // as the owner, whose it becomes
void forget_later_runs(const Ledger *ledger, int64 run); // those after `run`, all of them

} // namespace sluice
