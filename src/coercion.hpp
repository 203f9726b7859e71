// A Coercion turns an SQL value of one type into a column's type as an assignment does (INSERT's rule), and refuses to
// lose anything on the way: what numeric-to-integer or timestamp-to-date would silently drop is an error here.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct Coercion {
    Oid from, to;
    int32 typmod;
    ExprState *there;  // NULL: nothing to do
    ExprState *back;   // for the comparison, or NULL
    bool runs_code;    // the cast calls a volatile function
    bool always_loses; // a date that the target has no place for
    ExprContext *context;
    FmgrInfo equal;
    Oid collation;
};

// plan_coercion returns false when there is no assignment cast. The plan lives in CurrentMemoryContext.
bool plan_coercion(Coercion *coercion, Oid from, int32 from_typmod, Oid to, int32 typmod);

Datum coerce_value(Coercion *coercion, Datum value, bool *is_null);

[[noreturn]] void lossy_error(const char *value, Oid type, int32 typmod);

} // namespace sluice
