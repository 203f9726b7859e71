// The definition of a facts pipeline, as it is kept in the catalog.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct FactsDefinition {
    const char *target;
    const char *newest_by; // or NULL
    const char *mapping;   // as it was written
};

const char *facts_definition_text(const FactsDefinition *definition);
FactsDefinition read_facts_definition(const char *text);

} // namespace sluice
