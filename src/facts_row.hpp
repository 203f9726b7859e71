// What a source row says to the facts and to each dimension, as the columns have it.
#pragma once

#include "postgres.hpp"

#include "facts.hpp"

namespace sluice {

struct RowValues {
    Datum *values; // as a tally's columns
    bool *nulls;
};

struct FactRow {
    RowValues *dimensions; // one for each
    RowValues facts;       // but for surrogates
    bool ignored;          // it counts nothing
    const FactColumn *at;  // the column in progress, for error messages
    Oid relation;          // and its table
};

FactRow *make_fact_row(const FactsPlan *plan);

// read_fact_row fills a row from what was read; values live in CurrentMemoryContext, or where they were read. It raises errors.
void read_fact_row(const FactsPlan *plan, const Datum *inputs, const bool *nulls, FactRow *row);

// fact_row_reads_code tells whether reading a row runs code of users, which could write.
bool fact_row_runs_code(const FactsPlan *plan);

} // namespace sluice
