// Numbers of seven bits a byte, the last byte below 0x80: small ones are short.
#pragma once

#include "postgres.hpp"

namespace sluice {

constexpr int most_packed = 10; // bytes of a number

// pack_number writes a number and returns where it ends.
inline char *pack_number(char *to, uint64 number) {
    for (; number >= 0x80; number >>= 7)
        *to++ = static_cast<char>(number | 0x80);
    *to++ = static_cast<char>(number);
    return to;
}

// unpack_number reads a number and returns where it ends; NULL: it is damaged.
inline const char *unpack_number(const char *at, const char *end, uint64 *number) {
    *number = 0;
    for (int shift = 0; shift < 64 && at < end; shift += 7) {
        const uint8 byte = static_cast<uint8>(*at++);
        *number |= static_cast<uint64>(byte & 0x7f) << shift;
        if (byte < 0x80)
            return at;
    }
    return NULL;
}

} // namespace sluice
