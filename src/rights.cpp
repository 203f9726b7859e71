// See rights.hpp.
//
// A plain change of the user would not do: what is deferred to the commit (constraint triggers) runs after the change back,
// with the rights of the caller, a superuser perhaps; a cursor WITH HOLD is filled then, too. So
//   - for a caller who is not the owner the operation is security-restricted: no WITH HOLD, no temporary objects, no
//     PREPARE, no LISTEN;
//   - constraints are set immediate before the change, so that their triggers fire inside the batch, as the owner; if one
//     was deferred all the same, the batch fails.
// When the caller is the owner nothing is switched; outside a transaction block deferred triggers fire in the batch all the
// same, so that their errors end the batch and not the commit. Inside the caller's own transaction block they stay as
// deferred as after an INSERT.
#include "rights.hpp"

namespace sluice {

static void apply(const char *setting, const char *value) {
    const char *now = GetConfigOption(setting, false, false);
    if (strcmp(now, value) != 0)
        (void)set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

// pending_deferred_trigger finds a relation with deferrable triggers of which one waits to be fired.
static Oid pending_deferred_trigger() {
    Relation catalog = table_open(TriggerRelationId, AccessShareLock);
    SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
    Oid pending = InvalidOid;
    while (HeapTuple tuple = systable_getnext(scan)) {
        const Form_pg_trigger trigger = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple));
        if (trigger->tgdeferrable && AfterTriggerPendingOnRel(trigger->tgrelid)) {
            pending = trigger->tgrelid;
            break;
        }
    }
    systable_endscan(scan);
    table_close(catalog, AccessShareLock);
    return pending;
}

OwnerScope switch_to_owner(const Pipeline *pipeline) {
    OwnerScope scope{};
    GetUserIdAndSecContext(&scope.user, &scope.security);
    scope.switched = scope.user != pipeline->owner;
    if (scope.switched)
        SetUserIdAndSecContext(pipeline->owner,
                               scope.security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
    scope.settings = NewGUCNestLevel();
    apply("TimeZone", pipeline->time_zone);
    apply("DateStyle", pipeline->date_style);
    apply("IntervalStyle", pipeline->interval_style);
    apply("search_path", pipeline->search_path);
    return scope;
}

void switch_back(const OwnerScope *scope) {
    AtEOXact_GUC(false, scope->settings); // also undoes what triggers and functions have set

    if (scope->switched)
        SetUserIdAndSecContext(scope->user, scope->security);
}

void fire_deferred() {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) < 0)
        elog(ERROR, "could not fire deferred triggers");
    MemoryContextSwitchTo(memory);
}

OwnerScope enter_owner(const Pipeline *pipeline, bool atomic) {
    const Oid pending = atomic && GetUserId() != pipeline->owner ? pending_deferred_trigger() : InvalidOid;
    if (OidIsValid(pending))
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("pipeline \"%s\" cannot run here: deferred triggers of %s are pending in this transaction",
                        pipeline->name, relation_name(pending)),
                 errhint("Run SET CONSTRAINTS ALL IMMEDIATE first, or run the pipeline outside a transaction block.")));
    // What is still deferred cannot be fired under security restriction: so nothing is, from here on.
    if (GetUserId() != pipeline->owner)
        fire_deferred();
    OwnerScope scope = switch_to_owner(pipeline);
    scope.atomic = atomic;
    return scope;
}

void leave_owner(const OwnerScope *scope) {
    if (!scope->atomic && !scope->switched)
        fire_deferred();
    if (scope->switched) {
        const Oid pending = pending_deferred_trigger();
        if (OidIsValid(pending))
            ereport(
                ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("a trigger deferred further work on %s, which would run with the rights of the caller",
                        relation_name(pending)),
                 errhint("Let the trigger function leave SET CONSTRAINTS alone, or run the pipeline as its owner.")));
    }
    switch_back(scope);
}

} // namespace sluice
