// Dictionary: whether an object is a record, whose keys name fields, or a dictionary, whose keys are data (a product, a
// version, a language ...) and whose values are all of one shape.
#pragma once

#include "postgres.hpp"

#include "shape.hpp"

namespace sluice {

// dictionary_values gives the values of a dictionary as one shape; NULL when the object is a record. Documents and items of
// arrays (`is_item`) are records unless their keys leave no doubt.
Shape *dictionary_values(const Shape *object, bool is_item);

} // namespace sluice
