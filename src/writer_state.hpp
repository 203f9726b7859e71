// What the rooms of the writer share: writer (opening, rows, closing), leaf_buffer (rows on their way into a table),
// keyed (rows whose key may be there already), replaced (children whose parent is delivered again). Nobody else looks in.
#pragma once

#include "postgres.hpp"

#include "writer.hpp"

namespace sluice {

constexpr int rows_at_once = 1000;
constexpr Size bytes_at_once = 64 * 1024;
constexpr int most_buffers = 32;
constexpr int64 most_buffered = 16 * rows_at_once; // over all buffers of a batch

// A default evaluated by us: the column's default expression, identity, or the NULL of a domain.
struct ColumnDefault {
    int column;       // attribute number - 1
    bool when_absent; // the caller fills the column, unless he calls it absent
    ExprState *expression;
    Conversion *domain_null;
};

struct Keyed;
struct KeyedRow;

// What is known of a buffered row: the document it came from, and of which delivery of a keyed row it is a part (or
// that row itself). When the same key comes again meanwhile, the version has moved on and the row is not written.
struct BufferedRow {
    int64 document;
    KeyedRow *owner;
    uint32 version;
};

// The buffered rows of one leaf table. Between batches it waits in the cache with its slots, and without leaf and bulk.
struct LeafBuffer {
    LeafBuffer *next;
    Oid relation;
    ResultRelInfo *leaf;
    BulkInsertState bulk;
    TupleDesc columns; // a copy: slots of the relation's own would each pin and unpin it
    TupleTableSlot *slots[rows_at_once];
    BufferedRow rows[rows_at_once];
    int used;
    Size bytes;
    // how much there was before the document that put a row here last
    int64 document;
    int used_before;
    Size bytes_before;
};

struct WriterCache {
    MemoryContext memory;
    MemoryContext keyed; // of keyed rows: its first block is kept, for fresh memory is not for free
    LeafBuffer *idle;
    int count;
};

// A row that waits until the rows it replaces are deleted.
struct DeferredRow {
    DeferredRow *next;
    int target;
    uint32 version;
    int64 document;
    HeapTuple row; // of the target's row type
};

// The values by which the rows of a parent that was delivered again are found.
struct ReplacedKey {
    ReplacedKey *next;
    const KeyedRow *owner;
    HeapTuple values;
};

// What a batch knows of a key that it met.
struct KeyedRow {
    KeyedRow *chain;
    uint32 hash; // not where keys are asked for once
    int64 place; // among the keys, as far as a number tells
    Datum *key;
    int64 born, document; // the documents that brought the key first and last
    bool existed;         // the table had it before this batch
    bool again;           // it came more than once
    bool in_table;        // it lies in its leaf at tid
    bool children_written, has_children;
    ResultRelInfo *leaf;
    ItemPointerData tid;
    LeafBuffer *buffer; // or it is in a buffer, in slot `at`
    int at;
    HeapTuple pending;          // what it shall be, of the leaf's row type; by query what is known, of the root's
    bool changed;               // pending is to be written
    bool entry_due;             // it was, and its entry in the key's index is to be made
    bool late;                  // it was looked up late: until then pending is what was put
    Datum *returned, *previous; // what children refer to: as it will be stored, and as it was before
    bool *returned_nulls, *previous_nulls;
    DeferredRow *deferred, *last_deferred;
    KeyedRow *next_touched, *saved; // as it was before the document in progress
    uint32 versions[FLEXIBLE_ARRAY_MEMBER];
};

struct Target {
    int index;
    Relation relation;
    ResultRelInfo *root;
    Mode mode;
    bool by_query;
    bool aside;   // its rows are not counted
    bool updates; // rows that are there are written over
    ColumnDefault *defaults;
    int default_count;
    Bitmapset *written, *returned;
    List *implied;   // foreign keys that hold by construction
    bool one_by_one; // never buffered
    bool user_code;  // putting a row runs code of users, which may look at the rows put so far
    int parent;      // its rows come first; -1: none
    bool *absent;    // of the row being filled: columns of mode merge that the document leaves alone
    // direct
    ModifyTableState *state;
    PartitionTupleRouting *routing;
    TransitionCaptureState *capture, *update_capture;
    LeafBuffer *buffers;
    int buffer_count;
    LeafBuffer *last; // the buffer of the previous row
    ResultRelInfo *last_leaf;
    bool last_buffered;
    BulkInsertState bulk; // of rows written one by one
    TupleTableSlot *slot; // the row being filled (not when it is filled in a buffer's slot)
    TupleTableSlot *filling;
    // by query
    Tuplestorestate *rows;
    List *document_rows; // of the document in progress, when it may yet be forgotten
    TupleDesc row_type;
    int *row_columns; // attribute number - 1 of each column of row_type
    char *insert;
    // the final values of the last row
    Datum *values;
    bool *nulls;
    // keyed rows
    Keyed *keyed;      // NULL: every row is a new one
    KeyedRow *asked;   // by writer_find, until the row is put
    KeyedRow *current; // the keyed row to which the last row belongs: itself, or the one above it
    // children that are replaced
    const ColumnLink *references; // which columns hold which of the parent's
    int reference_count;
    bool link_changes;  // what they refer to is no key: it may go from one parent to another
    TupleDesc key_type; // of their values
    ReplacedKey *replaced, *replaced_before;
};

struct Writer {
    EState *estate;
    Target *targets;
    int count;
    CommandId command;
    WriterCache *cache;
    ResourceOwner resources;
    bool undoable; // documents may be forgotten: see writer_forget_document
    bool has_keys, may_be_late, in_order, once;
    void (*see)(void *seer, Oid relation, Datum row);
    void *seer;
    WriterCounts counts, aside; // of targets that are not counted
    int64 buffered;
    Oid flushing;
    int64 flushing_document; // of the row being written; -1: not known
    int64 document;          // counts
    bool places;             // it is kept which document each row came from
    bool wrote;              // something was written since the mark, or may have been
    bool runs_user_code;     // putting a row may
    MemoryContext keyed_memory;
    Snapshot snapshot;           // by which keys are looked up
    KeyedRow *touched, *created; // by the document in progress
};

inline WriterCounts *counts_of(Writer *writer, const Target *target) {
    return target->aside ? &writer->aside : &writer->counts;
}

// ---- leaf_buffer.cpp

LeafBuffer *leaf_buffer(Writer *writer, Target *target, ResultRelInfo *leaf);
TupleTableSlot *free_slot(Writer *writer, LeafBuffer *buffer);
void buffer_row(Writer *writer, Target *target, LeafBuffer *buffer, TupleTableSlot *slot, KeyedRow *owner);
void flush_all(Writer *writer); // every row put so far becomes visible
bool is_half_full(const Writer *writer);
void forget_buffered(Writer *writer); // the rows of the document in progress
void close_buffer(Writer *writer, LeafBuffer *buffer);
// after_row_insert also tells lineage where the row of a document lies.
void after_row_insert(Writer *writer, Target *target, ResultRelInfo *leaf, TupleTableSlot *slot, int64 document);

// ---- writer.cpp

bool has_before_row_trigger(const ResultRelInfo *relation);
ResultRelInfo *choose_leaf(Writer *writer, Target *target, bool *buffered);
// put_new puts the row in target->filling into its table's buffer, or writes it; `owner` may supersede it.
void put_new(Writer *writer, Target *target, MemoryContext caller, KeyedRow *owner);
void put_by_query(Writer *writer, Target *target);
void next_command(Writer *writer); // from here on what was written can be seen
void fill_defaults(Writer *writer, Target *target, Datum *values, bool *nulls);
void show_slot(Writer *writer, const Target *target, TupleTableSlot *slot);                     // to who watches
void show_filled(Writer *writer, const Target *target, const Datum *values, const bool *nulls); // by query
void start_row(Writer *writer, Target *target); // target->filling, empty
void check_row(Writer *writer, Target *target, ResultRelInfo *leaf, TupleTableSlot *slot);
// keep_returned remembers the final values of the columns that children refer to. `slot` has the leaf's columns; `copy`
// when its values may go away before the document is done.
void keep_returned(Writer *writer, Target *target, ResultRelInfo *leaf, TupleTableSlot *slot, bool copy);
void run_on_rows(const char *statement, Tuplestorestate *rows, TupleDesc type); // as sluice_rows; SPI_processed counts

// ---- keyed.cpp

void note_buffered(Target *target, KeyedRow *owner, LeafBuffer *buffer, int at);
void open_keyed(Writer *writer, Target *target, const WriterTarget *all);
// put_keyed finds out whether the row's key is there and what becomes of it; false: the row is left out.
bool put_keyed(Writer *writer, Target *target, MemoryContext caller);
// find_keyed asks for the key of the row in target->filling; the row that is there is in target->keyed->known afterwards, or
// in what it gives.
TupleTableSlot *find_keyed(Writer *writer, Target *target);
bool is_superseded(const KeyedRow *owner, int target, uint32 version);
uint32 current_version(const KeyedRow *owner, int target);
void note_written(Target *target, KeyedRow *owner, TupleTableSlot *slot); // a buffered row went into its table
// ---- settle.cpp

// settle_keyed writes everything that waits: rows to update, children to replace.
void settle_keyed(Writer *writer);
bool keeps_much(const Writer *writer);
void mark_keyed(Writer *writer);
void forget_keyed(Writer *writer);
void close_keyed(Writer *writer);

// ---- replaced.cpp

void plan_replaced(Target *target, const WriterTarget *all);
// defer_row keeps the row in target->filling back where rows of an earlier delivery must go first; false: it need not wait.
bool defer_row(Writer *writer, Target *target, MemoryContext caller);
void delete_replaced(Writer *writer);
void put_deferred(Writer *writer, KeyedRow *owner);

} // namespace sluice
