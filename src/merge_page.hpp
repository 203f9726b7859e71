// Pages: what a merge remembers of 16 neighbouring keys, in one row. Where the key is a number, that tells on which page it
// lies, and where there: no order, collation or hash function has a part in it, so a page is the same on every machine.
//
//   sluice_integer_page  the number of its keys without their last four bits; of other keys the name is another one
//   sluice_times         an entry for each key of which something is remembered
//   sluice_waiting       leaves and values of keys that are not written yet: place on the page, name, value
//
// An entry: the key's place on the page (a byte), how many bytes follow, and these: the newest moment (8 bytes), then the other
// times, that of the last delete and that of each leaf, mostly as how much older they are. What an entry was written without
// is unknown.
#pragma once

#include "postgres.hpp"

#include "writer.hpp"

namespace sluice {

constexpr int page_bits = 4;
constexpr int page_keys = 1 << page_bits;

inline int64 page_of(int64 number) { return number >> page_bits; }
inline int place_on_page(int64 number) { return static_cast<int>(number & (page_keys - 1)); }

// The columns of a page, in their order.
enum { page_number_column, page_times_column, page_waiting_column, page_column_count };

// page_column_name names the column for the numbers of pages of keys of a type; NULL: such keys have no pages. Types that have the
// name in common have the same numbers for the same keys.
const char *page_column_name(Oid key_type);
bool is_page_column_name(const char *name);

// A value that waits, as text.
struct WaitingText {
    WaitingText *next;
    Datum name, value;
    bool nameless; // nothing is known but that the key waits
    bool is_null;
};

struct PageEntry {
    const char *times; // packed; NULL: nothing is remembered of the key
    uint32 length;
    WaitingText *waiting; // NULL: it does not wait
};

struct MergePage {
    Oid relation;         // for error messages
    MemoryContext memory; // of what its entries refer to
    int64 number;
    PageEntry entries[page_keys];
};

// clear_page makes it an empty one.
void clear_page(MergePage *page, int64 number);
// read_page takes the entries of a row of the table. A row that is damaged is an error.
void read_page(MergePage *page, const Datum *values, const bool *nulls);
void fill_page(const MergePage *page, WriterRow *row);

// page_times unpacks the times of a key: the newest moment, that of the last delete, those of the leaves. False: there are none.
bool page_times(const MergePage *page, int place, int64 *times, int count);
void set_page_times(MergePage *page, int place, const int64 *times, int count);

} // namespace sluice
