// Content: the first half of a document's SHA-256.
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
    check_document(get_fn_expr_argtype(fcinfo->flinfo, 0));
    pg_uuid_t *result = static_cast<pg_uuid_t *>(palloc(sizeof(pg_uuid_t)));
    const ContentHash hash = content_of(PG_GETARG_DATUM(0), PG_ARGISNULL(0));
    memcpy(result, &hash, sizeof(hash));
    return UUIDPGetDatum(result);
}

} // extern "C"
