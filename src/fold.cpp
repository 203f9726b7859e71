// See fold.hpp.
//
// Laying one value over another is the maximum of (moment, value): it does not matter in which order, and how often, rows are
// folded. Of equal moments the greater value wins, so that ties do not depend on what came first; where a type has no order,
// or calls values equal that are not the same to the byte, their bytes decide.
#include "fold.hpp"

#include "deep.hpp"
#include "key.hpp"

namespace sluice {

static void make_slots(Fold *fold, uint32 size) {
    fold->slots = static_cast<FoldSlot *>(large_pages(fold->memory, sizeof(FoldSlot) * size, &fold->chunk));
    memset(fold->slots, 0, sizeof(FoldSlot) * size);
    fold->size = size;
}

Fold *make_fold(const MergePlan *plan, MemoryContext parent) {
    Fold *fold = static_cast<Fold *>(palloc0(sizeof(Fold)));
    fold->plan = plan;
    fold->memory = AllocSetContextCreate(parent, "sluice fold", ALLOCSET_DEFAULT_SIZES);
    fold->key_pieces = make_pieces(fold->memory);
    fold->pieces = make_pieces(fold->memory);
    make_slots(fold, 1024);
    return fold;
}

Size fold_size(const Fold *fold) {
    return MemoryContextMemAllocated(fold->memory, true) - spare_memory(&fold->key_pieces) -
           spare_memory(&fold->pieces);
}

FoldInput *make_fold_input(const MergePlan *plan) {
    FoldInput *input = static_cast<FoldInput *>(palloc0(sizeof(FoldInput)));
    input->key = static_cast<Datum *>(palloc0(sizeof(Datum) * plan->key_count));
    input->values = static_cast<FoldValue *>(palloc0(sizeof(FoldValue) * (plan->leaf_count + 1)));
    for (int i = 0; i < plan->leaf_count; i++)
        input->values[i].moment = unknown_moment;
    return input;
}

// ---- values

// keep_value copies a value into the current context, whole: not as a pointer to where it is toasted.
static Datum keep_value(Datum value, bool by_value, int16 length) {
    if (by_value)
        return value;
    if (length == -1) {
        struct varlena *stored = reinterpret_cast<struct varlena *>(DatumGetPointer(value));
        if (VARATT_IS_EXTERNAL(stored) || VARATT_IS_COMPRESSED(stored))
            return PointerGetDatum(pg_detoast_datum_copy(stored));
    }
    return datumCopy(value, by_value, length);
}

static int compare_bytes(const MergeLeaf *leaf, Datum left, Datum right) {
    if (leaf->by_value)
        return left < right ? -1 : left > right;
    if (leaf->length > 0)
        return memcmp(DatumGetPointer(left), DatumGetPointer(right), leaf->length);
    if (leaf->length == -2)
        return strcmp(DatumGetCString(left), DatumGetCString(right));
    struct varlena *a = PG_DETOAST_DATUM_PACKED(left), *b = PG_DETOAST_DATUM_PACKED(right);
    const Size a_length = VARSIZE_ANY_EXHDR(a), b_length = VARSIZE_ANY_EXHDR(b);
    const int side = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(a_length, b_length));
    return side != 0 ? side : a_length < b_length ? -1 : a_length > b_length;
}

static int compare_by_order(const MergeLeaf *leaf, Datum left, Datum right) {
    if (!leaf->has_order)
        return 0;
    return DatumGetInt32(FunctionCall2Coll(const_cast<FmgrInfo *>(&leaf->compare), leaf->collation, left, right));
}

// compare_values: null lies below all values.
static int compare_values(const MergeLeaf *leaf, const FoldValue *left, const FoldValue *right) {
    if (left->is_null || right->is_null)
        return static_cast<int>(right->is_null) - static_cast<int>(left->is_null);
    const int side = compare_by_order(leaf, left->value, right->value);
    return side != 0 ? side : compare_bytes(leaf, left->value, right->value);
}

// wins tells whether a given value takes the place of a known one.
static bool wins(const MergeLeaf *leaf, const FoldValue *known, const FoldValue *given) {
    switch (leaf->rule) {
    case Rule::Newest:
        return given->moment > known->moment ||
               (given->moment == known->moment && compare_values(leaf, given, known) > 0);
    case Rule::First:
        return given->moment < known->moment ||
               (given->moment == known->moment && compare_values(leaf, given, known) < 0);
    case Rule::Min:
        return compare_values(leaf, given, known) < 0;
    case Rule::Max:
        return compare_values(leaf, given, known) > 0;
    case Rule::Sum:
    case Rule::Deep:
        return true;
    }
    pg_unreachable();
}

