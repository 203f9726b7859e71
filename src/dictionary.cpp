// See dictionary.hpp. Two things must come together: keys that look like data, and values of one shape.
//
// Keys look like data when they are written as no name of a field would be (1.0.2, cable/usb-c, 2024-01-31), when they
// are languages, when each object has but a few of them and none is in nearly all objects, or when they are hundreds. Keys
// that nearly all objects have are fields, whatever they look like. A wrong guess loses nothing: a dictionary taken for a
// record has a column for each key, a record taken for a dictionary a row for each field.
#include "dictionary.hpp"

namespace sluice {

constexpr uint32 many_keys = 500;    // no record has so many fields of one shape
constexpr uint32 varied_keys = 8;    // fewer are fields that may be absent
constexpr uint32 numbered_keys = 20; // fewer are fields such as line1, line2

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// is_no_field_name looks for what names of fields do not have; a blank is not among it.
static bool is_no_field_name(const ShapeMember *member) {
    uint32 digits = 0;
    for (uint32 i = 0; i < member->length; i++) {
        const char c = member->key[i];
        digits += is_digit(c);
        if (!is_letter(c) && !is_digit(c) && !IS_HIGHBIT_SET(c) && !strchr("_-$ ", c))
            return true;
    }
    return member->length > 0 && (is_digit(member->key[0]) || (member->length >= 16 && digits >= 4));
}

static bool is_numbered(const ShapeMember *member) {
    return member->length > 1 && is_letter(member->key[0]) && is_digit(member->key[member->length - 1]);
}

// is_language knows the languages that are read most and are no English words: en, en-GB, zh_Hans.
static bool is_language(const ShapeMember *member) {
    static const char languages[] = " ar bg cs da de el en es et fa fi fr he hi hr hu it ja ka kk ko lt lv nb nl pl pt "
                                    "ro ru sk sl sr sv th tr uk ur vi zh ";
    if (member->length < 2 || (member->length > 2 && member->key[2] != '-' && member->key[2] != '_'))
        return false;
    const char word[] = {' ', member->key[0], member->key[1], ' ', '\0'};
    return strstr(languages, word) != NULL;
}

struct KeyCounts {
    uint32 keys, no_field_names, numbered, languages, always;
};

static KeyCounts count_keys(const Shape *object) {
    const int64 objects = shape_count(object, ValueKind::Object);
    KeyCounts counts{};
    counts.keys = object->member_count;
    for (uint32 i = 0; i < object->member_count; i++) {
        const ShapeMember *member = &object->members[i];
        const int64 often = shape_total(member->shape) + shape_count(member->shape, ValueKind::Null);
        counts.no_field_names += is_no_field_name(member);
        counts.numbered += is_numbered(member);
        counts.languages += is_language(member);
        counts.always += often * 10 >= objects * 9;
    }
    return counts;
}

static bool are_keys_data(const Shape *object, bool is_item) {
    const int64 objects = shape_count(object, ValueKind::Object);
    const KeyCounts counts = count_keys(object);
    const int64 most = objects * counts.keys; // members, if every object had every key
    if (counts.keys < 2 || (objects >= 3 && object->members_seen * 10 >= most * 9))
        return false;
    if (counts.keys >= many_keys)
        return true;
    if (counts.no_field_names * 2 >= counts.keys && (counts.keys >= 3 || counts.no_field_names == counts.keys))
        return true;
    if (counts.keys >= 3 && counts.languages * 2 > counts.keys)
        return true;
    if (counts.keys >= numbered_keys && counts.numbered * 2 >= counts.keys)
        return true;
    return !is_item && objects >= 3 && counts.keys >= varied_keys && object->members_seen * 2 <= most &&
           counts.always * 10 <= counts.keys;
}

// has_one_kind looks at the kinds of all values, without merging them.
static bool has_one_kind(const Shape *object) {
    ValueKind kind = ValueKind::Null;
    for (uint32 i = 0; i < object->member_count; i++) {
        const Shape *shape = object->members[i].shape;
        const ValueKind own = shape_main_kind(shape);
        if (shape_kinds(shape) > 1 || shape->too_deep)
            return false;
        if (own != ValueKind::Null && kind != ValueKind::Null && own != kind)
            return false;
        if (own != ValueKind::Null)
            kind = own;
    }
    return kind != ValueKind::Null;
}

// share_members tells whether objects that were merged are of one shape: most of them have most of the members.
static bool share_members(const Shape *merged) {
    if (merged->values)
        return true;
    const int64 most = shape_count(merged, ValueKind::Object) * merged->member_count;
    for (uint32 i = 0; i < merged->member_count; i++)
        if (shape_kinds(merged->members[i].shape) > 1)
            return false;
    return merged->members_seen * 2 >= most;
}

static bool is_dictionary(const Shape *object) {
    Shape *values = dictionary_values(object, false);
    if (values && values != object->values)
        free_shape(values);
    return values != NULL;
}

static bool is_one_shape(const Shape *merged) {
    switch (shape_main_kind(merged)) {
    case ValueKind::Array:
        return !merged->items || shape_kinds(merged->items) <= 1;
    case ValueKind::Object:
        return share_members(merged) || is_dictionary(merged);
    default:
        return true;
    }
}

Shape *dictionary_values(const Shape *object, bool is_item) {
    if (object->values)
        return object->values;
    if (!are_keys_data(object, is_item) || !has_one_kind(object))
        return NULL;
    Shape *merged = merged_members(object);
    if (is_one_shape(merged))
        return merged;
    free_shape(merged);
    return NULL;
}

} // namespace sluice
