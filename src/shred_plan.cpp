// Planning a shred: every name of the mapping is looked up and every type tied to its conversion. See shred.hpp.
#include "shred.hpp"

#include "names.hpp"
#include "sequence.hpp"
#include "source.hpp"

namespace sluice {

static Oid find_table(const MappedTable *table) {
    const Oid relation = RangeVarGetRelid(read_relation_name(table->name, table->pointer), NoLock, true);
    if (!OidIsValid(relation))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("%s: table %s does not exist", table->pointer, table->name),
                 errhint("Create it first; names follow SQL's rules: unquoted ones are lower case and looked up "
                         "in search_path.")));
    const char kind = get_rel_relkind(relation);
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
        kind != RELKIND_FOREIGN_TABLE)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                        errmsg("%s: %s is not a table, view or foreign table", table->pointer, table->name)));
    return relation;
}

// refuse_own_source finds targets that are the source, a part of it, or what it is a part of: such a run would never end.
static void refuse_own_source(const MappedTable *table, Oid target, Relation source) {
    const Oid relation = RelationGetRelid(source);
    const bool above = source->rd_rel->relispartition && list_member_oid(get_partition_ancestors(relation), target);
    if (above || list_member_oid(find_all_inheritors(relation, NoLock, NULL), target))
        mapping_error(table->pointer, "the source of the pipeline cannot be its target", NULL);
}

static int find_parent(const Mapping *mapping, int child) {
    const MappedTable *table = &mapping->tables[child];
    if (!table->parent)
        return -1;
    NearestName nearest = nearest_begin(table->parent);
    for (int i = 0; i < mapping->table_count; i++) {
        if (strcmp(mapping->tables[i].name, table->parent) == 0)
            return i;
        nearest_offer(&nearest, mapping->tables[i].name);
    }
    mapping_error(psprintf("%s/parent", table->pointer), psprintf("\"%s\" is no table of this mapping", table->parent),
                  nearest_hint(&nearest));
}

static void link_tables(ShredPlan *plan, const Mapping *mapping) {
    for (int i = 0; i < plan->table_count; i++) {
        plan->tables[i].mapped = &mapping->tables[i];
        plan->tables[i].parent = find_parent(mapping, i);
        plan->tables[i].children = static_cast<int *>(palloc(sizeof(int) * plan->table_count));
    }
    for (int i = 0; i < plan->table_count; i++) {
        int up = plan->tables[i].parent;
        for (int steps = 0; up >= 0 && up != i && steps < plan->table_count; steps++)
            up = plan->tables[up].parent;
        if (up == i)
            mapping_error(psprintf("%s/parent", plan->tables[i].mapped->pointer), "the table is among its own parents",
                          NULL);
        if (plan->tables[i].parent >= 0) {
            ShredTable *parent = &plan->tables[plan->tables[i].parent];
            parent->children[parent->child_count++] = i;
        }
    }
}

static bool may_have_many(const ShredPlan *plan, const ShredTable *table) {
    for (;; table = &plan->tables[table->parent]) {
        if (path_has_each(table->mapped->each))
            return true;
        if (table->parent < 0)
            return false;
    }
}

// gives_key tells whether the items of a table have a key (or, with `index`, a position): from its own `each`, or from
// its parent's item.
static bool gives_key(const ShredPlan *plan, const ShredTable *table, bool index) {
    for (;;) {
        const Path &each = table->mapped->each;
        for (int i = 0; i < each.step_count; i++)
            if (each.steps[i].kind == StepKind::EachValue || (index && each.steps[i].kind == StepKind::EachItem))
                return true;
        if (!each.from_item || table->parent < 0)
            return false;
        table = &plan->tables[table->parent];
    }
}

static void check_each(const ShredPlan *plan, ShredTable *table) {
    const Path &each = table->mapped->each;
    const char *pointer = psprintf("%s/each", table->mapped->pointer);
    table->places = static_cast<Place *>(palloc0(sizeof(Place) * (each.step_count + 1)));
    if (each.from_item && table->parent < 0)
        mapping_error(
            pointer,
            psprintf("path \"%s\" starts with @, the item of a parent, but the table has no \"parent\"", each.text),
            "Start it with $, the document.");
    if (!each.from_item && table->parent >= 0 && may_have_many(plan, &plan->tables[table->parent]))
        mapping_error(pointer,
                      psprintf("path \"%s\" starts with $, but parent %s may have many rows a document", each.text,
                               table->mapped->parent),
                      "Start it with @, the parent's item, so that each row knows its parent.");
    if (path_has_item_key(each) && (table->parent < 0 || !gives_key(plan, &plan->tables[table->parent], false)))
        mapping_error(pointer, "[@key] needs a parent whose \"each\" has a .*", NULL);
    table->many = may_have_many(plan, table);
}

