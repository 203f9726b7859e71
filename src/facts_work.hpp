// Facts as the work of a run: rows are folded into facts and dimensions, which are written at the end of the batch.
#pragma once

#include "work.hpp"

namespace sluice {

Work *make_facts_work(Job *job);

} // namespace sluice
