// See merge_page.hpp.
//
// Entries stay packed as long as nobody asks for them: of the keys of a page mostly some have news, and the entries of the others
// are copied as they are.
#include "merge_page.hpp"

#include "moment.hpp"
#include "names.hpp"
#include "packed.hpp"

namespace sluice {

const char *page_column_name(Oid key_type) {
    switch (getBaseType(key_type)) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
        return "sluice_integer_page";
    case DATEOID:
        return "sluice_date_page";
    case TIMESTAMPOID:
        return "sluice_timestamp_page";
    case TIMESTAMPTZOID:
        return "sluice_timestamptz_page";
    }
    return NULL;
}

bool is_page_column_name(const char *name) {
    constexpr Oid types[] = {INT8OID, DATEOID, TIMESTAMPOID, TIMESTAMPTZOID};
    for (const Oid type : types)
        if (strcmp(name, page_column_name(type)) == 0)
            return true;
    return false;
}

[[noreturn]] static void damaged(const MergePage *page) {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                    errmsg("page " INT64_FORMAT " of %s is damaged", page->number, relation_name(page->relation)),
                    errdetail("It holds when the values of %d keys were set.", page_keys),
                    errhint("Restore it; or CALL sluice.rebuild, which merges everything anew.")));
    pg_unreachable();
}

void clear_page(MergePage *page, int64 number) {
    page->number = number;
    memset(page->entries, 0, sizeof(page->entries));
}

// ---- times

// How a time stands in an entry: as one of these, or else as how much older than the newest it is.
enum : uint64 {
    unknown_time,
    same_time,  // as the one before it
    whole_time, // eight bytes follow
    first_age
};

constexpr uint64 most_age = static_cast<uint64>(1) << 56; // from here on a whole time is no longer
constexpr Size most_time = 1 + sizeof(int64);

static_assert(most_time >= 9, "the longest age takes nine bytes");

static char *pack_whole(char *to, int64 time) {
    const uint64 bytes = pg_hton64(static_cast<uint64>(time));
    memcpy(to, &bytes, sizeof(bytes));
    return to + sizeof(bytes);
}

static char *pack_time(char *to, int64 time, int64 newest, int64 before) {
    const uint64 age = static_cast<uint64>(newest) - static_cast<uint64>(time);
    if (time == unknown_moment)
        return pack_number(to, unknown_time);
    if (time == before)
        return pack_number(to, same_time);
    if (age < most_age)
        return pack_number(to, age + first_age);
    return pack_whole(pack_number(to, whole_time), time);
}

void set_page_times(MergePage *page, int place, const int64 *times, int count) {
    PageEntry *entry = &page->entries[place];
    char *packed = static_cast<char *>(MemoryContextAlloc(page->memory, sizeof(int64) + most_time * count));
    char *to = pack_whole(packed, times[0]);
    for (int i = 1; i < count; i++)
        to = pack_time(to, times[i], times[0], times[i - 1]);
    entry->times = packed;
    entry->length = static_cast<uint32>(to - packed);
}

static const char *unpack_whole(const MergePage *page, const char *at, const char *end, int64 *time) {
    uint64 bytes;
    if (end - at < static_cast<ptrdiff_t>(sizeof(bytes)))
        damaged(page);
    memcpy(&bytes, at, sizeof(bytes));
    *time = static_cast<int64>(pg_ntoh64(bytes));
    return at + sizeof(bytes);
}

static const char *unpack_time(const MergePage *page, const char *at, const char *end, int64 newest, int64 before,
                               int64 *time) {
    uint64 code;
    const char *next = unpack_number(at, end, &code);
    if (!next)
        damaged(page);
    if (code == whole_time)
        return unpack_whole(page, next, end, time);
    *time = code == unknown_time ? unknown_moment
            : code == same_time  ? before
                                 : static_cast<int64>(static_cast<uint64>(newest) - (code - first_age));
    return next;
}

bool page_times(const MergePage *page, int place, int64 *times, int count) {
    const PageEntry *entry = &page->entries[place];
    if (!entry->times)
        return false;
    const char *end = entry->times + entry->length, *at = unpack_whole(page, entry->times, end, &times[0]);
    for (int i = 1; i < count; i++)
        if (at == end)
            times[i] = unknown_moment; // it was written without
        else
            at = unpack_time(page, at, end, times[0], times[i - 1], &times[i]);
    return true;
}

