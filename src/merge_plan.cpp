// Planning a merge: the target's columns that the source has, taken apart into leaves, with how their values are compared,
// converted and added. See merge.hpp.
#include "merge.hpp"

#include "document.hpp"
#include "expression.hpp"
#include "key.hpp"
#include "names.hpp"
#include "shred.hpp"
#include "value.hpp"

namespace sluice {

struct Planning {
    const MergeDefinition *definition;
    MergePlan *plan;
    Relation source, target;
    List **slots;
    List *used_rules; // columns whose rule or deepness found its column
};

static Form_pg_attribute column_of(Relation relation, const char *name) {
    const AttrNumber number = get_attnum(RelationGetRelid(relation), name);
    return number > 0 ? TupleDescAttr(RelationGetDescr(relation), number - 1) : NULL;
}

[[noreturn]] static void missing_column(const char *argument, const char *what, Relation relation, const char *name) {
    const char *hint = nearest_column_hint(relation, name);
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                    errmsg("%s: column \"%s\" of %s %s does not exist", argument, name, what,
                           relation_name(RelationGetRelid(relation))),
                    hint ? errhint("%s", hint) : 0));
    pg_unreachable();
}

// source_column finds where a column comes from: the source, or (0) a member of the document.
static Form_pg_attribute source_column(const Planning *planning, const char *argument, const char *name) {
    if (planning->definition->document)
        return NULL;
    Form_pg_attribute column = column_of(planning->source, name);
    if (!column)
        missing_column(argument, "source", planning->source, name);
    return column;
}

static int add_expression(MergePlan *plan, const char *sql) {
    plan->expressions[plan->expression_count] = sql;
    return plan->expression_count++;
}

static int add_column(MergePlan *plan, const char *name) {
    return add_expression(plan, psprintf("s.%s", quote_identifier(name)));
}

// plan_coercion_of plans how a source's value becomes one of the target's, or says that it cannot.
static bool plan_coercion_of(Coercion *coercion, const char *name, Oid from, int32 from_typmod, Oid to, int32 typmod) {
    if (!plan_coercion(coercion, from, from_typmod, to, typmod))
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("column \"%s\": type %s of the source cannot be assigned to type %s of the target", name,
                               format_type_be(from), format_type_be(to))));
    return coercion->there != NULL;
}

// ---- leaves

static Rule rule_of(Planning *planning, const char *column) {
    static const char *const words[] = {"first", "sum", "min", "max"};
    static const Rule rules[] = {Rule::First, Rule::Sum, Rule::Min, Rule::Max};
    const MergeDefinition *definition = planning->definition;
    const bool is_deep = has_name(definition->deep, column);
    if (is_deep && has_name(definition->rule_columns, column))
        argument_error("rules", psprintf("column \"%s\" is in deep already", column), NULL);
    if (is_deep)
        return Rule::Deep;
    for (int i = 0; i < list_length(definition->rule_columns); i++)
        if (strcmp(static_cast<const char *>(list_nth(definition->rule_columns, i)), column) == 0)
            for (int word = 0; word < static_cast<int>(lengthof(words)); word++)
                if (strcmp(static_cast<const char *>(list_nth(definition->rules, i)), words[word]) == 0)
                    return rules[word];
    return Rule::Newest;
}

// plan_order looks up how values of a leaf are compared: ties of newest_by go to the greater one.
static void plan_order(MergeLeaf *leaf) {
    const TypeCacheEntry *type = lookup_type_cache(getBaseType(leaf->type), TYPECACHE_CMP_PROC_FINFO);
    leaf->has_order = OidIsValid(type->cmp_proc_finfo.fn_oid);
    if (leaf->has_order)
        fmgr_info_copy(&leaf->compare, const_cast<FmgrInfo *>(&type->cmp_proc_finfo), CurrentMemoryContext);
    else if (leaf->rule == Rule::Min || leaf->rule == Rule::Max)
        argument_error(
            "rules", psprintf("column \"%s\" has type %s, which has no order", leaf->name, format_type_be(leaf->type)),
            NULL);
}

