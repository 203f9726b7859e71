// See merge_patch.hpp. Target and patch are walked side by side, as both have their keys in the same order: the time is
// linear in their sizes. What the patch does not touch is taken over as it is.
#include "merge_patch.hpp"

namespace sluice {

Members members_of(const JsonbValue *object) {
    Members members{};
    members.iterator = JsonbIteratorInit(object->val.binary.data);
    (void)JsonbIteratorNext(&members.iterator, &members.key, true);
    return members;
}

bool next_member(Members *members) {
    if (JsonbIteratorNext(&members->iterator, &members->key, true) != WJB_KEY)
        return false;
    (void)JsonbIteratorNext(&members->iterator, &members->value, true);
    return true;
}

bool is_object(const JsonbValue *value) {
    return value->type == jbvType::jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

int keys_order(const JsonbValue *left, const JsonbValue *right) {
    const int length = left->val.string.len, other = right->val.string.len;
    return length != other ? (length > other) - (length < other)
                           : memcmp(left->val.string.val, right->val.string.val, length);
}

static void push_member(JsonbParseState **to, Members *members) {
    pushJsonbValue(to, WJB_KEY, &members->key);
    pushJsonbValue(to, WJB_VALUE, &members->value);
}

// push_patched writes the member that the patch is at; `target` is its value before, NULL when it is absent.
static void push_patched(JsonbParseState **to, const JsonbValue *target, Members *patch) {
    if (patch->value.type == jbvType::jbvNull)
        return;
    if (!is_object(&patch->value)) {
        push_member(to, patch);
        return;
    }
    pushJsonbValue(to, WJB_KEY, &patch->key);
    push_merged(to, target, &patch->value);
}

// push_without_target writes what a patch makes of nothing: itself, without nulls.
static void push_without_target(JsonbParseState **to, const JsonbValue *patch) {
    Members members = members_of(patch);
    while (next_member(&members))
        push_patched(to, NULL, &members);
}

static void push_side_by_side(JsonbParseState **to, const JsonbValue *target, const JsonbValue *patch) {
    Members before = members_of(target), change = members_of(patch);
    bool has_before = next_member(&before), has_change = next_member(&change);
    while (has_before || has_change) {
        CHECK_FOR_INTERRUPTS();
        const int order = !has_change ? -1 : !has_before ? 1 : keys_order(&before.key, &change.key);
        if (order < 0)
            push_member(to, &before);
        else
            push_patched(to, order == 0 ? &before.value : NULL, &change);
        if (order <= 0)
            has_before = next_member(&before);
        if (order >= 0)
            has_change = next_member(&change);
    }
}

JsonbValue *push_merged(JsonbParseState **to, const JsonbValue *target, const JsonbValue *patch) {
    check_stack_depth();
    pushJsonbValue(to, WJB_BEGIN_OBJECT, NULL);
    if (target && is_object(target))
        push_side_by_side(to, target, patch);
    else
        push_without_target(to, patch);
    return pushJsonbValue(to, WJB_END_OBJECT, NULL);
}

Jsonb *merge_patch(Jsonb *target, Jsonb *patch) {
    JsonbValue before, change;
    JsonbToJsonbValue(patch, &change);
    if (!is_object(&change))
        return patch;
    if (target)
        JsonbToJsonbValue(target, &before);
    JsonbParseState *state = NULL;
    return JsonbValueToJsonb(push_merged(&state, target ? &before : NULL, &change));
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_jsonb_merge_patch);
Datum sluice_jsonb_merge_patch(PG_FUNCTION_ARGS) {
    if (PG_ARGISNULL(1)) { // no patch
        if (PG_ARGISNULL(0))
            PG_RETURN_NULL();
        PG_RETURN_DATUM(PG_GETARG_DATUM(0));
    }
    PG_RETURN_JSONB_P(merge_patch(PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1)));
}

} // extern "C"
