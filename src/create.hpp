// The arguments that the functions creating pipelines of every kind have in common.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

char *text_argument(FunctionCallInfo fcinfo, int number); // NULL: null
char *name_text(FunctionCallInfo fcinfo, int number);
List *names_argument(FunctionCallInfo fcinfo, int number, const char *name); // of text[]; NIL: null or empty

// require_arguments refuses nulls among the first `count` arguments.
void require_arguments(FunctionCallInfo fcinfo, const char *const *names, int count);

// check_columns_right sees to it that the current user has a right on all these columns (attribute numbers).
void check_columns_right(Oid relation, const Bitmapset *columns, AclMode right);

// check_word refuses a word that is none of the known ones; NULL passes.
const char *check_word(const char *argument, const char *word, const char *const *known, int count);

// read_common_arguments reads name and source, which come first, and from number `first` on cursor, order_by, lookback,
// duplicates, recheck, batch_size, on_error, max_rejects, max_failures, after, checks and lineage.
void read_common_arguments(FunctionCallInfo fcinfo, int first, NewPipeline *pipeline);

// read_rows_as_they_are is for kinds that read rows, not documents: after the cursor was chosen.
void read_rows_as_they_are(NewPipeline *pipeline, Relation source);

void check_batch_size(FunctionCallInfo fcinfo, int number);
const char *check_on_error(const char *on_error);
int64 max_rejects_argument(FunctionCallInfo fcinfo, int number);
int max_failures_argument(FunctionCallInfo fcinfo, int number); // -1: null
const Interval *recheck_argument(FunctionCallInfo fcinfo, int number);

} // namespace sluice
