// See foreign_key.hpp.
//
// Why no check is needed. The parent row is inserted by this transaction and not committed: nobody else sees it, so nobody
// else can change or delete it, and the KEY SHARE lock that the check would take protects nothing. Once the child row is in
// its table the parent's own triggers guard the pair, as always. What is left is code that runs between the two: while rows
// are put and buffered. All AFTER triggers fire later, when every row is written, and statements of other sessions cannot
// see the rows; so only code called row by row could interfere, and where there is any (may_interfere), the normal checks
// stay. They also stay where the parent row may differ from what was put: BEFORE triggers, tables written by query.
#include "foreign_key.hpp"

namespace sluice {

static bool type_runs_code(Oid type);

bool is_simple_key(Oid constraint) {
    HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
    if (!HeapTupleIsValid(tuple))
        return false;
    const Form_pg_constraint form = reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple));
    bool simple = form->confmatchtype == FKCONSTR_MATCH_SIMPLE;
#if PG_VERSION_NUM >= 180000
    simple = simple && !form->conperiod;
#endif
    ReleaseSysCache(tuple);
    return simple;
}

static bool is_linked(const ColumnLink *links, int count, AttrNumber child, AttrNumber parent) {
    for (int i = 0; i < count; i++)
        if (links[i].child == child && links[i].parent == parent)
            return true;
    return false;
}

List *implied_foreign_keys(Relation child, Oid parent, const ColumnLink *links, int count) {
    List *implied = NIL;
    ListCell *cell;
    foreach (cell, RelationGetFKeyList(child)) {
        const ForeignKeyCacheInfo *key = lfirst_node(ForeignKeyCacheInfo, cell);
        bool all = key->confrelid == parent && key->nkeys > 0;
        for (int i = 0; all && i < key->nkeys; i++)
            all = is_linked(links, count, key->conkey[i], key->confkey[i]);
        if (all && is_simple_key(key->conoid))
            implied = lappend_oid(implied, key->conoid);
    }
    return implied;
}

// is_implied climbs from a partition's constraint to the one it was made from.
static bool is_implied(Oid constraint, const List *implied) {
    while (OidIsValid(constraint)) {
        if (list_member_oid(implied, constraint))
            return true;
        HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
        if (!HeapTupleIsValid(tuple))
            return false;
        constraint = reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple))->conparentid;
        ReleaseSysCache(tuple);
    }
    return false;
}

void drop_implied_checks(ResultRelInfo *relation, List *constraints) {
    TriggerDesc *triggers = relation->ri_TrigDesc; // a copy of its own
    if (!triggers || constraints == NIL)
        return;
    int kept = 0;
    triggers->trig_insert_after_row = false;
    for (int i = 0; i < triggers->numtriggers; i++) {
        const Trigger trigger = triggers->triggers[i];
        if (trigger.tgfoid == F_RI_FKEY_CHECK_INS && is_implied(trigger.tgconstraint, constraints))
            continue;
        triggers->triggers[kept++] = trigger;
        if (TRIGGER_FOR_ROW(trigger.tgtype) && TRIGGER_FOR_AFTER(trigger.tgtype) && TRIGGER_FOR_INSERT(trigger.tgtype))
            triggers->trig_insert_after_row = true;
    }
    triggers->numtriggers = kept;
}

// ---- code that could interfere

// is_user_function finds functions of users in any language but C (which only superusers can add): even one labelled
// immutable may call another that writes.
static bool is_user_function(Oid function, void *) {
    if (function < FirstNormalObjectId)
        return false;
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple))
        return true;
    const Oid language = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->prolang;
    ReleaseSysCache(tuple);
    return language != INTERNALlanguageId && language != ClanguageId;
}

static bool user_code_walker(Node *node, void *context) {
    if (!node)
        return false;
    if (check_functions_in_node(node, is_user_function, context))
        return true;
    if (IsA(node, CoerceToDomain) && type_runs_code(castNode(CoerceToDomain, node)->resulttype))
        return true;
    return walk_expression(node, user_code_walker, context);
}

bool runs_user_code(Node *expression) {
    return contain_volatile_functions_not_nextval(expression) || user_code_walker(expression, NULL);
}

static bool domain_runs_code(Oid domain) {
    // Not on the stack: the memory context will call back into it when it is reset.
    DomainConstraintRef *constraints = static_cast<DomainConstraintRef *>(palloc0(sizeof(DomainConstraintRef)));
    InitDomainConstraintRef(domain, constraints, CurrentMemoryContext, false);
    ListCell *cell;
    foreach (cell, constraints->constraints) {
        const DomainConstraintState *constraint = static_cast<DomainConstraintState *>(lfirst(cell));
        if (constraint->constrainttype == DOM_CONSTRAINT_CHECK &&
            runs_user_code(reinterpret_cast<Node *>(constraint->check_expr)))
            return true;
    }
    return type_runs_code(getBaseType(domain));
}