static AttrNumber source_column(const MappedColumn *mapped, Relation source) {
    const AttrNumber number = get_attnum(RelationGetRelid(source), mapped->other);
    if (number <= 0)
        mapping_error(mapped->pointer,
                      psprintf("column \"%s\" of source %s does not exist", mapped->other,
                               relation_name(RelationGetRelid(source))),
                      nearest_column_hint(source, mapped->other));
    return number;
}

static int need_source_column(ShredPlan *plan, AttrNumber number) {
    for (int i = 0; i < plan->source_column_count; i++)
        if (plan->source_columns[i] == number)
            return i;
    plan->source_columns[plan->source_column_count] = number;
    return plan->source_column_count++;
}

static void plan_sql_value(ShredPlan *plan, ShredColumn *column, Oid from, int32 from_typmod) {
    const Conversion &to = column->conversion;
    if (!plan_coercion(&column->coercion, from, from_typmod, to.type, to.typmod))
        mapping_error(
            column->mapped->pointer,
            psprintf("a value of type %s cannot be stored in type %s", format_type_be(from), format_type_be(to.type)),
            NULL);
    plan->interferes = plan->interferes || column->coercion.runs_code;
}

// check_readable refuses columns of a parent whose stored values cannot be known.
static void check_readable(const MappedColumn *mapped, const MappedTable *parent, Relation relation) {
    const char generated =
        TupleDescAttr(RelationGetDescr(relation), get_attnum(RelationGetRelid(relation), mapped->other) - 1)
            ->attgenerated;
    const bool by_query = parent->key_count > 0 ? is_keyed_by_query(relation) : is_written_by_query(relation);
    if (generated && (by_query || generated != ATTRIBUTE_GENERATED_STORED))
        mapping_error(mapped->pointer,
                      psprintf("what %s computes for the generated column \"%s\" cannot be read back", parent->name,
                               mapped->other),
                      "Map the columns from which it is computed.");
    if (!by_query)
        return;
    bool is_mapped = false;
    for (int i = 0; i < parent->column_count; i++)
        is_mapped = is_mapped || strcmp(parent->columns[i].name, mapped->other) == 0;
    const TriggerDesc *triggers = relation->trigdesc;
    const char kind = relation->rd_rel->relkind;
    if (is_mapped && !(triggers && triggers->trig_insert_before_row))
        return;
    if ((kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE) &&
        !(triggers && triggers->trig_insert_before_row))
        return; // its default is evaluated here
    mapping_error(mapped->pointer,
                  psprintf("what %s stores in column \"%s\" cannot be read back", parent->name, mapped->other),
                  "The parent is a view or a foreign table, or has rules or row-level security: map that column from "
                  "the document, or write to "
                  "the table behind it.");
}

static void plan_parent_value(ShredPlan *plan, ShredTable *table, ShredColumn *column) {
    if (table->parent < 0)
        mapping_error(column->mapped->pointer, "the table has no parent", "Add \"parent\".");
    ShredTable *parent = &plan->tables[table->parent];
    Relation relation = table_open(parent->relation, AccessShareLock);
    const AttrNumber number = get_attnum(parent->relation, column->mapped->other);
    if (number <= 0)
        mapping_error(column->mapped->pointer,
                      psprintf("column \"%s\" of table %s does not exist", column->mapped->other,
                               relation_name(parent->relation)),
                      nearest_column_hint(relation, column->mapped->other));
    check_readable(column->mapped, parent->mapped, relation);
    Form_pg_attribute referenced = TupleDescAttr(RelationGetDescr(relation), number - 1);
    parent->returned = bms_add_member(parent->returned, number);
    column->other = number - 1;
    plan_sql_value(plan, column, referenced->atttypid, referenced->atttypmod);
    if (!column->coercion.there && referenced->attcollation == column->collation)
        table->links[table->link_count++] = ColumnLink{static_cast<AttrNumber>(column->column + 1), number};
    table_close(relation, AccessShareLock);
}

