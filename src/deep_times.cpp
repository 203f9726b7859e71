// See deep_times.hpp.
//
//   node     flags, then as they say: time, floor, rest, members
//   time     when the node was set, or the latest patch that had an object there
//   floor    of an object: when it was last something else
//   rest     of an object: the time of members that are not named
//   members  their count; of each the length of its name, the name, its node
//
// A time is how much older it is than the latest patch that had the object around it (of floor and rest: than `time`), as a
// number of seven bits a byte. An object's time is never older than that of what is in it.
#include "deep_times.hpp"

#include "merge_patch.hpp"
#include "packed.hpp"

namespace sluice {

enum : uint8 {
    is_object_flag = 1,
    same_time_flag = 2,
    floor_flag = 4,
    same_rest_flag = 8,
    rest_flag = 16,
    members_flag = 32,
    removed_flag = 64,
};

// ---- numbers

static void append_number(StringInfo to, uint64 number) {
    char packed[most_packed];
    appendBinaryStringInfo(to, packed, static_cast<int>(pack_number(packed, number) - packed));
}

static void append_age(StringInfo to, int64 reference, int64 moment) {
    append_number(to, static_cast<uint64>(reference) - static_cast<uint64>(moment));
}

struct Reader {
    const char *at, *end;
};

[[noreturn]] static void damaged() {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("the times of a deep column are damaged")));
    pg_unreachable();
}

static uint8 take_byte(Reader *reader) {
    if (reader->at >= reader->end)
        damaged();
    return static_cast<uint8>(*reader->at++);
}

static uint64 take_number(Reader *reader) {
    uint64 number;
    const char *next = unpack_number(reader->at, reader->end, &number);
    if (!next)
        damaged();
    reader->at = next;
    return number;
}

static const char *take_bytes(Reader *reader, uint64 length) {
    const char *bytes = reader->at;
    if (length > static_cast<uint64>(reader->end - reader->at))
        damaged();
    reader->at += length;
    return bytes;
}

static int64 take_age(Reader *reader, int64 reference) {
    return static_cast<int64>(static_cast<uint64>(reference) - take_number(reader));
}

// ---- what is plain

// is_gone: a node that is over, or was removed by what set the place around it anyway.
static bool is_gone(const DeepNode *node, int64 floor) {
    return deep_moment(node) < floor || (node->kind == DeepKind::Removed && node->set <= floor);
}

// plain_since is the one time that all of a node has, and is to be had from its value alone; unknown when there is none such.
static int64 plain_since(const DeepNode *node, int64 floor) {
    check_stack_depth();
    if (node->kind == DeepKind::Removed || (is_deep_object(node) && node->set > floor) ||
        (node->kind == DeepKind::Patch && removes(node)))
        return unknown_moment;
    if (node->kind == DeepKind::Members)
        for (uint32 i = 0; i < node->count; i++)
            if (!is_gone(node->members[i], floor) && plain_since(node->members[i], floor) != node->object)
                return unknown_moment;
    return deep_moment(node);
}

static int moments_order(const void *left, const void *right) {
    const int64 a = *static_cast<const int64 *>(left), b = *static_cast<const int64 *>(right);
    return a < b ? -1 : a > b;
}

// rest_of chooses the time of members that are not named: that which most of those have that are plain.
static int64 rest_of(const int64 *plain, uint32 count) {
    int64 *sorted = static_cast<int64 *>(palloc(sizeof(int64) * (count + 1)));
    uint32 best = 0, run = 0;
    int64 rest = unknown_moment;
    memcpy(sorted, plain, sizeof(int64) * count);
    qsort(sorted, count, sizeof(int64), moments_order);
    for (uint32 i = 0; i < count; i++) {
        run = i > 0 && sorted[i] == sorted[i - 1] ? run + 1 : 1;
        if (sorted[i] == unknown_moment || run < best)
            continue;
        best = run;
        rest = sorted[i];
    }
    pfree(sorted);
    return rest;
}

// ---- writing

static void write_node(StringInfo to, const DeepNode *node, int64 floor, int64 reference);

static void write_members(StringInfo to, const DeepNode *node, const int64 *plain, int64 rest, int64 floor) {
    for (uint32 i = 0; i < node->count; i++) {
        const DeepNode *member = node->members[i];
        if (is_gone(member, floor) || (plain[i] != unknown_moment && plain[i] == rest))
            continue;
        append_number(to, member->length);
        appendBinaryStringInfo(to, member->name, member->length);
        write_node(to, member, floor, node->object);
    }
}

