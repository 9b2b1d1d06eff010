// Decides how the k best of logit + Gumbel noise are found on the CPU without the noise of most experts: the random words of
// all experts are drawn and bound their keys from above, and only the few keys whose bounds are high enough are computed.
//
// The first threshold is a guess. Keys whose bounds miss it are below it; so if the k best of the others reach it, they
// are the k best of all. The others of 16 rows at once are ranked by rough keys as integers. Keys that lie so close that the
// exact ones may differ in order, and rows whose k-th best may miss the threshold, leave a doubt: such a row is ranked by
// exact keys, from a threshold that cannot fail if need be.
#pragma once

#include <moeroute/cpu/simd/filter.hpp>
#include <moeroute/cpu/simd/gumbel.hpp>
#include <moeroute/cpu/simd/sort_columns.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// A row on its way: its logits, the bounds of its keys and its random words (their complements).
struct drawn_row {
  float const* logit;
  float* bound;
  std::uint32_t* word;
};

// The row's keys one by one: for rows full of ties and for many places. True if there are fewer open experts than places.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline bool draw_row(float temperature, drawn_row const& row, index_t size, index_t k,
                                       winners const& w) {
  for (index_t i = 0; i < size; i += 16)
    store(row.bound + i,
          load<floats>(row.logit + i) / floats(temperature) + gumbel_of(~load<vec<std::uint32_t, 16>>(row.word + i)));
  float const* const key[1] = {row.bound};
  bool const few = find_best(key, 1, size, k, w.id, w.order, reinterpret_cast<std::int32_t*>(row.word)) != 0;
  for (index_t j = 0; j < k; j += 16) store(w.logit + j, gather(row.logit, load<ints>(w.id + j)));
  return few;
}

// Exact keys of the candidates: false if the row has more than 16 of them or too few open ones.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline bool draw_exactly(float temperature, drawn_row const& row, index_t size, index_t k,
                                           float threshold, winners const& w) {
  for (;;) {
    ints place;
    int const count = detail::places_reaching(row.bound, size, floats(bound_of_key(threshold, temperature)), place);
    if (count > 16) return false;
    ints const inside = lane_id() < ints(count), at = place & inside;
    floats const z = gather(row.logit, at), key = z / floats(temperature) + gumbel_of(~gather(row.word, at));
    floats const open = select(inside, key, floats(lowest));
    ints const lane = lanes_of(ranks(order_keys(open), 16));
    store(w.id, at);
    store(w.order, lane);
    store(w.logit, z);
    float best[16];
    store(best, permute(open, lane));
    float const kth = best[k - 1];
    if (!(kth > lowest)) return false;
    if (kth >= threshold) return true;
    threshold = kth;
  }
}

// The bounds of a row's keys from `first` to before `last`; over the row's vectors so far the largest bounds and logits.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE void bound_keys(drawn_row row, index_t first, index_t last, float temperature, float* most_bound,
                                     float* most_logit) {
  floats bound = load<floats>(most_bound), logit = load<floats>(most_logit);
  for (index_t i = first; i < last; i += 16) {
    floats const z = load<floats>(row.logit + i);
    floats const y = gumbel_bound(z, load<vec<std::uint32_t, 16>>(row.word + i), temperature);
    store(row.bound + i, y);
    bound = max(y, bound);
    logit = max(z, logit);
  }
  store(most_bound, bound);
  store(most_logit, logit);
}

// Rough keys as integers: multiples of 2^-17, which tell two keys apart from 8 on. Float keys below 256 are rounded by
// less than 2^-17, each the exact and the rough one, and a multiple of 2^-17 lies less than one below its number. The last
// four bits are for a lane.
inline constexpr float rough_range = 255, rough_unit = 0x1p17f;
inline constexpr std::int32_t rough_doubt = 8 << 4;
static_assert(2 * (rough_gumbel_error + 2 * 0x1p-17f) < 7 / rough_unit);
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE ints rough_key(floats key) {
  floats const inside = max(min(key, floats(rough_range)), floats(-rough_range));
  return convert<std::int32_t>(math::mul(inside, floats(rough_unit))) << 4;
}

