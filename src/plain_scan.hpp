// Plain scans: a statement that only reads columns of one table gives its rows as they lie there.
//
// The executor plans such a statement, checks rights and policies, and keeps the scan; but the function that gets its next row is
// another one, which makes no new rows out of those of the table.
#pragma once

#include "postgres.hpp"

namespace sluice {

// Where a column of a statement is found.
struct ScanColumn {
    AttrNumber from; // in the rows of the scan; 0: it is always the same
    Datum value;
    bool is_null;
    uint8 widened; // bytes of an integer that is read as a bigint; 0: the column is as it is wanted
    bool by_value;
    int16 length;
};

struct ScanColumns {
    ScanColumn *columns;
    int count;
    AttrNumber last; // that is needed of a row
};

// take_scan lets the statement of a portal that was just opened give rows of the table itself, if it can. It tells where the columns
// of the statement are found; they stay as long as the portal.
ScanColumns take_scan(Portal portal);

} // namespace sluice
