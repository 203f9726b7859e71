// The one door to the server's headers, and the one place that knows the differences between PostgreSQL 14 and 18.
//
// Every file that talks to the server includes this first (before any C++ header: the server redefines printf and
// friends). Files that hold pure C++ which may throw (json_text.cpp) never include it: see bridge.hpp.
#pragma once

extern "C" {
#include "postgres.h"

#include "access/attmap.h"
#include "access/genam.h"
#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_subscription_rel.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "common/cryptohash.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "common/sha2.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "foreign/fdwapi.h"
#include "funcapi.h"
#include "lib/rbtree.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_func.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "parser/scansup.h"
#include "partitioning/partdesc.h"
#include "pgstat.h"
#include "port/pg_bswap.h"
#include "postmaster/bgworker.h"
#include "postmaster/postmaster.h"
#include "rewrite/rewriteHandler.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/expandeddatum.h"
#include "utils/fmgroids.h"
#include "utils/formatting.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/resowner.h"
#include "utils/rls.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/sortsupport.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"
#include "utils/uuid.h"
#include "utils/varlena.h"
#include "utils/wait_event.h"
#include "utils/xid8.h"
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#endif
}

namespace sluice {

// Which index entries a version of a row needs: of one written over another on the same page often none, or only those of
// indexes that summarise (BRIN).
enum class IndexEntries : uint8_t { None, All, Summarizing };

// exec_insert_index_tuples makes the index entries of one row that was inserted, or written over another one; it returns
// the indexes to be checked again later.
inline List *exec_insert_index_tuples(ResultRelInfo *relation, TupleTableSlot *slot, EState *estate, bool update,
                                      IndexEntries entries = IndexEntries::All) {
#if PG_VERSION_NUM >= 160000
    return ExecInsertIndexTuples(relation, slot, estate, update, false, NULL, NIL,
                                 entries == IndexEntries::Summarizing);
#else
    (void)entries;
    return ExecInsertIndexTuples(relation, slot, estate, update, false, NULL, NIL);
#endif
}

// insert_unchanged_entry makes the entry of a row that was written over another one with the same key, in the only index of its
// relation, that of the key. No other row can have it: that was made sure of when the first one came. Where the index
// `may_have_dead` entries, it looks for them before it splits a page.
inline void insert_unchanged_entry(ResultRelInfo *relation, Datum *key, bool *nulls, ItemPointer tid,
                                   bool may_have_dead) {
    (void)index_insert(relation->ri_IndexRelationDescs[0], key, nulls, tid, relation->ri_RelationDesc, UNIQUE_CHECK_NO,
                       may_have_dead, relation->ri_IndexRelationInfo[0]);
}

// may_have_dead_rows tells whether a table has dead rows, by what statistics know, and this session is going to tell them.
// (Those of 14 are in a file.)
inline bool may_have_dead_rows(Relation relation) {
#if PG_VERSION_NUM >= 150000
    const PgStat_StatTabEntry *known = pgstat_fetch_stat_tabentry(RelationGetRelid(relation));
    const PgStat_TableStatus *own = relation->pgstat_info;
    if (!pgstat_track_counts || !known)
        return true;
#if PG_VERSION_NUM >= 160000
    return known->dead_tuples + (own ? own->counts.delta_dead_tuples : 0) > 0;
#else
    return known->n_dead_tuples + (own ? own->t_counts.t_delta_dead_tuples : 0) > 0;
#endif
#else
    (void)relation;
    return true;
#endif
}

// update_tuple writes a new version of the row at `tid`.
inline TM_Result update_tuple(Relation relation, ItemPointer tid, TupleTableSlot *slot, CommandId command,
                              Snapshot snapshot, IndexEntries *entries) {
    TM_FailureData failure;
    LockTupleMode mode;
#if PG_VERSION_NUM >= 160000
    TU_UpdateIndexes update = TU_None;
    const TM_Result result =
        table_tuple_update(relation, tid, slot, command, snapshot, InvalidSnapshot, true, &failure, &mode, &update);
    *entries = update == TU_All    ? IndexEntries::All
               : update == TU_None ? IndexEntries::None
                                   : IndexEntries::Summarizing;
#else
    bool update = false;
    const TM_Result result =
        table_tuple_update(relation, tid, slot, command, snapshot, InvalidSnapshot, true, &failure, &mode, &update);
    *entries = update ? IndexEntries::All : IndexEntries::None;
#endif
    return result;
}

// fire_after_row_update queues the AFTER ROW triggers of an update.
inline void fire_after_row_update(EState *estate, ResultRelInfo *relation, ItemPointer tid, TupleTableSlot *slot,
                                  List *recheck, TransitionCaptureState *capture) {
#if PG_VERSION_NUM >= 150000
    ExecARUpdateTriggers(estate, relation, NULL, NULL, tid, NULL, slot, recheck, capture, false);
#else
    ExecARUpdateTriggers(estate, relation, tid, NULL, slot, recheck, capture);
#endif
}

// check_valid_insert_target refuses what an INSERT could not write to (a view without INSTEAD OF trigger, a sequence ...).
inline void check_valid_insert_target(ResultRelInfo *relation) {
#if PG_VERSION_NUM >= 180000
    CheckValidResultRel(relation, CMD_INSERT, ONCONFLICT_NONE, NIL);
#elif PG_VERSION_NUM >= 170000
    CheckValidResultRel(relation, CMD_INSERT, NIL);
#else
    CheckValidResultRel(relation, CMD_INSERT);
#endif
}

// walk_expression visits the parts of an expression.
inline bool walk_expression(Node *node, bool (*walker)(Node *, void *), void *context) {
#if PG_VERSION_NUM >= 160000
    return expression_tree_walker(node, walker, context);
#else
    return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void *>(walker)), context);
