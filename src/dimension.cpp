// See dimension.hpp.
//
// A batch is folded first (tally.cpp), so that few rows are left, and those go into the dimension by statements over all of
// them: with the owner's rights, by the rules of INSERT and UPDATE, rows that do not change left alone. In the statements
// sluice_rows has the columns k1, k2 ... (the key), c1, c2 ... (the others), d (the day of a calendar), t (the time) and e (the
// number of the row).
//
// Without history a row of the batch counts when the dimension has none, or when it is newer than what is known of the one that
// is there: by a column of the dimension that holds newest_by, or by a table beside it (newest.hpp).
//
// With history the table beside it keeps what was seen of each key at each time. A version begins where something else was
// seen than before, and ends where the next one begins, so versions leave no gap and never overlap; since they follow from all
// that was seen, it does not matter when it came. The versions of the keys that a batch touches are compared with the rows
// that are there: each row stays the row of the version in whose time it begins, so that facts go on referring to it.
#include "dimension.hpp"

#include "calendar.hpp"
#include "names.hpp"
#include "stage.hpp"

namespace sluice {

// ---- pieces of statements

static int other_count(const Dimension *dimension) {
    return dimension->count - dimension->key_count - (dimension->mapped->calendar ? 1 : 0);
}

static const char *column_name(const Dimension *dimension, int i) {
    return quote_identifier(dimension->columns[i].name);
}

// key_list and other_list write p.k1, p.k2 ... and p.c1, p.c2 ...
static const char *numbered_list(const char *prefix, int count) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < count; i++)
        appendStringInfo(&list, "%s%s%d", i ? ", " : "", prefix, i + 1);
    return list.data;
}

static const char *keys(const Dimension *dimension, const char *of) {
    return numbered_list(psprintf("%s.k", of), dimension->key_count);
}

static const char *others(const Dimension *dimension, const char *of) {
    return numbered_list(psprintf("%s.c", of), other_count(dimension));
}

// named_list writes the columns of the dimension by name: from number `from` on, `of` is an alias with its dot, or nothing.
static const char *named_list(const Dimension *dimension, const char *of, int from, int count) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = from; i < from + count; i++)
        appendStringInfo(&list, "%s%s%s", i > from ? ", " : "", of, column_name(dimension, i));
    return list.data;
}

static const char *named_keys(const Dimension *dimension, const char *of) {
    return named_list(dimension, of, 0, dimension->key_count);
}

static const char *named_others(const Dimension *dimension, const char *of) {
    return named_list(dimension, of, dimension->key_count, other_count(dimension));
}

static const char *row_of(const char *list) { return psprintf("ROW(%s)::pg_catalog.record", list); }

// same_key compares the key of the dimension (as `table`) with that of `rows`, or of two that have k1, k2 ...
static const char *same_key(const Dimension *dimension, const char *table, const char *rows) {
    StringInfoData condition;
    initStringInfo(&condition);
    for (int i = 0; i < dimension->key_count; i++)
        appendStringInfo(&condition, "%s%s.%s = %s.k%d", i ? " AND " : "", table, column_name(dimension, i), rows,
                         i + 1);
    return condition.data;
}

static const char *same_numbered_key(const Dimension *dimension, const char *left, const char *right) {
    StringInfoData condition;
    initStringInfo(&condition);
    for (int i = 0; i < dimension->key_count; i++)
        appendStringInfo(&condition, "%s%s.k%d = %s.k%d", i ? " AND " : "", left, i + 1, right, i + 1);
    return condition.data;
}

// ordered_row writes a row of the other columns that can be compared as tally.cpp compares; `named`: as the dimension calls
// them.
static const char *ordered_row(const Dimension *dimension, const char *of, bool named) {
    StringInfoData list;
    initStringInfo(&list);
    const TallyColumn *first = &dimension->tally[dimension->key_count + (dimension->mapped->history ? 1 : 0)];
    for (int i = 0; i < other_count(dimension); i++) {
        const char *column = named ? column_name(dimension, dimension->key_count + i) : psprintf("c%d", i + 1);
        appendStringInfo(&list,
                         first[i].ordered ? "%s%s.%s" : "%s(%s.%s)::pg_catalog.text COLLATE pg_catalog.\"default\"",
                         i ? ", " : "", of, column);
    }
    return row_of(list.data);
}

