// sluice.latest(value, at): the last value that is not null, by `at`.
//
// The state is the one value that is the latest so far, with its `at`; both lie in buffers that are used again. Which of
// two rows is the later one is decided by `at` (null is the oldest), then by the value, in its type's own order where it
// has one, then by its bytes: a total order, up to rows that nobody can tell apart. So the result depends neither on
// the order in which rows come nor on how they are shared among workers.
//
// A frame of a window that moves on takes rows out again. One that is older than the latest does not matter; when the
// latest itself goes, the inverse function says that it cannot tell (null), and the server aggregates the frame anew.
// Ordered by `at`, frames lose their oldest rows, so that is rare.
#include "aggregate.hpp"

namespace sluice {

// A LatestPlan says how the rows of one call compare. It lives as long as the query.
struct LatestPlan {
    ArgumentType value;
    AtOrder at;
    FmgrInfo *compare; // values of the type; NULL: by their bytes
};

struct Latest {
    LatestPlan *plan;
    Kept value; // null: there was none yet
    Kept at;
};

// value_comparison is how values of a type compare; NULL where they cannot always. Rows without a type of their own are
// among these: what is in them is found out only when they are compared.
static FmgrInfo *value_comparison(const ArgumentType &value) {
    const Oid type = getBaseType(value.type);
    if (type == RECORDOID || type == RECORDARRAYOID || (type_is_collatable(type) && !OidIsValid(value.collation)))
        return NULL;
    TypeCacheEntry *entry = lookup_type_cache(value.type, TYPECACHE_CMP_PROC | TYPECACHE_CMP_PROC_FINFO);
    return OidIsValid(entry->cmp_proc) ? &entry->cmp_proc_finfo : NULL;
}

static LatestPlan *make_plan(FunctionCallInfo fcinfo, const ArgumentType &value, const ArgumentType &at) {
    MemoryContext memory = fcinfo->flinfo->fn_mcxt;
    LatestPlan *plan = static_cast<LatestPlan *>(MemoryContextAllocZero(memory, sizeof(LatestPlan)));
    plan->value = value;
    plan_at_order(&plan->at, at, memory);
    plan->compare = value_comparison(value);
    fcinfo->flinfo->fn_extra = plan;
    return plan;
}

static LatestPlan *plan_of_call(FunctionCallInfo fcinfo) {
    LatestPlan *plan = static_cast<LatestPlan *>(fcinfo->flinfo->fn_extra);
    return plan ? plan : make_plan(fcinfo, argument_type(fcinfo, 1), argument_type(fcinfo, 2));
}

static LatestPlan *plan_of_pack(FunctionCallInfo fcinfo, const ArgumentType &value, const ArgumentType &at) {
    LatestPlan *plan = static_cast<LatestPlan *>(fcinfo->flinfo->fn_extra);
    if (plan && same_type(plan->value, value) && same_type(plan->at.type, at))
        return plan;
    return make_plan(fcinfo, value, at);
}

static Latest *make_latest(LatestPlan *plan, MemoryContext memory) {
    Latest *latest = static_cast<Latest *>(MemoryContextAllocZero(memory, sizeof(Latest)));
    latest->plan = plan;
    latest->value.is_null = latest->at.is_null = true;
    return latest;
}

static int values_order(const LatestPlan *plan, Datum left, Datum right) {
    const int order =
        plan->compare ? DatumGetInt32(FunctionCall2Coll(plan->compare, plan->value.collation, left, right)) : 0;
    return order != 0 ? order : images_order(plan->value, left, right);
}

// order_to_latest tells whether a row is older (< 0) or later (> 0) than the latest one.
static int order_to_latest(const Latest *latest, Datum value, Datum at, bool at_null) {
    const int order = at_order(&latest->plan->at, at, at_null, latest->at.value, latest->at.is_null);
    return order != 0 ? order : values_order(latest->plan, value, latest->value.value);
}

// offer takes a value over when it is later than what is there.
static void offer(Latest *latest, Datum value, Datum at, bool at_null, MemoryContext memory) {
    if (!latest->value.is_null && order_to_latest(latest, value, at, at_null) <= 0)
        return;
    keep(&latest->value, latest->plan->value, value, false, memory);
    keep(&latest->at, latest->plan->at.type, at, at_null, memory);
}

static Latest *latest_argument(FunctionCallInfo fcinfo, int number) {
    return PG_ARGISNULL(number) ? NULL : reinterpret_cast<Latest *>(PG_GETARG_POINTER(number));
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_latest_transition);
Datum sluice_latest_transition(PG_FUNCTION_ARGS) {
    MemoryContext memory = aggregate_memory(fcinfo, "sluice.latest");
    Latest *latest = latest_argument(fcinfo, 0);
    if (!latest)
        latest = make_latest(plan_of_call(fcinfo), memory);
    if (!PG_ARGISNULL(1))
        offer(latest, PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), PG_ARGISNULL(2), memory);
    PG_RETURN_POINTER(latest);
}

