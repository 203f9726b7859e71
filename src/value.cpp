// See value.hpp. The layout of a jsonb container is documented in the server's jsonb.h: an array of entries (of an
// object first all keys, then all values), each with its length or, every 32nd, its end offset.
#include "value.hpp"

namespace sluice {

Value absent_value() {
    Value value{};
    value.kind = ValueKind::Absent;
    return value;
}

static char *container_data(JsonbContainer *container) {
    const uint32 entries = JsonContainerSize(container) * (JsonContainerIsObject(container) ? 2 : 1);
    return reinterpret_cast<char *>(&container->children[entries]);
}

static Value container_value(JsonbContainer *container, uint32 length) {
    Value value{};
    value.kind = JsonContainerIsObject(container) ? ValueKind::Object : ValueKind::Array;
    value.container = container;
    value.length = length;
    return value;
}

// entry_value looks at entry `index` of a container, whose data starts at `offset`.
static Value entry_value(JsonbContainer *container, uint32 index, uint32 offset) {
    const JEntry entry = container->children[index];
    char *data = container_data(container);
    Value value{};
    if (JBE_ISSTRING(entry)) {
        value.kind = ValueKind::String;
        value.text = data + offset;
        value.length = getJsonbLength(container, index);
    } else if (JBE_ISNUMERIC(entry)) {
        value.kind = ValueKind::Number;
        value.form = NumberForm::Exact;
        value.exact = reinterpret_cast<Numeric>(data + INTALIGN(offset));
    } else if (JBE_ISNULL(entry)) {
        value.kind = ValueKind::Null;
    } else if (JBE_ISBOOL(entry)) {
        value.kind = ValueKind::Bool;
        value.boolean = JBE_ISBOOL_TRUE(entry);
    } else {
        value = container_value(reinterpret_cast<JsonbContainer *>(data + INTALIGN(offset)),
                                getJsonbLength(container, index) - (INTALIGN(offset) - offset));
    }
    return value;
}

Value value_of_jsonb(Jsonb *document) {
    if (JB_ROOT_IS_SCALAR(document))
        return entry_value(&document->root, 0, 0);
    return container_value(&document->root, VARSIZE(document) - VARHDRSZ);
}

Value value_of_node(const TreeNode *node) {
    Value value{};
    value.length = node->length;
    switch (node->kind) {
    case NodeKind::Null:
        value.kind = ValueKind::Null;
        break;
    case NodeKind::False:
    case NodeKind::True:
        value.kind = ValueKind::Bool;
        value.boolean = node->kind == NodeKind::True;
        break;
    case NodeKind::Integer:
        value.kind = ValueKind::Number;
        value.form = NumberForm::Integer;
        value.integer = node->integer;
        break;
    case NodeKind::Number:
        value.kind = ValueKind::Number;
        value.form = NumberForm::Text;
        value.text = node->text;
        break;
    case NodeKind::String:
        value.kind = ValueKind::String;
        value.text = node->text;
        break;
    case NodeKind::Array:
    case NodeKind::Object:
        value.kind = node->kind == NodeKind::Array ? ValueKind::Array : ValueKind::Object;
        value.in_tree = true;
        value.node = node;
        break;
    }
    return value;
}

uint32 value_count(const Value &value) {
    return value.in_tree ? value.node->length : JsonContainerSize(value.container);
}

static int compare_keys(const char *left, uint32 left_length, const char *right, uint32 right_length) {
    if (left_length != right_length)
        return left_length < right_length ? -1 : 1;
    return memcmp(left, right, left_length);
}

static Value node_member(const TreeNode *object, const char *key, uint32 length) {
    if (object->length <= linear_members) {
        for (uint32 i = 0; i < object->length; i++) {
            const Member &member = object->members[i];
            if (member.key_length == length && memcmp(member.key, key, length) == 0)
                return value_of_node(&member.value);
        }
        return absent_value();
    }
    const uint32_t *order = MemberOrder(object);
    uint32 low = 0, high = object->length;
    while (low < high) {
        const uint32 middle = (low + high) / 2;
        const Member &member = object->members[order[middle]];
        const int side = compare_keys(member.key, member.key_length, key, length);
        if (side == 0)
            return value_of_node(&member.value);
        if (side < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return absent_value();
}

// container_member finds a key among the sorted keys of a jsonb object. Small objects are searched from the front, since
// the offset of an entry is the sum of the lengths before it.
static Value container_member(JsonbContainer *object, const char *key, uint32 length) {
    const uint32 count = JsonContainerSize(object);
    const char *data = container_data(object);
    constexpr uint32 from_the_front = 12;
    if (count <= from_the_front) {
        uint32 offset = 0;
        for (uint32 i = 0; i < count; i++) {
            const JEntry entry = object->children[i];
            const uint32 start = offset;
            JBE_ADVANCE_OFFSET(offset, entry);
            const uint32 key_length = offset - start;
            if (key_length < length)
                continue;
            if (key_length > length)
                return absent_value();
            const int side = memcmp(data + start, key, length);
            if (side == 0)
                return entry_value(object, i + count, getJsonbOffset(object, i + count));
            if (side > 0)
                return absent_value();
        }
        return absent_value();
    }
    uint32 low = 0, high = count;
    while (low < high) {
        const uint32 middle = (low + high) / 2;
        const int side =
            compare_keys(data + getJsonbOffset(object, middle), getJsonbLength(object, middle), key, length);
        if (side == 0)
            return entry_value(object, middle + count, getJsonbOffset(object, middle + count));
        if (side < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return absent_value();
}

Value value_member(const Value &object, const char *key, uint32 length) {
    return object.in_tree ? node_member(object.node, key, length) : container_member(object.container, key, length);
}

Value value_item(const Value &array, int64 index) {
    if (index < 0 || index >= value_count(array))
        return absent_value();
    if (array.in_tree)
        return value_of_node(&array.node->items[index]);
    return entry_value(array.container, index, getJsonbOffset(array.container, index));
}

Walk walk_begin(const Value &of) {
    Walk walk{};
    walk.of = of;
    walk.count = value_count(of);
    if (of.kind == ValueKind::Object && !of.in_tree)
        walk.value_offset = getJsonbOffset(of.container, walk.count);
    return walk;
}

bool walk_next(Walk *walk, Value *value) {
    if (walk->next >= walk->count)
        return false;
    const uint32 at = walk->next++;
    if (walk->of.in_tree) {
        if (walk->of.kind == ValueKind::Array) {
            *value = value_of_node(&walk->of.node->items[at]);
            return true;
        }
        const Member &member = walk->of.node->members[at];
        walk->key = member.key;
        walk->key_length = member.key_length;
        *value = value_of_node(&member.value);
        return true;
    }
    JsonbContainer *container = walk->of.container;
    uint32 entry = at;
    if (walk->of.kind == ValueKind::Object) {
        walk->key = container_data(container) + walk->key_offset;
        const uint32 start = walk->key_offset;
        JBE_ADVANCE_OFFSET(walk->key_offset, container->children[at]);
        walk->key_length = walk->key_offset - start;
        entry += walk->count;
    }
    *value = entry_value(container, entry, walk->value_offset);
    JBE_ADVANCE_OFFSET(walk->value_offset, container->children[entry]);
    return true;
}

const char *kind_name(const Value &value) {
    switch (value.kind) {
    case ValueKind::Absent:
        return "nothing";
    case ValueKind::Null:
        return "null";
    case ValueKind::Bool:
        return "a boolean";
    case ValueKind::Number:
        return "a number";
    case ValueKind::String:
        return "a string";
    case ValueKind::Array:
        return "an array";
    case ValueKind::Object:
        return "an object";
    }
    pg_unreachable();
}

Numeric value_numeric(const Value &number) {
    switch (number.form) {
    case NumberForm::Exact:
        return number.exact;
    case NumberForm::Integer:
        return int64_to_numeric(number.integer);
    case NumberForm::Text:
        return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(pnstrdup(number.text, number.length)),
                                                   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
    }
    pg_unreachable();
}

// no_nul refuses what PostgreSQL's text cannot hold.
static void no_nul(const char *text, uint32 length) {
    if (memchr(text, '\0', length))
        ereport(ERROR, (errcode(ERRCODE_UNTRANSLATABLE_CHARACTER), errmsg("unsupported Unicode escape sequence"),
                        errdetail("\\u0000 cannot be converted to text.")));
}

static void append_string_text(StringInfo to, const char *text, uint32 length) {
    no_nul(text, length);
    escape_json(to, pnstrdup(text, length));
}

static void append_scalar_text(StringInfo to, const Value &value) {
    switch (value.kind) {
    case ValueKind::Bool:
        appendStringInfoString(to, value.boolean ? "true" : "false");
        break;
    case ValueKind::Number:
        appendStringInfoString(
            to, DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value_numeric(value)))));
        break;
    case ValueKind::String:
        append_string_text(to, value.text, value.length);
        break;
    default:
        appendStringInfoString(to, "null");
    }
}

// append_value_text writes jsonb as the server writes it, and a tree in the order of its document.
void append_value_text(StringInfo to, const Value &value) {
    if (value.kind != ValueKind::Array && value.kind != ValueKind::Object) {
        append_scalar_text(to, value);
        return;
    }
    if (!value.in_tree) {
        JsonbToCString(to, value.container, value.length);
        return;
    }
    check_stack_depth();
    const bool array = value.kind == ValueKind::Array;
    appendStringInfoChar(to, array ? '[' : '{');
    Walk walk = walk_begin(value);
    Value member;
    for (bool first = true; walk_next(&walk, &member); first = false) {
        if (!first)
            appendStringInfoString(to, ", ");
        if (!array) {
            append_string_text(to, walk.key, walk.key_length);
            appendStringInfoString(to, ": ");
        }
        append_value_text(to, member);
    }
    appendStringInfoChar(to, array ? ']' : '}');
}

const char *value_text(const Value &value) {
    StringInfoData text;
    initStringInfo(&text);
    append_value_text(&text, value);
    return text.data;
}

static JsonbValue scalar_jsonb(const Value &value) {
    JsonbValue result;
    switch (value.kind) {
    case ValueKind::Bool:
        result.type = jbvType::jbvBool;
        result.val.boolean = value.boolean;
        break;
    case ValueKind::Number:
        result.type = jbvType::jbvNumeric;
        result.val.numeric = value_numeric(value);
        break;
    case ValueKind::String:
        no_nul(value.text, value.length);
        result.type = jbvType::jbvString;
        result.val.string.val = const_cast<char *>(value.text);
        result.val.string.len = value.length;
        break;
    default:
        result.type = jbvType::jbvNull;
    }
    return result;
}

static JsonbValue *push_value(JsonbParseState **state, const Value &value, bool member) {
    if (value.kind != ValueKind::Array && value.kind != ValueKind::Object) {
        JsonbValue scalar = scalar_jsonb(value);
        return pushJsonbValue(state, member ? WJB_VALUE : WJB_ELEM, &scalar);
    }
    check_stack_depth();
    const bool array = value.kind == ValueKind::Array;
    pushJsonbValue(state, array ? WJB_BEGIN_ARRAY : WJB_BEGIN_OBJECT, NULL);
    Walk walk = walk_begin(value);
    Value inner;
    while (walk_next(&walk, &inner)) {
        if (!array) {
            no_nul(walk.key, walk.key_length);
            JsonbValue key;
            key.type = jbvType::jbvString;
            key.val.string.val = const_cast<char *>(walk.key);
            key.val.string.len = walk.key_length;
            pushJsonbValue(state, WJB_KEY, &key);
        }
        push_value(state, inner, !array);
    }
    return pushJsonbValue(state, array ? WJB_END_ARRAY : WJB_END_OBJECT, NULL);
}

Jsonb *value_jsonb(const Value &value) {
    if (value.kind != ValueKind::Array && value.kind != ValueKind::Object) {
        JsonbValue scalar = scalar_jsonb(value);
        return JsonbValueToJsonb(&scalar);
    }
    if (!value.in_tree) {
        Jsonb *copy = static_cast<Jsonb *>(palloc(VARHDRSZ + value.length));
        SET_VARSIZE(copy, VARHDRSZ + value.length);
        memcpy(&copy->root, value.container, value.length);
        return copy;
    }
    JsonbParseState *state = NULL;
    return JsonbValueToJsonb(push_value(&state, value, false));
}

bool values_equal(const Value &left, const Value &right) {
    if (left.kind != right.kind)
        return false;
    switch (left.kind) {
    case ValueKind::Null:
        return true;
    case ValueKind::Bool:
        return left.boolean == right.boolean;
    case ValueKind::String:
        return left.length == right.length && memcmp(left.text, right.text, left.length) == 0;
    case ValueKind::Number:
        if (left.form == NumberForm::Integer && right.form == NumberForm::Integer)
            return left.integer == right.integer;
        return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(value_numeric(left)),
                                                NumericGetDatum(value_numeric(right))));
    default:
        return false;
    }
}

void append_json_member(StringInfo json, const char *name, const char *value) {
    if (!value)
        return;
    appendStringInfoString(json, json->len > 1 ? ", " : "");
    escape_json(json, name);
    appendStringInfoString(json, ": ");
    escape_json(json, value);
}

} // namespace sluice
