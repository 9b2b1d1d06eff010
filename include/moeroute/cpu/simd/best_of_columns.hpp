// Decides which k keys are the best of each lane when experts are few: insertion, one expert after the other, of the key,
// its id and a number that goes with it.
#pragma once

#include <moeroute/cpu/simd/columns.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// Where m: a and b change places.
template <class M, class V>
MOEROUTE_SIMD_INLINE void exchange_where(M m, V& a, V& b) {
  V const before = a;
  a = select(m, b, a);
  b = select(m, before, b);
}

// The k best keys of every lane, best first, of equal ones the lower id, with id and value. No key is NaN. Ids of lanes
// with fewer than k keys above -inf mean nothing. Fixed: k is known to the compiler, and they stay in registers.
//
// From the last expert to the first: what is inserted has a lower id than all before, so it goes before its equals, as
// does whatever it pushes on.
template <int Fixed, bool Carries>
[[gnu::noinline]] void insert_columns(float const* key, float const* value, index_t experts, index_t k, float* best,
                                      float* carried, std::int32_t* id) {
  constexpr int N = tokens_at_once;
  constexpr std::size_t most = Fixed != 0 ? Fixed : few_experts;
  int const places = Fixed != 0 ? Fixed : k;
  lane_floats own_key[most], own_value[most];
  lane_ints own_id[most];
  for (int j = 0; j < places; ++j) own_key[j] = own_value[j] = lane_floats(lowest), own_id[j] = lane_ints(0);
  for (index_t e = experts - 1; e >= 0; --e) {
    lane_floats next = load<lane_floats>(key + N * e), next_value = next;
    lane_ints next_id(e);
    if constexpr (Carries) next_value = load<lane_floats>(value + N * e);
#pragma GCC unroll 4
    for (int j = 0; j < places; ++j) {
      lane_ints const in = own_key[j] <= next;
      lane_floats const before = own_key[j];
#if defined(__aarch64__)
      own_key[j] = select(in, next, before);
      next = select(in, before, next);
#else
      own_key[j] = max(before, next);
      next = min(next, before);
#endif
      exchange_where(in, own_id[j], next_id);
      if constexpr (Carries) exchange_where(in, own_value[j], next_value);
    }
  }
  for (int j = 0; j < places; ++j) {
    store(best + N * j, own_key[j]);
    store(id + N * j, own_id[j]);
    if constexpr (Carries) store(carried + N * j, own_value[j]);
  }
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
