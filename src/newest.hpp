// What is newest: tables that remember of which time a row of a target is, where it holds no such column, so that an older row
// that comes later changes nothing. A pipeline of facts has one for each dimension that needs it, sluice.newest_<id>_<n>, and
// one (n = 0) for the facts; they belong to the pipeline's owner.
//
//   k1, k2 ...  the key
//   t           the time
//   c1, c2 ...  of a dimension with history: what was seen then. It keeps all times: a late row may split a version.
#pragma once

#include "postgres.hpp"

#include "facts.hpp"

namespace sluice {

const char *newest_name(int32 pipeline, int number); // qualified

// create_newest makes the tables that a plan needs; drop_newest drops those of a pipeline.
void create_newest(const FactsPlan *plan, int32 pipeline, const char *name, Oid owner);
void drop_newest(int32 pipeline);

// own_newest gives them to the owner, and sees to it that they are as their targets are; find_newest finds one, or says that it is gone.
void own_newest(const FactsPlan *plan, int32 pipeline, Oid owner);
Oid find_newest(const char *qualified);

} // namespace sluice
