// See document.hpp.
#include "document.hpp"

namespace sluice {

static void open_arena(Arena *arena, MemoryContext memory) {
    Fault fault;
    if (!Guarded(&fault, [&] { arena->Open(memory); }))
        raise_fault(&fault, "making room for documents");
}

void open_document_reader(DocumentReader *reader, Oid type, MemoryContext memory) {
    reader->type = type;
    reader->detoasted = AllocSetContextCreate(memory, "sluice document", ALLOCSET_DEFAULT_SIZES);
    if (type != JSONBOID)
        open_arena(&reader->arena, memory);
}

static const volatile int *interrupt_flag() {
    static_assert(sizeof(InterruptPending) == sizeof(int));
    return reinterpret_cast<const volatile int *>(&InterruptPending);
}

// parse_guarded parses; when an interrupt stops it, the interrupt is served (which usually raises) and it starts again.
static void parse_guarded(const char *text, size_t length, Arena *arena, ParsedText *parsed) {
    for (;;) {
        Fault fault;
        if (!Guarded(&fault, [&] { ParseJson(text, length, arena, interrupt_flag(), parsed); }))
            raise_fault(&fault, "reading a JSON document");
        if (parsed->result != ParseResult::Interrupted)
            return;
        arena->Reset();
        CHECK_FOR_INTERRUPTS();
    }
}

// place_in_characters turns the parser's column, which counts bytes, into one that counts characters, and cuts its message
// where it might have broken a character.
static void place_in_characters(ParsedText *parsed, const char *text, size_t length) {
    const char *line = text, *end = text + length;
    for (size_t i = 1; i < parsed->line && line < end; i++) {
        const char *feed = static_cast<const char *>(memchr(line, '\n', end - line));
        line = feed ? feed + 1 : end;
    }
    const size_t before = Min(parsed->column > 0 ? parsed->column - 1 : 0, static_cast<size_t>(end - line));
    parsed->column = pg_encoding_verifymbstr(PG_UTF8, line, before) == static_cast<int>(before)
                         ? pg_mbstrlen_with_len(line, before) + 1
                         : parsed->column;
    parsed->message[pg_encoding_verifymbstr(PG_UTF8, parsed->message, strlen(parsed->message))] = '\0';
}

void json_syntax_error(ParsedText *parsed, const char *text, size_t length, const char *what) {
    place_in_characters(parsed, text, length);
    ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("%s is no valid JSON", what),
                    errdetail("Line %d, column %d: %s.", static_cast<int>(parsed->line),
                              static_cast<int>(parsed->column), parsed->message)));
    pg_unreachable();
}

ParsedText parse_json_text(const char *text, size_t length, MemoryContext memory) {
    Arena arena;
    ParsedText parsed;
    open_arena(&arena, memory);
    parse_guarded(text, length, &arena, &parsed);
    return parsed;
}

// by_the_server reads text as jsonb: for databases that are not UTF-8, and for numbers beyond what the parser holds.
static Value by_the_server(const char *text, size_t length) {
    Datum document = DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(text, length)));
    return value_of_jsonb(DatumGetJsonbP(document));
}

static Value read_text(DocumentReader *reader, const char *text, size_t length) {
    if (GetDatabaseEncoding() != PG_UTF8)
        return by_the_server(text, length);
    reader->arena.Reset();
    ParsedText parsed;
    parse_guarded(text, length, &reader->arena, &parsed);
    if (parsed.result == ParseResult::Beyond)
        return by_the_server(text, length);
    if (parsed.result == ParseResult::Syntax)
        json_syntax_error(&parsed, text, length, "document");
    return value_of_node(parsed.root);
}

Value read_document(DocumentReader *reader, Datum document) {
    MemoryContextReset(reader->detoasted);
    MemoryContext before = MemoryContextSwitchTo(reader->detoasted);
    Value value;
    if (reader->type == JSONBOID) {
        value = value_of_jsonb(DatumGetJsonbP(document));
    } else {
        text *string = DatumGetTextPP(document);
        value = read_text(reader, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
    }
    MemoryContextSwitchTo(before);
    return value;
}

} // namespace sluice
