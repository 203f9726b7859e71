// A mapping that somebody wrote, with what the pipeline has added to its own since then (unknown => 'add').
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

// with_growth gives the mapping that a pipeline is to have, when `written` is what it is defined to have: whatever grew stays.
// NULL: it has it already.
const char *with_growth(const Pipeline *pipeline, const char *written);

} // namespace sluice
