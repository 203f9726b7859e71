// Access to the extension's own tables. Users have no rights on them; code that has checked the caller's rights reads and
// writes them as the superuser, with a search_path in which nobody can hide an operator or a function.
#pragma once

#include "postgres.hpp"

namespace sluice {

// require_same_version refuses to work when the library is not of the version that the extension has in this database: between its
// installation and ALTER EXTENSION sluice UPDATE the tables, and the arguments of functions, are others. Entering the catalog does it;
// so do functions that look at their arguments before.
void require_same_version();
bool is_same_version();

struct CatalogScope {
    Oid user;
    int security;
    int settings;
};

CatalogScope enter_catalog();
void leave_catalog(const CatalogScope *scope);

// A Parameters list grows by add_*; it is handed to catalog_execute.
struct Parameters {
    static constexpr int most = 40;
    int count;
    Oid types[most];
    Datum values[most];
    char nulls[most];
};

void add_int(Parameters *parameters, int64 value);
void add_count(Parameters *parameters, int64 count);      // negative is null
void add_text(Parameters *parameters, const char *value); // NULL is null
void add_null(Parameters *parameters, Oid type);
void add_value(Parameters *parameters, Oid type, Datum value);

// Numbers: an array of bigint.
struct Numbers {
    int64 *values;
    int count;
};
void add_numbers(Parameters *parameters, const int64 *values, int count);
Numbers copy_numbers(const Numbers *numbers);
bool same_numbers(const Numbers *left, const Numbers *right);

// Names: an array of text as a list of C strings; NIL is null.
void add_names(Parameters *parameters, List *names);
List *result_names(uint64 row, int column);

// stored_text and stored_datum write and read a value so that it comes back as it was, whatever the session's settings.
const char *stored_text(Oid type, Datum value);
Datum stored_datum(Oid type, const char *text);
// The same for many values of a type: settings are changed and restored once.
void stored_texts(Oid type, const Datum *values, int count, const char **texts);
void stored_datums(Oid type, const char *const *texts, int count, Datum *values);

// enter_plain_texts sets what makes texts of all types read back as they were; AtEOXact_GUC(false, ...) ends it.
int enter_plain_texts();
bool needs_plain_texts(Oid type); // to be written by its own output function

// catalog_execute runs a statement inside the caller's SPI connection; the result is in SPI_tuptable (free it).
uint64 catalog_execute(const char *statement, const Parameters *parameters);

// A CatalogStatement is planned once a session: for what every batch does.
struct CatalogStatement {
    SPIPlanPtr plan;
};
uint64 catalog_prepared(CatalogStatement *prepared, const char *statement, const Parameters *parameters);

// give_table gives a table beside the catalog (a ledger, the states of a merge) to the owner of its pipeline, if it is not his.
void give_table(Oid table, Oid owner);

// Values of the row `row` of the last result.
int64 result_int(uint64 row, int column, bool *is_null);
char *result_text(uint64 row, int column);      // by the type's output function; NULL for null
Numbers result_numbers(uint64 row, int column); // of an array that is not null
void free_result();

} // namespace sluice
