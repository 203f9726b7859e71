// SQL-callable: applying definitions. They are read and checked first; then every pipeline is created, altered or left as it is;
// then, when all are there, they are told which run after which; then they are scheduled, since jobs of pg_cron in another
// database do not wait for the transaction.
//
// A pipeline that is missing is created by the function that everybody creates it with; one that is there is changed by
// sluice.alter_pipeline, but for what goes back to null, which that cannot say: reset_argument writes it to the catalog. All of it
// happens as the caller.
#include "postgres.hpp"

#include "after.hpp"
#include "argument.hpp"
#include "attempt.hpp"
#include "catalog.hpp"
#include "create.hpp"
#include "cron.hpp"
#include "definition.hpp"
#include "grown.hpp"
#include "mapping.hpp"
#include "names.hpp"
#include "pipeline.hpp"

namespace sluice {

enum class Action : uint8_t { Unchanged, Created, Altered };

// An Entry is one definition as it is written.
struct Entry {
    const char *pointer; // to it
    const char *kind;
    const char *name;
    Arguments arguments;
    const char **values; // of each argument as JSON; NULL: left out
    const char *settings[setting_count];
    bool says_schedule;
    const char *schedule; // NULL: none
    Action action;
    bool moves;          // it is to run after others than before
    const char *changes; // what is altered, a line each; NULL: nothing
};

struct Entries {
    Entry *items;
    int count;
};

// ---- reading

static const char *required_word(const Value &object, const char *member, const char *pointer) {
    const Value value = value_member(object, member, strlen(member));
    if (is_missing(value))
        mapping_error(pointer, psprintf("\"%s\" is missing", member), NULL);
    return string_of(value, pointer_to(pointer, member), psprintf("\"%s\"", member));
}

static void read_settings(const Value &settings, Entry *entry) {
    const char *pointer = pointer_to(entry->pointer, "settings");
    if (settings.kind != ValueKind::Object)
        mapping_error(pointer, psprintf("must be an object, not %s", kind_name(settings)), NULL);
    Walk walk = walk_begin(settings);
    for (Value value; walk_next(&walk, &value);) {
        const char *name = plain_string(walk.key, walk.key_length, pointer);
        int number = 0;
        while (number < setting_count && strcmp(setting_names[number], name) != 0)
            number++;
        if (number == setting_count)
            unknown_member(pointer, name, "A definition's settings", setting_names, setting_count);
        if (value.kind != ValueKind::Null)
            entry->settings[number] = string_of(value, pointer_to(pointer, name), psprintf("\"%s\"", name));
    }
}

static void read_schedule(const Value &schedule, Entry *entry) {
    entry->says_schedule = true;
    if (schedule.kind != ValueKind::Null)
        entry->schedule = string_of(schedule, pointer_to(entry->pointer, "schedule"), "\"schedule\"");
}

[[noreturn]] static void unknown_argument(const Entry *entry, const char *name) {
    const Arguments *arguments = &entry->arguments;
    const char **known = static_cast<const char **>(palloc(sizeof(char *) * (arguments->count + 3)));
    int count = 0;
    known[count++] = "kind";
    for (int i = 0; i < arguments->count; i++)
        known[count++] = arguments->items[i].name;
    known[count++] = "schedule";
    known[count++] = "settings";
    unknown_member(entry->pointer, name, psprintf("A definition of kind \"%s\"", entry->kind), known, count);
}

static void read_argument(const char *name, const Value &value, const char *json, Entry *entry) {
    const int number = find_argument(&entry->arguments, name);
    if (number < 0)
        unknown_argument(entry, name);
    if (value.kind == ValueKind::Null)
        return;
    const Argument *argument = &entry->arguments.items[number];
    check_argument(argument, value, pointer_to(entry->pointer, name));
    // What is kept as JSON is kept as it is written.
    entry->values[number] = argument->type == JSONOID ? member_json(json, name) : value_text(value);
}

static void check_values(const Entry *entry) {
    for (int i = 0; i < entry->arguments.count; i++)
        if (entry->arguments.items[i].required && !entry->values[i])
            mapping_error(entry->pointer, psprintf("\"%s\" is missing", entry->arguments.items[i].name),
                          psprintf("sluice.create_%s needs it.", entry->kind));
    const int schema = find_argument(&entry->arguments, "target_schema");
    if (schema >= 0 && entry->values[schema] && entry->values[find_argument(&entry->arguments, "mapping")])
        mapping_error(pointer_to(entry->pointer, "target_schema"),
                      "is for pipelines without a mapping, whose tables sluice creates", NULL);
}

// read_entry reads one definition, which is written as `json`.
static Entry read_entry(const Value &value, const char *json, const char *pointer) {
    Entry entry{};
    if (value.kind != ValueKind::Object)
        mapping_error(pointer, psprintf("a definition must be an object, not %s", kind_name(value)),
                      "It looks like what sluice.definition gives.");
    entry.pointer = pointer;
    entry.kind = required_word(value, "kind", pointer);
    entry.name = required_word(value, "name", pointer);
    check_kind(entry.kind, pointer_to(pointer, "kind"));
    entry.arguments = load_arguments(entry.kind);
    entry.values = static_cast<const char **>(palloc0(sizeof(char *) * entry.arguments.count));
    Walk walk = walk_begin(value);
    for (Value member; walk_next(&walk, &member);) {
        const char *name = plain_string(walk.key, walk.key_length, pointer);
        if (strcmp(name, "settings") == 0)
            read_settings(member, &entry);
        else if (strcmp(name, "schedule") == 0)
            read_schedule(member, &entry);
        else if (strcmp(name, "kind") != 0)
            read_argument(name, member, json, &entry);
    }
    check_values(&entry);
    return entry;
}

static void refuse_twice(const Entries *entries) {
    for (int i = 0; i < entries->count; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(entries->items[i].name, entries->items[k].name) == 0)
                mapping_error(pointer_to(entries->items[i].pointer, "name"),
                              psprintf("\"%s\" is defined twice", entries->items[i].name),
                              psprintf("The other definition is %s.", entries->items[k].pointer));
}

static const char *item_json(const char *array, int number) {
    return TextDatumGetCString(
        DirectFunctionCall2(json_array_element, CStringGetTextDatum(array), Int32GetDatum(number)));
}

static Entries read_entries(const char *text) {
    const Value root = read_json(text, strlen(text), "definitions");
    Entries entries{};
    if (root.kind != ValueKind::Array) {
        entries.items = static_cast<Entry *>(palloc(sizeof(Entry)));
        entries.items[entries.count++] = read_entry(root, text, "");
        return entries;
    }
    entries.items = static_cast<Entry *>(palloc(sizeof(Entry) * (value_count(root) + 1)));
    Walk walk = walk_begin(root);
    for (Value value; walk_next(&walk, &value); entries.count++)
        entries.items[entries.count] =
            read_entry(value, item_json(text, entries.count), psprintf("/%d", entries.count));
    refuse_twice(&entries);
    return entries;
}

// ---- settings

// enter_settings lets the settings of a definition hold, until AtEOXact_GUC.
static int enter_settings(const Entry *entry) {
    const int level = NewGUCNestLevel();
    for (int i = 0; i < setting_count; i++)
        if (entry->settings[i])
            at_place(pointer_to(pointer_to(entry->pointer, "settings"), setting_names[i]), [entry, i] {
                (void)set_config_option(setting_names[i], entry->settings[i], PGC_USERSET, PGC_S_SESSION,
                                        GUC_ACTION_SAVE, true, 0, false);
            });
    return level;
}

static const char *setting_now(int number) {
    return strcmp(setting_names[number], "search_path") == 0 ? kept_search_path()
                                                             : GetConfigOption(setting_names[number], false, false);
}

// ---- comparing

struct Difference {
    const char *name;
    int argument;          // -1: a setting
    const char *from, *to; // JSON; NULL: null
    bool alterable;
};

// words_of_change says from what to what something changes; what is long, or a mapping, one looks up in the definitions.
static const char *words_of_change(const char *name, const char *from, const char *to, const char *format) {
    constexpr size_t longest = 100;
    from = from ? from : "null";
    to = to ? to : "null";
    const bool readable = strlen(from) <= longest && strlen(to) <= longest && strcmp(name, "mapping") != 0;
    return readable ? psprintf(format, from, to) : "";
}

static List *add_difference(List *list, const Difference &difference) {
    Difference *copy = static_cast<Difference *>(palloc(sizeof(Difference)));
    *copy = difference;
    return lappend(list, copy);
}

static List *setting_differences(const Entry *entry, const Definition *present) {
    List *list = NIL;
    for (int i = 0; i < setting_count; i++)
        if (entry->settings[i] && strcmp(setting_now(i), present->settings[i]) != 0)
            list =
                add_difference(list, Difference{psprintf("settings/%s", setting_names[i]), -1,
                                                quoted_json(present->settings[i]), quoted_json(setting_now(i)), false});
    return list;
}

// is_left_open tells whether a definition leaves to sluice what it chooses once, when the pipeline is created.
static bool is_left_open(const Entry *entry, const Definition *present, int number) {
    const char *name = entry->arguments.items[number].name;
    if (entry->values[number])
        return false;
    return strcmp(name, "cursor") == 0 || strcmp(name, "mapping") == 0 ||
           (strcmp(name, "order_by") == 0 && strcmp(present->pipeline->cursor, "hash") != 0);
}

// wanted_value is what an argument is to be, as plain_argument writes it.
static const char *wanted_value(const Entry *entry, const Definition *present, int number) {
    const Argument *argument = &entry->arguments.items[number];
    const char *value = entry->values[number];
    if (value)
        return plain_argument(argument, value, pointer_to(entry->pointer, argument->name));
    const int mapping = find_argument(&entry->arguments, "mapping");
    if (strcmp(argument->name, "unknown") == 0 && !entry->values[mapping])
        return "\"add\""; // as it is where a mapping is inferred
    return fallback_of(present, number);
}

static bool is_same(const char *left, const char *right) {
    return left && right ? strcmp(left, right) == 0 : left == right;
}

static List *argument_difference(List *list, const Entry *entry, const Definition *present, int number) {
    const Argument *argument = &entry->arguments.items[number];
    const char *name = argument->name;
    if (strcmp(name, "name") == 0 || strcmp(name, "target_schema") == 0 || is_left_open(entry, present, number))
        return list;
    const char *from = plain_value(present, number), *to;
    if (strcmp(name, "mapping") == 0 && argument->alterable) {
        to = with_growth(present->pipeline, entry->values[number]);
        return to ? add_difference(list, Difference{name, number, from, to, true}) : list;
    }
    to = wanted_value(entry, present, number);
    if (is_same(from, to))
        return list;
    if (argument->type == TEXTARRAYOID && argument->alterable) { // empty, not null
        from = from ? from : "[]";
        to = to ? to : "[]";
    }
    return add_difference(list, Difference{name, number, from, to, argument->alterable});
}

static List *differences(const Entry *entry, const Definition *present) {
    List *list = setting_differences(entry, present);
    for (int i = 0; i < entry->arguments.count; i++)
        list = argument_difference(list, entry, present, i);
    return list;
}

static const char *remedy(const Entry *entry) {
    return psprintf(
        "Write it as it is, or drop the pipeline with sluice.drop_pipeline(%s) and apply again: it then starts anew, "
        "reads its source from the beginning into what its targets hold, and has no rejects and no runs.",
        quote_literal_cstr(entry->name));
}

static void refuse_kind(const Entry *entry, const Pipeline *pipeline) {
    if (strcmp(entry->kind, pipeline->kind) != 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("%s: pipeline \"%s\" is of kind \"%s\", which cannot be altered to \"%s\"",
                               pointer_to(entry->pointer, "kind"), entry->name, pipeline->kind, entry->kind),
                        errhint("%s", remedy(entry))));
}

