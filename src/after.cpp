// See after.hpp.
#include "after.hpp"

#include "catalog.hpp"
#include "names.hpp"
#include "pipeline.hpp"

namespace sluice {

// A pipeline that has failed is tried again after 1, 2, 4 ... minutes, an hour at most.
#define WAIT                                                                                                           \
    "coalesce(ceil(extract(epoch FROM failed_at - pg_catalog.clock_timestamp()) "                                      \
    "+ 60 * least(60, 2 ^ least(failures - 1, 6)))::bigint, 0)"

Turns load_turns() {
    const Parameters none{};
    Turns turns{};
    turns.count =
        catalog_execute("SELECT pipeline_id::bigint, name, after, paused::int::bigint, failures::bigint, " WAIT
                        " FROM sluice.pipeline ORDER BY name COLLATE \"C\"",
                        &none);
    turns.items = static_cast<Turn *>(palloc0(sizeof(Turn) * (turns.count + 1)));
    for (int i = 0; i < turns.count; i++) {
        bool is_null;
        Turn *turn = &turns.items[i];
        turn->id = result_int(i, 1, &is_null);
        turn->name = result_text(i, 2);
        turn->after = result_names(i, 3);
        turn->paused = result_int(i, 4, &is_null);
        turn->failures = result_int(i, 5, &is_null);
        turn->wait = result_int(i, 6, &is_null);
        turn->reason = "has not run yet";
        const Oid owner = pipeline_owner(turn->id);
        turn->runs_here = OidIsValid(owner) && owns_or_is_member(owner);
    }
    free_result();
    return turns;
}

Turn *find_turn(const Turns *turns, const char *name) {
    for (int i = 0; i < turns->count; i++)
        if (strcmp(turns->items[i].name, name) == 0)
            return &turns->items[i];
    return NULL;
}

// Visit is a walk from a pipeline to those that run before it.
struct Visit {
    const Turns *turns;
    Turn **order; // those that are done with
    int count;
    const char *wanted; // where the walk must not lead
    List *path;
};

[[noreturn]] static void refuse_cycle(const char *name, const List *path) {
    StringInfoData cycle;
    initStringInfo(&cycle);
    ListCell *cell;
    foreach (cell, path)
        appendStringInfo(&cycle, "\"%s\" after ", static_cast<const char *>(lfirst(cell)));
    appendStringInfo(&cycle, "\"%s\"", name);
    argument_error("after", psprintf("pipeline \"%s\" would run after itself: %s", name, cycle.data),
                   "Take one of them out of the circle with sluice.alter_pipeline(..., after => ...).");
}

// visit goes to a pipeline and all that run before it, each once.
static void visit(Visit *walk, const char *name) {
    check_stack_depth();
    if (walk->wanted && strcmp(name, walk->wanted) == 0)
        refuse_cycle(walk->wanted, walk->path);
    Turn *turn = find_turn(walk->turns, name);
    if (!turn || turn->visited)
        return;
    turn->visited = true;
    walk->path = lappend(walk->path, const_cast<char *>(name));
    ListCell *cell;
    foreach (cell, turn->after)
        visit(walk, static_cast<const char *>(lfirst(cell)));
    walk->path = list_truncate(walk->path, list_length(walk->path) - 1);
    walk->order[walk->count++] = turn;
}

static Visit begin_visit(const Turns *turns) {
    return Visit{turns, static_cast<Turn **>(palloc0(sizeof(Turn *) * (turns->count + 1))), 0, NULL, NIL};
}

Turn **order_turns(const Turns *turns) {
    Visit walk = begin_visit(turns);
    for (int i = 0; i < turns->count; i++)
        visit(&walk, turns->items[i].name);
    return walk.order;
}

void lock_order() {
    const LOCKTAG tag = pipeline_lock_tag(0); // of no pipeline
    (void)LockAcquire(&tag, ExclusiveLock, false, false);
}

void check_after(const char *name, List *after) {
    if (after == NIL)
        return;
    lock_order();
    ListCell *cell;
    foreach (cell, after) {
        const char *other = static_cast<const char *>(lfirst(cell));
        if (strcmp(other, name) == 0)
            argument_error("after", psprintf("pipeline \"%s\" cannot run after itself", name), NULL);
        at_place("after", [other] { (void)find_pipeline(other); });
    }
    const Turns turns = load_turns();
    Visit walk = begin_visit(&turns);
    walk.wanted = name;
    walk.path = list_make1(const_cast<char *>(name));
    foreach (cell, after)
        visit(&walk, static_cast<const char *>(lfirst(cell)));
}

} // namespace sluice
