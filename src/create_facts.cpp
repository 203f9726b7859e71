// SQL-callable: creating facts pipelines. Every argument is checked at once, as the run will need it.
#include "postgres.hpp"

#include "checks.hpp"
#include "create.hpp"
#include "cursor.hpp"
#include "dimension.hpp"
#include "facts.hpp"
#include "facts_definition.hpp"
#include "names.hpp"
#include "newest.hpp"
#include "pipeline.hpp"
#include "source.hpp"
#include "switch_lineage.hpp"

namespace sluice {

// The arguments of sluice.create_facts, in their order.
namespace argument {
enum { Name, Source, Target, MappingText, NewestBy, Common };
}

static void read_arguments(FunctionCallInfo fcinfo, NewPipeline *pipeline, FactsDefinition *definition) {
    using namespace argument;
    static const char *const required[] = {"name", "source", "target", "mapping"};
    require_arguments(fcinfo, required, lengthof(required));
    pipeline->kind = "facts";
    definition->target = text_argument(fcinfo, Target);
    definition->mapping = text_argument(fcinfo, MappingText);
    definition->newest_by = text_argument(fcinfo, NewestBy);
    read_common_arguments(fcinfo, Common, pipeline);
}

static void require_rights(Oid relation, AclMode rights) {
    if (pg_class_aclmask(relation, GetUserId(), rights, ACLMASK_ALL) != rights)
        aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(relation)), get_rel_name(relation));
}

// check_reading tries whether the current user may read what the mapping asks for.
static void check_reading(const FactsPlan *plan, Relation source) {
    StringInfoData query;
    initStringInfo(&query);
    appendStringInfoString(&query, "SELECT ");
    for (int i = 0; i < plan->input_count; i++)
        appendStringInfo(&query, "%s%s", i ? ", " : "", plan->inputs[i]);
    appendStringInfo(&query, " FROM %s s LIMIT 0", relation_name(RelationGetRelid(source)));
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(query.data, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a look at a source");
    MemoryContextSwitchTo(memory);
}

static void check_rights(const FactsPlan *plan, Relation source) {
    const AclMode rights = ACL_SELECT | ACL_INSERT | (plan->mapping->replaces ? ACL_DELETE : ACL_UPDATE);
    check_reading(plan, source);
    require_rights(plan->relation, rights);
}

// advise_history tells which index lets the versions of a key be found.
static void advise_history(const Dimension *dimension) {
    if (!dimension->mapped->history)
        return;
    Relation relation = table_open(dimension->relation, AccessShareLock);
    if (!has_order_index(relation, dimension->columns[0].number)) {
        const char *name = relation_name(dimension->relation), *column = quote_identifier(dimension->columns[0].name);
        ereport(NOTICE, (errmsg("%s has no index on %s: the whole of it is read for each batch", name, column),
                         errhint("CREATE UNIQUE INDEX ON %s (%s, valid_from);", name, column)));
    }
    table_close(relation, NoLock);
}

// check_dimensions tries their statements, when the tables that remember times are there.
static void check_dimensions(const FactsMapping *mapping, const FactsDefinition *definition, Relation source,
                             int32 pipeline) {
    const FactsPlan *plan = plan_facts(mapping, find_fact_table(definition->target, "target", source),
                                       definition->newest_by, source, pipeline, false);
    for (int i = 0; i < plan->dimension_count; i++) {
        adopt_history(&plan->dimensions[i]);
        check_dimension(&plan->dimensions[i]);
        advise_history(&plan->dimensions[i]);
    }
}

static void create_facts(FunctionCallInfo fcinfo) {
    NewPipeline pipeline{};
    FactsDefinition definition{};
    read_arguments(fcinfo, &pipeline, &definition);
    Relation source = relation_open(pipeline.source, AccessShareLock);
    choose_cursor(&pipeline, source);
    read_rows_as_they_are(&pipeline, source);
    const FactsMapping *mapping = read_facts_mapping(definition.mapping);
    const Oid target = find_fact_table(definition.target, "target", source);
    definition.target = relation_name(target);
    const FactsPlan *plan = plan_facts(mapping, target, definition.newest_by, source, 0, false);
    check_rights(plan, source);
    pipeline.mapping = facts_definition_text(&definition);
    check_new_cursor(&pipeline, source);
    check_checks(pipeline.checks, source);
    const int32 id = insert_pipeline(&pipeline);
    start_cursor(&pipeline, id, source);
    create_newest(plan, id, pipeline.name, GetUserId());
    CommandCounterIncrement();
    check_dimensions(mapping, &definition, source, id);
    relation_close(source, NoLock);
    if (pipeline.lineage)
        switch_lineage(pipeline.name, true);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_create_facts);
Datum sluice_create_facts(PG_FUNCTION_ARGS) {
    SPI_connect();
    create_facts(fcinfo);
    SPI_finish();
    PG_RETURN_VOID();
}

} // extern "C"
