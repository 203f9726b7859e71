// Keys: the unique index by which a target's rows are found when they come again.
#pragma once

#include "postgres.hpp"

namespace sluice {

// find_key_index finds a plain unique index over just these columns; InvalidOid when there is none.
Oid find_key_index(Relation relation, const char *const *columns, int count);

// is_number_type tells of types (no domains) whose values are numbers: equal ones are the same to the byte.
inline bool is_number_type(Oid type) {
    switch (type) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case DATEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
        return true;
    }
    return false;
}

// number_of_key gives a number that sorts like the value of a key, where that is of such a type; else 0.
inline int64 number_of_key(Oid type, Datum value) {
    switch (type) {
    case INT2OID:
        return DatumGetInt16(value);
    case INT4OID:
    case DATEOID:
        return DatumGetInt32(value);
    case INT8OID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
        return DatumGetInt64(value);
    }
    return 0;
}

// refuse_without_conflicts refuses a target that has no INSERT ... ON CONFLICT; `place` begins the message.
void refuse_without_conflicts(const char *place, Relation relation);

// is_key_race tells an error that comes from another transaction writing the same key meanwhile: another attempt sees its row.
bool is_key_race(const ErrorData *error, const Oid *indexes, int count);

[[noreturn]] void missing_key_index(const char *place, Relation relation, const char *columns);

} // namespace sluice
