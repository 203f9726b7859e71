// See fold.hpp.
//
// The newest values of a group are those of one row: the one with the greatest time, null being the oldest; of rows of one
// time the one with the greatest values, column after column, null being the greatest, as PostgreSQL compares rows. So they do
// not depend on the order in which rows come. Without times it is the row that came last.
//
// Types without an order (json, point ...) are compared as texts: dimension.cpp writes the same comparison as SQL.
#include "fold.hpp"

#include "mapping.hpp"
#include "signed.hpp"

namespace sluice {

// ---- columns

[[noreturn]] static void wrong_type(const char *pointer, Oid type, const char *what) {
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_FUNCTION), errmsg("%s: type %s %s", pointer, format_type_be(type), what)));
    pg_unreachable();
}

static bool is_plain(Oid type) {
    switch (type) {
    case BOOLOID:
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case DATEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
        return true;
    }
    return false;
}

static void prepare_key(FoldColumn *column, const TypeCacheEntry *type, const char *pointer) {
    if (!OidIsValid(type->hash_proc_finfo.fn_oid) || !OidIsValid(type->eq_opr_finfo.fn_oid) || !column->ordered)
        wrong_type(pointer, column->type, "cannot be a key: it has no hash, equality and order");
    fmgr_info_copy(&column->hash, const_cast<FmgrInfo *>(&type->hash_proc_finfo), CurrentMemoryContext);
    fmgr_info_copy(&column->equal, const_cast<FmgrInfo *>(&type->eq_opr_finfo), CurrentMemoryContext);
}

void describe_fold_column(FoldColumn *column, FoldRole role, Oid type, Oid collation, const char *pointer) {
    column->role = role;
    column->type = getBaseType(type);
    column->collation = collation;
    column->plain = is_plain(column->type);
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
    if (role == FoldRole::Key)
        prepare_key(column, entry, pointer);
    if (role == FoldRole::Sum && !has_sign(column->type))
        wrong_type(pointer, column->type, "cannot be summed");
    if ((role == FoldRole::Min || role == FoldRole::Max || role == FoldRole::Time) && !column->ordered)
        wrong_type(pointer, column->type, "has no order");
}

// ---- comparing

static int compare_texts(const FoldColumn *column, Datum left, Datum right) {
    FmgrInfo *output = const_cast<FmgrInfo *>(&column->output);
    const char *a = OutputFunctionCall(output, left), *b = OutputFunctionCall(output, right);
    return varstr_cmp(a, strlen(a), b, strlen(b), DEFAULT_COLLATION_OID);
}

static int compare_values(const FoldColumn *column, Datum left, Datum right) {
    if (!column->ordered)
        return compare_texts(column, left, right);
    return DatumGetInt32(FunctionCall2Coll(const_cast<FmgrInfo *>(&column->compare), column->collation, left, right));
}

// compare_with_null has null as the greatest value.
static int compare_with_null(const FoldColumn *column, Datum left, bool left_null, Datum right, bool right_null) {
    if (left_null || right_null)
        return static_cast<int>(left_null) - static_cast<int>(right_null);
    return compare_values(column, left, right);
}

// compare_times has null as the least.
static int compare_times(const FoldColumn *time, Datum left, bool left_null, Datum right, bool right_null) {
    if (left_null || right_null)
        return static_cast<int>(right_null) - static_cast<int>(left_null);
    return compare_values(time, left, right);
}

bool is_newer(const Fold *fold, const Datum *values, const bool *nulls, const Datum *others, const bool *other_nulls) {
    if (!fold->timed)
        return true;
    const int at = fold->newest_to;
    int side = compare_times(&fold->columns[at], values[at], nulls[at], others[at], other_nulls[at]);
    for (int i = fold->newest_from; side == 0 && i < fold->newest_to; i++)
        side = compare_with_null(&fold->columns[i], values[i], nulls[i], others[i], other_nulls[i]);
    return side > 0;
}

