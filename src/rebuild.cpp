// See rebuild.hpp.
//
// The rows of the targets are deleted, not truncated: readers see them until the rebuild commits, and nobody waits. What makes
// a row belong to its pipeline is not written in it, so it is told by numbers, as far as they tell: as many rows must be there
// as the runs have left, no other pipeline may write the targets, and nothing may go with them that is not theirs.
//
// Dimensions without history stay: their keys may be those of other facts, and their newest rows come again anyway. What a
// pipeline remembers of their times goes, so that the source has the last word.
#include "rebuild.hpp"

#include "attempt.hpp"
#include "catalog.hpp"
#include "chunk.hpp"
#include "cursor.hpp"
#include "facts.hpp"
#include "facts_definition.hpp"
#include "history.hpp"
#include "load_definition.hpp"
#include "merge.hpp"
#include "merge_state.hpp"
#include "names.hpp"
#include "newest.hpp"
#include "rebuild_load.hpp"
#include "retention_table.hpp"
#include "rights.hpp"
#include "targets.hpp"

namespace sluice {

static bool is_kind(const Pipeline *pipeline, const char *kind) { return strcmp(pipeline->kind, kind) == 0; }

[[noreturn]] static void refuse(const Pipeline *pipeline, const char *why, const char *hint) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("pipeline \"%s\" cannot be rebuilt", pipeline->name), errdetail("%s", why), errhint("%s", hint)));
    pg_unreachable();
}

void refuse_loss(const Pipeline *pipeline, const char *what, const char *why) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("a rebuild of pipeline \"%s\" would lose %s", pipeline->name, what), errdetail("%s", why),
             errhint("If that may be, CALL sluice.rebuild(%s, discard => true).", quote_literal_cstr(pipeline->name))));
    pg_unreachable();
}

// ---- the source

// find_source also takes a source that was made again: everything is read anew.
static Oid find_source(const Pipeline *pipeline, bool *made_again) {
    Oid source;
    *made_again = resolve_reference(&pipeline->source, &source) == Found::MadeAgain &&
                  (strcmp(pipeline->cursor, "sequence") == 0 || strcmp(pipeline->cursor, "snapshot") == 0);
    return *made_again ? source : pipeline_source(pipeline);
}

static const FactsPlan *plan_of_facts(const Pipeline *pipeline, Relation source) {
    const FactsDefinition definition = read_facts_definition(pipeline->mapping);
    return plan_facts(read_facts_mapping(definition.mapping), find_fact_table(definition.target, "target", source),
                      definition.newest_by, source, pipeline->id, false);
}

// count_orphans counts facts of which the source holds no row any more, where they are made from what it holds; -1: that
// cannot be asked.
static int64 count_orphans(const Pipeline *pipeline, Relation source) {
    if (!is_kind(pipeline, "facts"))
        return -1;
    const FactsPlan *plan = plan_of_facts(pipeline, source);
    if (!plan->mapping->replaces)
        return -1;
    StringInfoData condition;
    initStringInfo(&condition);
    for (int i = 0; i < plan->replace_count; i++) {
        const FactColumn *column = &plan->columns[plan->replace_by[i]];
        appendStringInfo(&condition, "%s%s = f.%s", i ? " AND " : "", plan->inputs[column->input],
                         quote_identifier(column->name));
    }
    const char *query =
        psprintf("SELECT pg_catalog.count(*) FROM %s f WHERE NOT EXISTS (SELECT FROM %s s WHERE %s)",
                 relation_name(plan->relation), relation_name(RelationGetRelid(source)), condition.data);
    int64 count = -1;
    ErrorData *error = attempt([&] { count = count_rows(query, 0, NULL, NULL); });
    // Of a row that is rejected it may not even be known which facts it belongs to.
    if (error && !(pipeline->rejects && is_document_error(error)))
        ReThrowError(error);
    return error ? -1 : count;
}

static void check_source(const Pipeline *pipeline, Relation source, bool made_again) {
    const int64 read = rows_total(pipeline), orphans = made_again ? -1 : count_orphans(pipeline, source);
    const char *name = relation_name(RelationGetRelid(source));
    if (orphans > 0)
        refuse_loss(pipeline, psprintf(INT64_FORMAT " facts", orphans),
                    psprintf("Source %s holds no row of them any more.", name));
    const int64 lost = orphans == 0 ? 0
                       : made_again ? read
                                    : make_cursor(pipeline, CurrentMemoryContext)->lost(source, read);
    if (lost > 0)
        refuse_loss(pipeline, psprintf("what " INT64_FORMAT " rows of its source have brought", lost),
                    psprintf("Source %s holds " INT64_FORMAT " of the " INT64_FORMAT
                             " rows that were read: the others were deleted, or updated since%s.",
                             name, read - lost, read, made_again ? ", with the table that was there before" : ""));
}

