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

// append_literal writes a character that stands for itself.
static void append_literal(StringInfo pattern, const char *at, int length) {
    appendStringInfoString(pattern, *at == '\\' || *at == '"' ? "\"\\" : "\"");
    appendBinaryStringInfo(pattern, at, length);
    appendStringInfoChar(pattern, '"');
}

// quoted_end finds the end of a quoted part, where a backslash escapes the next character.
static const char *quoted_end(const char *open) {
    const char *at = open + 1;
    for (; *at && *at != '"'; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at + 1 : at;
}

// strict_pattern quotes what the strict way of reading takes only in quotes: separators other than "-./,':; " and letters
// beyond ASCII.
static char *strict_pattern(const char *pattern) {
    StringInfoData strict;
    initStringInfo(&strict);
    for (const char *at = pattern, *next; *at; at = next) {
        const unsigned char c = *at;
        next = c == '"' ? quoted_end(at) : at + pg_mblen(at);
        if (c == '\\' && *next == '"') // a quotation mark that stands for itself
            append_literal(&strict, next++, 1);
        else if (c == '"' || isalnum(c) || strchr("-./,':; ", c))
            appendBinaryStringInfo(&strict, at, next - at);
        else
            append_literal(&strict, at, next - at);
    }
    return strict.data;
}

// fields_of leaves the fields of a pattern as the server reads it; what is quoted becomes blanks.
static char *fields_of(const char *pattern) {
    char *fields = pstrdup(pattern);
    for (const char *open = strchr(pattern, '"'), *end; open; open = strchr(end, '"')) {
        end = quoted_end(open);
        memset(fields + (open - pattern), ' ', end - open);
    }
    return fields;
}

// is_repeatable tells whether writing a moment by the pattern must give back what was read. It finds fields that were 0
// or blank and would silently become 1 or nothing.
static bool is_repeatable(const char *fields) {
    static const char *const others[] = {"TZ", "tz", "OF",   "MS",    "US", "FF", "ff",
                                         "ms", "us", "SSSS", "Y,YYY", "FX", "FM", "TM"};
    for (size_t i = 0; i < lengthof(others); i++)
        if (strstr(fields, others[i]))
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
    const char *strict = strict_pattern(pattern);
    format->pattern = cstring_to_text(strict);
    format->repeatable = is_repeatable(fields_of(strict));
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
        text *written = format->pattern;
        if (VARSIZE_ANY_EXHDR(format->pattern) > 0) // by an empty pattern to_char writes NULL
            written = DatumGetTextPP(DirectFunctionCall2Coll(timestamptz_to_char, DEFAULT_COLLATION_OID, sample,
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

// ---- parse_date and parse_timestamp
//
// They are immutable, so that indexes may stand on them: what a text means must not depend on settings. The strict way of
// reading needs none, with two exceptions, which are refused: TM (names of months and days in the language of lc_time) and
// TZ (abbreviations, looked up in timezone_abbreviations; servers before 17 cannot read them at all). Turning what was read
// into a date or a moment would ask for TimeZone, as a cast does: here it happens in UTC.

// names_zone looks for the field TZ that is neither TZH nor TZM, by these third letters.
static bool names_zone(const char *fields, const char *zone, const char *third) {
    for (const char *at = strstr(fields, zone); at; at = strstr(at + 1, zone))
        if (!at[2] || !strchr(third, at[2]))
            return true;
    return false;
}

static void refuse_settings(const Format *format) {
    const char *fields = fields_of(text_to_cstring(format->pattern));
    const bool zone = names_zone(fields, "TZ", "HM") || names_zone(fields, "tz", "hm");
    if (zone || strstr(fields, "TM") || strstr(fields, "tm"))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("what format \"%s\" reads depends on the session's settings", format->written),
                        zone ? errhint("TZH:TZM reads a zone as its offset from UTC.")
                             : errhint("Without TM the names of months and days are read in English.")));
}

struct KeptFormat {
    MemoryContext memory;
    Format format;
};

// format_argument plans a format once for all calls from one place.
static Format *format_argument(FunctionCallInfo fcinfo, int number) {
    const text *pattern = PG_GETARG_TEXT_PP(number);
    const size_t length = VARSIZE_ANY_EXHDR(pattern);
    FmgrInfo *call = fcinfo->flinfo;
    KeptFormat *kept = static_cast<KeptFormat *>(call->fn_extra);
    if (kept && strlen(kept->format.written) == length &&
        memcmp(kept->format.written, VARDATA_ANY(pattern), length) == 0)
        return &kept->format;
    call->fn_extra = NULL;
    if (kept)
        MemoryContextDelete(kept->memory);
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "sluice format", ALLOCSET_SMALL_SIZES);
    MemoryContext before = MemoryContextSwitchTo(memory);
    kept = static_cast<KeptFormat *>(palloc(sizeof(KeptFormat)));
    kept->memory = memory;
    plan_format(&kept->format, text_to_cstring(pattern));
    refuse_settings(&kept->format);
    MemoryContextSwitchTo(before);
    MemoryContextSetParent(memory, call->fn_mcxt);
    call->fn_extra = kept;
    return &kept->format;
}

// in_utc makes a date or a timestamptz of what was read.
static Datum in_utc(const Format *format, const Value &value, Datum moment, Oid type, Oid target) {
    if (type == TIMEOID || type == TIMETZOID)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("format \"%s\" reads a time without a date", format->written)));
    if (target == TIMESTAMPTZOID) // which in UTC is the same number as a timestamp
        return type == DATEOID ? DirectFunctionCall1(date_timestamp, moment) : moment;
    if (type == DATEOID)
        return moment;
    const Datum date = DirectFunctionCall1(timestamp_date, moment);
    if (DatumGetTimestamp(DirectFunctionCall1(date_timestamp, date)) != DatumGetTimestamp(moment))
        lossy_error(psprintf("\"%s\"", pnstrdup(value.text, value.length)), target, -1);
    return date;
}

