// A stage: rows of a batch that SQL statements can read, as a table of the name that it was given.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct Stage {
    const char *name;
    TupleDesc type;
    Tuplestorestate *rows;
};

// make_stage makes an empty one, in CurrentMemoryContext; its columns are described by describe_stage_column, from 1 on.
Stage *make_stage(const char *name, int columns);
void describe_stage_column(Stage *stage, int number, const char *name, Oid type, int32 typmod, Oid collation);
void put_on_stage(Stage *stage, Datum *values, bool *nulls);
void end_stage(Stage *stage);

// execute_on_stages executes a statement with the current user's rights, and gives the number of rows it processed. Where it
// gives a row, that is of whole numbers: the first `count` of them are put into `numbers`.
uint64 execute_on_stages(const char *statement, Stage *const *stages, int stage_count, int64 *numbers, int count);

// scan_on_stages hands the rows of a query over, one after the other, a few hundred in memory.
typedef void (*SeeRow)(void *context, HeapTuple row, TupleDesc type);
void scan_on_stages(const char *query, Stage *const *stages, int stage_count, SeeRow see, void *context);

} // namespace sluice
