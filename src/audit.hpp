// An audit: a source compared with what was loaded (position.cpp).
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

struct Audit {
    int64 missing, duplicated, rejected, loaded;
    bool counts_duplicated;
};

Audit audit(const Pipeline *pipeline);

} // namespace sluice
