// Signed amounts: what a refund takes back counts with the opposite sign.
#pragma once

#include "postgres.hpp"

namespace sluice {

// has_sign tells whether amounts of a (base) type can be given the opposite sign.
bool has_sign(Oid type);

// opposite gives an amount the opposite sign, as the server's unary minus does; it raises 22003 where there is none.
Datum opposite(Oid type, Datum amount);

} // namespace sluice
