// Rows taken apart into leaves, and put together.
#pragma once

#include "postgres.hpp"

#include "fold.hpp"

namespace sluice {

// take_source_row reads what a source row says. A null in the key raises 23502.
void take_source_row(const MergePlan *plan, const SourceRow *row, const Value *document, FoldInput *input);

// take_target_row reads the leaves of a row of the target; what is null there is unknown, what is not has the moment
// given, or that of its leaf in `moments`: a value of which no source row is known keeps its place in a composite value.
void take_target_row(const MergePlan *plan, const Datum *values, const bool *nulls, int64 moment, const int64 *moments,
                     FoldValue *leaves);

// put_item makes the value of a column from its leaves; false: none of them is known.
bool put_item(const MergeItem *item, const FoldValue *leaves, Datum *value, bool *is_null);

// is_item_changed tells whether a leaf of a column is among the changed ones.
bool is_item_changed(const MergeItem *item, const bool *changed);

} // namespace sluice