static void plan_column_format(ShredColumn *column) {
    column->format = static_cast<Format *>(palloc(sizeof(Format)));
    plan_format(column->format, column->mapped->format);
    at_place(psprintf("%s/format", column->mapped->pointer),
             [=] { check_format(column->format, &column->conversion); });
}

// plan_default converts the default once; it must fit.
static void plan_default(ShredColumn *column) {
    const Value &value = column->mapped->default_value;
    if (is_missing(value))
        return;
    at_place(psprintf("%s/default", column->mapped->pointer), [=] {
        bool is_null;
        if (column->format)
            column->default_value = format_value(column->format, &column->conversion, value, &is_null);
        else
            column->default_value = convert_value(&column->conversion, value, &is_null);
        column->has_default = !is_null;
    });
}

static void check_type_word(const MappedColumn *mapped) {
    if (!mapped->type)
        return;
    at_place(psprintf("%s/type", mapped->pointer), [=] {
        Oid type;
        int32 typmod;
#if PG_VERSION_NUM >= 160000
        parseTypeString(mapped->type, &type, &typmod, NULL);
#else
        parseTypeString(mapped->type, &type, &typmod, false);
#endif
    });
}

static void plan_value(ShredPlan *plan, ShredTable *table, ShredColumn *column, Relation source) {
    const MappedColumn *mapped = column->mapped;
    switch (mapped->form) {
    case ValueForm::Path:
        if (path_has_item_key(mapped->path) && !gives_key(plan, table, false))
            mapping_error(mapped->pointer, "[@key] needs an \"each\" with a .*", NULL);
        break;
    case ValueForm::Key:
    case ValueForm::Index:
        if (!gives_key(plan, table, mapped->form == ValueForm::Index))
            mapping_error(mapped->pointer,
                          mapped->form == ValueForm::Key ? "@key needs an \"each\" with a .*"
                                                         : "@index needs an \"each\" with a [*] or .*",
                          NULL);
        break;
    case ValueForm::Parent:
        plan_parent_value(plan, table, column);
        return;
    case ValueForm::SourceColumn: {
        const AttrNumber number = source_column(mapped, source);
        Form_pg_attribute from = TupleDescAttr(RelationGetDescr(source), number - 1);
        column->other = need_source_column(plan, number);
        plan_sql_value(plan, column, from->atttypid, from->atttypmod);
        return;
    }
    case ValueForm::Run:
        plan_sql_value(plan, column, INT8OID, -1);
        return;
    case ValueForm::LoadedAt:
        plan_sql_value(plan, column, TIMESTAMPTZOID, -1);
        return;
    case ValueForm::Hash:
        column->hash_as_uuid = column->conversion.base == UUIDOID;
        plan_sql_value(plan, column, column->hash_as_uuid ? UUIDOID : BYTEAOID, -1);
        return;
    case ValueForm::Rest:
        plan_sql_value(plan, column, JSONBOID, -1);
        return;
    case ValueForm::Serial:
    case ValueForm::Default:
        pg_unreachable();
    }
    if (mapped->format)
        plan_column_format(column);
    plan_default(column);
}

static Form_pg_attribute target_column(const MappedColumn *mapped, Relation relation) {
    const AttrNumber number = get_attnum(RelationGetRelid(relation), mapped->name);
    if (number <= 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("%s: column \"%s\" of table %s does not exist", mapped->pointer, mapped->name,
                               relation_name(RelationGetRelid(relation))),
                        nearest_column_hint(relation, mapped->name)
                            ? errhint("%s", nearest_column_hint(relation, mapped->name))
                            : 0));
    Form_pg_attribute column = TupleDescAttr(RelationGetDescr(relation), number - 1);
    if (column->attgenerated)
        mapping_error(mapped->pointer, "the column is generated: it takes no value", "Leave it out of the mapping.");
    const bool serial = mapped->form == ValueForm::Serial;
    if (serial && !OidIsValid(default_sequence(relation, number)))
        mapping_error(mapped->pointer, "#serial needs a column that is an identity or has nextval() as its default",
                      NULL);
    if (column->attidentity == ATTRIBUTE_IDENTITY_ALWAYS && !serial && mapped->form != ValueForm::Default)
        mapping_error(mapped->pointer, "the column is GENERATED ALWAYS AS IDENTITY: it takes no value",
                      "Map it to \"#serial\", or make it GENERATED BY DEFAULT.");
    check_type_word(mapped);
    return column;
}

