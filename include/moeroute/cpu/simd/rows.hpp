// Decides how the vector path sees rows: experts across lanes, several tokens side by side, or tokens across
// lanes; and how the keys of a row lie in scratch.
#pragma once

#include <moeroute/core/row.hpp>
#include <moeroute/cpu/simd/fits.hpp>
#include <moeroute/cpu/simd/halves.hpp>
#include <moeroute/cpu/simd/memory.hpp>
#include <moeroute/cpu/simd/sort.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// The lanes of one vector work on a row: collectives stay inside each segment of 16.
struct vector_group : serial_group {
  using serial_group::max;
  using serial_group::sum;
  template <class T, int N>
  static MOEROUTE_SIMD_INLINE vec<T, N> max(vec<T, N> x) {
    return segment_max<16>(x);
  }
  template <class T, int N>
  static MOEROUTE_SIMD_INLINE vec<T, N> sum(vec<T, N> x) {
    return segment_sum<16>(x);
  }
};

// The total of each segment of 16 lanes, in all of them.
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> total_of_parts(vector_group const&, vec<std::int32_t, N> coarse,
                                                  vec<std::int32_t, N> fine) {
  auto const both = segment_sum<8>(blend<8>(coarse + swap<8>(coarse), fine + swap<8>(fine)));
  return side_by_side<N / 16>([&](int q) MOEROUTE_SIMD_LAMBDA {
    auto const p = part_of<N / 16>(both, q);
    std::int64_t const ticks = (std::int64_t{first_lane(low(p))} << 20) + first_lane(high(p));
    return floats(exact_sum<float>{ticks}.value());
  });
}

// R rows of padded floats side by side; element i is 16 experts of each row. NaN reads as -inf.
template <int R>
struct vector_row {
  using value_type = vec<float, 16 * R>;
  float const* const* row{};
  index_t count{};  // keys of a row, a multiple of 16

  index_t size() const { return count; }
  MOEROUTE_SIMD_INLINE value_type raw(index_t e) const {
    return side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA { return load<floats>(row[q] + e); });
  }
  MOEROUTE_SIMD_INLINE value_type at(index_t e) const { return closed_if_nan(raw(e)); }
  template <class G, class F>
  MOEROUTE_SIMD_INLINE void each(G const&, F&& f) const {
    for (index_t e = 0; e < count; e += 16) f(e, at(e));
  }
  template <class G, class F>
  MOEROUTE_SIMD_INLINE void each_raw(G const&, F&& f) const {  // NaN is left
    for (index_t e = 0; e < count; e += 16) f(e, raw(e));
  }
};

// The same, of which the largest of each row is known.
template <int R>
struct ranked_row : vector_row<R> {
  float const* top{};  // of each row

  MOEROUTE_SIMD_INLINE typename vector_row<R>::value_type top_of_rows() const {
    return side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA { return floats(top[q]); });
  }
};

// As many as keep a value in four registers.
inline constexpr int rows_at_once = register_bytes / 16;

// The layout of keys: `groups` runs of `vectors` registers, then NaN up to a multiple of 64.
struct key_layout {
  index_t experts, groups, width, vectors, size;
  bool in_order() const { return groups == 1 || width == 16 * vectors; }  // place = expert
};
inline constexpr int key_block = 64;
template <class Select>
constexpr key_layout layout_of(Select const& select, index_t experts) {
  index_t groups = 1;
  if constexpr (limits_groups<Select>) groups = select.groups < 1 ? 1 : select.groups;
  index_t const width = experts / groups, vectors = (width + 15) >> 4;
  return {experts, groups, width, vectors, (16 * groups * vectors + key_block - 1) & -key_block};
}

// Copies logits to the layout, widened, NaN in the gaps.
template <half_format F, class T>
MOEROUTE_SIMD_INLINE void spread_as(T const* from, key_layout const& l, float* to) {
  bool const whole = l.in_order();  // as one group
  index_t const groups = whole ? 1 : l.groups, width = whole ? l.experts : l.width;
  float const* const end = to + l.size;
  for (index_t g = 0; g < groups; ++g, from += width) {
    index_t i = 0;
    for (; i + 16 <= width; i += 16, to += 16)
      if constexpr (std::same_as<T, float>) store(to, load<floats>(from + i));
      else if constexpr (half_like<T>) store(to, load_halves(from + i, F));
      else
        for (index_t j = 0; j < 16; ++j) to[j] = static_cast<float>(from[i + j]);
    if (i == width) continue;
    if constexpr (std::same_as<T, float>) store(to, load_first(from + i, width - i, not_a_number<float>));
    else
      for (index_t j = 0; j < 16; ++j)
        to[j] = i + j < width ? static_cast<float>(moeroute::load(from[i + j])) : not_a_number<float>;
    to += 16;
  }
  for (; to < end; to += 16) store(to, floats(not_a_number<float>));
}
template <class T>
[[gnu::noinline]] void spread(T const* from, key_layout const& l, float* to) {
  if constexpr (half_like<T>) {
    half_format const format = format_of<T>();
    if (format == half_format::bf16) return spread_as<half_format::bf16>(from, l, to);
    if (format == half_format::fp16) return spread_as<half_format::fp16>(from, l, to);
  }
  spread_as<half_format::unknown>(from, l, to);
}
// f(place, first expert, experts in it) for each register of the layout; those at the end hold none.
template <class F>
MOEROUTE_SIMD_INLINE void for_each_block(key_layout const& l, F f) {
  index_t place = 0, first = 0, left = l.width;
  for (; place < l.size; place += 16) {
    bool const inside = place < 16 * l.groups * l.vectors;
    f(place, inside ? first : 0, inside ? (left < 16 ? left : 16) : 0);
    first += left < 16 ? left : 16;
    left = left > 16 ? left - 16 : l.width;
  }
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
