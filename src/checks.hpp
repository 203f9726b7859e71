// Checks: what must hold in every batch. A check is a condition over the source row, or a query of one boolean; null holds, as
// in a CHECK constraint.
//
// Conditions are evaluated where the source is read, all in one expression: the verdict, the number of the first that is false,
// comes as a column of the source row (of a load, whose rows its own query reads, by a query for each partition). Where one fails
// that way the batch is done again, and each is evaluated for one row at a time: then it is known for which. Queries are asked
// when the rows of a batch are written, in its transaction.
#pragma once

#include "postgres.hpp"

#include "chunk.hpp"
#include "expression.hpp"
#include "order.hpp"
#include "row_expressions.hpp"
#include "source.hpp"

namespace sluice {

struct Check {
    const char *text;      // as it was written
    const char *condition; // SQL over the source as s; NULL: it is a query
    SPIPlanPtr query;
    RowExpressions *expression; // of the condition, where it is evaluated for one row at a time
};

struct Checks {
    Check *items;
    int count;
    Oid source;
    bool has_conditions, has_queries;
    bool closely;             // conditions are evaluated for one row at a time
    Expression verdict, last; // of all conditions; what is read for it: the verdict or, closely, the row itself
    int at;                   // where that stands among the columns of a source row; -1: rows come without
    SPIPlanPtr partition;     // counts the rows of a partition for which a condition is false
    bool reading;             // source rows are being read: an error may be that of a condition
    bool failed;              // the batch fails by a check: another attempt makes no sense
    MemoryContextCallback cleanup;
};

// plan_checks parses and checks what was written, as the current user; NULL: there are none. It lives in CurrentMemoryContext.
Checks *plan_checks(List *texts, Relation source, bool closely);

// check_checks is for those that are given: it also tries whether the current user has the rights that they need.
void check_checks(List *texts, Relation source);

// with_checks has read, behind what a run wants of each source row, what tells whether the conditions hold.
SourceColumns with_checks(Checks *checks, const SourceColumns *columns);

// columns_of_conditions are the columns of the source (attribute numbers) that conditions look at; NULL: none.
Bitmapset *columns_of_conditions(const Checks *checks, Relation source);

// refuses_row tells whether a condition is false for a source row, given its columns, and why the row is refused then; `catches`:
// a condition that fails is a reason, too.
bool refuses_row(const Checks *checks, const Datum *columns, const bool *nulls, bool catches, Refusal *refusal);

// stop_for_row ends the batch for such a row (place NULL: it is not known which one it is); `failed`: for good.
[[noreturn]] void stop_for_row(Checks *checks, const Refusal *refusal, const char *place, bool failed);

// Loads: plan_partition_check plans to look at the source's rows of one partition; check_partition raises when a condition is
// false for one of them.
void plan_partition_check(Checks *checks, const Order *partition);
void check_partition(Checks *checks, Datum partition);

// ask_queries raises when a query says false; `fires`: deferred triggers have their say before.
void ask_queries(Checks *checks, bool fires);

} // namespace sluice