// ---- groups

Fold *make_fold(FoldColumn *columns, int count, MemoryContext memory) {
    Fold *fold = static_cast<Fold *>(MemoryContextAllocZero(memory, sizeof(Fold)));
    fold->memory = memory;
    fold->columns = columns;
    fold->count = fold->newest_to = count;
    while (fold->key_count < count && columns[fold->key_count].role == FoldRole::Key)
        fold->key_count++;
    fold->timed = count > 0 && columns[count - 1].role == FoldRole::Time;
    fold->newest_to -= fold->timed;
    fold->newest_from = fold->newest_to;
    while (fold->newest_from > 0 && columns[fold->newest_from - 1].role == FoldRole::Newest)
        fold->newest_from--;
    fold->size = 1024;
    fold->buckets = static_cast<FoldGroup **>(MemoryContextAllocZero(memory, sizeof(FoldGroup *) * fold->size));
    return fold;
}

static uint32 hash_key(Fold *fold, const Datum *values) {
    uint32 hash = 0;
    for (int i = 0; i < fold->key_count; i++) {
        FoldColumn *column = &fold->columns[i];
        const uint32 one = column->plain
                               ? murmurhash32(static_cast<uint32>(values[i] ^ (values[i] >> 32)))
                               : DatumGetUInt32(FunctionCall1Coll(&column->hash, column->collation, values[i]));
        hash = hash_combine(hash, one);
    }
    return hash;
}

static bool is_same_key(Fold *fold, const FoldGroup *group, const Datum *values) {
    for (int i = 0; i < fold->key_count; i++) {
        FoldColumn *column = &fold->columns[i];
        if (group->values[i] == values[i] && column->by_value)
            continue;
        if (column->plain ||
            !DatumGetBool(FunctionCall2Coll(&column->equal, column->collation, group->values[i], values[i])))
            return false;
    }
    return true;
}

static void link_group(Fold *fold, FoldGroup *group) {
    FoldGroup **bucket = &fold->buckets[group->hash & (fold->size - 1)];
    group->chain = *bucket;
    *bucket = group;
}

