// See format.hpp.
#include "format.hpp"

namespace sluice {

static int place_of(const char *pattern, const char *field) {
    const char *at = strstr(pattern, field);
    return at && !strstr(at + 1, field) ? static_cast<int>(at - pattern) : -1;
}

// plan_plain_date recognizes patterns that are DD, MM and YYYY with one separator between them: they need no server.
static void plan_plain_date(Format *format, const char *pattern) {
    format->day = place_of(pattern, "DD");
    format->month = place_of(pattern, "MM");
    format->year = place_of(pattern, "YYYY");
    format->length = strlen(pattern);
    if (format->length != 10 || format->day < 0 || format->month < 0 || format->year < 0 ||
        strspn(pattern, "DMY-./") != 10)
        format->day = -1;
}

// strict_pattern quotes what the strict way of reading takes only in quotes: separators other than "-./,':; " and letters
// beyond ASCII.
static char *strict_pattern(const char *pattern) {
    StringInfoData strict;
    initStringInfo(&strict);
    bool quoted = false;
    for (const char *at = pattern; *at; at++) {
        const unsigned char c = *at;
        if (c == '"')
            quoted = !quoted;
        const bool literal = !quoted && c != '"' && !isalnum(c) && !strchr("-./,':; ", c);
        if (!literal) {
            appendStringInfoChar(&strict, c);
            continue;
        }
        const int length = pg_mblen(at);
        appendStringInfoChar(&strict, '"');
        appendBinaryStringInfo(&strict, at, length);
        appendStringInfoChar(&strict, '"');
        at += length - 1;
    }
    return strict.data;
}

// is_repeatable tells whether writing a moment by the pattern must give back what was read. It finds fields that were 0
// or blank and would silently become 1 or nothing.
static bool is_repeatable(const char *pattern) {
    static const char *const others[] = {"TZ", "tz", "OF",   "MS",    "US", "FF", "ff",
                                         "ms", "us", "SSSS", "Y,YYY", "FX", "FM", "TM"};
    for (size_t i = 0; i < lengthof(others); i++)
        if (strstr(pattern, others[i]))
            return false;
    return true;
}

void plan_format(Format *format, const char *pattern) {
    memset(format, 0, sizeof(*format));
    format->memory = CurrentMemoryContext;
    format->day = -1;
    format->kind = FormatKind::Pattern;
    if (strcmp(pattern, "epoch_s") == 0)
        format->kind = FormatKind::EpochSeconds;
    else if (strcmp(pattern, "epoch_ms") == 0)
        format->kind = FormatKind::EpochMilliseconds;
    else
        plan_plain_date(format, pattern);
    format->written = pstrdup(pattern);
    format->repeatable = is_repeatable(pattern);
    format->pattern = cstring_to_text(strict_pattern(pattern));
}

static bool plain_formatted_date(const Format *format, const Value &value, Datum *date) {
    if (format->day < 0 || static_cast<int>(value.length) != format->length)
        return false;
    const char *pattern = format->written;
    for (int i = 0; i < format->length; i++)
        if (strchr("-./", pattern[i]) && value.text[i] != pattern[i])
            return false;
    return plain_date(fixed_digits(value.text + format->year, 4), fixed_digits(value.text + format->month, 2),
                      fixed_digits(value.text + format->day, 2), date);
}

static Datum epoch_value(const Format *format, const Value &value) {
    Numeric number;
    if (value.kind == ValueKind::Number)
        number = value_numeric(value);
    else
        number = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(pnstrdup(value.text, value.length)),
                                                     ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    const int64 unit = format->kind == FormatKind::EpochSeconds ? 1000000 : 1000;
    Numeric scaled = DatumGetNumeric(
        DirectFunctionCall2(numeric_mul, NumericGetDatum(number), NumericGetDatum(int64_to_numeric(unit))));
    int64 micros;
    if (numeric_is_nan(scaled) || numeric_is_inf(scaled))
        ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
                        errmsg("timestamp out of range: %s", numeric_text(number))));
    switch (numeric_integer(scaled, &micros)) {
    case Whole::Fraction:
        lossy_error(numeric_text(number), TIMESTAMPTZOID, -1);
    case Whole::TooLarge:
        break;
    case Whole::Yes: {
        constexpr int64 shift = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
        int64 moment;
        if (!pg_sub_s64_overflow(micros, shift, &moment) && IS_VALID_TIMESTAMP(moment))
            return TimestampTzGetDatum(moment);
    }
    }
    ereport(ERROR,
            (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range: %s", numeric_text(number))));
}

// same_moment compares two ways of writing a moment: blanks, leading zeros and letters' case do not count.
static bool same_moment(const char *left, const char *right) {
    for (bool in_number = false;; left++, right++) {
        while (isspace(static_cast<unsigned char>(*left)) ||
               (!in_number && *left == '0' && isdigit(static_cast<unsigned char>(left[1]))))
            left++;
        while (isspace(static_cast<unsigned char>(*right)) ||
               (!in_number && *right == '0' && isdigit(static_cast<unsigned char>(right[1]))))
            right++;
        if (pg_tolower(*left) != pg_tolower(*right))
            return false;
        if (*left == '\0')
            return true;
        in_number = isdigit(static_cast<unsigned char>(*left));
    }
}

// check_repeatable refuses a text that says something else than the moment read from it ("00-01-1999").
static void check_repeatable(const Format *format, Datum moment, Oid type, const char *string) {
    Datum timestamp = moment;
    if (type == DATEOID)
        timestamp = DirectFunctionCall1(date_timestamp, moment);
    else if (type != TIMESTAMPOID)
        return;
    if (TIMESTAMP_NOT_FINITE(DatumGetTimestamp(timestamp)))
        return;
    const Datum written =
        DirectFunctionCall2Coll(timestamp_to_char, DEFAULT_COLLATION_OID, timestamp, PointerGetDatum(format->pattern));
    if (!same_moment(TextDatumGetCString(written), string))
        ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
                        errmsg("date/time field value out of range: \"%s\"", string)));
}

