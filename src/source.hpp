// The source reader: new rows of a source in cursor order, a batch at a time, a few hundred rows in memory.
#pragma once

#include "postgres.hpp"

#include "shred.hpp"

namespace sluice {

struct SourceReader {
    SPIPlanPtr plan; // kept over the batches of a run
    Portal portal;
    SPITupleTable *rows;
    uint64 next, count; // within the rows fetched last
    bool indexed, planned;
    int columns;
    Datum *values;
    bool *nulls;
    MemoryContextCallback cleanup;
};

// prepare_reader plans the reading of `document` and `columns` by `order_by`; the plan is freed with CurrentMemoryContext.
SourceReader *prepare_reader(Relation source, const char *document, const char *order_by, const AttrNumber *columns,
                             int count);

void open_reader(SourceReader *reader, int64 after, int64 upto, int64 rows);
bool read_row(SourceReader *reader, SourceRow *row); // the row is valid until the next call
void close_reader(SourceReader *reader);

// has_order_index tells whether an index can give the rows in order.
bool has_order_index(Relation source, AttrNumber column);

// highest_number reads the highest number in the source, as the current user; false when the source is empty.
bool highest_number(Oid source, const char *order_by, int64 *highest);

} // namespace sluice
