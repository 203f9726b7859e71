// See sequence.hpp.
//
// Why it is safe. nextval takes RowExclusiveLock on the sequence before it draws and holds it to the end of the top
// transaction, whatever way the row takes afterwards: straight into a partition, through a view, or prepared for two-phase
// commit. So whoever may still insert a number up to `last` is among the holders of that lock, listed after `last` was
// read; and a snapshot taken after the list sees all others. A holder seen for the first time took its lock after the
// previous sampling, so all its numbers are above what was `sampled` then: its `low`. It keeps that `low` as long as it
// lives; safe = the lowest `low`, or `last` when nobody writes. Nothing is waited for, and nobody waits for us.
//
// A prepared transaction is listed under another identity than before it was prepared. One that is new in that form may be
// any of the holders that are gone, so it takes the lowest of their `low`s. After a restart all old identities are gone;
// new holders then still locked after the last sampling, and prepared ones follow the rule above.
//
// The caller's own transaction counts like any other: inside a transaction block it may have drawn numbers that it inserts
// later. But it can look at its own rows: as far as every number above its `low` has a row, none is still to come
// (note_own_rows). What lies behind a gap waits for a run after its commit.
#include "sequence.hpp"

#include "names.hpp"

namespace sluice {

// nextval_sequence looks through casts (serial on an int column) at a plain nextval('...').
static Oid nextval_sequence(Node *expression) {
    for (;;) {
        if (IsA(expression, RelabelType)) {
            expression = reinterpret_cast<Node *>(castNode(RelabelType, expression)->arg);
            continue;
        }
        if (!IsA(expression, FuncExpr))
            return InvalidOid;
        FuncExpr *call = castNode(FuncExpr, expression);
        Node *argument = list_length(call->args) == 1 ? static_cast<Node *>(linitial(call->args)) : NULL;
        if (!argument)
            return InvalidOid;
        if (call->funcid == F_NEXTVAL)
            return IsA(argument, Const) && !castNode(Const, argument)->constisnull
                       ? DatumGetObjectId(castNode(Const, argument)->constvalue)
                       : InvalidOid;
        if (call->funcformat != COERCE_IMPLICIT_CAST && call->funcformat != COERCE_EXPLICIT_CAST)
            return InvalidOid;
        expression = argument;
    }
}

Oid default_sequence(Relation relation, AttrNumber column) {
    Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), column - 1);
    if (attribute->attgenerated)
        return InvalidOid;
    Node *expression = build_column_default(relation, column);
    if (!expression)
        return InvalidOid;
    if (attribute->attidentity) {
        while (expression && !IsA(expression, NextValueExpr))
            expression =
                IsA(expression, FuncExpr) ? static_cast<Node *>(linitial(castNode(FuncExpr, expression)->args)) : NULL;
        return expression ? castNode(NextValueExpr, expression)->seqid : InvalidOid;
    }
    return nextval_sequence(expression);
}

const char *choose_sequence_column(Relation source) {
    Bitmapset *key = RelationGetIndexAttrBitmap(source, INDEX_ATTR_BITMAP_PRIMARY_KEY);
    for (int member = -1; (member = bms_next_member(key, member)) >= 0;) {
        const AttrNumber column = member + FirstLowInvalidHeapAttributeNumber;
        if (column > 0 && OidIsValid(default_sequence(source, column)))
            return pstrdup(NameStr(TupleDescAttr(RelationGetDescr(source), column - 1)->attname));
    }
    return NULL;
}

[[noreturn]] static void unsafe_source(const char *what, const char *hint) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("cursor \"sequence\" cannot read this source safely: %s", what), errhint("%s", hint)));
    pg_unreachable();
}

static void check_sequence(Oid sequence) {
    HeapTuple tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for sequence %u", sequence);
    const Form_pg_sequence properties = reinterpret_cast<Form_pg_sequence>(GETSTRUCT(tuple));
    const char *name = relation_name(sequence);
    if (properties->seqcache > 1)
        unsafe_source(psprintf("sequence %s has CACHE " INT64_FORMAT ": sessions keep numbers and use them later", name,
                               properties->seqcache),
                      psprintf("Run ALTER SEQUENCE %s CACHE 1 RESTART WITH n, with n above every number handed out so "
                               "far; sessions that "
                               "cached numbers must end or DISCARD SEQUENCES.",
                               name));
    if (properties->seqincrement < 1)
        unsafe_source(psprintf("sequence %s counts down", name), "Use a sequence that counts up.");
    if (properties->seqcycle)
        unsafe_source(psprintf("sequence %s is CYCLE: its numbers come back", name),
                      psprintf("Run ALTER SEQUENCE %s NO CYCLE.", name));
    ReleaseSysCache(tuple);
}

