// See tally.hpp.
//
// The newest values of a group are those of one row: the one with the greatest time, null being the oldest; of rows of one
// time the one with the greatest values, column after column, null being the greatest, as PostgreSQL compares rows. So they do
// not depend on the order in which rows come. Without times it is the row that came last.
//
// Types without an order (json, point ...) are compared as texts: dimension.cpp writes the same comparison as SQL.
#include "tally.hpp"

#include "key.hpp"
#include "mapping.hpp"
#include "signed.hpp"

namespace sluice {

// ---- columns

[[noreturn]] static void wrong_type(const char *pointer, Oid type, const char *what) {
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_FUNCTION), errmsg("%s: type %s %s", pointer, format_type_be(type), what)));
    pg_unreachable();
}

static void prepare_key(TallyColumn *column, const TypeCacheEntry *type, const char *pointer) {
    if (!OidIsValid(type->hash_proc_finfo.fn_oid) || !OidIsValid(type->eq_opr_finfo.fn_oid) || !column->ordered)
        wrong_type(pointer, column->type, "cannot be a key: it has no hash, equality and order");
    fmgr_info_copy(&column->hash, const_cast<FmgrInfo *>(&type->hash_proc_finfo), CurrentMemoryContext);
    fmgr_info_copy(&column->equal, const_cast<FmgrInfo *>(&type->eq_opr_finfo), CurrentMemoryContext);
}

void describe_tally_column(TallyColumn *column, TallyRole role, Oid type, Oid collation, const char *pointer) {
    column->role = role;
    column->type = getBaseType(type);
    column->collation = collation;
    column->plain = is_number_type(column->type);
    get_typlenbyval(column->type, &column->length, &column->by_value);
    TypeCacheEntry *entry =
        lookup_type_cache(column->type, TYPECACHE_HASH_PROC_FINFO | TYPECACHE_EQ_OPR_FINFO | TYPECACHE_CMP_PROC_FINFO);
    column->ordered = OidIsValid(entry->cmp_proc_finfo.fn_oid);
    if (column->ordered)
        fmgr_info_copy(&column->compare, &entry->cmp_proc_finfo, CurrentMemoryContext);
    Oid output;
    bool variable;
    getTypeOutputInfo(column->type, &output, &variable);
    fmgr_info(output, &column->output);
    if (role == TallyRole::Key)
        prepare_key(column, entry, pointer);
    if (role == TallyRole::Sum && !has_sign(column->type))
        wrong_type(pointer, column->type, "cannot be summed");
    if ((role == TallyRole::Min || role == TallyRole::Max || role == TallyRole::Time) && !column->ordered)
        wrong_type(pointer, column->type, "has no order");
}

// ---- comparing

static int compare_texts(const TallyColumn *column, Datum left, Datum right) {
    FmgrInfo *output = const_cast<FmgrInfo *>(&column->output);
    const char *a = OutputFunctionCall(output, left), *b = OutputFunctionCall(output, right);
    return varstr_cmp(a, strlen(a), b, strlen(b), DEFAULT_COLLATION_OID);
}

static int compare_values(const TallyColumn *column, Datum left, Datum right) {
    if (!column->ordered)
        return compare_texts(column, left, right);
    return DatumGetInt32(FunctionCall2Coll(const_cast<FmgrInfo *>(&column->compare), column->collation, left, right));
}

// compare_with_null has null as the greatest value.
static int compare_with_null(const TallyColumn *column, Datum left, bool left_null, Datum right, bool right_null) {
    if (left_null || right_null)
        return static_cast<int>(left_null) - static_cast<int>(right_null);
    return compare_values(column, left, right);
}

// compare_times has null as the least.
static int compare_times(const TallyColumn *time, Datum left, bool left_null, Datum right, bool right_null) {
    if (left_null || right_null)
        return static_cast<int>(right_null) - static_cast<int>(left_null);
    return compare_values(time, left, right);
}

bool is_newer(const Tally *tally, const Datum *values, const bool *nulls, const Datum *others,
              const bool *other_nulls) {
    if (!tally->timed)
        return true;
    const int at = tally->newest_to;
    int side = compare_times(&tally->columns[at], values[at], nulls[at], others[at], other_nulls[at]);
    for (int i = tally->newest_from; side == 0 && i < tally->newest_to; i++)
        side = compare_with_null(&tally->columns[i], values[i], nulls[i], others[i], other_nulls[i]);
    return side > 0;
}

