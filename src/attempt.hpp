// An attempt: work that may fail without ending what it is a part of.
#pragma once

#include "postgres.hpp"

namespace sluice {

// attempt does a piece of work in a subtransaction of its own. An error rolls that back and is given (in CurrentMemoryContext) to
// the caller, who owes it: to be rethrown, or told. `rehearses`: what was done is rolled back, too.
template <class Work> ErrorData *attempt(Work work, bool rehearses = false) {
    MemoryContext memory = CurrentMemoryContext;
    ResourceOwner resources = CurrentResourceOwner;
    ErrorData *volatile error = NULL;
    BeginInternalSubTransaction(NULL);
    MemoryContextSwitchTo(memory);
    PG_TRY();
    {
        work();
        if (rehearses)
            RollbackAndReleaseCurrentSubTransaction();
        else
            ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(memory);
        error = CopyErrorData();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
    }
    PG_END_TRY();
    MemoryContextSwitchTo(memory);
    CurrentResourceOwner = resources;
    return error;
}

// is_intervention tells a cancel or a shutdown: those end everything.
inline bool is_intervention(const ErrorData *error) {
    return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
}

} // namespace sluice
