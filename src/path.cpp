// See path.hpp.
#include "path.hpp"

#include "mapping.hpp"

namespace sluice {

[[noreturn]] static void path_error(const char *pointer, const char *text, const char *at, const char *what,
                                    const char *hint) {
    mapping_error(pointer,
                  psprintf("%s at character %d of path \"%s\"", what, pg_mbstrlen_with_len(text, at - text) + 1, text),
                  hint);
}

static bool is_name_character(unsigned char c) {
    return c >= 0x80 || c == '_' || c == '-' || c == '$' || c == '+' || (c >= '0' && c <= '9') ||
           (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// quoted_name reads ."any name"; inside, \" and \\ stand for themselves.
static const char *quoted_name(const char *text, const char *at, const char *pointer, Step *step) {
    StringInfoData name;
    initStringInfo(&name);
    const char *open = at++;
    for (; *at != '"'; at++) {
        if (*at == '\\' && (at[1] == '"' || at[1] == '\\'))
            at++;
        if (*at == '\0')
            path_error(pointer, text, open, "unterminated quoted name", NULL);
        appendStringInfoChar(&name, *at);
    }
    step->kind = StepKind::Key;
    step->key = name.data;
    step->length = name.len;
    return at + 1;
}

static const char *name_step(const char *text, const char *at, const char *pointer, Step *step) {
    if (*at == '*') {
        step->kind = StepKind::EachValue;
        return at + 1;
    }
    if (*at == '"')
        return quoted_name(text, at, pointer, step);
    const char *start = at;
    while (is_name_character(*at))
        at++;
    if (at == start)
        path_error(pointer, text, at, "a name is missing",
                   "Write names with other characters in double quotes: $.\"a b\".");
    step->kind = StepKind::Key;
    step->length = at - start;
    step->key = pnstrdup(start, step->length);
    return at;
}

static const char *bracket_step(const char *text, const char *at, const char *pointer, Step *step) {
    constexpr const char *forms = "Between brackets stands a number from 0, * for every item, or @key.";
    const char *close = strchr(at, ']');
    if (!close)
        path_error(pointer, text, at, "a closing bracket is missing", forms);
    if (close - at == 1 && *at == '*') {
        step->kind = StepKind::EachItem;
    } else if (close - at == 4 && strncmp(at, "@key", 4) == 0) {
        step->kind = StepKind::ItemKey;
    } else {
        step->kind = StepKind::Item;
        if (at == close || close - at > 9)
            path_error(pointer, text, at, "no valid array position", forms);
        for (const char *digit = at; digit < close; digit++) {
            if (*digit < '0' || *digit > '9')
                path_error(pointer, text, digit, "no valid array position", forms);
            step->index = step->index * 10 + (*digit - '0');
        }
    }
    return close + 1;
}

Path parse_path(const char *text, const char *pointer) {
    Path path{};
    path.text = pstrdup(text);
    if (*text != '$' && *text != '@')
        path_error(pointer, text, text, "neither $ nor @",
                   "A path starts with $ (the document) or @ (the item that \"each\" matched).");
    path.from_item = *text == '@';
    path.steps = static_cast<Step *>(palloc0(sizeof(Step) * (strlen(text) + 1)));
    for (const char *at = text + 1; *at;) {
        Step *step = &path.steps[path.step_count++];
        if (*at == '.')
            at = name_step(text, at + 1, pointer, step);
        else if (*at == '[')
            at = bracket_step(text, at + 1, pointer, step);
        else
            path_error(pointer, text, at, "neither . nor [",
                       "Names with other characters are written in double quotes: $.\"a b\".");
    }
    return path;
}

static bool has_step(const Path &path, StepKind one, StepKind other) {
    for (int i = 0; i < path.step_count; i++)
        if (path.steps[i].kind == one || path.steps[i].kind == other)
            return true;
    return false;
}

bool path_has_each(const Path &path) { return has_step(path, StepKind::EachItem, StepKind::EachValue); }
bool path_has_item_key(const Path &path) { return has_step(path, StepKind::ItemKey, StepKind::ItemKey); }

void append_key_step(StringInfo to, const char *key, uint32 length) {
    bool plain = length > 0;
    for (uint32 i = 0; i < length; i++)
        plain = plain && is_name_character(key[i]);
    appendStringInfoChar(to, '.');
    if (plain) {
        appendBinaryStringInfo(to, key, length);
        return;
    }
    appendStringInfoChar(to, '"');
    for (uint32 i = 0; i < length; i++) {
        if (key[i] == '"' || key[i] == '\\')
            appendStringInfoChar(to, '\\');
        if (key[i] != '\0')
            appendStringInfoChar(to, key[i]);
    }
    appendStringInfoChar(to, '"');
}

} // namespace sluice
