// See grown.hpp. What grew is in sluice.change: tables and columns that were added, columns that got wider types. Of these, what the
// pipeline's mapping still has is kept, though the written mapping does not know of it: columns go to the end of their
// tables, tables behind the others, as when they grew.
#include "grown.hpp"

#include "catalog.hpp"
#include "mapping.hpp"
#include "mapping_text.hpp"

namespace sluice {

struct Grown {
    const char *table;
    const char *column; // NULL: the whole table
};

struct GrownList {
    Grown *items;
    int count;
};

static GrownList load_grown(int32 pipeline) {
    Parameters parameters{};
    add_int(&parameters, pipeline);
    GrownList list{};
    list.count = catalog_execute("SELECT DISTINCT target, \"column\" FROM sluice.change WHERE pipeline_id = $1::int",
                                 &parameters);
    list.items = static_cast<Grown *>(palloc(sizeof(Grown) * (list.count + 1)));
    for (int i = 0; i < list.count; i++)
        list.items[i] = Grown{result_text(i, 1), result_text(i, 2)};
    free_result();
    return list;
}

static bool has_grown(const GrownList *list, const char *table, const char *column) {
    for (int i = 0; i < list->count; i++) {
        const Grown *grown = &list->items[i];
        if (strcmp(grown->table, table) == 0 &&
            (column ? grown->column && strcmp(grown->column, column) == 0 : !grown->column))
            return true;
    }
    return false;
}

static MappedTable *find_table(const Mapping *mapping, const char *name) {
    for (int i = 0; i < mapping->table_count; i++)
        if (strcmp(mapping->tables[i].name, name) == 0)
            return &mapping->tables[i];
    return NULL;
}

// keep_columns adds the grown columns of a table to what is written of it; it tells whether there were any.
static bool keep_columns(MappedTable *written, const MappedTable *present, const GrownList *grown) {
    bool any = false;
    MappedColumn *columns =
        static_cast<MappedColumn *>(palloc0(sizeof(MappedColumn) * (written->column_count + present->column_count)));
    memcpy(columns, written->columns, sizeof(MappedColumn) * written->column_count);
    written->columns = columns;
    for (int i = 0; i < present->column_count; i++) {
        const MappedColumn *column = &present->columns[i];
        if (!has_grown(grown, present->name, column->name))
            continue;
        MappedColumn *found = const_cast<MappedColumn *>(mapped_column(written, column->name));
        if (!found) {
            columns[written->column_count++] = *column;
            any = true;
        } else if (column->type && (!found->type || strcmp(found->type, column->type) != 0)) {
            found->type = column->type;
            any = true;
        }
    }
    return any;
}

static bool keep_tables(Mapping *written, const Mapping *present, const GrownList *grown) {
    bool any = false;
    MappedTable *tables =
        static_cast<MappedTable *>(palloc0(sizeof(MappedTable) * (written->table_count + present->table_count)));
    memcpy(tables, written->tables, sizeof(MappedTable) * written->table_count);
    written->tables = tables;
    for (int i = 0; i < present->table_count; i++) {
        const MappedTable *table = &present->tables[i];
        MappedTable *found = find_table(written, table->name);
        if (found) {
            any = keep_columns(found, table, grown) || any;
        } else if (has_grown(grown, table->name, NULL) && (!table->parent || find_table(written, table->parent))) {
            tables[written->table_count++] = *table;
            any = true;
        }
    }
    return any;
}

static const char *mapping_words(const Mapping *mapping) {
    StringInfoData text;
    initStringInfo(&text);
    append_mapping(&text, mapping);
    return text.data;
}

const char *with_growth(const Pipeline *pipeline, const char *written) {
    Mapping *wanted = read_mapping(written, strlen(written));
    const Mapping *present = read_mapping(pipeline->mapping, strlen(pipeline->mapping));
    const GrownList grown = load_grown(pipeline->id);
    const bool kept = keep_tables(wanted, present, &grown);
    const char *text = mapping_words(wanted);
    if (strcmp(text, mapping_words(present)) == 0)
        return NULL;
    return kept ? text : written;
}

} // namespace sluice
