// See seen.hpp.
#include "seen.hpp"

namespace sluice {

bool has_seen(const Seen *seen) { return seen->xmax != 0; }

static bool is_listed(const Seen *seen, uint64 transaction) {
    int low = 0, high = seen->count;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (seen->xip[middle] < transaction)
            low = middle + 1;
        else
            high = middle;
    }
    return low < seen->count && seen->xip[low] == transaction;
}

bool seen_includes(const Seen *seen, uint64 transaction) {
    return transaction < seen->xmin || (transaction < seen->xmax && !is_listed(seen, transaction));
}

Seen read_seen(const char *text) {
    Seen seen{};
    if (!text)
        return seen;
    // The server's own input function says what is wrong with it; after it the text can be trusted.
    const Datum checked = DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(text));
    const char *at = DatumGetCString(DirectFunctionCall1(pg_snapshot_out, checked));
    char *next;
    seen.xmin = strtoull(at, &next, 10);
    seen.xmax = strtoull(next + 1, &next, 10);
    seen.xip = static_cast<uint64 *>(palloc(sizeof(uint64) * (strlen(next) / 2 + 2))); // one more may come
    while (*next && next[1])
        seen.xip[seen.count++] = strtoull(next + 1, &next, 10);
    return seen;
}

const char *seen_text(const Seen *seen) {
    StringInfoData text;
    initStringInfo(&text);
    appendStringInfo(&text, UINT64_FORMAT ":" UINT64_FORMAT ":", seen->xmin, seen->xmax);
    for (int i = 0; i < seen->count; i++)
        appendStringInfo(&text, "%s" UINT64_FORMAT, i ? "," : "", seen->xip[i]);
    return text.data;
}

// leave_out treats a transaction as still going on.
static void leave_out(Seen *seen, uint64 transaction) {
    if (!seen_includes(seen, transaction))
        return;
    int at = seen->count++;
    for (; at > 0 && seen->xip[at - 1] > transaction; at--)
        seen->xip[at] = seen->xip[at - 1];
    seen->xip[at] = transaction;
    seen->xmin = Min(seen->xmin, transaction);
}

// A snapshot never lists the transaction it belongs to. It may be below xmax all the same, and what it has yet to write
// would be passed over.
Seen seen_now() {
    const Datum now = DirectFunctionCall1(pg_current_snapshot, 0);
    Seen seen = read_seen(DatumGetCString(DirectFunctionCall1(pg_snapshot_out, now)));
    const FullTransactionId own = GetTopFullTransactionIdIfAny();
    if (FullTransactionIdIsValid(own))
        leave_out(&seen, U64FromFullTransactionId(own));
    return seen;
}

static Datum stamp_datum(uint64 transaction) {
    return FullTransactionIdGetDatum(FullTransactionIdFromU64(transaction));
}

static ArrayType *make_stamp_array(const uint64 *stamps, int count) {
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * (count + 1)));
    for (int i = 0; i < count; i++)
        values[i] = stamp_datum(stamps[i]);
    return construct_array(values, count, XID8OID, sizeof(uint64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

ArrayType *over_since(const Seen *old, const Seen *now) {
    uint64 *over = static_cast<uint64 *>(palloc(sizeof(uint64) * (old->count + 1)));
    int count = 0;
    for (int i = 0; i < old->count; i++)
        if (seen_includes(now, old->xip[i]))
            over[count++] = old->xip[i];
    return count ? make_stamp_array(over, count) : NULL;
}

bool is_worth_noting(const Seen *before, const Seen *after) {
    constexpr uint64 many = 100000;
    if (before->xmax == after->xmax && before->count == after->count)
        return false;
    return before->count > 0 || after->count > 0 || after->xmax > before->xmax + many;
}

Datum stamp_array(const Seen *seen) { return PointerGetDatum(make_stamp_array(seen->xip, seen->count)); }

uint64 next_transaction() { return U64FromFullTransactionId(ReadNextFullTransactionId()); }

} // namespace sluice
