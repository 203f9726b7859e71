// See infer.hpp: the documents of a source, one over the other. They are read by a cursor, a few hundred at a time.
#include "infer.hpp"

#include "attempt.hpp"
#include "document.hpp"
#include "names.hpp"
#include "shred.hpp"

namespace sluice {

constexpr int rows_at_once = 256;

struct Sample {
    Shape *shape;
    DocumentReader reader;
    MemoryContext document; // what one document needs for a moment
    int64 skipped;          // documents that are no JSON
};

static Portal open_sample(Relation source, const char *document, int sample) {
    StringInfoData statement;
    initStringInfo(&statement);
    appendStringInfo(&statement, "SELECT s.%s FROM %s s", quote_identifier(document),
                     relation_name(RelationGetRelid(source)));
    if (sample > 0)
        appendStringInfo(&statement, " LIMIT %d", sample);
    SPIPlanPtr plan = SPI_prepare(statement.data, 0, NULL);
    if (!plan)
        elog(ERROR, "could not plan the reading of a source");
    return SPI_cursor_open(NULL, plan, NULL, NULL, true);
}

static void add_document(Sample *sample, SPITupleTable *rows, uint64 row) {
    bool is_null;
    const Datum document = SPI_getbinval(rows->vals[row], rows->tupdesc, 1, &is_null);
    if (is_null)
        return;
    MemoryContextReset(sample->document);
    MemoryContextSwitchTo(sample->document);
    shape_add(sample->shape, read_document(&sample->reader, document));
}

// add_documents adds rows from *next on, up to the end or to one that is no JSON: then it is false, and the rows are to be
// gone on with behind it. The subtransaction writes nothing; it is there since an error was caught.
static bool add_documents(Sample *sample, SPITupleTable *rows, uint64 count, volatile uint64 *next) {
    ErrorData *error = attempt([&] {
        while (*next < count) {
            const uint64 row = *next;
            *next = row + 1; // a row that fails is behind us
            add_document(sample, rows, row);
        }
    });
    if (!error)
        return true;
    if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
        ReThrowError(error);
    FreeErrorData(error);
    return false;
}

static void add_rows(Sample *sample, SPITupleTable *rows, uint64 count) {
    volatile uint64 next = 0;
    while (!add_documents(sample, rows, count, &next))
        sample->skipped++;
}

static void read_sample(Sample *sample, Portal portal) {
    for (;;) {
        SPI_cursor_fetch(portal, true, rows_at_once);
        SPITupleTable *rows = SPI_tuptable;
        const uint64 count = SPI_processed;
        if (count == 0)
            break;
        add_rows(sample, rows, count);
        SPI_freetuptable(rows);
    }
    SPI_cursor_close(portal);
}

Mapping *infer_source(Relation source, const char *document, int sample, const char *root, const char *schema) {
    MemoryContext before = CurrentMemoryContext;
    MemoryContext memory = AllocSetContextCreate(before, "sluice inference", ALLOCSET_DEFAULT_SIZES);
    Sample state{};
    MemoryContextSwitchTo(memory);
    state.shape = make_shape();
    state.document = AllocSetContextCreate(memory, "sluice sampled document", ALLOCSET_DEFAULT_SIZES);
    open_document_reader(&state.reader, document_type(source, document), memory);
    read_sample(&state, open_sample(source, document, sample));
    if (state.skipped > 0)
        ereport(WARNING,
                (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
                 errmsg_plural("%lld document of %s cannot be read as JSON and was left out of the inference",
                               "%lld documents of %s cannot be read as JSON and were left out of the inference",
                               static_cast<unsigned long>(state.skipped), static_cast<long long>(state.skipped),
                               relation_name(RelationGetRelid(source)))));
    MemoryContextSwitchTo(before);
    Mapping *mapping = infer_mapping(state.shape, root, schema);
    MemoryContextDelete(memory);
    return mapping;
}

} // namespace sluice
