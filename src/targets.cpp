// See targets.hpp.
#include "targets.hpp"

#include "facts_definition.hpp"
#include "facts_mapping.hpp"
#include "load_definition.hpp"
#include "mapping.hpp"
#include "merge.hpp"
#include "names.hpp"
#include "rights.hpp"

namespace sluice {

// find_named looks a name up without asking for rights: it may be another role's.
static Oid find_named(const char *written) {
    const RangeVar *name = read_relation_name(written, "target");
    if (!name->schemaname)
        return RelnameGetRelid(name->relname);
    const Oid schema = get_namespace_oid(name->schemaname, true);
    return OidIsValid(schema) ? get_relname_relid(name->relname, schema) : InvalidOid;
}

static void add_named(List **relations, const char *written) {
    const Oid relation = find_named(written);
    if (OidIsValid(relation))
        *relations = list_append_unique_oid(*relations, relation);
}

static void add_facts(const Pipeline *pipeline, Targets *targets) {
    const FactsDefinition definition = read_facts_definition(pipeline->mapping);
    const FactsMapping *mapping = read_facts_mapping(definition.mapping);
    add_named(&targets->made, definition.target);
    for (int i = 0; i < mapping->dimension_count; i++)
        add_named(mapping->dimensions[i].history ? &targets->made : &targets->kept, mapping->dimensions[i].table);
}

static void add_load(const Pipeline *pipeline, Targets *targets) {
    const LoadDefinition *load = read_load(pipeline->id);
    Oid target;
    if (resolve_reference(&load->target, &target) != Found::Missing)
        targets->made = lappend_oid(targets->made, target);
}

static void add_shred(const Pipeline *pipeline, Targets *targets) {
    const Mapping *mapping = read_mapping(pipeline->mapping, strlen(pipeline->mapping));
    for (int i = 0; i < mapping->table_count; i++)
        add_named(&targets->made, mapping->tables[i].name);
}

Targets targets_of(const Pipeline *pipeline) {
    Targets targets{};
    const OwnerScope owner = switch_to_owner(pipeline);
    if (strcmp(pipeline->kind, "shred") == 0)
        add_shred(pipeline, &targets);
    else if (strcmp(pipeline->kind, "merge") == 0)
        add_named(&targets.made, read_merge_definition(pipeline->mapping)->target);
    else if (strcmp(pipeline->kind, "facts") == 0)
        add_facts(pipeline, &targets);
    else
        add_load(pipeline, &targets);
    switch_back(&owner);
    return targets;
}

List *with_partitions(List *relations) {
    List *all = NIL;
    ListCell *cell;
    foreach (cell, relations)
        all = list_concat_unique_oid(all, find_all_inheritors(lfirst_oid(cell), NoLock, NULL));
    return all;
}

} // namespace sluice
