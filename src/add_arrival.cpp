// What makes arrivals known: sluice.add_snapshot_column and sluice.add_arrival_index, as the caller; and sluice.rebase, for
// stamps that came here by a dump.
#include "postgres.hpp"

#include "arrival_index.hpp"
#include "catalog.hpp"
#include "cursor.hpp"
#include "names.hpp"
#include "pipeline.hpp"
#include "rights.hpp"
#include "stamp.hpp"

namespace sluice {

static void execute(const char *statement) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(statement, false, 0) < 0)
        elog(ERROR, "unexpected result of %s", statement);
    MemoryContextSwitchTo(memory);
}

static void require_table(Oid source) {
    const char kind = get_rel_relkind(source);
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        argument_error("source", psprintf("%s is no table", relation_name(source)), NULL);
    if (!owns_relation(source))
        aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(source));
}

// ---- the snapshot column

static bool has_column(Oid source, const char *column) { return get_attnum(source, column) > 0; }

static const char *key_columns(Relation source) {
    StringInfoData list;
    initStringInfo(&list);
    (void)RelationGetIndexList(source); // sets rd_pkindex
    if (!OidIsValid(source->rd_pkindex))
        return "";
    Relation index = index_open(source->rd_pkindex, AccessShareLock);
    for (int i = 0; i < index->rd_index->indnkeyatts; i++)
        appendStringInfo(
            &list, ", %s",
            quote_identifier(get_attname(RelationGetRelid(source), index->rd_index->indkey.values[i], false)));
    index_close(index, AccessShareLock);
    return list.data;
}

static void check_existing(Oid source, const char *column) {
    Relation relation = relation_open(source, AccessShareLock);
    check_stamp_source(relation, column);
    relation_close(relation, AccessShareLock);
}

static void add_snapshot_column(Oid source, const char *column) {
    require_table(source);
    const char *table = relation_name(source), *name = quote_identifier(column);
    if (has_column(source, column))
        check_existing(source, column);
    else
        execute(
            psprintf("ALTER TABLE %s ADD COLUMN %s pg_catalog.xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id()",
                     table, name));
    Relation relation = relation_open(source, AccessShareLock);
    const bool indexed = has_stamp_index(relation, column);
    const char *key = key_columns(relation);
    relation_close(relation, AccessShareLock);
    if (!indexed)
        execute(psprintf("CREATE INDEX ON %s (%s%s)", table, name, key));
}

// ---- the arrival index

static const char *choose_document(Relation source) {
    const char *found = NULL;
    TupleDesc columns = RelationGetDescr(source);
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        const Oid type = getBaseType(column->atttypid);
        if (column->attisdropped || (type != JSONBOID && type != JSONOID))
            continue;
        if (found)
            argument_error(
                "document",
                psprintf("%s has more than one column of type json or jsonb", relation_name(RelationGetRelid(source))),
                "Name the one that holds the documents.");
        found = pstrdup(NameStr(column->attname));
    }
    if (!found)
        argument_error("document",
                       psprintf("%s has no column of type json or jsonb", relation_name(RelationGetRelid(source))),
                       "Name the one that holds the documents.");
    return found;
}

static void add_arrival_index(Oid source, const char *document) {
    require_table(source);
    Relation relation = relation_open(source, AccessShareLock);
    if (!document)
        document = choose_document(relation);
    if (!has_column(source, document))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_COLUMN),
                 errmsg("document: column \"%s\" of source %s does not exist", document, relation_name(source)),
                 nearest_column_hint(relation, document) ? errhint("%s", nearest_column_hint(relation, document)) : 0));
    const bool indexed = has_arrival_index(relation, document);
    relation_close(relation, AccessShareLock);
    if (indexed)
        ereport(NOTICE, (errmsg("source %s has an arrival index already", relation_name(source))));
    else
        execute(psprintf("CREATE INDEX ON %s (sluice.arrival(%s))", relation_name(source), quote_identifier(document)));
}

// ---- rebase

// What the stamps of the source's rows say, after a dump brought position and rows here. Rows inserted here since are stamped
// with numbers from `since` on, and their own writer is that transaction, or a later one (of a subtransaction, of an update).
struct Rebase {
    const char *table, *column;
    const char *unread; // by the old numbers
    const char *writer; // xmin in full
    uint64 since, next;
};

static Rebase plan_rebase(Relation source, const char *column, const ArrivalPosition *position) {
    Rebase rebase{};
    rebase.table = relation_name(RelationGetRelid(source));
    rebase.column = quote_identifier(column);
    rebase.unread = unread_condition(describe_stamps(source, column, position), position);
    rebase.since = position->moved_at;
    rebase.next = next_transaction();
    const uint64 base = rebase.next & ~UINT64CONST(0xFFFFFFFF);
    rebase.writer = psprintf("(CASE WHEN s.xmin::text::bigint + " UINT64_FORMAT " < " UINT64_FORMAT
                             " THEN s.xmin::text::bigint + " UINT64_FORMAT " ELSE s.xmin::text::bigint + " UINT64_FORMAT
                             " - 4294967296 END)",
                             base, rebase.next, base, base);
    return rebase;
}

