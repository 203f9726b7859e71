// Signed amounts: what a refund takes back counts with the opposite sign. And their sums.
#pragma once

#include "postgres.hpp"

namespace sluice {

// has_sign tells whether amounts of a (base) type can be given the opposite sign.
bool has_sign(Oid type);

// opposite gives an amount the opposite sign, as the server's unary minus does; it raises 22003 where there is none.
Datum opposite(Oid type, Datum amount);

// sum_of adds two amounts as the server's plus does, money with a check.
Datum sum_of(Oid type, Datum one, Datum other);

} // namespace sluice
