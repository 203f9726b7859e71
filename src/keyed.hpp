// What the rooms of keyed rows share: keyed (what becomes of a row that is put), settle (writing what waits).
#pragma once

#include "writer_state.hpp"

namespace sluice {

// How one leaf table is asked for a key.
struct LeafProbe {
    LeafProbe *next;
    ResultRelInfo *leaf;
    Relation index;
    IndexScanDesc scan;
    ScanKeyData *keys;
    TupleTableSlot *found; // the row as it lies there
    TupleTableSlot *fresh; // the row as it shall be
    bool empty;            // there were no rows when it was first asked
    bool may_have_dead;    // rows, by then, of which the index may have entries
    // keys that are asked for in their order: see probe_walk.cpp
    IndexScanDesc walk;
    ScanKeyData from; // where it starts
    bool has_entry;   // the walk stands at one
    int far;          // how often in a row the next key was too far away
    Datum last;       // the key asked for last
};

struct Keyed {
    int count;
    AttrNumber *columns; // of the key, in the order of the index
    FmgrInfo *hash, *equal, *order;
    Oid *collations;
    Oid number_type; // of a key that is one number and sorts like it; 0: it is not
    Oid index;
    AttrNumber newest_by; // 0: what comes later is newer
    FmgrInfo newest_order;
    Oid newest_collation;
    int returned_count;
    KeyedRow **buckets; // by hash, chained; empty where keys are asked for once
    uint32 size;
    KeyedRow **rows; // in the order in which they came
    int row_count, row_room;
    LeafProbe *probes, *last;
    TupleTableSlot *known; // a row that the batch knows, of the root's row type
    bool one_way;          // equal keys are the same to the byte
    bool late;             // keys are looked up all at once, in their order, when the batch is settled
    SPIPlanPtr find;       // by query
    char *write;
};

Size row_size(const Writer *writer);
// may_walk tells whether a key can be looked for by walking through the index; walk_to does so: the row is in probe->found.
bool may_walk(const Writer *writer, const Keyed *keyed, const LeafProbe *probe);
bool walk_to(Writer *writer, const Keyed *keyed, LeafProbe *probe, Datum key);
void end_walk(LeafProbe *probe);
LeafProbe *leaf_probe(Writer *writer, Keyed *keyed, ResultRelInfo *leaf);
void end_scans(Writer *writer);
void link_row(Keyed *keyed, KeyedRow *row);

// meet_row asks the table for the key of the row in target->filling, which the batch has not met; false: it is left out.
bool meet_row(Writer *writer, Target *target, KeyedRow *row, MemoryContext caller);

} // namespace sluice
