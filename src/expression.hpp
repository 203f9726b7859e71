// SQL expressions that users write over the columns of a relation, in arguments and in mappings.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct Expression {
    Node *node;
    Oid type;
    int32 typmod;
    Oid collation;
    const char *sql; // written back, in brackets
};

// read_expression parses and checks an expression; it lives in CurrentMemoryContext. Errors begin with `place`: an
// argument's name or a JSON pointer. In `sql` the relation is known as `alias`.
Expression read_expression(Relation relation, const char *written, const char *place, const char *alias);

} // namespace sluice
