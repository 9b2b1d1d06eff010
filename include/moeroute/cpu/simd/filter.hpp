// Decides the k best of a row of keys without looking at most of them twice: the k-th best of the lane maxima
// is a lower bound of the k-th best key; the few keys that reach it are compressed and ranked.
#pragma once

#include <moeroute/core/best.hpp>
#include <moeroute/cpu/simd/rank.hpp>
#include <moeroute/cpu/simd/reaching.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

inline constexpr int most_chosen = 64;  // k of the filter; up to 16 are ranked side by side

// The keys that reach the bound, in id order, then -inf of id 0; `count` beyond 16 means the row has too many.
struct survivors {
  floats key;
  ints id;
  int count;
};

// The best of a few rows, as `find_best` lists them: those of row q are id[stride q + order[16 q]] ..., the logits there
// logit[stride q + order[16 q]] ...; top[q] is the row's largest logit.
// `order` and `top` have room for 16 rows.
struct winners {
  std::int32_t *id, *order;
  float *logit, *top;
  int stride;
  winners of_row(int q) const { return {id + stride * q, order + 16 * q, logit + stride * q, top + q, stride}; }
};

namespace detail {

#if defined(__AVX512VBMI2__) && defined(__AVX512DQ__)
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE survivors collect(float const* key, int size, floats bound) {
  ints id;
  int const n = places_reaching(key, size, bound, id);
  floats x(lowest);
  for (int b = 0; b < size; b += 64) {
    floats const a = lookup(load<floats>(key + b), load<floats>(key + b + 16), id);
    floats const c = lookup(load<floats>(key + b + 32), load<floats>(key + b + 48), id);
    x = select((id >> 6) == ints(b >> 6), select((id & ints(32)) == ints(0), a, c), x);
  }
  ints const inside = lane_id() < ints(n);
  return {select(inside, x, floats(lowest)), select(inside, id, ints(0)), n};
}
#else
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE survivors collect(float const* key, int size, floats bound) {
  float x[16];
  std::int32_t id[16];
  store(x, floats(lowest));
  store(id, ints(0));
  int n = 0;
  for (int b = 0; b < size; b += 64)
    for (std::uint64_t word = reaching(key + b, bound); word != 0; word &= word - 1, ++n)
      if (n < 16) id[n] = b + std::countr_zero(word), x[n] = key[id[n]];
  return {load<floats>(x), load<ints>(id), n};
}
#endif

}  // namespace detail

// A number that at least k <= 64 keys reach: the k-th best maximum of as many lanes as leave few keys above it.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE floats bound_of(float const* key, int size, int k) {
  alignas(64) float maxima[64];
  int const lanes = k > 16 ? 64 : k > 8 || size >= 512 ? 32 : 16, step = lanes < 32 ? 32 : lanes;
  for (int first = 0; first < step; first += 32) {
    floats a(lowest), b(lowest);
    for (int i = first; i < size; i += step) {
      a = max(load<floats>(key + i), a);
      b = max(load<floats>(key + i + 16), b);
    }
    store(maxima + first, lanes < 32 ? max(a, b) : a);
    store(maxima + first + 16, b);
  }
  return kth_largest(maxima, lanes, k);
}

// The keys at listed places.
struct listed_row {
  using value_type = float;
  float const* key;
  std::int32_t const* place;
  index_t count;
  index_t size() const { return count; }
  float at(index_t i) const { return key[place[i]]; }
  template <class G, class F>
  void each(G const&, F&& f) const {
    for (index_t i = 0; i < count; ++i) f(i, at(i));
  }
};

// The k best by insertion, of the keys above the bound and the first k that equal it: for k > 16, and for rows full
// of ties. At least k keys reach the bound, which is above -inf; `list` has room for all.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void insert_reaching(float const* key, int size, float bound, int k, std::int32_t* id,
                                              std::int32_t* list) {
  int n = 0, equal = 0;
  for (int b = 0; b < size; b += 64)
    for (std::uint64_t word = detail::reaching(key + b, floats(bound)); word != 0; word &= word - 1) {
      int const i = b + std::countr_zero(word);
      if (key[i] != bound || equal++ < k) list[n++] = i;
    }
  take_best(serial_group{}, listed_row{key, list, n}, row_view<std::int32_t>{id, k});
  for (int j = 0; j < k; ++j) id[j] = list[id[j]];
}

inline constexpr int most_rows = 4;  // at once

// The places of the k <= 64 best of a few rows of `size` keys (a multiple of 64, NaN where there is no expert): those of
// row q are id[64 q + order[16 q]], the best, id[64 q + order[16 q + 1]] ... up to 16, or id[64 q] ... in order. All lanes
// of the vectors that hold them are places. Bit q of the result is set where row q has fewer than k keys above -inf,
// and was not served. `list` is scratch for `size` places. Each step is taken for all rows before the next: their
// waits overlap.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline unsigned find_best(float const* const* row, int rows, int size, int k, std::int32_t* id,
                                            std::int32_t* order, std::int32_t* list) {
  alignas(64) float bound[16 * most_rows], key[16 * most_rows];
  int count[most_rows] = {};
  for (int q = 0; q < rows; ++q) store(bound + 16 * q, bound_of(row[q], size, k));
  for (int q = 0; q < rows && k <= 16; ++q) {
    survivors const s = detail::collect(row[q], size, load<floats>(bound + 16 * q));
    count[q] = s.count;
    store(key + 16 * q, s.key);
    store(id + 64 * q, s.id);
  }
  if (rows > 0 && k <= 16) order_rows(key, rows, order);
  unsigned unserved = 0;
  for (int q = 0; q < rows; ++q) {
    bool const few = bound[16 * q] == lowest;
    unserved |= static_cast<unsigned>(few) << q;
    if (k <= 16 && count[q] <= 16) continue;
    for (int j = 0; j < k; j += 16) store(id + 64 * q + j, ints(0));
    if (!few) insert_reaching(row[q], size, bound[16 * q], k, id + 64 * q, list);
    store(order + 16 * q, lane_id());
  }
  return unserved;
}

// The same with id[64 q] ... in order, and the largest key of each row in `top`.
MOEROUTE_ON_DEMAND
inline unsigned best_of_rows(float const* const* row, int rows, int size, int k, std::int32_t* id, float* top,
                             std::int32_t* list) {
  alignas(64) std::int32_t order[16 * most_rows];
  unsigned const unserved = find_best(row, rows, size, k, id, order, list);
  for (int q = 0; q < rows; ++q) {
    store(id + 64 * q, permute(load<ints>(id + 64 * q), load<ints>(order + 16 * q)));
    top[q] = row[q][id[64 * q]];
  }
  return unserved;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
