// See bridge.hpp.
#include "postgres.hpp"

#include "bridge.hpp"

#include <stdexcept>

namespace sluice {

int test_fault = static_cast<int>(TestFault::None);

void DescribeFault(Fault *fault, const char *message) noexcept {
    fault->out_of_memory = false;
    strlcpy(fault->message, message, sizeof(fault->message));
}

void raise_fault(const Fault *fault, const char *doing) {
    if (fault->out_of_memory)
        ereport(ERROR,
                (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"), errdetail("It ran out while %s.", doing)));
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("unexpected failure while %s: %s", doing, fault->message)));
    pg_unreachable();
}

void ThrowTestFault() {
    switch (static_cast<TestFault>(test_fault)) {
    case TestFault::None:
        return;
    case TestFault::BadAlloc:
        throw std::bad_alloc();
    case TestFault::Exception:
        throw std::runtime_error("a fault injected by sluice.test_fault");
    case TestFault::Unknown:
        throw 42;
    }
}

void Arena::Open(void *memory_context, size_t first_block) {
    context_ = memory_context;
    first_ = last_ = nullptr;
    free_ = end_ = nullptr;
    Grow(first_block);
    first_ = last_;
}

void *Arena::Allocate(size_t size) {
    size = (size + 7) & ~static_cast<size_t>(7);
    if (static_cast<size_t>(end_ - free_) < size)
        Grow(size);
    void *result = free_;
    free_ += size;
    return result;
}

// Grow adds a block that holds at least `size`. MCXT_ALLOC_NO_OOM with MCXT_ALLOC_HUGE cannot raise an error.
void Arena::Grow(size_t size) {
    size_t wanted = last_ ? last_->size * 2 : size;
    if (wanted > 1024 * 1024)
        wanted = 1024 * 1024;
    if (wanted < size)
        wanted = size;
    if (wanted > MaxAllocHugeSize - sizeof(Block))
        throw std::bad_alloc();
    auto *block = static_cast<Block *>(MemoryContextAllocExtended(
        static_cast<MemoryContext>(context_), sizeof(Block) + wanted, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM));
    if (!block)
        throw std::bad_alloc();
    block->next = nullptr;
    block->size = wanted;
    if (last_)
        last_->next = block;
    Use(block);
}

void Arena::Use(Block *block) noexcept {
    last_ = block;
    free_ = reinterpret_cast<char *>(block + 1);
    end_ = free_ + block->size;
}

void Arena::Reset() noexcept {
    for (Block *block = first_->next; block;) {
        Block *next = block->next;
        pfree(block);
        block = next;
    }
    first_->next = nullptr;
    Use(first_);
}

} // namespace sluice
