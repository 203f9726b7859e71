// Comparing a source with the ledger, by content.
#pragma once

#include "postgres.hpp"

namespace sluice {

// compare_statement counts the contents of the source and brings up what the ledger does not account for: first how many
// more rows there are of known contents ('skip' alone counts them), then the rows to load, in order. `content` is what a row is known by, as SQL over the source as s; `rows` selects the
// `columns` columns of a row of the source, then how many more, the content and with 'keep' the place among equal rows;
// `covered` is a condition over the source as s, or empty.
const char *compare_statement(const char *source, const char *content, const char *ledger, bool keep, int columns,
                              const char *rows, const char *covered);

// unaccounted_statement counts the rows of the source that the ledger does not account for, equal ones each.
const char *unaccounted_statement(const char *source, const char *content, const char *ledger);

} // namespace sluice
