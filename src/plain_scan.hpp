// Plain scans: a statement that only reads columns of one table gives its rows as they lie there.
//
// The executor plans such a statement, checks rights and policies, and keeps the scan; but the function that gets its
// next row is another one, which makes no new rows out of those of the table.
#pragma once

#include "postgres.hpp"

namespace sluice {

// How a column of a statement is made: it is always null, or one of the row's, as it is or widened to a bigint.
enum class ScanKind : uint8_t { Null, ByValue, ByReference, Int2, Int4 };

struct ScanColumn {
    ScanKind kind;
    AttrNumber from; // the column of the row
    int16 length;    // by reference
};

struct ScanColumns {
    ScanColumn *columns;
    int count;
    AttrNumber last; // that is needed of a row
};

// take_scan lets the statement of a portal that was just opened give rows of the table itself, if it can. It tells where
// the columns of the statement are found; that stays as long as the portal.
ScanColumns take_scan(Portal portal);

} // namespace sluice
