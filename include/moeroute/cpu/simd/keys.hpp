// Decides what selection sees of R tokens, experts across lanes: logits in the layout, and the scores and keys that the
// policies of one row make of them, on a row whose elements are vectors.
#pragma once

#include <moeroute/cpu/simd/exp_mass.hpp>
#include <moeroute/cpu/simd/rows.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

#if defined(MOEROUTE_EXACT_KEYS)  // a switch, to compare
inline constexpr bool may_be_rough = false;
#else
inline constexpr bool may_be_rough = true;
#endif

// The logits of token t in the layout, after the prior; NaN kept.
template <class Body>
MOEROUTE_SIMD_INLINE float const* logits_of(Body const& b, offset_t t, key_layout const& l, scratch& s) {
  using T = std::remove_cvref_t<decltype(b.in.logits.data[0])>;
  auto const row = b.in.logits[t];
  if constexpr (is_none<decltype(b.r.prior)>) {
    if constexpr (std::same_as<T, float>)
      if (l.size == l.experts) return row.data;
    float* const copy = s.template take<float>(l.size);
    spread(row.data, l, copy);
    return copy;
  } else {  // the prior works on experts in a row, beside the copy
    float* const copy = s.template take<float>(l.size);
    float* const flat = l.in_order() ? copy : copy + l.size;
    for (index_t e = 0; e < l.experts; ++e) flat[e] = moeroute::load(row[e]);
    b.r.prior(serial_group{}, b.in.context(t), memory_row<float>{flat, l.experts});
    if (!l.in_order()) spread(static_cast<float const*>(flat), l, copy);
    else
      for (index_t i = l.experts; i < l.size; ++i) copy[i] = not_a_number<float>;
    return copy;
  }
}
// The bias in the layout; nothing where there is none.
template <class Body>
MOEROUTE_SIMD_INLINE float const* bias_of(Body const& b, offset_t t, key_layout const& l, scratch& s) {
  if constexpr (is_none<decltype(b.r.bias)>) {
    return nullptr;
  } else {
    auto const p = b.r.bias.parameters(b.in.context(t));
    if constexpr (std::same_as<std::remove_cvref_t<decltype(p.data[0])>, float>)
      if (l.size == l.experts) return p.data;
    float* const copy = s.template take<float>(l.size);
    spread(p.data, l, copy);
    return copy;
  }
}

// The scores of all experts, for callers who asked for them.
template <int R, class Body, class M>
MOEROUTE_SIMD_INLINE void write_scores(Body const& b, offset_t const* token, key_layout const& l,
                                       vector_row<R> const& z, M const& m) {
  using W = std::remove_cvref_t<decltype(b.out.scores[0][0])>;
  for_each_block(l, [&](index_t i, index_t expert, int n) MOEROUTE_SIMD_LAMBDA {
    if (n == 0) return;
    for_each_part<R>(score_of(b.r.score, m, z.at(i)), [&](int q, floats part) MOEROUTE_SIMD_LAMBDA {
      store_first_as<W>(&b.out.scores[token[q]][expert], part, n);
    });
  });
}
// The same from scores in the layout.
template <class W>
[[gnu::noinline]] void copy_scores(float const* score, key_layout const& l, row_view<W> out) {
  for_each_block(l, [&](index_t i, index_t expert, int n) {
    if (n != 0) store_first_as<W>(out.data + expert, load<floats>(score + i), n);
  });
}

// The summary for the weights, after all scores were written where they are asked for.
template <class Body, class G, class Row, class Write>
MOEROUTE_SIMD_INLINE auto summary_and_scores(Body const& b, G const& g, Row const& z, Write write) {
  auto const ratios = [&]() MOEROUTE_SIMD_LAMBDA {
    if constexpr (requires { b.r.score.summarize_ratios(g, z); }) return b.r.score.summarize_ratios(g, z);
    else return summarize(b.r.score, g, z);
  };
  if (b.ratios_suffice() && b.out.scores.empty()) return ratios();
  auto const all = summarize(b.r.score, g, z);
  if (!b.out.scores.empty()) write(all);
  return b.ratios_suffice() ? ratios() : all;
}

// Scores, and the keys that selection ranks: R registers at a time, register q of logit[q] with bias[q] to score[q] and
// key[q], the next ones `step` further.
template <int R, class Body, class M>
MOEROUTE_SIMD_INLINE void write_keys(Body const& b, M const& m, float const* const* logit, float const* const* bias,
                                     index_t size, index_t step, float* const* score, float* const* key) {
  vector_row<R> const z{logit, size}, p{bias, size};
  for (index_t i = 0; i < size; i += step) {
    auto const x = z.raw(i);
    auto y = score_of(b.r.score, m, closed_if_nan(x));
    for_each_part<R>(y, [&](int q, floats part) MOEROUTE_SIMD_LAMBDA { store(score[q] + i, part); });
    if constexpr (!is_none<decltype(b.r.bias)>) y = b.r.bias(y, p.raw(i));
    y = select(decltype(x)(lowest) < x, y, x);  // closed stays closed, NaN stays NaN
    for_each_part<R>(y, [&](int q, floats part) MOEROUTE_SIMD_LAMBDA { store(key[q] + i, part); });
  }
}
// Of rows that share a bias. Where no expert needs another, R registers of one row after the other: they do not wait
// for each other, and a row may be alone.
template <int R, class Body, class M>
MOEROUTE_SIMD_INLINE void write_rows(Body const& b, M const& m, int rows, float const* const* logit, float const* bias,
                                     index_t size, float* const* score, float* const* key) {
  constexpr bool alone = elementwise_score<decltype(b.r.score)>;
  constexpr int ahead = may_be_rough && rough_score<decltype(b.r.score)> ? 1 : R;  // few rows are left: less to compile
  for (int row = 0; row < (alone ? rows : 1); ++row) {
    float const *from[std::size_t{R}], *beside[std::size_t{R}] = {};
    float *to_score[std::size_t{R}], *to_key[std::size_t{R}];
    for (int q = 0; q < ahead; ++q) {
      int const from_row = alone ? row : q, skip = alone ? 16 * q : 0;
      from[q] = logit[from_row] + skip;
      if constexpr (!is_none<decltype(b.r.bias)>) beside[q] = bias + skip;
      to_score[q] = score[from_row] + skip;
      to_key[q] = key[from_row] + skip;
    }
    write_keys<ahead>(b, m, from, beside, size, alone ? 16 * ahead : 16, to_score, to_key);
  }
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
