// See convert.hpp.
#include "convert.hpp"

namespace sluice {

static ConvertKind kind_of_type(Oid base) {
    switch (base) {
    case INT2OID:
        return ConvertKind::Int2;
    case INT4OID:
        return ConvertKind::Int4;
    case INT8OID:
        return ConvertKind::Int8;
    case NUMERICOID:
        return ConvertKind::Numeric;
    case FLOAT4OID:
        return ConvertKind::Float4;
    case FLOAT8OID:
        return ConvertKind::Float8;
    case BOOLOID:
        return ConvertKind::Bool;
    case TEXTOID:
        return ConvertKind::Text;
    case VARCHAROID:
        return ConvertKind::Varchar;
    case NAMEOID:
        return ConvertKind::Name;
    case CHAROID:
        return ConvertKind::Char;
    case CASHOID:
        return ConvertKind::Money;
    case DATEOID:
        return ConvertKind::Date;
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
    case TIMEOID:
    case TIMETZOID:
    case INTERVALOID:
        return ConvertKind::Time;
    case JSONOID:
        return ConvertKind::Json;
    case JSONBOID:
        return ConvertKind::Jsonb;
    }
    if (base == INT2VECTOROID || base == OIDVECTOROID) // arrays of a form of their own
        return ConvertKind::Input;
    if (OidIsValid(get_element_type(base)))
        return ConvertKind::Array;
    return get_typtype(base) == TYPTYPE_COMPOSITE ? ConvertKind::Composite : ConvertKind::Input;
}

static void plan_fields(Conversion *conversion) {
    TupleDesc shared = lookup_rowtype_tupdesc(conversion->base, -1);
    conversion->fields = CreateTupleDescCopy(shared);
    ReleaseTupleDesc(shared);
    conversion->field = static_cast<Conversion *>(palloc0(sizeof(Conversion) * conversion->fields->natts));
    int present = 0;
    for (int i = 0; i < conversion->fields->natts; i++)
        present += !TupleDescAttr(conversion->fields, i)->attisdropped;
    conversion->texts = CreateTemplateTupleDesc(present);
    for (int i = 1; i <= present; i++)
        TupleDescInitEntry(conversion->texts, i, psprintf("f%d", i), TEXTOID, -1, 0);
    conversion->texts = BlessTupleDesc(conversion->texts);
    for (int i = 0; i < conversion->fields->natts; i++) {
        Form_pg_attribute field = TupleDescAttr(conversion->fields, i);
        if (!field->attisdropped)
            plan_conversion(&conversion->field[i], field->atttypid, field->atttypmod);
    }
}

void plan_conversion(Conversion *conversion, Oid type, int32 typmod) {
    memset(conversion, 0, sizeof(*conversion));
    conversion->type = type;
    conversion->typmod = conversion->base_typmod = typmod;
    conversion->base = getBaseTypeAndTypmod(type, &conversion->base_typmod);
    conversion->domain = conversion->base != type;
    conversion->kind = kind_of_type(conversion->base);
    conversion->memory = CurrentMemoryContext;
    Oid input;
    get_type_io_data(conversion->base, IOFunc_input, &conversion->length, &conversion->by_value, &conversion->align,
                     &conversion->delimiter, &conversion->input_parameter, &input);
    fmgr_info(input, &conversion->input);
    if (conversion->kind == ConvertKind::Array) {
        conversion->element = static_cast<Conversion *>(palloc0(sizeof(Conversion)));
        plan_conversion(conversion->element, get_element_type(conversion->base), conversion->base_typmod);
    } else if (conversion->kind == ConvertKind::Composite) {
        plan_fields(conversion);
    }
}

// ---- numbers

// numeric_small_integer reads an integer of at most 16 digits from the form in which numerics are stored (numeric.c; it
// cannot change while pg_upgrade keeps tables): a header word with sign and weight, then base-10000 digits.
static bool numeric_small_integer(Numeric number, int64 *result) {
    const uint16 *words = reinterpret_cast<const uint16 *>(VARDATA(number));
    const uint16 header = words[0];
    bool negative;
    int weight, header_words;
    if ((header & 0xC000) == 0x8000) { // short form
        negative = header & 0x2000;
        weight = (header & 0x0040 ? ~0x003F : 0) | (header & 0x003F);
        header_words = 1;
    } else if ((header & 0xC000) == 0xC000) { // NaN, infinities
        return false;
    } else {
        negative = (header & 0xC000) == 0x4000;
        weight = static_cast<int16>(words[1]);
        header_words = 2;
    }
    const int digits = (VARSIZE(number) - VARHDRSZ) / static_cast<int>(sizeof(uint16)) - header_words;
    if (digits == 0) {
        *result = 0;
        return true;
    }
    if (weight < 0 || weight > 3 || digits > weight + 1)
        return false;
    int64 value = 0;
    for (int i = 0; i <= weight; i++)
        value = value * 10000 + (i < digits ? words[header_words + i] : 0);
    *result = negative ? -value : value;
    return true;
}

static bool numerics_equal(Numeric left, Numeric right) {
    return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(left), NumericGetDatum(right)));
}

