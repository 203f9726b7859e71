// Pipelines: named, owned definitions in the catalog.
#pragma once

#include "postgres.hpp"

#include "names.hpp"

namespace sluice {

struct Pipeline {
    int32 id;
    const char *name;
    const char *kind;
    Oid owner;
    RelationReference source;
    const char *document;  // NULL: rows are read as they are
    List *content_columns; // of rows that are read as they are: by which columns (names) the hash cursor knows them
    const char *mapping;   // the definition: of a shred its mapping
    List *slots;           // of a merge: what each number among a key's times stands for
    const char *cursor;
    const char *order_by; // NULL: none
    const char *lookback; // NULL: without limit
    bool keeps_duplicates;
    int64 recheck;  // seconds between full compares; -1: not said
    int batch_size; // 0: automatic
    const char *unknown;
    bool rejects;
    int64 max_rejects; // -1: no limit
    bool paused;
    int max_failures; // in a row, then it is paused; 0: never
    int failures;     // in a row, so far
    List *checks;     // conditions and queries, as they were written
    bool lineage;     // it is kept which run wrote each row
    const char *time_zone, *date_style, *interval_style, *search_path;
};

// find_pipeline loads a pipeline (inside an SPI connection), in CurrentMemoryContext. It raises 42704 with the nearest name
// when there is none and 42501 when the current user is not its owner or a member of the owning role.
Pipeline *find_pipeline(const char *name);

// find_own_pipeline does so for a name that need not be there: NULL.
Pipeline *find_own_pipeline(const char *name);

// find_visible_pipeline loads a pipeline by its identity; NULL when there is none that the current user may see.
Pipeline *find_visible_pipeline(int32 id);

// find_any_pipeline does so whoever the current user is: for work on behalf of the owner. NULL when there is none.
Pipeline *find_any_pipeline(int32 id);

Oid pipeline_owner(int32 id); // InvalidOid when the pipeline was dropped

// pipeline_source resolves the source; a source that is gone, or was made again, is refused with the remedy.
Oid pipeline_source(const Pipeline *pipeline);

// explain_change gives an error that comes of changes to what a definition names, or of rights that are missing, a hint, where it
// has none.
void explain_change(const Pipeline *pipeline, ErrorData *error);
void explain_rights(const Pipeline *pipeline, ErrorData *error); // the latter alone

// as_defined does work that needs what a definition names: errors are explained.
template <class Work> void as_defined(const Pipeline *pipeline, Work work) {
    MemoryContext memory = CurrentMemoryContext;
    PG_TRY();
    { work(); }
    PG_CATCH();
    {
        MemoryContextSwitchTo(memory);
        ErrorData *error = CopyErrorData();
        FlushErrorState();
        explain_change(pipeline, error);
        ReThrowError(error);
    }
    PG_END_TRY();
}

// refresh_source notes where the source is now: under another name, or in another database after a restore.
void refresh_source(const Pipeline *pipeline, Oid source);

// require_idle takes the pipeline's lock for this transaction; it raises 55006 when somebody runs the pipeline.
void require_idle(const Pipeline *pipeline);

// A new definition, checked by its kind.
struct NewPipeline {
    const char *name;
    const char *kind;
    Oid source;
    const char *document;  // NULL: rows are read as they are
    List *content_columns; // of these
    const char *mapping;
    const char *cursor;
    const char *order_by;
    const char *lookback;
    const char *duplicates;  // NULL: as the kind has it
    const Interval *recheck; // NULL: not said
    int batch_size;
    const char *unknown;  // NULL: ignore
    const char *on_error; // NULL: stop
    int64 max_rejects;    // -1: no limit
    int max_failures;     // -1: as it is unless said otherwise
    List *after;          // names
    List *checks;
    bool lineage; // see switch_lineage
};

const char *kept_search_path(); // what of the session's search_path holds in every run

// insert_pipeline writes a definition, owned by the current user; its kind and its cursor add what is theirs.
int32 insert_pipeline(const NewPipeline *pipeline);

// The pipeline's lock: whoever holds it runs (or drops) the pipeline. It belongs to the session or to the transaction.
// The tag is made once: giving the lock back must not need the catalogs.
LOCKTAG pipeline_lock_tag(int32 pipeline);
int pipeline_lock_holder(int32 pipeline); // the process, -1 if it cannot be told, 0 if there is none

const char *pipeline_runner(int32 pipeline); // "Process 42"

const char *name_argument(FunctionCallInfo fcinfo); // the first argument, a pipeline's name

[[noreturn]] void argument_error(const char *argument, const char *what, const char *hint);

} // namespace sluice
