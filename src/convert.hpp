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
    bool strict; // a boolean takes only booleans, a number only strings that it would be written as
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

// What the formats of dates and times (format.hpp) share.

enum class Whole : uint8_t { Yes, Fraction, TooLarge };
Whole numeric_integer(Numeric number, int64 *result);
char *numeric_text(Numeric number);

void refuse_nul(const char *text, uint32 length);

// fixed_digits reads so many digits; a negative result means that something else stands there.
int fixed_digits(const char *text, int count);
bool plain_date(int year, int month, int day, Datum *date);

} // namespace sluice