static void grow_fold(Fold *fold) {
    if (fold->group_count == fold->room) {
        fold->room = fold->room ? fold->room * 2 : 1024;
        const Size size = sizeof(FoldGroup *) * fold->room;
        fold->groups = static_cast<FoldGroup **>(fold->groups ? repalloc_huge(fold->groups, size)
                                                              : MemoryContextAllocHuge(fold->memory, size));
    }
    if (fold->group_count < fold->size)
        return;
    pfree(fold->buckets);
    fold->size *= 2;
    fold->buckets = static_cast<FoldGroup **>(
        MemoryContextAllocExtended(fold->memory, sizeof(FoldGroup *) * fold->size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
    for (int64 i = 0; i < fold->group_count; i++)
        link_group(fold, fold->groups[i]);
}

static Datum keep_value(const Fold *fold, const FoldColumn *column, Datum value) {
    if (column->by_value)
        return value;
    MemoryContext before = MemoryContextSwitchTo(fold->memory);
    // what lies elsewhere may be gone when the group is written
    const Datum copy =
        column->length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(value)) : datumCopy(value, false, column->length);
    MemoryContextSwitchTo(before);
    return copy;
}

// A group, its values and its nulls lie in one piece.
static FoldGroup *new_group(Fold *fold, uint32 hash, const Datum *values, const bool *nulls) {
    grow_fold(fold);
    const Size values_at = MAXALIGN(sizeof(FoldGroup)), nulls_at = values_at + sizeof(Datum) * fold->count;
    char *piece = static_cast<char *>(MemoryContextAlloc(fold->memory, nulls_at + fold->count));
    FoldGroup *group = reinterpret_cast<FoldGroup *>(piece);
    group->hash = hash;
    group->number = fold->group_count;
    group->values = reinterpret_cast<Datum *>(piece + values_at);
    group->nulls = reinterpret_cast<bool *>(piece + nulls_at);
    memcpy(group->nulls, nulls, fold->count);
    for (int i = 0; i < fold->count; i++)
        group->values[i] = nulls[i] ? 0 : keep_value(fold, &fold->columns[i], values[i]);
    fold->groups[fold->group_count++] = group;
    link_group(fold, group);
    return group;
}

static FoldGroup *find_group(Fold *fold, uint32 hash, const Datum *values) {
    for (FoldGroup *group = fold->buckets[hash & (fold->size - 1)]; group; group = group->chain)
        if (group->hash == hash && is_same_key(fold, group, values))
            return group;
    return NULL;
}

// ---- folding

// fold_value gives the measure of two values; it may be one of them.
static Datum fold_value(const FoldColumn *column, Datum one, Datum other) {
    if (column->role == FoldRole::Sum)
        return sum_of(column->type, one, other);
    const bool less = compare_values(column, one, other) < 0;
    return less == (column->role == FoldRole::Min) ? one : other;
}

static void replace_value(const Fold *fold, FoldGroup *group, int i, Datum value, bool is_null) {
    const FoldColumn *column = &fold->columns[i];
    const Datum old = group->values[i];
    const bool had = !group->nulls[i];
    group->values[i] = is_null ? 0 : keep_value(fold, column, value);
    group->nulls[i] = is_null;
    if (had && !column->by_value)
        pfree(DatumGetPointer(old));
}

static void add_measure(Fold *fold, FoldGroup *group, int i, Datum value) {
    const FoldColumn *column = &fold->columns[i];
    if (group->nulls[i]) {
        replace_value(fold, group, i, value, false);
        return;
    }
    const Datum result = fold_value(column, group->values[i], value);
    if (column->by_value) {
        group->values[i] = result;
    } else if (result != group->values[i]) {
        replace_value(fold, group, i, result, false);
        if (column->role == FoldRole::Sum)
            pfree(DatumGetPointer(result));
    }
}

FoldGroup *fold_row(Fold *fold, const Datum *values, const bool *nulls) {
    const uint32 hash = hash_key(fold, values);
    FoldGroup *group = find_group(fold, hash, values);
    if (!group)
        return new_group(fold, hash, values, nulls);
    for (int i = fold->key_count; i < fold->newest_from; i++)
        if (!nulls[i])
            add_measure(fold, group, i, values[i]);
    if (fold->newest_from < fold->count && is_newer(fold, values, nulls, group->values, group->nulls))
        for (int i = fold->newest_from; i < fold->count; i++)
            replace_value(fold, group, i, values[i], nulls[i]);
    return group;
}

void fold_into(Fold *fold, FoldGroup *group, const Datum *known, const bool *known_nulls) {
    for (int i = fold->key_count; i < fold->newest_from; i++) {
        if (known_nulls[i])
            continue;
        group->values[i] = group->nulls[i] ? known[i] : fold_value(&fold->columns[i], known[i], group->values[i]);
        group->nulls[i] = false;
    }
    if (is_newer(fold, group->values, group->nulls, known, known_nulls))
        return;
    for (int i = fold->newest_from; i < fold->count; i++) {
        group->values[i] = known[i];
        group->nulls[i] = known_nulls[i];
    }
}

// ---- their order

static int compare_groups(const void *left, const void *right, void *context) {
    const Fold *fold = static_cast<const Fold *>(context);
    const FoldGroup *a = *static_cast<FoldGroup *const *>(left), *b = *static_cast<FoldGroup *const *>(right);
    for (int i = 0; i < fold->key_count; i++) {
        const int side = compare_values(&fold->columns[i], a->values[i], b->values[i]);
        if (side != 0)
            return side;
    }
    return 0;
}

void sort_groups(Fold *fold) { qsort_arg(fold->groups, fold->group_count, sizeof(FoldGroup *), compare_groups, fold); }

} // namespace sluice
