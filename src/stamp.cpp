// See stamp.hpp.
//
// A sweep reads the stamps of transactions that were listed as going on (they are below `seen.xmax`), then those from
// seen.xmax up to target.xmax but for the ones that go on still: so stamps ascend over the whole sweep, and the pair of stamp
// and key read last says where to go on, in the next batch or after a crash. Rows that share stamp and key are never torn
// apart (WITH TIES): without a key all rows of a transaction are one batch.
#include "stamp.hpp"

#include "cursor.hpp"
#include "leaves.hpp"
#include "names.hpp"
#include "sequence.hpp"

namespace sluice {

// ---- which column, which key

static bool is_stamp(Relation relation, AttrNumber column) {
    Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), column - 1);
    if (attribute->attisdropped || attribute->atttypid != XID8OID || attribute->attgenerated)
        return false;
    Node *expression = build_column_default(relation, column);
    return expression && IsA(expression, FuncExpr) && castNode(FuncExpr, expression)->funcid == F_PG_CURRENT_XACT_ID;
}

const char *find_stamp_column(Relation source) {
    const char kind = source->rd_rel->relkind;
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        return NULL;
    for (AttrNumber column = 1; column <= RelationGetDescr(source)->natts; column++)
        if (is_stamp(source, column))
            return pstrdup(NameStr(TupleDescAttr(RelationGetDescr(source), column - 1)->attname));
    return NULL;
}

[[noreturn]] static void unsafe_source(const char *what, const char *hint) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("cursor \"snapshot\" cannot read this source safely: %s", what), errhint("%s", hint)));
    pg_unreachable();
}

static const char *add_column_hint(Oid source) {
    return psprintf("Run SELECT sluice.add_snapshot_column(%s).", quote_literal_cstr(relation_name(source)));
}

static const char *default_hint(Oid relation, const char *column) {
    return psprintf("Run ALTER TABLE %s ALTER COLUMN %s SET DEFAULT pg_current_xact_id().", relation_name(relation),
                    quote_identifier(column));
}

static void check_stamp_column(Relation relation, const char *column, Oid source) {
    const AttrNumber number = get_attnum(RelationGetRelid(relation), column);
    if (number <= 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("order_by: column \"%s\" of source %s does not exist", column, relation_name(source)),
                        errhint("%s", add_column_hint(source))));
    Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), number - 1);
    const Oid table = RelationGetRelid(relation);
    if (!is_stamp(relation, number))
        unsafe_source(psprintf("column %s of %s is no xid8 with the default pg_current_xact_id()",
                               quote_identifier(column), relation_name(table)),
                      table == source && attribute->atttypid != XID8OID ? add_column_hint(source)
                                                                        : default_hint(table, column));
    if (!attribute->attnotnull)
        unsafe_source(psprintf("column %s may be null: such rows would never be read", quote_identifier(column)),
                      psprintf("Run ALTER TABLE %s ALTER COLUMN %s SET NOT NULL.", relation_name(source),
                               quote_identifier(column)));
}

static void check_stamp_leaf(Oid leaf, const char *column, Oid source) {
    if (is_subscribed(leaf))
        unsafe_source(psprintf("%s is filled by a logical replication subscription, with the publisher's numbers",
                               relation_name(leaf)),
                      "Run the pipeline on the publisher, or use cursor \"hash\".");
    if (get_rel_relkind(leaf) == RELKIND_FOREIGN_TABLE)
        unsafe_source(psprintf("partition %s is a foreign table", relation_name(leaf)),
                      "Detach it, or read it by a pipeline of its own.");
    Relation relation = relation_open(leaf, AccessShareLock);
    check_stamp_column(relation, column, source);
    relation_close(relation, AccessShareLock);
}

void check_stamp_source(Relation source, const char *column) {
    const Oid relation = RelationGetRelid(source);
    const char kind = source->rd_rel->relkind;
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
        unsafe_source(psprintf("%s is not a table", relation_name(relation)), "Read the table behind it.");
    ListCell *cell;
    foreach (cell, find_all_inheritors(relation, AccessShareLock, NULL))
        check_stamp_leaf(lfirst_oid(cell), column, relation);
}

