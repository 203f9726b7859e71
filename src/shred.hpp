// Shred: JSON documents into relational tables. A plan is a mapping tied to the tables as they are now; it reads a
// document as a Value and puts rows to the writer, parents before their children.
#pragma once

#include "postgres.hpp"

#include "content.hpp"
#include "convert.hpp"
#include "coverage.hpp"
#include "format.hpp"
#include "mapping.hpp"
#include "writer.hpp"

namespace sluice {

struct ShredColumn {
    const MappedColumn *mapped;
    int column; // attribute number - 1 in the target
    Oid collation;
    Conversion conversion;
    Format *format;
    Coercion coercion;   // of what comes as an SQL value
    int other;           // Parent: attribute number - 1 in the parent; SourceColumn: position among source_columns
    Datum default_value; // converted
    bool has_default;
    bool hash_as_uuid; // Hash: the column is a uuid, else the value is bytea
};

// Where `each` stands: the position of one of its steps.
struct Place {
    const char *key;
    uint32 key_length;
    int64 index;
};

struct ShredTable {
    const MappedTable *mapped;
    Oid relation;
    int parent; // position among the tables, or -1
    int *children;
    int child_count;
    bool many;            // may have more than one row a document
    ShredColumn *columns; // those that take a value from here (not #serial, #default)
    int column_count;
    Bitmapset *written, *returned;
    ColumnLink *links; // columns that hold a parent's value unchanged
    int link_count;
    bool rests;             // what `each` cannot iterate is kept in a "#rest" above
    Mode mode;              // settled
    Oid key_index;          // of a table with a key
    AttrNumber newest_by;   // or 0
    ColumnLink *references; // mode replace: columns that hold a parent's value, in whatever type
    int reference_count;
    Place *places;
};

struct ColumnForm {
    const char *name;
    Oid type;
    int16 length;
    bool by_value;
};

struct ShredPlan {
    ShredTable *tables;
    int table_count;
    AttrNumber *source_columns; // columns of the source that #source.column asks for, and others
    ColumnForm *source_types;
    int source_column_count;
    Coverage *coverage; // where parts of documents that the mapping does not take matter, else NULL
    bool interferes;    // reading or converting runs volatile code of users
};

// document_type checks that the source has the document's column, of a type that holds documents.
Oid document_type(Relation source, const char *document);

// plan_shred ties a mapping to its tables; what does not fit raises an error with the place in the mapping.
// `covers`: it matters what of a document the mapping does not take; `also`: columns of the source that are kept with rejects,
// beside those that the mapping asks for.
ShredPlan *plan_shred(const Mapping *mapping, Relation source, bool covers, const Bitmapset *also = NULL);

// plan_modes and plan_keys settle what becomes of rows that come again: after the tables are linked, and planned.
void plan_modes(ShredPlan *plan);
void plan_keys(ShredPlan *plan);

// advise_indexes tells of indexes without which replacing rows is slow.
void advise_indexes(const ShredPlan *plan);

// One source row on its way.
struct SourceRow {
    const char *place; // which row it is, in words; NULL: the cursor knows
    int64 number;      // in sluice.reject, of a row that comes from there; else 0
    Datum order;       // as the cursor's statement selects it
    bool order_is_null;
    Datum document;
    bool document_is_null;
    const ContentHash *hash; // of the document; NULL: not known yet
    Datum *columns;          // of source_columns
    bool *nulls;
};

struct Shredder {
    ShredPlan *plan;
    Writer *writer;
    WriterCache *cache;
    Oid source;
    void (*describe)(void *cursor, const SourceRow *row, StringInfo to); // which row it is
    void *cursor;
    int64 run_id;
    TimestampTz loaded_at;
    bool undoable;                                    // documents may have to be forgotten
    bool late;                                        // keys may be looked up late
    bool in_order;                                    // what one document puts is written before the next
    bool refuses_unknown;                             // a part of a document that the mapping does not take is an error
    const char *unknown;                              // the path to it
    void (*see)(void *seer, Oid relation, Datum row); // is shown each row that is put, or NULL
    void *seer;
    int64 nulled; // values that became null by "on_error": "null"
    // where it is, for error messages
    const SourceRow *row;
    ContentHash hash; // of the document, once it is known
    bool has_hash;
    Value document;
    int table;
    int step; // of the table's `each` that is being followed; all done: step_count
    const ShredColumn *column;
    Value value; // of the column
    ErrorContextCallback context;
};

void begin_shredding(Shredder *shredder);                      // opens the writer and the error context
void begin_document(Shredder *shredder, const SourceRow *row); // from here on errors name this row
void end_document(Shredder *shredder);
void shred_document(Shredder *shredder, const Value &document);
WriterCounts finish_shredding(Shredder *shredder);

// locate_error tells where in which document an error happened, as a JSON object: table, column, path, value, constraint,
// detail; what is not known is left out.
const char *locate_error(const Shredder *shredder, const ErrorData *error);

} // namespace sluice