// plan_sum finds the addition. Floats are refused: their sum depends on the order of addition.
static void plan_sum(MergeLeaf *leaf) {
    const Oid type = getBaseType(leaf->type);
    if (type == FLOAT4OID || type == FLOAT8OID)
        argument_error("rules",
                       psprintf("the sum of column \"%s\" of type %s would depend on the order of its rows", leaf->name,
                                format_type_be(leaf->type)),
                       "Use numeric.");
    const Oid add =
        OpernameGetOprid(list_make2(makeString(pstrdup("pg_catalog")), makeString(pstrdup("+"))), type, type);
    if (!OidIsValid(add) || get_op_rettype(add) != type)
        argument_error(
            "rules",
            psprintf("column \"%s\" has type %s, which cannot be added", leaf->name, format_type_be(leaf->type)), NULL);
    fmgr_info(get_opcode(add), &leaf->add);
}

static int slot_of(Planning *planning, const char *name) {
    int slot = 0;
    ListCell *cell;
    foreach (cell, *planning->slots) {
        if (strcmp(static_cast<const char *>(lfirst(cell)), name) == 0)
            return slot;
        slot++;
    }
    *planning->slots = lappend(*planning->slots, pstrdup(name));
    return slot;
}

static int add_leaf(Planning *planning, const char *name, Rule rule, Oid type, int32 typmod, Oid collation) {
    MergePlan *plan = planning->plan;
    constexpr int step = 16;
    if (plan->leaf_count % step == 0)
        plan->leaves = static_cast<MergeLeaf *>(
            plan->leaves ? repalloc(plan->leaves, sizeof(MergeLeaf) * (plan->leaf_count + step))
                         : palloc(sizeof(MergeLeaf) * step));
    MergeLeaf *leaf = &plan->leaves[plan->leaf_count];
    memset(leaf, 0, sizeof(*leaf));
    leaf->name = name;
    leaf->slot = slot_of(planning, name);
    leaf->rule = rule;
    leaf->type = type;
    leaf->typmod = typmod;
    leaf->collation = collation;
    get_typlenbyval(type, &leaf->length, &leaf->by_value);
    plan_order(leaf);
    if (rule == Rule::Sum)
        plan_sum(leaf);
    if (rule == Rule::Deep && type != JSONBOID)
        argument_error("deep", psprintf("column \"%s\" has type %s, not jsonb", name, format_type_be(type)), NULL);
    return plan->leaf_count++;
}

// ---- columns and fields

static bool is_composite(Oid type) { return get_typtype(getBaseType(type)) == TYPTYPE_COMPOSITE; }

static TupleDesc fields_of(Oid type) {
    TupleDesc shared = lookup_rowtype_tupdesc(getBaseType(type), -1);
    TupleDesc fields = CreateTupleDescCopy(shared);
    ReleaseTupleDesc(shared);
    return fields;
}

static Form_pg_attribute field_named(TupleDesc fields, const char *name, int *number) {
    for (*number = 0; fields && *number < fields->natts; (*number)++) {
        Form_pg_attribute field = TupleDescAttr(fields, *number);
        if (!field->attisdropped && strcmp(NameStr(field->attname), name) == 0)
            return field;
    }
    *number = -1;
    return NULL;
}

// refuse_lost_fields refuses a field of the source that the target has no place for.
static void refuse_lost_fields(const char *name, TupleDesc from, TupleDesc to) {
    for (int i = 0; i < from->natts; i++) {
        Form_pg_attribute field = TupleDescAttr(from, i);
        int number;
        if (!field->attisdropped && !field_named(to, NameStr(field->attname), &number))
            ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                            errmsg("column \"%s\": field \"%s\" of the source has no place in the target", name,
                                   NameStr(field->attname)),
                            errhint("Add it to the target's type.")));
    }
}

static void plan_leaf(Planning *planning, MergeItem *item, const char *name, Rule rule, Form_pg_attribute to,
                      Form_pg_attribute from) {
    item->leaf = add_leaf(planning, name, rule, to->atttypid, to->atttypmod, to->attcollation);
    MergeLeaf *leaf = &planning->plan->leaves[item->leaf];
    if (from && plan_coercion_of(&leaf->coercion, name, from->atttypid, from->atttypmod, to->atttypid, to->atttypmod))
        planning->plan->converts = true;
    if (planning->definition->document)
        plan_conversion(&leaf->conversion, to->atttypid, to->atttypmod);
}