#endif
}

// walk_parsed visits the parts of what the parser made of a statement, before anything in it was looked up.
inline bool walk_parsed(Node *node, bool (*walker)(Node *, void *), void *context) {
#if PG_VERSION_NUM >= 160000
    return raw_expression_tree_walker(node, walker, context);
#else
    return raw_expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void *>(walker)), context);
#endif
}

// is_merge_statement tells a parsed MERGE.
inline bool is_merge_statement(const Node *node) {
#if PG_VERSION_NUM >= 150000
    return IsA(node, MergeStmt);
#else
    (void)node;
    return false;
#endif
}

// enable_trigger_always lets a trigger fire in sessions in replica role, too; with it those that partitions have of it.
inline void enable_trigger_always(Relation relation, const char *trigger) {
#if PG_VERSION_NUM >= 160000
    EnableDisableTrigger(relation, trigger, InvalidOid, TRIGGER_FIRES_ALWAYS, false, true, ShareRowExclusiveLock);
#else
    EnableDisableTrigger(relation, trigger, TRIGGER_FIRES_ALWAYS, false, ShareRowExclusiveLock);
#endif
}

// root_to_partition_map tells how a row of the partitioned root becomes a row of this partition; NULL when they agree.
inline TupleConversionMap *root_to_partition_map(ResultRelInfo *relation, EState *estate) {
#if PG_VERSION_NUM >= 160000
    return relation->ri_RootResultRelInfo ? ExecGetRootToChildMap(relation, estate) : NULL;
#else
    (void)estate;
    return relation->ri_RootToPartitionMap;
#endif
}

// partition_to_root_map tells the other way round.
inline TupleConversionMap *partition_to_root_map(ResultRelInfo *relation) { return ExecGetChildToRootMap(relation); }

// An InsertRangeTable is the range table of INSERTs into several relations at once.
struct InsertRangeTable {
    List *entries;
    List *permissions;
};

// add_insert_target adds a relation; `columns` (attribute numbers, offset as the server does) are those to be filled;
// `updated` those that are written over in rows that are there, which are found by those in `selected`.
inline void add_insert_target(InsertRangeTable *range, Relation relation, Bitmapset *columns, Bitmapset *updated,
                              Bitmapset *selected) {
    const AclMode needed = ACL_INSERT | (updated ? ACL_UPDATE : 0) | (selected ? ACL_SELECT : 0);
    RangeTblEntry *entry = makeNode(RangeTblEntry);
    entry->rtekind = RTE_RELATION;
    entry->relid = RelationGetRelid(relation);
    entry->relkind = relation->rd_rel->relkind;
    entry->rellockmode = RowExclusiveLock;
    range->entries = lappend(range->entries, entry);
#if PG_VERSION_NUM >= 160000
    RTEPermissionInfo *permission = addRTEPermissionInfo(&range->permissions, entry);
    permission->requiredPerms = needed;
    permission->insertedCols = columns;
    permission->updatedCols = updated;
    permission->selectedCols = selected;
#else
    entry->requiredPerms = needed;
    entry->insertedCols = columns;
    entry->updatedCols = updated;
    entry->selectedCols = selected;
#endif
}

