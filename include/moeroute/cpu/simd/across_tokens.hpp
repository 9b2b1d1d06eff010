// Decides how 16 tokens are routed side by side when there are few experts, a lane to each token: insertion into
// the k best so far, with the same policies.
#pragma once

#include <moeroute/cpu/simd/across_experts.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

inline constexpr index_t few_experts = 16;

// 16 rows of 8 floats, one after the other, to 8 columns of 16: each step moves the lowest bit of a place to the top.
template <int Steps, class V>
MOEROUTE_SIMD_INLINE V unzip(V v) {
  if constexpr (Steps == 0) return v;
  else return unzip<Steps - 1>(join(even<0>(v), even<1>(v)));
}
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void columns_of_8(float const* rows, float* column) {
  store(column, unzip<3>(load<vec<float, 16 * 8>>(rows)));
}

// The logits of tokens first .. first + tokens as columns, after the prior; lanes without a token hold 0.
template <class Body>
MOEROUTE_SIMD_INLINE void read_columns(Body const& b, offset_t first, int tokens, float* column) {
  using T = std::remove_cvref_t<decltype(b.in.logits.data[0])>;
  index_t const experts = static_cast<index_t>(b.in.logits.cols);
  if constexpr (is_none<decltype(b.r.prior)>)
    if (tokens == 16 && experts == 8 && b.in.logits.stride == 8) {
      T const* const from = b.in.logits[first].data;
      if constexpr (std::same_as<T, float>) {
        return columns_of_8(from, column);
      } else {
        alignas(64) float rows[16 * 8];
        half_format const format = format_of<T>();
        for (int i = 0; i < 16 * 8; i += 16) store(rows + i, load_halves(from + i, format));
        return columns_of_8(rows, column);
      }
    }
  alignas(64) float half[2][16 * 8];
  for (int q = 0; q < 16; ++q) {
    float row[few_experts] = {};
    if (q < tokens) {
      for (index_t e = 0; e < experts; ++e) row[e] = moeroute::load(b.in.logits[first + q].data[e]);
      if constexpr (!is_none<decltype(b.r.prior)>)
        b.r.prior(serial_group{}, b.in.context(first + q), memory_row<float>{row, experts});
    }
    for (index_t e = 0; e < 8; ++e) half[0][8 * q + e] = row[e], half[1][8 * q + e] = row[8 + e];
  }
  columns_of_8(half[0], column);
  if (experts > 8) columns_of_8(half[1], column + 16 * 8);
}

// The packed keys of the k best of every lane, best first, inserted one expert after the other. Fixed: k is known to
// the compiler, and they stay in registers.
template <int Fixed, class KeyOf>
MOEROUTE_SIMD_INLINE void insert_columns(index_t experts, index_t k, vec<double, 16>* best, KeyOf key_of) {
  int const places = Fixed != 0 ? Fixed : k;
  for (int j = 0; j < places; ++j) best[j] = vec<double, 16>(-infinity<double>);
  for (index_t e = 0; e < experts; ++e) {
    auto next = pack(closed_if_nan(key_of(e)), ints(e));
#pragma GCC unroll 2
    for (int j = 0; j < places; ++j) {
      auto const before = best[j];
      best[j] = max(before, next);
      next = min(before, next);
    }
  }
}

// Tokens first .. first + tokens, at most 16, all valid, with the same bias.
template <class Body>
[[gnu::noinline]] MOEROUTE_SIMD_FLATTEN void route_across_tokens(Body const& b, offset_t first, int tokens, scratch s) {
  using Router = std::remove_cvref_t<decltype(b.r)>;
  using Id = std::remove_cvref_t<decltype(b.out.ids[0][0])>;
  using W = std::remove_cvref_t<decltype(b.out.weights[0][0])>;
  auto const& r = b.r;
  index_t const k = r.select.experts_per_token(), experts = static_cast<index_t>(b.in.logits.cols);
  alignas(64) float column[16 * few_experts];
  read_columns(b, first, tokens, column);
  lane_row const z{column, experts};
  serial_group const alone;
  auto const m = summary_and_scores(b, alone, z, [&](auto const& all) MOEROUTE_SIMD_LAMBDA {
    alignas(64) float score[16 * few_experts];
    for (index_t e = 0; e < experts; ++e) store(score + 16 * e, score_of(r.score, all, z.at(e)));
    for (int q = 0; q < tokens; ++q)
      for (index_t e = 0; e < experts; ++e) b.out.scores[first + q][e] = static_cast<W>(score[16 * e + q]);
  });

  alignas(64) vec<double, 16> best[few_experts];
  auto const parameters = r.bias.parameters(b.in.context(first));
  auto const key_of = [&](index_t e) MOEROUTE_SIMD_LAMBDA {
    floats const x = z.raw(e);
    if constexpr (ranks_logits<Router>) {
      return x;
    } else {
      floats y = score_of(r.score, m, closed_if_nan(x));
      if constexpr (!is_none<decltype(r.bias)>) y = r.bias(y, floats(static_cast<float>(parameters[e])));
      return select(floats(lowest) < x, y, x);
    }
  };
  if (k == 2) insert_columns<2>(experts, k, best, key_of);
  else insert_columns<0>(experts, k, best, key_of);
  // Where the last is closed, NaN may have to come behind it.
  unsigned again = ~lane_bits(floats(lowest) < unpack_key(best[k - 1])) & ((1u << tokens) - 1);

  alignas(64) float chosen[16 * few_experts];
  alignas(64) std::int32_t id[16 * few_experts];
  for (index_t j = 0; j < k; ++j) {
    ints const e = unpack_id(best[j]);
    store(id + 16 * j, e);
    store(chosen + 16 * j, score_of(r.score, m, closed_if_nan(gather(column, (e << 4) + lane_id()))));
  }
  for (int q = 0; q < tokens; ++q) {
    float w[few_experts];
    for (index_t j = 0; j < k; ++j) w[j] = chosen[16 * j + q];
    r.weigh(row_view<float>{w, k});
    for (index_t j = 0; j < k; ++j) {
      b.out.weights[first + q][j] = static_cast<W>(w[j]);
      b.out.ids[first + q][j] = static_cast<Id>(id[16 * j + q]);
    }
  }
  for (; again != 0; again &= again - 1) route_plainly(b, first + std::countr_zero(again), s);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
