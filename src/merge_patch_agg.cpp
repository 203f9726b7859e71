// sluice.jsonb_merge_patch_agg(patch, at): patches applied to an absent document in the order of `at` (null is the oldest;
// of equal ones in jsonb's order of the patches, then by their bytes).
//
// Rows come in any order, and a patch may come that lies between two others. So patches cannot be melted into one as they
// come: {"a": null} followed by {"a": {"b": 1}} leaves nothing of an older "a", while a {"a": {"c": 2}} that comes later
// and lies between them adds a member. The state therefore keeps the patches. But it does not keep those of which nothing
// is left to see: whenever their bytes have doubled, they are folded from the newest to the oldest, and what adds nothing
// to newer ones is dropped (patch_fold.hpp says why nothing can bring it back). Each patch that stays has a place of the
// document for itself, be it a removed member; so there are at most as many as such places, however many come.
#include "aggregate.hpp"
#include "patch_fold.hpp"

namespace sluice {

struct TimedPatch {
    Kept at;
    Jsonb *patch;
};

struct Patches {
    AtOrder *order; // lives as long as the query
    TimedPatch *items;
    int64 count, room;
    Size bytes, thin_out_at;
};

constexpr Size thin_out_first = 16 * 1024;

// ---- order

static AtOrder *make_order(FunctionCallInfo fcinfo, const ArgumentType &at) {
    AtOrder *order = static_cast<AtOrder *>(MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(AtOrder)));
    plan_at_order(order, at, fcinfo->flinfo->fn_mcxt);
    fcinfo->flinfo->fn_extra = order;
    return order;
}

static AtOrder *order_of_call(FunctionCallInfo fcinfo) {
    AtOrder *order = static_cast<AtOrder *>(fcinfo->flinfo->fn_extra);
    return order ? order : make_order(fcinfo, argument_type(fcinfo, 2));
}

static AtOrder *order_of_pack(FunctionCallInfo fcinfo, const ArgumentType &at) {
    AtOrder *order = static_cast<AtOrder *>(fcinfo->flinfo->fn_extra);
    return order && same_type(order->type, at) ? order : make_order(fcinfo, at);
}

static int patches_order(Jsonb *left, Jsonb *right) {
    const int order = compareJsonbContainers(&left->root, &right->root);
    return order != 0
               ? order
               : images_order(make_argument_type(JSONBOID, InvalidOid), JsonbPGetDatum(left), JsonbPGetDatum(right));
}

// newest_first is the order for sorting.
static int newest_first(const void *left, const void *right, void *order) {
    const TimedPatch *l = static_cast<const TimedPatch *>(left), *r = static_cast<const TimedPatch *>(right);
    CHECK_FOR_INTERRUPTS();
    const int by_at = at_order(static_cast<AtOrder *>(order), r->at.value, r->at.is_null, l->at.value, l->at.is_null);
    return by_at != 0 ? by_at : patches_order(r->patch, l->patch);
}

// ---- the state

static Patches *make_patches(AtOrder *order, MemoryContext memory) {
    Patches *patches = static_cast<Patches *>(MemoryContextAllocZero(memory, sizeof(Patches)));
    patches->order = order;
    patches->thin_out_at = thin_out_first;
    return patches;
}

static Size bytes_of(const TimedPatch *item) { return sizeof(TimedPatch) + item->at.room + VARSIZE(item->patch); }

static void drop_patch(TimedPatch *item) {
    if (item->at.room > 0)
        pfree(DatumGetPointer(item->at.value));
    pfree(item->patch);
}

// thin_out drops the patches of which nothing is left to see.
static void thin_out(Patches *patches) {
    PatchFold fold{};
    int64 kept = 0;
    qsort_arg(patches->items, patches->count, sizeof(TimedPatch), newest_first, patches->order);
    bool *counts = static_cast<bool *>(palloc_extended(patches->count, MCXT_ALLOC_HUGE));
    for (int64 i = 0; i < patches->count; i++)
        counts[i] = fold_older(&fold, patches->items[i].patch);
    for (int64 i = 0; i < patches->count; i++) {
        if (counts[i]) {
            patches->items[kept++] = patches->items[i];
            continue;
        }
        patches->bytes -= bytes_of(&patches->items[i]);
        drop_patch(&patches->items[i]);
    }
    patches->count = kept;
    patches->thin_out_at = Max(thin_out_first, 2 * patches->bytes);
}

static void make_room(Patches *patches, MemoryContext memory) {
    if (patches->count < patches->room)
        return;
    patches->room = Max(1, 2 * patches->room);
    const Size size = sizeof(TimedPatch) * patches->room;
    patches->items = static_cast<TimedPatch *>(patches->items ? repalloc_huge(patches->items, size)
                                                              : MemoryContextAllocHuge(memory, size));
}