static void plan_item(Planning *planning, MergeItem *item, const char *name, Rule rule, Form_pg_attribute to,
                      Form_pg_attribute from);

static void plan_fields(Planning *planning, MergeItem *item, const char *name, Form_pg_attribute from) {
    TupleDesc given = from ? fields_of(from->atttypid) : NULL;
    item->leaf = -1;
    item->fields = fields_of(item->type);
    item->items = static_cast<MergeItem *>(palloc0(sizeof(MergeItem) * (item->fields->natts + 1)));
    if (given)
        refuse_lost_fields(name, given, item->fields);
    for (int i = 0; i < item->fields->natts; i++) {
        Form_pg_attribute field = TupleDescAttr(item->fields, i);
        if (field->attisdropped)
            continue;
        MergeItem *below = &item->items[item->count++];
        below->number = i;
        Form_pg_attribute source = field_named(given, NameStr(field->attname), &below->source);
        plan_item(planning, below, psprintf("%s.%s", name, quote_identifier(NameStr(field->attname))), Rule::Newest,
                  field, source);
    }
}

static void plan_item(Planning *planning, MergeItem *item, const char *name, Rule rule, Form_pg_attribute to,
                      Form_pg_attribute from) {
    item->name = pstrdup(NameStr(to->attname));
    item->type = to->atttypid;
    const bool apart = rule == Rule::Newest && is_composite(to->atttypid) &&
                       (planning->definition->document || !from || is_composite(from->atttypid));
    if (apart)
        plan_fields(planning, item, name, from);
    else
        plan_leaf(planning, item, name, rule, to, from);
}

static void plan_column(Planning *planning, const char *name) {
    MergePlan *plan = planning->plan;
    Form_pg_attribute to = column_of(planning->target, name);
    if (!to)
        missing_column("columns", "target", planning->target, name);
    if (to->attgenerated)
        argument_error("columns", psprintf("column \"%s\" of the target is generated", name), NULL);
    Form_pg_attribute from = source_column(planning, "columns", name);
    MergeItem *item = &plan->items[plan->item_count++];
    item->number = to->attnum - 1;
    item->source = from ? add_column(plan, name) : -1;
    plan->written = bms_add_member(plan->written, to->attnum);
    plan_item(planning, item, quote_identifier(name), rule_of(planning, name), to, from);
}

static bool is_key(const MergeDefinition *definition, const char *name) { return has_name(definition->key, name); }

static bool is_newest(const MergeDefinition *definition, const char *name) {
    return strcmp(definition->newest_by, name) == 0;
}

// common_columns names what source (or, of documents, everything) and target have in common, but the key and the time.
static List *common_columns(const Planning *planning) {
    const MergeDefinition *definition = planning->definition;
    TupleDesc columns = RelationGetDescr(planning->target);
    List *names = NIL;
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        const char *name = NameStr(column->attname);
        if (column->attisdropped || column->attgenerated || is_key(definition, name) || is_newest(definition, name))
            continue;
        if (definition->document ? column->attidentity == 0 : column_of(planning->source, name) != NULL)
            names = lappend(names, pstrdup(name));
    }
    return names;
}

static void check_named_columns(const MergeDefinition *definition) {
    ListCell *cell;
    foreach (cell, definition->columns) {
        const char *name = static_cast<const char *>(lfirst(cell));
        if (is_key(definition, name) || is_newest(definition, name))
            argument_error("columns",
                           psprintf("\"%s\" is in %s already", name, is_key(definition, name) ? "key" : "newest_by"),
                           NULL);
    }
}

static void check_special_columns(const char *argument, List *special, List *columns) {
    ListCell *cell;
    foreach (cell, special) {
        const char *name = static_cast<const char *>(lfirst(cell));
        NearestName nearest = nearest_begin(name);
        ListCell *other;
        foreach (other, columns)
            nearest_offer(&nearest, static_cast<const char *>(lfirst(other)));
        if (!has_name(columns, name))
            argument_error(argument, psprintf("\"%s\" is no column that is merged", name), nearest_hint(&nearest));
    }
}

