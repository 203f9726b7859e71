// Formats: how dates and times are written where they are not written as the server writes them. The mapping's "format"
// and the SQL functions parse_date and parse_timestamp read alike: to the end of the text, and nothing else than it says.
#pragma once

#include "postgres.hpp"

#include "coercion.hpp"
#include "convert.hpp"

namespace sluice {

// A Format reads dates and times written in a way of their own: a to_timestamp pattern, epoch_s or epoch_ms.
enum class FormatKind : uint8_t { Pattern, EpochSeconds, EpochMilliseconds };

struct Format {
    FormatKind kind;
    const char *written;  // as in the mapping
    text *pattern;        // as the server reads it
    bool repeatable;      // writing it again must give what was read
    int day, month, year; // places of DD, MM, YYYY when the pattern is these and separators alone; else -1
    int length;           // of such a pattern
    Oid type;             // of the values it reads, known after the first
    Coercion coercion;
    bool planned;
    MemoryContext memory;
};

void plan_format(Format *format, const char *pattern);
// check_format finds out now whether the pattern can be read, and into this type.
void check_format(Format *format, const Conversion *conversion);
Datum format_value(Format *format, const Conversion *conversion, const Value &value, bool *is_null);

} // namespace sluice
