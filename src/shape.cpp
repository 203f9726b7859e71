// See shape.hpp.
#include "shape.hpp"

#include "convert.hpp"

namespace sluice {

struct ShapeStore {
    MemoryContext memory;
    uint64 nodes;
};

constexpr int deepest = 64; // levels that are looked into
constexpr uint32 members_without_slots = 8;

static void *zeroed(const ShapeStore *store, Size size) { return MemoryContextAllocZero(store->memory, size); }

static Shape *make_node(ShapeStore *store) {
    Shape *shape = static_cast<Shape *>(zeroed(store, sizeof(Shape)));
    shape->store = store;
    store->nodes++;
    return shape;
}

Shape *make_shape() {
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "sluice shape", ALLOCSET_DEFAULT_SIZES);
    ShapeStore *store = static_cast<ShapeStore *>(MemoryContextAllocZero(memory, sizeof(ShapeStore)));
    store->memory = memory;
    return make_node(store);
}

static void free_members(Shape *shape) {
    for (uint32 i = 0; i < shape->member_count; i++) {
        pfree(const_cast<char *>(shape->members[i].key));
        free_shape(shape->members[i].shape);
    }
    if (shape->members)
        pfree(shape->members);
    if (shape->slots)
        pfree(shape->slots);
    shape->members = NULL;
    shape->slots = NULL;
    shape->member_count = shape->member_room = shape->slot_count = 0;
}

void free_shape(Shape *shape) {
    if (!shape)
        return;
    free_members(shape);
    free_shape(shape->values);
    free_shape(shape->items);
    shape->store->nodes--;
    pfree(shape);
}

// ---- members by their key

static uint32 hash_key(const char *key, uint32 length) {
    return hash_bytes(reinterpret_cast<const unsigned char *>(key), static_cast<int>(length));
}

static bool is_member(const ShapeMember *member, const char *key, uint32 length) {
    return member->length == length && memcmp(member->key, key, length) == 0;
}

static void enter_slot(Shape *shape, uint32 position) {
    const uint32 mask = shape->slot_count - 1;
    uint32 slot = shape->members[position].hash & mask;
    while (shape->slots[slot])
        slot = (slot + 1) & mask;
    shape->slots[slot] = position + 1;
}

// make_slots makes the table anew, at most half full for as many members as there is room for.
static void make_slots(Shape *shape) {
    if (shape->slots)
        pfree(shape->slots);
    shape->slot_count = shape->member_room * 2;
    shape->slots = static_cast<uint32 *>(zeroed(shape->store, sizeof(uint32) * shape->slot_count));
    for (uint32 i = 0; i < shape->member_count; i++)
        enter_slot(shape, i);
}

static void grow_members(Shape *shape) {
    if (!shape->members) {
        shape->member_room = members_without_slots / 2;
        shape->members = static_cast<ShapeMember *>(zeroed(shape->store, sizeof(ShapeMember) * shape->member_room));
        return;
    }
    shape->member_room *= 2;
    shape->members = static_cast<ShapeMember *>(repalloc(shape->members, sizeof(ShapeMember) * shape->member_room));
    if (shape->member_room > members_without_slots)
        make_slots(shape);
}

static ShapeMember *add_member(Shape *shape, const char *key, uint32 length, uint32 hash) {
    if (shape->member_count == shape->member_room)
        grow_members(shape);
    char *copy = static_cast<char *>(MemoryContextAlloc(shape->store->memory, length + 1));
    memcpy(copy, key, length);
    copy[length] = '\0';
    Shape *value = make_node(shape->store);
    const uint32 position = shape->member_count++;
    shape->members[position] = ShapeMember{copy, length, hash, value};
    if (shape->slots)
        enter_slot(shape, position);
    return &shape->members[position];
}

static ShapeMember *find_member(const Shape *shape, const char *key, uint32 length, uint32 hash) {
    if (!shape->slots) {
        for (uint32 i = 0; i < shape->member_count; i++)
            if (is_member(&shape->members[i], key, length))
                return &shape->members[i];
        return NULL;
    }
    const uint32 mask = shape->slot_count - 1;
    for (uint32 slot = hash & mask; shape->slots[slot]; slot = (slot + 1) & mask) {
        ShapeMember *member = &shape->members[shape->slots[slot] - 1];
        if (member->hash == hash && is_member(member, key, length))
            return member;
    }
    return NULL;
}

// most_members is how many keys an object may have before it is taken for a map: fewer when the whole has grown large.
static uint32 most_members(const ShapeStore *store) {
    if (store->nodes < 100000)
        return 5000;
    return store->nodes < 500000 ? 500 : 50;
}

static void become_map(Shape *shape) {
    shape->values = merged_members(shape);
    free_members(shape);
}

