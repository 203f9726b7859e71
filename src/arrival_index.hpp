// The arrival index: CREATE INDEX ON source (sluice.arrival(document)). Its entries hold the number of the transaction that
// made them, so it knows what arrived when, without a column or a trigger: direct writes into partitions, COPY and logical
// replication are in it like everything else.
#pragma once

#include "postgres.hpp"

#include "arrival.hpp"
#include "order.hpp"
#include "source.hpp"
#include "work_list.hpp"

namespace sluice {

// has_arrival_index tells whether every leaf has a valid one over the document's column.
bool has_arrival_index(Relation source, const char *document);

// arrival_storage is the file of a leaf's index: another one when its entries were made anew; 0 without an index.
int64 arrival_storage(Oid leaf, const char *document);

struct ArrivalEntry {
    Oid leaf;
    uint64 stamp;
    ItemPointerData place;
};

// One row that arrived.
struct ArrivedRow {
    HeapTuple tuple; // order value, document, other columns: in the layout of the scan
    bool updated;    // another version of an older row
    bool premature;  // it belongs to the next sweep
    ArrivalEntry entry;
};

struct ArrivalScan;

// begin_arrivals plans a scan, in CurrentMemoryContext; layout is what its rows look like.
ArrivalScan *begin_arrivals(Relation source, const SourceColumns *columns, const Order *order);
TupleDesc arrivals_layout(const ArrivalScan *scan);

// has_old_arrivals tells whether a leaf's index has entries of transactions that were over: those of a partition that was
// attached with its index.
bool has_old_arrivals(ArrivalScan *scan, Oid leaf, const Seen *seen);

// open_arrivals starts at the position: what is in target and not in seen, behind the row read last; or it goes on with a
// list of entries. next_arrival makes its row in CurrentMemoryContext.
// keep_arrivals lists the entries that are left, in memory that outlives the batch.
void open_arrivals(ArrivalScan *scan, const ArrivalPosition *position, WorkList *list);
bool next_arrival(ArrivalScan *scan, ArrivedRow *row);
WorkList *keep_arrivals(ArrivalScan *scan, MemoryContext parent);
void close_arrivals(ArrivalScan *scan);

// note_arrival keeps in the position how far the sweep is.
void note_arrival(ArrivalPosition *position, const ArrivalEntry *entry);
bool is_arrival_key(const ArrivalPosition *position); // whether the sweep in progress is by this index

} // namespace sluice
