// The mapping as the user wrote it: JSON read into plain structs, every word checked, nothing looked up in the catalogs
// yet (plan.cpp does that). Each part keeps its JSON pointer, so that every refusal names its place.
#pragma once

#include "postgres.hpp"

#include "path.hpp"
#include "value.hpp"

namespace sluice {

enum class ValueForm : uint8_t {
    Path,         // "$.a", "@", "@.a.b[0]"
    Key,          // "@key"
    Index,        // "@index"
    Parent,       // "parent.column"
    Serial,       // "#serial"
    Default,      // "#default"
    Run,          // "#run"
    LoadedAt,     // "#loaded_at"
    Hash,         // "#hash"
    SourceColumn, // "#source.column"
};

struct MappedColumn {
    const char *name;
    const char *pointer;
    ValueForm form;
    Path path;
    const char *other;   // the parent's or the source's column
    const char *format;  // or NULL
    const char *type;    // or NULL
    Value default_value; // Absent when there is none
    Value *null_if;
    int null_if_count;
    bool null_on_error;
};

struct MappedTable {
    const char *name;
    const char *pointer;
    const char *parent; // the mapping's name of it, or NULL
    Path each;
    MappedColumn *columns;
    int column_count;
};

struct Mapping {
    MappedTable *tables;
    int table_count;
};

// read_mapping reads and checks a mapping; it raises 22023 with the JSON pointer of the fault.
Mapping *read_mapping(const char *text, size_t length);

// mapping_error starts an error at a place of the mapping: `pointer: what`.
[[noreturn]] void mapping_error(const char *pointer, const char *what, const char *hint);

} // namespace sluice