static void plan_columns(Planning *planning) {
    const MergeDefinition *definition = planning->definition;
    check_named_columns(definition);
    List *columns = definition->columns != NIL ? definition->columns : common_columns(planning);
    if (columns == NIL && planning->plan->newest == 0)
        argument_error("columns",
                       psprintf("source and target %s have no column in common beside the key",
                                relation_name(RelationGetRelid(planning->target))),
                       NULL);
    check_special_columns("deep", definition->deep, columns);
    check_special_columns("rules", definition->rule_columns, columns);
    planning->plan->items = static_cast<MergeItem *>(palloc0(sizeof(MergeItem) * (list_length(columns) + 1)));
    ListCell *cell;
    foreach (cell, columns)
        plan_column(planning, static_cast<const char *>(lfirst(cell)));
}

// ---- the key

static void plan_key_column(Planning *planning, Relation index, int number) {
    MergePlan *plan = planning->plan;
    Form_pg_attribute to =
        TupleDescAttr(RelationGetDescr(planning->target), index->rd_index->indkey.values[number] - 1);
    const char *name = NameStr(to->attname);
    if (to->attgenerated)
        argument_error("key", psprintf("column \"%s\" of the target is generated", name), NULL);
    const Oid type = getBaseType(to->atttypid);
    const TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_HASH_PROC_FINFO);
    if (!OidIsValid(entry->hash_proc_finfo.fn_oid))
        argument_error(
            "key",
            psprintf("column \"%s\" has type %s, which cannot be looked up by its hash", name, format_type_be(type)),
            NULL);
    plan->key[number] = to->attnum;
    plan->key_types[number] = to->atttypid;
    get_typlenbyval(to->atttypid, &plan->key_lengths[number], &plan->key_by_value[number]);
    plan->key_collations[number] = index->rd_indcollation[number];
    fmgr_info_copy(&plan->key_hash[number], const_cast<FmgrInfo *>(&entry->hash_proc_finfo), CurrentMemoryContext);
    const Oid equal = get_opfamily_member(index->rd_opfamily[number], index->rd_opcintype[number],
                                          index->rd_opcintype[number], BTEqualStrategyNumber);
    fmgr_info(get_opcode(equal), &plan->key_equal[number]);
    fmgr_info_copy(&plan->key_order[number], index_getprocinfo(index, number + 1, BTORDER_PROC), CurrentMemoryContext);
    Form_pg_attribute from = source_column(planning, "key", name);
    if (from) {
        (void)add_column(plan, name);
        if (plan_coercion_of(&plan->key_coercions[number], name, from->atttypid, from->atttypmod, to->atttypid,
                             to->atttypmod))
            plan->converts = true;
    } else {
        plan_conversion(&plan->key_conversions[number], to->atttypid, to->atttypmod);
    }
}

static Oid key_index_of(const Planning *planning) {
    const MergeDefinition *definition = planning->definition;
    const int count = list_length(definition->key);
    const char **names = static_cast<const char **>(palloc(sizeof(char *) * (count + 1)));
    for (int i = 0; i < count; i++) {
        names[i] = static_cast<const char *>(list_nth(definition->key, i));
        if (!column_of(planning->target, names[i]))
            missing_column("key", "target", planning->target, names[i]);
    }
    const Oid index = find_key_index(planning->target, names, count);
    if (!OidIsValid(index))
        missing_key_index("key", planning->target, quoted_names(definition->key));
    return index;
}

// is_number_equality knows the functions by which numbers are equal when their bytes are.
static bool is_number_equality(Oid function) {
    return function == F_INT2EQ || function == F_INT4EQ || function == F_INT8EQ || function == F_DATE_EQ ||
           function == F_TIMESTAMP_EQ || function == F_TIMESTAMPTZ_EQ;
}

