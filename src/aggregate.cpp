// See aggregate.hpp.
#include "aggregate.hpp"

namespace sluice {

ArgumentType make_argument_type(Oid type, Oid collation) {
    ArgumentType result{};
    result.type = type;
    result.collation = collation;
    get_typlenbyval(type, &result.length, &result.by_value);
    return result;
}

// argument_collation is the argument's own: the call has one for all its arguments, or none where they differ. Window
// functions show no more than that.
static Oid argument_collation(FunctionCallInfo fcinfo, int number) {
    const Aggref *call = AggGetAggref(fcinfo);
    if (!call || list_length(call->args) < number)
        return PG_GET_COLLATION();
    const TargetEntry *argument = static_cast<const TargetEntry *>(list_nth(call->args, number - 1));
    return exprCollation(reinterpret_cast<const Node *>(argument->expr));
}

ArgumentType argument_type(FunctionCallInfo fcinfo, int number) {
    const Oid type = get_fn_expr_argtype(fcinfo->flinfo, number);
    if (!OidIsValid(type))
        elog(ERROR, "could not determine the type of argument %d", number);
    return make_argument_type(type, argument_collation(fcinfo, number));
}

MemoryContext aggregate_memory(FunctionCallInfo fcinfo, const char *name) {
    MemoryContext memory;
    if (!AggCheckCallContext(fcinfo, &memory))
        elog(ERROR, "a function of aggregate %s was called outside of it", name);
    return memory;
}

// ---- values that are kept

static bool is_expanded(const ArgumentType &type, Datum value) {
    return type.length == -1 && VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(value));
}

static Size flat_size(const ArgumentType &type, Datum value) {
    if (is_expanded(type, value))
        return EOH_get_flat_size(DatumGetEOHP(value));
    return datumGetSize(value, type.by_value, type.length);
}

static void copy_flat(const ArgumentType &type, Datum value, void *to, Size size) {
    if (is_expanded(type, value))
        EOH_flatten_into(DatumGetEOHP(value), to, size);
    else
        memcpy(to, DatumGetPointer(value), size);
}

// make_room replaces a buffer that is too small. A larger one has some room to spare, so that values that grow little by
// little do not ask for a new one each time.
static void make_room(Kept *kept, Size size, MemoryContext memory) {
    if (size <= kept->room)
        return;
    const Size room = kept->room == 0 ? size : size + size / 4;
    if (kept->room > 0)
        pfree(DatumGetPointer(kept->value));
    kept->room = 0;
    kept->value = PointerGetDatum(MemoryContextAllocHuge(memory, room));
    kept->room = room;
}

void keep(Kept *kept, const ArgumentType &type, Datum value, bool is_null, MemoryContext memory) {
    kept->is_null = is_null;
    if (is_null)
        return;
    if (type.by_value) {
        kept->value = value;
        return;
    }
    const Size size = flat_size(type, value);
    make_room(kept, size, memory);
    copy_flat(type, value, DatumGetPointer(kept->value), size);
}

static int bytes_order(const void *left, Size left_size, const void *right, Size right_size) {
    const int order = memcmp(left, right, Min(left_size, right_size));
    return order != 0 ? order : (left_size > right_size) - (left_size < right_size);
}

static int varlena_order(Datum left, Datum right) {
    struct varlena *l = PG_DETOAST_DATUM_PACKED(left), *r = PG_DETOAST_DATUM_PACKED(right);
    const int order = bytes_order(VARDATA_ANY(l), VARSIZE_ANY_EXHDR(l), VARDATA_ANY(r), VARSIZE_ANY_EXHDR(r));
    if (PointerGetDatum(l) != left)
        pfree(l);
    if (PointerGetDatum(r) != right)
        pfree(r);
    return order;
}

int images_order(const ArgumentType &type, Datum left, Datum right) {
    if (type.by_value)
        return (left > right) - (left < right);
    if (type.length == -1)
        return varlena_order(left, right);
    return bytes_order(DatumGetPointer(left), datumGetSize(left, false, type.length), DatumGetPointer(right),
                       datumGetSize(right, false, type.length));
}

// ---- the order of `at`

void plan_at_order(AtOrder *order, const ArgumentType &type, MemoryContext memory) {
    const TypeCacheEntry *entry = lookup_type_cache(type.type, TYPECACHE_LT_OPR);
    if (!OidIsValid(entry->lt_opr))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                        errmsg("at: values of type %s have no order", format_type_be(type.type)),
                        errhint("Give a value that can be sorted: a time, a number, a text.")));
    memset(order, 0, sizeof(*order));
    order->type = type;
    order->sort.ssup_cxt = memory;
    order->sort.ssup_collation = type.collation;
    PrepareSortSupportFromOrderingOp(entry->lt_opr, &order->sort);
}

// ---- between processes

void begin_pack(StringInfo to) {
    initStringInfo(to);
    appendStringInfoSpaces(to, VARHDRSZ);
}

bytea *end_pack(StringInfo to) {
    SET_VARSIZE(to->data, to->len);
    return reinterpret_cast<bytea *>(to->data);
}

void pack_type(StringInfo to, const ArgumentType &type) {
    appendBinaryStringInfo(to, reinterpret_cast<const char *>(&type), sizeof(type));
}

void pack_datum(StringInfo to, const ArgumentType &type, Datum value, bool is_null) {
    const Size size = datumEstimateSpace(value, is_null, type.by_value, type.length);
    enlargeStringInfo(to, size);
    char *end = to->data + to->len;
    datumSerialize(value, is_null, type.by_value, type.length, &end);
    to->len = end - to->data;
}

PackReader read_pack(FunctionCallInfo fcinfo) {
    bytea *pack = PG_GETARG_BYTEA_PP(0);
    return PackReader{VARDATA_ANY(pack)};
}

ArgumentType unpack_type(PackReader *from) {
    ArgumentType type;
    memcpy(&type, from->next, sizeof(type));
    from->next += sizeof(type);
    return type;
}

Datum unpack_datum(PackReader *from, bool *is_null) { return datumRestore(&from->next, is_null); }

} // namespace sluice
