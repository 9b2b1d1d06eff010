// Decides how one CPU thread sums samples and pulls many tokens at once: the bodies of bin_sums.hpp and inter_bin_mi.hpp
// with 16 experts side by side, and the bits of one lane. For float probabilities of softmax gates.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/prefetch.hpp>
#include <moeroute/smoes/detail/gate_rows.hpp>

#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/math.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// Up to a run of valid tokens: their rows, and what two modalities multiply them with, in ticks.
template <offset_t Run>
struct weighted_rows {
  int count = 0;
  float const* row[std::size_t{Run}];
  float first[std::size_t{Run}], second[std::size_t{Run}];
};
template <int N>
MOEROUTE_SIMD_INLINE void add_to(std::int64_t* sum, vec<std::int32_t, N> ticks) {
  for_each_part<N / 8>(ticks, [&](int q, vec<std::int32_t, 8> part) MOEROUTE_SIMD_LAMBDA {
    using wide = vec<std::int64_t, 8>;
    store(sum + 8 * q, load<wide>(sum + 8 * q) + convert<std::int64_t>(part));
  });
}
// N experts from `e`: sum[e] += ticks of weight times row[e], for one modality or for two that share the loads.
// Ticks are the low bits of a number from 2^23 to 2^24 (bin_ticks), counted modulo 2^32.
template <int N, bool Two, offset_t Run>
MOEROUTE_SIMD_INLINE void add_ticks(weighted_rows<Run> const& from, index_t e, std::int64_t* sum, index_t experts) {
  using F = vec<float, N>;
  using words = vec<std::uint32_t, N>;
  F const offset(0x1p23f);
  words first(0u), second(0u);
  for (int i = 0; i < from.count; ++i) {
    F const p = load<F>(from.row[i] + e);
    first += bits_as<std::uint32_t>(simd_fma(p, F(from.first[i]), offset));
    if constexpr (Two) second += bits_as<std::uint32_t>(simd_fma(p, F(from.second[i]), offset));
  }
  words const offsets(static_cast<std::uint32_t>(from.count) * 0x4b000000u);
  add_to(sum + e, bits_as<std::int32_t>(first - offsets));
  if constexpr (Two) add_to(sum + experts + e, bits_as<std::int32_t>(second - offsets));
}
template <bool Two, class Ticks, offset_t Run>
void add_run(weighted_rows<Run> const& from, index_t experts, std::int64_t* sum) {
  index_t e = 0;
  for (; e + 32 <= experts; e += 32) add_ticks<32, Two>(from, e, sum, experts);
  for (; e + 8 <= experts; e += 8) add_ticks<8, Two>(from, e, sum, experts);
  for (; e < experts; ++e)
    for (int i = 0; i < from.count; ++i) {
      sum[e] += Ticks::of(from.row[i][e], from.first[i]);
      if constexpr (Two) sum[experts + e] += Ticks::of(from.row[i][e], from.second[i]);
    }
}
// The scores of modality m of a run's valid tokens, in ticks, and their sum; `token` counts from `from`.
template <class Ticks, class Batch>
MOEROUTE_SIMD_INLINE std::int64_t weigh_run(Batch const& in, index_t m, offset_t from, int count,
                                            std::uint8_t const* token, float* weight) {
  if (in.modality.of.cols == 1 && in.modality.of.stride == 1) {  // u side by side
    float const* const u = in.modality.of.data + from;
    for (int i = 0; i < count; ++i) weight[i] = Ticks::scaled(m == 1 ? u[token[i]] : 1.f - u[token[i]]);
  } else {
    for (int i = 0; i < count; ++i) weight[i] = Ticks::scaled(in.modality(from + token[i], m));
  }
  std::int32_t sum = 0;  // a run fits
  for (int i = 0; i < count; ++i) sum += Ticks::of(1.f, weight[i]);
  return sum;
}
// The tokens of one sample into sum (modalities x experts) and mass (modalities), both zero before.
template <class Ticks, class Batch>
void sum_sample(Batch const& in, offset_t begin, offset_t end, std::int64_t* sum, std::int64_t* mass) {
  auto const experts = static_cast<index_t>(in.p.cols);
  weighted_rows<Ticks::run> rows;
  std::uint8_t token[std::size_t{Ticks::run}];
  for (offset_t from = begin; from < end; from += Ticks::run) {
    int const tokens = static_cast<int>(end - from < Ticks::run ? end - from : Ticks::run);
    int count = 0;
    for (int i = 0; i < tokens; ++i) {
      token[count] = static_cast<std::uint8_t>(i);
      count += in.is_valid(from + i) ? 1 : 0;
    }
    rows.count = count;
    for (int i = 0; i < count; ++i) rows.row[i] = in.p.data + (from + token[i]) * in.p.stride;
    index_t const modalities = in.modality.count();
    for (index_t m = 0; m < modalities; m += 2) {
      mass[m] += weigh_run<Ticks>(in, m, from, count, token, rows.first);
      if (m + 1 < modalities) {
        mass[m + 1] += weigh_run<Ticks>(in, m + 1, from, count, token, rows.second);
        add_run<true, Ticks>(rows, experts, sum + m * experts);
      } else {
        add_run<false, Ticks>(rows, experts, sum + m * experts);
      }
    }
  }
}