Whole numeric_integer(Numeric number, int64 *result) {
    if (numeric_small_integer(number, result))
        return Whole::Yes;
    Numeric whole = DatumGetNumeric(DirectFunctionCall2(numeric_trunc, NumericGetDatum(number), Int32GetDatum(0)));
    if (!numerics_equal(whole, number))
        return Whole::Fraction;
    const Datum lowest = NumericGetDatum(int64_to_numeric(PG_INT64_MIN)),
                highest = NumericGetDatum(int64_to_numeric(PG_INT64_MAX));
    if (DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(whole), lowest)) ||
        DatumGetBool(DirectFunctionCall2(numeric_gt, NumericGetDatum(whole), highest)))
        return Whole::TooLarge;
    *result = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(whole)));
    return Whole::Yes;
}

char *numeric_text(Numeric number) {
    return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
}

static char *number_text(const Value &value) {
    if (value.form == NumberForm::Integer)
        return psprintf(INT64_FORMAT, value.integer);
    return numeric_text(value_numeric(value));
}

static Datum convert_integer(const Conversion *conversion, const Value &value) {
    int64 integer = value.integer;
    Whole whole = value.form == NumberForm::Integer ? Whole::Yes : numeric_integer(value_numeric(value), &integer);
    if (whole == Whole::Fraction)
        lossy_error(number_text(value), conversion->base, -1);
    int64 lowest = PG_INT64_MIN, highest = PG_INT64_MAX;
    if (conversion->kind == ConvertKind::Int4)
        lowest = PG_INT32_MIN, highest = PG_INT32_MAX;
    else if (conversion->kind == ConvertKind::Int2)
        lowest = PG_INT16_MIN, highest = PG_INT16_MAX;
    if (whole == Whole::TooLarge || integer < lowest || integer > highest)
        ereport(ERROR,
                (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                 errmsg("value %s is out of range for type %s", number_text(value), format_type_be(conversion->base))));
    if (conversion->kind == ConvertKind::Int8)
        return Int64GetDatum(integer);
    return conversion->kind == ConvertKind::Int4 ? Int32GetDatum(integer) : Int16GetDatum(integer);
}

static Datum convert_numeric(const Conversion *conversion, Numeric number) {
    if (conversion->base_typmod < 0)
        return NumericGetDatum(number);
    const Datum fitted = DirectFunctionCall2(numeric, NumericGetDatum(number), Int32GetDatum(conversion->base_typmod));
    if (!numerics_equal(number, DatumGetNumeric(fitted)))
        lossy_error(numeric_text(number), conversion->base, conversion->base_typmod);
    return fitted;
}

static Datum convert_float(const Conversion *conversion, const Value &value) {
    const bool single = conversion->kind == ConvertKind::Float4;
    int64 integer = value.integer;
    if (value.form == NumberForm::Integer ||
        (value.form == NumberForm::Exact && numeric_small_integer(value.exact, &integer)))
        return single ? Float4GetDatum(static_cast<float4>(integer)) : Float8GetDatum(static_cast<float8>(integer));
    return DirectFunctionCall1(single ? numeric_float4 : numeric_float8, NumericGetDatum(value_numeric(value)));
}