Numbers stamped_leaves(Oid source, const char *column) {
    List *leaves = leaves_of(source);
    Numbers stamped{static_cast<int64 *>(palloc(sizeof(int64) * (list_length(leaves) * 2 + 1))), 0};
    ListCell *cell;
    foreach (cell, leaves) {
        stamped.values[stamped.count++] = lfirst_oid(cell);
        stamped.values[stamped.count++] = -static_cast<int64>(get_attnum(lfirst_oid(cell), column));
    }
    return stamped;
}

static bool is_leaf_trusted(Oid leaf, const char *column) {
    if (is_subscribed(leaf) || get_rel_relkind(leaf) == RELKIND_FOREIGN_TABLE)
        return false;
    Relation relation = relation_open(leaf, AccessShareLock);
    const AttrNumber number = get_attnum(leaf, column);
    const bool trusted =
        number > 0 && is_stamp(relation, number) && TupleDescAttr(RelationGetDescr(relation), number - 1)->attnotnull;
    relation_close(relation, AccessShareLock);
    return trusted;
}

bool are_stamps_trusted(Relation source, const char *column) {
    ListCell *cell;
    foreach (cell, find_all_inheritors(RelationGetRelid(source), AccessShareLock, NULL))
        if (!is_leaf_trusted(lfirst_oid(cell), column))
            return false;
    return true;
}

// is_usable_key tells whether rows can be told apart and put in order by a column: never null, and compared by an operator of
// the server's own (one comparison of whole rows names one operator for all columns).
static bool is_usable_key(Relation source, AttrNumber column) {
    if (column <= 0 || !TupleDescAttr(RelationGetDescr(source), column - 1)->attnotnull)
        return false;
    const Oid type = TupleDescAttr(RelationGetDescr(source), column - 1)->atttypid;
    const Oid greater = lookup_type_cache(type, TYPECACHE_GT_OPR)->gt_opr;
    HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(greater));
    if (!HeapTupleIsValid(tuple))
        return false;
    const bool usable = reinterpret_cast<Form_pg_operator>(GETSTRUCT(tuple))->oprnamespace == PG_CATALOG_NAMESPACE;
    ReleaseSysCache(tuple);
    return usable;
}

// usable_keys counts the columns of an index behind its first that can serve as a key: plain and never null.
static int usable_keys(Relation source, const Form_pg_index index) {
    int count = 0;
    while (count + 1 < index->indnkeyatts && is_usable_key(source, index->indkey.values[count + 1]))
        count++;
    return count;
}

// use_index takes the key of the index on the stamp that has most columns.
static void use_index(StampReader *stamps, Relation source, Relation index, AttrNumber stamp) {
    const Form_pg_index form = index->rd_index;
    if (!form->indisvalid || index->rd_rel->relam != BTREE_AM_OID || RelationGetIndexPredicate(index) != NIL ||
        form->indkey.values[0] != stamp)
        return;
    const int count = usable_keys(source, form);
    if (stamps->indexed && count <= stamps->key_count)
        return;
    stamps->indexed = true;
    stamps->key_count = count;
    for (int i = 0; i < count; i++)
        stamps->keys[i] = form->indkey.values[i + 1];
}

static void use_primary_key(StampReader *stamps, Relation source) {
    (void)RelationGetIndexList(source); // sets rd_pkindex
    const Oid primary = source->rd_pkindex;
    if (!OidIsValid(primary))
        return;
    Relation index = index_open(primary, AccessShareLock);
    for (int i = 0; i < index->rd_index->indnkeyatts && is_usable_key(source, index->rd_index->indkey.values[i]); i++)
        stamps->keys[stamps->key_count++] = index->rd_index->indkey.values[i];
    index_close(index, AccessShareLock);
}

static void find_index(StampReader *stamps, Relation source, AttrNumber stamp) {
    ListCell *cell;
    foreach (cell, RelationGetIndexList(source)) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        use_index(stamps, source, index, stamp);
        index_close(index, AccessShareLock);
    }
}

// A stored key is name, order, value for each of its columns.
constexpr int key_parts = 3;

