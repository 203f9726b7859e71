// The fold: what a batch knows of each key that it met. Rows are laid one over the other, whatever their order, so that each
// key is written once.
#pragma once

#include "postgres.hpp"

#include "merge.hpp"

namespace sluice {

// What is known of a leaf. Of rule Newest and Deep the newest value counts, of First the oldest; the others have no time.
struct FoldValue {
    int64 moment; // unknown_moment: nothing
    Datum value;
    bool is_null; // known to be null
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
    FoldKey *chain;
    uint32 hash;
    int64 place;              // sorts like the first column of the key, where that is a number; else 0
    int64 newest;             // of the rows that do not delete
    int64 deleted;            // of those that do
    FoldRow *rows, *last_row; // where they are held
    DeletedRow *taken;        // the row that was there, where a delete took it away
    Datum *key;
    FoldValue values[FLEXIBLE_ARRAY_MEMBER];
};

struct Fold {
    const MergePlan *plan;
    MemoryContext memory;
    FoldKey **buckets;
    uint32 size;
    FoldKey **keys; // in the order in which they came
    int64 count, room;
    Size bytes_of_values;
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

// fold_row lays a row over what is known of its key.
FoldKey *fold_row(Fold *fold, FoldInput *input);
// fold_alone folds a row by itself.
FoldKey *fold_alone(Fold *fold, FoldInput *input);

// lay_value lays one value over another by the leaf's rule; it tells whether anything changed.
bool lay_value(const MergeLeaf *leaf, FoldValue *known, const FoldValue *given);

// forget_deleted drops what is not newer than a delete; it tells whether there was any.
bool forget_deleted(const MergePlan *plan, FoldValue *values, int64 deleted);

// sort_fold brings the keys into the order of the index.
void sort_fold(Fold *fold);

} // namespace sluice
