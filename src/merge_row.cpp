// See merge_row.hpp.
#include "merge_row.hpp"

#include "deep.hpp"
#include "names.hpp"

namespace sluice {

// Said of a leaf by a row whose moment is not looked at yet.
constexpr int64 said = oldest_moment;

struct Taking {
    const MergePlan *plan;
    FoldInput *input;
};

// may_clear tells whether a null can be a value of a leaf.
static bool may_clear(const MergeLeaf *leaf) { return leaf->rule == Rule::Newest || leaf->rule == Rule::Deep; }

// whole_patch: of a deep leaf, so that laying it over another one cannot fail half-way.
static Datum whole_patch(Datum value) {
    Jsonb *patch = DatumGetJsonbP(value);
    check_deep(patch);
    return JsonbPGetDatum(patch);
}

// check_clearing refuses a null that clears what must not be null, so that it does not matter whether there is a row yet.
static void check_clearing(const Taking *taking, const MergeLeaf *leaf) {
    if (leaf->not_null)
        ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION),
                        errmsg("column %s of %s must not be null", leaf->name, relation_name(taking->plan->relation)),
                        errdetail("A null clears it, since that is what a null stands for in this merge.")));
}

static void take_value(const Taking *taking, int number, Datum value, bool is_null) {
    MergeLeaf *leaf = &taking->plan->leaves[number];
    FoldValue *given = &taking->input->values[number];
    given->moment = unknown_moment;
    taking->input->column = leaf->name;
    if (!is_null)
        value = coerce_value(&leaf->coercion, value, &is_null);
    if (!is_null && leaf->rule == Rule::Deep)
        value = whole_patch(value);
    const bool is_value = !is_null || (taking->plan->clears && may_clear(leaf));
    if (is_value && is_null)
        check_clearing(taking, leaf);
    if (is_value)
        *given = FoldValue{said, value, is_null};
}

// deform takes a composite value apart.
static TupleDesc deform(Datum value, Datum **values, bool **nulls) {
    HeapTupleHeader header = DatumGetHeapTupleHeader(value);
    TupleDesc fields = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
    HeapTupleData tuple{};
    tuple.t_len = HeapTupleHeaderGetDatumLength(header);
    tuple.t_data = header;
    *values = static_cast<Datum *>(palloc(sizeof(Datum) * (fields->natts + 1)));
    *nulls = static_cast<bool *>(palloc(sizeof(bool) * (fields->natts + 1)));
    heap_deform_tuple(&tuple, fields, *values, *nulls);
    ReleaseTupleDesc(fields);
    return fields;
}

static void take_item(const Taking *taking, const MergeItem *item, Datum value, bool is_null) {
    if (item->leaf >= 0) {
        take_value(taking, item->leaf, value, is_null);
        return;
    }
    Datum *values = NULL;
    bool *nulls = NULL;
    if (!is_null)
        (void)deform(value, &values, &nulls);
    for (int i = 0; i < item->count; i++) {
        const MergeItem *field = &item->items[i];
        if (field->source >= 0)
            take_item(taking, field, is_null ? 0 : values[field->source], is_null || nulls[field->source]);
    }
}

// ---- documents

static void take_nothing(const Taking *taking, const MergeItem *item) {
    if (item->leaf >= 0)
        taking->input->values[item->leaf].moment = unknown_moment;
    for (int i = 0; i < item->count; i++)
        take_nothing(taking, &item->items[i]);
}

[[noreturn]] static void no_object(const MergeItem *item, const Value &value) {
    ereport(ERROR,
            (errcode(ERRCODE_DATATYPE_MISMATCH),
             errmsg("%s stands for column \"%s\", whose fields an object would have", kind_name(value), item->name)));
    pg_unreachable();
}

static void take_member(const Taking *taking, const MergeItem *item, const Value &value) {
    if (value.kind == ValueKind::Absent) {
        take_nothing(taking, item);
        return;
    }
    const bool clears = value.kind == ValueKind::Null;
    if (item->leaf >= 0) {
        MergeLeaf *leaf = &taking->plan->leaves[item->leaf];
        taking->input->column = leaf->name;
        bool is_null = clears;
        Datum converted = clears ? 0 : convert_value(&leaf->conversion, value, &is_null);
        if (!is_null && leaf->rule == Rule::Deep)
            converted = whole_patch(converted);
        const bool is_value = !is_null || may_clear(leaf);
        if (is_value && is_null)
            check_clearing(taking, leaf);
        taking->input->values[item->leaf] = FoldValue{is_value ? said : unknown_moment, converted, is_null};
        return;
    }
    if (!clears && value.kind != ValueKind::Object)
        no_object(item, value);
    for (int i = 0; i < item->count; i++)
        take_member(taking, &item->items[i],
                    clears ? value : value_member(value, item->items[i].name, strlen(item->items[i].name)));
}

// ---- a source row

static void null_key(const MergePlan *plan, int number) {
    const char *name = NameStr(TupleDescAttr(plan->columns, plan->key[number] - 1)->attname);
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                    errmsg("column \"%s\" of the key of %s is null", name, relation_name(plan->relation)),
                    errdetail("A row without a key belongs nowhere.")));
}

