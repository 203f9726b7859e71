// See reject.hpp. A reject keeps the document as text, as it was written, and what else of the source row the mapping asks
// for, so that it can be loaded again when the source row is long gone.
#include "reject.hpp"

#include "catalog.hpp"
#include "names.hpp"

namespace sluice {

// ---- keeping

static char *document_text(Oid type, const SourceRow *row) {
    const Datum document = row->document;
    if (row->document_is_null)
        return NULL;
    if (type != JSONBOID)
        return TextDatumGetCString(document);
    Jsonb *jsonb = DatumGetJsonbP(document);
    return JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
}

// column_texts writes the source's columns so that they come back as they were: pairs of name and value. By their names,
// since the mapping may ask for others, in another order, when they are loaded again.
static Datum column_texts(const ShredPlan *plan, const SourceRow *row) {
    const int count = plan->source_column_count;
    Datum *texts = static_cast<Datum *>(palloc0(sizeof(Datum) * (2 * count + 1)));
    bool *nulls = static_cast<bool *>(palloc0(sizeof(bool) * (2 * count + 1)));
    for (int i = 0; i < count; i++) {
        texts[2 * i] = CStringGetTextDatum(plan->source_types[i].name);
        nulls[2 * i + 1] = row->nulls[i];
        if (!row->nulls[i])
            texts[2 * i + 1] = CStringGetTextDatum(stored_text(plan->source_types[i].type, row->columns[i]));
    }
    int dimensions[] = {count, 2}, lower[] = {1, 1};
    return PointerGetDatum(
        construct_md_array(texts, nulls, count > 0 ? 2 : 0, dimensions, lower, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum hash_datum(const ContentHash &hash) {
    bytea *value = static_cast<bytea *>(palloc(VARHDRSZ + sizeof(ContentHash)));
    SET_VARSIZE(value, VARHDRSZ + sizeof(ContentHash));
    memcpy(VARDATA(value), hash.bytes, sizeof(ContentHash));
    return PointerGetDatum(value);
}

static Datum hash_of(const HeldRow *held) {
    return hash_datum(held->row.hash ? held->hash : content_of(held->row.document, held->row.document_is_null));
}

// insert_reject keeps what could not be loaded; the place and the document are in the first parameters.
static void insert_reject(Parameters *parameters, Datum hash, const Refusal *refusal, Datum columns) {
    add_value(parameters, BYTEAOID, hash);
    add_text(parameters, unpack_sql_state(refusal->sqlstate));
    add_text(parameters, refusal->message);
    add_text(parameters, refusal->detail);
    add_value(parameters, TEXTARRAYOID, columns);
    static CatalogStatement insert;
    catalog_prepared(&insert,
                     "INSERT INTO sluice.reject (pipeline_id, run_id, source_row, document, hash, sqlstate, message, "
                     "detail, source_columns) VALUES ($1::int, $2, $3, $4, $5, $6, $7, $8::jsonb, $9)",
                     parameters);
}

static void insert_document(const Pipeline *pipeline, int64 run, Oid type, const ShredPlan *plan, const HeldRow *held) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_int(&parameters, run);
    add_text(&parameters, held->row.place);
    add_text(&parameters, document_text(type, &held->row));
    insert_reject(&parameters, hash_of(held), held->refusal, column_texts(plan, &held->row));
}

static void refuse_again(int64 number, const Refusal *refusal) {
    Parameters parameters{};
    add_int(&parameters, number);
    add_text(&parameters, unpack_sql_state(refusal->sqlstate));
    add_text(&parameters, refusal->message);
    add_text(&parameters, refusal->detail);
    static CatalogStatement update;
    catalog_prepared(&update,
                     "UPDATE sluice.reject SET sqlstate = $2, message = $3, detail = $4::jsonb, tried_at = "
                     "pg_catalog.now() WHERE reject_id = $1",
                     &parameters);
}

void release_reject(int64 number) {
    Parameters parameters{};
    add_int(&parameters, number);
    static CatalogStatement remove;
    catalog_prepared(&remove, "DELETE FROM sluice.reject WHERE reject_id = $1", &parameters);
}

int64 keep_rejects(const Pipeline *pipeline, int64 run, Oid document_type, const ShredPlan *plan, const Chunk *chunk) {
    int64 released = 0;
    for (int i = 0; i < chunk->count; i++) {
        const HeldRow *held = &chunk->rows[i];
        if (held->number != 0 && !held->refusal) {
            release_reject(held->number);
            released++;
        } else if (held->number != 0) {
            refuse_again(held->number, held->refusal);
        } else if (held->refusal) {
            insert_document(pipeline, run, document_type, plan, held);
        }
    }
    return released;
}

// row_texts writes the columns of a row so that they come back as they were, as column_texts does: JSON would not tell a null in
// it from a column that is null, and has no place for the bounds of arrays.
static Datum row_texts(Datum whole) {
    HeapTupleHeader header = DatumGetHeapTupleHeader(whole);
    TupleDesc columns = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
    Datum *texts = static_cast<Datum *>(palloc0(sizeof(Datum) * (2 * columns->natts + 1)));
    bool *nulls = static_cast<bool *>(palloc0(sizeof(bool) * (2 * columns->natts + 1)));
    int count = 0;
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        if (column->attisdropped)
            continue;
        const Datum value = GetAttributeByNum(header, i + 1, &nulls[2 * count + 1]);
        texts[2 * count] = CStringGetTextDatum(NameStr(column->attname));
        if (!nulls[2 * count + 1])
            texts[2 * count + 1] = CStringGetTextDatum(stored_text(column->atttypid, value));
        count++;
    }
    ReleaseTupleDesc(columns);
    int dimensions[] = {count, 2}, lower[] = {1, 1};
    return PointerGetDatum(
        construct_md_array(texts, nulls, count > 0 ? 2 : 0, dimensions, lower, TEXTOID, -1, false, TYPALIGN_INT));
}

void keep_row(const Pipeline *pipeline, int64 run, const SourceRow *row, const char *place, Datum whole,
              const Refusal *refusal) {
    if (row->number != 0) {
        refuse_again(row->number, refusal);
        return;
    }
    const Datum document = DirectFunctionCall1(row_to_json, whole);
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    add_int(&parameters, run);
    add_text(&parameters, place);
    add_text(&parameters, TextDatumGetCString(document));
    insert_reject(&parameters, hash_datum(row->hash ? *row->hash : content_of(document, false)), refusal,
                  row_texts(whole));
}

// ---- reading them again

class RejectCursor : public Cursor {
public:
    RejectCursor(const Pipeline *pipeline, Cursor *source_cursor) : pipeline_(pipeline), source_(source_cursor) {
        Parameters parameters{};
        add_int(&parameters, pipeline->id);
        catalog_execute("SELECT coalesce(max(reject_id), 0), count(*) FROM sluice.reject WHERE pipeline_id = $1::int",
                        &parameters);
        bool is_null;
        last_ = result_int(0, 1, &is_null);
        count_ = result_int(0, 2, &is_null);
        free_result();
    }

    void check(Relation source) override { check_read_columns(pipeline_, source); }

    void prepare(Relation source, const SourceColumns *columns) override {
        TupleDesc row = RelationGetDescr(source);
        note_document(source, columns);
        columns_ = columns->count;
        types_ = static_cast<Oid *>(palloc(sizeof(Oid) * (columns_ + 1)));
        names_ = static_cast<const char **>(palloc(sizeof(char *) * (columns_ + 1)));
        for (int i = 0; i < columns_; i++) {
            types_[i] = TupleDescAttr(row, columns->numbers[i] - 1)->atttypid;
            names_[i] = pstrdup(NameStr(TupleDescAttr(row, columns->numbers[i] - 1)->attname));
        }
        values_ = static_cast<Datum *>(palloc(sizeof(Datum) * (columns_ + 1)));
        nulls_ = static_cast<bool *>(palloc(sizeof(bool) * (columns_ + 1)));
    }

    bool look() override { return position_ < last_; }

    // The statement reads a few at a time: documents may be large.
    bool open(int64 rows) override {
        Parameters parameters{};
        add_int(&parameters, pipeline_->id);
        add_int(&parameters, position_);
        add_int(&parameters, last_);
        add_int(&parameters, Min(rows, static_cast<int64>(rows_in_memory)));
        static CatalogStatement select;
        fetched_ =
            catalog_prepared(&select,
                             "SELECT r.reject_id, r.document, r.source_row, r.source_columns FROM sluice.reject r "
                             "WHERE r.pipeline_id = $1::int AND r.reject_id > $2 AND r.reject_id <= $3 "
                             "ORDER BY r.reject_id LIMIT $4",
                             &parameters);
        rows_ = SPI_tuptable;
        next_ = 0;
        return fetched_ > 0;
    }

    bool read(SourceRow *row) override {
        if (next_ == fetched_)
            return false;
        HeapTuple tuple = rows_->vals[next_++];
        bool is_null;
        position_ = DatumGetInt64(SPI_getbinval(tuple, rows_->tupdesc, 1, &is_null));
        row->number = position_;
        row->document = document_of(tuple, &row->document_is_null);
        row->hash = NULL;
        place_ = SPI_getvalue(tuple, rows_->tupdesc, 3);
        read_columns(tuple, row);
        return true;
    }

    void close() override {
        SPI_freetuptable(rows_);
        rows_ = NULL;
    }

    bool advance(bool, bool, int64) override { return position_ < last_; }
    void store(int64) override {}
    void describe(const SourceRow *, StringInfo to) override { appendStringInfoString(to, place_); }
    int64 expected() override { return count_; }
    const char *unread(Relation) override { return "false"; }
    const char *read_by(Relation, Jsonb *, int64) override { return "false"; }
    Estimate estimate(Relation) override { return Estimate{}; }
    const char *show() override { return source_->show(); }
    void seek(Relation, Jsonb *) override {}
    void rewind(Relation, Jsonb *, int64, int64) override {}
    void restart(Relation, int64) override {}
    void end() override { source_->end(); }

protected:
    void note_document(Relation source, const SourceColumns *columns) {
        document_ = getBaseType(TupleDescAttr(RelationGetDescr(source), columns->column - 1)->atttypid);
    }

    Datum document_of(HeapTuple tuple, bool *is_null) const {
        const char *text = SPI_getvalue(tuple, rows_->tupdesc, 2);
        *is_null = !text;
        if (!text)
            return 0;
        return document_ == JSONBOID ? DirectFunctionCall1(jsonb_in, CStringGetDatum(text)) : CStringGetTextDatum(text);
    }

    // Pairs of name and text.
    struct KeptColumns {
        Datum *texts;
        bool *nulls;
        int count;
    };

    KeptColumns kept_columns(HeapTuple tuple) const {
        KeptColumns kept;
        bool is_null;
        const Datum array = SPI_getbinval(tuple, rows_->tupdesc, 4, &is_null);
        deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &kept.texts, &kept.nulls,
                          &kept.count);
        return kept;
    }

    // kept_value: null where the column was not kept, since the mapping, or the source, had others then.
    static Datum kept_value(const KeptColumns *kept, const char *name, Oid type, bool *is_null) {
        int at = 0;
        while (at < kept->count && strcmp(TextDatumGetCString(kept->texts[at]), name) != 0)
            at += 2;
        *is_null = at >= kept->count || kept->nulls[at + 1];
        return *is_null ? 0 : stored_datum(type, TextDatumGetCString(kept->texts[at + 1]));
    }

    void read_columns(HeapTuple tuple, SourceRow *row) {
        const KeptColumns kept = kept_columns(tuple);
        for (int i = 0; i < columns_; i++)
            values_[i] = kept_value(&kept, names_[i], types_[i], &nulls_[i]);
        row->columns = values_;
        row->nulls = nulls_;
    }

    const Pipeline *pipeline_;
    Cursor *source_;
    int64 position_ = 0, last_ = 0, count_ = 0;
    Oid document_ = InvalidOid;
    int columns_ = 0;
    Oid *types_ = NULL;
    const char **names_ = NULL;
    Datum *values_ = NULL;
    bool *nulls_ = NULL;
    const char *place_ = NULL;
    SPITupleTable *rows_ = NULL;
    uint64 next_ = 0, fetched_ = 0;
};

// Rows that are no documents, and documents for which conditions are to be evaluated, are made again from what was kept of their
// columns, and selected as the source's rows are. (The function of the statement gives back the row that it is given.)
class RejectedRows final : public RejectCursor {
public:
    using RejectCursor::RejectCursor;

