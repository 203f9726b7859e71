// See infer.hpp. A table is grown from the shape of its items: everything that could be a column or a child table is a
// candidate; candidates are admitted, those nearest to the item and seen most often first, until one finds no room; the
// remainder is the table's rest. Child tables wait in a queue, so that near ones get their place among the tables first.
#include "infer.hpp"

#include "coverage.hpp"
#include "dictionary.hpp"
#include "naming.hpp"

namespace sluice {

constexpr int most_columns = 1500;
constexpr int most_tables = 500;

// A row must fit a page whatever its values, so each column is counted with what it may take there at most: what can be
// moved out of the row (TOAST) with the 24 bytes below which it is not, others with their padding. 216 of the 8,160 bytes
// of a row are kept for its header and null bitmap.
constexpr int row_room = 7900;
constexpr int variable_width = 24, bigint_width = 15, int_width = 7, boolean_width = 1;

// A Spot is a place within an item, reached by object keys; NULL is the item itself.
struct Spot {
    const Spot *up;
    const char *key;
    uint32 length;
    int depth;
};

struct Candidate {
    const Spot *spot;
    const Shape *shape; // of a column's values, of a child table's items
    const char *type;   // of a column; NULL: a child table
    StepKind each;      // of a child table: EachItem or EachValue
    int64 often;
    int order; // as found
    bool admitted;
};

struct Candidates {
    Candidate *list;
    int count, room;
    bool needs_rest;    // there are values that no candidate could hold
    bool no_children;   // keep arrays and dictionaries as jsonb
    bool of_dictionary; // the items are values of a dictionary
};

// A table whose columns are still to be found.
struct Growing {
    int table;
    const Shape *shape;
    Growing *next;
};

struct Builder {
    Mapping *mapping;
    const char *schema;
    NameSet table_names;
    Growing *first, *last;
    const TakenNames *taken;
    MappingChanges *changes; // NULL: not asked for
    int table;               // the one being grown
    NameSet columns;         // its names
};

// ---- candidates

static Spot *make_spot(const Spot *up, const char *key, uint32 length) {
    Spot *spot = static_cast<Spot *>(palloc(sizeof(Spot)));
    *spot = Spot{up, key, length, up ? up->depth + 1 : 1};
    return spot;
}

static void add_candidate(Candidates *candidates, const Spot *spot, const Shape *shape, const char *type,
                          StepKind each) {
    if (candidates->count == candidates->room) {
        candidates->room = Max(16, candidates->room * 2);
        const Size size = sizeof(Candidate) * candidates->room;
        candidates->list =
            static_cast<Candidate *>(candidates->list ? repalloc_huge(candidates->list, size) : palloc(size));
    }
    candidates->list[candidates->count] =
        Candidate{spot, shape, type, each, shape_total(shape), candidates->count, false};
    candidates->count++;
}

static void add_column_candidate(Candidates *candidates, const Spot *spot, const Shape *shape, const char *type) {
    add_candidate(candidates, spot, shape, type, StepKind::Key);
}

static void add_child_candidate(Candidates *candidates, const Spot *spot, const Shape *whole, const Shape *items,
                                StepKind each) {
    if (candidates->no_children)
        add_column_candidate(candidates, spot, whole, "jsonb");
    else
        add_candidate(candidates, spot, items, NULL, each);
}

static const char *scalar_type(const Shape *shape) {
    switch (shape_main_kind(shape)) {
    case ValueKind::Bool:
        return "boolean";
    case ValueKind::Number:
        return shape->number == NumberSize::Int ? "int" : shape->number == NumberSize::Bigint ? "bigint" : "numeric";
    default:
        return "text"; // strings, and what was always null
    }
}

static void find_candidates(Candidates *candidates, const Spot *spot, const Shape *shape, const CoverNode *place);

// find_in_members looks at the members of an object; `place` is the object's, NULL when the mapping has nothing there. A key
// with a NUL is passed over: no path leads there, and no target could hold it.
static void find_in_members(Candidates *candidates, const Spot *spot, const Shape *object, const CoverNode *place) {
    for (uint32 i = 0; i < object->member_count; i++) {
        const ShapeMember *member = &object->members[i];
        if (!memchr(member->key, '\0', member->length))
            find_candidates(candidates, make_spot(spot, member->key, member->length), member->shape,
                            place ? member_place(place, member->key, member->length) : NULL);
    }
}

static void find_in_object(Candidates *candidates, const Spot *spot, const Shape *object) {
    const Shape *values = dictionary_values(object, !spot && !candidates->of_dictionary);
    if (values)
        add_child_candidate(candidates, spot, object, values, StepKind::EachValue);
    else if (object->member_count == 0)
        add_column_candidate(candidates, spot, object, "jsonb");
    else
        find_in_members(candidates, spot, object, NULL);
}

// find_candidates looks at a place within the items. What the mapping has paths to, or through, keeps the form that they
// give it.
static void find_candidates(Candidates *candidates, const Spot *spot, const Shape *shape, const CoverNode *place) {
    CHECK_FOR_INTERRUPTS();
    const ValueKind kind = shape_main_kind(shape);
    if (place) {
        candidates->needs_rest = candidates->needs_rest || kind != ValueKind::Null || shape->values;
        if (shape_count(shape, ValueKind::Object) == 0) // else objects stand where others are expected
            find_in_members(candidates, spot, shape, place);
    } else if (shape_kinds(shape) > 1 || shape->too_deep) {
        add_column_candidate(candidates, spot, shape, "jsonb");
    } else if (kind == ValueKind::Object) {
        find_in_object(candidates, spot, shape);
    } else if (kind == ValueKind::Array && shape->items) {
        add_child_candidate(candidates, spot, shape, shape->items, StepKind::EachItem);
    } else if (kind == ValueKind::Array) {
        add_column_candidate(candidates, spot, shape, "jsonb");
    } else {
        add_column_candidate(candidates, spot, shape, scalar_type(shape));
    }
}

// ---- room

static int type_width(const char *type) {
    if (!type)
        return variable_width;
    if (strcmp(type, "boolean") == 0)
        return boolean_width;
    if (strcmp(type, "int") == 0)
        return int_width;
    return strcmp(type, "bigint") == 0 ? bigint_width : variable_width;
}

static int column_width(const MappedColumn *column) {
    const bool counts = column->form == ValueForm::Serial || column->form == ValueForm::Index ||
                        column->form == ValueForm::Run || column->form == ValueForm::LoadedAt;
    return counts && !column->type ? bigint_width : type_width(column->type);
}

static const MappedColumn *column_of_form(const MappedTable *table, ValueForm form) {
    for (int i = 0; i < table->column_count; i++)
        if (table->columns[i].form == form)
            return &table->columns[i];
    return NULL;
}

// compare_candidates orders them as they are admitted: by depth, then by how often they occur.
static int compare_candidates(const void *left, const void *right) {
    const Candidate *a = *static_cast<const Candidate *const *>(left),
                    *b = *static_cast<const Candidate *const *>(right);
    const int a_depth = a->spot ? a->spot->depth : 0, b_depth = b->spot ? b->spot->depth : 0;
    if (a_depth != b_depth)
        return a_depth < b_depth ? -1 : 1;
    if (a->often != b->often)
        return a->often > b->often ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

// admit_candidates takes what fits beside the columns that are there and one for the rest; true when that is all.
static bool admit_candidates(const Builder *builder, Candidates *candidates) {
    const MappedTable *table = &builder->mapping->tables[builder->table];
    int columns = table->column_count + 1, width = variable_width, tables = builder->mapping->table_count;
    for (int i = 0; i < table->column_count; i++)
        width += column_width(&table->columns[i]);
    Candidate **sorted =
        static_cast<Candidate **>(palloc_extended(sizeof(Candidate *) * (candidates->count + 1), MCXT_ALLOC_HUGE));
    for (int i = 0; i < candidates->count; i++)
        sorted[i] = &candidates->list[i];
    qsort(sorted, candidates->count, sizeof(Candidate *), compare_candidates);
    int admitted = 0;
    for (; admitted < candidates->count; admitted++) {
        Candidate *candidate = sorted[admitted];
        columns += candidate->type != NULL;
        width += candidate->type ? type_width(candidate->type) : 0;
        tables += candidate->type == NULL;
        if (columns > most_columns || width > row_room || tables > most_tables)
            break;
        candidate->admitted = true;
    }
    pfree(sorted);
    return admitted == candidates->count;
}

// ---- names

static void append_spot_name(StringInfo to, const Spot *spot) {
    if (spot->up) {
        append_spot_name(to, spot->up);
        appendStringInfoChar(to, '_');
    }
    append_key_name(to, spot->key, spot->length);
}

static void append_spot_path(StringInfo to, const Spot *spot) {
    if (!spot)
        return;
    append_spot_path(to, spot->up);
    append_key_step(to, spot->key, spot->length);
}

static bool is_column_taken(void *context, const char *name) {
    const Builder *builder = static_cast<const Builder *>(context);
    const TakenNames *taken = builder->taken;
    return taken && taken->column && taken->column(taken->context, builder->table, name);
}

static bool is_table_taken(void *context, const char *name) {
    const Builder *builder = static_cast<const Builder *>(context);
    const TakenNames *taken = builder->taken;
    return taken && taken->relation && taken->relation(taken->context, builder->schema, name);
}

static char *column_name(Builder *builder, const Spot *spot) {
    StringInfoData name;
    initStringInfo(&name);
    if (spot)
        append_spot_name(&name, spot);
    else
        appendStringInfoString(&name, "value");
    if (name.data[0] >= '0' && name.data[0] <= '9')
        return new_name(&builder->columns, psprintf("_%s", name.data), is_column_taken, builder);
    return new_name(&builder->columns, name.data, is_column_taken, builder);
}

// has_servers_ending tells whether the server might want a name for an index or a sequence of another table.
static bool has_servers_ending(const char *name) {
    static const char *const endings[] = {"_pkey", "_key", "_idx", "_seq", "_fkey"};
    for (const char *ending : endings)
        if (strlen(name) > strlen(ending) && strcmp(name + strlen(name) - strlen(ending), ending) == 0)
            return true;
    return false;
}

static const char *child_table_name(Builder *builder, const MappedTable *parent, const Spot *spot) {
    QualifiedName above{};
    StringInfoData name;
    initStringInfo(&name);
    if (split_table_name(parent->name, &above))
        appendStringInfo(&name, "%s__", above.name);
    if (spot)
        append_spot_name(&name, spot);
    else
        appendStringInfoString(&name, "items");
    if (has_servers_ending(numbered_name(name.data, 1)))
        appendStringInfoChar(&name, '_');
    const QualifiedName own{builder->schema, new_name(&builder->table_names, name.data, is_table_taken, builder)};
    return quoted_table_name(&own);
}

// name_columns begins the names of one table: its columns, and what the server keeps for itself.
static void name_columns(Builder *builder) {
    static const char *const system[] = {"ctid", "xmin", "cmin", "xmax", "cmax", "tableoid"};
    const MappedTable *table = &builder->mapping->tables[builder->table];
    builder->columns = make_name_set();
    for (const char *name : system)
        take_name(&builder->columns, name);
    for (int i = 0; i < table->column_count; i++)
        take_name(&builder->columns, table->columns[i].name);
}

// ---- making tables and columns

static void note_change(Builder *builder, int table, int column) {
    MappingChanges *changes = builder->changes;
    if (!changes)
        return;
    if (changes->count == changes->room) {
        changes->room = Max(8, changes->room * 2);
        const Size size = sizeof(MappingChange) * changes->room;
        changes->changes =
            static_cast<MappingChange *>(changes->changes ? repalloc(changes->changes, size) : palloc(size));
    }
    changes->changes[changes->count++] = MappingChange{table, column};
}

static void reserve_columns(MappedTable *table, int more) {
    const Size size = sizeof(MappedColumn) * (table->column_count + more);
    table->columns = static_cast<MappedColumn *>(table->columns ? repalloc(table->columns, size) : palloc(size));
}

// add_column adds a column for which there is room, see reserve_columns.
static MappedColumn *add_column(MappedTable *table, const char *name, ValueForm form) {
    MappedColumn *column = &table->columns[table->column_count++];
    *column = MappedColumn{};
    column->name = name;
    column->pointer = pointer_to(pointer_to(table->pointer, "columns"), name);
    column->form = form;
    column->default_value = absent_value();
    return column;
}

static int add_table(Builder *builder, const char *name) {
    Mapping *mapping = builder->mapping;
    const Size size = sizeof(MappedTable) * (mapping->table_count + 1);
    mapping->tables = static_cast<MappedTable *>(mapping->tables ? repalloc(mapping->tables, size) : palloc(size));
    MappedTable *table = &mapping->tables[mapping->table_count];
    *table = MappedTable{};
    table->name = name;
    table->pointer = pointer_to("", name);
    table->mode = Mode::Append;
    reserve_columns(table, 4);
    add_column(table, "sluice_id", ValueForm::Serial);
    return mapping->table_count++;
}

static void grow_later(Builder *builder, int table, const Shape *shape) {
    Growing *growing = static_cast<Growing *>(palloc(sizeof(Growing)));
    *growing = Growing{table, shape, NULL};
    if (builder->last)
        builder->last->next = growing;
    else
        builder->first = growing;
    builder->last = growing;
}

// is_document tells whether the item of a table is the whole document.
static bool is_document(const Mapping *mapping, const MappedTable *table) {
    for (int up = 0; up <= mapping->table_count; up++) {
        if (table->each.step_count > 0)
            return false;
        if (!table->each.from_item || !table->parent)
            return true;
        const MappedTable *parent = NULL;
        for (int i = 0; i < mapping->table_count; i++)
            if (strcmp(mapping->tables[i].name, table->parent) == 0)
                parent = &mapping->tables[i];
        if (!parent)
            return false;
        table = parent;
    }
    return false;
}

// spot_path writes the path to a place within the items of the table being grown.
static StringInfoData spot_path(const Builder *builder, const Spot *spot) {
    StringInfoData path;
    initStringInfo(&path);
    appendStringInfoChar(&path, is_document(builder->mapping, &builder->mapping->tables[builder->table]) ? '$' : '@');
    append_spot_path(&path, spot);
    return path;
}

static void add_child(Builder *builder, const Candidate *candidate) {
    const MappedTable *parent = &builder->mapping->tables[builder->table];
    const char *parent_name = parent->name, *serial = column_of_form(parent, ValueForm::Serial)->name;
    StringInfoData each = spot_path(builder, candidate->spot);
    appendStringInfoString(&each, candidate->each == StepKind::EachItem ? "[*]" : ".*");
    const int child = add_table(builder, child_table_name(builder, parent, candidate->spot));
    MappedTable *table = &builder->mapping->tables[child];
    table->parent = parent_name;
    table->each = parse_path(each.data, pointer_to(table->pointer, "each"));
    add_column(table, "sluice_parent_id", ValueForm::Parent)->other = serial;
    add_column(table, "sluice_index", ValueForm::Index);
    if (candidate->each == StepKind::EachValue)
        add_column(table, "key", ValueForm::Key);
    note_change(builder, child, -1);
    grow_later(builder, child, candidate->shape);
}

static void add_path_column(Builder *builder, const Candidate *candidate) {
    MappedTable *table = &builder->mapping->tables[builder->table];
    MappedColumn *column = add_column(table, column_name(builder, candidate->spot), ValueForm::Path);
    column->path = parse_path(spot_path(builder, candidate->spot).data, column->pointer);
    if (strcmp(candidate->type, "text") != 0) // which a path without a type is
        column->type = candidate->type;
}

static void add_rest(Builder *builder) {
    MappedTable *table = &builder->mapping->tables[builder->table];
    if (column_of_form(table, ValueForm::Rest))
        return;
    reserve_columns(table, 1);
    add_column(table, new_name(&builder->columns, "rest", is_column_taken, builder), ValueForm::Rest);
}

// add_candidates adds what was admitted, in the order of the documents.
static void add_candidates(Builder *builder, const Candidates *candidates) {
    reserve_columns(&builder->mapping->tables[builder->table], Min(candidates->count, most_columns));
    for (int i = 0; i < candidates->count; i++) {
        const Candidate *candidate = &candidates->list[i];
        if (!candidate->admitted)
            continue;
        if (candidate->type)
            add_path_column(builder, candidate);
        else
            add_child(builder, candidate);
    }
}

// ---- growing

static void grow_table(Builder *builder, const Shape *shape, const CoverNode *place) {
    const MappedTable *table = &builder->mapping->tables[builder->table];
    const Path &each = table->each;
    Candidates candidates{};
    candidates.no_children = !column_of_form(table, ValueForm::Serial);
    candidates.of_dictionary = each.step_count > 0 && each.steps[each.step_count - 1].kind == StepKind::EachValue;
    find_candidates(&candidates, NULL, shape, place);
    const bool all = admit_candidates(builder, &candidates);
    add_candidates(builder, &candidates);
    if (!all || candidates.needs_rest)
        add_rest(builder);
}

static void grow_children(Builder *builder) {
    for (Growing *growing = builder->first; growing; growing = growing->next) {
        builder->table = growing->table;
        name_columns(builder);
        if (shape_total(growing->shape) + shape_count(growing->shape, ValueKind::Null) > 0)
            grow_table(builder, growing->shape, NULL);
        hash_destroy(builder->columns.taken);
    }
}

Mapping *infer_mapping(const Shape *shape, const char *root, const char *schema) {
    Builder builder{};
    builder.mapping = static_cast<Mapping *>(palloc0(sizeof(Mapping)));
    builder.schema = schema;
    builder.table_names = make_name_set();
    const QualifiedName name{schema, new_name(&builder.table_names, root, NULL, NULL)};
    const int table = add_table(&builder, quoted_table_name(&name));
    builder.mapping->tables[table].each = parse_path("$", "");
    grow_later(&builder, table, shape);
    grow_children(&builder);
    return builder.mapping;
}

// ---- extending

static NameSet tables_of(const Mapping *mapping) {
    NameSet names = make_name_set();
    QualifiedName name{};
    for (int i = 0; i < mapping->table_count; i++)
        if (split_table_name(mapping->tables[i].name, &name))
            take_name(&names, name.name);
    return names;
}

void extend_mapping(Mapping *mapping, int table, const Shape *shape, const TakenNames *taken, MappingChanges *changes) {
    Builder builder{};
    QualifiedName name{};
    builder.mapping = mapping;
    builder.schema = split_table_name(mapping->tables[table].name, &name) ? name.schema : NULL;
    builder.table_names = tables_of(mapping);
    builder.taken = taken;
    builder.changes = changes;
    builder.table = table;
    name_columns(&builder);
    const int before = mapping->tables[table].column_count;
    grow_table(&builder, shape, item_place(plan_coverage(mapping), table));
    for (int i = before; i < mapping->tables[table].column_count; i++)
        note_change(&builder, table, i);
    grow_children(&builder);
}

} // namespace sluice