static void plan_key(Planning *planning) {
    MergePlan *plan = planning->plan;
    const int count = plan->key_count = list_length(planning->definition->key);
    plan->key_index = key_index_of(planning);
    plan->key = static_cast<AttrNumber *>(palloc0(sizeof(AttrNumber) * count));
    plan->key_types = static_cast<Oid *>(palloc0(sizeof(Oid) * count));
    plan->key_by_value = static_cast<bool *>(palloc0(sizeof(bool) * count));
    plan->key_lengths = static_cast<int16 *>(palloc0(sizeof(int16) * count));
    plan->key_hash = static_cast<FmgrInfo *>(palloc0(sizeof(FmgrInfo) * count));
    plan->key_equal = static_cast<FmgrInfo *>(palloc0(sizeof(FmgrInfo) * count));
    plan->key_order = static_cast<FmgrInfo *>(palloc0(sizeof(FmgrInfo) * count));
    plan->key_collations = static_cast<Oid *>(palloc0(sizeof(Oid) * count));
    plan->key_coercions = static_cast<Coercion *>(palloc0(sizeof(Coercion) * count));
    plan->key_conversions = static_cast<Conversion *>(palloc0(sizeof(Conversion) * count));
    Relation index = index_open(plan->key_index, AccessShareLock);
    for (int i = 0; i < count; i++)
        plan_key_column(planning, index, i);
    index_close(index, NoLock);
    for (int i = 0; i < count; i++)
        plan->written = bms_add_member(plan->written, plan->key[i]);
    plan->first_key_type = getBaseType(plan->key_types[0]);
    plan->number_key = count == 1 && is_number_equality(plan->key_equal[0].fn_oid);
}

// ---- the time

[[noreturn]] static void refuse_moment(Oid type) {
    argument_error("newest_by", psprintf("type %s cannot tell what is newer in eight bytes", format_type_be(type)),
                   "It is a date, a timestamp, an integer or a float; cast it: newest_by => 'version::bigint'.");
}

// plan_time plans what says how new a row is; where the target has a column of that name, it gets the newest.
static void plan_time(Planning *planning) {
    MergePlan *plan = planning->plan;
    const MergeDefinition *definition = planning->definition;
    Form_pg_attribute to = column_of(planning->target, definition->newest_by);
    const bool by_member = definition->document && to && !column_of(planning->source, definition->newest_by);
    Oid type = InvalidOid;
    if (by_member) {
        type = to->atttypid;
        plan->time = -1;
        plan->time_member = pstrdup(definition->newest_by);
        plan_conversion(&plan->time_conversion, type, to->atttypmod);
    } else {
        const Expression time = read_expression(planning->source, "newest_by", definition->newest_by);
        type = time.type;
        plan->time = add_expression(plan, time.sql);
    }
    if (!moment_kind(type, &plan->moments))
        refuse_moment(type);
    if (!to || to->attgenerated || is_key(definition, definition->newest_by))
        return;
    plan->newest = to->attnum;
    plan->written = bms_add_member(plan->written, to->attnum);
    (void)plan_coercion_of(&plan->newest_coercion, definition->newest_by, type, -1, to->atttypid, to->atttypmod);
    plan->comes_back = plan_coercion(&plan->newest_back, to->atttypid, to->atttypmod, type, -1);
}

static void plan_delete(Planning *planning) {
    MergePlan *plan = planning->plan;
    const char *condition = planning->definition->delete_when;
    plan->delete_at = -1;
    if (!condition)
        return;
    if (planning->definition->rule_columns != NIL)
        argument_error("delete_when", "cannot be combined with rules",
                       "A sum, a least or a first value cannot be taken back when an older delete arrives late.");
    const Expression deletes = read_expression(planning->source, "delete_when", condition);
    if (getBaseType(deletes.type) != BOOLOID)
        argument_error("delete_when",
                       psprintf("\"%s\" is no condition but of type %s", condition, format_type_be(deletes.type)),
                       NULL);
    plan->deletes = true;
    plan->delete_at = add_expression(plan, psprintf("coalesce(%s, false)", deletes.sql));
}

// ---- columns that must be known

static bool has_not_null_domain(Oid type) {
    while (get_typtype(type) == TYPTYPE_DOMAIN) {
        HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
        if (!HeapTupleIsValid(tuple))
            elog(ERROR, "cache lookup failed for type %u", type);
        const Form_pg_type form = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple));
        const bool not_null = form->typnotnull;
        type = form->typbasetype;
        ReleaseSysCache(tuple);
        if (not_null)
            return true;
    }
    return false;
}

static bool must_be_given(Form_pg_attribute column) {
    return !column->attisdropped && !column->atthasdef && !column->attidentity && !column->attgenerated &&
           (column->attnotnull || has_not_null_domain(column->atttypid));
}