bool is_subscribed(Oid relation) {
    Relation catalog = table_open(SubscriptionRelRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_subscription_rel_srrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
    SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 1, &key);
    const bool found = HeapTupleIsValid(systable_getnext(scan));
    systable_endscan(scan);
    table_close(catalog, AccessShareLock);
    return found;
}

static void check_relation(Oid relation, Oid source, const char *column, Oid sequence) {
    if (is_subscribed(relation))
        unsafe_source(psprintf("%s is filled by a logical replication subscription", relation_name(relation)),
                      "Run the pipeline on the publisher.");
    if (relation == source)
        return;
    if (get_rel_relkind(relation) == RELKIND_FOREIGN_TABLE)
        unsafe_source(psprintf("partition %s is a foreign table", relation_name(relation)),
                      "Detach it, or read it by a pipeline of its own.");
    Relation leaf = relation_open(relation, AccessShareLock);
    const AttrNumber number = get_attnum(relation, column);
    const Oid other = number > 0 ? default_sequence(leaf, number) : InvalidOid;
    if (OidIsValid(other) && other != sequence)
        unsafe_source(psprintf("column %s of %s is filled by %s, that of %s by %s", quote_identifier(column),
                               relation_name(relation), relation_name(other), relation_name(source),
                               relation_name(sequence)),
                      psprintf("Run ALTER TABLE %s ALTER COLUMN %s SET DEFAULT nextval(%s).", relation_name(relation),
                               quote_identifier(column), quote_literal_cstr(relation_name(sequence))));
    relation_close(leaf, AccessShareLock);
}

Oid check_sequence_source(Relation source, const char *column) {
    const Oid relation = RelationGetRelid(source);
    const char kind = source->rd_rel->relkind;
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        unsafe_source(psprintf("%s is not a table", relation_name(relation)), "Read the table behind it.");
    const AttrNumber number = get_attnum(relation, column);
    if (number <= 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("order_by: column \"%s\" of source %s does not exist", column, relation_name(relation)),
                        nearest_column_hint(source, column) ? errhint("%s", nearest_column_hint(source, column)) : 0));
    Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(source), number - 1);
    const Oid sequence = default_sequence(source, number);
    if (!OidIsValid(sequence))
        unsafe_source(
            psprintf("column %s of %s is not filled by a sequence", quote_identifier(column), relation_name(relation)),
            "Name a column that is an identity or has nextval() as its default, in order_by.");
    if (attribute->atttypid != INT2OID && attribute->atttypid != INT4OID && attribute->atttypid != INT8OID)
        unsafe_source(psprintf("column %s has type %s", quote_identifier(column), format_type_be(attribute->atttypid)),
                      "The column must be smallint, integer or bigint.");
    if (!attribute->attnotnull)
        unsafe_source(psprintf("column %s may be null: such rows have no place in the order", quote_identifier(column)),
                      psprintf("Run ALTER TABLE %s ALTER COLUMN %s SET NOT NULL.", relation_name(relation),
                               quote_identifier(column)));
    check_sequence(sequence);
    List *members = find_all_inheritors(relation, AccessShareLock, NULL);
    ListCell *cell;
    foreach (cell, members)
        check_relation(lfirst_oid(cell), relation, column, sequence);
    return sequence;
}

int64 sequence_filenode(Oid sequence) {
    Relation relation = relation_open(sequence, AccessShareLock);
    const int64 filenode = relation->rd_rel->relfilenode;
    relation_close(relation, AccessShareLock);
    return filenode;
}

// read_sequence reads the sequence's one row itself. pg_sequence_last_value() would take the very lock by which
// writers are known and keep it to the end of the transaction: two pipelines, or a look at sluice.status, would hold
// each other back. The owner of a pipeline needs no right on the sequence: SELECT on its source tells as much.
struct SequenceState {
    int64 value; // the last number drawn or, when none was, the first to come
    bool called;
};

static SequenceState read_sequence(Oid sequence) {
    Relation relation = relation_open(sequence, AccessShareLock);
    Buffer buffer = ReadBuffer(relation, 0);
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    Page page = BufferGetPage(buffer);
    HeapTupleData tuple;
    tuple.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, PageGetItemId(page, FirstOffsetNumber)));
    const Form_pg_sequence_data row = reinterpret_cast<Form_pg_sequence_data>(GETSTRUCT(&tuple));
    const SequenceState state{row->last_value, row->is_called};
    UnlockReleaseBuffer(buffer);
    relation_close(relation, AccessShareLock);
    return state;
}