// newer_condition compares a row n with what is known: the time `known`, and the row o of the dimension.
static const char *newer_condition(const Dimension *dimension, const char *known) {
    return psprintf("(n.t IS NOT NULL AND %s IS NULL OR n.t > %s OR n.t IS NOT DISTINCT FROM %s AND "
                    "%s OPERATOR(pg_catalog.>) %s)",
                    known, known, known, ordered_row(dimension, "n", false), ordered_row(dimension, "o", true));
}

// ---- without history

// wins_condition tells which rows n take the place of the row o.
static const char *wins_condition(const Dimension *dimension) {
    const char *changed = psprintf("%s OPERATOR(pg_catalog.*<>) %s", row_of(others(dimension, "n")),
                                   row_of(named_others(dimension, "o.")));
    if (dimension->newest)
        return psprintf("%s AND (m.k1 IS NULL OR %s)", changed, newer_condition(dimension, "m.t"));
    if (dimension->time >= 0)
        return psprintf("%s AND %s", changed,
                        newer_condition(dimension, psprintf("o.%s", column_name(dimension, dimension->time))));
    return changed; // the batch is newer than what is there
}

// A calendar's columns follow from the day, whichever of them the table has.
static void append_calendar(StringInfo names, StringInfo values, const Dimension *dimension) {
    if (!dimension->mapped->calendar)
        return;
    Relation relation = table_open(dimension->relation, AccessShareLock);
    TupleDesc columns = RelationGetDescr(relation);
    for (int i = 0; i < columns->natts; i++) {
        const char *name = NameStr(TupleDescAttr(columns, i)->attname);
        const char *value = TupleDescAttr(columns, i)->attisdropped ? NULL : calendar_sql(name);
        for (int c = 0; value && c < dimension->count - 1; c++)
            if (strcmp(dimension->columns[c].name, name) == 0)
                value = NULL; // the mapping says what it holds
        if (!value)
            continue;
        appendStringInfo(names, ", %s", quote_identifier(name));
        appendStringInfo(values, ", %s", value);
    }
    table_close(relation, NoLock);
}

static const char *conflict_action(const Dimension *dimension) {
    StringInfoData sets;
    initStringInfo(&sets);
    for (int i = dimension->key_count; i < dimension->key_count + other_count(dimension); i++)
        appendStringInfo(&sets, "%s%s = excluded.%s", sets.len ? ", " : "UPDATE SET ", column_name(dimension, i),
                         column_name(dimension, i));
    if (sets.len == 0)
        return "NOTHING";
    if (dimension->time < 0 || dimension->newest)
        return sets.data;
    // another pipeline may have written the row meanwhile
    const char *time = column_name(dimension, dimension->time);
    return psprintf("%s WHERE excluded.%s IS NOT NULL AND t.%s IS NULL OR excluded.%s > t.%s OR "
                    "excluded.%s IS NOT DISTINCT FROM t.%s AND %s OPERATOR(pg_catalog.>) %s",
                    sets.data, time, time, time, time, time, time, ordered_row(dimension, "excluded", true),
                    ordered_row(dimension, "t", true));
}

static const char *upsert_statement(const Dimension *dimension) {
    const bool has_others = other_count(dimension) > 0;
    StringInfoData names, values;
    initStringInfo(&names);
    initStringInfo(&values);
    appendStringInfo(&names, "%s", named_list(dimension, "", 0, dimension->key_count + other_count(dimension)));
    appendStringInfo(&values, "%s%s%s", keys(dimension, "p"), has_others ? ", " : "", others(dimension, "p"));
    append_calendar(&names, &values, dimension);
    const char *remembered =
        dimension->newest ? psprintf(" LEFT JOIN %s m ON %s", dimension->newest, same_numbered_key(dimension, "m", "n"))
                          : "";
    return psprintf(
        "WITH picked AS MATERIALIZED (SELECT n.*, o.%s IS NULL AS fresh FROM sluice_rows n LEFT JOIN %s o ON %s%s "
        "WHERE o.%s IS NULL%s), "
        "written AS (INSERT INTO %s AS t (%s) SELECT %s FROM picked p ORDER BY %s ON CONFLICT (%s) DO %s) "
        "SELECT pg_catalog.count(*) FILTER (WHERE fresh), pg_catalog.count(*) FILTER (WHERE NOT fresh) FROM picked",
        column_name(dimension, 0), relation_name(dimension->relation), same_key(dimension, "o", "n"), remembered,
        column_name(dimension, 0), has_others ? psprintf(" OR %s", wins_condition(dimension)) : "",
        relation_name(dimension->relation), names.data, values.data, keys(dimension, "p"), named_keys(dimension, ""),
        conflict_action(dimension));
}

