// See chunk.hpp. Two subtransactions, one in the other:
//
//   write     the chunk: opens the writer, writes buffers as they fill, fires the triggers at its end
//     convert   documents into rows in the writer's buffers; it writes nothing, so it costs next to nothing
//
// What is wrong with a document shows in one of three ways:
//   - while it is converted (syntax, types, NOT NULL, CHECK): the inner subtransaction is rolled back, the rows that the
//     document put are forgotten, all others stay. That is the usual case.
//   - while its rows are written (a unique index): the buffers know the document. The chunk is written again without it.
//   - in a trigger that fires at the end (a foreign key): nobody knows. The chunk is written once more, the triggers firing
//     after each document; should that not tell (a trigger for each statement), it is halved until it is one document.
// Since the last two write again what was right, chunks grow smaller as they happen, and larger when they do not.
//
// Where putting a row may run code of users, or writes at once, the first way is not open, and the second is taken.
#include "chunk.hpp"

#include "catalog.hpp"
#include "key.hpp"
#include "names.hpp"
#include "rights.hpp"

namespace sluice {

constexpr Size most_bytes = 8 * 1024 * 1024;
constexpr int fewest_rows_at_once = 16;

// ---- which errors a document can cause

static bool is_class(int code, const char *sqlstate) {
    return ERRCODE_TO_CATEGORY(code) == MAKE_SQLSTATE(sqlstate[0], sqlstate[1], '0', '0', '0');
}

// is_policy_error tells a row that a policy refuses from a right that is missing: both are 42501.
static bool is_policy_error(const ErrorData *error) {
    return error->funcname && strcmp(error->funcname, "ExecWithCheckOptions") == 0;
}

bool is_document_error(const ErrorData *error) {
    static const char *const others[] = {"08", "0A", "25", "28", "2D", "34", "3D", "3F", "40",
                                         "42", "53", "55", "57", "58", "72", "F0", "HV", "XX"};
    const int code = error->sqlerrcode;
    if (code == ERRCODE_DATATYPE_MISMATCH || is_policy_error(error))
        return true;
    for (const char *other : others)
        if (is_class(code, other))
            return false;
    return true;
}

bool is_race(const ShredPlan *plan, const ErrorData *error) {
    Oid *indexes = static_cast<Oid *>(palloc(sizeof(Oid) * (plan->table_count + 1)));
    for (int i = 0; i < plan->table_count; i++)
        indexes[i] = plan->tables[i].key_index;
    return is_key_race(error, indexes, plan->table_count);
}

// ---- holding rows

void open_chunks(ChunkLoader *loader) {
    loader->chunk = Chunk{};
    loader->chunk.memory = AllocSetContextCreate(loader->memory, "sluice chunk", ALLOCSET_DEFAULT_SIZES);
}

void empty_chunk(ChunkLoader *loader) {
    MemoryContextReset(loader->chunk.memory);
    loader->chunk.rows = NULL;
    loader->chunk.count = loader->chunk.room = 0;
    loader->chunk.bytes = 0;
}

static HeldRow *new_held(Chunk *chunk) {
    if (chunk->count == chunk->room) {
        chunk->room = chunk->room ? chunk->room * 2 : 64;
        const Size size = sizeof(HeldRow) * chunk->room;
        chunk->rows = static_cast<HeldRow *>(chunk->rows ? repalloc(chunk->rows, size) : palloc(size));
    }
    HeldRow *held = &chunk->rows[chunk->count++];
    memset(held, 0, sizeof(*held));
    return held;
}

static void hold_columns(const ShredPlan *plan, const SourceRow *from, SourceRow *to) {
    const int count = plan->source_column_count;
    to->columns = static_cast<Datum *>(palloc0(sizeof(Datum) * (count + 1)));
    to->nulls = static_cast<bool *>(palloc0(sizeof(bool) * (count + 1)));
    for (int i = 0; i < count; i++) {
        to->nulls[i] = from->nulls[i];
        if (!from->nulls[i])
            to->columns[i] = datumCopy(from->columns[i], plan->source_types[i].by_value, plan->source_types[i].length);
    }
}

void hold_row(ChunkLoader *loader, const SourceRow *row, const char *place) {
    Chunk *chunk = &loader->chunk;
    MemoryContext before = MemoryContextSwitchTo(chunk->memory);
    HeldRow *held = new_held(chunk);
    held->row.place = pstrdup(place);
    held->number = row->number;
    held->row.document_is_null = row->document_is_null;
    if (!row->document_is_null) {
        held->row.document = datumCopy(row->document, false, -1);
        chunk->bytes += VARSIZE_ANY(DatumGetPointer(held->row.document));
    }
    if (row->hash) {
        held->hash = *row->hash;
        held->row.hash = &held->hash;
    }
    hold_columns(loader->like.plan, row, &held->row);
    MemoryContextSwitchTo(before);
}

void refuse_held(ChunkLoader *loader, const Refusal *refusal) {
    MemoryContext before = MemoryContextSwitchTo(loader->chunk.memory);
    Refusal *copy = static_cast<Refusal *>(palloc(sizeof(Refusal)));
    *copy = Refusal{refusal->sqlstate, pstrdup(refusal->message), pstrdup(refusal->detail)};
    loader->chunk.rows[loader->chunk.count - 1].refusal = copy;
    MemoryContextSwitchTo(before);
}

bool is_chunk_full(const ChunkLoader *loader) {
    return loader->chunk.count >= loader->rows_at_once || loader->chunk.bytes >= most_bytes;
}

// ---- refusing a document

static void refuse_row(ChunkLoader *loader, HeldRow *held, const ErrorData *error) {
    MemoryContext before = MemoryContextSwitchTo(loader->chunk.memory);
    held->refusal = static_cast<Refusal *>(palloc(sizeof(Refusal)));
    held->refusal->sqlstate = error->sqlerrcode;
    held->refusal->message = pstrdup(error->message ? error->message : "");
    held->refusal->detail = locate_error(loader->shredder, error);
    MemoryContextSwitchTo(before);
}

// depends_on_others tells an error that another document of the chunk may have caused: one that is refused itself later.
static bool depends_on_others(const ErrorData *error) {
    return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION || error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION;
}

static ErrorData *take_error(const ChunkLoader *loader) {
    MemoryContextSwitchTo(loader->memory);
    ErrorData *error = CopyErrorData();
    FlushErrorState();
    return error;
}

// ---- converting

static void convert_row(ChunkLoader *loader, HeldRow *held) {
    Shredder *shredder = loader->shredder;
    held->row.hash = held->row.hash ? &held->hash : NULL; // the rows may have moved
    begin_document(shredder, &held->row);
    held->document = writer_document(shredder->writer);
    MemoryContextSwitchTo(loader->document);
    const Value document = read_document(loader->documents, held->row.document);
    // With something unknown all is done again when the targets have grown.
    if (!loader->growth || !note_unknowns(loader->growth, shredder->plan->coverage, document))
        shred_document(shredder, document);
    MemoryContextReset(loader->document);
}

// A Subtransaction remembers what a subtransaction changes about us.
struct Subtransaction {
    MemoryContext memory;
    ResourceOwner resources;
};

static Subtransaction begin_subtransaction() {
    const Subtransaction sub{CurrentMemoryContext, CurrentResourceOwner};
    BeginInternalSubTransaction(NULL);
    MemoryContextSwitchTo(sub.memory);
    return sub;
}

static void end_subtransaction(const Subtransaction *sub, bool commit) {
    if (commit)
        ReleaseCurrentSubTransaction();
    else
        RollbackAndReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(sub->memory);
    CurrentResourceOwner = sub->resources;
}

// tell_why adds to an error why the column was not widened.
static void tell_why(const ChunkLoader *loader, ErrorData *error) {
    const char *why = why_not_wider(loader->growth, loader->shredder);
    if (why)
        error->detail = error->detail ? psprintf("%s %s", error->detail, why) : pstrdup(why);
}

// convert_some converts rows from number `from` on, until the buffers want to be written or one does not fit; it returns the
// next to go on with.
static int convert_some(ChunkLoader *loader, HeldRow *rows, int from, int count) {
    Shredder *shredder = loader->shredder;
    volatile int at = from;
    const Subtransaction sub = begin_subtransaction();
    PG_TRY();
    {
        while (at < count && !writer_wants_flush(shredder->writer)) {
            if (!rows[at].refusal && !rows[at].row.document_is_null)
                convert_row(loader, &rows[at]);
            at = at + 1;
            if (loader->careful)
                break;
        }
        end_subtransaction(&sub, true);
    }
    PG_CATCH();
    {
        ErrorData *error = take_error(loader);
        end_subtransaction(&sub, false);
        const bool fits = is_document_error(error) && !is_race(shredder->plan, error);
        if (fits)
            loader->failed = at;
        const bool grows = fits && loader->growth && note_misfit(loader->growth, shredder);
        if (!grows && fits && loader->growth)
            tell_why(loader, error);
        if (!fits || (!grows && !loader->rejects) || (!grows && writer_wrote(shredder->writer)))
            ReThrowError(error);
        loader->failed = -1;
        if (!grows)
            refuse_row(loader, &rows[at], error);
        writer_forget_document(shredder->writer);
        end_document(shredder);
        MemoryContextReset(loader->document);
        FreeErrorData(error);
        at = at + 1;
    }
    PG_END_TRY();
    return at;
}

// ---- writing

// fire_row lets the triggers fire for what one document put.
static void fire_row(ChunkLoader *loader, const HeldRow *held, int at) {
    if (held->refusal || held->row.document_is_null || !writer_can_fire(loader->shredder->writer))
        return;
    loader->failed = at;
    writer_fire(loader->shredder->writer);
    loader->failed = -1;
}

// write_rows tells whether the targets can stay as they are; else nothing is finished.
static bool write_rows(ChunkLoader *loader, HeldRow *rows, int count) {
    Shredder *shredder = loader->shredder;
    if (loader->careful && loader->fires)
        fire_deferred(); // and from here on nothing is deferred
    begin_shredding(shredder);
    for (int at = 0; at < count;) {
        at = convert_some(loader, rows, at, count);
        if (loader->careful)
            fire_row(loader, &rows[at - 1], at - 1);
        if (writer_wants_flush(shredder->writer))
            writer_flush(shredder->writer);
    }
    if (loader->growth && loader->growth->any) {
        error_context_stack = shredder->context.previous;
        return false;
    }
    const WriterCounts counts = finish_shredding(shredder);
    if (loader->fires)
        fire_deferred();
    loader->counts.inserted += counts.inserted;
    loader->counts.updated += counts.updated;
    loader->counts.deleted += counts.deleted;
    loader->nulled += shredder->nulled;
    return true;
}

static int row_of_document(const HeldRow *rows, int count, int64 document) {
    for (int i = 0; i < count && document > 0; i++)
        if (rows[i].document == document && !rows[i].refusal)
            return i;
    return -1;
}

static int count_fitting(const HeldRow *rows, int count) {
    int fitting = 0;
    for (int i = 0; i < count; i++)
        fitting += !rows[i].refusal && !rows[i].row.document_is_null;
    return fitting;
}

enum class Attempt : uint8_t { Done, Failed, Raced, Grows };

// attempt_rows tries to write rows in a subtransaction; where it fails, it finds out whose fault it was, if it can.
static Attempt attempt_rows(ChunkLoader *loader, HeldRow *rows, int count) {
    volatile Attempt outcome = Attempt::Done;
    MemoryContext before = CurrentMemoryContext;
    if (loader->attempt)
        MemoryContextDelete(loader->attempt);
    loader->attempt = AllocSetContextCreate(loader->memory, "sluice attempt", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(loader->attempt);
    Shredder *shredder = static_cast<Shredder *>(palloc(sizeof(Shredder)));
    *shredder = loader->like;
    loader->shredder = shredder;
    loader->failed = -1;
    for (int i = 0; i < count; i++)
        rows[i].document = 0;
    const Subtransaction sub = begin_subtransaction();
    PG_TRY();
    {
        const bool done = write_rows(loader, rows, count);
        if (!done) {
            outcome = Attempt::Grows;
            writer_abandon(shredder->writer);
        }
        end_subtransaction(&sub, done);
    }
    PG_CATCH();
    {
        ErrorData *error = take_error(loader);
        end_subtransaction(&sub, false);
        if (shredder->writer)
            writer_abandon(shredder->writer);
        const bool raced = is_race(shredder->plan, error);
        if (!raced && (!loader->rejects || !is_document_error(error)))
            ReThrowError(error);
        outcome = raced ? Attempt::Raced : Attempt::Failed;
        if (loader->failed < 0 && shredder->writer)
            loader->failed = row_of_document(rows, count, writer_flushing_document(shredder->writer));
        loader->error = error;
    }
    PG_END_TRY();
    if (outcome == Attempt::Failed && loader->failed >= 0 &&
        (!depends_on_others(loader->error) || count_fitting(rows, loader->failed) == 0))
        refuse_row(loader, &rows[loader->failed], loader->error);
    MemoryContextSwitchTo(before);
    return outcome;
}

// middle_row finds the row before which half of those that fit lie.
static int middle_row(const HeldRow *rows, int count) {
    const int half = count_fitting(rows, count) / 2;
    int at = 0;
    for (int fitting = 0; fitting < half; at++)
        fitting += !rows[at].refusal && !rows[at].row.document_is_null;
    return at;
}

static void load_rows(ChunkLoader *loader, HeldRow *rows, int count) {
    constexpr int most_growths = 100; // a few are enough: each adds what is unknown or widens what does not fit
    for (int races = 0, growths = 0;;) {
        CHECK_FOR_INTERRUPTS();
        if (count_fitting(rows, count) == 0)
            return;
        const Attempt outcome = attempt_rows(loader, rows, count);
        if (outcome == Attempt::Done) {
            loader->careful = false;
            return;
        }
        if (outcome == Attempt::Grows) {
            if (++growths > most_growths)
                elog(ERROR, "the targets grow and grow, and the documents still do not fit");
            loader->grow(loader, loader->grower);
            continue;
        }
        if (outcome == Attempt::Raced && ++races >= most_races)
            ReThrowError(loader->error);
        if (outcome == Attempt::Raced)
            continue;
        if (loader->failed >= 0) {
            loader->careful = false;
            if (rows[loader->failed].refusal) {
                loader->late++;
                continue;
            }
            // Which of those before it stay is to be settled first.
            const int before = loader->failed;
            load_rows(loader, rows, before);
            rows += before;
            count -= before;
            continue;
        }
        if (!loader->careful) {
            loader->careful = true;
            continue;
        }
        loader->careful = false;
        if (count_fitting(rows, count) == 1) {
            loader->late++;
            for (int i = 0; i < count; i++)
                if (!rows[i].refusal && !rows[i].row.document_is_null)
                    refuse_row(loader, &rows[i], loader->error);
            return;
        }
        const int middle = middle_row(rows, count);
        load_rows(loader, rows, middle);
        load_rows(loader, rows + middle, count - middle);
        return;
    }
}

// adapt_rows_at_once aims at chunks of which about one in four must be written again. One that is costs some three times as
// much; small ones cost more for each document.
static void adapt_rows_at_once(ChunkLoader *loader) {
    const int rows = loader->rows_at_once;
    if (loader->late == 0) {
        loader->rows_at_once = Min(rows + rows / 4, most_rows_at_once);
        return;
    }
    const int wanted = static_cast<int>(loader->chunk.count / (loader->late * 4));
    loader->rows_at_once = Max(Min(Max(wanted, rows / 8), rows / 2), fewest_rows_at_once);
}

void load_chunk(ChunkLoader *loader) {
    Chunk *chunk = &loader->chunk;
    loader->late = 0;
    load_rows(loader, chunk->rows, chunk->count);
    adapt_rows_at_once(loader);
    loader->rejected += chunk->count - count_fitting(chunk->rows, chunk->count);
    for (int i = 0; i < chunk->count; i++)
        loader->rejected -= !chunk->rows[i].refusal && chunk->rows[i].row.document_is_null;
}

} // namespace sluice
