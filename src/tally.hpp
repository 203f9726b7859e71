// A tally: rows that share a key become one group, in memory. A group holds the key, measures (sums, least and greatest values)
// and the newest values; see tally.cpp for what is newest.
#pragma once

#include "postgres.hpp"

namespace sluice {

enum class TallyRole : uint8_t { Key, Sum, Min, Max, Newest, Time };

struct TallyColumn {
    TallyRole role;
    Oid type, collation;
    bool by_value;
    int16 length;
    bool plain;   // a number: equal values are the same bits
    bool ordered; // else values are compared as texts
    FmgrInfo hash, equal, compare, output;
};

struct TallyGroup {
    TallyGroup *chain;
    uint32 hash;
    int64 number; // in the order in which groups came, from 0
    Datum *values;
    bool *nulls;
};

struct Tally {
    MemoryContext memory; // of values; its owner resets it
    TallyColumn *columns; // keys, then measures, then newest, then perhaps the time
    int count, key_count, newest_from, newest_to;
    bool timed;
    TallyGroup **buckets, **groups;
    uint32 size;
    int64 group_count, room;
};

// describe_tally_column prepares a column; it raises 42883 at `pointer` when the type cannot be what the role asks for.
void describe_tally_column(TallyColumn *column, TallyRole role, Oid type, Oid collation, const char *pointer);

// make_tally takes columns in the order of their roles.
Tally *make_tally(TallyColumn *columns, int count, MemoryContext memory);

// tally_row adds a row (values as the columns are) to its group, which it gives.
TallyGroup *tally_row(Tally *tally, const Datum *values, const bool *nulls);

// tally_has tells whether there is a group with this key.
bool tally_has(Tally *tally, const Datum *values);

// tally_known adds what is known of a group to its measures and newest values, as if it had come before. Results live in
// CurrentMemoryContext.
void tally_known(Tally *tally, TallyGroup *group, const Datum *known, const bool *known_nulls);

// is_newer tells whether a row's newest values take the place of others; `time` and `other` may be null (oldest).
bool is_newer(const Tally *tally, const Datum *values, const bool *nulls, const Datum *others, const bool *other_nulls);

// sort_groups brings them in the order of their keys.
void sort_groups(Tally *tally);

} // namespace sluice