// refuse_differences refuses what cannot be altered, all of it at once.
static void refuse_differences(const Entry *entry, List *list) {
    StringInfoData names, detail;
    initStringInfo(&names);
    initStringInfo(&detail);
    ListCell *cell;
    foreach (cell, list) {
        const Difference *difference = static_cast<const Difference *>(lfirst(cell));
        if (difference->alterable)
            continue;
        appendStringInfo(&names, "%s%s", names.len ? ", " : "", difference->name);
        const char *words =
            words_of_change(difference->name, difference->from, difference->to, "it is %s, and would be %s.");
        appendStringInfo(&detail, "%s%s/%s: %s", detail.len ? "\n" : "", entry->pointer, difference->name,
                         *words ? words : "it would be another one.");
    }
    if (names.len > 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("%s of pipeline \"%s\" cannot be altered", names.data, entry->name),
                        errdetail("%s", detail.data), errhint("%s", remedy(entry))));
}

// ---- calling what everybody calls

// A Call is a statement with its arguments, executed as the caller.
struct Call {
    StringInfoData statement;
    Parameters parameters;
};

static void begin_call(Call *call, const char *function) {
    initStringInfo(&call->statement);
    appendStringInfo(&call->statement, "SELECT sluice.%s(", function);
    call->parameters.count = 0;
}

