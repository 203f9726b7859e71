// What altering a shred pipeline needs of its creation.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

const char *check_unknown(const char *unknown);

// check_new_mapping checks the mapping that is to be, and whether it goes with `unknown`.
void check_new_mapping(const Pipeline *pipeline, const char *mapping, const char *unknown);

} // namespace sluice