static Datum read_formatted(Format *format, const Value &value, Oid *type) {
    Datum result;
    if (format->kind != FormatKind::Pattern) {
        *type = TIMESTAMPTZOID;
        return epoch_value(format, value);
    }
    *type = DATEOID;
    if (plain_formatted_date(format, value, &result))
        return result;
    refuse_nul(value.text, value.length);
    int32 typmod;
    int zone = 0;
    const char *string = pnstrdup(value.text, value.length);
    result = parse_datetime_strictly(cstring_to_text(string), format->pattern, type, &typmod, &zone);
    if (format->repeatable)
        check_repeatable(format, result, *type, string);
    return result;
}

static void plan_format_coercion(Format *format, const Conversion *conversion, Oid type) {
    MemoryContext before = MemoryContextSwitchTo(format->memory);
    if (!plan_coercion(&format->coercion, type, -1, conversion->type, conversion->typmod))
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("format \"%s\" reads %s, which cannot be stored in type %s", format->written,
                               format_type_be(type), format_type_be(conversion->type))));
    format->type = type;
    format->planned = true;
    MemoryContextSwitchTo(before);
}

// check_format tries a pattern on a moment written by itself, so that a bad one is found before there are documents.
void check_format(Format *format, const Conversion *conversion) {
    Oid type = TIMESTAMPTZOID;
    if (format->kind == FormatKind::Pattern) {
        const Datum sample = DirectFunctionCall3(timestamptz_in, CStringGetDatum("2001-02-03 04:05:06"),
                                                 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
        text *written = DatumGetTextPP(DirectFunctionCall2Coll(timestamptz_to_char, DEFAULT_COLLATION_OID, sample,
                                                               PointerGetDatum(format->pattern)));
        int32 typmod;
        int zone = 0;
        (void)parse_datetime_strictly(written, format->pattern, &type, &typmod, &zone);
    }
    plan_format_coercion(format, conversion, type);
}

Datum format_value(Format *format, const Conversion *conversion, const Value &value, bool *is_null) {
    *is_null = false;
    if (value.kind != ValueKind::String && !(value.kind == ValueKind::Number && format->kind != FormatKind::Pattern))
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("%s cannot be read with format \"%s\"", kind_name(value), format->written)));
    Oid type;
    const Datum moment = read_formatted(format, value, &type);
    if (!format->planned || format->type != type)
        plan_format_coercion(format, conversion, type);
    return coerce_value(&format->coercion, moment, is_null);
}

} // namespace sluice