// column_order tells apart the orders in which a column's values may stand: an int that becomes a bigint keeps its own.
static const char *column_order(Relation source, AttrNumber column) {
    Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(source), column - 1);
    return psprintf("%u/%u", lookup_type_cache(attribute->atttypid, TYPECACHE_BTREE_OPFAMILY)->btree_opf,
                    attribute->attcollation);
}

[[noreturn]] static void lost_key(Relation source, const char *column) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("column \"%s\" of source %s is gone, or has another order than before", column,
                           relation_name(RelationGetRelid(source))),
                    errdetail("Rows of one transaction were being read in its order."),
                    errhint("Bring it back until the next run is through.")));
    pg_unreachable();
}

// stored_column finds a column of a stored key; 0 when it is gone or stands in another order.
static AttrNumber stored_column(Relation source, const char *column, const char *order) {
    const AttrNumber number = get_attnum(RelationGetRelid(source), column);
    return number > 0 && strcmp(column_order(source, number), order) == 0 ? number : InvalidAttrNumber;
}

// read_stored_key finds the columns of a stored key; `lost` is the first that is not there.
static int read_stored_key(Relation source, ArrayType *key, AttrNumber *keys, const char **lost) {
    Datum *parts;
    bool *nulls;
    int count = 0;
    if (key)
        deconstruct_array(key, TEXTOID, -1, false, TYPALIGN_INT, &parts, &nulls, &count);
    count /= key_parts;
    *lost = NULL;
    for (int i = 0; i < count && !*lost; i++) {
        const char *column = TextDatumGetCString(parts[i * key_parts]);
        keys[i] = stored_column(source, column, TextDatumGetCString(parts[i * key_parts + 1]));
        if (keys[i] == InvalidAttrNumber)
            *lost = column;
    }
    return count;
}

// use_position_key takes the columns that the sweep in progress began with.
static void use_position_key(StampReader *stamps, Relation source, ArrayType *key) {
    AttrNumber keys[INDEX_MAX_KEYS];
    const char *lost;
    const int count = read_stored_key(source, key, keys, &lost);
    if (lost)
        lost_key(source, lost);
    const bool same = stamps->key_count >= count && memcmp(stamps->keys, keys, sizeof(AttrNumber) * count) == 0;
    stamps->indexed = stamps->indexed && same;
    stamps->key_count = count;
    memcpy(stamps->keys, keys, sizeof(AttrNumber) * count);
}

bool can_describe_stamps(Relation source, const char *column, const ArrivalPosition *position) {
    const AttrNumber stamp = get_attnum(RelationGetRelid(source), column);
    AttrNumber keys[INDEX_MAX_KEYS];
    const char *lost = NULL;
    if (stamp <= 0 || !is_stamp(source, stamp))
        return false;
    if (has_seen(&position->target) && position->stamp != 0)
        (void)read_stored_key(source, position->key, keys, &lost);
    return !lost;
}

static void find_key(StampReader *stamps, Relation source, AttrNumber stamp, const ArrivalPosition *position) {
    stamps->keys = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * INDEX_MAX_KEYS));
    find_index(stamps, source, stamp);
    if (!stamps->indexed)
        use_primary_key(stamps, source);
    if (position && has_seen(&position->target) && position->stamp != 0)
        use_position_key(stamps, source, position->key);
    stamps->types = static_cast<Oid *>(palloc(sizeof(Oid) * (stamps->key_count + 1)));
    for (int i = 0; i < stamps->key_count; i++)
        stamps->types[i] = TupleDescAttr(RelationGetDescr(source), stamps->keys[i] - 1)->atttypid;
    stamps->lengths = static_cast<int16 *>(palloc(sizeof(int16) * (stamps->key_count + 1)));
    stamps->by_value = static_cast<bool *>(palloc(sizeof(bool) * (stamps->key_count + 1)));
    stamps->orders = static_cast<const char **>(palloc(sizeof(char *) * (stamps->key_count + 1)));
    for (int i = 0; i < stamps->key_count; i++) {
        get_typlenbyval(stamps->types[i], &stamps->lengths[i], &stamps->by_value[i]);
        stamps->orders[i] = column_order(source, stamps->keys[i]);
    }
}

