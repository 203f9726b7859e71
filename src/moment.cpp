// See moment.hpp. A moment goes to and fro without loss: what a row said last can be written into the target from it.
#include "moment.hpp"

#include <cmath>

namespace sluice {

bool moment_kind(Oid type, MomentKind *kind) {
    switch (getBaseType(type)) {
    case INT2OID:
        *kind = MomentKind::Int2;
        return true;
    case INT4OID:
    case DATEOID:
        *kind = MomentKind::Int4;
        return true;
    case INT8OID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
        *kind = MomentKind::Int8;
        return true;
    case FLOAT4OID:
        *kind = MomentKind::Float4;
        return true;
    case FLOAT8OID:
        *kind = MomentKind::Float8;
        return true;
    }
    return false;
}

// moment_of_int8: only the least of all timestamps, -infinity, lies as low as what is kept for null and unknown.
static int64 moment_of_int8(int64 value) {
    if (value == PG_INT64_MIN)
        return first_moment;
    if (value <= first_moment)
        ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                        errmsg("newest_by is " INT64_FORMAT ", which is too low to be told from null", value)));
    return value;
}

// The bits of a float sort like it does once those of negative ones are turned round. All NaN are one, above all others.
static int64 moment_of_float(double value) {
    if (std::isnan(value))
        return PG_INT64_MAX;
    if (value == 0)
        value = 0; // -0
    int64 bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits < 0 ? bits ^ PG_INT64_MAX : bits;
}

static double float_of_moment(int64 moment) {
    if (moment == PG_INT64_MAX)
        return std::nan("");
    const int64 bits = moment < 0 ? moment ^ PG_INT64_MAX : moment;
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

int64 moment_of(MomentKind kind, Datum value, bool is_null) {
    if (is_null)
        return oldest_moment;
    switch (kind) {
    case MomentKind::Int2:
        return DatumGetInt16(value);
    case MomentKind::Int4:
        return DatumGetInt32(value);
    case MomentKind::Int8:
        return moment_of_int8(DatumGetInt64(value));
    case MomentKind::Float4:
        return moment_of_float(DatumGetFloat4(value));
    case MomentKind::Float8:
        return moment_of_float(DatumGetFloat8(value));
    }
    pg_unreachable();
}

Datum moment_datum(MomentKind kind, int64 moment, bool *is_null) {
    *is_null = moment <= oldest_moment;
    if (*is_null)
        return 0;
    switch (kind) {
    case MomentKind::Int2:
        return Int16GetDatum(static_cast<int16>(moment));
    case MomentKind::Int4:
        return Int32GetDatum(static_cast<int32>(moment));
    case MomentKind::Int8:
        return Int64GetDatum(moment == first_moment ? PG_INT64_MIN : moment);
    case MomentKind::Float4:
        return Float4GetDatum(static_cast<float4>(float_of_moment(moment)));
    case MomentKind::Float8:
        return Float8GetDatum(float_of_moment(moment));
    }
    pg_unreachable();
}

} // namespace sluice