static bool is_plain(const MergeLeaf *leaf, Datum value) {
    return leaf->length != -1 ||
           !(VARATT_IS_EXTERNAL(DatumGetPointer(value)) || VARATT_IS_COMPRESSED(DatumGetPointer(value)));
}

static Size value_size(const MergeLeaf *leaf, Datum value) {
    return leaf->length == -1 ? VARSIZE_ANY(DatumGetPointer(value)) : datumGetSize(value, false, leaf->length);
}

// make_room sees to it that a value of so many bytes has a place: the one of the value before, if that is large enough.
static void make_room(Fold *fold, FoldValue *known, Size size) {
    constexpr Size long_value = 1024;
    if (size <= known->room)
        return;
    if (known->room > long_value)
        pfree(DatumGetPointer(known->value));
    const Size room = size > long_value  ? size
                      : known->room == 0 ? MAXALIGN(size)
                                         : Max(MAXALIGN(size), 2 * known->room);
    known->value = PointerGetDatum(room > long_value ? palloc(room) : take_piece(&fold->pieces, room));
    known->room = static_cast<uint32>(room);
}

// put_value copies a value to where it is kept; whole, not as a pointer to where it is toasted.
static void put_value(Fold *fold, const MergeLeaf *leaf, FoldValue *known, Datum value) {
    if (leaf->by_value) {
        known->value = value;
        return;
    }
    const bool plain = is_plain(leaf, value);
    if (!plain)
        value = keep_value(value, false, leaf->length);
    const Size size = value_size(leaf, value);
    make_room(fold, known, size);
    memcpy(DatumGetPointer(known->value), DatumGetPointer(value), size);
    if (!plain)
        pfree(DatumGetPointer(value));
}

// replace_value puts a copy in the place of what was there.
static void replace_value(Fold *fold, const MergeLeaf *leaf, FoldValue *known, const FoldValue *given) {
    known->moment = given->moment;
    known->is_null = given->is_null;
    if (!given->is_null)
        put_value(fold, leaf, known, given->value);
}

// lay_deep_value lays a patch over a tree.
static void lay_deep_value(FoldValue *known, const FoldValue *given) {
    if (known->moment == unknown_moment)
        *known = FoldValue{unknown_moment, PointerGetDatum(make_deep()), false, 0};
    known->moment = Max(known->moment, given->moment);
    lay_patch(reinterpret_cast<DeepNode *>(DatumGetPointer(known->value)),
              given->is_null ? NULL : DatumGetJsonbP(given->value), given->moment);
}

static Datum add_values(const MergeLeaf *leaf, const FoldValue *known, const FoldValue *given) {
    return FunctionCall2Coll(const_cast<FmgrInfo *>(&leaf->add), leaf->collation, known->value, given->value);
}

bool lay_value(const MergeLeaf *leaf, FoldValue *known, const FoldValue *given) {
    if (given->moment == unknown_moment)
        return false;
    if (known->moment == unknown_moment) {
        *known = *given;
    } else if (leaf->rule == Rule::Sum) {
        known->value = add_values(leaf, known, given);
    } else if (wins(leaf, known, given)) {
        *known = *given;
    } else {
        return false;
    }
    return true;
}

bool forget_deleted(const MergePlan *plan, FoldValue *values, int64 deleted) {
    bool any = false;
    for (int i = 0; i < plan->leaf_count; i++)
        if (values[i].moment != unknown_moment && values[i].moment <= deleted) {
            values[i].moment = unknown_moment;
            values[i].is_null = true;
            any = true;
        }
    return any;
}

// ---- keys

static int64 place_of(const MergePlan *plan, const Datum *key) { return number_of_key(plan->first_key_type, key[0]); }

static uint32 number_hash(int64 number) {
    const uint64 bits = static_cast<uint64>(number);
    return murmurhash32(static_cast<uint32>(bits ^ (bits >> 32)));
}

uint32 fold_hash(const MergePlan *plan, const Datum *key) {
    if (plan->number_key)
        return number_hash(place_of(plan, key));
    uint32 hash = 0;
    for (int i = 0; i < plan->key_count; i++)
        hash = hash_combine(hash, DatumGetUInt32(FunctionCall1Coll(const_cast<FmgrInfo *>(&plan->key_hash[i]),
                                                                   plan->key_collations[i], key[i])));
    return hash;
}