static const char *remember_statement(const Dimension *dimension) {
    const char *key = numbered_list("k", dimension->key_count);
    return psprintf(
        "INSERT INTO %s AS m (%s, t) SELECT %s, n.t FROM sluice_rows n ORDER BY %s ON CONFLICT (%s) DO UPDATE "
        "SET t = excluded.t WHERE excluded.t > m.t OR m.t IS NULL AND excluded.t IS NOT NULL",
        dimension->newest, key, keys(dimension, "n"), keys(dimension, "n"), key);
}

static void upsert_rows(const Dimension *dimension, Stage *stage, WriterCounts *counts) {
    int64 numbers[2];
    (void)execute_on_stages(upsert_statement(dimension), &stage, 1, numbers, 2);
    counts->inserted += numbers[0];
    counts->updated += numbers[1];
    if (dimension->newest)
        (void)execute_on_stages(remember_statement(dimension), &stage, 1, NULL, 0);
}

// ---- with history

static const char *see_statement(const Dimension *dimension) {
    const char *key = numbered_list("k", dimension->key_count), *seen = numbered_list("c", other_count(dimension));
    const char *excluded = ordered_row(dimension, "excluded", false);
    return psprintf("INSERT INTO %s AS m (%s, t, %s) SELECT %s, n.t, %s FROM sluice_rows n ORDER BY %s, n.t "
                    "ON CONFLICT (%s, t) DO UPDATE SET (%s) = %s WHERE %s OPERATOR(pg_catalog.>) %s",
                    dimension->newest, key, seen, keys(dimension, "n"), others(dimension, "n"), keys(dimension, "n"),
                    key, seen, psprintf("ROW(%s)", others(dimension, "excluded")), excluded,
                    ordered_row(dimension, "m", false));
}

// versions_sql writes the versions of the keys of the batch: k1 ..., c1 ..., from f on, until u.
static const char *versions_sql(const Dimension *dimension) {
    StringInfoData before;
    initStringInfo(&before);
    for (int i = 0; i < other_count(dimension); i++)
        appendStringInfo(&before, "%spg_catalog.lag(l.c%d) OVER w", i ? ", " : "", i + 1);
    const char *key = numbered_list("k", dimension->key_count), *of = keys(dimension, "l");
    return psprintf(
        "WITH versions AS (SELECT %s, %s, t AS f, pg_catalog.lead(t) OVER (PARTITION BY %s ORDER BY t) AS u FROM ("
        "SELECT %s, %s, l.t, pg_catalog.row_number() OVER w = 1 OR %s OPERATOR(pg_catalog.*<>) %s AS begins FROM %s l "
        "WHERE (%s) IN (SELECT %s FROM sluice_rows n) WINDOW w AS (PARTITION BY %s ORDER BY l.t)) s WHERE begins), "
        "matched AS (SELECT v.*, e.valid_from AS began, "
        "pg_catalog.row_number() OVER (PARTITION BY %s, v.f ORDER BY e.valid_from) AS place FROM versions v JOIN %s e "
        "ON %s AND e.valid_from >= v.f AND (v.u IS NULL OR e.valid_from < v.u)) ",
        key, numbered_list("c", other_count(dimension)), key, of, others(dimension, "l"),
        row_of(others(dimension, "l")), row_of(before.data), dimension->newest, of, keys(dimension, "n"), of,
        keys(dimension, "v"), relation_name(dimension->relation), same_key(dimension, "e", "v"));
}

// A version that another one took in is no row any more.
static const char *delete_statement(const Dimension *dimension) {
    return psprintf("%sDELETE FROM %s e USING matched m WHERE %s AND e.valid_from = m.began AND m.place > 1",
                    versions_sql(dimension), relation_name(dimension->relation), same_key(dimension, "e", "m"));
}