// text_fault tells the errors of a text that does not say what the format expects, by the code under which they are
// raised anew; 0: another error.
static int text_fault(int code) {
    switch (code) {
    case ERRCODE_INVALID_DATETIME_FORMAT:
    case ERRCODE_INVALID_TEXT_REPRESENTATION: // no number
        return ERRCODE_INVALID_DATETIME_FORMAT;
    case ERRCODE_DATETIME_VALUE_OUT_OF_RANGE:
    case ERRCODE_INVALID_TIME_ZONE_DISPLACEMENT_VALUE:
    case ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE: // or it would lose something
        return ERRCODE_DATETIME_VALUE_OUT_OF_RANGE;
    case ERRCODE_FEATURE_NOT_SUPPORTED: // a field for writing alone
        return ERRCODE_INVALID_PARAMETER_VALUE;
    }
    return 0;
}

// naming_text runs a piece of reading; an error of the text names it and the format.
template <class Work> static void naming_text(const Format *format, const Value &value, Work work) {
    MemoryContext memory = CurrentMemoryContext;
    PG_TRY();
    { work(); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(memory);
        const ErrorData *error = CopyErrorData();
        const int code = text_fault(error->sqlerrcode);
        if (!code)
            PG_RE_THROW();
        FlushErrorState();
        ereport(ERROR, (errcode(code),
                        errmsg("value \"%.*s\" cannot be read with format \"%s\"", static_cast<int>(value.length),
                               value.text, format->written),
                        errdetail_internal("%s", error->message)));
    }
    PG_END_TRY();
}

static Datum parse_argument(FunctionCallInfo fcinfo, Oid target) {
    Format *format = format_argument(fcinfo, 1);
    const text *string = PG_GETARG_TEXT_PP(0);
    Value value{};
    value.kind = ValueKind::String;
    value.text = VARDATA_ANY(string);
    value.length = VARSIZE_ANY_EXHDR(string);
    Datum result;
    naming_text(format, value, [=, &result] {
        Oid type;
        const Datum moment = read_formatted(format, value, &type);
        result = in_utc(format, value, moment, type, target);
    });
    return result;
}

} // namespace sluice

extern "C" {

PG_FUNCTION_INFO_V1(sluice_parse_date);
Datum sluice_parse_date(PG_FUNCTION_ARGS) { return sluice::parse_argument(fcinfo, DATEOID); }

PG_FUNCTION_INFO_V1(sluice_parse_timestamp);
Datum sluice_parse_timestamp(PG_FUNCTION_ARGS) { return sluice::parse_argument(fcinfo, TIMESTAMPTZOID); }

} // extern "C"
