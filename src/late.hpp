// Looking at loads without changing anything: what is late, and whether what is loaded is right.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

// Rows of the partitions that are loaded and not late: that the query gives and the target lacks, that the target has too
// many, all that it holds; and partitions that failed.
struct LoadAudit {
    int64 missing, too_many, failed, loaded;
};

LoadAudit audit_load(const Pipeline *pipeline);

} // namespace sluice