bool has_stamp_index(Relation source, const char *column) {
    StampReader stamps{};
    find_key(&stamps, source, get_attnum(RelationGetRelid(source), column), NULL);
    return stamps.indexed;
}

// ---- statements

// append_columns writes the stamp and the key, and what comes behind them.
static void append_columns(const StampReader *stamps, StringInfo to, const char *around) {
    appendStringInfo(to, "s.%s", stamps->column);
    for (int i = 0; i < stamps->key_count; i++)
        appendStringInfo(to, ", s.%s", stamps->key_names[i]);
    appendStringInfoString(to, around);
}

// Which of the four statements: of transactions that were listed or of later ones, from the start or going on.
static constexpr int later = 1, going_on = 2;

// reading_statement writes one of the four. Parameters: rows, then the listed transactions, or the lowest and the first one
// too high and those to leave out; then the stamp and the key to go on from.
static const char *reading_statement(const StampReader *stamps, int which) {
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(&sql, "SELECT %s, %s, ", stamps->order, stamps->selected);
    append_columns(stamps, &sql, "");
    appendStringInfo(&sql, " FROM %s s WHERE ", stamps->table);
    if (which & later)
        appendStringInfo(&sql,
                         "s.%s OPERATOR(pg_catalog.>=) $2 AND s.%s OPERATOR(pg_catalog.<) $3 "
                         "AND s.%s OPERATOR(pg_catalog.<>) ALL ($4)",
                         stamps->column, stamps->column, stamps->column);
    else
        appendStringInfo(&sql, "s.%s OPERATOR(pg_catalog.=) ANY ($2)", stamps->column);
    if (which & going_on) {
        int parameter = which & later ? 5 : 3;
        appendStringInfoString(&sql, " AND ROW(");
        append_columns(stamps, &sql, ") OPERATOR(pg_catalog.>) ROW(");
        for (int i = 0; i <= stamps->key_count; i++)
            appendStringInfo(&sql, "%s$%d", i ? ", " : "", parameter++);
        appendStringInfoChar(&sql, ')');
    }
    appendStringInfoString(&sql, " ORDER BY ");
    append_columns(stamps, &sql, " FETCH FIRST ($1) ROWS WITH TIES");
    return sql.data;
}

static int add_types(const StampReader *stamps, int which, Oid *types) {
    int count = 0;
    types[count++] = INT8OID;
    if (which & later) {
        types[count++] = XID8OID;
        types[count++] = XID8OID;
    }
    types[count++] = XID8ARRAYOID;
    if (which & going_on) {
        types[count++] = XID8OID;
        for (int i = 0; i < stamps->key_count; i++)
            types[count++] = stamps->types[i];
    }
    return count;
}

constexpr int most_parameters = INDEX_MAX_KEYS + 8;

static SourceReader *stamp_reader(StampReader *stamps, int which) {
    if (!stamps->readers[which]) {
        MemoryContext before = MemoryContextSwitchTo(stamps->memory);
        Oid types[most_parameters];
        const int count = add_types(stamps, which, types);
        stamps->readers[which] =
            prepare_reader(reading_statement(stamps, which), count, types, stamps->columns, stamps->indexed);
        MemoryContextSwitchTo(before);
    }
    return stamps->readers[which];
}

StampReader *describe_stamps(Relation source, const char *column, const ArrivalPosition *position) {
    StampReader *stamps = static_cast<StampReader *>(palloc0(sizeof(StampReader)));
    stamps->column = quote_identifier(column);
    stamps->source = RelationGetRelid(source);
    stamps->table = relation_name(stamps->source);
    find_key(stamps, source, get_attnum(stamps->source, column), position);
    stamps->key_names = static_cast<const char **>(palloc(sizeof(char *) * (stamps->key_count + 1)));
    for (int i = 0; i < stamps->key_count; i++)
        stamps->key_names[i] = quote_identifier(get_attname(stamps->source, stamps->keys[i], false));
    return stamps;
}