static bool is_same_key(const MergePlan *plan, const FoldKey *key, const Datum *columns) {
    if (plan->number_key)
        return key->place == place_of(plan, columns);
    for (int i = 0; i < plan->key_count; i++)
        if (!DatumGetBool(FunctionCall2Coll(const_cast<FmgrInfo *>(&plan->key_equal[i]), plan->key_collations[i],
                                            key->key[i], columns[i])))
            return false;
    return true;
}

static FoldKey *new_key(Fold *fold, const Datum *columns) {
    const MergePlan *plan = fold->plan;
    const Size head = offsetof(FoldKey, key) + sizeof(Datum) * plan->key_count;
    const Size size = head + sizeof(FoldValue) * plan->leaf_count;
    constexpr Size line = 64; // of the processor's cache: a key lies on as few as it can
    FoldKey *key = static_cast<FoldKey *>(memset(take_piece(&fold->key_pieces, TYPEALIGN(line, size)), 0, size));
    key->values = reinterpret_cast<FoldValue *>(reinterpret_cast<char *>(key) + head);
    key->newest = key->deleted = unknown_moment;
    for (int i = 0; i < plan->leaf_count; i++)
        key->values[i].moment = unknown_moment;
    MemoryContext before = MemoryContextSwitchTo(fold->memory);
    for (int i = 0; i < plan->key_count; i++)
        key->key[i] = keep_value(columns[i], plan->key_by_value[i], plan->key_lengths[i]);
    MemoryContextSwitchTo(before);
    key->place = place_of(plan, key->key);
    return key;
}

static void enter_slot(Fold *fold, FoldSlot slot) {
    uint32 at = slot.hash & (fold->size - 1);
    while (fold->slots[at].key)
        at = (at + 1) & (fold->size - 1);
    fold->slots[at] = slot;
}

// grow_fold sees to it that there is room for one more, and that half of the slots are free.
static void grow_fold(Fold *fold) {
    if (fold->count == fold->room) {
        fold->room = fold->room ? fold->room * 2 : 1024;
        const Size size = sizeof(FoldKey *) * fold->room;
        fold->keys = static_cast<FoldKey **>(fold->keys ? repalloc_huge(fold->keys, size)
                                                        : MemoryContextAlloc(fold->memory, size));
    }
    if (fold->count < fold->size / 2)
        return;
    const FoldSlot *before = fold->slots;
    void *chunk = fold->chunk;
    const uint32 size = fold->size;
    make_slots(fold, size * 2);
    for (uint32 i = 0; i < size; i++)
        if (before[i].key)
            enter_slot(fold, before[i]);
    pfree(chunk);
}

static FoldKey *find_or_add(Fold *fold, const Datum *columns, uint32 hash) {
    uint32 at = hash & (fold->size - 1);
    for (; fold->slots[at].key; at = (at + 1) & (fold->size - 1))
        if (fold->slots[at].hash == hash && is_same_key(fold->plan, fold->slots[at].key, columns))
            return fold->slots[at].key;
    grow_fold(fold);
    FoldKey *key = new_key(fold, columns);
    fold->keys[fold->count++] = key;
    enter_slot(fold, FoldSlot{key, hash});
    return key;
}

// ---- what is going to be looked at

void expect_slot(const Fold *fold, uint32 hash) { __builtin_prefetch(&fold->slots[hash & (fold->size - 1)]); }

static FoldKey *likely_key(const Fold *fold, uint32 hash) {
    const FoldSlot *slot = &fold->slots[hash & (fold->size - 1)];
    return slot->hash == hash ? slot->key : NULL;
}

void expect_key(const Fold *fold, uint32 hash) {
    constexpr Size line = 64;
    const char *key = reinterpret_cast<const char *>(likely_key(fold, hash));
    const Size size = offsetof(FoldKey, key) + sizeof(FoldValue) * fold->plan->leaf_count;
    for (Size at = 0; key && at < size && at < 8 * line; at += line)
        __builtin_prefetch(key + at, 1);
}

void expect_values(const Fold *fold, uint32 hash, const bool *nulls) {
    const MergePlan *plan = fold->plan;
    const FoldKey *key = likely_key(fold, hash);
    for (int i = 0; key && i < plan->leaf_count; i++)
        if (!plan->leaves[i].by_value && key->values[i].value &&
            !(plan->plain_sources && nulls[plan->plain_sources[i]]))
            __builtin_prefetch(DatumGetPointer(key->values[i].value), 1);
}

// ---- rows

