// Moments: values of newest_by as numbers that sort like them, so that eight bytes say when a column was set.
#pragma once

#include "postgres.hpp"

namespace sluice {

// Below all moments: nothing is known. Then comes the moment of a row whose newest_by is null.
constexpr int64 unknown_moment = PG_INT64_MIN;
constexpr int64 oldest_moment = PG_INT64_MIN + 1;
constexpr int64 first_moment = PG_INT64_MIN + 2; // -infinity

enum class MomentKind : uint8_t { Int2, Int4, Int8, Float4, Float8 };

// moment_kind tells how a type's values are read; false: they have no number.
bool moment_kind(Oid type, MomentKind *kind);

int64 moment_of(MomentKind kind, Datum value, bool is_null);
Datum moment_datum(MomentKind kind, int64 moment, bool *is_null);

} // namespace sluice
