// See newest.hpp.
#include "newest.hpp"

#include "catalog.hpp"
#include "names.hpp"

namespace sluice {

static const char *table_name(int32 pipeline, int number) { return psprintf("newest_%d_%d", pipeline, number); }

const char *newest_name(int32 pipeline, int number) { return psprintf("sluice.%s", table_name(pipeline, number)); }

// append_type writes the type of a column, with its collation where that is not the type's own.
static void append_type(StringInfo to, Oid type, int32 typmod, Oid collation) {
    appendStringInfoString(to,
                           format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
    if (!OidIsValid(collation) || collation == get_typcollation(type))
        return;
    HeapTuple tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
    if (!HeapTupleIsValid(tuple))
        return;
    const Form_pg_collation form = reinterpret_cast<Form_pg_collation>(GETSTRUCT(tuple));
    appendStringInfo(to, " COLLATE %s",
                     quote_qualified_identifier(get_namespace_name(form->collnamespace), NameStr(form->collname)));
    ReleaseSysCache(tuple);
}

static void append_columns(StringInfo to, const char *prefix, const FactColumn *columns, int count) {
    for (int i = 0; i < count; i++) {
        appendStringInfo(to, "%s%d ", prefix, i + 1);
        append_type(to, columns[i].type, columns[i].typmod, columns[i].collation);
        appendStringInfoString(to, ", ");
    }
}

// create_table makes one; `seen` are the columns of a history, all whose times are kept.
static void create_table(Oid time_type, Oid time_collation, const char *table, const FactColumn *key, int key_count,
                         const FactColumn *seen, int seen_count, const char *comment, Oid owner) {
    StringInfoData statement;
    initStringInfo(&statement);
    appendStringInfo(&statement, "CREATE TABLE %s (", table);
    append_columns(&statement, "k", key, key_count);
    append_columns(&statement, "c", seen, seen_count);
    appendStringInfoString(&statement, "t ");
    append_type(&statement, time_type, -1, time_collation);
    appendStringInfoString(&statement, ", PRIMARY KEY (");
    for (int i = 0; i < key_count; i++)
        appendStringInfo(&statement, "%sk%d", i ? ", " : "", i + 1);
    appendStringInfo(&statement, "%s)) WITH (fillfactor = 90)", seen_count > 0 ? ", t" : "");
    const Parameters none{};
    catalog_execute(statement.data, &none);
    catalog_execute(psprintf("REVOKE ALL ON %s FROM PUBLIC", table), &none);
    catalog_execute(psprintf("COMMENT ON TABLE %s IS %s", table, quote_literal_cstr(comment)), &none);
    catalog_execute(psprintf("ALTER TABLE %s OWNER TO %s", table, quote_identifier(GetUserNameFromId(owner, false))),
                    &none);
}

void create_newest(const FactsPlan *plan, int32 pipeline, const char *name, Oid owner) {
    if (plan->newest)
        create_table(plan->time_type, plan->time_collation, newest_name(pipeline, 0), plan->columns, plan->grain_count,
                     NULL, 0, psprintf("of which time the facts of pipeline %s are", name), owner);
    for (int i = 0; i < plan->dimension_count; i++) {
        const Dimension *dimension = &plan->dimensions[i];
        if (!dimension->newest)
            continue;
        const bool history = dimension->mapped->history;
        create_table(dimension->time_type, plan->time_collation, newest_name(pipeline, dimension->number),
                     dimension->columns, dimension->key_count, dimension->columns + dimension->key_count,
                     history ? dimension->count - dimension->key_count : 0,
                     psprintf("of which time pipeline %s saw the rows of %s", name, relation_name(dimension->relation)),
                     owner);
    }
}

void drop_newest(int32 pipeline) {
    Parameters parameters{};
    add_text(&parameters, psprintf("newest\\_%d\\_%%", pipeline));
    const uint64 count =
        catalog_execute("SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                        "WHERE n.nspname = 'sluice' AND c.relkind = 'r' AND c.relname LIKE $1",
                        &parameters);
    StringInfoData list;
    initStringInfo(&list);
    for (uint64 i = 0; i < count; i++)
        appendStringInfo(&list, "%ssluice.%s", i ? ", " : "", quote_identifier(result_text(i, 1)));
    free_result();
    const Parameters none{};
    if (count > 0)
        catalog_execute(psprintf("DROP TABLE %s", list.data), &none);
}

Oid find_newest(const char *qualified) {
    const Oid relation = get_relname_relid(strchr(qualified, '.') + 1, get_namespace_oid("sluice", false));
    if (!OidIsValid(relation))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table %s is gone", qualified),
                        errdetail("It tells of which time the rows of the pipeline's targets are."),
                        errhint("Restore it; or CALL sluice.rebuild, which loads everything anew.")));
    return relation;
}

// check_column: a column of another type compares otherwise than what is remembered.
static void check_column(const char *table, const char *name, const FactColumn *column, Oid of) {
    const Oid remembers = find_newest(table);
    const AttrNumber number = get_attnum(remembers, name);
    if (number > 0 && get_atttype(remembers, number) == column->type)
        return;
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("the type of column %s of %s was changed", quote_identifier(column->name), relation_name(of)),
             errdetail("%s, which tells of which time its rows are, has it as it was.", table),
             errhint("Change it back; or CALL sluice.rebuild, which loads everything anew.")));
}

static void own_table(const char *table, const FactColumn *columns, int keys, int others, Oid of, Oid owner) {
    give_table(find_newest(table), owner);
    for (int i = 0; i < keys; i++)
        check_column(table, psprintf("k%d", i + 1), &columns[i], of);
    for (int i = 0; i < others; i++)
        check_column(table, psprintf("c%d", i + 1), &columns[keys + i], of);
}

void own_newest(const FactsPlan *plan, int32 pipeline, Oid owner) {
    if (plan->newest)
        own_table(newest_name(pipeline, 0), plan->columns, plan->grain_count, 0, plan->relation, owner);
    for (int i = 0; i < plan->dimension_count; i++) {
        const Dimension *dimension = &plan->dimensions[i];
        const int others = dimension->mapped->history ? dimension->count - dimension->key_count : 0;
        if (dimension->newest)
            own_table(newest_name(pipeline, dimension->number), dimension->columns, dimension->key_count, others,
                      dimension->relation, owner);
    }
}

} // namespace sluice