static const char *update_statement(const Dimension *dimension) {
    const char *end = psprintf("coalesce(m.u, %s)", dimension->open_end);
    return psprintf(
        "%sUPDATE %s e SET (%s, valid_from, valid_to, is_current) = ROW(%s, m.f, %s, m.u IS NULL) FROM matched m "
        "WHERE %s AND e.valid_from = m.began AND m.place = 1 AND %s OPERATOR(pg_catalog.*<>) %s",
        versions_sql(dimension), relation_name(dimension->relation), named_others(dimension, ""),
        others(dimension, "m"), end, same_key(dimension, "e", "m"),
        row_of(psprintf("%s, e.valid_from, e.valid_to, e.is_current", named_others(dimension, "e."))),
        row_of(psprintf("%s, m.f, %s, m.u IS NULL", others(dimension, "m"), end)));
}

static const char *insert_statement(const Dimension *dimension) {
    return psprintf(
        "%sINSERT INTO %s (%s, %s, valid_from, valid_to, is_current) SELECT %s, %s, v.f, coalesce(v.u, %s), "
        "v.u IS NULL FROM versions v WHERE NOT EXISTS (SELECT FROM %s e WHERE %s AND e.valid_from = v.f) "
        "ORDER BY %s, v.f",
        versions_sql(dimension), relation_name(dimension->relation), named_keys(dimension, ""),
        named_others(dimension, ""), keys(dimension, "v"), others(dimension, "v"), dimension->open_end,
        relation_name(dimension->relation), same_key(dimension, "e", "v"), keys(dimension, "v"));
}

static void write_versions(const Dimension *dimension, Stage *stage, WriterCounts *counts) {
    (void)execute_on_stages(see_statement(dimension), &stage, 1, NULL, 0);
    counts->deleted += execute_on_stages(delete_statement(dimension), &stage, 1, NULL, 0);
    counts->updated += execute_on_stages(update_statement(dimension), &stage, 1, NULL, 0);
    counts->inserted += execute_on_stages(insert_statement(dimension), &stage, 1, NULL, 0);
}

void adopt_history(const Dimension *dimension) {
    if (!dimension->mapped->history)
        return;
    const char *key = numbered_list("k", dimension->key_count), *seen = numbered_list("c", other_count(dimension));
    (void)execute_on_stages(
        psprintf("INSERT INTO %s (%s, t, %s) SELECT %s, valid_from, %s FROM %s WHERE valid_from IS NOT NULL "
                 "ON CONFLICT DO NOTHING",
                 dimension->newest, key, seen, named_keys(dimension, ""), named_others(dimension, ""),
                 relation_name(dimension->relation)),
        NULL, 0, NULL, 0);
}

// ---- surrogates

struct Surrogates {
    Datum *values;
    int64 found;
    bool by_value;
    int16 length;
};

static void see_surrogate(void *context, HeapTuple row, TupleDesc type) {
    Surrogates *surrogates = static_cast<Surrogates *>(context);
    bool number_null, is_null;
    const int64 number = DatumGetInt64(heap_getattr(row, 1, type, &number_null));
    const Datum value = heap_getattr(row, 2, type, &is_null);
    if (is_null)
        return;
    surrogates->values[number] = datumCopy(value, surrogates->by_value, surrogates->length);
    surrogates->found++;
}

static const char *surrogate_query(const Dimension *dimension) {
    const char *valid =
        dimension->mapped->history ? " AND d.valid_from <= n.t AND (d.valid_to IS NULL OR n.t < d.valid_to)" : "";
    return psprintf("SELECT n.e, d.%s FROM sluice_rows n JOIN %s d ON %s%s", quote_identifier(dimension->surrogate),
                    relation_name(dimension->relation), same_key(dimension, "d", "n"), valid);
}

static void read_surrogates(const Dimension *dimension, Stage *stage, Datum *values) {
    Surrogates surrogates{values, 0, false, 0};
    const int64 wanted = tuplestore_tuple_count(stage->rows);
    get_typlenbyval(dimension->surrogate_type, &surrogates.length, &surrogates.by_value);
    scan_on_stages(surrogate_query(dimension), &stage, 1, see_surrogate, &surrogates);
    if (surrogates.found != wanted)
        ereport(ERROR, (errcode(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION),
                        errmsg("%s has \"%s\" for " INT64_FORMAT " of " INT64_FORMAT " rows of the batch",
                               relation_name(dimension->relation), dimension->surrogate, surrogates.found, wanted),
                        errhint("Look for triggers that suppress or change its rows, and for versions that overlap.")));
}

