// Paths into a document: "$" (the document) or "@" (the item that `each` matched), then steps.
#pragma once

#include "postgres.hpp"

#include "value.hpp"

namespace sluice {

enum class StepKind : uint8_t {
    Key,       // .name or ."any name"
    Item,      // [0]
    EachItem,  // [*]
    EachValue, // .*
    ItemKey,   // [@key]
};

struct Step {
    StepKind kind;
    const char *key;
    uint32 length;
    int64 index;
};

struct Path {
    bool from_item; // starts with "@"
    int step_count;
    Step *steps;
    const char *text;
};

// parse_path reads a path; a fault is raised at the mapping's `pointer`.
Path parse_path(const char *text, const char *pointer);

bool path_has_each(const Path &path);     // has a [*] or .*
bool path_has_item_key(const Path &path); // has a [@key]

// append_key_step writes one key as a path step, quoted where it must be.
void append_key_step(StringInfo to, const char *key, uint32 length);

} // namespace sluice
