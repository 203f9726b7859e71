// Looking for keys by walking: where they are asked for in their order, and many of those in the index are, the next one is a few
// entries further on, which costs a fraction of a descent from the root. Rows are fetched of entries with the key alone.
//
// Where the next key is further away than that time and again, the walk is given up until the batch is settled.
#include "keyed.hpp"

#include "key.hpp"

namespace sluice {

constexpr int most_steps = 10;     // further away a descent is cheaper
constexpr int most_far_in_row = 8; // then keys are sparse

// may_be_walked: keys are stored as they are, and come in the order in which they are asked for.
static bool may_be_walked(const LeafProbe *probe) {
    const Form_pg_attribute column = TupleDescAttr(RelationGetDescr(probe->index), 0);
    return column->atttypid == probe->index->rd_opcintype[0] && !(probe->index->rd_indoption[0] & INDOPTION_DESC);
}

bool may_walk(const Writer *writer, const Keyed *keyed, const LeafProbe *probe) {
    return writer->once && keyed->count == 1 && probe->far < most_far_in_row && may_be_walked(probe);
}

static int compare(const Keyed *keyed, Datum left, Datum right) {
    if (OidIsValid(keyed->number_type)) {
        const int64 a = number_of_key(keyed->number_type, left), b = number_of_key(keyed->number_type, right);
        return a < b ? -1 : a > b;
    }
    return DatumGetInt32(
        FunctionCall2Coll(const_cast<FmgrInfo *>(&keyed->order[0]), keyed->collations[0], left, right));
}

static void next_entry(LeafProbe *probe) {
    probe->has_entry = index_getnext_tid(probe->walk, ForwardScanDirection) != NULL;
}

static void begin_walk(Writer *writer, const Keyed *keyed, LeafProbe *probe) {
    const Oid type = probe->index->rd_opcintype[0];
    const Oid operation = get_opfamily_member(probe->index->rd_opfamily[0], type, type, BTGreaterEqualStrategyNumber);
    ScanKeyEntryInitialize(&probe->from, 0, 1, BTGreaterEqualStrategyNumber, type, keyed->collations[0],
                           get_opcode(operation), 0);
    probe->walk = begin_index_scan(probe->leaf->ri_RelationDesc, probe->index, writer->snapshot, 1);
    probe->walk->xs_want_itup = true;
}

// start_at goes to the first entry that is not less than a key.
static void start_at(Writer *writer, const Keyed *keyed, LeafProbe *probe, Datum key) {
    if (!probe->walk)
        begin_walk(writer, keyed, probe);
    probe->from.sk_argument = key;
    index_rescan(probe->walk, &probe->from, 1, NULL, 0);
    next_entry(probe);
}

// side_of tells whether the entry at hand lies before (< 0) or behind a key.
static int side_of(const Keyed *keyed, const LeafProbe *probe, Datum key) {
    bool is_null;
    return compare(keyed, index_getattr(probe->walk->xs_itup, 1, probe->walk->xs_itupdesc, &is_null), key);
}

bool walk_to(Writer *writer, const Keyed *keyed, LeafProbe *probe, Datum key) {
    const bool on = probe->walk && probe->has_entry && compare(keyed, probe->last, key) < 0;
    probe->last = key;
    if (!on)
        start_at(writer, keyed, probe, key);
    for (int steps = 0; probe->has_entry;) {
        const int side = side_of(keyed, probe, key);
        if (side > 0)
            return false;
        if (side == 0 && index_fetch_heap(probe->walk, probe->found))
            return true;
        if (side < 0 && ++steps > most_steps) {
            probe->far++;
            start_at(writer, keyed, probe, key);
        } else {
            next_entry(probe);
        }
        if (side == 0)
            probe->far = 0;
    }
    return false;
}

void end_walk(LeafProbe *probe) {
    if (probe->walk)
        index_endscan(probe->walk);
    probe->walk = NULL;
    probe->has_entry = false;
    probe->far = 0;
}

} // namespace sluice
