// Writing a dimension: what a batch knows of its rows goes into the table. See dimension.cpp.
#pragma once

#include "postgres.hpp"

#include "facts.hpp"
#include "tally.hpp"
#include "writer.hpp"

namespace sluice {

// write_dimension writes the groups of a tally into the dimension, and counts. Where facts hold its surrogate, `surrogates` (one
// for each group, by its number) are filled; else it is NULL.
void write_dimension(const Dimension *dimension, const Tally *tally, WriterCounts *counts, Datum *surrogates);

// show_dimension shows the rows of the dimension that the groups belong to, as they are now.
void show_dimension(const Dimension *dimension, const Tally *tally, void (*see)(void *seer, Oid relation, Datum row),
                    void *seer);

// check_dimension tries the statements on no rows at all: types and rights show.
void check_dimension(const Dimension *dimension);

// adopt_history takes over the versions that are there when a pipeline is created.
void adopt_history(const Dimension *dimension);

} // namespace sluice