static Datum convert_money(Numeric number) {
    const Datum cash = DirectFunctionCall1(numeric_cash, NumericGetDatum(number));
    if (!numerics_equal(DatumGetNumeric(DirectFunctionCall1(cash_numeric, cash)), number))
        lossy_error(numeric_text(number), CASHOID, -1);
    return cash;
}

// ---- strings

[[noreturn]] static void too_long_error(const Conversion *conversion) {
    ereport(ERROR, (errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
                    errmsg("value too long for type %s",
                           format_type_with_typemod(conversion->base, conversion->base_typmod))));
    pg_unreachable();
}

void refuse_nul(const char *text, uint32 length) {
    if (unlikely(memchr(text, '\0', length) != NULL))
        ereport(ERROR, (errcode(ERRCODE_UNTRANSLATABLE_CHARACTER), errmsg("unsupported Unicode escape sequence"),
                        errdetail("\\u0000 cannot be converted to text.")));
}

static Datum convert_text(const Conversion *conversion, const char *text, uint32 length) {
    refuse_nul(text, length);
    const int most = conversion->base_typmod - VARHDRSZ;
    if (conversion->kind == ConvertKind::Varchar && conversion->base_typmod >= VARHDRSZ &&
        static_cast<int>(length) > most && pg_mbstrlen_with_len(text, length) > most)
        too_long_error(conversion);
    return PointerGetDatum(cstring_to_text_with_len(text, length));
}

static Datum call_input(Conversion *conversion, char *text, int32 typmod) {
    return InputFunctionCall(&conversion->input, text, conversion->input_parameter, typmod);
}

int fixed_digits(const char *text, int count) {
    int result = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        result = result * 10 + (text[i] - '0');
    }
    return result;
}

bool plain_date(int year, int month, int day, Datum *date) {
    if (year <= 0 || month <= 0 || month > 12 || day <= 0 || day > day_tab[isleap(year)][month - 1])
        return false;
    *date = DateADTGetDatum(date2j(year, month, day) - POSTGRES_EPOCH_JDATE);
    return true;
}

