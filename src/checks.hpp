// Checks: what must hold in every batch. A check is a condition over the source row, or a query of one boolean; null holds, as
// in a CHECK constraint.
//
// Conditions are evaluated where the source is read, all in one expression: the verdict, the number of the first that is false,
// comes as a column of the source row (of a load, whose rows its own query reads, by a query for each partition). Queries are
// asked when the rows of a batch are written, in its transaction.
#pragma once

#include "postgres.hpp"

#include "chunk.hpp"
#include "expression.hpp"
#include "order.hpp"
#include "source.hpp"

namespace sluice {

struct Check {
    const char *text;      // as it was written
    const char *condition; // SQL over the source as s; NULL: it is a query
    SPIPlanPtr query;
};

struct Checks {
    Check *items;
    int count;
    Oid source;
    bool has_conditions, has_queries;
    Expression verdict;   // of the conditions
    int at;               // where it stands among the columns of a source row; -1: rows come without
    SPIPlanPtr partition; // counts the rows of a partition for which a condition is false
    bool failed;          // the batch fails by a check: another attempt makes no sense
    MemoryContextCallback cleanup;
};

// plan_checks parses and checks what was written, as the current user; NULL: there are none. It lives in CurrentMemoryContext.
Checks *plan_checks(List *texts, Relation source);

// check_checks is for those that are given: it also tries whether the current user has the rights that they need.
void check_checks(List *texts, Relation source);

// with_verdict has the verdict read behind what a run wants of each source row.
SourceColumns with_verdict(Checks *checks, const SourceColumns *columns);

// columns_of_conditions are the columns of the source (attribute numbers) that conditions look at; NULL: none.
Bitmapset *columns_of_conditions(const Checks *checks, Relation source);

// false_condition tells which condition is false for a source row, by its columns; NULL: none.
const Check *false_condition(const Checks *checks, const Datum *columns, const bool *nulls);

// refusal_by is why such a row is rejected; stop_for_row ends the batch for it (place NULL: it is not known which row it is).
Refusal refusal_by(const Check *check);
[[noreturn]] void stop_for_row(Checks *checks, const Check *check, const char *place);

// Loads: plan_partition_check plans to look at the source's rows of one partition; check_partition raises when a condition is
// false for one of them.
void plan_partition_check(Checks *checks, const Order *partition);
void check_partition(Checks *checks, Datum partition);

// ask_queries raises when a query says false; `fires`: deferred triggers have their say before.
void ask_queries(Checks *checks, bool fires);

} // namespace sluice
