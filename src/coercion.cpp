// See coercion.hpp.
#include "coercion.hpp"

#include "foreign_key.hpp"

namespace sluice {

void lossy_error(const char *value, Oid type, int32 typmod) {
    ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                    errmsg("value %s does not fit type %s without loss", value, format_type_with_typemod(type, typmod)),
                    errhint("Use a type that holds it, or change the document.")));
    pg_unreachable();
}

static ExprState *cast_expression(Oid from, int32 from_typmod, Oid to, int32 typmod, CoercionContext strength,
                                  bool *runs_code) {
    CaseTestExpr *input = makeNode(CaseTestExpr);
    input->typeId = from;
    input->typeMod = from_typmod;
    input->collation = get_typcollation(from);
    Node *cast = coerce_to_target_type(NULL, reinterpret_cast<Node *>(input), from, to, typmod, strength,
                                       COERCE_IMPLICIT_CAST, -1);
    *runs_code = *runs_code || (cast && runs_user_code(cast));
    return cast ? ExecInitExpr(expression_planner(reinterpret_cast<Expr *>(cast)), NULL) : NULL;
}

// is_checked tells whether a value is cast back and compared. Floats are meant to round; casts to character types write
// all there is and refuse what is too long by themselves.
static bool is_checked(Oid to) {
    const Oid base = getBaseType(to);
    return base != FLOAT4OID && base != FLOAT8OID && base != BPCHAROID && base != TEXTOID && base != VARCHAROID;
}

// drops_date tells the casts that always lose the date and have no way back.
static bool drops_date(Oid from, Oid to) {
    const Oid base = getBaseType(to);
    return (base == TIMEOID || base == TIMETZOID) && (from == TIMESTAMPOID || from == TIMESTAMPTZOID);
}

bool plan_coercion(Coercion *coercion, Oid from, int32 from_typmod, Oid to, int32 typmod) {
    memset(coercion, 0, sizeof(*coercion));
    coercion->from = from;
    coercion->to = to;
    coercion->typmod = typmod;
    if (from == to && (typmod < 0 || typmod == from_typmod))
        return true;
    coercion->there = cast_expression(from, from_typmod, to, typmod, COERCION_ASSIGNMENT, &coercion->runs_code);
    if (!coercion->there)
        return false;
    coercion->context = CreateStandaloneExprContext();
    coercion->always_loses = drops_date(getBaseType(from), to);
    TypeCacheEntry *type = lookup_type_cache(from, TYPECACHE_EQ_OPR_FINFO);
    if (is_checked(to) && OidIsValid(type->eq_opr_finfo.fn_oid)) {
        coercion->back = cast_expression(to, typmod, from, -1, COERCION_EXPLICIT, &coercion->runs_code);
        fmgr_info_copy(&coercion->equal, &type->eq_opr_finfo, CurrentMemoryContext);
        coercion->collation = type->typcollation;
    }
    return true;
}

static Datum evaluate_cast(Coercion *coercion, ExprState *cast, Datum value, bool *is_null) {
    coercion->context->caseValue_datum = value;
    coercion->context->caseValue_isNull = *is_null;
    return ExecEvalExpr(cast, coercion->context, is_null);
}

[[noreturn]] static void lossy_value(const Coercion *coercion, Datum value) {
    Oid output;
    bool variable;
    getTypeOutputInfo(coercion->from, &output, &variable);
    lossy_error(OidOutputFunctionCall(output, value), coercion->to, coercion->typmod);
}

Datum coerce_value(Coercion *coercion, Datum value, bool *is_null) {
    if (!coercion->there)
        return value;
    if (*is_null)
        return evaluate_cast(coercion, coercion->there, value, is_null);
    if (coercion->always_loses)
        lossy_value(coercion, value);
    const Datum result = evaluate_cast(coercion, coercion->there, value, is_null);
    if (!coercion->back)
        return result;
    bool back_null = *is_null;
    const Datum back = evaluate_cast(coercion, coercion->back, result, &back_null);
    if (back_null || !DatumGetBool(FunctionCall2Coll(&coercion->equal, coercion->collation, value, back)))
        lossy_value(coercion, value);
    return result;
}

} // namespace sluice