// convert_date refuses a time of day other than midnight, which date's input function would drop.
static Datum convert_date(Conversion *conversion, char *text, uint32 length) {
    Datum date;
    if (length == 10 && text[4] == '-' && text[7] == '-' &&
        plain_date(fixed_digits(text, 4), fixed_digits(text + 5, 2), fixed_digits(text + 8, 2), &date))
        return date;
    date = call_input(conversion, text, -1);
    const Datum moment =
        DirectFunctionCall3(timestamp_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
    if (DatumGetTimestamp(moment) != DatumGetTimestamp(DirectFunctionCall1(date_timestamp, date)))
        lossy_error(psprintf("\"%s\"", text), DATEOID, -1);
    return date;
}

// beyond_digits looks for a fraction with more than `most` digits, of which one behind them is not 0.
static bool beyond_digits(const char *text, int most) {
    for (const char *point = strchr(text, '.'); point; point = strchr(point + 1, '.')) {
        int place = 1;
        for (const char *digit = point + 1; *digit >= '0' && *digit <= '9'; digit++, place++)
            if (place > most && *digit != '0')
                return true;
    }
    return false;
}

// has_date looks for three numbers joined by - or / before the first colon: a date, which time's input function drops.
static bool has_date(const char *text) {
    int joins = 0;
    for (const char *at = text + 1; *text && *at && *at != ':'; at++)
        if ((*at == '-' || *at == '/') && isdigit(static_cast<unsigned char>(at[-1])) &&
            isdigit(static_cast<unsigned char>(at[1])))
            joins++;
    return joins >= 2;
}

// has_fine_unit looks for a fraction of what is a microsecond, or a thousandth of a millisecond, already.
static bool has_fine_unit(const char *text) {
    if (strstr(text, "mic") || strstr(text, "us"))
        return beyond_digits(text, 0);
    return (strstr(text, "mil") || strstr(text, "ms")) && beyond_digits(text, 3);
}

static Datum convert_time(Conversion *conversion, char *text) {
    const Datum exact = call_input(conversion, text, -1);
    const bool time_only = conversion->base == TIMEOID || conversion->base == TIMETZOID;
    const bool too_fine = beyond_digits(text, 6) || (conversion->base == INTERVALOID && has_fine_unit(text));
    if (too_fine || (time_only && has_date(text)))
        lossy_error(psprintf("\"%s\"", text), conversion->base, conversion->base_typmod);
    if (conversion->base_typmod < 0)
        return exact;
    const Datum fitted = call_input(conversion, text, conversion->base_typmod);
    if (!datumIsEqual(exact, fitted, conversion->by_value, conversion->length))
        lossy_error(psprintf("\"%s\"", text), conversion->base, conversion->base_typmod);
    return fitted;
}

static Datum convert_string(Conversion *conversion, const char *text, uint32 length);

static Datum convert_text_datum(Conversion *conversion, Datum value) {
    text *string = DatumGetTextPP(value);
    const Datum result = convert_string(conversion, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
    if (unlikely(conversion->domain))
        domain_check(result, false, conversion->type, &conversion->domain_cache, conversion->memory);
    return result;
}

static void check_null(Conversion *conversion) {
    if (conversion->domain)
        domain_check(0, true, conversion->type, &conversion->domain_cache, conversion->memory);
}

// convert_array_literal reads '{...}' as an array of texts, so that each element is converted like any other string.
static Datum convert_array_literal(Conversion *conversion, char *text) {
    Conversion *element = conversion->element;
    FmgrInfo input; // array_in keeps its look-up in it
    fmgr_info(F_ARRAY_IN, &input);
    ArrayType *texts = DatumGetArrayTypeP(InputFunctionCall(&input, text, TEXTOID, -1));
    Datum *values;
    bool *nulls;
    int count;
    deconstruct_array(texts, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
    for (int i = 0; i < count; i++) {
        if (nulls[i])
            check_null(element);
        else
            values[i] = convert_text_datum(element, values[i]);
    }
    return PointerGetDatum(construct_md_array(values, nulls, ARR_NDIM(texts), ARR_DIMS(texts), ARR_LBOUND(texts),
                                              element->type, element->length, element->by_value, element->align));
}

// convert_row_literal reads '(...)' as a row of texts, likewise.
static Datum convert_row_literal(Conversion *conversion, char *text) {
    FmgrInfo input; // record_in keeps its look-up in it
    fmgr_info(F_RECORD_IN, &input);
    HeapTupleHeader row =
        DatumGetHeapTupleHeader(InputFunctionCall(&input, text, RECORDOID, conversion->texts->tdtypmod));
    HeapTupleData tuple{};
    tuple.t_len = HeapTupleHeaderGetDatumLength(row);
    tuple.t_data = row;
    const int count = conversion->fields->natts;
    Datum *values = static_cast<Datum *>(palloc0(sizeof(Datum) * count));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * count));
    for (int i = 0, from = 1; i < count; i++) {
        nulls[i] = true;
        if (TupleDescAttr(conversion->fields, i)->attisdropped)
            continue;
        const Datum value = heap_getattr(&tuple, from, conversion->texts, &nulls[i]); // in PostgreSQL 14 a macro
        from++;
        if (nulls[i])
            check_null(&conversion->field[i]);
        else
            values[i] = convert_text_datum(&conversion->field[i], value);
    }
    return HeapTupleGetDatum(heap_form_tuple(conversion->fields, values, nulls));
}

// octal_byte is the byte that is written as a backslash and three octal digits (not every PostgreSQL reads that); -1: none is.
static int octal_byte(const char *text, uint32 length) {
    if (length != 4 || text[0] != '\\' || text[1] < '0' || text[1] > '3' || text[2] < '0' || text[2] > '7' ||
        text[3] < '0' || text[3] > '7')
        return -1;
    return (text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0');
}

static Datum convert_cstring(Conversion *conversion, char *text, uint32 length) {
    switch (conversion->kind) {
    case ConvertKind::Numeric:
        return convert_numeric(conversion, DatumGetNumeric(call_input(conversion, text, -1)));
    case ConvertKind::Name:
        if (length >= NAMEDATALEN)
            too_long_error(conversion);
        break;
    case ConvertKind::Char: {
        const Datum byte = call_input(conversion, text, -1);
        if (length > 1 && octal_byte(text, length) != static_cast<unsigned char>(DatumGetChar(byte)))
            too_long_error(conversion);
        return byte;
    }
    case ConvertKind::Money:
        if (beyond_digits(text, 2))
            lossy_error(psprintf("\"%s\"", text), CASHOID, -1);
        break;
    case ConvertKind::Array:
        if (conversion->element->delimiter == ',')
            return convert_array_literal(conversion, text);
        break;
    case ConvertKind::Composite:
        return convert_row_literal(conversion, text);
    case ConvertKind::Date:
        return convert_date(conversion, text, length);
    case ConvertKind::Time:
        return convert_time(conversion, text);
    default:
        break;
    }
    return call_input(conversion, text, conversion->base_typmod);
}

static Datum convert_string(Conversion *conversion, const char *text, uint32 length) {
    if (conversion->kind == ConvertKind::Text || conversion->kind == ConvertKind::Varchar)
        return convert_text(conversion, text, length);
    refuse_nul(text, length);
    char buffer[64];
    char *terminated = length < sizeof(buffer) ? buffer : static_cast<char *>(palloc(length + 1));
    memcpy(terminated, text, length);
    terminated[length] = '\0';
    return convert_cstring(conversion, terminated, length);
}

static Datum convert_number(Conversion *conversion, const Value &value) {
    switch (conversion->kind) {
    case ConvertKind::Int2:
    case ConvertKind::Int4:
    case ConvertKind::Int8:
        return convert_integer(conversion, value);
    case ConvertKind::Numeric:
        return convert_numeric(conversion, value_numeric(value));
    case ConvertKind::Float4:
    case ConvertKind::Float8:
        return convert_float(conversion, value);
    case ConvertKind::Money:
        return convert_money(value_numeric(value));
    default: {
        const char *text = number_text(value);
        return convert_string(conversion, text, strlen(text));
    }
    }
}

static Datum convert_bool(Conversion *conversion, const Value &value) {
    if (conversion->kind == ConvertKind::Bool)
        return BoolGetDatum(value.boolean);
    return value.boolean ? convert_string(conversion, "true", 4) : convert_string(conversion, "false", 5);
}

// ---- arrays and objects

[[noreturn]] static void wrong_kind(const Conversion *conversion, const Value &value) {
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("%s cannot be stored in type %s", kind_name(value), format_type_be(conversion->type)),
                    errhint("Map one of its members, or use a json or jsonb column.")));
    pg_unreachable();
}