    void prepare(Relation source, const SourceColumns *columns) override {
        const char *statement = psprintf("SELECT j.number, %s FROM pg_catalog.generate_subscripts($1, 1) j (number), "
                                         "LATERAL pg_catalog.jsonb_populate_record($1[j.number], '{}') s ORDER BY 1",
                                         column_list(columns));
        document_column_ = columns->column;
        if (document_column_ > 0)
            note_document(source, columns);
        row_type_ = CreateTupleDescCopy(RelationGetDescr(source));
        row_oid_ = RelationGetForm(source)->reltype;
        Oid types[] = {get_array_type(row_oid_)};
        reader_ = prepare_reader(statement, lengthof(types), types, columns, false);
    }

    bool open(int64 rows) override {
        if (!RejectCursor::open(document_column_ > 0 ? Min(rows, static_cast<int64>(steady_rows)) : rows))
            return false;
        Datum *made = static_cast<Datum *>(palloc(sizeof(Datum) * fetched_));
        for (uint64 i = 0; i < fetched_; i++)
            made[i] = made_again(rows_->vals[i]);
        Datum parameters[] = {
            PointerGetDatum(construct_array(made, static_cast<int>(fetched_), row_oid_, -1, false, TYPALIGN_DOUBLE))};
        open_reader(reader_, parameters);
        return true;
    }

