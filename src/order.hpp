// The order of a source: an SQL expression over its columns, as order_by gives it. The partition of a load is one, too.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct Order {
    Node *expression; // NULL: no order
    Oid type;
    Oid collation;
    const char *sql; // the expression over the source as s; without an order NULL::text
    bool by_value;
    int16 length;
    FmgrInfo compare;
};

// read_order parses and checks an expression (NULL: none); it lives in CurrentMemoryContext. Errors name the argument.
Order read_order(Relation source, const char *order_by, const char *argument = "order_by");

int compare_orders(Order *order, Datum left, Datum right);
const char *order_text(const Order *order, Datum value);  // to be stored
const char *shown_order(const Order *order, Datum value); // for messages
Datum order_datum(const Order *order, const char *text);

// read_floor goes `lookback` back from an order value; it raises when the order's type does not allow that.
Datum read_floor(const Order *order, const char *order_value, const char *lookback);
void check_lookback(Order *order, const char *lookback);

// equality_sql writes the equality of two values of a type as an operator, whatever search_path holds.
const char *equality_sql(Oid type, const char *argument);

// is_order_indexed tells whether an index of the source begins with the order.
bool is_order_indexed(Relation source, const Order *order);

} // namespace sluice