// decide finds out which of a row's values count, before anything changes: an error in between leaves the key as it was.
static void decide(const MergePlan *plan, FoldKey *key, FoldInput *input) {
    for (int i = 0; i < plan->leaf_count; i++) {
        FoldValue *given = &input->values[i];
        const FoldValue *known = &key->values[i];
        if (given->moment == unknown_moment)
            continue;
        given->moment = input->moment;
        if (known->moment == unknown_moment)
            continue;
        input->column = plan->leaves[i].name;
        if (plan->leaves[i].rule == Rule::Sum)
            given->value = add_values(&plan->leaves[i], known, given);
        else if (!wins(&plan->leaves[i], known, given))
            given->moment = unknown_moment;
    }
    input->column = NULL;
}

static void lay_values(Fold *fold, FoldKey *key, FoldInput *input) {
    const MergePlan *plan = fold->plan;
    decide(plan, key, input);
    for (int i = 0; i < plan->leaf_count; i++)
        if (input->values[i].moment == unknown_moment)
            continue;
        else if (plan->leaves[i].rule == Rule::Deep)
            lay_deep_value(&key->values[i], &input->values[i]);
        else
            replace_value(fold, &plan->leaves[i], &key->values[i], &input->values[i]);
}

static void lay_row(Fold *fold, FoldKey *key, FoldInput *input) {
    const MergePlan *plan = fold->plan;
    if (input->deletes) {
        if (input->moment > key->deleted) {
            key->deleted = input->moment;
            (void)forget_deleted(plan, key->values, key->deleted);
        }
        return;
    }
    if (input->moment > key->deleted)
        lay_values(fold, key, input);
    key->newest = Max(key->newest, input->moment);
}

FoldKey *fold_row(Fold *fold, FoldInput *input, uint32 hash) {
    FoldKey *key = find_or_add(fold, input->key, hash);
    MemoryContext before = MemoryContextSwitchTo(fold->memory);
    lay_row(fold, key, input);
    MemoryContextSwitchTo(before);
    return key;
}

// lay_plain_value lays a value over a known one by the rule Newest.
static void lay_plain_value(Fold *fold, const MergeLeaf *leaf, FoldValue *known, const FoldValue *given) {
    if (given->moment > known->moment || (given->moment == known->moment && compare_values(leaf, given, known) > 0))
        replace_value(fold, leaf, known, given);
}

void fold_plain_row(Fold *fold, const SourceRow *row, int64 moment, uint32 hash) {
    const MergePlan *plan = fold->plan;
    FoldKey *key = find_or_add(fold, row->columns, hash);
    key->newest = Max(key->newest, moment);
    if (moment <= key->deleted)
        return;
    MemoryContext before = MemoryContextSwitchTo(fold->memory);
    for (int i = 0; i < plan->leaf_count; i++) {
        const int source = plan->plain_sources[i];
        if (row->nulls[source] || moment < key->values[i].moment)
            continue;
        const FoldValue given{moment, row->columns[source], false, 0};
        lay_plain_value(fold, &plan->leaves[i], &key->values[i], &given);
    }
    MemoryContextSwitchTo(before);
}

FoldKey *fold_alone(Fold *fold, FoldInput *input) {
    FoldKey *key = new_key(fold, input->key);
    MemoryContext before = MemoryContextSwitchTo(fold->memory);
    lay_row(fold, key, input);
    MemoryContextSwitchTo(before);
    return key;
}

// ---- order

// Where the first column of the key is a number, keys are told apart without being looked at.
struct PlacedKey {
    int64 place;
    FoldKey *key;
};

static int compare_keys(const PlacedKey *a, const PlacedKey *b, const MergePlan *plan) {
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    for (int i = 0; i < plan->key_count; i++) {
        const int side = DatumGetInt32(FunctionCall2Coll(const_cast<FmgrInfo *>(&plan->key_order[i]),
                                                         plan->key_collations[i], a->key->key[i], b->key->key[i]));
        if (side != 0)
            return side;
    }
    return 0;
}

// Millions of keys take longer than a cancel may.
#define ST_SORT sort_placed
#define ST_ELEMENT_TYPE PlacedKey
#define ST_COMPARE(a, b, plan) compare_keys(a, b, plan)
#define ST_COMPARE_ARG_TYPE const MergePlan
#define ST_CHECK_FOR_INTERRUPTS
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

void sort_fold(Fold *fold) {
    PlacedKey *placed =
        static_cast<PlacedKey *>(MemoryContextAllocHuge(fold->memory, sizeof(PlacedKey) * (fold->count + 1)));
    for (uint32 i = 0; i < fold->count; i++)
        placed[i] = PlacedKey{fold->keys[i]->place, fold->keys[i]};
    sort_placed(placed, fold->count, fold->plan);
    for (uint32 i = 0; i < fold->count; i++)
        fold->keys[i] = placed[i].key;
    pfree(placed);
}

} // namespace sluice