static bool composite_runs_code(Oid type) {
    TupleDesc fields = lookup_rowtype_tupdesc(type, -1);
    bool runs = false;
    for (int i = 0; !runs && i < fields->natts; i++)
        runs = !TupleDescAttr(fields, i)->attisdropped && type_runs_code(TupleDescAttr(fields, i)->atttypid);
    ReleaseTupleDesc(fields);
    return runs;
}

static bool type_runs_code(Oid type) {
    if (type < FirstNormalObjectId)
        return false;
    switch (get_typtype(type)) {
    case TYPTYPE_DOMAIN:
        return domain_runs_code(type);
    case TYPTYPE_COMPOSITE:
        return composite_runs_code(type);
    case TYPTYPE_RANGE:
        return type_runs_code(get_range_subtype(type));
    case TYPTYPE_MULTIRANGE:
        return type_runs_code(get_range_subtype(get_multirange_range(type)));
    }
    const Oid element = get_element_type(type);
    if (OidIsValid(element))
        return type_runs_code(element);
    Oid input, parameter;
    getTypeInputInfo(type, &input, &parameter);
    return is_user_function(input, NULL);
}

static bool constraints_run_code(const TupleConstr *constraints) {
    if (!constraints)
        return false;
    for (int i = 0; i < constraints->num_check; i++)
        if (runs_user_code(static_cast<Node *>(stringToNode(constraints->check[i].ccbin))))
            return true;
    for (int i = 0; i < constraints->num_defval; i++)
        if (runs_user_code(static_cast<Node *>(stringToNode(constraints->defval[i].adbin))))
            return true;
    return false;
}

static bool indexes_run_code(Relation relation) {
    bool runs = false;
    ListCell *cell;
    foreach (cell, RelationGetIndexList(relation)) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        runs = runs || runs_user_code(reinterpret_cast<Node *>(RelationGetIndexExpressions(index))) ||
               runs_user_code(reinterpret_cast<Node *>(RelationGetIndexPredicate(index)));
        index_close(index, AccessShareLock);
    }
    return runs;
}

static bool routing_runs_code(Relation relation) {
    return relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
           runs_user_code(reinterpret_cast<Node *>(RelationGetPartitionKey(relation)->partexprs));
}

// conditions_run_code looks at the WHEN of row triggers: also that of an AFTER trigger is evaluated when its row is written.
static bool conditions_run_code(const TriggerDesc *triggers) {
    for (int i = 0; triggers && i < triggers->numtriggers; i++) {
        const Trigger *trigger = &triggers->triggers[i];
        if (trigger->tgqual && TRIGGER_FOR_INSERT(trigger->tgtype) &&
            runs_user_code(static_cast<Node *>(stringToNode(trigger->tgqual))))
            return true;
    }
    return false;
}

// table_interferes looks at one table; the types of its columns are looked at where values are converted, at the root.
static bool table_interferes(Relation relation) {
    return (relation->trigdesc && relation->trigdesc->trig_insert_before_row) ||
           relation->rd_rel->relkind == RELKIND_FOREIGN_TABLE || conditions_run_code(relation->trigdesc) ||
           constraints_run_code(RelationGetDescr(relation)->constr) || indexes_run_code(relation) ||
           routing_runs_code(relation);
}

static bool partitions_interfere(Relation relation) {
    List *members = find_all_inheritors(RelationGetRelid(relation), AccessShareLock, NULL);
    ListCell *cell;
    foreach (cell, members) {
        if (lfirst_oid(cell) == RelationGetRelid(relation))
            continue;
        Relation partition = table_open(lfirst_oid(cell), NoLock);
        const bool interferes = table_interferes(partition);
        table_close(partition, NoLock);
        if (interferes)
            return true;
    }
    return false;
}

bool may_interfere(Relation relation, bool by_query) {
    TupleDesc columns = RelationGetDescr(relation);
    for (int i = 0; i < columns->natts; i++)
        if (!TupleDescAttr(columns, i)->attisdropped && type_runs_code(TupleDescAttr(columns, i)->atttypid))
            return true;
    if (by_query) // its triggers, checks and rules run when all rows of the direct ones are written; its defaults run here
        return constraints_run_code(columns->constr);
    return table_interferes(relation) ||
           (relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE && partitions_interfere(relation));
}

} // namespace sluice
