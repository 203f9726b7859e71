// Expressions over a source row that is at hand: where one fails, it is known for which row, and which one. The statements that
// read a source evaluate them for all rows, and faster.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct RowExpressions;

// prepare_row_expressions parses them, as SQL over the source as s, which stays with the caller.
RowExpressions *prepare_row_expressions(Relation source, const char *const *expressions, int count);

// What they are for a row.
struct EvaluatedRow {
    Datum *values;
    bool *nulls;
};

// evaluate_row evaluates them for a row (a Datum of the source's row type), in CurrentMemoryContext; the arrays are those of the
// next row, too.
EvaluatedRow evaluate_row(RowExpressions *expressions, Datum row);

// failed_expression is the one of which evaluate_row raised its error last; NULL: it raised none.
const char *failed_expression(const RowExpressions *expressions);

} // namespace sluice
