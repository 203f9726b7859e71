// The source reader: rows of a source by a statement of the cursor's, a few hundred in memory at a time.
//
// Rows that are read one by one come from the executor as values, which are copied but never made into tuples. They stay as they
// are while the next steady_rows are read.
#pragma once

#include "postgres.hpp"

#include "plain_scan.hpp"
#include "shred.hpp"

namespace sluice {

// What a run wants to read of each source row, as SQL over the source as s.
struct SourceColumns {
    const char *document; // the document; of rows that are none their content, where the cursor goes by it, else NULL
    AttrNumber column;    // in which the document stands; 0: it is the row itself that is read
    const char *const *others; // what else
    const AttrNumber *numbers; // of columns among the others; NULL: they may be any expressions
    int count;
    Node *last = NULL;      // the last of the others is this expression, whatever the numbers are
    bool any_order = false; // rows may come in any order, where that is faster
};

// find_source_column finds a column that a definition names at `place`; it raises 42703 when there is none.
AttrNumber find_source_column(Relation source, const char *column, const char *place);

// document_columns asks for a document and for columns beside it; row_columns for expressions over a row, which `content`
// tells from others (NULL: nobody needs that).
SourceColumns document_columns(Relation source, const char *document, const AttrNumber *numbers, int count);
SourceColumns row_columns(const char *content, const char *const *expressions, int count);

constexpr int rows_in_memory = 256;
constexpr int steady_rows = 16; // the least that one fetch brings, but for the last one

// Values of rows that were fetched at once.
struct RowBatch {
    MemoryContext memory; // of what fits neither the arrays nor the buffer
    char *buffer;
    Size room, used; // in it
    Datum *values;   // row by row
    bool *nulls;
    int count;
    Size bytes; // that the values take, but for those in the arrays
};

// whole_row writes the row itself as an expression: its name, s, could be that of one of its columns.
const char *whole_row(Relation source);

struct SourceReader {
    SPIPlanPtr plan; // kept over the batches of a run
    Portal portal;
    SPITupleTable *rows;
    uint64 next, fetched; // within the rows fetched last
    bool indexed, planned;
    bool steady;   // it reads by the active snapshot, not by a newer one
    int columns;   // of others
    Datum *values; // of one tuple: the order value, the document, the others, and what the cursor likes
    bool *nulls;
    int room; // in them
    MemoryContext memory;
    ScanColumns scan;    // where the statement's columns are found in the rows that it gives
    RowBatch batches[2]; // the rows fetched last, and those before
    int batch;           // the one in use
    int wanted;          // rows to fetch next: fewer where rows are long
    bool ended;          // there are no more: another fetch would take away rows that must stay
    const bool *row_nulls;
    const Datum *row_values; // of the row read last, NULL: it is a tuple
    MemoryContextCallback cleanup;
};

// column_list writes what every reading statement selects behind the order value: the document, then the other columns,
// of the source as `s`.
char *column_list(const SourceColumns *columns);

// prepare_reader plans a statement that selects the order value, then column_list, then what the cursor likes.
// `indexed`: an index gives its order. The plan is freed with CurrentMemoryContext.
SourceReader *prepare_reader(const char *statement, int parameters, Oid *types, const SourceColumns *columns,
                             bool indexed);

// make_reader is one without a statement: for rows that come from elsewhere in the same layout.
SourceReader *make_reader(const SourceColumns *columns);

void open_reader(SourceReader *reader, Datum *parameters);
bool read_row(SourceReader *reader, SourceRow *row); // the row is valid until the next call
Datum read_extra(SourceReader *reader, int number,
                 bool *is_null); // of that row, what stands behind column_list, from 0
// fetch_rows gets the next rows into reader->rows, at most rows_in_memory, all at once; read_tuple takes one apart.
uint64 fetch_rows(SourceReader *reader);
void read_tuple(SourceReader *reader, HeapTuple tuple, TupleDesc columns, SourceRow *row);
void close_reader(SourceReader *reader);

// has_order_index tells whether an index can give the rows in the order of a column.
bool has_order_index(Relation source, AttrNumber column);

} // namespace sluice
