// Decides how the scores of tokens become one column for each expert: blocks of 16 tokens are scored by rows, or 16
// tokens side by side on the CPU, and turned. Same numbers either way.
#pragma once

#include <moeroute/select/token_order.hpp>
#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/fits.hpp>
#include <moeroute/cpu/simd/transpose.hpp>
#endif

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

inline constexpr offset_t choice_block = 16;  // tokens whose scores are turned into columns together

// Everything the passes share: scores as columns, in the order of the tokens.
template <class R, class T, class H>
struct expert_choice_state {
  using V = compute_t<T>;
  R r;
  batch<T, H> in;
  row_view<offset_t> start, token_at, place_of;
  V* columns{};     // experts x stride: scores (axis experts) or logits (axis tokens)
  offset_t stride;  // padded, so that columns do not fall on one cache set

  MOEROUTE_HD index_t experts() const { return static_cast<index_t>(in.logits.cols); }
  MOEROUTE_HD score_axis axis() const {
    if constexpr (requires { r.select.axis; }) return r.select.axis;
    else return score_axis::experts;
  }
  MOEROUTE_HD index_t within() const {
    if constexpr (requires { r.select.within; }) return r.select.within;
    else return 0;
  }
  MOEROUTE_HD memory_row<V> column(index_t e, offset_t segment) const {
    return {columns + e * stride + start[segment], static_cast<index_t>(start[segment + 1] - start[segment])};
  }
  static constexpr offset_t padded(offset_t tokens) { return (tokens + 15) / 16 * 16 + 16; }
};

#if defined(MOEROUTE_SIMD)
// One expert of 16 tokens is an element: the same policies, no sum across lanes.
struct side_by_side_row {
  using value_type = simd::floats;
  float const* data{};  // experts x 16
  index_t count{};
  index_t size() const { return count; }
  value_type at(index_t e) const { return simd::closed_if_nan(simd::load<simd::floats>(data + 16 * e)); }
  template <class G, class F>
  MOEROUTE_SIMD_INLINE void each(G const&, F&& f) const {
    for (index_t e = 0; e < count; ++e) f(e, at(e));
  }
};
template <class R, class V>
inline constexpr bool scores_side_by_side = std::same_as<V, float> && simd::vector_score<decltype(R::score)>;
#endif

template <class V>
offset_t score_columns_bytes(offset_t experts, offset_t within) {
  return 2 * choice_block * aligned_bytes<V>(experts) + aligned_bytes<index_t>(within);
}

// Rows: blocks of tokens in their order. Writes the columns.
template <class R, class T, class H>
struct score_columns {
  using V = compute_t<T>;
  expert_choice_state<R, T, H> s;

  offset_t scratch_bytes() const { return score_columns_bytes<V>(s.experts(), s.within()); }
#if defined(MOEROUTE_SIMD)
  offset_t rows_scratch_bytes() const
    requires scores_side_by_side<R, V>
  {
    return scratch_bytes();
  }
  void rows(offset_t first_block, offset_t last_block, scratch space) const
    requires scores_side_by_side<R, V>
  {
    for (offset_t b = first_block; b < last_block; ++b)
      if (s.within() == 0 && (b + 1) * choice_block <= s.start[s.start.size - 1])
        score_side_by_side(b * choice_block, space);
      else (*this)(serial_group{}, b, space);
  }
#endif
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t b, scratch space) const {
    offset_t const first = b * choice_block, all = s.start[s.start.size - 1];
    offset_t const count = all - first < choice_block ? all - first : choice_block;
    V* const block = space.take<V>(choice_block * s.experts());
    V* const key = space.take<V>(s.experts());
    row_view<index_t> const own{space.take<index_t>(s.within()), s.within()};
    for (offset_t i = 0; i < count; ++i) {
      V* const x = block + i * s.experts();
      auto const logits = prepared_row(s.r, s.in, g, s.token_at[first + i], x);
      if (s.axis() == score_axis::experts) {
        auto const m = summarize(s.r.score, g, mapped_row{logits, nan_to_closed{}});
        logits.each(g, [&](index_t, V& z) {  // without branches; NaN is not above -inf either
          V const score = score_of(s.r.score, m, z);
          z = z > -infinity<V> ? score : -infinity<V>;
        });
      }
      if (own.size > 0) {
        g.sync();
        take_best(g, memory_row<V const>{x, s.experts()}, own);
        logits.each(g, [&](index_t e, V& z) {
          bool mine = false;
          for (auto const id : own) mine = mine || id == e;
          key[e] = mine ? z : -infinity<V>;
        });
        g.sync();
        logits.each(g, [&](index_t e, V& z) { z = key[e]; });
      }
    }
    g.sync();
    for (index_t e = g.rank(); e < s.experts(); e += g.size())
      for (offset_t i = 0; i < count; ++i) s.columns[e * s.stride + first + i] = block[i * s.experts() + e];
    g.sync();
  }

#if defined(MOEROUTE_SIMD)
 private:
  // Places [first, first + 16).
  void score_side_by_side(offset_t first, scratch space) const {
    using simd::floats;
    float* const own = space.take<float>(choice_block * s.experts());
    float const* row[16];
    for (offset_t i = 0; i < choice_block; ++i) {
      offset_t const t = s.token_at[first + i];
      if constexpr (std::same_as<T, float> && is_none<decltype(s.r.prior)>) {
        row[i] = s.in.logits[t].data;
      } else {
        prepared_row(s.r, s.in, serial_group{}, t, own + i * s.experts());
        row[i] = own + i * s.experts();
      }
    }
    auto const as_it_is = [](floats x) { return x; };
    if (s.axis() == score_axis::tokens)
      return simd::rows_to_columns(row, 16, s.experts(), s.columns + first, s.stride, as_it_is);
    float* const lanes = space.take<float>(choice_block * s.experts());
    simd::rows_to_columns(row, 16, s.experts(), lanes, 16, as_it_is);
    side_by_side_row const z{lanes, s.experts()};
    auto const m = summarize(s.r.score, serial_group{}, z);
    z.each(serial_group{}, [&](index_t e, floats x) {
      floats const score = simd::select(floats(simd::lowest) < x, score_of(s.r.score, m, x), floats(simd::lowest));
      simd::store(s.columns + e * s.stride + first, score);
    });
  }
#endif
};

template <class V>
offset_t expert_choice_bytes(offset_t tokens, index_t experts, offset_t segments) {
  return aligned_bytes<offset_t>(segments + 1) + 2 * aligned_bytes<offset_t>(tokens) +
         aligned_bytes<V>(experts * expert_choice_state<router<>, V, V>::padded(tokens)) + workspace_alignment;
}
template <class R, class T, class H>
expert_choice_state<R, T, H> expert_choice_arrays(R const& r, batch<T, H> const& in, offset_t segments, workspace& w) {
  using V = compute_t<T>;
  offset_t const tokens = in.logits.rows, stride = expert_choice_state<R, T, H>::padded(tokens);
  offset_t const bytes = expert_choice_bytes<V>(tokens, static_cast<index_t>(in.logits.cols), segments);
  scratch s = aligned_scratch(w);
  expert_choice_state<R, T, H> state{r, in, {s.take<offset_t>(segments + 1), segments + 1}, {}, {}, nullptr, stride};
  state.token_at = {s.take<offset_t>(tokens), tokens};
  state.place_of = {s.take<offset_t>(tokens), tokens};
  state.columns = s.take<V>(in.logits.cols * stride);
  w = {w.data + bytes, w.bytes - bytes};
  return state;
}

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