static void take_key(const MergePlan *plan, const SourceRow *row, const Value *document, FoldInput *input) {
    for (int i = 0; i < plan->key_count; i++) {
        bool is_null;
        const char *name = NameStr(TupleDescAttr(plan->columns, plan->key[i] - 1)->attname);
        input->column = name;
        if (document) {
            input->key[i] =
                convert_value(&plan->key_conversions[i], value_member(*document, name, strlen(name)), &is_null);
        } else {
            is_null = row->nulls[i];
            input->key[i] = is_null ? 0 : coerce_value(&plan->key_coercions[i], row->columns[i], &is_null);
        }
        if (is_null)
            null_key(plan, i);
    }
}

// take_moment also finds out whether the target can hold it, while the row is at hand.
static void take_moment(const MergePlan *plan, const SourceRow *row, const Value *document, FoldInput *input) {
    bool is_null;
    Datum moment;
    input->column = plan->newest ? NameStr(TupleDescAttr(plan->columns, plan->newest - 1)->attname) : NULL;
    if (plan->time >= 0) {
        moment = row->columns[plan->time];
        is_null = row->nulls[plan->time];
    } else {
        const Value value = value_member(*document, plan->time_member, strlen(plan->time_member));
        moment = convert_value(const_cast<Conversion *>(&plan->time_conversion), value, &is_null);
    }
    input->moment = moment_of(plan->moments, moment, is_null);
    if (plan->newest && !is_null)
        (void)coerce_value(const_cast<Coercion *>(&plan->newest_coercion), moment, &is_null);
}

void take_source_row(const MergePlan *plan, const SourceRow *row, const Value *document, FoldInput *input) {
    const Taking taking{plan, input};
    input->column = NULL;
    if (document && document->kind != ValueKind::Object)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("the document is %s, not an object", kind_name(*document))));
    take_key(plan, row, document, input);
    take_moment(plan, row, document, input);
    input->deletes = plan->deletes && DatumGetBool(row->columns[plan->delete_at]);
    input->column = NULL;
    if (input->deletes)
        return;
    for (int i = 0; i < plan->item_count; i++) {
        const MergeItem *item = &plan->items[i];
        if (document)
            take_member(&taking, item, value_member(*document, item->name, strlen(item->name)));
        else
            take_item(&taking, item, row->columns[item->source], row->nulls[item->source]);
    }
    input->column = NULL;
}

// ---- a target row

static void take_known(const MergeItem *item, Datum value, bool is_null, int64 moment, const int64 *moments,
                       FoldValue *leaves) {
    if (item->leaf >= 0) {
        const int64 set = moments ? moments[item->leaf] : is_null ? unknown_moment : moment;
        leaves[item->leaf] = FoldValue{set, value, is_null};
        return;
    }
    Datum *values = NULL;
    bool *nulls = NULL;
    if (!is_null)
        (void)deform(value, &values, &nulls);
    for (int i = 0; i < item->count; i++) {
        const int number = item->items[i].number;
        take_known(&item->items[i], is_null ? 0 : values[number], is_null || nulls[number], moment, moments, leaves);
    }
}

// forget_nulls: where a null says nothing, one that stands where something was set was put there by hand.
static void forget_nulls(const MergePlan *plan, FoldValue *leaves) {
    for (int i = 0; i < plan->leaf_count; i++)
        if (leaves[i].is_null && (!plan->clears || !may_clear(&plan->leaves[i])))
            leaves[i].moment = unknown_moment;
}

void take_target_row(const MergePlan *plan, const Datum *values, const bool *nulls, int64 moment, const int64 *moments,
                     FoldValue *leaves) {
    for (int i = 0; i < plan->item_count; i++)
        take_known(&plan->items[i], values[plan->items[i].number], nulls[plan->items[i].number], moment, moments,
                   leaves);
    forget_nulls(plan, leaves);
}

// ---- putting together

static Datum checked_composite(Oid type, HeapTuple tuple) {
    const Datum value = HeapTupleGetDatum(tuple);
    if (getBaseType(type) != type)
        domain_check(value, false, type, NULL, NULL);
    return value;
}

bool put_item(const MergeItem *item, const FoldValue *leaves, Datum *value, bool *is_null) {
    if (item->leaf >= 0) {
        const FoldValue *leaf = &leaves[item->leaf];
        *value = leaf->value;
        *is_null = leaf->is_null;
        return leaf->moment != unknown_moment;
    }
    Datum *values = static_cast<Datum *>(palloc0(sizeof(Datum) * (item->fields->natts + 1)));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * (item->fields->natts + 1)));
    memset(nulls, true, item->fields->natts);
    bool known = false;
    *is_null = true;
    for (int i = 0; i < item->count; i++) {
        const int number = item->items[i].number;
        known = put_item(&item->items[i], leaves, &values[number], &nulls[number]) || known;
        *is_null = *is_null && nulls[number];
    }
    if (!*is_null)
        *value = checked_composite(item->type, heap_form_tuple(item->fields, values, nulls));
    return known;
}

bool is_item_changed(const MergeItem *item, const bool *changed) {
    if (item->leaf >= 0)
        return changed[item->leaf];
    for (int i = 0; i < item->count; i++)
        if (is_item_changed(&item->items[i], changed))
            return true;
    return false;
}

} // namespace sluice