static void add_argument(Call *call, const char *name, Oid type, Datum value) {
    add_value(&call->parameters, type, value);
    appendStringInfo(&call->statement, "%s%s => $%d", call->parameters.count > 1 ? ", " : "", quote_identifier(name),
                     call->parameters.count);
}

static void end_call(Call *call) {
    MemoryContext memory = CurrentMemoryContext; // SPI leaves its own behind
    appendStringInfoChar(&call->statement, ')');
    if (SPI_execute_with_args(call->statement.data, call->parameters.count, call->parameters.types,
                              call->parameters.values, call->parameters.nulls, false, 0) != SPI_OK_SELECT)
        elog(ERROR, "unexpected result of a function that creates or alters a pipeline");
    MemoryContextSwitchTo(memory);
}

static void call_about(const char *function, const char *name, const char *argument, const char *text) {
    Call call;
    begin_call(&call, function);
    add_argument(&call, "name", TEXTOID, CStringGetTextDatum(name));
    if (argument)
        add_argument(&call, argument, TEXTOID, CStringGetTextDatum(text));
    end_call(&call);
}

// ---- creating and altering

static bool is_after(const char *name) { return strcmp(name, "after") == 0; }

static void create(const Entry *entry) {
    Call call;
    begin_call(&call, psprintf("create_%s", entry->kind));
    for (int i = 0; i < entry->arguments.count; i++) {
        const Argument *argument = &entry->arguments.items[i];
        if (entry->values[i] && !is_after(argument->name))
            add_argument(&call, argument->name, argument->type,
                         argument_datum(argument, entry->values[i], pointer_to(entry->pointer, argument->name)));
    }
    end_call(&call);
}