static void plan_table(ShredPlan *plan, ShredTable *table, Relation source) {
    Relation relation = table_open(table->relation, AccessShareLock);
    const MappedTable *mapped = table->mapped;
    table->columns = static_cast<ShredColumn *>(palloc0(sizeof(ShredColumn) * mapped->column_count));
    table->links = static_cast<ColumnLink *>(palloc(sizeof(ColumnLink) * mapped->column_count));
    for (int i = 0; i < mapped->column_count; i++) {
        const MappedColumn *from = &mapped->columns[i];
        Form_pg_attribute attribute = target_column(from, relation);
        if (from->form == ValueForm::Serial || from->form == ValueForm::Default)
            continue; // the writer evaluates defaults
        ShredColumn *column = &table->columns[table->column_count++];
        column->mapped = from;
        column->column = attribute->attnum - 1;
        table->written = bms_add_member(table->written, attribute->attnum);
        column->collation = attribute->attcollation;
        plan_conversion(&column->conversion, attribute->atttypid, attribute->atttypmod);
        plan_value(plan, table, column, source);
    }
    table_close(relation, AccessShareLock);
}

Oid document_type(Relation source, const char *document) {
    const AttrNumber number = find_source_column(source, document, "document");
    const Oid type = getBaseType(TupleDescAttr(RelationGetDescr(source), number - 1)->atttypid);
    if (type != JSONBOID && type != JSONOID && type != TEXTOID && type != VARCHAROID)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("document: column \"%s\" has type %s", document, format_type_be(type)),
                        errhint("Documents are jsonb, json or text.")));
    return type;
}

static bool maps_rest(const MappedTable *table) {
    for (int i = 0; i < table->column_count; i++)
        if (table->columns[i].form == ValueForm::Rest)
            return true;
    return false;
}

static void plan_rests(ShredPlan *plan, const Mapping *mapping, bool covers) {
    for (int i = 0; i < plan->table_count; i++) {
        covers = covers || maps_rest(&mapping->tables[i]);
        for (int up = plan->tables[i].parent; up >= 0; up = plan->tables[up].parent)
            plan->tables[i].rests = plan->tables[i].rests || maps_rest(&mapping->tables[up]);
    }
    plan->coverage = covers ? plan_coverage(mapping) : NULL;
}

ShredPlan *plan_shred(const Mapping *mapping, Relation source, bool covers, const Bitmapset *also) {
    ShredPlan *plan = static_cast<ShredPlan *>(palloc0(sizeof(ShredPlan)));
    plan->table_count = mapping->table_count;
    plan->tables = static_cast<ShredTable *>(palloc0(sizeof(ShredTable) * mapping->table_count));
    plan->source_columns = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * RelationGetDescr(source)->natts));
    plan->interferes = check_enable_rls(RelationGetRelid(source), InvalidOid, true) == RLS_ENABLED;
    link_tables(plan, mapping);
    for (int i = 0; i < plan->table_count; i++) {
        check_each(plan, &plan->tables[i]);
        plan->tables[i].relation = find_table(&mapping->tables[i]);
        refuse_own_source(&mapping->tables[i], plan->tables[i].relation, source);
    }
    plan_modes(plan);
    plan_rests(plan, mapping, covers);
    for (int i = 0; i < plan->table_count; i++)
        plan_table(plan, &plan->tables[i], source);
    plan_keys(plan);
    for (int column = -1; (column = bms_next_member(also, column)) >= 0;)
        (void)need_source_column(plan, column);
    plan->source_types = static_cast<ColumnForm *>(palloc(sizeof(ColumnForm) * (plan->source_column_count + 1)));
    for (int i = 0; i < plan->source_column_count; i++) {
        Form_pg_attribute column = TupleDescAttr(RelationGetDescr(source), plan->source_columns[i] - 1);
        plan->source_types[i] =
            ColumnForm{pstrdup(NameStr(column->attname)), column->atttypid, column->attlen, column->attbyval};
    }
    return plan;
}

} // namespace sluice
