// Facts: order rows (or any others) folded into a table of facts and its dimensions. The plan ties a mapping to its relations as
// they are now. See facts_work.cpp for how a row flows.
#pragma once

#include "postgres.hpp"

#include "coercion.hpp"
#include "facts_mapping.hpp"
#include "tally.hpp"

namespace sluice {

// A value on its way from what is read of a source row into a column.
struct FactColumn {
    const char *name;
    const char *pointer;
    int input;         // among what is read; -1: it is counted, or a surrogate
    AttrNumber number; // in its table
    Oid type, collation;
    int32 typmod;
    Coercion coercion;
    bool runs_code; // its coercion calls code of users
    // of facts
    int dimension; // whose surrogate it is; -1: none
    Measure measure;
    bool has_sign;
    Datum one, zero; // of counts
    Coercion fit;    // of measures: a sum may be more than the column takes
};

struct Dimension {
    const MappedDimension *mapped;
    int number; // from 1
    Oid relation;
    FactColumn *columns; // those of the key, then the others, then the day of a calendar
    int key_count, count;
    int time;      // the column that holds newest_by; -1: none
    Oid time_type; // of the times that go with its rows: newest_by's, or with history that of valid_from
    Coercion time_coercion;
    const char *newest;    // the table that remembers times instead (newest.hpp), or NULL
    const char *open_end;  // of a history: valid_to of the current version, as SQL
    const char *surrogate; // the column that facts hold, or NULL
    Oid surrogate_type;
    TallyColumn *tally;
    int tally_count;
};

struct FactsPlan {
    const FactsMapping *mapping;
    Oid relation;
    const char **inputs; // what is read of a source row, as SQL over it as s
    Oid *input_types;
    int input_count;
    int sign, time, whole; // among them: 1, -1, or 0 (ignored); newest_by; the row itself. -1: not read
    Oid time_type, time_collation;
    FactColumn *columns; // the grain, then measures, then last
    int grain_count, measure_count, last_count, count;
    int last_time;      // among all: a column of last or of the grain that holds newest_by; -1: none
    const char *newest; // or the table that remembers it, or NULL
    Oid key_index;      // over the grain, mode add
    Bitmapset *written;
    int *replace_by; // of the grain
    int replace_count;
    Dimension *dimensions;
    int dimension_count;
    TallyColumn *tally;
    int tally_count;
    bool surrogates; // some column of the facts is one
};

// plan_facts raises at the mapping's pointer, or at `newest_by`. `pipeline` names the tables that remember; 0: it is new.
// `whole` asks for the source row itself, too.
FactsPlan *plan_facts(const FactsMapping *mapping, Oid target, const char *newest_by, Relation source, int32 pipeline,
                      bool whole);

// find_fact_table looks up a table by the name in an argument or a mapping.
Oid find_fact_table(const char *name, const char *place, Relation source);

} // namespace sluice
