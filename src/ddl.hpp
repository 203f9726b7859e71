// DDL: the statements that create what a mapping writes to.
#pragma once

#include "postgres.hpp"

#include "mapping.hpp"

namespace sluice {

// append_mapping_ddl writes the statements for all tables, parents before their children.
void append_mapping_ddl(StringInfo to, const Mapping *mapping);

// append_table_ddl writes CREATE TABLE, and an index for each column that refers to the parent.
void append_table_ddl(StringInfo to, const Mapping *mapping, int table);

// append_column_ddl writes ALTER TABLE ... ADD COLUMN.
void append_column_ddl(StringInfo to, const Mapping *mapping, int table, int column);

} // namespace sluice
