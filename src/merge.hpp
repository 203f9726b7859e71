// Merge: partial rows into one full row for each key. A definition is what the user said; a plan ties it to source and target
// as they are now. See merge_work.cpp for how a row flows.
//
// A target row is seen as its leaves: columns, of composite columns their fields, to any depth. For each leaf the newest
// value counts (or another rule), so each has a time of its own.
#pragma once

#include "postgres.hpp"

#include "coercion.hpp"
#include "convert.hpp"
#include "moment.hpp"
#include "pipeline.hpp"
#include "source.hpp"

namespace sluice {

enum class Rule : uint8_t { Newest, First, Sum, Min, Max, Deep };

struct MergeDefinition {
    const char *target; // schema.table, quoted
    List *key;
    const char *newest_by;
    List *columns; // NIL: all that source and target have in common
    bool clears;   // a null is a value
    List *deep;
    List *rule_columns, *rules; // names, words
    const char *delete_when;    // or NULL
    const char *document;       // column of the source, or NULL
};

const char *merge_definition_text(const MergeDefinition *definition);
MergeDefinition *read_merge_definition(const char *text);

// A place for one value of the target.
struct MergeLeaf {
    const char *name; // of the column, then of the fields: a.b
    int slot;         // among the times of a state
    Rule rule;
    Oid type;
    int32 typmod;
    int16 length;
    bool by_value;
    bool not_null; // a column that must not be null
    Oid collation;
    bool has_order;        // else values are compared by their bytes
    FmgrInfo compare;      // of two values
    FmgrInfo add;          // rule Sum
    Coercion coercion;     // from the source's type
    Conversion conversion; // from JSON
};

// A target column, or a field of one.
struct MergeItem {
    const char *name;
    int number; // attribute number - 1 in its row
    int source; // of a column: among the source's; of a field: attribute number - 1 there; -1: the source has none
    int leaf;   // -1: it has fields
    Oid type;   // with fields
    TupleDesc fields;
    MergeItem *items;
    int count;
};

struct MergePlan {
    Oid relation;
    Oid key_index;
    TupleDesc columns; // of the target
    int key_count;
    AttrNumber *key; // in the target
    Oid *key_types;
    Oid first_key_type; // of the first one, without domains
    bool number_key;    // there is but one, a number: equal ones are the same to the byte
    bool *key_by_value;
    int16 *key_lengths;
    FmgrInfo *key_hash, *key_equal, *key_order;
    Oid *key_collations;
    Coercion *key_coercions;
    Conversion *key_conversions;
    MergeItem *items; // columns
    int item_count;
    MergeLeaf *leaves;
    int leaf_count;
    int *plain_sources; // of each leaf its column in the source; NULL: values are taken apart, changed, or follow rules
    int slot_count;     // times of a state; leaves that are gone keep theirs
    AttrNumber newest;  // the target's column that holds the newest time, 0: none
    Coercion newest_coercion;
    Coercion newest_back; // from the target's type to that of the time
    bool comes_back;
    MomentKind moments;      // how times are read
    const char *time_member; // of the document, where it is none of the source's columns
    Conversion time_conversion;
    Bitmapset *written;
    Bitmapset *required; // merged columns that must not be null and have no default
    bool clears, deletes;
    bool converts; // taking a row may raise an error
    // what is read of the source: the key, then the columns (or the document), then the time, whether it deletes, the row
    const char **expressions;
    int expression_count;
    int document, time, delete_at, whole; // positions among them; -1: none
    Oid document_type;
};

// plan_merge ties a definition to its relations; `slots` names what each time of a state stands for, and grows; `whole` asks
// for the row itself, too. Errors name the argument of sluice.create_merge.
MergePlan *plan_merge(const MergeDefinition *definition, List **slots, Relation source, bool whole);

} // namespace sluice
