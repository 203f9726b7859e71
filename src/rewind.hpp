// What the ways of rewinding have in common.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

// refuse_rewind says why a pipeline cannot be rewound, and what to do (or NULL).
[[noreturn]] void refuse_rewind(const Pipeline *pipeline, int64 to_run, const char *why, const char *hint);

} // namespace sluice