// ---- the targets

int64 written_rows(const Pipeline *pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    catalog_execute(
        "SELECT (p.pruned_rows + coalesce((SELECT sum(r.inserted - r.deleted - r.kept) FROM sluice.run_log r "
        "WHERE r.pipeline_id = p.pipeline_id AND r.undone_at IS NULL), 0))::bigint "
        "FROM sluice.pipeline p WHERE p.pipeline_id = $1::int",
        &parameters);
    bool is_null;
    const int64 rows = result_int(0, 1, &is_null);
    free_result();
    return rows;
}

// rows_of names what a pipeline writes of a table: not what lies in tables that inherit from it.
static const char *rows_of(Oid target) {
    return psprintf("%s%s", get_rel_relkind(target) == RELKIND_RELATION ? "ONLY " : "", relation_name(target));
}

static int64 count_target(Oid target) {
    return count_rows(psprintf("SELECT pg_catalog.count(*) FROM %s", rows_of(target)), 0, NULL, NULL);
}

static void check_rows(const Pipeline *pipeline, List *targets) {
    const int64 written = written_rows(pipeline);
    int64 there = 0;
    ListCell *cell;
    foreach (cell, targets)
        there += count_target(lfirst_oid(cell));
    if (there > written)
        refuse_loss(pipeline, psprintf(INT64_FORMAT " rows that it has not written", there - written),
                    psprintf("Its runs have left " INT64_FORMAT " rows in the targets, and " INT64_FORMAT " are there.",
                             Max(written, static_cast<int64>(0)), there));
}

// refuse_hidden: rows that a policy hides would stay.
static void refuse_hidden(const Pipeline *pipeline, List *targets) {
    ListCell *cell;
    foreach (cell, targets)
        if (check_enable_rls(lfirst_oid(cell), InvalidOid, true) == RLS_ENABLED)
            refuse(pipeline,
                   psprintf("Row-level security may hide rows of %s from role %s, which then could not be deleted.",
                            relation_name(lfirst_oid(cell)), quote_identifier(GetUserNameFromId(GetUserId(), false))),
                   "Let a role own the pipeline to which no policy applies.");
}

// ---- others

