// Decides how hundreds of a long row of keys are taken on the CPU: the maxima of groups give a proven bound, one pass
// marks the keys that reach it, and cut, ties and order are settled among these few. Same result as the plain way.
//
// Of 2 k or more group maxima the k-th best is a lower bound of the k-th best key; about 1.4 k keys reach it.
#pragma once

#include <moeroute/cpu/simd/filter.hpp>
#include <moeroute/select/take_many.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

namespace detail {

inline constexpr index_t most_reaching = 4096;  // keys that reach the bound; more go the plain way
inline constexpr index_t most_ranked = 256;     // winners put in order by counting who beats them

// A row in blocks of 64 keys, NaN behind its end.
struct blocks_of_row {
  float const* data;
  index_t whole;  // keys in full blocks
  index_t size;   // with the padding
  alignas(64) float tail[64];

  blocks_of_row(float const* p, index_t count) : data(p), whole(count / 64 * 64), size((count + 63) / 64 * 64) {
    for (index_t i = whole; i < size; ++i) tail[i - whole] = i < count ? p[i] : not_a_number<float>;
  }
  float const* at(index_t i) const { return i < whole ? data + i : tail + (i - whole); }  // 16 keys, i = 0, 16, ...
};

MOEROUTE_ON_DEMAND
inline index_t count_reaching(float const* key, index_t size, float bound) {
  index_t n = 0;
  for (index_t i = 0; i < size; i += 64) n += std::popcount(reaching(key + i, floats(bound)));
  return n;
}
// visit(i, position) of the i-th bit, in fours: visits behind the last bit are to be written over. Returns the bits.
template <class F>
MOEROUTE_SIMD_INLINE index_t each_bit(std::uint64_t word, F const& visit) {
  index_t const n = std::popcount(word);
  for (index_t i = 0; i == 0 || i < n; i += 4)
    for (index_t q = 0; q < 4; ++q, word &= word - 1) visit(i + q, std::countr_zero(word));
  return n;
}
inline void pad_to_block(float* key, index_t count) {
  for (index_t i = count; i % 64 != 0; ++i) key[i] = lowest;
}

// A number above -inf that at least k keys of the row reach, or all open ones do.
MOEROUTE_ON_DEMAND
inline float bound_of(blocks_of_row const& row, index_t k) {
  constexpr float all_open = -std::numeric_limits<float>::max();
  index_t const vectors = row.size / 16, wanted = (2 * k + 15) / 16, each = vectors / wanted;
  if (each < 2) return all_open;
  alignas(64) float maxima[2 * most_reaching];
  index_t groups = 0;
  floats least_top(infinity<float>), most_top(lowest);
  for (index_t first = 0; first < vectors; first += each, ++groups) {
    index_t const last = first + each < vectors ? first + each : vectors;
    floats top(lowest);
    for (index_t v = first; v < last; ++v) top = max(load<floats>(row.at(16 * v)), top);
    store(maxima + 16 * groups, top);
    least_top = min(top, least_top);
    most_top = max(top, most_top);
  }
  pad_to_block(maxima, 16 * groups);
  alignas(64) float ends[32];
  store(ends, -segment_max<16>(-least_top));
  store(ends + 16, segment_max<16>(most_top));
  auto low = order_key(ends[0]), high = order_key(ends[16]);
  while (low < high) {
    auto const span = static_cast<std::uint32_t>(high) - static_cast<std::uint32_t>(low);
    auto const cut = static_cast<std::int32_t>(static_cast<std::uint32_t>(low) + span / 2 + span % 2);
    index_t const n = count_reaching(maxima, 16 * groups, math::max(from_order_key<float>(cut), all_open));
    if (n >= k) low = cut;
    else high = cut - 1;
    if (n >= k && n <= k + k / 8 + 8) break;
  }
  return math::max(from_order_key<float>(low), all_open);
}

// out = ids in the order (key descending, then as they come).
MOEROUTE_ON_DEMAND
inline void rank_ids(float const* key, std::int32_t const* id, index_t n, row_view<offset_t> out) {
  for (index_t i = 0; i < n; i += 16) {
    floats const x = load<floats>(key + i);
    ints rank(0);
    for (index_t j = 0; j < i; ++j) rank = rank - (x <= floats(key[j]));
    for (index_t j = i; j < i + 16 && j < n; ++j) {
      floats const y(key[j]);
      rank = rank - ((x < y) | ((x == y) & (lane_id() > ints(j - i))));
    }
    for (index_t j = i + 16; j < n; ++j) rank = rank - (x < floats(key[j]));
    std::int32_t place[16];
    store(place, rank);
    for (index_t q = 0; q < 16 && i + q < n; ++q) out[place[q]] = id[i + q];
  }
}

}  // namespace detail

