// A set of values of one type, told apart by their bytes: the distinct partitions of many rows, at a few ns a row.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct DatumSet {
    MemoryContext memory;
    bool by_value;
    int16 length;
    Datum *values; // in the order in which they came first
    uint32 *hashes;
    int count, room;
    int *slots; // number of a value + 1, by its hash; 0: free
    uint32 slot_mask;
    int last; // the value that came last
};

DatumSet make_datum_set(Oid type); // in CurrentMemoryContext

// add_datum copies a value that is not there yet; it returns its number.
int add_datum(DatumSet *set, Datum value);

} // namespace sluice