// ---- groups

Tally *make_tally(TallyColumn *columns, int count, MemoryContext memory) {
    Tally *tally = static_cast<Tally *>(MemoryContextAllocZero(memory, sizeof(Tally)));
    tally->memory = memory;
    tally->columns = columns;
    tally->count = tally->newest_to = count;
    while (tally->key_count < count && columns[tally->key_count].role == TallyRole::Key)
        tally->key_count++;
    tally->timed = count > 0 && columns[count - 1].role == TallyRole::Time;
    tally->newest_to -= tally->timed;
    tally->newest_from = tally->newest_to;
    while (tally->newest_from > 0 && columns[tally->newest_from - 1].role == TallyRole::Newest)
        tally->newest_from--;
    tally->size = 1024;
    tally->buckets = static_cast<TallyGroup **>(MemoryContextAllocZero(memory, sizeof(TallyGroup *) * tally->size));
    return tally;
}

static uint32 hash_key(Tally *tally, const Datum *values) {
    uint32 hash = 0;
    for (int i = 0; i < tally->key_count; i++) {
        TallyColumn *column = &tally->columns[i];
        const uint32 one = column->plain
                               ? murmurhash32(static_cast<uint32>(values[i] ^ (values[i] >> 32)))
                               : DatumGetUInt32(FunctionCall1Coll(&column->hash, column->collation, values[i]));
        hash = hash_combine(hash, one);
    }
    return hash;
}

static bool is_same_key(Tally *tally, const TallyGroup *group, const Datum *values) {
    for (int i = 0; i < tally->key_count; i++) {
        TallyColumn *column = &tally->columns[i];
        if (group->values[i] == values[i] && column->by_value)
            continue;
        if (column->plain ||
            !DatumGetBool(FunctionCall2Coll(&column->equal, column->collation, group->values[i], values[i])))
            return false;
    }
    return true;
}

static void link_group(Tally *tally, TallyGroup *group) {
    TallyGroup **bucket = &tally->buckets[group->hash & (tally->size - 1)];
    group->chain = *bucket;
    *bucket = group;
}

