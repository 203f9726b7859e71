// The mapping of a facts pipeline as the user wrote it: JSON read into plain structs, every word checked, nothing looked up
// yet (facts_plan does that). Each part keeps its JSON pointer.
#pragma once

#include "postgres.hpp"

namespace sluice {

// What goes into one column: an SQL expression over the source row, or a column of the dimension's row that belongs to it.
struct FactValue {
    const char *column;
    const char *pointer;
    const char *expression; // or NULL:
    const char *dimension;  // the mapping's name of it
    const char *surrogate;  // its column
};

enum class Measure : uint8_t { Sum, Min, Max, CountAll, CountPositive, CountNegative };

struct MappedMeasure {
    const char *column;
    const char *pointer;
    Measure measure;
    const char *expression; // not of counts
    bool has_sign;          // negative rows count with the opposite sign
};

struct MappedDimension {
    const char *table;
    const char *pointer;
    FactValue *key, *columns;
    int key_count, column_count;
    bool history;
    const char *calendar; // SQL expression, or NULL
};

struct FactsMapping {
    FactValue *grain, *last;
    int grain_count, last_count;
    MappedMeasure *measures;
    int measure_count;
    const char *sign_by;     // SQL expression, or NULL: every row counts as it is
    List *negative, *ignore; // of statuses
    bool replaces;
    List *replace_by; // columns of the grain
    MappedDimension *dimensions;
    int dimension_count;
};

// read_facts_mapping reads and checks a mapping; it raises 22023 with the JSON pointer of the fault.
FactsMapping *read_facts_mapping(const char *text);

} // namespace sluice
