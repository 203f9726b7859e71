// See order.hpp.
#include "order.hpp"

#include "catalog.hpp"
#include "expression.hpp"
#include "names.hpp"
#include "pipeline.hpp"
#include "source.hpp"

namespace sluice {

static void find_comparison(Order *order, const char *argument) {
    const TypeCacheEntry *type = lookup_type_cache(order->type, TYPECACHE_CMP_PROC);
    if (!OidIsValid(type->cmp_proc))
        argument_error(argument, psprintf("type %s has no order", format_type_be(order->type)), NULL);
    fmgr_info(type->cmp_proc, &order->compare);
    get_typlenbyval(order->type, &order->length, &order->by_value);
}

Order read_order(Relation source, const char *order_by, const char *argument) {
    Order order{};
    order.sql = "NULL::pg_catalog.text";
    order.type = TEXTOID;
    order.length = -1;
    if (!order_by)
        return order;
    const Expression expression = read_expression(source, argument, order_by);
    order.expression = expression.node;
    order.type = expression.type;
    order.collation = expression.collation;
    order.sql = expression.sql;
    find_comparison(&order, argument);
    return order;
}

// ---- values

int compare_orders(Order *order, Datum left, Datum right) {
    return DatumGetInt32(FunctionCall2Coll(&order->compare, order->collation, left, right));
}

const char *order_text(const Order *order, Datum value) { return stored_text(order->type, value); }

const char *shown_order(const Order *order, Datum value) {
    Oid output;
    bool varlena;
    getTypeOutputInfo(order->type, &output, &varlena);
    return OidOutputFunctionCall(output, value);
}

Datum order_datum(const Order *order, const char *text) { return stored_datum(order->type, text); }

const char *equality_sql(Oid type, const char *argument) {
    const Oid found = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
    HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(found));
    if (!HeapTupleIsValid(tuple))
        argument_error(argument, psprintf("type %s has no equality", format_type_be(type)), NULL);
    const Form_pg_operator form = reinterpret_cast<Form_pg_operator>(GETSTRUCT(tuple));
    const char *sql =
        psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)), NameStr(form->oprname));
    ReleaseSysCache(tuple);
    return sql;
}

// ---- lookback

static bool is_time(Oid type) { return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID; }

static bool is_number(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID || type == FLOAT4OID ||
           type == FLOAT8OID;
}

// lowest_value is the least value of a whole number type: nothing lies below.
static const char *lowest_value(Oid type) {
    switch (type) {
    case INT2OID:
        return "-32768";
    case INT4OID:
        return "-2147483648";
    case INT8OID:
        return "-9223372036854775808";
    }
    return "NULL";
}

Datum read_floor(const Order *order, const char *order_value, const char *lookback) {
    if (!is_time(order->type) && !is_number(order->type))
        argument_error("lookback",
                       psprintf("cannot be subtracted from an order_by of type %s", format_type_be(order->type)),
                       "order_by must be a date, a timestamp or a number.");
    const char *type = format_type_be_qualified(order->type);
    const char *query =
        is_time(order->type)
            ? psprintf("SELECT (%s::%s OPERATOR(pg_catalog.-) %s::pg_catalog.interval)::%s",
                       quote_literal_cstr(order_value), type, quote_literal_cstr(lookback), type)
            : psprintf("SELECT greatest(%s::pg_catalog.numeric OPERATOR(pg_catalog.-) %s::pg_catalog.numeric, %s)::%s",
                       quote_literal_cstr(order_value), quote_literal_cstr(lookback), lowest_value(order->type), type);
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(query, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a subtraction");
    MemoryContextSwitchTo(memory);
    bool is_null;
    const Datum floor = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    const Datum copy = datumCopy(floor, order->by_value, order->length);
    SPI_freetuptable(SPI_tuptable);
    return copy;
}

void check_lookback(Order *order, const char *lookback) {
    if (!order->expression)
        argument_error("lookback", "needs an order_by: without one no row is late", NULL);
    if (pg_strcasecmp(lookback, "nan") == 0)
        argument_error("lookback", "is no number", NULL);
    const char *some = is_time(order->type) ? "2000-01-01" : "0";
    Datum floor = 0;
    at_place("lookback", [&] { floor = read_floor(order, some, lookback); });
    if (compare_orders(order, floor, order_datum(order, some)) > 0)
        argument_error("lookback", "must not be negative", NULL);
}

// ---- its index

bool is_order_indexed(Relation source, const Order *order) {
    const char kind = source->rd_rel->relkind;
    if (!order->expression || (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE))
        return false;
    if (IsA(order->expression, Var))
        return has_order_index(source, castNode(Var, order->expression)->varattno);
    bool found = false;
    ListCell *cell;
    foreach (cell, RelationGetIndexList(source)) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        List *expressions = RelationGetIndexExpressions(index);
        found = found || (index->rd_index->indisvalid && index->rd_index->indkey.values[0] == 0 && expressions &&
                          equal(linitial(expressions), eval_const_expressions(NULL, order->expression)));
        index_close(index, AccessShareLock);
    }
    return found;
}

} // namespace sluice