// add_patch keeps a copy of a patch.
static void add_patch(Patches *patches, Datum patch, Datum at, bool at_null, MemoryContext memory) {
    if (patches->bytes >= patches->thin_out_at)
        thin_out(patches);
    make_room(patches, memory);
    TimedPatch item{};
    MemoryContext before = MemoryContextSwitchTo(memory);
    item.patch = DatumGetJsonbPCopy(patch);
    MemoryContextSwitchTo(before);
    keep(&item.at, patches->order->type, at, at_null, memory);
    patches->items[patches->count++] = item;
    patches->bytes += bytes_of(&item);
}

static Patches *patches_argument(FunctionCallInfo fcinfo, int number) {
    return PG_ARGISNULL(number) ? NULL : reinterpret_cast<Patches *>(PG_GETARG_POINTER(number));
}

// patched folds all patches. It sorts a copy: a state that is looked at stays as it is.
static Jsonb *patched(const Patches *patches) {
    PatchFold fold{};
    const Size size = sizeof(TimedPatch) * patches->count;
    TimedPatch *items = static_cast<TimedPatch *>(palloc_extended(size, MCXT_ALLOC_HUGE));
    memcpy(items, patches->items, size);
    qsort_arg(items, patches->count, sizeof(TimedPatch), newest_first, patches->order);
    for (int64 i = 0; i < patches->count; i++)
        (void)fold_older(&fold, items[i].patch);
    return folded_document(&fold);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_merge_patch_transition);
Datum sluice_merge_patch_transition(PG_FUNCTION_ARGS) {
    MemoryContext memory = aggregate_memory(fcinfo, "sluice.jsonb_merge_patch_agg");
    Patches *patches = patches_argument(fcinfo, 0);
    if (!patches)
        patches = make_patches(order_of_call(fcinfo), memory);
    if (!PG_ARGISNULL(1))
        add_patch(patches, PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), PG_ARGISNULL(2), memory);
    PG_RETURN_POINTER(patches);
}

PG_FUNCTION_INFO_V1(sluice_merge_patch_combine);
Datum sluice_merge_patch_combine(PG_FUNCTION_ARGS) {
    MemoryContext memory = aggregate_memory(fcinfo, "sluice.jsonb_merge_patch_agg");
    Patches *patches = patches_argument(fcinfo, 0);
    const Patches *others = patches_argument(fcinfo, 1);
    if (!patches && !others)
        PG_RETURN_NULL();
    if (!patches)
        patches = make_patches(others->order, memory);
    for (int64 i = 0; others && i < others->count; i++) {
        const TimedPatch *other = &others->items[i];
        add_patch(patches, JsonbPGetDatum(other->patch), other->at.value, other->at.is_null, memory);
    }
    PG_RETURN_POINTER(patches);
}

PG_FUNCTION_INFO_V1(sluice_merge_patch_write);
Datum sluice_merge_patch_write(PG_FUNCTION_ARGS) {
    (void)aggregate_memory(fcinfo, "sluice.jsonb_merge_patch_agg");
    const Patches *patches = patches_argument(fcinfo, 0);
    const ArgumentType jsonb = make_argument_type(JSONBOID, InvalidOid);
    StringInfoData pack;
    begin_pack(&pack);
    pack_type(&pack, patches->order->type);
    pack_datum(&pack, make_argument_type(INT8OID, InvalidOid), Int64GetDatum(patches->count), false);
    for (int64 i = 0; i < patches->count; i++) {
        const TimedPatch *item = &patches->items[i];
        pack_datum(&pack, patches->order->type, item->at.value, item->at.is_null);
        pack_datum(&pack, jsonb, JsonbPGetDatum(item->patch), false);
    }
    PG_RETURN_BYTEA_P(end_pack(&pack));
}

PG_FUNCTION_INFO_V1(sluice_merge_patch_read);
Datum sluice_merge_patch_read(PG_FUNCTION_ARGS) {
    (void)aggregate_memory(fcinfo, "sluice.jsonb_merge_patch_agg");
    PackReader pack = read_pack(fcinfo);
    Patches *patches = make_patches(order_of_pack(fcinfo, unpack_type(&pack)), CurrentMemoryContext);
    bool is_null;
    patches->count = patches->room = DatumGetInt64(unpack_datum(&pack, &is_null));
    const Size size = sizeof(TimedPatch) * patches->count;
    patches->items = static_cast<TimedPatch *>(palloc_extended(size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
    for (int64 i = 0; i < patches->count; i++) {
        TimedPatch *item = &patches->items[i];
        item->at.value = unpack_datum(&pack, &item->at.is_null);
        item->patch = DatumGetJsonbP(unpack_datum(&pack, &is_null));
    }
    PG_RETURN_POINTER(patches);
}

PG_FUNCTION_INFO_V1(sluice_merge_patch_final);
Datum sluice_merge_patch_final(PG_FUNCTION_ARGS) {
    (void)aggregate_memory(fcinfo, "sluice.jsonb_merge_patch_agg");
    const Patches *patches = patches_argument(fcinfo, 0);
    if (!patches || patches->count == 0)
        PG_RETURN_NULL();
    PG_RETURN_JSONB_P(patched(patches));
}

} // extern "C"
