// The bridge between the two regimes of this extension.
//
//   lower_case functions live with PostgreSQL: they may raise errors (a longjmp that skips destructors), so every local
//   alive in them is trivially destructible: pointers, numbers, plain structs.
//   CamelCase functions are C++: they may throw, own std:: objects, and never call the server.
//
// C++ is entered in one way only: Guarded(&fault, []{ ... }). It catches whatever was thrown and leaves a plain Fault;
// the caller, whose C++ objects are all gone by then, calls raise_fault(). Memory that C++ hands over comes from an Arena:
// plain memory below a PostgreSQL memory context, asked for in the one way that cannot raise (it yields null, and the
// Arena throws bad_alloc, which the bridge turns into the usual "out of memory").
//
// This header includes neither the server's headers nor heavy ones of C++, so that both regimes can.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>

namespace sluice {

struct Fault {
    bool out_of_memory;
    char message[512];
};

void DescribeFault(Fault *fault, const char *message) noexcept;

// Guarded runs a piece of C++ and reports whether it came through; nothing thrown ever leaves it.
template <class Work> bool Guarded(Fault *fault, Work &&work) noexcept {
    try {
        work();
        return true;
    } catch (const std::bad_alloc &) {
        fault->out_of_memory = true;
        fault->message[0] = '\0';
    } catch (const std::exception &thrown) {
        DescribeFault(fault, thrown.what());
    } catch (...) {
        DescribeFault(fault, "an exception of an unknown kind");
    }
    return false;
}

// raise_fault raises what Guarded caught as a PostgreSQL error.
[[noreturn]] void raise_fault(const Fault *fault, const char *doing);

// An Arena hands out memory that is given back all at once. Its blocks hang on a memory context (an opaque pointer here).
class Arena {
public:
    void Open(void *memory_context, size_t first_block = 16 * 1024);
    void *Allocate(size_t size); // throws std::bad_alloc
    void Reset() noexcept;       // keeps the first block for the next document

    template <class T> T *Make(size_t count = 1) { return static_cast<T *>(Allocate(sizeof(T) * count)); }

private:
    struct Block {
        Block *next;
        size_t size;
    };
    void Grow(size_t size);
    void Use(Block *block) noexcept;

    void *context_;
    Block *first_;
    Block *last_;
    char *free_;
    char *end_;
};

// TestFault is what the setting sluice.test_fault asks the next parse to throw: a way for the tests to send real
// exceptions through the bridge.
enum class TestFault : int { None, BadAlloc, Exception, Unknown };
extern int test_fault;
void ThrowTestFault();

} // namespace sluice