static Datum oid_array(List *oids) {
    Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * (list_length(oids) + 1)));
    int count = 0;
    ListCell *cell;
    foreach (cell, oids)
        values[count++] = ObjectIdGetDatum(lfirst_oid(cell));
    return PointerGetDatum(construct_array(values, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

static Oid first_common(List *left, List *right) {
    ListCell *cell;
    foreach (cell, left)
        if (list_member_oid(right, lfirst_oid(cell)))
            return lfirst_oid(cell);
    return InvalidOid;
}

// is_repeatable: a pipeline that reads rows again does no harm.
static bool is_repeatable(const Pipeline *pipeline) {
    return is_kind(pipeline, "load") && !read_load(pipeline->id)->appends;
}

// refuse_reader: a pipeline that reads what is made anew would take it for new rows.
static void refuse_reader(const Pipeline *pipeline, List *all, const Pipeline *other) {
    Oid source;
    if (resolve_reference(&other->source, &source) == Found::Missing || is_repeatable(other) || other->paused)
        return;
    const Oid read = first_common(all, with_partitions(list_make1_oid(source)));
    if (OidIsValid(read))
        refuse(pipeline,
               psprintf("Pipeline \"%s\" reads %s, and would load its rows a second time.", other->name,
                        relation_name(read)),
               psprintf("Run SELECT sluice.pause(%s) first; rebuild it, too (discard => true), before it is resumed.",
                        quote_literal_cstr(other->name)));
}

static void refuse_writer(const Pipeline *pipeline, const Pipeline *other, Oid shared) {
    if (OidIsValid(shared))
        refuse(pipeline,
               psprintf("Pipeline \"%s\" writes %s, too: which rows are whose is not known.", other->name,
                        relation_name(shared)),
               "Let each pipeline have tables of its own.");
}

static List *other_pipelines(int32 pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    const uint64 count = catalog_execute("SELECT p.pipeline_id::bigint FROM sluice.pipeline p WHERE p.pipeline_id <> "
                                         "$1::int ORDER BY p.name",
                                         &parameters);
    List *ids = NIL, *pipelines = NIL;
    bool is_null;
    for (uint64 i = 0; i < count; i++)
        ids = lappend_int(ids, static_cast<int>(result_int(i, 1, &is_null)));
    free_result();
    ListCell *cell;
    foreach (cell, ids) {
        Pipeline *other = find_any_pipeline(lfirst_int(cell));
        if (other)
            pipelines = lappend(pipelines, other);
    }
    return pipelines;
}

// refuse_forgotten: where others write a dimension, too, and no column of it tells of which time its rows are, what was remembered
// of that must not be forgotten.
static void refuse_forgotten(const Pipeline *pipeline, const FactsPlan *plan, const Pipeline *other, List *written) {
    for (int i = 0; i < plan->dimension_count; i++)
        if (plan->dimensions[i].newest && list_member_oid(written, plan->dimensions[i].relation))
            refuse(pipeline,
                   psprintf("Pipeline \"%s\" writes %s, too, which does not hold newest_by: newer values might be "
                            "overwritten.",
                            other->name, relation_name(plan->dimensions[i].relation)),
                   "Map a column of it to newest_by, in both; or let each pipeline have a table of its own.");
}

static void check_others(const Pipeline *pipeline, Relation source, List *all) {
    const bool replaces = is_repeatable(pipeline); // its own partitions alone
    const FactsPlan *facts = is_kind(pipeline, "facts") ? plan_of_facts(pipeline, source) : NULL;
    ListCell *cell;
    foreach (cell, other_pipelines(pipeline->id)) {
        const Pipeline *other = static_cast<const Pipeline *>(lfirst(cell));
        const Targets theirs = targets_of(other);
        List *written = with_partitions(list_concat_copy(theirs.made, theirs.kept));
        if (!replaces)
            refuse_writer(pipeline, other, first_common(all, written));
        if (facts)
            refuse_forgotten(pipeline, facts, other, written);
        refuse_reader(pipeline, all, other);
    }
}

// refuse_cascades: what a foreign key takes along is not brought again.
static void refuse_cascades(const Pipeline *pipeline, List *all) {
    Parameters parameters{};
    add_value(&parameters, OIDARRAYOID, oid_array(all));
    const uint64 count =
        catalog_execute("SELECT coalesce(p.conname, c.conname)::text, c.conrelid::bigint, c.confrelid::bigint, CASE "
                        "c.confdeltype WHEN 'c' "
                        "THEN 'CASCADE' WHEN 'n' "
                        "THEN 'SET NULL' ELSE 'SET DEFAULT' END FROM pg_constraint c LEFT JOIN pg_constraint p ON "
                        "p.oid = c.conparentid WHERE c.contype = 'f' AND "
                        "c.confdeltype IN ('c', 'n', 'd') "
                        "AND c.confrelid = ANY ($1) AND c.conrelid <> ALL ($1) ORDER BY c.conparentid <> 0, 1, 2",
                        &parameters);
    bool is_null;
    if (count > 0)
        refuse(pipeline,
               psprintf("Foreign key %s of %s refers to %s with ON DELETE %s: rows would be lost that are not the "
                        "pipeline's.",
                        quote_identifier(result_text(0, 1)),
                        relation_name(static_cast<Oid>(result_int(0, 2, &is_null))),
                        relation_name(static_cast<Oid>(result_int(0, 3, &is_null))), result_text(0, 4)),
               "Drop the foreign key for the time of the rebuild.");
    free_result();
}

// ---- checking

void check_rebuild(const Pipeline *pipeline, bool discard) {
    bool made_again;
    const Oid from = find_source(pipeline, &made_again);
    List *targets = targets_of(pipeline).made, *all = with_partitions(targets);
    if (OidIsValid(first_common(all, with_partitions(list_make1_oid(from)))))
        refuse(pipeline, psprintf("Source %s is one of its targets.", relation_name(from)),
               "Let it read from another table.");
    refuse_cascades(pipeline, all);
    const OwnerScope owner = switch_to_owner(pipeline);
    Relation source = relation_open(from, AccessShareLock);
    check_others(pipeline, source, all);
    refuse_hidden(pipeline, targets);
    if (!discard) {
        check_source(pipeline, source, made_again);
        if (is_kind(pipeline, "load"))
            check_load_rows(pipeline, source);
        else
            check_rows(pipeline, targets);
    }
    relation_close(source, AccessShareLock);
    switch_back(&owner);
}

// ---- emptying

struct Reference {
    Oid from, to;
};

// references_among lists the foreign keys between tables.
static Reference *references_among(List *all, int *count) {
    Parameters parameters{};
    add_value(&parameters, OIDARRAYOID, oid_array(all));
    *count =
        static_cast<int>(catalog_execute("SELECT c.conrelid::bigint, c.confrelid::bigint FROM pg_constraint c WHERE "
                                         "c.contype = 'f' AND c.conrelid = ANY ($1) AND c.confrelid = ANY ($1)",
                                         &parameters));
    Reference *found = static_cast<Reference *>(palloc(sizeof(Reference) * (*count + 1)));
    bool is_null;
    for (int i = 0; i < *count; i++)
        found[i] =
            Reference{static_cast<Oid>(result_int(i, 1, &is_null)), static_cast<Oid>(result_int(i, 2, &is_null))};
    free_result();
    return found;
}

// is_referred_to tells whether rows of one of `others` may refer to rows of a table.
static bool is_referred_to(Oid target, List *others, const Reference *references, int count) {
    List *to = with_partitions(list_make1_oid(target)), *from = list_difference_oid(with_partitions(others), to);
    for (int i = 0; i < count; i++)
        if (list_member_oid(to, references[i].to) && list_member_oid(from, references[i].from))
            return true;
    return false;
}

// in_order sorts tables so that those come first to which no other refers; in a circle the server has its say.
static List *in_order(List *targets) {
    int count;
    const Reference *references = references_among(with_partitions(targets), &count);
    List *left = list_copy(targets), *sorted = NIL;
    while (left != NIL) {
        Oid next = linitial_oid(left);
        ListCell *cell;
        foreach (cell, left)
            if (!is_referred_to(lfirst_oid(cell), left, references, count)) {
                next = lfirst_oid(cell);
                break;
            }
        sorted = lappend_oid(sorted, next);
        left = list_delete_oid(left, next);
    }
    return sorted;
}

static int64 empty_target(const Pipeline *pipeline, Oid target) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    if (SPI_execute(psprintf("DELETE FROM %s", rows_of(target)), false, 0) < 0)
        elog(ERROR, "unexpected result of a delete");
    MemoryContextSwitchTo(memory);
    const int64 deleted = static_cast<int64>(SPI_processed), left = count_target(target);
    if (left > 0)
        refuse(pipeline,
               psprintf(INT64_FORMAT " rows of %s could not be deleted: a trigger or a rule keeps them.", left,
                        relation_name(target)),
               "Disable it for the time of the rebuild.");
    return deleted;
}

// empty_targets looks at the numbers once more: rows may have come since the check.
static void empty_targets(const Pipeline *pipeline, bool discard) {
    const int64 written = written_rows(pipeline);
    int64 deleted = 0;
    ListCell *cell;
    foreach (cell, in_order(targets_of(pipeline).made))
        deleted += empty_target(pipeline, lfirst_oid(cell));
    if (!discard && deleted > written)
        refuse_new_rows(pipeline, deleted - written);
}

void refuse_new_rows(const Pipeline *pipeline, int64 rows) {
    refuse_loss(pipeline, psprintf(INT64_FORMAT " rows that it has not written", rows),
                "They came while the rebuild began.");
}

// empty_merge makes the table of states anew where it is gone, or was made for keys of another type.
static void empty_merge(const Pipeline *pipeline, Relation source) {
    List *slots = list_copy(pipeline->slots);
    const MergePlan *plan = plan_merge(read_merge_definition(pipeline->mapping), &slots, source, false);
    if (empty_merge_states(pipeline, plan))
        return;
    drop_merge_states(pipeline->id);
    Relation target = table_open(plan->relation, AccessShareLock);
    create_merge_states(pipeline->id, pipeline->name, target, plan, pipeline->owner);
    table_close(target, NoLock);
}

// empty_facts forgets the times of facts and dimensions, also of those that stay.
static void empty_facts(const Pipeline *pipeline, Relation source) {
    const FactsPlan *plan = plan_of_facts(pipeline, source);
    drop_newest(pipeline->id);
    create_newest(plan, pipeline->id, pipeline->name, pipeline->owner);
    empty_periods(find_retention_tables(plan, pipeline->owner));
}

// ---- beginning

static void forget_runs(const Pipeline *pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    catalog_execute("DELETE FROM sluice.reject WHERE pipeline_id = $1::int", &parameters);
    mark_undone(pipeline->id, 0);
    catalog_execute("UPDATE sluice.pipeline SET pruned_rows = 0 WHERE pipeline_id = $1::int AND pruned_rows <> 0",
                    &parameters);
}

void begin_rebuild(const Pipeline *pipeline, bool discard) {
    bool made_again;
    const Oid from = find_source(pipeline, &made_again);
    const int64 read = rows_total(pipeline);
    Cursor *cursor = make_cursor(pipeline, CurrentMemoryContext);
    const OwnerScope owner = enter_owner(pipeline, true);
    Relation source = relation_open(from, AccessShareLock);
    if (is_kind(pipeline, "load"))
        begin_load_rebuild(pipeline, source, discard);
    else
        empty_targets(pipeline, discard);
    if (is_kind(pipeline, "merge"))
        empty_merge(pipeline, source);
    else if (is_kind(pipeline, "facts"))
        empty_facts(pipeline, source);
    cursor->restart(source, read);
    relation_close(source, NoLock);
    leave_owner(&owner);
    refresh_source(pipeline, from);
    forget_runs(pipeline);
    CommandCounterIncrement();
}

} // namespace sluice