static void plan_not_null(MergePlan *plan) {
    for (int i = 0; i < plan->item_count; i++) {
        Form_pg_attribute column = TupleDescAttr(plan->columns, plan->items[i].number);
        if (plan->items[i].leaf >= 0)
            plan->leaves[plan->items[i].leaf].not_null = column->attnotnull || has_not_null_domain(column->atttypid);
    }
}

// plan_required lists the columns without which a row cannot be written; one that nothing fills is refused.
static void plan_required(Planning *planning) {
    MergePlan *plan = planning->plan;
    plan_not_null(plan);
    for (int i = 0; i < plan->columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(plan->columns, i);
        if (!must_be_given(column) || is_key(planning->definition, NameStr(column->attname)))
            continue;
        if (!bms_is_member(i + 1, plan->written))
            ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION),
                            errmsg("target: column \"%s\" of %s must not be null, has no default and is not merged",
                                   NameStr(column->attname), relation_name(plan->relation)),
                            errhint("Give it a default, or merge it.")));
        plan->required = bms_add_member(plan->required, i + 1);
    }
}

// ---- all of it

// open_target finds the target by its name.
static Relation open_target(const char *name) {
    RangeVar *range = NULL;
    at_place("target", [&] { range = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(name))); });
    const Oid relation = RangeVarGetRelid(range, AccessShareLock, true);
    if (!OidIsValid(relation))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("target: table %s does not exist", name)));
    const char kind = get_rel_relkind(relation);
    if (kind == RELKIND_INDEX || kind == RELKIND_PARTITIONED_INDEX || kind == RELKIND_COMPOSITE_TYPE ||
        kind == RELKIND_SEQUENCE || kind == RELKIND_MATVIEW)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("target: %s is no table", name)));
    return table_open(relation, NoLock);
}

static void plan_document(Planning *planning) {
    planning->plan->document = -1;
    if (!planning->definition->document)
        return;
    planning->plan->document_type = document_type(planning->source, planning->definition->document);
    planning->plan->document = add_column(planning->plan, planning->definition->document);
    planning->plan->converts = true;
}

static bool is_plain(const MergePlan *plan, const MergeItem *item) {
    const MergeLeaf *leaf = item->leaf >= 0 ? &plan->leaves[item->leaf] : NULL;
    return leaf && leaf->rule == Rule::Newest && !leaf->coercion.there;
}

// plan_plain finds out whether what is read of a row can be folded as it is.
static void plan_plain(MergePlan *plan) {
    bool plain = !plan->clears && !plan->converts && plan->time >= 0 && plan->leaf_count == plan->item_count &&
                 !plan->newest_coercion.there;
    for (int i = 0; i < plan->item_count; i++)
        plain = plain && is_plain(plan, &plan->items[i]);
    if (!plain)
        return;
    plan->plain_sources = static_cast<int *>(palloc(sizeof(int) * (plan->leaf_count + 1)));
    for (int i = 0; i < plan->item_count; i++)
        plan->plain_sources[plan->items[i].leaf] = plan->items[i].source;
}

MergePlan *plan_merge(const MergeDefinition *definition, List **slots, Relation source, bool whole) {
    MergePlan *plan = static_cast<MergePlan *>(palloc0(sizeof(MergePlan)));
    Planning planning{definition, plan, source, open_target(definition->target), slots, NIL};
    plan->relation = RelationGetRelid(planning.target);
    plan->columns = CreateTupleDescCopyConstr(RelationGetDescr(planning.target));
    plan->clears = definition->clears || definition->document;
    plan->expressions =
        static_cast<const char **>(palloc(sizeof(char *) * (list_length(definition->key) + plan->columns->natts + 4)));
    refuse_without_conflicts("target", planning.target);
    plan_key(&planning);
    plan_time(&planning);
    plan_columns(&planning);
    plan_document(&planning);
    plan_delete(&planning);
    plan_required(&planning);
    plan_plain(plan);
    plan->whole = whole ? add_expression(plan, whole_row(source)) : -1;
    plan->slot_count = list_length(*slots);
    table_close(planning.target, NoLock);
    return plan;
}

} // namespace sluice
