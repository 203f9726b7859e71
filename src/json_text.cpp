// See json_text.hpp. No header of the server is included here: everything below may throw.
//
// The SAX events fill a stack of members; when an object or array ends, its slice of the stack moves into the arena as
// one block. So a document costs one copy of its strings and one of its nodes, and no destructor runs over it.
// The number type is long double only to widen the range that the parser accepts; its value is never used.
#include "json_text.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using Json = nlohmann::basic_json<std::map, std::vector, std::string, bool, std::int64_t, std::uint64_t, long double>;

bool KeyLess(const Member &left, const Member &right) {
    if (left.key_length != right.key_length)
        return left.key_length < right.key_length;
    return std::memcmp(left.key, right.key, left.key_length) < 0;
}

bool SameKey(const Member &left, const Member &right) {
    return left.key_length == right.key_length && std::memcmp(left.key, right.key, left.key_length) == 0;
}

class TreeBuilder final : public nlohmann::json_sax<Json> {
public:
    TreeBuilder(Arena *arena, const volatile int *stop, ParsedText *parsed)
        : arena_(arena), stop_(stop), parsed_(parsed) {
        stack_.reserve(128);
        open_.reserve(16);
    }

    bool null() override { return Scalar(NodeKind::Null, 0); }
    bool boolean(bool value) override { return Scalar(value ? NodeKind::True : NodeKind::False, 0); }
    bool number_integer(number_integer_t value) override { return Scalar(NodeKind::Integer, value); }

    bool number_unsigned(number_unsigned_t value) override {
        if (value <= static_cast<number_unsigned_t>(INT64_MAX))
            return Scalar(NodeKind::Integer, static_cast<int64_t>(value));
        return Text(NodeKind::Number, std::to_string(value));
    }

    bool number_float(number_float_t, const string_t &text) override { return Text(NodeKind::Number, text); }
    bool string(string_t &value) override { return Text(NodeKind::String, value); }
    bool binary(binary_t &) override { return false; } // not part of JSON text

    bool key(string_t &key) override {
        Member member{};
        member.key = Copy(key);
        member.key_length = static_cast<uint32_t>(key.size());
        stack_.push_back(member);
        keyed_ = true;
        return true;
    }

    bool start_object(std::size_t) override { return Open(); }
    bool start_array(std::size_t) override { return Open(); }

    bool end_object() override {
        TreeNode node{};
        node.kind = NodeKind::Object;
        Member *from = stack_.data() + open_.back() + 1;
        size_t count = stack_.size() - open_.back() - 1;
        count = DropEarlierDuplicates(from, count);
        const bool indexed = count > linear_members;
        node.length = static_cast<uint32_t>(count);
        node.members =
            static_cast<Member *>(arena_->Allocate(count * sizeof(Member) + (indexed ? count * sizeof(uint32_t) : 0)));
        std::copy(from, from + count, node.members);
        if (indexed)
            Index(node);
        return Close(node);
    }

    bool end_array() override {
        TreeNode node{};
        node.kind = NodeKind::Array;
        const Member *from = stack_.data() + open_.back() + 1;
        const size_t count = stack_.size() - open_.back() - 1;
        node.length = static_cast<uint32_t>(count);
        node.items = arena_->Make<TreeNode>(count);
        for (size_t i = 0; i < count; i++)
            node.items[i] = from[i].value;
        return Close(node);
    }

    bool parse_error(std::size_t, const std::string &, const nlohmann::detail::exception &error) override {
        if (error.id == 406) { // out_of_range: a number too large even for the wide type
            parsed_->result = ParseResult::Beyond;
            return false;
        }
        parsed_->result = ParseResult::Syntax;
        // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error while ..." -> the last part
        const char *what = error.what();
        const char *place = std::strstr(what, "at line ");
        unsigned long line = 0, column = 0;
        if (place && std::sscanf(place, "at line %lu, column %lu", &line, &column) == 2) {
            const char *colon = std::strchr(place, ':');
            if (colon)
                what = colon + 2;
        }
        parsed_->line = line;
        parsed_->column = column;
        const size_t length = std::min(std::strlen(what), sizeof(parsed_->message) - 1);
        std::memcpy(parsed_->message, what, length);
        parsed_->message[length] = '\0';
        return false;
    }

private:
    const char *Copy(const std::string &text) {
        char *copy = static_cast<char *>(arena_->Allocate(text.size()));
        std::memcpy(copy, text.data(), text.size());
        return copy;
    }

    bool Scalar(NodeKind kind, int64_t integer) {
        TreeNode node{};
        node.kind = kind;
        node.integer = integer;
        return Put(node);
    }

