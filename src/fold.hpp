// The fold: what a batch knows of each key that it met. Rows are laid one over the other, whatever their order, so that each
// key is written once.
#pragma once

#include "postgres.hpp"

#include "merge.hpp"
#include "pieces.hpp"

namespace sluice {

// What is known of a leaf. Of rule Newest the newest value counts, of First the oldest; the others have no time. Of a deep
// leaf a fold holds a tree (deep.hpp) and its latest time.
struct FoldValue {
    int64 moment; // unknown_moment: nothing
    Datum value;
    bool is_null;    // known to be null
    uint32 room = 0; // bytes at value that a fold owns; they stay when the value is null or forgotten
};

// A source row that may have to be written by itself, or be rejected.
struct FoldRow {
    FoldRow *next;
    int64 arrival; // in which order they came
    SourceRow row; // number, hash
    const char *place;
    Datum whole;
    struct FoldKey *alone; // what this row says, by itself
};

// A row of the target as it was.
struct DeletedRow {
    Datum *values;
    bool *nulls;
};

struct FoldKey {
    FoldValue *values;
    int64 newest;                     // of the rows that do not delete
    int64 deleted;                    // of those that do
    int64 place;                      // sorts like the first column of the key, where that is a number; else 0
    FoldRow *rows, *last_row;         // where they are held
    DeletedRow *taken;                // the row that was there, where a delete took it away
    Datum key[FLEXIBLE_ARRAY_MEMBER]; // then the values
};

// A place in the table of keys: what is not the key is mostly told without looking at it.
struct FoldSlot {
    FoldKey *key; // NULL: free
    uint32 hash;
};

struct Fold {
    const MergePlan *plan;
    MemoryContext memory;
    Pieces key_pieces, pieces; // of keys; of values that are not long
    FoldSlot *slots;
    void *chunk; // that they lie in
    uint32 size;
    FoldKey **keys; // in the order in which they came
    uint32 count, room;
};

// What a row says: its key, its moment, and its values as the target's types have them.
struct FoldInput {
    Datum *key;
    int64 moment;
    bool deletes;
    FoldValue *values;  // of leaves; moment says only whether something is known
    const char *column; // in hand, for error messages; or NULL
};

Fold *make_fold(const MergePlan *plan, MemoryContext parent);
Size fold_size(const Fold *fold); // bytes in use
FoldInput *make_fold_input(const MergePlan *plan);

// fold_row lays a row over what is known of its key; `hash` is that of the key.
uint32 fold_hash(const MergePlan *plan, const Datum *key);
FoldKey *fold_row(Fold *fold, FoldInput *input, uint32 hash);
// fold_plain_row does the same with a row of a plain plan as it was read; its key must not be null.
void fold_plain_row(Fold *fold, const SourceRow *row, int64 moment, uint32 hash);

// These ask for the memory that fold_row is going to look at, in this order, with other work in between. `nulls` are
// those of the source row; only in a plain plan they tell which values it has.
void expect_slot(const Fold *fold, uint32 hash);
void expect_key(const Fold *fold, uint32 hash);
void expect_values(const Fold *fold, uint32 hash, const bool *nulls);
// fold_alone folds a row by itself.
FoldKey *fold_alone(Fold *fold, FoldInput *input);

// lay_value lays one value over another by the leaf's rule (not Deep); it tells whether anything changed.
bool lay_value(const MergeLeaf *leaf, FoldValue *known, const FoldValue *given);

// forget_deleted drops what is not newer than a delete; it tells whether there was any.
bool forget_deleted(const MergePlan *plan, FoldValue *values, int64 deleted);

// sort_fold brings the keys into the order of the index.
void sort_fold(Fold *fold);

} // namespace sluice
