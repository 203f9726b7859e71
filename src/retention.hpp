// Retention: new, returning and refunded customers of each period, from a table of facts. See retention.cpp.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct Retention {
    Oid facts;
    const char *target; // qualified
    const char *customer, *amount, *at, *period;
    const char *orders, *refunds; // columns, or NULL
    const char *time_zone;
};

// check_retention checks each argument against the facts.
void check_retention(const Retention *retention, Relation facts);

// period_sql writes the period of a fact as SQL, over the facts as s.
const char *period_sql(const Retention *retention, Relation facts);

// append_retention_query writes the SELECT; `condition` (or NULL) restricts the facts.
void append_retention_query(StringInfo to, const Retention *retention, Relation facts, const char *condition);

} // namespace sluice
