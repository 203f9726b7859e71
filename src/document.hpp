// A document: the JSON value of one source row, of a jsonb, json or text column, made ready to be looked at as a Value.
#pragma once

#include "postgres.hpp"

#include "bridge.hpp"
#include "json_text.hpp"
#include "value.hpp"

namespace sluice {

// A DocumentReader belongs to a run; the memory of the last document is given back by the next read.
struct DocumentReader {
    Oid type;    // jsonb, json or a string type
    Arena arena; // of trees read from text
    MemoryContext detoasted;
};

void open_document_reader(DocumentReader *reader, Oid type, MemoryContext memory);

// read_document looks at a document; it is valid until the next call. Text that is no JSON raises 22P02 with line and column.
Value read_document(DocumentReader *reader, Datum document);

// parse_json_text reads a text that is not a document of a source (a mapping) into `memory`.
ParsedText parse_json_text(const char *text, size_t length, MemoryContext memory);

[[noreturn]] void json_syntax_error(ParsedText *parsed, const char *text, size_t length, const char *what);

} // namespace sluice
