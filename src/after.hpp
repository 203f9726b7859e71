// Which pipelines run after which: the names in sluice.pipeline.after, checked when they are written, put in order when all
// pipelines are run. A name whose pipeline is gone means nothing.
#pragma once

#include "postgres.hpp"

namespace sluice {

// A Turn is that of one pipeline among all of the database.
struct Turn {
    int32 id;
    const char *name;
    List *after; // names
    bool paused;
    int failures;       // in a row
    int64 wait;         // seconds until a pipeline that has failed is tried again; not positive: now
    bool runs_here;     // the current user may run it
    bool visited;       // while the turns are put in order
    const char *reason; // why those after it must not run; NULL: it has run
};

struct Turns {
    Turn *items;
    int count;
};

// load_turns reads all pipelines, in the order of their names.
Turns load_turns();

Turn *find_turn(const Turns *turns, const char *name); // NULL: there is none

// order_turns tells in which order they run: by name, as far as `after` does not say otherwise.
Turn **order_turns(const Turns *turns);

// lock_order keeps others from changing which pipelines run after which, until the end of the transaction.
void lock_order();

// check_after checks what the pipeline `name` (it may be a new one) is to run after: pipelines that are there and the caller's
// own, none of which runs after `name`. It stays so until the end of the transaction.
void check_after(const char *name, List *after);

} // namespace sluice