// The best of `count` keys, as moeroute::take_many; -1 where too many keys are alike, and the plain way is needed.
inline offset_t take_many(float const* keys, index_t count, row_view<offset_t> out, pick_order order) {
  if (out.size > detail::most_reaching / 2) return -1;
  auto const wanted = static_cast<index_t>(out.size);
  if (wanted == 0) return 0;
  detail::blocks_of_row const row(keys, count);
  float const bound = detail::bound_of(row, wanted);

  alignas(64) float key[detail::most_reaching + 64], chosen_key[detail::most_reaching / 2 + 64];
  std::int32_t id[detail::most_reaching + 64], chosen[detail::most_reaching / 2 + 64];
  index_t found = 0;
  for (index_t b = 0; b < row.size; b += 64) {
    std::uint64_t const word = detail::reaching(row.at(b), floats(bound));
    if (found + std::popcount(word) > detail::most_reaching) return -1;
    found += detail::each_bit(word, [&](index_t i, int bit) { id[found + i] = b + bit; });
  }
  for (index_t i = 0; i < found; ++i) key[i] = keys[id[i]];
  detail::pad_to_block(key, found);

  // The cut among these, and of those at the cut the first ones.
  index_t const n = found < wanted ? found : wanted;
  float cut = bound;
  index_t equal = found;
  if (found > n) {
    floats most(lowest);
    for (index_t i = 0; i < found; i += 16) most = max(load<floats>(key + i), most);
    alignas(64) float top[16];
    store(top, segment_max<16>(most));
    auto const count_from = [&](key_t<float> from) {
      return static_cast<offset_t>(detail::count_reaching(key, found, from_order_key<float>(from)));
    };
    offset_t reached = found;
    cut = from_order_key<float>(
        moeroute::detail::search_cut<float>(order_key(bound), order_key(top[0]), n, reached, count_from));
    if (reached > n) equal = n - static_cast<index_t>(cut == infinity<float> ? 0 : count_from(order_key(cut) + 1));
  }
  index_t next = 0;
  for (index_t b = 0; b < found; b += 64) {
    std::uint64_t word = detail::reaching(key + b, floats(cut));
    if (equal < found) {
      std::uint64_t alike = word & ~detail::reaching(key + b, floats(from_order_key<float>(order_key(cut) + 1)));
      word ^= alike;
      for (; std::popcount(alike) > equal;) alike ^= std::bit_floor(alike);
      equal -= std::popcount(alike);
      word |= alike;
    }
    next += detail::each_bit(word, [&](index_t i, int bit) {
      chosen[next + i] = id[b + bit];
      chosen_key[next + i] = key[b + bit];
    });
  }
  detail::pad_to_block(chosen_key, n);
  if (order == pick_order::best_first && n <= detail::most_ranked) {
    detail::rank_ids(chosen_key, chosen, n, out);
  } else {
    for (index_t i = 0; i < n; ++i) out[i] = chosen[i];
    if (order == pick_order::best_first)
      moeroute::detail::sort_in_place(serial_group{}, out.data, n, [&](offset_t a, offset_t b) {
        return keys[a] > keys[b] || (keys[a] == keys[b] && a < b);
      });
  }
  for (offset_t j = n; j < out.size; ++j) out[j] = -1;
  return n;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
