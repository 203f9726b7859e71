// Merging as the work of a run.
#pragma once

#include "work.hpp"

namespace sluice {

extern int fold_memory; // the setting sluice.fold_memory, in kB

Work *make_merge_work(Job *job);

} // namespace sluice