StampReader *prepare_stamps(Relation source, const char *column, const char *order, const SourceColumns *columns,
                            const ArrivalPosition *position) {
    StampReader *stamps = describe_stamps(source, column, position);
    stamps->memory = CurrentMemoryContext;
    stamps->row = AllocSetContextCreate(CurrentMemoryContext, "sluice key of a row", ALLOCSET_SMALL_SIZES);
    stamps->order = order ? order : psprintf("s.%s", stamps->column);
    SourceColumns *kept = static_cast<SourceColumns *>(palloc(sizeof(SourceColumns)));
    *kept = *columns;
    stamps->columns = kept;
    stamps->selected = column_list(columns);
    stamps->last = static_cast<Datum *>(palloc(sizeof(Datum) * (stamps->key_count + 1)));
    return stamps;
}

// ---- reading

// key_values reads the values of a stored key in the types of the columns.
static void key_values(const StampReader *stamps, ArrayType *key, Datum *values) {
    Datum *parts;
    bool *nulls;
    int count;
    deconstruct_array(key, TEXTOID, -1, false, TYPALIGN_INT, &parts, &nulls, &count);
    Assert(count == stamps->key_count * key_parts);
    for (int i = 0; i < stamps->key_count; i++)
        values[i] = stored_datum(stamps->types[i], TextDatumGetCString(parts[i * key_parts + 2]));
}

static const char *key_text(const StampReader *stamps, int number, Datum value) {
    return stored_text(stamps->types[number], value);
}

static ArrayType *stored_key(const StampReader *stamps) {
    if (stamps->key_count == 0)
        return NULL;
    Datum *parts = static_cast<Datum *>(palloc(sizeof(Datum) * stamps->key_count * key_parts));
    for (int i = 0; i < stamps->key_count; i++) {
        parts[i * key_parts] = CStringGetTextDatum(get_attname(stamps->source, stamps->keys[i], false));
        parts[i * key_parts + 1] = CStringGetTextDatum(stamps->orders[i]);
        parts[i * key_parts + 2] = CStringGetTextDatum(key_text(stamps, i, stamps->last[i]));
    }
    return construct_array(parts, stamps->key_count * key_parts, TEXTOID, -1, false, TYPALIGN_INT);
}

static Datum stamp_datum(uint64 stamp) { return FullTransactionIdGetDatum(FullTransactionIdFromU64(stamp)); }

void begin_stamps(StampReader *stamps) {
    stamps->stretch = 0;
    stamps->last_stamp = 0;
}

static void open_stretch(StampReader *stamps, const ArrivalPosition *position, int which, ArrayType *listed,
                         int64 rows) {
    Datum parameters[most_parameters];
    int count = 0;
    parameters[count++] = Int64GetDatum(rows);
    if (which & later) {
        parameters[count++] = stamp_datum(position->seen.xmax);
        parameters[count++] = stamp_datum(position->target.xmax);
        parameters[count++] = stamp_array(&position->target);
    } else {
        parameters[count++] = PointerGetDatum(listed);
    }
    if (which & going_on) {
        parameters[count++] = stamp_datum(position->stamp);
        if (stamps->key_count > 0 && position->key)
            key_values(stamps, position->key, &parameters[count]);
    }
    stamps->reader = stamp_reader(stamps, which);
    open_reader(stamps->reader, parameters);
}

bool stamps_open(StampReader *stamps, const ArrivalPosition *position, int64 rows) {
    const bool resumes = position->stamp != 0;
    const bool in_later = resumes && position->stamp >= position->seen.xmax;
    ArrayType *listed = over_since(&position->seen, &position->target);
    if (stamps->stretch == 0 && (in_later || !listed))
        stamps->stretch = 1;
    if (stamps->stretch > 1)
        return false;
    const bool is_later = stamps->stretch++ == 1;
    const bool goes_on = resumes && is_later == in_later;
    open_stretch(stamps, position, (is_later ? later : 0) | (goes_on ? going_on : 0), listed, rows);
    return true;
}

static void keep_last(StampReader *stamps) {
    bool is_null;
    stamps->last_stamp = U64FromFullTransactionId(DatumGetFullTransactionId(read_extra(stamps->reader, 0, &is_null)));
    if (stamps->key_count == 0)
        return;
    MemoryContext before = MemoryContextSwitchTo(stamps->row);
    MemoryContextReset(stamps->row);
    for (int i = 0; i < stamps->key_count; i++)
        stamps->last[i] =
            datumCopy(read_extra(stamps->reader, i + 1, &is_null), stamps->by_value[i], stamps->lengths[i]);
    MemoryContextSwitchTo(before);
}

