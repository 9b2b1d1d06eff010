#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstdlib>
#include <new>

#include "support/allocations.hpp"

std::atomic<long> allocations::count{0};

// Not inlined: g++ would see new without its delete and warn of a mismatch.
[[gnu::noinline]] void* operator new(std::size_t n) {
  ++allocations::count;
  if (void* const p = std::malloc(n == 0 ? 1 : n)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t n, std::nothrow_t const&) noexcept {  // or a sanitizer's own
  ++allocations::count;
  return std::malloc(n == 0 ? 1 : n);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
