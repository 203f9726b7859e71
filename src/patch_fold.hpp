// A PatchFold applies merge patches to an absent document, the newest first.
//
// Backwards, each patch says only what no newer one has said, so a patch that adds nothing is known to be dead: what is
// older, or comes in between later, cannot bring it back to life.
#pragma once

#include "merge_patch.hpp"

namespace sluice {

struct PatchNode;

struct PatchFold {
    PatchNode *root; // NULL: no patch yet
};

// fold_older takes in a patch that is older than all before; false when nothing of it counts. The patch must stay where it
// is; memory is the current context's.
bool fold_older(PatchFold *fold, Jsonb *patch);

// folded_document is the result; NULL when there was no patch.
Jsonb *folded_document(const PatchFold *fold);

} // namespace sluice
