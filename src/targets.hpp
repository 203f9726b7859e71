// Targets: which relations a pipeline writes, whatever its kind.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

struct Targets {
    List *made; // oids: their rows follow from the source
    List *kept; // dimensions without history: they may have held rows before, and others may refer to these
};

// targets_of looks them up as the definition names them, with the owner's settings; those that are gone are left out.
Targets targets_of(const Pipeline *pipeline);

// with_partitions adds the partitions and children of relations.
List *with_partitions(List *relations);

} // namespace sluice
