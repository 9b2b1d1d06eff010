// Decides how the host conveniences sort: in place, in any total order, without <algorithm>, which would cost
// every user more to compile than most of this library.
#pragma once

#include <moeroute/core/types.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

// Heap sort: x[0] is before x[1] is before ... `before` is a strict total order, so the result is unique.
template <class T, class Before>
constexpr void sort(T* x, offset_t n, Before const& before) {
  auto const sink = [&](offset_t i, offset_t size) {
    for (offset_t child; (child = 2 * i + 1) < size; i = child) {
      if (child + 1 < size && before(x[child], x[child + 1])) ++child;
      if (!before(x[i], x[child])) return;
      T const moved = x[i];
      x[i] = x[child];
      x[child] = moved;
    }
  };
  for (offset_t i = n / 2; i-- > 0;) sink(i, n);
  for (offset_t size = n; --size > 0;) {
    T const last = x[size];
    x[size] = x[0];
    x[0] = last;
    sink(0, size);
  }
}

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
