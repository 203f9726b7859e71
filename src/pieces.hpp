// Pieces: memory that is given out piece after piece and goes all at once. Many small pieces that are visited in no order lie
// closer together than the server's allocator would put them, and, when there is much of it, on large pages of the processor.
#pragma once

#include "postgres.hpp"

namespace sluice {

struct Pieces {
    MemoryContext memory;
    char *next, *end; // of the block in use
    Size block;       // size of the next one
    Size spare;       // what blocks have around them to lie where they shall
};

Pieces make_pieces(MemoryContext memory);
void *take_piece(Pieces *pieces, Size size); // not zeroed

// spare_memory is what was allocated and is not given out.
inline Size spare_memory(const Pieces *pieces) { return pieces->end - pieces->next + pieces->spare; }

// large_pages is memory by itself, which the system is asked to keep on large pages where it has their size; `chunk` is what to
// pfree.
void *large_pages(MemoryContext memory, Size size, void **chunk);

} // namespace sluice