    bool Text(NodeKind kind, const std::string &text) {
        TreeNode node{};
        node.kind = kind;
        node.text = Copy(text);
        node.length = static_cast<uint32_t>(text.size());
        return Put(node);
    }

    // Put gives a finished value to the key before it, or makes it the next item.
    bool Put(const TreeNode &node) {
        if (keyed_) {
            stack_.back().value = node;
            keyed_ = false;
        } else {
            Member item{};
            item.value = node;
            stack_.push_back(item);
        }
        if (open_.empty()) {
            parsed_->root = arena_->Make<TreeNode>();
            *parsed_->root = node;
        }
        if ((++events_ & 1023) == 0 && *stop_) {
            parsed_->result = ParseResult::Interrupted;
            return false;
        }
        return true;
    }

    // Open remembers where a container's members start: behind the entry that will hold the container itself.
    bool Open() {
        if (!keyed_)
            stack_.push_back(Member{});
        keyed_ = false;
        open_.push_back(stack_.size() - 1);
        return true;
    }

    bool Close(const TreeNode &node) {
        const size_t at = open_.back();
        open_.pop_back();
        stack_.resize(at + 1);
        keyed_ = true; // Put fills the entry that Open left
        return Put(node);
    }

    size_t DropEarlierDuplicates(Member *members, size_t count) {
        if (count <= linear_members) {
            for (size_t i = 0; i < count; i++)
                for (size_t j = i + 1; j < count; j++)
                    if (SameKey(members[i], members[j])) {
                        NoteDuplicate(members[i]);
                        std::move(members + i + 1, members + count, members + i);
                        count--;
                        i--;
                        break;
                    }
            return count;
        }
        order_.resize(count);
        for (size_t i = 0; i < count; i++)
            order_[i] = static_cast<uint32_t>(i);
        std::stable_sort(order_.begin(), order_.end(),
                         [members](uint32_t a, uint32_t b) { return KeyLess(members[a], members[b]); });
        for (size_t i = 0; i + 1 < count; i++)
            if (SameKey(members[order_[i]], members[order_[i + 1]])) {
                NoteDuplicate(members[order_[i]]);
                members[order_[i]].key = nullptr; // marks the earlier one; the sort was stable
            }
        Member *end =
            std::remove_if(members, members + count, [](const Member &member) { return member.key == nullptr; });
        return static_cast<size_t>(end - members);
    }

    // NoteDuplicate writes the JSON pointer of a key, from the containers that are open around it.
    void NoteDuplicate(const Member &member) {
        if (parsed_->duplicate)
            return;
        std::string pointer;
        for (size_t i = 0; i < open_.size(); i++) {
            if (stack_[open_[i]].key)
                AppendToPointer(&pointer, stack_[open_[i]]);
            else if (i > 0) // an item of the array around it
                pointer.append("/" + std::to_string(open_[i] - open_[i - 1] - 1));
        }
        AppendToPointer(&pointer, member);
        pointer.push_back('\0');
        parsed_->duplicate = Copy(pointer);
    }

    static void AppendToPointer(std::string *pointer, const Member &member) {
        pointer->push_back('/');
        for (uint32_t i = 0; i < member.key_length; i++) {
            if (member.key[i] == '~' || member.key[i] == '/')
                pointer->append(member.key[i] == '~' ? "~0" : "~1");
            else
                pointer->push_back(member.key[i]);
        }
    }

    static void Index(TreeNode &object) {
        auto *order = const_cast<uint32_t *>(MemberOrder(&object));
        for (uint32_t i = 0; i < object.length; i++)
            order[i] = i;
        const Member *members = object.members;
        std::sort(order, order + object.length,
                  [members](uint32_t a, uint32_t b) { return KeyLess(members[a], members[b]); });
    }

    Arena *arena_;
    const volatile int *stop_;
    ParsedText *parsed_;
    std::vector<Member> stack_;
    std::vector<size_t> open_;
    std::vector<uint32_t> order_;
    bool keyed_ = false;
    uint32_t events_ = 0;
};

} // namespace

void ParseJson(const char *text, size_t length, Arena *arena, const volatile int *stop, ParsedText *parsed) {
    ThrowTestFault();
    parsed->result = ParseResult::Done;
    parsed->root = nullptr;
    parsed->line = parsed->column = 0;
    parsed->message[0] = '\0';
    parsed->duplicate = nullptr;
    TreeBuilder builder(arena, stop, parsed);
    Json::sax_parse(text, text + length, &builder);
}

} // namespace sluice