PG_FUNCTION_INFO_V1(sluice_latest_inverse);
Datum sluice_latest_inverse(PG_FUNCTION_ARGS) {
    (void)aggregate_memory(fcinfo, "sluice.latest");
    Latest *latest = latest_argument(fcinfo, 0);
    if (!PG_ARGISNULL(1) && order_to_latest(latest, PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), PG_ARGISNULL(2)) >= 0)
        PG_RETURN_NULL();
    PG_RETURN_POINTER(latest);
}

PG_FUNCTION_INFO_V1(sluice_latest_combine);
Datum sluice_latest_combine(PG_FUNCTION_ARGS) {
    MemoryContext memory = aggregate_memory(fcinfo, "sluice.latest");
    Latest *latest = latest_argument(fcinfo, 0);
    const Latest *other = latest_argument(fcinfo, 1);
    if (!other && !latest)
        PG_RETURN_NULL();
    if (!latest)
        latest = make_latest(other->plan, memory);
    if (other && !other->value.is_null)
        offer(latest, other->value.value, other->at.value, other->at.is_null, memory);
    PG_RETURN_POINTER(latest);
}

PG_FUNCTION_INFO_V1(sluice_latest_write);
Datum sluice_latest_write(PG_FUNCTION_ARGS) {
    (void)aggregate_memory(fcinfo, "sluice.latest");
    const Latest *latest = latest_argument(fcinfo, 0);
    StringInfoData pack;
    begin_pack(&pack);
    pack_type(&pack, latest->plan->value);
    pack_type(&pack, latest->plan->at.type);
    pack_datum(&pack, latest->plan->value, latest->value.value, latest->value.is_null);
    pack_datum(&pack, latest->plan->at.type, latest->at.value, latest->at.is_null);
    PG_RETURN_BYTEA_P(end_pack(&pack));
}

PG_FUNCTION_INFO_V1(sluice_latest_read);
Datum sluice_latest_read(PG_FUNCTION_ARGS) {
    (void)aggregate_memory(fcinfo, "sluice.latest");
    PackReader pack = read_pack(fcinfo);
    const ArgumentType value = unpack_type(&pack), at = unpack_type(&pack);
    Latest *latest = make_latest(plan_of_pack(fcinfo, value, at), CurrentMemoryContext);
    latest->value.value = unpack_datum(&pack, &latest->value.is_null);
    latest->at.value = unpack_datum(&pack, &latest->at.is_null);
    PG_RETURN_POINTER(latest);
}

PG_FUNCTION_INFO_V1(sluice_latest_final);
Datum sluice_latest_final(PG_FUNCTION_ARGS) {
    (void)aggregate_memory(fcinfo, "sluice.latest");
    const Latest *latest = latest_argument(fcinfo, 0);
    if (!latest || latest->value.is_null)
        PG_RETURN_NULL();
    PG_RETURN_DATUM(latest->value.value);
}

} // extern "C"