// init_insert_range_table checks the INSERT privileges and hands the range table to the executor.
inline void init_insert_range_table(EState *estate, InsertRangeTable *range) {
#if PG_VERSION_NUM >= 160000
    ExecCheckPermissions(range->entries, range->permissions, true);
#if PG_VERSION_NUM >= 180000
    ExecInitRangeTable(estate, range->entries, range->permissions, bms_add_range(NULL, 1, list_length(range->entries)));
#else
    ExecInitRangeTable(estate, range->entries, range->permissions);
#endif
#else
    ExecCheckRTPerms(range->entries, true);
    ExecInitRangeTable(estate, range->entries);
#endif
}

// parse_datetime_strictly reads text by a to_timestamp format and refuses what is left over; the type follows the format.
inline Datum parse_datetime_strictly(text *value, text *format, Oid *type, int32 *typmod, int *zone) {
    return parse_datetime(value, format, DEFAULT_COLLATION_OID, true, type, typmod, zone, NULL);
}

// begin_index_scan begins a plain scan of an index.
inline IndexScanDesc begin_index_scan(Relation heap, Relation index, Snapshot snapshot, int keys) {
#if PG_VERSION_NUM >= 180000
    return index_beginscan(heap, index, snapshot, NULL, keys, 0);
#else
    return index_beginscan(heap, index, snapshot, keys, 0);
#endif
}

// A lock holder: a virtual transaction (backend, number), or a prepared one (no backend, its transaction id).
inline int holder_backend(const VirtualTransactionId &holder) {
#if PG_VERSION_NUM >= 170000
    return holder.procNumber;
#else
    return holder.backendId;
#endif
}
#if PG_VERSION_NUM >= 170000
constexpr int no_backend = INVALID_PROC_NUMBER;
#else
constexpr int no_backend = InvalidBackendId;
#endif

inline PGPROC *backend_process(int backend) {
#if PG_VERSION_NUM >= 170000
    return ProcNumberGetProc(backend);
#else
    return BackendIdGetProc(backend);
#endif
}

inline LocalTransactionId process_transaction(const PGPROC *process) {
#if PG_VERSION_NUM >= 170000
    return process->vxid.lxid;
#else
    return process->lxid;
#endif
}

inline int own_backend() {
#if PG_VERSION_NUM >= 170000
    return MyProcNumber;
#else
    return MyBackendId;
#endif
}

// open_process finds the process in which a virtual transaction is going on; NULL when it has ended or was prepared.
inline PGPROC *open_process(int64 backend, int64 transaction) {
    PGPROC *process = backend == no_backend ? NULL : backend_process(static_cast<int>(backend));
    return process && process_transaction(process) == static_cast<LocalTransactionId>(transaction) ? process : NULL;
}

// holds_lock tells whether this session holds a lock in just this mode.
inline bool holds_lock(const LOCKTAG *tag, LOCKMODE mode) {
#if PG_VERSION_NUM >= 170000
    return LockHeldByMe(tag, mode, false);
#else
    return LockHeldByMe(tag, mode);
#endif
}

// may_use_schema tells whether the current user may look names up in a schema.
inline bool may_use_schema(Oid schema) {
#if PG_VERSION_NUM >= 160000
    return object_aclcheck(NamespaceRelationId, schema, GetUserId(), ACL_USAGE) == ACLCHECK_OK;
#else
    return pg_namespace_aclcheck(schema, GetUserId(), ACL_USAGE) == ACLCHECK_OK;
#endif
}

// owns_relation tells whether the current user may do what only the owner of a relation may.
inline bool owns_relation(Oid relation) {
#if PG_VERSION_NUM >= 160000
    return object_ownercheck(RelationRelationId, relation, GetUserId());
#else
    return pg_class_ownercheck(relation, GetUserId());
#endif
}

// begin_result_rows makes the store into which a function that returns rows puts them, all before it returns.
inline Tuplestorestate *begin_result_rows(FunctionCallInfo fcinfo, TupleDesc *columns) {
    ReturnSetInfo *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
    if (!result || !IsA(result, ReturnSetInfo) || !(result->allowedModes & SFRM_Materialize))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("the function returns rows, and is called where none are taken"),
                        errhint("Write SELECT * FROM the function.")));
    MemoryContext before = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
    if (get_call_result_type(fcinfo, NULL, columns) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    *columns = CreateTupleDescCopy(*columns);
    Tuplestorestate *rows =
        tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
    result->returnMode = SFRM_Materialize;
    result->setResult = rows;
    result->setDesc = *columns;
    MemoryContextSwitchTo(before);
    return rows;
}

inline bool owns_or_is_member(Oid role) { return has_privs_of_role(GetUserId(), role); }

} // namespace sluice
