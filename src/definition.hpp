// The definition of a pipeline: what create_<kind> would have to be given to make the same one again, as JSON.
#pragma once

#include "postgres.hpp"

#include "argument.hpp"
#include "pipeline.hpp"

namespace sluice {

constexpr int setting_count = 4;
extern const char *const setting_names[setting_count]; // that are kept from a pipeline's creation

struct Definition {
    const Pipeline *pipeline;
    Arguments arguments;
    const char **values; // of each argument as JSON; NULL: null
    const char *settings[setting_count];
    const char *schedule; // of its own job; NULL: none
};

Definition load_definition(const Pipeline *pipeline);

// plain_value is the value of an argument as plain_argument writes it; fallback_of what leaving it out means for this pipeline.
const char *plain_value(const Definition *definition, int argument);
const char *fallback_of(const Definition *definition, int argument);

// member_json takes a member out of a JSON object, as it is written there; NULL: it is absent or null.
const char *member_json(const char *object, const char *name);

} // namespace sluice
