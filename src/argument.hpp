// The arguments with which pipelines are created, as the extension's own functions declare them: what sluice.create_<kind> takes
// is what a definition may hold, and what sluice.alter_pipeline takes, too, is what can be changed. So an argument that is
// added there is part of definitions at once, provided that its value stands in a column of its name.
#pragma once

#include "postgres.hpp"

#include "value.hpp"

namespace sluice {

struct Argument {
    const char *name;
    Oid type;
    bool required;
    bool alterable;
    const char *fallback; // what leaving it out means, as JSON; NULL: null
};

struct Arguments {
    Argument *items;
    int count;
};

// check_kind refuses a word that is no kind of pipeline, at a place of a definition.
void check_kind(const char *kind, const char *pointer);

Arguments load_arguments(const char *kind);
int find_argument(const Arguments *arguments, const char *name); // -1: none

// check_argument refuses a JSON value of the wrong type; argument_datum makes it a value of the argument's type.
void check_argument(const Argument *argument, const Value &value, const char *pointer);
Datum argument_datum(const Argument *argument, const char *json, const char *pointer);

// plain_argument writes a value so that equal ones are written alike: relations with their schema, no empty arrays. NULL: null.
const char *plain_argument(const Argument *argument, const char *json, const char *pointer);

const char *quoted_json(const char *text); // as a JSON string

} // namespace sluice