// reset_argument makes an argument null.
static void reset_argument(const Pipeline *pipeline, const char *name) {
    const Oid schema = get_namespace_oid("sluice", false);
    const bool load =
        strcmp(pipeline->kind, "load") == 0 && get_attnum(get_relname_relid("load", schema), name) != InvalidAttrNumber;
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    catalog_execute(psprintf("UPDATE sluice.%s SET %s = NULL WHERE pipeline_id = $1::int", load ? "load" : "pipeline",
                             quote_identifier(name)),
                    &parameters);
}

static void alter(const Entry *entry, const Pipeline *pipeline, List *list) {
    Call call;
    ListCell *cell;
    begin_call(&call, "alter_pipeline");
    add_argument(&call, "name", TEXTOID, CStringGetTextDatum(entry->name));
    foreach (cell, list) {
        const Difference *difference = static_cast<const Difference *>(lfirst(cell));
        const Argument *argument = &entry->arguments.items[difference->argument];
        if (is_after(difference->name))
            continue;
        if (!difference->to) // to alter_pipeline, null is what stays as it is
            reset_argument(pipeline, difference->name);
        else
            add_argument(&call, difference->name, argument->type,
                         argument_datum(argument, difference->to, pointer_to(entry->pointer, difference->name)));
    }
    if (call.parameters.count > 1)
        end_call(&call);
}

static bool has_after(List *list) {
    ListCell *cell;
    foreach (cell, list)
        if (is_after(static_cast<const Difference *>(lfirst(cell))->name))
            return true;
    return false;
}

static void note_change(Entry *entry, const char *name, const char *from, const char *to) {
    entry->action = Action::Altered;
    entry->changes = psprintf("%s%s%s%s", entry->changes ? entry->changes : "", entry->changes ? "\n" : "", name,
                              words_of_change(name, from, to, " from %s to %s"));
}

// lock_definition keeps runs from adding to a mapping while it is altered.
static void lock_definition(const Pipeline *pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline->id);
    catalog_execute("SELECT FROM sluice.pipeline WHERE pipeline_id = $1::int FOR UPDATE", &parameters);
}

static List *find_differences(const Entry *entry) {
    const Pipeline *pipeline = find_pipeline(entry->name);
    refuse_kind(entry, pipeline);
    const Definition present = load_definition(pipeline);
    return differences(entry, &present);
}

static void bring_up_to_date(Entry *entry, const Pipeline *pipeline) {
    List *list = find_differences(entry);
    if (list == NIL)
        return;
    lock_definition(pipeline);
    list = find_differences(entry);
    refuse_differences(entry, list);
    alter(entry, pipeline, list);
    entry->moves = has_after(list);
    ListCell *cell;
    foreach (cell, list) {
        const Difference *difference = static_cast<const Difference *>(lfirst(cell));
        note_change(entry, difference->name, difference->from, difference->to);
    }
}

static void create_or_alter(Entry *entry) {
    const Pipeline *pipeline = find_own_pipeline(entry->name);
    const int level = enter_settings(entry);
    if (pipeline) {
        bring_up_to_date(entry, pipeline);
    } else {
        create(entry);
        entry->moves = entry->values[find_argument(&entry->arguments, "after")] != NULL;
        entry->action = Action::Created;
    }
    AtEOXact_GUC(false, level);
}