static void write_object(StringInfo to, const DeepNode *node, int64 floor, int64 reference) {
    const bool has_floor = node->set > floor;
    floor = Max(floor, node->set);
    int64 *plain =
        static_cast<int64 *>(MemoryContextAllocHuge(CurrentMemoryContext, sizeof(int64) * (node->count + 1)));
    uint32 alive = 0, unnamed = 0;
    for (uint32 i = 0; i < node->count; i++) {
        const bool is_alive = !is_gone(node->members[i], floor);
        plain[i] = is_alive ? plain_since(node->members[i], floor) : unknown_moment;
        alive += is_alive;
    }
    const int64 rest = rest_of(plain, node->count);
    for (uint32 i = 0; i < node->count; i++)
        unnamed += plain[i] != unknown_moment && plain[i] == rest;
    const uint32 named = alive - unnamed;
    const bool same_rest = rest == node->object, has_rest = rest != unknown_moment && !same_rest;
    appendStringInfoChar(to, static_cast<char>(is_object_flag | (node->object == reference ? same_time_flag : 0) |
                                               (has_floor ? floor_flag : 0) | (same_rest ? same_rest_flag : 0) |
                                               (has_rest ? rest_flag : 0) | (named > 0 ? members_flag : 0)));
    if (node->object != reference)
        append_age(to, reference, node->object);
    if (has_floor)
        append_age(to, node->object, node->set);
    if (has_rest)
        append_age(to, node->object, rest);
    if (named > 0) {
        append_number(to, named);
        write_members(to, node, plain, rest, floor);
    }
    pfree(plain);
}

static void write_node(StringInfo to, const DeepNode *node, int64 floor, int64 reference) {
    check_stack_depth();
    if (!is_deep_object(node)) {
        appendStringInfoChar(to, static_cast<char>((node->set == reference ? same_time_flag : 0) |
                                                   (node->kind == DeepKind::Removed ? removed_flag : 0)));
        if (node->set != reference)
            append_age(to, reference, node->set);
        return;
    }
    DeepNode seen = *node; // the tree stays as it is
    if (seen.kind != DeepKind::Members)
        look_into(&seen);
    write_object(to, &seen, floor, reference);
}

DeepTimes deep_times(const DeepNode *root, int64 floor) {
    const int64 newest = deep_moment(root);
    if (root->kind == DeepKind::Removed || plain_since(root, floor) == newest)
        return DeepTimes{NULL, 0};
    StringInfoData data;
    initStringInfo(&data);
    write_node(&data, root, floor, newest);
    return DeepTimes{data.data, static_cast<uint32>(data.len)};
}

// ---- reading

static void read_node(Reader *reader, DeepNode *node, const JsonbValue *value, int64 floor, int64 reference);

// What is read of an object.
struct ObjectTimes {
    int64 floor, rest;
    uint64 named;
};

static ObjectTimes read_object_times(Reader *reader, uint8 flags, int64 moment, int64 floor, int64 *set) {
    ObjectTimes times{};
    *set = flags & floor_flag ? take_age(reader, moment) : unknown_moment;
    times.floor = Max(floor, *set);
    times.rest = flags & same_rest_flag ? moment
                 : flags & rest_flag    ? take_age(reader, moment)
                                        : Max(times.floor, oldest_moment);
    times.named = flags & members_flag ? take_number(reader) : 0;
    if (times.named > static_cast<uint64>(reader->end - reader->at))
        damaged();
    return times;
}

static DeepNode *add_member(DeepNode *node, const char *name, uint64 length) {
    DeepNode *member = node->members[node->count++];
    member->name = name;
    member->length = static_cast<uint32>(length);
    return member;
}

// add_rest adds members of the value that are not named, up to a name (NULL: all of them).
static void add_rest(DeepNode *node, Members *members, bool *has_member, const JsonbValue *name, int64 rest) {
    while (*has_member && (!name || keys_order(&members->key, name) < 0)) {
        fill_deep(add_member(node, members->key.val.string.val, members->key.val.string.len), &members->value, rest,
                  false);
        *has_member = next_member(members);
    }
}

