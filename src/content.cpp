// Content: the first half of the SHA-256 of a document, or of a row.
//
// Of a jsonb document its binary form is hashed, which is the same for the same values however they were written: blanks
// and the order of keys do not count, digits do (1 and 1.0 are not the same document). Of a json or text document its text
// is hashed as it stands.
//
// The server's own SHA-256 does the work: it is always there, and built with OpenSSL it hashes as fast as the processor can.
// Making its context for every document would cost as much as hashing 300 bytes, so a backend keeps one. Such contexts
// belong to a resource owner, usually of a transaction; ours has an owner without parent, which nothing releases.
#include "content.hpp"

namespace sluice {

static pg_cryptohash_ctx *create_hasher() {
    pg_cryptohash_ctx *hasher = NULL;
    ResourceOwner before = CurrentResourceOwner, owner = ResourceOwnerCreate(NULL, "sluice content");
    MemoryContext memory = MemoryContextSwitchTo(TopMemoryContext);
    PG_TRY();
    {
        CurrentResourceOwner = owner;
        hasher = pg_cryptohash_create(PG_SHA256);
    }
    PG_FINALLY();
    {
        CurrentResourceOwner = before;
        MemoryContextSwitchTo(memory);
    }
    PG_END_TRY();
    return hasher;
}

// update_hasher hashes in pieces, between which a cancel takes effect.
static bool update_hasher(pg_cryptohash_ctx *hasher, const uint8 *data, size_t length) {
    constexpr size_t most = 1024 * 1024;
    for (size_t piece; length > 0; data += piece, length -= piece) {
        piece = Min(length, most);
        CHECK_FOR_INTERRUPTS();
        if (pg_cryptohash_update(hasher, data, piece) < 0)
            return false;
    }
    return true;
}

static void hash_bytes(const char *data, size_t length, ContentHash *hash) {
    static pg_cryptohash_ctx *hasher = NULL;
    if (!hasher)
        hasher = create_hasher();
    uint8 digest[PG_SHA256_DIGEST_LENGTH];
    if (pg_cryptohash_init(hasher) < 0 || !update_hasher(hasher, reinterpret_cast<const uint8 *>(data), length) ||
        pg_cryptohash_final(hasher, digest, sizeof(digest)) < 0)
        elog(ERROR, "could not compute SHA-256");
    memcpy(hash->bytes, digest, sizeof(hash->bytes));
}

ContentHash content_of(Datum document, bool is_null) {
    ContentHash hash{};
    if (is_null)
        return hash;
    struct varlena *stored = static_cast<struct varlena *>(static_cast<void *>(DatumGetPointer(document)));
    struct varlena *plain = pg_detoast_datum_packed(stored);
    hash_bytes(VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain), &hash);
    if (plain != stored)
        pfree(plain);
    return hash;
}

// ---- rows

// The bytes of a row are those of its values, without what a dump would change: the numbers of types, row types and enum
// labels. A change of its settings or of the client's encoding must not make every row a new one, so no value goes through
// its output function but ranges, whose bytes hold such a number.
static void append_value(StringInfo bytes, Oid type, Datum value);

static void append_nullable(StringInfo bytes, Oid type, Datum value, bool is_null) {
    appendStringInfoChar(bytes, is_null ? 0 : 1);
    if (!is_null)
        append_value(bytes, type, value);
}

static void append_row(StringInfo bytes, Datum value) {
    HeapTupleHeader header = DatumGetHeapTupleHeader(value);
    TupleDesc columns = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
    HeapTupleData tuple{};
    tuple.t_len = HeapTupleHeaderGetDatumLength(header);
    tuple.t_data = header;
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * (columns->natts + 1)));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * (columns->natts + 1)));
    heap_deform_tuple(&tuple, columns, values, nulls);
    for (int i = 0; i < columns->natts; i++)
        if (!TupleDescAttr(columns, i)->attisdropped)
            append_nullable(bytes, TupleDescAttr(columns, i)->atttypid, values[i], nulls[i]);
    ReleaseTupleDesc(columns);
}

static void append_array(StringInfo bytes, Datum value) {
    ArrayType *array = DatumGetArrayTypeP(value);
    const TypeCacheEntry *element = lookup_type_cache(ARR_ELEMTYPE(array), 0);
    Datum *values;
    bool *nulls;
    int count;
    deconstruct_array(array, element->type_id, element->typlen, element->typbyval, element->typalign, &values, &nulls,
                      &count);
    appendBinaryStringInfo(bytes, reinterpret_cast<char *>(ARR_DIMS(array)), sizeof(int) * 2 * ARR_NDIM(array));
    for (int i = 0; i < count; i++)
        append_nullable(bytes, element->type_id, values[i], nulls[i]);
}