int64 sequence_last_value(Oid sequence) {
    const SequenceState state = read_sequence(sequence);
    return state.called ? state.value : nothing_read;
}

static const Holder *find_holder(const Holder *holders, int count, int64 backend, int64 transaction) {
    for (int i = 0; i < count; i++)
        if (holders[i].backend == backend && holders[i].transaction == transaction)
            return &holders[i];
    return NULL;
}

static int64 lowest_low(const Holder *holders, int count, int64 lowest) {
    for (int i = 0; i < count; i++)
        lowest = Min(lowest, holders[i].low);
    return lowest;
}

const char *describe_holders(Oid sequence) {
    LOCKTAG tag;
    SET_LOCKTAG_RELATION(tag, MyDatabaseId, sequence);
    int count;
    VirtualTransactionId *holders = GetLockConflicts(&tag, ShareLock, &count);
    if (count == 0)
        return NULL;
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < count; i++) {
        const PGPROC *process = open_process(holder_backend(holders[i]), holders[i].localTransactionId);
        if (process)
            appendStringInfo(&list, "%sprocess %d", i ? ", " : "", process->pid);
        else
            appendStringInfo(&list, "%sa prepared transaction", i ? ", " : "");
    }
    return list.data;
}

SequenceSample sample_sequence(Oid sequence, SequencePosition *position) {
    SequenceSample sample{};
    const SequenceState state = read_sequence(sequence); // before the list of holders: the order is the proof
    const int64 drawn = state.called ? state.value : state.value - 1;
    sample.last = state.called ? state.value : nothing_read;
    LOCKTAG tag;
    SET_LOCKTAG_RELATION(tag, MyDatabaseId, sequence);
    int count;
    VirtualTransactionId *locked = GetLockConflicts(&tag, ShareLock, &count);
    Holder *holders = static_cast<Holder *>(palloc0(sizeof(Holder) * (count + 1)));
    const bool own = holds_lock(&tag, RowExclusiveLock);
    for (int i = 0; i < count + own; i++) {
        Holder *holder = &holders[i];
        holder->backend = i < count ? holder_backend(locked[i]) : own_backend();
        holder->transaction = i < count ? locked[i].localTransactionId : process_transaction(MyProc);
        const Holder *known =
            find_holder(position->holders, position->holder_count, holder->backend, holder->transaction);
        if (known)
            holder->low = known->low;
        else if (holder->backend == no_backend)
            holder->low = lowest_low(position->holders, position->holder_count, position->sampled);
        else
            holder->low = position->sampled;
    }
    sample.own = own ? &holders[count] : NULL;
    count += own;
    sample.safe = lowest_low(holders, count, sample.last);
    sample.changed = drawn != position->sampled || count != position->holder_count ||
                     (count > 0 && memcmp(holders, position->holders, sizeof(Holder) * count) != 0);
    position->sampled = drawn;
    position->holders = holders;
    position->holder_count = count;
    return sample;
}

void note_own_rows(SequenceSample *sample, const SequencePosition *position, int64 number) {
    sample->own->low = number;
    sample->safe = lowest_low(position->holders, position->holder_count, sample->last);
    sample->changed = true;
}

void check_sequence_position(Oid sequence, const SequencePosition *position, int64 last, Oid source) {
    const bool anew = strcmp(position->home, this_home()) == 0 && sequence_filenode(sequence) != position->filenode;
    if (position->position == nothing_read || (last >= position->position && !anew))
        return;
    const char *stands = last == nothing_read ? "its start" : psprintf(INT64_FORMAT, last);
    constexpr const char *begin_again =
        "If the rows already read are gone from the source, drop the pipeline and create it "
        "again: it then loads what the source holds now.";
    if (last < position->position)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the numbers of source %s were started anew", relation_name(source)),
                        errdetail("The pipeline has read up to " INT64_FORMAT
                                  "; sequence %s was restarted and now stands at %s.",
                                  position->position, relation_name(sequence), stands),
                        errhint("%s", begin_again)));
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("the numbers of source %s may have been started anew", relation_name(source)),
                    errdetail("The pipeline has read up to " INT64_FORMAT
                              "; sequence %s was altered or restarted and now stands at %s.",
                              position->position, relation_name(sequence), stands),
                    errhint("If its numbers just went on (ALTER SEQUENCE), run SELECT sluice.seek(name, "
                            "sluice.cursor_position(name)). %s",
                            begin_again)));
}

} // namespace sluice
