// Decides how 16 tokens are routed side by side when there are few experts, a lane to each token: insertion into
// the k best so far, with the same policies.
#pragma once

#include <moeroute/cpu/simd/across_experts.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

inline constexpr index_t few_experts = 16;

// 16 rows of P floats, one after the other, to P columns of 16: each step moves the lowest bit of a place to the top.
template <int Steps, class V>
MOEROUTE_SIMD_INLINE V unzip(V v) {
  if constexpr (Steps == 0)
    return v;
  else
    return unzip<Steps - 1>(join(even<0>(v), even<1>(v)));
}
template <int P>
[[gnu::noinline]] inline void columns_of(float const* rows, float* column) {
  store(column, unzip<std::countr_zero(unsigned(P))>(load<vec<float, 16 * P>>(rows)));
}

// The logits of tokens first .. first + tokens as columns, after the prior; lanes without a token hold 0.
template <class Body>
MOEROUTE_SIMD_INLINE void read_columns(Body const& b, offset_t first, int tokens, float* column) {
  using T = std::remove_cvref_t<decltype(b.in.logits.data[0])>;
  index_t const experts = static_cast<index_t>(b.in.logits.cols), padded = experts <= 8 ? 8 : 16;
  alignas(64) float tile[16 * few_experts];
  float const* from = tile;
  bool whole = false;
  if constexpr (std::same_as<T, float> && is_none<decltype(b.r.prior)>) {
    whole = tokens == 16 && experts == padded && b.in.logits.stride == padded;
    if (whole) from = b.in.logits[first].data;
  }
  if (!whole)
    for (int q = 0; q < 16; ++q) {
      float* const to = tile + q * padded;
      for (index_t e = 0; e < padded; ++e)
        to[e] = q < tokens && e < experts ? moeroute::load(b.in.logits[first + q].data[e]) : 0.f;
      if constexpr (!is_none<decltype(b.r.prior)>)
        if (q < tokens) b.r.prior(serial_group{}, b.in.context(first + q), memory_row<float>{to, experts});
    }
  if (padded == 8)
    columns_of<8>(from, column);
  else
    columns_of<16>(from, column);
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
  auto const m = b.summary(alone, z);

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
  if (k == 2)
    insert_columns<2>(experts, k, best, key_of);
  else
    insert_columns<0>(experts, k, best, key_of);
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
  if (!b.out.scores.empty()) {
    auto const write = [&](auto const& all) MOEROUTE_SIMD_LAMBDA {
      for (index_t e = 0; e < experts; ++e) store(column + 16 * e, score_of(r.score, all, z.at(e)));
    };
    if (b.ratios_suffice())
      write(summarize(r.score, alone, z));
    else
      write(m);
    for (int q = 0; q < tokens; ++q)
      for (index_t e = 0; e < experts; ++e) b.out.scores[first + q][e] = static_cast<W>(column[16 * e + q]);
  }
  for (; again != 0; again &= again - 1) route_plainly(b, first + std::countr_zero(again), s);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
