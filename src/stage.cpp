// See stage.hpp. Each statement has an SPI connection of its own: what is registered lives as long as its connection.
#include "stage.hpp"

namespace sluice {

Stage *make_stage(const char *name, int columns) {
    Stage *stage = static_cast<Stage *>(palloc0(sizeof(Stage)));
    stage->name = name;
    stage->type = CreateTemplateTupleDesc(columns);
    stage->rows = tuplestore_begin_heap(false, false, work_mem);
    return stage;
}

void describe_stage_column(Stage *stage, int number, const char *name, Oid type, int32 typmod, Oid collation) {
    TupleDescInitEntry(stage->type, number, name, type, typmod, 0);
    TupleDescInitEntryCollation(stage->type, number, collation);
}

void put_on_stage(Stage *stage, Datum *values, bool *nulls) {
    tuplestore_putvalues(stage->rows, stage->type, values, nulls);
}

void end_stage(Stage *stage) {
    tuplestore_end(stage->rows);
    stage->rows = NULL;
}

static void show_stages(Stage *const *stages, int count) {
    for (int i = 0; i < count; i++) {
        EphemeralNamedRelation relation =
            static_cast<EphemeralNamedRelation>(palloc0(sizeof(EphemeralNamedRelationData)));
        relation->md.name = const_cast<char *>(stages[i]->name);
        relation->md.tupdesc = stages[i]->type;
        relation->md.enrtype = ENR_NAMED_TUPLESTORE;
        relation->md.enrtuples = tuplestore_tuple_count(stages[i]->rows);
        relation->reldata = stages[i]->rows;
        if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
            elog(ERROR, "could not register the rows of a batch");
    }
}

// A batch is planned for each time anew: compiling would cost more than it saves.
static int enter_planning() {
    const int settings = NewGUCNestLevel();
    (void)set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
    return settings;
}

uint64 execute_on_stages(const char *statement, Stage *const *stages, int stage_count, int64 *numbers, int count) {
    MemoryContext memory = CurrentMemoryContext;
    const int settings = enter_planning();
    SPI_connect();
    show_stages(stages, stage_count);
    if (SPI_execute(statement, false, 0) < 0)
        elog(ERROR, "unexpected result of a statement over the rows of a batch");
    const uint64 processed = SPI_processed;
    for (int i = 0; i < count; i++) {
        bool is_null = processed == 0;
        numbers[i] =
            is_null ? 0 : DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &is_null));
    }
    SPI_finish();
    AtEOXact_GUC(true, settings);
    MemoryContextSwitchTo(memory);
    return processed;
}

static void scan_rows(Portal portal, SeeRow see, void *context, MemoryContext memory) {
    constexpr int at_once = 256;
    for (;;) {
        SPI_cursor_fetch(portal, true, at_once);
        SPITupleTable *rows = SPI_tuptable;
        const uint64 count = SPI_processed;
        MemoryContextSwitchTo(memory);
        for (uint64 i = 0; i < count; i++)
            see(context, rows->vals[i], rows->tupdesc);
        SPI_freetuptable(rows);
        if (count == 0)
            return;
    }
}

void scan_on_stages(const char *query, Stage *const *stages, int stage_count, SeeRow see, void *context) {
    MemoryContext memory = CurrentMemoryContext;
    const int settings = enter_planning();
    SPI_connect();
    show_stages(stages, stage_count);
    SPIPlanPtr plan = SPI_prepare_cursor(query, 0, NULL, CURSOR_OPT_NO_SCROLL | CURSOR_OPT_CUSTOM_PLAN);
    if (!plan)
        elog(ERROR, "could not plan a query over the rows of a batch: %s", SPI_result_code_string(SPI_result));
    Portal portal = SPI_cursor_open(NULL, plan, NULL, NULL, false);
    scan_rows(portal, see, context, memory);
    SPI_cursor_close(portal);
    SPI_finish();
    AtEOXact_GUC(true, settings);
    MemoryContextSwitchTo(memory);
}

} // namespace sluice
