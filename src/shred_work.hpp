// Shredding as the work of a run: documents are shredded as they come, or held in chunks where some may be rejected.
#pragma once

#include "work.hpp"

namespace sluice {

Work *make_shred_work(Job *job);

} // namespace sluice
