// Retentions that are tables: the pipeline that writes the facts keeps them up to date. See retention_table.cpp.
#pragma once

#include "postgres.hpp"

#include "facts.hpp"
#include "retention.hpp"
#include "stage.hpp"

namespace sluice {

struct RetentionTable {
    Retention retention;
    ExprState *period; // of a fact
    ExprContext *context;
    Tally *periods; // that the batch touched
};

// create_retention_table makes the table and remembers it.
void create_retention_table(const Retention *retention, Relation facts);

// find_retention_tables gives those (RetentionTable *) over the facts of a pipeline; it raises when one has another owner.
List *find_retention_tables(const FactsPlan *plan, Oid owner);

// begin_periods begins a batch. touch_periods notes the periods of the facts of a tally; touch_replaced those of the facts that
// are there of the touched values (sluice_touched as t, joined by `condition` to the facts as s).
void begin_periods(List *tables, MemoryContext memory);
void touch_periods(List *tables, const FactsPlan *plan, const Tally *tally);
void touch_replaced(List *tables, const FactsPlan *plan, Stage *touched, const char *condition);

// empty_periods takes all periods out, when the facts are gone.
void empty_periods(List *tables);

// refresh_periods computes the touched periods anew, refresh_all_periods all of them.
void refresh_periods(List *tables);
void refresh_all_periods(List *tables);

} // namespace sluice
