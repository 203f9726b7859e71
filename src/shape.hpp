// A Shape is what many documents look like, one over the other: which kinds of values stand at each place, and how often.
// Inference reads a mapping off it. A shape has a memory context of its own, which ends with the one it was made in.
//
// Its memory does not grow with the number of documents, and hardly with that of their keys: an object with very many
// different keys is a map, whose values are kept as one shape without their keys.
#pragma once

#include "postgres.hpp"

#include "path.hpp"
#include "value.hpp"

namespace sluice {

enum class NumberSize : uint8_t { Int, Bigint, Numeric }; // the smallest type that keeps all of what was written

struct Shape;
struct ShapeStore; // where the nodes of one shape come from

struct ShapeMember {
    const char *key; // not terminated
    uint32 length;
    uint32 hash;
    Shape *shape;
};

constexpr int value_kinds = static_cast<int>(ValueKind::Object) + 1;

struct Shape {
    ShapeStore *store;
    int64 counts[value_kinds]; // values seen, by their kind
    int64 members_seen;        // over all objects, nulls too
    NumberSize number;
    bool too_deep;        // arrays or objects stand here that are nested too deep to be looked into
    ShapeMember *members; // in the order in which they were first seen
    uint32 member_count, member_room;
    uint32 *slots; // positions among the members, from 1, by the hash of the key; none for a few members
    uint32 slot_count;
    Shape *values; // of an object with too many keys, which then has no members: all its values as one
    Shape *items;  // of arrays; NULL until one has an item
};

Shape *make_shape();

// shape_add lays a value over the shape. What it needs for a moment comes from CurrentMemoryContext.
void shape_add(Shape *shape, const Value &value);

// shape_add_at lays a value over one place in the shape, where object keys lead to. The objects on the way are not counted as
// seen: what has members, but no objects, is such a way.
void shape_add_at(Shape *shape, const Step *steps, int step_count, const Value &value);

// shape_merge lays one shape over another.
void shape_merge(Shape *into, const Shape *from);

// merged_members lays the values of all members over each other, in a new shape of the same store; free_shape frees it.
Shape *merged_members(const Shape *object);
void free_shape(Shape *shape);

inline int64 shape_count(const Shape *shape, ValueKind kind) { return shape->counts[static_cast<int>(kind)]; }
int64 shape_total(const Shape *shape);         // values seen, without nulls
int shape_kinds(const Shape *shape);           // how many kinds of values, null aside
ValueKind shape_main_kind(const Shape *shape); // the one kind it has; Null when there is none

} // namespace sluice
