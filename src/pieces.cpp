// See pieces.hpp.
#include "pieces.hpp"

#include <sys/mman.h>

namespace sluice {

constexpr Size page = 2 * 1024 * 1024;
constexpr Size first_block = 8 * 1024, largest_block = 4 * page;

Pieces make_pieces(MemoryContext memory) { return Pieces{memory, NULL, NULL, first_block, 0}; }

// ask_for_large_pages: a system that has none, or is to give none, says no, and nothing is lost.
static void ask_for_large_pages(char *start, Size size) {
#ifdef MADV_HUGEPAGE
    (void)madvise(start, size, MADV_HUGEPAGE);
#endif
}

void *large_pages(MemoryContext memory, Size size, void **chunk) {
    if (size < page)
        return *chunk = MemoryContextAlloc(memory, size);
    *chunk = MemoryContextAllocHuge(memory, size + page);
    char *start = reinterpret_cast<char *>(TYPEALIGN(page, reinterpret_cast<uintptr_t>(*chunk)));
    ask_for_large_pages(start, size);
    return start;
}

void *take_piece(Pieces *pieces, Size size) {
    size = MAXALIGN(size);
    if (static_cast<Size>(pieces->end - pieces->next) < size) {
        const Size block = Max(pieces->block, size);
        void *chunk; // goes with the context
        pieces->next = static_cast<char *>(large_pages(pieces->memory, block, &chunk));
        pieces->end = pieces->next + block;
        pieces->spare += block < page ? 0 : page;
        pieces->block = Min(pieces->block * 2, largest_block);
    }
    char *piece = pieces->next;
    pieces->next += size;
    return piece;
}

} // namespace sluice