// The key of the row read last is kept in full: where a batch ends is not known before the next row is asked for.
bool stamps_read(StampReader *stamps, SourceRow *row) {
    if (!read_row(stamps->reader, row))
        return false;
    keep_last(stamps);
    return true;
}

uint64 stamps_fetch(StampReader *stamps) {
    const uint64 count = fetch_rows(stamps->reader);
    stamps->reader->next = count;
    if (count > 0)
        keep_last(stamps);
    return count;
}

void stamps_close(StampReader *stamps) { close_reader(stamps->reader); }

void note_stamp(const StampReader *stamps, ArrivalPosition *position) {
    if (stamps->last_stamp == 0)
        return;
    position->stamp = stamps->last_stamp;
    position->key = stored_key(stamps);
}

const char *unread_condition(const StampReader *stamps, const ArrivalPosition *position) {
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(&sql, "(s.%s OPERATOR(pg_catalog.>=) '" UINT64_FORMAT "'::pg_catalog.xid8", stamps->column,
                     position->seen.xmax);
    for (int i = 0; i < position->seen.count; i++)
        appendStringInfo(&sql, " OR s.%s OPERATOR(pg_catalog.=) '" UINT64_FORMAT "'::pg_catalog.xid8", stamps->column,
                         position->seen.xip[i]);
    appendStringInfoChar(&sql, ')');
    if (!has_seen(&position->target) || position->stamp == 0)
        return sql.data;
    appendStringInfo(&sql, " AND NOT (pg_catalog.pg_visible_in_snapshot(s.%s, '%s') AND ROW(", stamps->column,
                     seen_text(&position->target));
    append_columns(stamps, &sql, ") OPERATOR(pg_catalog.<=) ROW(");
    appendStringInfo(&sql, "'" UINT64_FORMAT "'::pg_catalog.xid8", position->stamp);
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * (stamps->key_count + 1)));
    if (position->key)
        key_values(stamps, position->key, values);
    for (int i = 0; i < stamps->key_count; i++)
        appendStringInfo(&sql, ", %s::%s", quote_literal_cstr(key_text(stamps, i, values[i])),
                         format_type_be_qualified(stamps->types[i]));
    appendStringInfoString(&sql, "))");
    return sql.data;
}

void describe_stamp(const StampReader *stamps, StringInfo to) {
    if (stamps->key_count == 0)
        appendStringInfo(to, "%s = " UINT64_FORMAT, stamps->column, stamps->last_stamp);
    for (int i = 0; i < stamps->key_count; i++)
        appendStringInfo(to, "%s%s = %s", i ? ", " : "", stamps->key_names[i], key_text(stamps, i, stamps->last[i]));
}

// The next number is asked for once more after the look: meanwhile transactions begin.
bool has_future_stamps(const StampReader *stamps) {
    const char *column = stamps->column;
    Oid types[] = {XID8OID};
    Datum values[] = {FullTransactionIdGetDatum(FullTransactionIdFromU64(next_transaction()))};
    const uint64 greatest = static_cast<uint64>(
        count_rows(psprintf("SELECT coalesce((SELECT s.%s::pg_catalog.text::pg_catalog.int8 FROM %s s WHERE s.%s "
                            "OPERATOR(pg_catalog.>=) $1 ORDER BY s.%s DESC LIMIT 1), 0)",
                            column, stamps->table, column, column),
                   1, types, values));
    return greatest >= next_transaction();
}

void warn_of_future_stamps(const StampReader *stamps) {
    if (stamps->indexed && has_future_stamps(stamps))
        ereport(WARNING,
                (errmsg("source %s has rows whose %s lies ahead of transaction " UINT64_FORMAT, stamps->table,
                        stamps->column, next_transaction()),
                 errdetail("Their stamps were not given by the default; they are not read before transactions have got "
                           "that far."),
                 errhint("Set the column of those rows to pg_current_xact_id().")));
}

} // namespace sluice