// is_from_here tells rows that a transaction of this cluster stamped: for certain, or perhaps. Of rows written by the
// transaction that their stamp names one is doubtful when that transaction also wrote rows with other stamps: it may be the
// one that brought them all here.
static const char *is_from_here(const Rebase *rebase, bool certain) {
    const char *mixed =
        psprintf("s.xmin::text IN (SELECT o.xmin::text FROM %s o WHERE o.%s::text::bigint %% 4294967296 <> "
                 "o.xmin::text::bigint)",
                 rebase->table, rebase->column);
    const char *recent = psprintf("s.%s > '" UINT64_FORMAT "'::xid8 AND s.%s < '" UINT64_FORMAT "'::xid8",
                                  rebase->column, rebase->since, rebase->column, rebase->next);
    const char *own = psprintf("s.%s::text::numeric = %s", rebase->column, rebase->writer);
    if (certain)
        return psprintf("(%s AND %s AND NOT %s)", recent, own, mixed);
    return psprintf("(%s AND (s.%s::text::numeric < %s OR (%s AND %s)))", recent, rebase->column, rebase->writer, own,
                    mixed);
}

static void refuse_unclear(const Pipeline *pipeline, const Rebase *rebase) {
    const int64 unclear = count_rows(
        psprintf("SELECT pg_catalog.count(*) FROM %s s WHERE %s", rebase->table, is_from_here(rebase, false)), 0, NULL,
        NULL);
    if (unclear > 0)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("of " INT64_FORMAT " rows of %s it cannot be told whether they were inserted here or came "
                        "with the dump",
                        unclear, rebase->table),
                 errhint("Look at them (%s > '" UINT64_FORMAT "'), then run SELECT sluice.rebase(%s, inserted_here "
                         "=> true or false).",
                         rebase->column, rebase->since, quote_literal_cstr(pipeline->name))));
}

// restamp gives rows that are to be read the number of this transaction, and those that were read a number of the past.
static int64 restamp(const Rebase *rebase, bool inserted_here) {
    const Seen now = seen_now();
    const char *here = is_from_here(rebase, true);
    const char *perhaps = is_from_here(rebase, false);
    const char *pending = psprintf("(CASE WHEN %s THEN true WHEN %s THEN %s ELSE %s END)", here, perhaps,
                                   inserted_here ? "true" : rebase->unread, rebase->unread);
    execute(psprintf("UPDATE %s s SET %s = '3' WHERE s.%s >= '" UINT64_FORMAT "'::xid8 AND NOT %s", rebase->table,
                     rebase->column, rebase->column, now.xmin, pending));
    execute(psprintf("UPDATE %s s SET %s = pg_catalog.pg_current_xact_id() WHERE s.%s <> '3' AND %s", rebase->table,
                     rebase->column, rebase->column, pending));
    return SPI_processed;
}

static void rebase_stamps(const Pipeline *pipeline, Relation source, const char *column, bool known,
                          bool inserted_here) {
    ArrivalPosition position = load_arrival_position(pipeline->id);
    if (!position.moved && position.seen.xmax <= next_transaction())
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("pipeline \"%s\" was not moved here by a dump", pipeline->name),
                        errhint("It needs no rebase.")));
    execute(psprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", relation_name(RelationGetRelid(source))));
    const Rebase rebase = plan_rebase(source, column, &position);
    if (!known)
        refuse_unclear(pipeline, &rebase);
    const int64 pending = restamp(&rebase, inserted_here);
    position.seen = seen_now();
    position.target = Seen{};
    position.stamp = 0;
    position.key = NULL;
    position.leaves = stamped_leaves(RelationGetRelid(source), column);
    store_arrival_position(pipeline->id, &position, 0);
    forget_positions(pipeline->id, false);
    ereport(NOTICE, (errmsg("pipeline \"%s\": " INT64_FORMAT " rows of %s are to be loaded", pipeline->name, pending,
                            relation_name(RelationGetRelid(source)))));
}

static void rebase(const Pipeline *pipeline, bool known, bool inserted_here) {
    const bool by_stamps = strcmp(pipeline->cursor, "snapshot") == 0;
    const OwnerScope owner = switch_to_owner(pipeline);
    Relation source = relation_open(pipeline_source(pipeline), AccessShareLock);
    const char *column = by_stamps ? pipeline->order_by : find_stamp_column(source);
    if (strcmp(pipeline->cursor, "sequence") == 0 || !column || (!by_stamps && !pipeline->keeps_duplicates))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("pipeline \"%s\" does not go by the numbers of transactions", pipeline->name),
                        errhint("It needs no rebase.")));
    rebase_stamps(pipeline, source, column, known, inserted_here);
    relation_close(source, NoLock);
    switch_back(&owner);
}

} // namespace sluice

using namespace sluice;

extern "C" {

static Oid source_argument(FunctionCallInfo fcinfo) {
    if (PG_ARGISNULL(0))
        argument_error("source", "must not be null", NULL);
    return PG_GETARG_OID(0);
}

PG_FUNCTION_INFO_V1(sluice_add_snapshot_column);
Datum sluice_add_snapshot_column(PG_FUNCTION_ARGS) {
    const Oid source = source_argument(fcinfo);
    if (PG_ARGISNULL(1))
        argument_error("column", "must not be null", NULL);
    SPI_connect();
    add_snapshot_column(source, NameStr(*PG_GETARG_NAME(1)));
    SPI_finish();
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(sluice_add_arrival_index);
Datum sluice_add_arrival_index(PG_FUNCTION_ARGS) {
    const Oid source = source_argument(fcinfo);
    SPI_connect();
    add_arrival_index(source, PG_ARGISNULL(1) ? NULL : NameStr(*PG_GETARG_NAME(1)));
    SPI_finish();
    PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(sluice_rebase);
Datum sluice_rebase(PG_FUNCTION_ARGS) {
    const char *name = name_argument(fcinfo);
    SPI_connect();
    const Pipeline *pipeline = find_pipeline(name);
    require_idle(pipeline);
    rebase(pipeline, !PG_ARGISNULL(1), !PG_ARGISNULL(1) && PG_GETARG_BOOL(1));
    SPI_finish();
    PG_RETURN_VOID();
}

} // extern "C"
