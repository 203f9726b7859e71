// See lineage_scope.hpp.
#include "lineage_scope.hpp"

namespace sluice {

// ---- which run it is

static LineageScope *scopes = NULL;

void enter_lineage(LineageScope *scope) {
    scope->outer = scopes;
    scope->memory = AllocSetContextCreate(CurrentMemoryContext, "sluice source rows", ALLOCSET_DEFAULT_SIZES);
    scopes = scope;
}

void leave_lineage(const LineageScope *scope) { scopes = scope->outer; }

const LineageScope *lineage_scope(int32 pipeline) {
    const LineageScope *scope = scopes;
    while (scope && scope->pipeline != pipeline)
        scope = scope->outer;
    return scope;
}

// ---- source rows

struct PlaceKey {
    Oid relation;
    ItemPointerData tid;
    uint16 unused;
};

struct PlacedRow {
    PlaceKey key;
    const char *place;
};

void start_lineage_batch() {
    MemoryContextReset(scopes->memory);
    scopes->placed = NULL;
    scopes->documents = NULL;
    scopes->room = 0;
    scopes->place = NULL;
}

bool notes_source_rows() { return scopes && scopes->notes; }

void place_all(const char *place) {
    if (notes_source_rows())
        scopes->place = MemoryContextStrdup(scopes->memory, place);
}

void note_document(int64 number, const char *place) {
    if (number >= scopes->room) {
        const int64 room = Max(number * 2, static_cast<int64>(1024));
        const char **documents =
            static_cast<const char **>(MemoryContextAllocHuge(scopes->memory, sizeof(char *) * room));
        if (scopes->room > 0)
            memcpy(documents, scopes->documents, sizeof(char *) * scopes->room);
        scopes->documents = documents;
        scopes->room = room;
    }
    scopes->documents[number] = MemoryContextStrdup(scopes->memory, place);
}

static HTAB *make_places() {
    HASHCTL control{};
    control.keysize = sizeof(PlaceKey);
    control.entrysize = sizeof(PlacedRow);
    control.hcxt = scopes->memory;
    return hash_create("sluice source rows", 4096, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void place_row(Oid relation, const ItemPointerData *tid, int64 document) {
    if (document < 1 || document >= scopes->room)
        return;
    if (!scopes->placed)
        scopes->placed = make_places();
    const PlaceKey key{relation, *tid, 0};
    static_cast<PlacedRow *>(hash_search(scopes->placed, &key, HASH_ENTER, NULL))->place = scopes->documents[document];
}

const char *place_of(const LineageScope *scope, Oid relation, const ItemPointerData *tid) {
    if (!scope || scope->place || !scope->placed)
        return scope ? scope->place : NULL;
    const PlaceKey key{relation, *tid, 0};
    const PlacedRow *row = static_cast<const PlacedRow *>(hash_search(scope->placed, &key, HASH_FIND, NULL));
    return row ? row->place : NULL;
}

} // namespace sluice
