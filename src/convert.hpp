// From JSON to SQL: how a Value becomes a Datum of a column's type. Numbers never go through a float; what would lose
// information is an error; the common types take a short way, every other type its input function.
#pragma once

#include "postgres.hpp"

#include "coercion.hpp"
#include "value.hpp"

namespace sluice {

enum class ConvertKind : uint8_t {
    Input, // the type's input function
    Int2,
    Int4,
    Int8,
    Numeric,
    Float4,
    Float8,
    Bool,
    Text,
    Varchar,
    Name,
    Char, // "char", one byte
    Money,
    Date,
    Time, // timestamp, timestamptz, time, timetz, interval
    Json,
    Jsonb,
    Array,
    Composite,
};

struct Conversion {
    Oid type;
    int32 typmod;
    Oid base; // below domains
    int32 base_typmod;
    ConvertKind kind;
    bool domain;
    void *domain_cache;
    FmgrInfo input;
    Oid input_parameter;
    int16 length;
    bool by_value;
    char align;
    char delimiter;      // between the elements of arrays of this type
    Conversion *element; // of an array
    TupleDesc fields;    // of a composite
    TupleDesc texts;     // the same fields as texts, to read a literal
    Conversion *field;
    MemoryContext memory;
};

// plan_conversion prepares for a type; the plan lives in CurrentMemoryContext.
void plan_conversion(Conversion *conversion, Oid type, int32 typmod);

// convert_value makes the Datum; a missing or null value becomes NULL (which a domain may refuse).
Datum convert_value(Conversion *conversion, const Value &value, bool *is_null);

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
