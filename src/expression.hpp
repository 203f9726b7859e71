// Expressions: SQL over the columns of a source, as arguments and mappings give it.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct Expression {
    Node *node;
    Oid type;
    int32 typmod;
    Oid collation;
    const char *sql; // over the source as s, in parentheses
};

// read_expression parses and checks one expression: no aggregates, subqueries, system columns or volatile functions. Errors
// name the argument. It lives in CurrentMemoryContext.
Expression read_expression(Relation source, const char *argument, const char *text);

} // namespace sluice