static void grow_tally(Tally *tally) {
    if (tally->group_count == tally->room) {
        tally->room = tally->room ? tally->room * 2 : 1024;
        const Size size = sizeof(TallyGroup *) * tally->room;
        tally->groups = static_cast<TallyGroup **>(tally->groups ? repalloc_huge(tally->groups, size)
                                                                 : MemoryContextAllocHuge(tally->memory, size));
    }
    if (tally->group_count < tally->size)
        return;
    pfree(tally->buckets);
    tally->size *= 2;
    tally->buckets = static_cast<TallyGroup **>(MemoryContextAllocExtended(
        tally->memory, sizeof(TallyGroup *) * tally->size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
    for (int64 i = 0; i < tally->group_count; i++)
        link_group(tally, tally->groups[i]);
}

static Datum keep_value(const Tally *tally, const TallyColumn *column, Datum value) {
    if (column->by_value)
        return value;
    MemoryContext before = MemoryContextSwitchTo(tally->memory);
    // what lies elsewhere may be gone when the group is written
    const Datum copy =
        column->length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(value)) : datumCopy(value, false, column->length);
    MemoryContextSwitchTo(before);
    return copy;
}

// A group, its values and its nulls lie in one piece.
static TallyGroup *new_group(Tally *tally, uint32 hash, const Datum *values, const bool *nulls) {
    grow_tally(tally);
    const Size values_at = MAXALIGN(sizeof(TallyGroup)), nulls_at = values_at + sizeof(Datum) * tally->count;
    char *piece = static_cast<char *>(MemoryContextAlloc(tally->memory, nulls_at + tally->count));
    TallyGroup *group = reinterpret_cast<TallyGroup *>(piece);
    group->hash = hash;
    group->number = tally->group_count;
    group->values = reinterpret_cast<Datum *>(piece + values_at);
    group->nulls = reinterpret_cast<bool *>(piece + nulls_at);
    memcpy(group->nulls, nulls, tally->count);
    for (int i = 0; i < tally->count; i++)
        group->values[i] = nulls[i] ? 0 : keep_value(tally, &tally->columns[i], values[i]);
    tally->groups[tally->group_count++] = group;
    link_group(tally, group);
    return group;
}

static TallyGroup *find_group(Tally *tally, uint32 hash, const Datum *values) {
    for (TallyGroup *group = tally->buckets[hash & (tally->size - 1)]; group; group = group->chain)
        if (group->hash == hash && is_same_key(tally, group, values))
            return group;
    return NULL;
}

// ---- adding up

// tally_value gives the measure of two values; it may be one of them.
static Datum tally_value(const TallyColumn *column, Datum one, Datum other) {
    if (column->role == TallyRole::Sum)
        return sum_of(column->type, one, other);
    const bool less = compare_values(column, one, other) < 0;
    return less == (column->role == TallyRole::Min) ? one : other;
}

static void replace_value(const Tally *tally, TallyGroup *group, int i, Datum value, bool is_null) {
    const TallyColumn *column = &tally->columns[i];
    const Datum old = group->values[i];
    const bool had = !group->nulls[i];
    group->values[i] = is_null ? 0 : keep_value(tally, column, value);
    group->nulls[i] = is_null;
    if (had && !column->by_value)
        pfree(DatumGetPointer(old));
}

static void add_measure(Tally *tally, TallyGroup *group, int i, Datum value) {
    const TallyColumn *column = &tally->columns[i];
    if (group->nulls[i]) {
        replace_value(tally, group, i, value, false);
        return;
    }
    const Datum result = tally_value(column, group->values[i], value);
    if (column->by_value) {
        group->values[i] = result;
    } else if (result != group->values[i]) {
        replace_value(tally, group, i, result, false);
        if (column->role == TallyRole::Sum)
            pfree(DatumGetPointer(result));
    }
}

TallyGroup *tally_row(Tally *tally, const Datum *values, const bool *nulls) {
    const uint32 hash = hash_key(tally, values);
    TallyGroup *group = find_group(tally, hash, values);
    if (!group)
        return new_group(tally, hash, values, nulls);
    for (int i = tally->key_count; i < tally->newest_from; i++)
        if (!nulls[i])
            add_measure(tally, group, i, values[i]);
    if (tally->newest_from < tally->count && is_newer(tally, values, nulls, group->values, group->nulls))
        for (int i = tally->newest_from; i < tally->count; i++)
            replace_value(tally, group, i, values[i], nulls[i]);
    return group;
}

bool tally_has(Tally *tally, const Datum *values) { return find_group(tally, hash_key(tally, values), values) != NULL; }

void tally_known(Tally *tally, TallyGroup *group, const Datum *known, const bool *known_nulls) {
    for (int i = tally->key_count; i < tally->newest_from; i++) {
        if (known_nulls[i])
            continue;
        group->values[i] = group->nulls[i] ? known[i] : tally_value(&tally->columns[i], known[i], group->values[i]);
        group->nulls[i] = false;
    }
    if (is_newer(tally, group->values, group->nulls, known, known_nulls))
        return;
    for (int i = tally->newest_from; i < tally->count; i++) {
        group->values[i] = known[i];
        group->nulls[i] = known_nulls[i];
    }
}

// ---- their order

// A Place sorts a group by a number first, as far as its key begins with one: comparing two groups costs two cache misses.
struct Place {
    int64 number;
    TallyGroup *group;
};

static int compare_places(const void *left, const void *right, void *context) {
    const Tally *tally = static_cast<const Tally *>(context);
    const Place *a = static_cast<const Place *>(left), *b = static_cast<const Place *>(right);
    CHECK_FOR_INTERRUPTS();
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    for (int i = 0; i < tally->key_count; i++) {
        const TallyColumn *column = &tally->columns[i];
        const int64 one = number_of_key(column->type, a->group->values[i]),
                    other = number_of_key(column->type, b->group->values[i]);
        if (one != other)
            return one < other ? -1 : 1;
        const int side = column->plain ? 0 : compare_values(column, a->group->values[i], b->group->values[i]);
        if (side != 0)
            return side;
    }
    return 0;
}

void sort_groups(Tally *tally) {
    Place *places =
        static_cast<Place *>(MemoryContextAllocHuge(tally->memory, sizeof(Place) * (tally->group_count + 1)));
    for (int64 i = 0; i < tally->group_count; i++)
        places[i] = Place{number_of_key(tally->columns[0].type, tally->groups[i]->values[0]), tally->groups[i]};
    qsort_arg(places, tally->group_count, sizeof(Place), compare_places, tally);
    for (int64 i = 0; i < tally->group_count; i++)
        tally->groups[i] = places[i].group;
    pfree(places);
}

} // namespace sluice