// The last steps of tree_sum: 32 classes, the upper half onto the lower until one is left.
MOEROUTE_SIMD_INLINE float sum_of_classes(floats first, floats second) {
  floats const x = first + second;
  auto const of_8 = low(x) + high(x);
  auto const of_4 = low(of_8) + high(of_8);
  auto const of_2 = of_4 + swap<2>(of_4);
  return (of_2 + swap<1>(of_2)).v[0];
}
// What the gradients of a sample's tokens share: a = base + u slope, and room for the a of a row.
struct pull_tables {
  static constexpr index_t most = 512;  // experts
  alignas(64) float base[std::size_t{most}], slope[std::size_t{most}], a[std::size_t{most}];
};
MOEROUTE_SIMD_INLINE void fetch_row(float const* p, float const* d, index_t experts) {  // of the tokens to come
  auto const bytes = static_cast<offset_t>(sizeof(float)) * experts;
  moeroute::detail::fetch_ahead<true>(d + 512, bytes);
  moeroute::detail::fetch_ahead(p + 512, bytes);
}
template <bool Accumulate, int N>
MOEROUTE_SIMD_INLINE void put(float* d, vec<float, N> x) {
  if constexpr (Accumulate) store(d, load<vec<float, N>>(d) + x);
  else store(d, x);
}
// One token: d (+)= p (a - sum p a).
template <bool Accumulate>
MOEROUTE_SIMD_INLINE void pull_token(pull_tables& s, float const* p, float u, float* d, index_t experts) {
  fetch_row(p, d, experts);
  floats const share(u);
  floats sum[2] = {floats(0.f), floats(0.f)};
  auto const step = [&](index_t e, floats& to) MOEROUTE_SIMD_LAMBDA {
    floats const x = simd_fma(share, load<floats>(s.slope + e), load<floats>(s.base + e));
    store(s.a + e, x);
    to = simd_fma(load<floats>(p + e), x, to);
  };
  index_t e = 0;
  for (; e + 32 <= experts; e += 32) step(e, sum[0]), step(e + 16, sum[1]);
  if (e < experts) step(e, sum[0]);
  floats const dot(sum_of_classes(sum[0], sum[1]));
  for (e = 0; e < experts; e += 16) put<Accumulate>(d + e, simd_mul(load<floats>(p + e), load<floats>(s.a + e) - dot));
}
// 64 experts, whose a stays in registers.
template <bool Accumulate>
MOEROUTE_SIMD_INLINE void pull_token_of_64(pull_tables const& s, float const* p, float u, float* d) {
  using half = vec<float, 32>;
  fetch_row(p, d, 64);
  half const share(u), a = simd_fma(share, load<half>(s.slope), load<half>(s.base)),
                       b = simd_fma(share, load<half>(s.slope + 32), load<half>(s.base + 32));
  half const sum = simd_fma(load<half>(p + 32), b, simd_fma(load<half>(p), a, half(0.f)));
  half const dot(sum_of_classes(low(sum), high(sum)));
  put<Accumulate>(d, simd_mul(load<half>(p), a - dot));
  put<Accumulate>(d + 32, simd_mul(load<half>(p + 32), b - dot));
}
// Tokens [first, last) of a gradient body.
template <bool Accumulate, class Body>
void pull_rows(Body const& b, offset_t first, offset_t last) {
  auto const experts = static_cast<index_t>(b.in.p.cols);
  float const factor = b.scale_of(b.result.totals.data);
  floats const scale(factor);
  pull_tables tables;
  for (offset_t t = first; t < last;) {
    if (factor == 0.f || !b.pulls(t)) {
      b(serial_group{}, t++, scratch{});
      continue;
    }
    index_t const sample = b.in.sample_of(t);
    float const *const f0 = b.result.coefficient[sample].data, *const f1 = f0 + experts;
    for (index_t e = 0; e < experts; e += 16) {
      floats const x = load<floats>(f0 + e);
      store(tables.base + e, simd_mul(scale, x));
      store(tables.slope + e, simd_mul(scale, load<floats>(f1 + e) - x));
    }
    float const *p = b.in.p[t].data, *u = b.in.modality.of[t].data;
    float* d = b.d_logits[t].data;
    do {
      if (experts == 64) pull_token_of_64<Accumulate>(tables, p, *u, d);
      else pull_token<Accumulate>(tables, p, *u, d, experts);
      ++t, p += b.in.p.stride, u += b.in.modality.of.stride, d += b.d_logits.stride;
    } while (t < last && b.in.sample_of(t) == sample && b.in.is_valid(t));
  }
}
template <class Body>
void pull_rows(Body const& b, offset_t first, offset_t last) {
  bool const suits = b.in.modality.of.cols == 1 && b.term.gate == gate_form::softmax && b.in.p.cols % 16 == 0 &&
                     b.in.p.cols <= pull_tables::most;
  if (!suits)
    for (offset_t t = first; t < last; ++t) b(serial_group{}, t, scratch{});
  else if (b.accumulate) pull_rows<true>(b, first, last);
  else pull_rows<false>(b, first, last);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
#endif
