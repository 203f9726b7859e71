// What the aggregates with an argument `at` stand on: values that are kept from one row to the next, the order of `at`, and
// how both travel from a parallel worker to its leader.
//
// A transition function learns the types of its arguments from the call; combining and reading functions cannot, so
// these travel with the state.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct ArgumentType {
    Oid type;
    Oid collation; // invalid where none was determined
    int16 length;
    bool by_value;
};

ArgumentType make_argument_type(Oid type, Oid collation);

// argument_type is the type of an argument of the aggregate, for its transition function (from 1: 0 is the state).
ArgumentType argument_type(FunctionCallInfo fcinfo, int number);

inline bool same_type(const ArgumentType &left, const ArgumentType &right) {
    return left.type == right.type && left.collation == right.collation;
}

// aggregate_memory is the memory of states; `name` is for the message of a call outside an aggregate.
MemoryContext aggregate_memory(FunctionCallInfo fcinfo, const char *name);

// A Kept value lies in a buffer of its own, which the next value uses again. It is flat: expanded objects are written
// out. What is stored out of line stays there, as in max(): the snapshot of the query protects it.
struct Kept {
    Datum value;
    Size room; // of the buffer
    bool is_null;
};

// keep puts a value into its place; a new buffer is made in `memory`.
void keep(Kept *kept, const ArgumentType &type, Datum value, bool is_null, MemoryContext memory);

// images_order compares two values byte by byte, read from where they are stored: an order that every type has, and
// that tells apart what the type's own order calls equal.
int images_order(const ArgumentType &type, Datum left, Datum right);

// An AtOrder is the order of `at`: null is the oldest.
struct AtOrder {
    ArgumentType type;
    SortSupportData sort;
};

// plan_at_order raises 42883 when the type has no order. `memory` is that of the plan.
void plan_at_order(AtOrder *order, const ArgumentType &type, MemoryContext memory);

inline int at_order(AtOrder *order, Datum left, bool left_null, Datum right, bool right_null) {
    if (left_null || right_null)
        return static_cast<int>(right_null) - static_cast<int>(left_null);
    return order->sort.comparator(left, right, &order->sort);
}

// ---- between processes: bytes in, bytes out. A PackReader is at the next of them.

struct PackReader {
    char *next;
};

void begin_pack(StringInfo to);
bytea *end_pack(StringInfo to);
void pack_type(StringInfo to, const ArgumentType &type);
void pack_datum(StringInfo to, const ArgumentType &type, Datum value, bool is_null);

PackReader read_pack(FunctionCallInfo fcinfo); // the first argument
ArgumentType unpack_type(PackReader *from);
Datum unpack_datum(PackReader *from, bool *is_null);

} // namespace sluice