    bool read(SourceRow *row) override {
        if (!read_row(reader_, row))
            return false;
        HeapTuple tuple = rows_->vals[next_++];
        bool is_null;
        row->number = position_ = DatumGetInt64(SPI_getbinval(tuple, rows_->tupdesc, 1, &is_null));
        row->hash = NULL;
        place_ = SPI_getvalue(tuple, rows_->tupdesc, 3);
        return true;
    }

    void close() override {
        close_reader(reader_);
        RejectCursor::close();
    }

private:
    // made_again makes a row of the source as it is now: columns that were added since are null.
    Datum made_again(HeapTuple tuple) {
        Datum *values = static_cast<Datum *>(palloc0(sizeof(Datum) * row_type_->natts));
        bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * row_type_->natts));
        const KeptColumns kept = kept_columns(tuple);
        for (int i = 0; i < row_type_->natts; i++) {
            Form_pg_attribute column = TupleDescAttr(row_type_, i);
            nulls[i] = true;
            if (i + 1 == document_column_)
                values[i] = document_of(tuple, &nulls[i]);
            else if (!column->attisdropped)
                values[i] = kept_value(&kept, NameStr(column->attname), column->atttypid, &nulls[i]);
        }
        return HeapTupleGetDatum(heap_form_tuple(row_type_, values, nulls));
    }

    AttrNumber document_column_ = 0; // 0: rows are no documents
    SourceReader *reader_ = NULL;
    TupleDesc row_type_ = NULL;
    Oid row_oid_ = InvalidOid;
};

Cursor *make_reject_cursor(const Pipeline *pipeline, Cursor *source_cursor) {
    if (!pipeline->document || pipeline->checks != NIL)
        return new (palloc(sizeof(RejectedRows))) RejectedRows(pipeline, source_cursor);
    return new (palloc(sizeof(RejectCursor))) RejectCursor(pipeline, source_cursor);
}

} // namespace sluice