// member_shape finds the shape of a member, or makes it. Documents of one kind have their keys in one order: what follows
// the member found last is tried first, without a hash.
static Shape *member_shape(Shape *shape, const char *key, uint32 length, uint32 *expected) {
    if (shape->values)
        return shape->values;
    if (*expected < shape->member_count && is_member(&shape->members[*expected], key, length))
        return shape->members[(*expected)++].shape;
    const uint32 hash = hash_key(key, length);
    ShapeMember *member = find_member(shape, key, length, hash);
    if (!member && shape->member_count >= most_members(shape->store)) {
        become_map(shape);
        return shape->values;
    }
    if (!member)
        member = add_member(shape, key, length, hash);
    *expected = member - shape->members + 1;
    return member->shape;
}

// ---- adding values

// size_number finds the smallest type for a number. 1.0 is no int: its digits behind the point are kept.
static NumberSize size_number(const Value &number) {
    int64 integer = number.integer;
    if (number.form != NumberForm::Integer) {
        Numeric exact = value_numeric(number);
        if (numeric_integer(exact, &integer) != Whole::Yes ||
            DatumGetInt32(DirectFunctionCall1(numeric_scale, NumericGetDatum(exact))) > 0)
            return NumberSize::Numeric;
    }
    return integer >= PG_INT32_MIN && integer <= PG_INT32_MAX ? NumberSize::Int : NumberSize::Bigint;
}

static void add_value(Shape *shape, const Value &value, int depth);

static void add_object(Shape *shape, const Value &object, int depth) {
    uint32 expected = 0;
    Walk walk = walk_begin(object);
    shape->members_seen += walk.count;
    for (Value member; walk_next(&walk, &member);)
        add_value(member_shape(shape, walk.key, walk.key_length, &expected), member, depth + 1);
}

static void add_array(Shape *shape, const Value &array, int depth) {
    if (!shape->items && value_count(array) > 0)
        shape->items = make_node(shape->store);
    Walk walk = walk_begin(array);
    for (Value item; walk_next(&walk, &item);)
        add_value(shape->items, item, depth + 1);
}

static void add_value(Shape *shape, const Value &value, int depth) {
    CHECK_FOR_INTERRUPTS();
    if (value.kind == ValueKind::Number && shape->number < NumberSize::Numeric)
        shape->number = Max(shape->number, size_number(value)); // first, since it raises beyond what a numeric holds
    shape->counts[static_cast<int>(value.kind)]++;
    if (value.kind != ValueKind::Array && value.kind != ValueKind::Object)
        return;
    if (depth >= deepest)
        shape->too_deep = true;
    else if (value.kind == ValueKind::Array)
        add_array(shape, value, depth);
    else
        add_object(shape, value, depth);
}

void shape_add(Shape *shape, const Value &value) { add_value(shape, value, 0); }

void shape_add_at(Shape *shape, const Step *steps, int step_count, const Value &value) {
    for (int i = 0; i < step_count; i++) {
        uint32 expected = 0;
        shape = member_shape(shape, steps[i].key, steps[i].length, &expected);
    }
    add_value(shape, value, step_count);
}

// ---- merging

static void merge_members(Shape *into, const Shape *from) {
    uint32 expected = 0;
    if (from->values && !into->values)
        become_map(into);
    if (from->values)
        shape_merge(into->values, from->values);
    for (uint32 i = 0; i < from->member_count; i++) {
        const ShapeMember *member = &from->members[i];
        shape_merge(member_shape(into, member->key, member->length, &expected), member->shape);
    }
}

void shape_merge(Shape *into, const Shape *from) {
    CHECK_FOR_INTERRUPTS();
    check_stack_depth();
    for (int i = 0; i < value_kinds; i++)
        into->counts[i] += from->counts[i];
    into->members_seen += from->members_seen;
    into->number = Max(into->number, from->number);
    into->too_deep = into->too_deep || from->too_deep;
    merge_members(into, from);
    if (!from->items)
        return;
    if (!into->items)
        into->items = make_node(into->store);
    shape_merge(into->items, from->items);
}

Shape *merged_members(const Shape *object) {
    Shape *all = make_node(object->store);
    for (uint32 i = 0; i < object->member_count; i++)
        shape_merge(all, object->members[i].shape);
    return all;
}

// ---- what was seen

int64 shape_total(const Shape *shape) {
    int64 total = 0;
    for (int i = 0; i < value_kinds; i++)
        total += shape->counts[i];
    return total - shape_count(shape, ValueKind::Null) - shape_count(shape, ValueKind::Absent);
}

int shape_kinds(const Shape *shape) {
    int kinds = 0;
    for (int i = static_cast<int>(ValueKind::Bool); i < value_kinds; i++)
        kinds += shape->counts[i] > 0;
    return kinds;
}

ValueKind shape_main_kind(const Shape *shape) {
    for (int i = static_cast<int>(ValueKind::Bool); i < value_kinds; i++)
        if (shape->counts[i] > 0)
            return static_cast<ValueKind>(i);
    return ValueKind::Null;
}

} // namespace sluice