struct ArrayParts {
    Datum *values;
    bool *nulls;
    int count, room;
    int dimensions;
    int lengths[MAXDIM];
};

static void add_element(ArrayParts *parts, Datum value, bool is_null) {
    if (parts->count == parts->room) {
        parts->room = parts->room ? parts->room * 2 : 16;
        const size_t values = sizeof(Datum) * parts->room, nulls = sizeof(bool) * parts->room;
        parts->values = static_cast<Datum *>(parts->values ? repalloc_huge(parts->values, values) : palloc(values));
        parts->nulls = static_cast<bool *>(parts->nulls ? repalloc_huge(parts->nulls, nulls) : palloc(nulls));
    }
    parts->values[parts->count] = value;
    parts->nulls[parts->count++] = is_null;
}

[[noreturn]] static void ragged_error() {
    ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                    errmsg("nested arrays of different lengths cannot be stored in an SQL array"),
                    errhint("Use a jsonb column, or a child table with \"each\".")));
    pg_unreachable();
}

static void collect_elements(Conversion *element, const Value &array, int depth, ArrayParts *parts) {
    if (depth >= MAXDIM)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("number of array dimensions exceeds the maximum of %d", MAXDIM)));
    const int length = value_count(array);
    if (depth == parts->dimensions && parts->count == 0)
        parts->lengths[parts->dimensions++] = length;
    else if (depth >= parts->dimensions || parts->lengths[depth] != length)
        ragged_error();
    const bool nests = element->kind != ConvertKind::Json && element->kind != ConvertKind::Jsonb &&
                       element->kind != ConvertKind::Array; // a domain over arrays
    Walk walk = walk_begin(array);
    for (Value item; walk_next(&walk, &item);) {
        if (nests && item.kind == ValueKind::Array) {
            collect_elements(element, item, depth + 1, parts);
            continue;
        }
        if (depth + 1 != parts->dimensions)
            ragged_error();
        bool is_null;
        const Datum value = convert_value(element, item, &is_null);
        add_element(parts, value, is_null);
    }
}

