// The tree: a JSON document read from text, as plain structs in an Arena. It is to json and text documents what the
// server's binary form is to jsonb documents; value.hpp looks at both in the same way.
//
// Members stand in the order of the document. Of equal keys only the last is kept, as in jsonb. Numbers that fit int64
// are kept as such; every other number keeps its own text, so nothing goes through a float.
#pragma once

#include <cstdint>

namespace sluice {

enum class NodeKind : uint8_t { Null, False, True, Integer, Number, String, Array, Object };

struct Member;

struct TreeNode {
    NodeKind kind;
    uint32_t length; // bytes of text, or number of items or members
    union {
        int64_t integer;
        const char *text; // not terminated
        TreeNode *items;
        Member *
            members; // followed by `length` uint32_t, positions in order of (key length, key), when length > linear_members
    };
};

struct Member {
    const char *key;
    uint32_t key_length;
    TreeNode value;
};

// Up to so many members are looked up one by one; longer objects carry a sorted index behind their members.
constexpr uint32_t linear_members = 8;

inline const uint32_t *MemberOrder(const TreeNode *object) {
    return reinterpret_cast<const uint32_t *>(object->members + object->length);
}

} // namespace sluice
