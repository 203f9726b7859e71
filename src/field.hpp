// Fields: a table's schema as BigQuery's tools write it in JSON, read into plain structs, every word checked.
#pragma once

#include "postgres.hpp"

namespace sluice {

enum class FieldMode : uint8_t { Nullable, Required, Repeated };

struct Field {
    const char *name;
    const char *pointer;     // JSON pointer of the field
    const char *type;        // in SQL, without []; NULL for a record
    const char *description; // or NULL
    FieldMode mode;
    struct FieldList *record; // its fields; NULL when it is no record
    const char *column;       // its name in SQL, once it has one
};

struct FieldList {
    Field *fields;
    int count;
};

// read_fields reads {"fields": [...]}, or the array alone. It raises 22023 with the JSON pointer of the fault.
FieldList *read_fields(const char *text, size_t length);

} // namespace sluice
