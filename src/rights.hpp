// Rights: everything in a batch happens as the pipeline's owner and under the settings of its creation, whoever calls.
#pragma once

#include "postgres.hpp"

#include "pipeline.hpp"

namespace sluice {

struct OwnerScope {
    Oid user;
    int security;
    int settings;
    bool switched;
    bool atomic;
};

// switch_to_owner changes the user and the settings, switch_back ends that: enough for reading and planning.
OwnerScope switch_to_owner(const Pipeline *pipeline);
void switch_back(const OwnerScope *scope);

// enter_owner switches to the owner and his settings; call it inside the batch's (sub)transaction, whose abort undoes it.
OwnerScope enter_owner(const Pipeline *pipeline, bool atomic);

// fire_deferred fires the triggers that are deferred, and those to come at the end of their statements.
void fire_deferred();

// leave_owner sees to it that nothing stays deferred, and switches back.
void leave_owner(const OwnerScope *scope);

} // namespace sluice
