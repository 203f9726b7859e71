// Deep: jsonb columns that merge key by key, as merge patches (RFC 7396) do, in whatever order the patches come.
//
// A tree has a node for each place of the document. Two things can happen at a place: it is set to something that is no object,
// or removed; or a patch has an object there, which changes its members and makes an object of whatever it was. The latest
// counts. What happened below a place before it was last set is over. All of this is a maximum of times, so it does not matter
// in which order, and how often, patches are laid over a tree.
//
// Of equal times the greater value counts, as everywhere in a merge: in the order of jsonb, in which objects are the greatest;
// removed is less than any value.
//
// A node looks into an object only when another patch has one at the same place: a document of which one patch is known is kept
// as it is.
#pragma once

#include "postgres.hpp"

#include "moment.hpp"

namespace sluice {

enum class DeepKind : uint8_t {
    Removed, // or never heard of: `set` is unknown then
    Value,   // no object
    // objects
    Patch,    // one patch, nulls included, not looked into
    Document, // one document, not looked into: its nulls are values
    Members,
};

struct DeepNode {
    const char *name;
    uint32 length;
    DeepKind kind;
    uint8 type;   // of the value, as jsonb has it: an array or a document is binary
    bool boolean; // its value
    bool owned;   // what `data` points to is a copy of its own
    int64 set;    // when it became what it is; of an object, when it was last something else
    int64 object; // of an object: the latest patch that had it
    union {
        void *data;         // of a value, patch or document
        DeepNode **members; // in jsonb's order of keys
    };
    uint32 count; // members, or bytes of the data
    uint32 room;  // members for which there is room; 0: they are in memory that is not the node's own
};

inline bool is_deep_object(const DeepNode *node) { return node->kind >= DeepKind::Patch; }

// deep_moment is the latest time at which something happened at a node or below it.
inline int64 deep_moment(const DeepNode *node) { return is_deep_object(node) ? node->object : node->set; }

DeepNode *make_deep();

JsonbValue deep_value(const DeepNode *node); // of a value, patch or document

// check_deep refuses a patch that is nested too deeply, before anything is done with it.
void check_deep(Jsonb *patch);

// lay_patch lays a patch (NULL: the whole is removed) over a tree, and copies what it needs of it into the current context.
void lay_patch(DeepNode *root, Jsonb *patch, int64 moment);

// lay_deep lays a tree over another one, which then refers to parts of it: nothing more may be laid over it afterwards.
void lay_deep(DeepNode *root, const DeepNode *given);

// fill_deep makes a node that was never heard of one that has a value since some time. Nothing is copied.
void fill_deep(DeepNode *node, const JsonbValue *value, int64 moment, bool is_patch);

// make_members makes an object of nodes that are not heard of yet; `count` of them are at hand, to be counted by the caller.
void make_members(DeepNode *node, uint64 count);

// look_into makes nodes of the members of a document or patch.
void look_into(DeepNode *node);

bool removes(const DeepNode *node); // a patch with nulls, at any depth

// deep_document is what a tree makes of nothing, without what happened before `floor`; NULL when there is nothing.
Jsonb *deep_document(const DeepNode *root, int64 floor);

} // namespace sluice
