// See datum_set.hpp.
#include "datum_set.hpp"

namespace sluice {

constexpr int first_room = 16; // a power of two; there are twice as many slots

static void make_room(DatumSet *set, int room) {
    set->room = room;
    set->slot_mask = room * 2 - 1;
    set->slots = static_cast<int *>(
        MemoryContextAllocExtended(set->memory, sizeof(int) * room * 2, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
}

DatumSet make_datum_set(Oid type) {
    DatumSet set{};
    set.memory = CurrentMemoryContext;
    get_typlenbyval(type, &set.length, &set.by_value);
    make_room(&set, first_room);
    set.values = static_cast<Datum *>(palloc(sizeof(Datum) * first_room));
    set.hashes = static_cast<uint32 *>(palloc(sizeof(uint32) * first_room));
    set.last = -1;
    return set;
}

// find_slot finds the slot of a value, or the free one where it belongs.
static uint32 find_slot(const DatumSet *set, Datum value, uint32 hash) {
    uint32 slot = hash & set->slot_mask;
    for (; set->slots[slot] != 0; slot = (slot + 1) & set->slot_mask) {
        const int number = set->slots[slot] - 1;
        if (set->hashes[number] == hash && datum_image_eq(set->values[number], value, set->by_value, set->length))
            break;
    }
    return slot;
}

static void grow(DatumSet *set) {
    pfree(set->slots);
    make_room(set, set->room * 2);
    set->values = static_cast<Datum *>(repalloc_huge(set->values, sizeof(Datum) * set->room));
    set->hashes = static_cast<uint32 *>(repalloc_huge(set->hashes, sizeof(uint32) * set->room));
    for (int i = 0; i < set->count; i++)
        set->slots[find_slot(set, set->values[i], set->hashes[i])] = i + 1;
}

// Rows of one partition mostly come together: the last value is compared before anything is hashed.
int add_datum(DatumSet *set, Datum value) {
    if (set->last >= 0 && datum_image_eq(set->values[set->last], value, set->by_value, set->length))
        return set->last;
    const uint32 hash = datum_image_hash(value, set->by_value, set->length);
    uint32 slot = find_slot(set, value, hash);
    if (set->slots[slot] != 0)
        return set->last = set->slots[slot] - 1;
    if (set->count == set->room) {
        grow(set);
        slot = find_slot(set, value, hash);
    }
    MemoryContext before = MemoryContextSwitchTo(set->memory);
    set->values[set->count] = datumCopy(value, set->by_value, set->length);
    MemoryContextSwitchTo(before);
    set->hashes[set->count] = hash;
    set->last = set->count;
    set->slots[slot] = ++set->count;
    return set->last;
}

} // namespace sluice
