// A mapping written as JSON text.
#pragma once

#include "postgres.hpp"

#include "mapping.hpp"

namespace sluice {

// append_mapping writes a mapping so that read_mapping reads the same: one table a line.
void append_mapping(StringInfo to, const Mapping *mapping);

} // namespace sluice
