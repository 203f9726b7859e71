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
    Rest,         // "#rest": what of the item no column and no child table takes
};

// What becomes of a row whose key is there already; Replace is of children: those of a parent that is delivered again go.
enum class Mode : uint8_t { Append, Upsert, Skip, Merge, Replace };

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
    const char **key; // names of columns
    int key_count;
    bool has_mode; // else the mode follows from the key and the parent
    Mode mode;
    const char *newest_by; // name of the column that tells which of two rows of a key is newer, or NULL
};

struct Mapping {
    MappedTable *tables;
    int table_count;
};

// read_mapping reads and checks a mapping; it raises 22023 with the JSON pointer of the fault.
Mapping *read_mapping(const char *text, size_t length);

const char *mode_name(Mode mode);

// pointer_to extends a JSON pointer (RFC 6901) by one member.
const char *pointer_to(const char *pointer, const char *member);

// mapped_column finds a table's column by name; NULL when the mapping does not fill it.
const MappedColumn *mapped_column(const MappedTable *table, const char *name);

// Reading JSON: a string that may be a name; a value that must be a string (`what` it is, in the error); an error for a word
// that is none of those that `what` knows.
const char *plain_string(const char *text, uint32 length, const char *pointer);
const char *string_of(const Value &value, const char *pointer, const char *what);
[[noreturn]] void unknown_member(const char *pointer, const char *name, const char *what, const char *const *known,
                                 int count);

// mapping_error starts an error at a place of the mapping: `pointer: what`.
[[noreturn]] void mapping_error(const char *pointer, const char *what, const char *hint);

// read_json reads any JSON that a user wrote, in which no word stands twice in one object; `what` it is, in the error.
Value read_json(const char *text, size_t length, const char *what);

} // namespace sluice