// The k <= 8 best of up to 16 rows by their rough keys. Bit q of the result is set where that leaves a doubt in row q; its
// threshold is then still a good guess.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline unsigned draw_roughly(float temperature, index_t size, index_t k, drawn_row const* row,
                                               int rows, float* threshold, winners const& w) {
  alignas(64) float key[16 * 16], bound[16];
  alignas(64) std::uint32_t word[16 * 16];
  int count[16];
  unsigned doubtful = 0;
  store(bound, bound_of_key(load<floats>(threshold), floats(temperature)));
  for (int q = 0; q < rows; ++q) {
    ints place;
    count[q] = detail::places_reaching(row[q].bound, size, floats(bound[q]), place);
    if (count[q] > 16) {  // keys fall off like exp(-x): 13 are aimed at
      threshold[q] += .05f * static_cast<float>(count[q] - 13);
      count[q] = detail::places_reaching(row[q].bound, size, floats(bound_of_key(threshold[q], temperature)), place);
      doubtful |= unsigned{count[q] > 16} << q;
    }
    store(w.of_row(q).id, place);
    store(w.of_row(q).logit, closed_if_nan(gather(row[q].logit, place)));
    store(word + 16 * q, gather(row[q].word, place));
  }
  for (int q = 0; q < rows; ++q) {
    floats const z = load<floats>(w.of_row(q).logit), noise = rough_gumbel(load<vec<std::uint32_t, 16>>(word + 16 * q));
    store(key + 16 * q,
          select(lane_id() < ints(count[q]), (temperature == 1 ? z : z / floats(temperature)) + noise, floats(lowest)));
  }
  repeat_last(key, 16, rows);
  ints const margin(rough_doubt), reached = rough_key(max(load<floats>(threshold), floats(1 - rough_range))) + margin;
  doubtful |= order_by_keys(
      key, k, w.order, [](floats x) MOEROUTE_SIMD_LAMBDA { return rough_key(x); },
      [&](ints x, ints below) MOEROUTE_SIMD_LAMBDA { return x <= max(below + margin, reached); });
  return doubtful & ((1u << rows) - 1);
}

// The k best of up to 16 rows. Rows have `size` logits (a multiple of 64), NaN behind the experts. `space`: 2 rows size
// floats. Bit q of the result is set where row q has fewer open experts than places.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline unsigned draw_rows(draws const& random, float temperature, offset_t const* token,
                                            float const* const* logit, int rows, index_t size, index_t k,
                                            winners const& w, float* space) {
  philox_words const from(random);
  drawn_row row[16];
  std::uint32_t* word[16];
  alignas(64) float bound[16 * 16], most[16 * 16], threshold[16] = {};
  for (int q = 0; q < 16 * 16; q += 16) store(bound + q, floats(lowest)), store(most + q, floats(lowest));
  for (int q = 0; q < rows; ++q) {
    word[q] = reinterpret_cast<std::uint32_t*>(space + (2 * q + 1) * size);
    row[q] = {logit[q], space + 2 * q * size, word[q]};
  }
  for (index_t first = 0, last = 0; first < size; first = last) {  // words and bounds meet in the first cache
    last = size - first < 128 ? size : first + 128;
    for (int q = 0, n = 1; q < rows; q += n) {
      for (n = 1; q + n < rows && (token[q + n] ^ token[q]) >> 32 == 0;) ++n;
      draw_words(from, token + q, n, first, last, true, word + q);
    }
    for (int q = 0; q < rows; ++q) {
      bound_keys(row[q], first, last, temperature, bound + 16 * q, most + 16 * q);
      word[q] += last - first;
    }
  }
  // About 11 of 64 to 256 bounds reach the 8th best of the lanes' maxima, less what a bound exceeds its key by.
  bool const many = rows >= 3;  // enough for what is done for 16 rows at once
  if (many) kth_of_rows(bound, 16, 8, threshold, w.top);
  else
    for (int q = 0; q < rows; ++q) threshold[q] = first_lane(kth_largest(bound + 16 * q, 16, 8));
  store(w.top, largest_of_rows(most));
  store(threshold, load<floats>(threshold) / floats(temperature) + floats(bound_constant - .12f));
  unsigned doubtful = (1u << rows) - 1, unserved = 0;
  bool const few = k <= 8 && 0x1p-80f < temperature && temperature < 0x1p80f;
  if (many && few) doubtful = draw_roughly(temperature, size, k, row, rows, threshold, w);
  for (; doubtful != 0; doubtful &= doubtful - 1) {
    int const q = std::countr_zero(doubtful);
    if (!few || !draw_exactly(temperature, row[q], size, k, threshold[q], w.of_row(q)))
      unserved |= unsigned{draw_row(temperature, row[q], size, k, w.of_row(q))} << q;
  }
  return unserved;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
