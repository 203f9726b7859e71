// Backing off: the last update of a target, and the rows that a failed load left in it.
#pragma once

#include "postgres.hpp"

namespace sluice {

// A time column of a target; it raises when there is none of that name, or it holds no times.
struct TimeColumn {
    Oid target;
    const char *table;  // schema.table
    const char *column; // quoted
    const char *type;   // of the column, with its schema
};
TimeColumn find_time_column(const char *argument, Oid target, const char *column);

// last_update is the greatest time in the column, of the rows that fulfil `condition` over the target as t (NULL: all) with
// $1 = `value`; the start of 1970 when there is none. It looks with the rights of the current user.
TimestampTz last_update(const TimeColumn *column, const char *condition, Oid type, Datum value);

// back_off deletes the rows of one table (with ONLY) that are later than `since`, up to and including `until` (NULL: all);
// it returns how many.
int64 back_off(const TimeColumn *column, const char *table, TimestampTz since, const TimestampTz *until);

} // namespace sluice
