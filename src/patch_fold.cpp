// See patch_fold.hpp.
//
// A node stands for one place of the document and what the patches so far make of it. An object stays open: older patches
// may add members, until one of them puts something else in its place, which closes it. A node's object is looked into
// only when an older patch has one at the same place; so what only one patch has costs nothing here.
#include "patch_fold.hpp"

namespace sluice {

enum class PlaceKind : uint8_t {
    Removed,
    Value,   // no object
    Patch,   // an object as one patch has it, nulls included
    Members, // an object of several patches
};

struct PatchNode {
    RBTNode tree; // first: the server's trees ask for it
    JsonbValue key;
    JsonbValue value; // Value, Patch
    RBTree *members;  // Members
    PlaceKind kind;
    bool closed;
};

static const PatchNode *node_of(const RBTNode *tree) {
    return static_cast<const PatchNode *>(static_cast<const void *>(tree));
}

static int nodes_order(const RBTNode *left, const RBTNode *right, void *) {
    return keys_order(&node_of(left)->key, &node_of(right)->key);
}

static void keep_first(RBTNode *, const RBTNode *, void *) {}

static RBTNode *allocate_node(void *) { return static_cast<RBTNode *>(palloc0(sizeof(PatchNode))); }

static void fill_node(PatchNode *node, const JsonbValue *value, bool null_removes) {
    node->value = *value;
    node->kind = is_object(value)                                  ? PlaceKind::Patch
                 : null_removes && value->type == jbvType::jbvNull ? PlaceKind::Removed
                                                                   : PlaceKind::Value;
    node->closed = node->kind != PlaceKind::Patch;
}

static bool fold_value(PatchNode *node, const JsonbValue *older);

static bool fold_member(PatchNode *object, const Members *older) {
    PatchNode probe{};
    bool is_new;
    probe.key = older->key;
    fill_node(&probe, &older->value, true);
    PatchNode *member = const_cast<PatchNode *>(node_of(rbt_insert(object->members, &probe.tree, &is_new)));
    return is_new || fold_value(member, &older->value);
}

static bool fold_members(PatchNode *object, const JsonbValue *older) {
    bool counts = false;
    Members members = members_of(older);
    while (next_member(&members)) {
        CHECK_FOR_INTERRUPTS();
        counts |= fold_member(object, &members);
    }
    return counts;
}

// look_into makes nodes of the members of a patch's object.
static void look_into(PatchNode *node) {
    node->members = rbt_create(sizeof(PatchNode), nodes_order, keep_first, allocate_node, NULL, NULL);
    node->kind = PlaceKind::Members;
    (void)fold_members(node, &node->value);
}

static bool fold_value(PatchNode *node, const JsonbValue *older) {
    check_stack_depth();
    if (node->closed)
        return false;
    if (!is_object(older))
        return node->closed = true;
    if (node->kind == PlaceKind::Patch)
        look_into(node);
    return fold_members(node, older);
}

bool fold_older(PatchFold *fold, Jsonb *patch) {
    JsonbValue value;
    JsonbToJsonbValue(patch, &value);
    if (fold->root)
        return fold_value(fold->root, &value);
    fold->root = static_cast<PatchNode *>(palloc0(sizeof(PatchNode)));
    fill_node(fold->root, &value, false);
    return true;
}

static JsonbValue *push_node(JsonbParseState **to, PatchNode *node);

static void push_members(JsonbParseState **to, RBTree *members) {
    RBTreeIterator walk;
    rbt_begin_iterate(members, LeftRightWalk, &walk);
    for (RBTNode *next; (next = rbt_iterate(&walk));) {
        PatchNode *member = const_cast<PatchNode *>(node_of(next));
        CHECK_FOR_INTERRUPTS();
        if (member->kind == PlaceKind::Removed)
            continue;
        pushJsonbValue(to, WJB_KEY, &member->key);
        push_node(to, member);
    }
}

static JsonbValue *push_node(JsonbParseState **to, PatchNode *node) {
    check_stack_depth();
    if (node->kind == PlaceKind::Value)
        return pushJsonbValue(to, WJB_VALUE, &node->value);
    if (node->kind == PlaceKind::Patch)
        return push_merged(to, NULL, &node->value);
    pushJsonbValue(to, WJB_BEGIN_OBJECT, NULL);
    push_members(to, node->members);
    return pushJsonbValue(to, WJB_END_OBJECT, NULL);
}

Jsonb *folded_document(const PatchFold *fold) {
    if (!fold->root)
        return NULL;
    if (fold->root->kind == PlaceKind::Value)
        return JsonbValueToJsonb(&fold->root->value);
    JsonbParseState *state = NULL;
    return JsonbValueToJsonb(push_node(&state, fold->root));
}

} // namespace sluice
