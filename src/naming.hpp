// Naming: SQL names for what documents call their keys. A name keeps its letters, fits PostgreSQL's 63 bytes, needs no
// thought of SQL's reserved words (whoever writes SQL quotes it) and is never given twice in one place.
#pragma once

#include "postgres.hpp"

namespace sluice {

// The names taken in one place: the columns of a table, or the tables of a mapping.
struct NameSet {
    HTAB *taken;
};

NameSet make_name_set();
void take_name(NameSet *names, const char *name);
bool is_name_taken(const NameSet *names, const char *name);

// append_key_name writes a key as part of a name: ASCII letters in lower case, blanks and punctuation as _.
void append_key_name(StringInfo to, const char *key, uint32 length);

// numbered_name cuts a name to 63 bytes; from number 2 on, the number stands behind it.
char *numbered_name(const char *wanted, int number);

// new_name takes the first of wanted, wanted_2, wanted_3 ... that is free, also in the eyes of `is_taken` (or NULL).
char *new_name(NameSet *names, const char *wanted, bool (*is_taken)(void *context, const char *name), void *context);

// A QualifiedName is a table's name as a mapping writes it, by SQL's rules; schema is NULL when it has none.
struct QualifiedName {
    const char *schema;
    const char *name;
};

// split_table_name reads such a name; false when it is none.
bool split_table_name(const char *text, QualifiedName *name);
const char *quoted_table_name(const QualifiedName *name);

} // namespace sluice