static void read_times(MergePage *page, Datum times) {
    const struct varlena *stored = PG_DETOAST_DATUM_COPY(times); // the row that it lies in may go
    const char *at = VARDATA(stored), *end = at + VARSIZE(stored) - VARHDRSZ;
    while (at < end) {
        const uint8 place = static_cast<uint8>(*at);
        uint64 length;
        at = unpack_number(at + 1, end, &length);
        if (!at || place >= page_keys || page->entries[place].times || length > static_cast<uint64>(end - at))
            damaged(page);
        page->entries[place].times = at;
        page->entries[place].length = static_cast<uint32>(length);
        at += length;
    }
}

static Datum write_times(const MergePage *page) {
    Size room = VARHDRSZ;
    for (int place = 0; place < page_keys; place++)
        room += page->entries[place].times ? 1 + most_packed + page->entries[place].length : 0;
    bytea *times = static_cast<bytea *>(palloc(room));
    char *to = VARDATA(times);
    for (int place = 0; place < page_keys; place++) {
        const PageEntry *entry = &page->entries[place];
        if (!entry->times)
            continue;
        *to++ = static_cast<char>(place);
        to = pack_number(to, entry->length);
        memcpy(to, entry->times, entry->length);
        to += entry->length;
    }
    SET_VARSIZE(times, to - reinterpret_cast<char *>(times));
    return PointerGetDatum(times);
}

// ---- values that wait

enum { waiting_place, waiting_name, waiting_value, waiting_width };

static int read_place(const MergePage *page, Datum stored) {
    const char *digits = TextDatumGetCString(stored);
    char *end;
    const long place = strtol(digits, &end, 10);
    if (end == digits || *end || place < 0 || place >= page_keys)
        damaged(page);
    return static_cast<int>(place);
}

static void read_waiting(MergePage *page, Datum array) {
    ArrayType *stored = DatumGetArrayTypePCopy(array);
    Datum *texts;
    bool *nulls;
    int count;
    deconstruct_array(stored, TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &count);
    if (count % waiting_width != 0)
        damaged(page);
    for (int at = count - waiting_width; at >= 0; at -= waiting_width) { // each comes to stand first
        if (nulls[at + waiting_place])
            damaged(page);
        PageEntry *entry = &page->entries[read_place(page, texts[at + waiting_place])];
        WaitingText *waiting = static_cast<WaitingText *>(palloc(sizeof(WaitingText)));
        *waiting = WaitingText{entry->waiting, texts[at + waiting_name], texts[at + waiting_value],
                               nulls[at + waiting_name], nulls[at + waiting_value]};
        entry->waiting = waiting;
    }
}

static int count_waiting(const MergePage *page) {
    int count = 0;
    for (int place = 0; place < page_keys; place++)
        for (const WaitingText *waiting = page->entries[place].waiting; waiting; waiting = waiting->next)
            count++;
    return count;
}

static Datum write_waiting(const MergePage *page, int count) {
    Datum *texts = static_cast<Datum *>(palloc(sizeof(Datum) * waiting_width * count));
    bool *nulls = static_cast<bool *>(palloc0(sizeof(bool) * waiting_width * count));
    int at = 0;
    for (int place = 0; place < page_keys; place++)
        for (const WaitingText *waiting = page->entries[place].waiting; waiting; waiting = waiting->next) {
            texts[at + waiting_place] = CStringGetTextDatum(psprintf("%d", place));
            texts[at + waiting_name] = waiting->name;
            nulls[at + waiting_name] = waiting->nameless;
            texts[at + waiting_value] = waiting->value;
            nulls[at + waiting_value] = waiting->is_null;
            at += waiting_width;
        }
    int dimensions[] = {count, waiting_width}, lower[] = {1, 1};
    return PointerGetDatum(construct_md_array(texts, nulls, 2, dimensions, lower, TEXTOID, -1, false, TYPALIGN_INT));
}

// ---- rows

void read_page(MergePage *page, const Datum *values, const bool *nulls) {
    MemoryContext before = MemoryContextSwitchTo(page->memory);
    clear_page(page, DatumGetInt64(values[page_number_column]));
    if (nulls[page_times_column])
        damaged(page);
    read_times(page, values[page_times_column]);
    if (!nulls[page_waiting_column])
        read_waiting(page, values[page_waiting_column]);
    MemoryContextSwitchTo(before);
}

void fill_page(const MergePage *page, WriterRow *row) {
    MemoryContext before = MemoryContextSwitchTo(page->memory);
    row->values[page_number_column] = Int64GetDatum(page->number);
    row->nulls[page_number_column] = false;
    row->values[page_times_column] = write_times(page);
    row->nulls[page_times_column] = false;
    const int waiting = count_waiting(page);
    row->nulls[page_waiting_column] = waiting == 0;
    if (waiting > 0)
        row->values[page_waiting_column] = write_waiting(page, waiting);
    MemoryContextSwitchTo(before);
}

} // namespace sluice
