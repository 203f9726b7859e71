// A Value is a look at one JSON value, wherever it lies: inside a jsonb document (walked in place, nothing copied) or in
// a tree read from text. The shredder and the conversions see only this.
#pragma once

#include "postgres.hpp"

#include "tree.hpp"

namespace sluice {

enum class ValueKind : uint8_t { Absent, Null, Bool, Number, String, Array, Object };
enum class NumberForm : uint8_t { Exact, Integer, Text }; // a numeric, an int64, its own text

struct Value {
    ValueKind kind;
    NumberForm form; // of a number
    bool boolean;
    bool in_tree;  // of an array or object: node, else container
    uint32 length; // bytes of a string, of a number's text or of a jsonb container
    union {
        const char *text; // string or number; not terminated
        int64 integer;
        Numeric exact;
        JsonbContainer *container;
        const TreeNode *node;
    };
};

inline bool is_missing(const Value &value) { return value.kind == ValueKind::Absent || value.kind == ValueKind::Null; }

Value absent_value();
Value value_of_jsonb(Jsonb *document);
Value value_of_node(const TreeNode *node);

uint32 value_count(const Value &value); // items of an array, members of an object

// value_member finds a member of an object, value_item an item of an array (from 0); Absent when there is none.
Value value_member(const Value &object, const char *key, uint32 length);
Value value_item(const Value &array, int64 index);

// A Walk goes through an array or object from the first to the last.
struct Walk {
    Value of;
    uint32 next, count;
    uint32 key_offset, value_offset; // in a jsonb container
    const char *key;                 // of the member last given (objects)
    uint32 key_length;
};

Walk walk_begin(const Value &of);
bool walk_next(Walk *walk, Value *value);

const char *kind_name(const Value &value); // "an object", "a string" ...

// value_text writes a value as JSON text; value_jsonb makes a jsonb of it.
void append_value_text(StringInfo to, const Value &value);
const char *value_text(const Value &value);
Jsonb *value_jsonb(const Value &value);
Numeric value_numeric(const Value &number);

// append_json_member writes a member with a string into an object that was begun; NULL: none.
void append_json_member(StringInfo json, const char *name, const char *value);

// values_equal compares two scalars as JSON does (1 = 1.0); it is false for arrays and objects.
bool values_equal(const Value &left, const Value &right);

} // namespace sluice
