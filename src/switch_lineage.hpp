// Switching lineage on and off.
#pragma once

#include "postgres.hpp"

namespace sluice {

// switch_lineage begins to keep lineage of a pipeline, or gives all targets that it has by now their triggers; or it forgets
// everything. It raises what a run would raise that cannot keep it.
void switch_lineage(const char *name, bool on);

} // namespace sluice
