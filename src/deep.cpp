// See deep.hpp.
//
// What is over is not looked for: a node below a place that was set later stays where it is, and is left out when the tree is
// read (`floor`). A node that is set after all that happened below it forgets it at once.
#include "deep.hpp"

#include "merge_patch.hpp"

namespace sluice {

struct Laying {
    int64 moment;
    bool is_patch; // nulls remove
    bool copies;
};

DeepNode *make_deep() {
    DeepNode *node = static_cast<DeepNode *>(palloc0(sizeof(DeepNode)));
    node->set = unknown_moment;
    return node;
}

// ---- depth

// How deep an object nests cannot be found out while it is laid over a tree: half of it would be laid. A level of an object
// takes at least 12 bytes of jsonb and less than 1 kB of stack; max_stack_depth is in kB.
void check_deep(Jsonb *patch) {
    constexpr int level = 12;
    if (VARSIZE(patch) < static_cast<Size>(max_stack_depth) * level)
        return;
    JsonbIterator *iterator = JsonbIteratorInit(&patch->root);
    JsonbValue value;
    int depth = 0;
    for (JsonbIteratorToken token; (token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE;) {
        depth += token == WJB_BEGIN_OBJECT || token == WJB_BEGIN_ARRAY;
        depth -= token == WJB_END_OBJECT || token == WJB_END_ARRAY;
        if (depth > max_stack_depth)
            ereport(ERROR, (errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
                            errmsg("a document is nested more than %d levels deep", max_stack_depth),
                            errhint("There is one level for each kB of max_stack_depth.")));
    }
}

// ---- values

JsonbValue deep_value(const DeepNode *node) {
    JsonbValue value;
    value.type = static_cast<jbvType>(node->type);
    if (value.type == jbvType::jbvBinary) {
        value.val.binary.data = static_cast<JsonbContainer *>(node->data);
        value.val.binary.len = node->count;
    } else if (value.type == jbvType::jbvString) {
        value.val.string.val = static_cast<char *>(node->data);
        value.val.string.len = node->count;
    } else if (value.type == jbvType::jbvNumeric) {
        value.val.numeric = static_cast<Numeric>(node->data);
    } else {
        value.val.boolean = node->boolean;
    }
    return value;
}

static void keep_value(DeepNode *node, const JsonbValue *value) {
    node->type = static_cast<uint8>(value->type);
    node->data = NULL;
    node->count = 0;
    if (value->type == jbvType::jbvBinary) {
        node->data = value->val.binary.data;
        node->count = value->val.binary.len;
    } else if (value->type == jbvType::jbvString) {
        node->data = value->val.string.val;
        node->count = value->val.string.len;
    } else if (value->type == jbvType::jbvNumeric) {
        node->data = value->val.numeric;
        node->count = VARSIZE(node->data);
    } else if (value->type == jbvType::jbvBool) {
        node->boolean = value->val.boolean;
    }
}

static void copy_value(DeepNode *node) {
    if (!node->data)
        return;
    node->data = memcpy(palloc(Max(node->count, 1)), node->data, node->count);
    node->owned = true;
}

static void release_value(DeepNode *node) {
    if (node->owned)
        pfree(node->data);
    node->owned = false;
}

// values_order: jsonb's order; values that are equal there but not the same (1.0 and 1.00) go by their bytes.
static int values_order(JsonbValue left, JsonbValue right) {
    Jsonb *a = JsonbValueToJsonb(&left), *b = JsonbValueToJsonb(&right);
    int side = compareJsonbContainers(&a->root, &b->root);
    if (side == 0)
        side = memcmp(a, b, Min(VARSIZE(a), VARSIZE(b)));
    if (side == 0)
        side = VARSIZE(a) < VARSIZE(b) ? -1 : VARSIZE(a) > VARSIZE(b);
    pfree(a);
    pfree(b);
    return side;
}

// set_wins tells whether a value (NULL: removed) counts more than what a node that is no object was set to.
static bool set_wins(const DeepNode *node, const JsonbValue *value, int64 moment) {
    if (moment != node->set)
        return moment > node->set;
    return value && (node->kind == DeepKind::Removed || values_order(*value, deep_value(node)) > 0);
}

static void put_set(const Laying *laying, DeepNode *node, const JsonbValue *value) {
    release_value(node);
    node->kind = value ? DeepKind::Value : DeepKind::Removed;
    node->set = laying->moment;
    if (!value)
        return;
    keep_value(node, value);
    if (laying->copies)
        copy_value(node);
}

// lay_set: at the same moment an object counts, whose members of that moment stay.
static void lay_set(const Laying *laying, DeepNode *node, const JsonbValue *value) {
    if (!is_deep_object(node)) {
        if (set_wins(node, value, laying->moment))
            put_set(laying, node, value);
    } else if (laying->moment > node->object) {
        put_set(laying, node, value);
    } else {
        node->set = Max(node->set, laying->moment);
    }
}

// ---- members

static DeepNode *new_member(const char *name, uint32 length, bool copies) {
    const Size extra = copies ? length : 0;
    DeepNode *node = static_cast<DeepNode *>(palloc0(sizeof(DeepNode) + extra));
    node->name = name;
    node->length = length;
    node->set = unknown_moment;
    if (copies) {
        char *copy = reinterpret_cast<char *>(node + 1);
        memcpy(copy, name, length);
        node->name = copy;
    }
    return node;
}

static int names_order(const DeepNode *node, const char *name, uint32 length) {
    return node->length != length ? (node->length > length ? 1 : -1) : memcmp(node->name, name, length);
}

// member_place finds where a name is, or where it would be; the names before `from` are less.
static uint32 member_place(const DeepNode *node, uint32 from, const char *name, uint32 length, bool *found) {
    uint32 to = node->count;
    *found = false;
    while (from < to && !*found) {
        const uint32 middle = from + (to - from) / 2;
        const int order = names_order(node->members[middle], name, length);
        *found = order == 0;
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return to;
}

// New members of a node, in their order, with the places before which they come.
struct Additions {
    DeepNode **nodes;
    uint32 *places;
    uint32 count, room, next; // next: place from which the next name is looked for
};

// find_or_add finds a member; names come in their order. New ones are put into the node at the end, by add_members.
static DeepNode *find_or_add(DeepNode *node, Additions *additions, const char *name, uint32 length, bool copies) {
    bool found;
    additions->next = member_place(node, additions->next, name, length, &found);
    if (found)
        return node->members[additions->next++];
    if (!additions->nodes) {
        additions->nodes = static_cast<DeepNode **>(
            MemoryContextAllocHuge(CurrentMemoryContext, (sizeof(DeepNode *) + sizeof(uint32)) * additions->room));
        additions->places = reinterpret_cast<uint32 *>(additions->nodes + additions->room);
    }
    DeepNode *member = new_member(name, length, copies);
    additions->places[additions->count] = additions->next;
    additions->nodes[additions->count++] = member;
    return member;
}

// make_room: a node without room has none, or has them in memory that is not its own.
static void make_room(DeepNode *node, uint32 count) {
    if (count <= node->room)
        return;
    DeepNode **before = node->members;
    const bool owned = node->room > 0;
    node->room = count + count / 2;
    node->members =
        static_cast<DeepNode **>(MemoryContextAllocHuge(CurrentMemoryContext, sizeof(DeepNode *) * node->room));
    if (node->count > 0)
        memcpy(node->members, before, sizeof(DeepNode *) * node->count);
    if (owned)
        pfree(before);
}

static void add_members(DeepNode *node, const Additions *additions) {
    if (additions->count == 0)
        return;
    make_room(node, node->count + additions->count);
    uint32 end = node->count;
    for (uint32 i = additions->count; i > 0; i--) {
        const uint32 place = additions->places[i - 1];
        memmove(node->members + place + i, node->members + place, sizeof(DeepNode *) * (end - place));
        node->members[place + i - 1] = additions->nodes[i - 1];
        end = place;
    }
    node->count += additions->count;
    pfree(additions->nodes);
}

void fill_deep(DeepNode *node, const JsonbValue *value, int64 moment, bool is_patch) {
    if (is_object(value)) {
        node->kind = is_patch ? DeepKind::Patch : DeepKind::Document;
        node->object = moment;
        keep_value(node, value);
        return;
    }
    node->set = moment;
    node->kind = is_patch && value->type == jbvType::jbvNull ? DeepKind::Removed : DeepKind::Value;
    if (node->kind == DeepKind::Value)
        keep_value(node, value);
}

void make_members(DeepNode *node, uint64 count) {
    const Size size = (sizeof(DeepNode) + sizeof(DeepNode *)) * (count + 1);
    DeepNode *nodes = static_cast<DeepNode *>(
        MemoryContextAllocExtended(CurrentMemoryContext, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
    node->kind = DeepKind::Members;
    node->owned = false;
    node->count = 0;
    node->room = 0;
    node->members = reinterpret_cast<DeepNode **>(nodes + count);
    for (uint64 i = 0; i < count; i++) {
        nodes[i].set = unknown_moment;
        node->members[i] = &nodes[i];
    }
}

void look_into(DeepNode *node) {
    const JsonbValue object = deep_value(node);
    const bool is_patch = node->kind == DeepKind::Patch;
    make_members(node, JsonContainerSize(object.val.binary.data));
    Members members = members_of(&object);
    while (next_member(&members)) {
        DeepNode *member = node->members[node->count++];
        member->name = members.key.val.string.val;
        member->length = members.key.val.string.len;
        fill_deep(member, &members.value, node->object, is_patch);
    }
}

// ---- laying

static void lay_value(const Laying *laying, DeepNode *node, const JsonbValue *value);

static void lay_members(const Laying *laying, DeepNode *node, const JsonbValue *object) {
    Additions additions{};
    additions.room = JsonContainerSize(object->val.binary.data);
    Members members = members_of(object);
    while (next_member(&members)) {
        CHECK_FOR_INTERRUPTS();
        DeepNode *member =
            find_or_add(node, &additions, members.key.val.string.val, members.key.val.string.len, laying->copies);
        lay_value(laying, member, &members.value);
    }
    add_members(node, &additions);
}

// become_object makes an object of a node that is none.
static void become_object(const Laying *laying, DeepNode *node, const JsonbValue *object) {
    const int64 set = node->set;
    release_value(node);
    fill_deep(node, object, laying->moment, laying->is_patch);
    node->set = set;
    if (laying->copies)
        copy_value(node);
}

static void lay_object(const Laying *laying, DeepNode *node, const JsonbValue *object) {
    if (laying->moment < node->set)
        return;
    if (!is_deep_object(node)) {
        become_object(laying, node, object);
        return;
    }
    if (node->kind != DeepKind::Members)
        look_into(node);
    node->object = Max(node->object, laying->moment);
    lay_members(laying, node, object);
}

static void lay_value(const Laying *laying, DeepNode *node, const JsonbValue *value) {
    check_stack_depth();
    if (is_object(value))
        lay_object(laying, node, value);
    else
        lay_set(laying, node, laying->is_patch && value->type == jbvType::jbvNull ? NULL : value);
}

void lay_patch(DeepNode *root, Jsonb *patch, int64 moment) {
    const Laying laying{moment, true, true};
    if (!patch) {
        lay_set(&laying, root, NULL);
        return;
    }
    JsonbValue value;
    JsonbToJsonbValue(patch, &value);
    if (is_object(&value))
        lay_object(&laying, root, &value);
    else
        lay_set(&laying, root, &value); // null, too: it stands where no member could be removed
}

// ---- trees over trees

static void lay_given_members(DeepNode *node, const DeepNode *given) {
    Additions additions{};
    additions.room = given->count;
    for (uint32 i = 0; i < given->count; i++) {
        CHECK_FOR_INTERRUPTS();
        const DeepNode *member = given->members[i];
        lay_deep(find_or_add(node, &additions, member->name, member->length, false), member);
    }
    add_members(node, &additions);
}

// borrow makes a node that is no object what another one is.
static void borrow(DeepNode *node, const DeepNode *given) {
    const char *name = node->name;
    const int64 set = Max(node->set, given->set);
    *node = *given;
    node->name = name;
    node->set = set;
    node->owned = false;
    node->room = 0;
}

static void lay_given_object(DeepNode *node, const DeepNode *given) {
    if (given->object < node->set)
        return;
    if (!is_deep_object(node)) {
        borrow(node, given);
        return;
    }
    const int64 set = Max(node->set, given->set);
    if (given->set > node->object) {
        node->kind = DeepKind::Removed;
        borrow(node, given);
    } else if (given->kind == DeepKind::Members) {
        if (node->kind != DeepKind::Members)
            look_into(node);
        node->object = Max(node->object, given->object);
        lay_given_members(node, given);
    } else {
        const Laying laying{given->object, given->kind == DeepKind::Patch, false};
        const JsonbValue object = deep_value(given);
        lay_object(&laying, node, &object);
    }
    node->set = set;
}

void lay_deep(DeepNode *root, const DeepNode *given) {
    check_stack_depth();
    const Laying laying{given->set, false, false};
    if (is_deep_object(given)) {
        lay_given_object(root, given);
    } else if (given->set != unknown_moment) {
        const JsonbValue value = deep_value(given);
        lay_set(&laying, root, given->kind == DeepKind::Removed ? NULL : &value);
    }
}

// ---- reading

static bool has_nulls(const JsonbValue *patch) {
    check_stack_depth();
    Members members = members_of(patch);
    while (next_member(&members))
        if (members.value.type == jbvType::jbvNull || (is_object(&members.value) && has_nulls(&members.value)))
            return true;
    return false;
}

bool removes(const DeepNode *node) {
    if (node->kind != DeepKind::Patch)
        return false;
    const JsonbValue patch = deep_value(node);
    return has_nulls(&patch);
}

// push_node writes a node as the value for which there is a place already.
static JsonbValue *push_node(JsonbParseState **to, const DeepNode *node, int64 floor) {
    check_stack_depth();
    if (node->kind != DeepKind::Members) {
        JsonbValue value = deep_value(node);
        return node->kind == DeepKind::Patch ? push_merged(to, NULL, &value) : pushJsonbValue(to, WJB_VALUE, &value);
    }
    floor = Max(floor, node->set);
    pushJsonbValue(to, WJB_BEGIN_OBJECT, NULL);
    for (uint32 i = 0; i < node->count; i++) {
        CHECK_FOR_INTERRUPTS();
        const DeepNode *member = node->members[i];
        if (member->kind == DeepKind::Removed || deep_moment(member) < floor)
            continue;
        JsonbValue name;
        name.type = jbvType::jbvString;
        name.val.string.val = const_cast<char *>(member->name);
        name.val.string.len = member->length;
        pushJsonbValue(to, WJB_KEY, &name);
        push_node(to, member, floor);
    }
    return pushJsonbValue(to, WJB_END_OBJECT, NULL);
}

Jsonb *deep_document(const DeepNode *root, int64 floor) {
    if (root->kind == DeepKind::Removed || deep_moment(root) < floor)
        return NULL;
    if (root->kind != DeepKind::Members && !removes(root)) {
        JsonbValue value = deep_value(root);
        return JsonbValueToJsonb(&value);
    }
    JsonbParseState *state = NULL;
    return JsonbValueToJsonb(push_node(&state, root, floor));
}

} // namespace sluice