// ---- what needs all of them

// leave_turn takes a pipeline out of the order: what it runs after now might not go with what others are to run after.
static void leave_turn(const Entry *entry) {
    Parameters parameters{};
    add_int(&parameters, find_pipeline(entry->name)->id);
    catalog_execute("UPDATE sluice.pipeline SET after = '{}' WHERE pipeline_id = $1::int", &parameters);
}

static void take_turn(const Entry *entry) {
    const int after = find_argument(&entry->arguments, "after");
    if (!entry->values[after])
        return;
    const Argument *argument = &entry->arguments.items[after];
    Call call;
    begin_call(&call, "alter_pipeline");
    add_argument(&call, "name", TEXTOID, CStringGetTextDatum(entry->name));
    add_argument(&call, "after", argument->type, argument_datum(argument, entry->values[after], entry->pointer));
    end_call(&call);
}

// schedule schedules a pipeline; `rehearses`: jobs in another database, which are made at once, are not touched.
static void schedule(Entry *entry, bool rehearses) {
    if (!entry->says_schedule)
        return;
    const char *present = own_schedule(entry->name);
    if (is_same(present, entry->schedule))
        return;
    if (!rehearses || cron_place() != CronPlace::Elsewhere)
        call_about(entry->schedule ? "schedule" : "unschedule", entry->name, entry->schedule ? "cron" : NULL,
                   entry->schedule);
    if (entry->action != Action::Created)
        note_change(entry, "schedule", present ? quoted_json(present) : NULL,
                    entry->schedule ? quoted_json(entry->schedule) : NULL);
}

// ---- all of it

static void entry_context(void *argument) {
    const Entry *entry = static_cast<const Entry *>(argument);
    if (*entry->pointer)
        errcontext("definition %s, of pipeline \"%s\"", entry->pointer, entry->name);
    else
        errcontext("definition of pipeline \"%s\"", entry->name);
}

// for_each does a piece of work for each definition; errors tell for which.
template <class Work> static void for_each(const Entries *entries, Work work) {
    for (int i = 0; i < entries->count; i++) {
        Entry *entry = &entries->items[i];
        ErrorContextCallback context{error_context_stack, entry_context, entry};
        CHECK_FOR_INTERRUPTS();
        error_context_stack = &context;
        work(entry);
        error_context_stack = context.previous;
    }
}

static void apply(const Entries *entries, bool rehearses) {
    lock_order(); // two sessions that apply the same definitions do so one after the other
    for_each(entries, [](Entry *entry) { create_or_alter(entry); });
    for_each(entries, [](Entry *entry) {
        if (entry->moves)
            leave_turn(entry);
    });
    for_each(entries, [](Entry *entry) {
        if (entry->moves)
            take_turn(entry);
    });
    for_each(entries, [rehearses](Entry *entry) { schedule(entry, rehearses); });
}

// rehearse applies definitions and takes it back.
static void rehearse(const Entries *entries) {
    ErrorData *error = attempt([entries] { apply(entries, true); }, true);
    if (error)
        ReThrowError(error);
}

static void put_entry(Tuplestorestate *rows, TupleDesc columns, const Entry *entry) {
    static const char *const actions[] = {"unchanged", "created", "altered"};
    Datum values[3];
    bool nulls[3] = {false, false, !entry->changes};
    values[0] = CStringGetTextDatum(entry->name);
    values[1] = CStringGetTextDatum(actions[static_cast<int>(entry->action)]);
    values[2] = entry->changes ? CStringGetTextDatum(entry->changes) : 0;
    tuplestore_putvalues(rows, columns, values, nulls);
}

} // namespace sluice

using namespace sluice;

extern "C" {

PG_FUNCTION_INFO_V1(sluice_apply);
Datum sluice_apply(PG_FUNCTION_ARGS) {
    TupleDesc columns;
    require_same_version();
    Tuplestorestate *rows = begin_result_rows(fcinfo, &columns);
    if (PG_ARGISNULL(0))
        argument_error("definitions", "must not be null", NULL);
    SPI_connect();
    const Entries entries = read_entries(text_argument(fcinfo, 0));
    if (!PG_ARGISNULL(1) && PG_GETARG_BOOL(1))
        rehearse(&entries);
    else
        apply(&entries, false);
    for (int i = 0; i < entries.count; i++)
        put_entry(rows, columns, &entries.items[i]);
    SPI_finish();
    return static_cast<Datum>(0);
}

} // extern "C"