static void append_bytes(StringInfo bytes, const char *data, int length) {
    appendBinaryStringInfo(bytes, reinterpret_cast<const char *>(&length), sizeof(length));
    appendBinaryStringInfo(bytes, data, length);
}

static void append_text(StringInfo bytes, Oid type, Datum value) {
    Oid output;
    bool varlena;
    getTypeOutputInfo(type, &output, &varlena);
    const char *text = OidOutputFunctionCall(output, value);
    append_bytes(bytes, text, strlen(text));
}

static void append_plain(StringInfo bytes, const TypeCacheEntry *type, Datum value) {
    if (type->typbyval) {
        appendBinaryStringInfo(bytes, reinterpret_cast<const char *>(&value), sizeof(value));
    } else if (type->typlen == -1) {
        struct varlena *plain = PG_DETOAST_DATUM_PACKED(value);
        append_bytes(bytes, VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain));
    } else {
        const char *data = DatumGetPointer(value);
        append_bytes(bytes, data, type->typlen > 0 ? type->typlen : static_cast<int>(strlen(data)));
    }
}

static void append_value(StringInfo bytes, Oid type, Datum value) {
    check_stack_depth();
    const TypeCacheEntry *entry = lookup_type_cache(type, 0);
    if (entry->typtype == TYPTYPE_DOMAIN)
        append_value(bytes, getBaseType(type), value);
    else if (entry->typtype == TYPTYPE_COMPOSITE || type == RECORDOID)
        append_row(bytes, value);
    else if (entry->typtype == TYPTYPE_ENUM || entry->typtype == TYPTYPE_RANGE || entry->typtype == TYPTYPE_MULTIRANGE)
        append_text(bytes, type, value);
    else if (OidIsValid(get_element_type(type)))
        append_array(bytes, value);
    else
        append_plain(bytes, entry, value);
}

static ContentHash content_of_row(Datum row) {
    StringInfoData bytes;
    initStringInfo(&bytes);
    append_row(&bytes, row);
    ContentHash hash{};
    hash_bytes(bytes.data, bytes.len, &hash);
    pfree(bytes.data);
    return hash;
}

const char *content_sql(const char *document, List *columns) {
    if (document)
        return psprintf("sluice.content(s.%s)", quote_identifier(document));
    StringInfoData list;
    initStringInfo(&list);
    ListCell *cell;
    foreach (cell, columns)
        appendStringInfo(&list, "%ss.%s", list.len > 0 ? ", " : "",
                         quote_identifier(static_cast<const char *>(lfirst(cell))));
    return psprintf("sluice.content(ROW(%s))", list.data);
}

// ---- from SQL

static bool is_document(Oid type) {
    return type == JSONBOID || type == JSONOID || type == TEXTOID || type == VARCHAROID;
}

static void check_document(Oid type) {
    if (!is_document(type) && !is_document(getBaseType(type)))
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("type %s holds no documents", format_type_be(type)),
                        errhint("Documents are jsonb, json, text or varchar.")));
}

const char *content_text(const ContentHash *hash) {
    char *text = static_cast<char *>(palloc(sizeof(ContentHash) * 2 + 1));
    for (size_t i = 0; i < sizeof(ContentHash); i++)
        snprintf(text + i * 2, 3, "%02x", hash->bytes[i]);
    return text;
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_document_hash);
Datum sluice_document_hash(PG_FUNCTION_ARGS) {
    const ContentHash hash = content_of(PG_GETARG_DATUM(0), false);
    bytea *result = static_cast<bytea *>(palloc(VARHDRSZ + sizeof(hash)));
    SET_VARSIZE(result, VARHDRSZ + sizeof(hash));
    memcpy(VARDATA(result), &hash, sizeof(hash));
    PG_RETURN_BYTEA_P(result);
}

PG_FUNCTION_INFO_V1(sluice_content);
Datum sluice_content(PG_FUNCTION_ARGS) {
    static_assert(sizeof(ContentHash) == sizeof(pg_uuid_t));
    const Oid type = get_fn_expr_argtype(fcinfo->flinfo, 0);
    const bool is_row = type == RECORDOID;
    if (!is_row)
        check_document(type);
    pg_uuid_t *result = static_cast<pg_uuid_t *>(palloc(sizeof(pg_uuid_t)));
    const ContentHash hash = is_row && !PG_ARGISNULL(0) ? content_of_row(PG_GETARG_DATUM(0))
                                                        : content_of(PG_GETARG_DATUM(0), PG_ARGISNULL(0));
    memcpy(result, &hash, sizeof(hash));
    return UUIDPGetDatum(result);
}

} // extern "C"