// read_members goes through the members of the value and those that are named side by side.
static void read_members(Reader *reader, DeepNode *node, const JsonbValue *value, const ObjectTimes *times) {
    make_members(node, times->named + JsonContainerSize(value->val.binary.data));
    Members members = members_of(value);
    bool has_member = next_member(&members);
    for (uint64 i = 0; i < times->named; i++) {
        JsonbValue name;
        name.type = jbvType::jbvString;
        const uint64 length = take_number(reader);
        name.val.string.val = const_cast<char *>(take_bytes(reader, length));
        name.val.string.len = static_cast<int>(length);
        add_rest(node, &members, &has_member, &name, times->rest);
        const bool stands = has_member && keys_order(&members.key, &name) == 0;
        read_node(reader, add_member(node, name.val.string.val, length), stands ? &members.value : NULL, times->floor,
                  node->object);
        if (stands)
            has_member = next_member(&members);
    }
    add_rest(node, &members, &has_member, NULL, times->rest);
}

// skip_members passes over members that are named, where no object stands any more.
static void skip_members(Reader *reader, const ObjectTimes *times, int64 reference) {
    for (uint64 i = 0; i < times->named; i++) {
        DeepNode *unused = make_deep();
        (void)take_bytes(reader, take_number(reader));
        read_node(reader, unused, NULL, times->floor, reference);
        pfree(unused);
    }
}

static void set_node(DeepNode *node, const JsonbValue *value, int64 moment) {
    if (value)
        fill_deep(node, value, moment, false);
    else
        node->set = moment;
}

static void read_node(Reader *reader, DeepNode *node, const JsonbValue *value, int64 floor, int64 reference) {
    check_stack_depth();
    const uint8 flags = take_byte(reader);
    const int64 moment = flags & same_time_flag ? reference : take_age(reader, reference);
    if (!(flags & is_object_flag)) {
        set_node(node, value, moment);
        return;
    }
    int64 set;
    const ObjectTimes times = read_object_times(reader, flags, moment, floor, &set);
    if (!value || !is_object(value)) {
        set_node(node, value, moment);
        skip_members(reader, &times, moment);
        return;
    }
    node->kind = DeepKind::Members;
    node->set = set;
    node->object = moment;
    read_members(reader, node, value, &times);
}

DeepNode *read_deep(const DeepTimes *times, Jsonb *value, int64 moment, int64 floor) {
    DeepNode *root = make_deep();
    JsonbValue whole;
    if (value)
        JsonbToJsonbValue(value, &whole);
    if (times->length == 0) {
        set_node(root, value ? &whole : NULL, moment);
        return root;
    }
    Reader reader{times->data, times->data + times->length};
    read_node(&reader, root, value ? &whole : NULL, floor, moment);
    return root;
}

static bool node_has_older(Reader *reader, int64 reference, int64 moment) {
    check_stack_depth();
    int64 set = unknown_moment;
    const uint8 flags = take_byte(reader);
    const int64 time = flags & same_time_flag ? reference : take_age(reader, reference);
    if (!(flags & is_object_flag) || time <= moment)
        return !(flags & removed_flag) && time <= moment;
    const ObjectTimes times = read_object_times(reader, flags, time, unknown_moment, &set);
    bool has_older = flags & rest_flag && times.rest <= moment;
    for (uint64 i = 0; i < times.named && !has_older; i++) {
        (void)take_bytes(reader, take_number(reader));
        has_older = node_has_older(reader, time, moment);
    }
    return has_older;
}

bool has_older(const DeepTimes *times, int64 newest, int64 moment) {
    Reader reader{times->data, times->data + times->length};
    return newest <= moment || (times->length > 0 && node_has_older(&reader, newest, moment));
}

// ---- the columns of a state

void pack_deep(StringInfo to, int slot, const DeepTimes *times) {
    if (times->length == 0)
        return;
    append_number(to, slot);
    append_number(to, times->length);
    appendBinaryStringInfo(to, times->data, times->length);
}

DeepTimes unpack_deep(const char *data, Size length, int slot) {
    Reader reader{data, data + length};
    while (reader.at < reader.end) {
        const uint64 found = take_number(&reader), size = take_number(&reader);
        const char *times = take_bytes(&reader, size);
        if (found == static_cast<uint64>(slot))
            return DeepTimes{times, static_cast<uint32>(size)};
    }
    return DeepTimes{NULL, 0};
}

} // namespace sluice
