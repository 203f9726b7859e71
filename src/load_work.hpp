// The work of a load: the source's rows say which partitions changed; then these are loaded, one a batch.
#pragma once

#include "postgres.hpp"

#include "work.hpp"

namespace sluice {

Work *make_load_work(Job *job);

} // namespace sluice
