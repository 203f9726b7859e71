// See signed.hpp.
//
// sluice.signed is declared for each type by itself, so that its result has the type of the amount, and immutable: what it
// knows an enum's status by is the label, as a text. (Renaming a label of an enum under a generated column leaves the column
// as it was computed.)
#include "signed.hpp"

namespace sluice {

bool has_sign(Oid type) {
    switch (type) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case FLOAT4OID:
    case FLOAT8OID:
    case NUMERICOID:
    case MONEYOID:
    case INTERVALOID:
        return true;
    }
    return false;
}

// opposite_money: the server has no unary minus for money.
static Datum opposite_money(Datum amount) {
    int64 result;
    if (pg_sub_s64_overflow(0, DatumGetInt64(amount), &result))
        ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("money out of range")));
    return Int64GetDatum(result);
}

Datum opposite(Oid type, Datum amount) {
    switch (type) {
    case INT2OID:
        return DirectFunctionCall1(int2um, amount);
    case INT4OID:
        return DirectFunctionCall1(int4um, amount);
    case INT8OID:
        return DirectFunctionCall1(int8um, amount);
    case FLOAT4OID:
        return DirectFunctionCall1(float4um, amount);
    case FLOAT8OID:
        return DirectFunctionCall1(float8um, amount);
    case NUMERICOID:
        return DirectFunctionCall1(numeric_uminus, amount);
    case INTERVALOID:
        return DirectFunctionCall1(interval_um, amount);
    case MONEYOID:
        return opposite_money(amount);
    }
    elog(ERROR, "amounts of type %s have no sign", format_type_be(type));
}

static Datum sum_of_money(Datum one, Datum other) {
    int64 result;
    if (pg_add_s64_overflow(DatumGetInt64(one), DatumGetInt64(other), &result))
        ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("money out of range")));
    return Int64GetDatum(result);
}

Datum sum_of(Oid type, Datum one, Datum other) {
    switch (type) {
    case INT2OID:
        return DirectFunctionCall2(int2pl, one, other);
    case INT4OID:
        return DirectFunctionCall2(int4pl, one, other);
    case INT8OID:
        return DirectFunctionCall2(int8pl, one, other);
    case FLOAT4OID:
        return DirectFunctionCall2(float4pl, one, other);
    case FLOAT8OID:
        return DirectFunctionCall2(float8pl, one, other);
    case NUMERICOID:
        return DirectFunctionCall2(numeric_add, one, other);
    case INTERVALOID:
        return DirectFunctionCall2(interval_pl, one, other);
    case MONEYOID:
        return sum_of_money(one, other);
    }
    elog(ERROR, "amounts of type %s have no sum", format_type_be(type));
}

// A Word is a text that lies somewhere.
struct Word {
    const char *text;
    int length;
};

static Word text_word(Datum value) {
    text *plain = DatumGetTextPP(value);
    return Word{VARDATA_ANY(plain), static_cast<int>(VARSIZE_ANY_EXHDR(plain))};
}

static Word status_word(FunctionCallInfo fcinfo) {
    if (get_fn_expr_argtype(fcinfo->flinfo, 1) == TEXTOID)
        return text_word(PG_GETARG_DATUM(1));
    const char *label = DatumGetCString(DirectFunctionCall1(enum_out, PG_GETARG_DATUM(1)));
    return Word{label, static_cast<int>(strlen(label))};
}

static bool is_listed(const Word &word, ArrayType *list) {
    Datum *items;
    bool *nulls;
    int count;
    deconstruct_array(list, TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &count);
    for (int i = 0; i < count; i++) {
        const Word item = nulls[i] ? Word{NULL, -1} : text_word(items[i]);
        if (item.length == word.length && memcmp(item.text, word.text, word.length) == 0)
            return true;
    }
    return false;
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_signed);
Datum sluice_signed(PG_FUNCTION_ARGS) {
    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    const bool negative =
        !PG_ARGISNULL(1) && !PG_ARGISNULL(2) && is_listed(status_word(fcinfo), PG_GETARG_ARRAYTYPE_P(2));
    return negative ? opposite(get_fn_expr_argtype(fcinfo->flinfo, 0), PG_GETARG_DATUM(0)) : PG_GETARG_DATUM(0);
}

} // extern "C"