// ---- the whole

// A stage has what a tally has, but for the time of a history, which stands twice there.
static Stage *stage_dimension(const Dimension *dimension) {
    const int keys = dimension->key_count, others = other_count(dimension);
    const TallyColumn *last = &dimension->tally[dimension->tally_count - 1];
    const bool timed = last->role == TallyRole::Time;
    Stage *stage = make_stage("sluice_rows", dimension->count + timed + 1);
    int next = 0;
    for (int i = 0; i < dimension->count; i++) {
        const FactColumn *column = &dimension->columns[i];
        const char *name = i < keys ? psprintf("k%d", i + 1) : i < keys + others ? psprintf("c%d", i - keys + 1) : "d";
        describe_stage_column(stage, ++next, name, column->type, column->typmod, column->collation);
    }
    if (timed)
        describe_stage_column(stage, ++next, "t", last->type, -1, last->collation);
    describe_stage_column(stage, ++next, "e", INT8OID, -1, InvalidOid);
    return stage;
}

static void fill_stage(const Dimension *dimension, const Tally *tally, Stage *stage) {
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * stage->type->natts));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * stage->type->natts));
    const int extra = dimension->mapped->history ? 1 : 0; // the time within the key
    const int keys = dimension->key_count, rest = tally->count - keys - extra;
    for (int64 i = 0; i < tally->group_count; i++) {
        const TallyGroup *group = tally->groups[i];
        CHECK_FOR_INTERRUPTS();
        memcpy(values, group->values, sizeof(Datum) * keys);
        memcpy(nulls, group->nulls, keys);
        memcpy(values + keys, group->values + keys + extra, sizeof(Datum) * rest);
        memcpy(nulls + keys, group->nulls + keys + extra, rest);
        values[keys + rest] = Int64GetDatum(group->number);
        nulls[keys + rest] = false;
        put_on_stage(stage, values, nulls);
    }
}

static void write_rows(const Dimension *dimension, Stage *stage, WriterCounts *counts) {
    if (dimension->mapped->history)
        write_versions(dimension, stage, counts);
    else
        upsert_rows(dimension, stage, counts);
}

void write_dimension(const Dimension *dimension, const Tally *tally, WriterCounts *counts, Datum *surrogates) {
    Stage *stage = stage_dimension(dimension);
    fill_stage(dimension, tally, stage);
    write_rows(dimension, stage, counts);
    CommandCounterIncrement();
    if (surrogates)
        read_surrogates(dimension, stage, surrogates);
    end_stage(stage);
}

// A Viewer is shown rows.
struct Viewer {
    Oid relation;
    void (*see)(void *seer, Oid relation, Datum row);
    void *seer;
};

static void view_row(void *context, HeapTuple row, TupleDesc type) {
    const Viewer *viewer = static_cast<const Viewer *>(context);
    bool is_null;
    viewer->see(viewer->seer, viewer->relation, heap_getattr(row, 1, type, &is_null));
}

void show_dimension(const Dimension *dimension, const Tally *tally, void (*see)(void *seer, Oid relation, Datum row),
                    void *seer) {
    Viewer viewer{dimension->relation, see, seer};
    Stage *stage = stage_dimension(dimension);
    fill_stage(dimension, tally, stage);
    scan_on_stages(psprintf("SELECT d FROM %s d WHERE EXISTS (SELECT FROM sluice_rows n WHERE %s)",
                            relation_name(dimension->relation), same_key(dimension, "d", "n")),
                   &stage, 1, view_row, &viewer);
    end_stage(stage);
}

void check_dimension(const Dimension *dimension) {
    WriterCounts counts{};
    Stage *stage = stage_dimension(dimension);
    at_place(dimension->mapped->pointer, [&] { write_rows(dimension, stage, &counts); });
    if (dimension->surrogate)
        at_place(dimension->mapped->pointer, [&] { read_surrogates(dimension, stage, NULL); });
    end_stage(stage);
}

} // namespace sluice
