// See coverage.hpp. The paths of a mapping form a tree of nodes, one for each place that a path goes through. A document
// is walked along with it: a member without a node, or a value of another kind than the node's paths expect, is
// uncovered. Where a key or position has a node of its own beside a [*] or .*, the latter's tree is laid into it, so that
// one node tells everything about a place.
#include "coverage.hpp"

#include "convert.hpp"

namespace sluice {

struct CoverEdge {
    const char *key; // of a member; NULL: of an item
    uint32 length;
    int64 index;
    CoverNode *to;
};

struct CoverNode {
    bool taken;       // a column's path ends here
    int table;        // whose item this is, or -1
    CoverEdge *edges; // sorted: items by position, then members by (length, key), as jsonb keeps them
    int edge_count, edge_room;
    CoverNode *each_item, *each_value; // [*], .*
};

struct Coverage {
    CoverNode *document;
    CoverNode **items; // by table
    bool *rests;
    int node_count;
};

// ---- planning

constexpr int most_nodes = 1000000; // overlapping [*], .* and keys can multiply

static CoverNode *make_node(Coverage *coverage) {
    if (++coverage->node_count > most_nodes)
        ereport(ERROR,
                (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("the paths of the mapping overlap in too many ways"),
                 errhint("Use fewer paths in which [*] or .* stands where another path has a key or a position.")));
    CoverNode *node = static_cast<CoverNode *>(palloc0(sizeof(CoverNode)));
    node->table = -1;
    return node;
}

static int compare_edges(const CoverEdge &left, const CoverEdge &right) {
    if (!left.key || !right.key)
        return left.key ? 1 : right.key ? -1 : left.index < right.index ? -1 : left.index > right.index;
    if (left.length != right.length)
        return left.length < right.length ? -1 : 1;
    return memcmp(left.key, right.key, left.length);
}

// find_edge looks for an edge: first where it is expected, since documents have their keys in one order.
static CoverNode *find_edge(const CoverNode *node, const CoverEdge &wanted, int *expected) {
    if (*expected < node->edge_count && compare_edges(node->edges[*expected], wanted) == 0)
        return node->edges[(*expected)++].to;
    int low = 0, high = node->edge_count;
    while (low < high) {
        const int middle = (low + high) / 2;
        const int side = compare_edges(node->edges[middle], wanted);
        if (side == 0) {
            *expected = middle + 1;
            return node->edges[middle].to;
        }
        if (side < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static CoverNode *append_edge(Coverage *coverage, CoverNode *node, const CoverEdge &edge) {
    if (node->edge_count == node->edge_room) {
        node->edge_room = Max(4, node->edge_room * 2);
        const Size size = sizeof(CoverEdge) * node->edge_room;
        node->edges = static_cast<CoverEdge *>(node->edges ? repalloc(node->edges, size) : palloc(size));
    }
    node->edges[node->edge_count] = edge;
    if (!edge.to)
        node->edges[node->edge_count].to = make_node(coverage);
    return node->edges[node->edge_count++].to;
}

// insert_edge finds an edge or puts it in its place.
static CoverNode *insert_edge(Coverage *coverage, CoverNode *node, const CoverEdge &edge) {
    int low = 0, high = node->edge_count, expected = INT_MAX;
    CoverNode *found = find_edge(node, edge, &expected);
    if (found)
        return found;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (compare_edges(node->edges[middle], edge) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    CoverNode *to = append_edge(coverage, node, edge);
    const CoverEdge own = node->edges[node->edge_count - 1];
    memmove(&node->edges[low + 1], &node->edges[low], sizeof(CoverEdge) * (node->edge_count - 1 - low));
    node->edges[low] = own;
    return to;
}

static CoverNode *each_node(Coverage *coverage, CoverNode **each) {
    if (!*each)
        *each = make_node(coverage);
    return *each;
}

static CoverNode *follow_path(Coverage *coverage, CoverNode *node, const Path &path) {
    for (int i = 0; i < path.step_count; i++) {
        const Step &step = path.steps[i];
        if (step.kind == StepKind::EachItem)
            node = each_node(coverage, &node->each_item);
        else if (step.kind == StepKind::EachValue || step.kind == StepKind::ItemKey)
            node = each_node(coverage, &node->each_value);
        else if (step.kind == StepKind::Key)
            node = insert_edge(coverage, node, CoverEdge{step.key, step.length, 0, NULL});
        else
            node = insert_edge(coverage, node, CoverEdge{NULL, 0, step.index, NULL});
    }
    return node;
}

static int find_table(const Mapping *mapping, const char *name) {
    for (int i = 0; name && i < mapping->table_count; i++)
        if (strcmp(mapping->tables[i].name, name) == 0)
            return i;
    return -1;
}

// item_node is where the items of a table stand; that of its parent comes first.
static CoverNode *item_node(Coverage *coverage, const Mapping *mapping, int number) {
    if (coverage->items[number])
        return coverage->items[number];
    check_stack_depth();
    const MappedTable *table = &mapping->tables[number];
    const int parent = table->each.from_item ? find_table(mapping, table->parent) : -1;
    CoverNode *from = parent >= 0 ? item_node(coverage, mapping, parent) : coverage->document;
    CoverNode *node = follow_path(coverage, from, table->each);
    if (node->table < 0 || (coverage->rests[number] && !coverage->rests[node->table]))
        node->table = number;
    coverage->items[number] = node;
    return node;
}

static void cover_columns(Coverage *coverage, const MappedTable *table, CoverNode *item) {
    for (int i = 0; i < table->column_count; i++) {
        const MappedColumn *column = &table->columns[i];
        if (column->form == ValueForm::Path)
            follow_path(coverage, column->path.from_item ? item : coverage->document, column->path)->taken = true;
    }
}

static void lay_over(Coverage *coverage, CoverNode *into, const CoverNode *from) {
    CHECK_FOR_INTERRUPTS();
    check_stack_depth();
    into->taken = into->taken || from->taken;
    if (into->table < 0)
        into->table = from->table;
    for (int i = 0; i < from->edge_count; i++) {
        CoverEdge edge = from->edges[i];
        edge.to = NULL;
        lay_over(coverage, insert_edge(coverage, into, edge), from->edges[i].to);
    }
    if (from->each_item)
        lay_over(coverage, each_node(coverage, &into->each_item), from->each_item);
    if (from->each_value)
        lay_over(coverage, each_node(coverage, &into->each_value), from->each_value);
}

// lay_each lays what [*] and .* lead to into the keys and positions beside them, from the top down.
static void lay_each(Coverage *coverage, CoverNode *node) {
    check_stack_depth();
    for (int i = 0; i < node->edge_count; i++) {
        const CoverNode *each = node->edges[i].key ? node->each_value : node->each_item;
        if (each)
            lay_over(coverage, node->edges[i].to, each);
        lay_each(coverage, node->edges[i].to);
    }
    if (node->each_item)
        lay_each(coverage, node->each_item);
    if (node->each_value)
        lay_each(coverage, node->each_value);
}

Coverage *plan_coverage(const Mapping *mapping) {
    Coverage *coverage = static_cast<Coverage *>(palloc0(sizeof(Coverage)));
    coverage->document = make_node(coverage);
    coverage->items = static_cast<CoverNode **>(palloc0(sizeof(CoverNode *) * mapping->table_count));
    coverage->rests = static_cast<bool *>(palloc0(sizeof(bool) * mapping->table_count));
    for (int i = 0; i < mapping->table_count; i++)
        for (int j = 0; j < mapping->tables[i].column_count; j++)
            coverage->rests[i] = coverage->rests[i] || mapping->tables[i].columns[j].form == ValueForm::Rest;
    for (int i = 0; i < mapping->table_count; i++)
        cover_columns(coverage, &mapping->tables[i], item_node(coverage, mapping, i));
    lay_each(coverage, coverage->document);
    return coverage;
}

bool has_rest(const Coverage *coverage, int table) { return coverage->rests[table]; }

const CoverNode *item_place(const Coverage *coverage, int table) {
    const CoverNode *node = coverage->items[table];
    return node->taken || node->edge_count > 0 || node->each_item || node->each_value ? node : NULL;
}

const CoverNode *member_place(const CoverNode *object, const char *key, uint32 length) {
    int expected = INT_MAX;
    const CoverNode *member = find_edge(object, CoverEdge{key, length, 0, NULL}, &expected);
    return member ? member : object->each_value;
}

// ---- walking

// A Place on the way through a document. Places lie on the stack, so the way costs no memory.
struct Place {
    Place *up;
    Value value;
    const char *key; // of a member; NULL: of an item
    uint32 length;
    int64 index;
    int table;    // whose item it is, or -1
    bool by_each; // reached as an item of an array, or by .*
    bool told;    // that it is uncovered
    bool open;    // it has been begun in the rest
    int64 pushed; // items, in the rest
};

struct Search {
    const Coverage *coverage;
    int rest_of; // the table whose rest is being made; -1: uncovered values are told
    JsonbParseState *state;
    JsonbValue *rest;
    bool but_rests;
    UncoveredCallback callback;
    void *context;
};

// tell_uncovered calls back with the place, or with the outermost array or map between it and the item around.
static void tell_uncovered(Search *search, Place *place) {
    Place *what = place, *item = place;
    for (; item->table < 0 && item->up; item = item->up)
        if (item->by_each)
            what = item->up;
    if (what->told)
        return;
    what->told = true;
    Uncovered uncovered{};
    uncovered.table = item->table;
    uncovered.value = what->value;
    for (const Place *at = what; at != item; at = at->up)
        uncovered.step_count++;
    Step *steps = static_cast<Step *>(palloc0(sizeof(Step) * (uncovered.step_count + 1)));
    int step = uncovered.step_count;
    for (const Place *at = what; at != item; at = at->up)
        steps[--step] = Step{StepKind::Key, at->key, at->length, 0};
    uncovered.steps = steps;
    search->callback(search->context, &uncovered);
    pfree(steps);
}

static void push_jsonb(Search *search, JsonbIteratorToken token, Jsonb *jsonb) {
    JsonbValue value;
    value.type = jbvType::jbvBinary;
    value.val.binary.data = &jsonb->root;
    value.val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
    pushJsonbValue(&search->state, token, &value);
}

static void push_key(Search *search, const Place *place) {
    refuse_nul(place->key, place->length);
    JsonbValue key;
    key.type = jbvType::jbvString;
    key.val.string.val = const_cast<char *>(place->key);
    key.val.string.len = place->length;
    pushJsonbValue(&search->state, WJB_KEY, &key);
}

// begin_in_rest writes what comes before a value in the rest: its key, or null for items of which nothing is left.
static void begin_in_rest(Search *search, const Place *place) {
    Place *around = place->up;
    if (!around)
        return;
    if (!around->open) {
        begin_in_rest(search, around);
        pushJsonbValue(&search->state, around->value.kind == ValueKind::Array ? WJB_BEGIN_ARRAY : WJB_BEGIN_OBJECT,
                       NULL);
        around->open = true;
    }
    if (place->key) {
        push_key(search, place);
        return;
    }
    JsonbValue nothing;
    nothing.type = jbvType::jbvNull;
    for (; around->pushed < place->index; around->pushed++)
        pushJsonbValue(&search->state, WJB_ELEM, &nothing);
    around->pushed++;
}

static void end_in_rest(Search *search, const Place *place) {
    if (place->open)
        search->rest = pushJsonbValue(&search->state,
                                      place->value.kind == ValueKind::Array ? WJB_END_ARRAY : WJB_END_OBJECT, NULL);
}

static void meet_uncovered(Search *search, Place *place) {
    if (is_missing(place->value))
        return;
    if (search->rest_of < 0) {
        tell_uncovered(search, place);
        return;
    }
    begin_in_rest(search, place);
    push_jsonb(search, place->key ? WJB_VALUE : WJB_ELEM, value_jsonb(place->value));
}

static void walk_place(Search *search, const CoverNode *node, Place *place);

static void walk_members(Search *search, const CoverNode *node, Place *object) {
    int expected = 0;
    Walk walk = walk_begin(object->value);
    for (Value value; walk_next(&walk, &value);) {
        if (is_missing(value))
            continue;
        const CoverNode *to = find_edge(node, CoverEdge{walk.key, walk.key_length, 0, NULL}, &expected);
        Place member{};
        member.up = object;
        member.value = value;
        member.key = walk.key;
        member.length = walk.key_length;
        member.by_each = !to && node->each_value;
        walk_place(search, to ? to : node->each_value, &member);
    }
}

static void walk_items(Search *search, const CoverNode *node, Place *array) {
    int expected = 0;
    Walk walk = walk_begin(array->value);
    Place item{};
    for (int64 index = 0; walk_next(&walk, &item.value); index++) {
        const CoverNode *to = find_edge(node, CoverEdge{NULL, 0, index, NULL}, &expected);
        const Value value = item.value;
        item = Place{};
        item.up = array;
        item.value = value;
        item.index = index;
        item.by_each = true;
        walk_place(search, to ? to : node->each_item, &item);
    }
}

// has_edges tells whether a node has edges for members, or for items.
static bool has_edges(const CoverNode *node, bool members) {
    if (node->edge_count == 0)
        return false;
    return members ? node->edges[node->edge_count - 1].key != NULL : node->edges[0].key == NULL;
}

// enter_item notes that a place is an item of a table; false when what lies in it is not looked for.
static bool enter_item(const Search *search, int table, Place *place) {
    place->table = table;
    if (!search->coverage->rests[table])
        return true;
    return search->rest_of < 0 ? !search->but_rests : !place->up; // the rest of an inner item is its own
}

// walk_place looks for what is uncovered in a place; without a node it is that as a whole.
static void walk_place(Search *search, const CoverNode *node, Place *place) {
    place->table = -1;
    if (is_missing(place->value) || (node && node->taken))
        return;
    if (node && node->table >= 0 && !enter_item(search, node->table, place))
        return;
    const ValueKind kind = place->value.kind;
    if (node && kind == ValueKind::Object && (node->each_value || has_edges(node, true)))
        walk_members(search, node, place);
    else if (node && kind == ValueKind::Array && (node->each_item || has_edges(node, false)))
        walk_items(search, node, place);
    else
        meet_uncovered(search, place);
    end_in_rest(search, place);
}

Jsonb *uncovered_part(const Coverage *coverage, int table, const Value &item) {
    Search search{};
    search.coverage = coverage;
    search.rest_of = table;
    const CoverNode *node = coverage->items[table];
    Place place{};
    place.value = item;
    const bool object = item.kind == ValueKind::Object && (node->each_value || has_edges(node, true));
    const bool array = item.kind == ValueKind::Array && (node->each_item || has_edges(node, false));
    if (!object && !array)
        return is_missing(item) || node->taken ? NULL : value_jsonb(item);
    walk_place(&search, node, &place);
    return search.rest ? JsonbValueToJsonb(search.rest) : NULL;
}

void find_uncovered(const Coverage *coverage, const Value &document, bool but_rests, UncoveredCallback callback,
                    void *context) {
    Search search{};
    search.coverage = coverage;
    search.rest_of = -1;
    search.but_rests = but_rests;
    search.callback = callback;
    search.context = context;
    Place place{};
    place.value = document;
    walk_place(&search, coverage->document, &place);
}

} // namespace sluice