static Datum convert_array(Conversion *conversion, const Value &array) {
    Conversion *element = conversion->element;
    if (value_count(array) == 0)
        return PointerGetDatum(construct_empty_array(element->type));
    ArrayParts parts{};
    collect_elements(element, array, 0, &parts);
    int lower[MAXDIM];
    for (int i = 0; i < parts.dimensions; i++)
        lower[i] = 1;
    return PointerGetDatum(construct_md_array(parts.values, parts.nulls, parts.dimensions, parts.lengths, lower,
                                              element->type, element->length, element->by_value, element->align));
}

static Datum convert_composite(Conversion *conversion, const Value &object) {
    const int count = conversion->fields->natts;
    Datum *values = static_cast<Datum *>(palloc0(sizeof(Datum) * count));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * count));
    for (int i = 0; i < count; i++) {
        Form_pg_attribute field = TupleDescAttr(conversion->fields, i);
        nulls[i] = true;
        if (!field->attisdropped)
            values[i] = convert_value(&conversion->field[i],
                                      value_member(object, NameStr(field->attname), strlen(NameStr(field->attname))),
                                      &nulls[i]);
    }
    return HeapTupleGetDatum(heap_form_tuple(conversion->fields, values, nulls));
}

static Datum convert_json(const Value &value) {
    StringInfoData text;
    initStringInfo(&text);
    append_value_text(&text, value);
    return PointerGetDatum(cstring_to_text_with_len(text.data, text.len));
}

static Datum convert_present(Conversion *conversion, const Value &value) {
    if (conversion->kind == ConvertKind::Jsonb)
        return JsonbPGetDatum(value_jsonb(value));
    if (conversion->kind == ConvertKind::Json)
        return convert_json(value);
    switch (value.kind) {
    case ValueKind::Number:
        return convert_number(conversion, value);
    case ValueKind::String:
        return convert_string(conversion, value.text, value.length);
    case ValueKind::Bool:
        return convert_bool(conversion, value);
    case ValueKind::Array:
        if (conversion->kind == ConvertKind::Array)
            return convert_array(conversion, value);
        break;
    case ValueKind::Object:
        if (conversion->kind == ConvertKind::Composite)
            return convert_composite(conversion, value);
        break;
    default:
        break;
    }
    wrong_kind(conversion, value);
}

static bool is_number_kind(ConvertKind kind) {
    return kind == ConvertKind::Int2 || kind == ConvertKind::Int4 || kind == ConvertKind::Int8 ||
           kind == ConvertKind::Numeric;
}

// check_strictly refuses what a lenient conversion would store as something else: 1 as true, "007" as 7.
static void check_strictly(const Conversion *conversion, const Value &value, Datum result) {
    if (conversion->kind == ConvertKind::Bool && value.kind != ValueKind::Bool)
        wrong_kind(conversion, value);
    if (!is_number_kind(conversion->kind) || value.kind != ValueKind::String)
        return;
    Oid output;
    bool varlena;
    getTypeOutputInfo(conversion->base, &output, &varlena);
    const char *written = OidOutputFunctionCall(output, result);
    if (strlen(written) != value.length || memcmp(written, value.text, value.length) != 0)
        lossy_error(psprintf("\"%s\"", pnstrdup(value.text, value.length)), conversion->base, conversion->base_typmod);
}

Datum convert_value(Conversion *conversion, const Value &value, bool *is_null) {
    *is_null = is_missing(value);
    const Datum result = *is_null ? static_cast<Datum>(0) : convert_present(conversion, value);
    if (unlikely(conversion->strict) && !*is_null)
        check_strictly(conversion, value, result);
    if (unlikely(conversion->domain))
        domain_check(result, *is_null, conversion->type, &conversion->domain_cache, conversion->memory);
    return result;
}

} // namespace sluice
