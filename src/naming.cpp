// See naming.hpp.
#include "naming.hpp"

namespace sluice {

struct TakenName {
    char name[NAMEDATALEN];
    int last; // number given last to a name that wanted this one
};

NameSet make_name_set() {
    HASHCTL control{};
    control.keysize = NAMEDATALEN;
    control.entrysize = sizeof(TakenName);
    control.hcxt = CurrentMemoryContext;
    return NameSet{hash_create("sluice names", 64, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT)};
}

static TakenName *enter_name(NameSet *names, const char *name) {
    char key[NAMEDATALEN];
    bool found;
    strlcpy(key, name, sizeof(key));
    TakenName *entry = static_cast<TakenName *>(hash_search(names->taken, key, HASH_ENTER, &found));
    if (!found)
        entry->last = 1;
    return entry;
}

void take_name(NameSet *names, const char *name) { (void)enter_name(names, name); }

bool is_name_taken(const NameSet *names, const char *name) {
    return hash_search(names->taken, name, HASH_FIND, NULL) != NULL;
}

static bool stays(unsigned char c) { return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); }

void append_key_name(StringInfo to, const char *key, uint32 length) {
    for (uint32 i = 0; i < length; i++) {
        const char lower = key[i] >= 'A' && key[i] <= 'Z' ? key[i] - 'A' + 'a' : key[i];
        appendStringInfoChar(to, stays(lower) ? lower : '_');
    }
    if (length == 0)
        appendStringInfoChar(to, '_');
}

char *numbered_name(const char *wanted, int number) {
    char ending[16] = "";
    if (number > 1)
        snprintf(ending, sizeof(ending), "_%d", number);
    const int room = NAMEDATALEN - 1 - static_cast<int>(strlen(ending));
    return psprintf("%.*s%s", pg_mbcliplen(wanted, strlen(wanted), room), wanted, ending);
}

char *new_name(NameSet *names, const char *wanted, bool (*is_taken)(void *context, const char *name), void *context) {
    const char *plain = numbered_name(wanted, 1);
    int number = is_name_taken(names, plain) ? enter_name(names, plain)->last + 1 : 1;
    char *name = numbered_name(wanted, number);
    while (is_name_taken(names, name) || (is_taken && is_taken(context, name)))
        name = numbered_name(wanted, ++number);
    enter_name(names, plain)->last = number;
    take_name(names, name);
    return name;
}

bool split_table_name(const char *text, QualifiedName *name) {
    List *parts;
    if (!SplitIdentifierString(pstrdup(text), '.', &parts) || list_length(parts) < 1 || list_length(parts) > 2)
        return false;
    name->schema = list_length(parts) == 2 ? static_cast<const char *>(linitial(parts)) : NULL;
    name->name = static_cast<const char *>(llast(parts));
    return true;
}

const char *quoted_table_name(const QualifiedName *name) {
    return quote_qualified_identifier(name->schema, name->name);
}

} // namespace sluice
