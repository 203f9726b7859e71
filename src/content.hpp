// Content: what a document, or a row, is known by when it has no number: 128 bits of a hash of its bytes.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct ContentHash {
    uint8 bytes[16];
};

// content_of hashes a document (jsonb, json or text, toasted or not). A NULL document has sixteen zero bytes, which no other
// document is known to have.
ContentHash content_of(Datum document, bool is_null);

// content_sql is what a row of a source is known by, as SQL over the source as s: the content of its document, or without one
// (NULL) of the named columns.
const char *content_sql(const char *document, List *columns);

const char *content_text(const ContentHash *hash); // in hexadecimal digits

} // namespace sluice
