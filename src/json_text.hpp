// Reading JSON text (RFC 8259) into a tree, by nlohmann/json's SAX interface. C++ regime: call through Guarded().
#pragma once

#include "bridge.hpp"
#include "tree.hpp"

namespace sluice {

enum class ParseResult : uint8_t {
    Done,
    Syntax,      // `message`, `line`, `column` say what and where
    Beyond,      // a number that only PostgreSQL's numeric holds (over 1e4932): parse by the server instead
    Interrupted, // *stop was set
};

struct ParsedText {
    ParseResult result;
    TreeNode *root;
    size_t line, column; // from 1
    char message[256];
    const char *duplicate; // JSON pointer of the first key that stood twice in one object, or null
};

// ParseJson reads one document. `stop` is looked at every now and then, so that a cancel need not wait for a large text.
void ParseJson(const char *text, size_t length, Arena *arena, const volatile int *stop, ParsedText *parsed);

} // namespace sluice
