// See reject.hpp. A reject keeps the document as text, as it was written, and what else of the source row the mapping asks
// for, so that it can be loaded again when the source row is long gone.
#include "reject.hpp"

#include "catalog.hpp"
#include "names.hpp"

namespace sluice {

// ---- keeping

static char *document_text(Oid type, Datum document) {
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
    return hash_datum(held->row.hash ? held->hash : content_of(held->row.document, false));
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
    add_text(&parameters, document_text(type, held->row.document));
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
                  PointerGetDatum(construct_empty_array(TEXTOID)));
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

    void check(Relation) override {}

    void prepare(Relation source, const SourceColumns *columns) override {
        TupleDesc row = RelationGetDescr(source);
        document_ = getBaseType(TupleDescAttr(row, columns->column - 1)->atttypid);
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
        row->document = document_of(SPI_getvalue(tuple, rows_->tupdesc, 2));
        row->document_is_null = false;
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
    void end() override { source_->end(); }

protected:
    Datum document_of(const char *text) const {
        return document_ == JSONBOID ? DirectFunctionCall1(jsonb_in, CStringGetDatum(text)) : CStringGetTextDatum(text);
    }

    void read_columns(HeapTuple tuple, SourceRow *row) {
        bool is_null;
        const Datum array = SPI_getbinval(tuple, rows_->tupdesc, 4, &is_null);
        Datum *texts;
        bool *nulls;
        int count;
        deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &count);
        for (int i = 0; i < columns_; i++) {
            int at = 0;
            while (at < count && strcmp(TextDatumGetCString(texts[at]), names_[i]) != 0)
                at += 2;
            nulls_[i] = at >= count || nulls[at + 1]; // the mapping may ask for other columns now
            values_[i] = nulls_[i] ? 0 : stored_datum(types_[i], TextDatumGetCString(texts[at + 1]));
        }
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

// Rows that are no documents are made again from what was kept of them, and selected as the source's rows are.
class RejectedRows final : public RejectCursor {
public:
    using RejectCursor::RejectCursor;

    void prepare(Relation source, const SourceColumns *columns) override {
        const char *statement =
            psprintf("SELECT j.number, %s FROM ROWS FROM (pg_catalog.unnest($1)) WITH ORDINALITY j (document, number), "
                     "LATERAL pg_catalog.json_populate_record(NULL::%s, j.document) s ORDER BY 1",
                     column_list(columns), relation_name(RelationGetRelid(source)));
        Oid types[] = {JSONARRAYOID};
        reader_ = prepare_reader(statement, lengthof(types), types, columns, false);
    }

    bool open(int64 rows) override {
        if (!RejectCursor::open(rows))
            return false;
        Datum *documents = static_cast<Datum *>(palloc(sizeof(Datum) * fetched_));
        for (uint64 i = 0; i < fetched_; i++)
            documents[i] = CStringGetTextDatum(SPI_getvalue(rows_->vals[i], rows_->tupdesc, 2));
        Datum parameters[] = {
            PointerGetDatum(construct_array(documents, static_cast<int>(fetched_), JSONOID, -1, false, TYPALIGN_INT))};
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
    SourceReader *reader_ = NULL;
};

Cursor *make_reject_cursor(const Pipeline *pipeline, Cursor *source_cursor) {
    if (!pipeline->document)
        return new (palloc(sizeof(RejectedRows))) RejectedRows(pipeline, source_cursor);
    return new (palloc(sizeof(RejectCursor))) RejectCursor(pipeline, source_cursor);
}

} // namespace sluice
