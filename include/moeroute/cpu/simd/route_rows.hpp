// Decides how several tokens are routed at once on the CPU, experts across lanes: the same policies as one
// row of memory, on rows whose elements are vectors, and the same ids and weights bit for bit.
#pragma once

#include <moeroute/cpu/simd/filter.hpp>
#include <moeroute/cpu/simd/groups.hpp>
#include <moeroute/route.hpp>
#include <moeroute/cpu/simd/fits.hpp>

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
};

// As many as keep a value in four registers.
inline constexpr int rows_at_once = register_bytes / 16;

// The layout of keys: `groups` runs of `vectors` registers, then NaN up to a multiple of 64.
struct key_layout {
  index_t experts, groups, width, vectors, size;
};
template <class Select>
constexpr key_layout layout_of(Select const& select, index_t experts) {
  index_t groups = 1;
  if constexpr (limits_groups<Select>) groups = select.groups < 1 ? 1 : select.groups;
  index_t const width = experts / groups, vectors = (width + 15) / 16;
  return {experts, groups, width, vectors,
          (16 * groups * vectors + key_block - 1) / key_block * key_block};
}
// Logits, keys, and open keys or the space for a choice, of the rows in flight.
template <class Select>
offset_t rows_scratch_bytes(Select const& select, index_t experts) {
  return (chooses_rows<Select> ? 4 : 3) * rows_at_once * aligned_bytes<float>(layout_of(select, experts).size);
}

inline constexpr index_t most_experts = 16 * 2000;  // the additions to a lane that unit_sum holds

// Whether these run-time sizes suit; the types were asked by `fits`.
template <class Body>
bool suits(Body const& b) {
  index_t const k = b.r.select.experts_per_token();
  bool good =
      b.in.nan == nan_rule::rank_last && k <= most_chosen && b.in.logits.cols <= most_experts;
  if constexpr (limits_groups<decltype(b.r.select)>)
    good = good && b.r.select.groups <= 16 && b.r.select.closed == closed_groups::minus_infinity &&
           b.r.select.group_score.count(k, b.r.select.top_groups) <= 2;
  return good;
}

// Copies logits to the layout, widened, NaN in the gaps.
template <class T>
MOEROUTE_SIMD_INLINE void spread(T const* from, key_layout const& l, float* to) {
  for (index_t g = 0; g < l.groups; ++g) {
    float* const run = to + 16 * g * l.vectors;
    for (index_t i = 0; i < l.width; ++i) run[i] = moeroute::load(from[g * l.width + i]);
    for (index_t i = l.width; i < 16 * l.vectors; ++i) run[i] = not_a_number<float>;
  }
  for (index_t i = 16 * l.groups * l.vectors; i < l.size; ++i) to[i] = not_a_number<float>;
}
template <class P>
MOEROUTE_SIMD_INLINE floats read_parameters(row_view<P const> p, index_t first, index_t count) {
  alignas(64) float part[16];
  if constexpr (std::same_as<P, float>)
    if (count >= 16) return load<floats>(p.data + first);
  for (index_t i = 0; i < 16; ++i) part[i] = i < count ? static_cast<float>(p[first + i]) : 0.f;
  return load<floats>(part);
}

// The scores of all experts, for callers who asked for them.
template <int R, class Body>
MOEROUTE_SIMD_INLINE void write_scores(Body const& b, offset_t first, key_layout const& l,
                                       vector_row<R> const& z) {
  auto const m = summarize(b.r.score, vector_group{}, z);
  using W = std::remove_cvref_t<decltype(b.out.scores[0][0])>;
  for (index_t i = 0; i < 16 * l.groups * l.vectors; i += 16) {
    index_t const g = i / (16 * l.vectors), in_group = i - 16 * g * l.vectors;
    for_each_part<R>(score_of(b.r.score, m, z.at(i)), [&](int q, floats part) MOEROUTE_SIMD_LAMBDA {
      alignas(64) float lane[16];
      store(lane, part);
      for (index_t j = 0; j < 16 && in_group + j < l.width; ++j)
        b.out.scores[first + q][g * l.width + in_group + j] = static_cast<W>(lane[j]);
    });
  }
}

// One row of the plain path.
template <class Body>
[[gnu::noinline]] void route_plainly(Body const& b, offset_t t, scratch s) {
  b(serial_group{}, t, s);
}

// Tokens first .. first + R, all valid.
template <int R, class Body>
[[gnu::noinline]] MOEROUTE_SIMD_FLATTEN void route_some(Body const& b, offset_t first, scratch s) {
  using Router = std::remove_cvref_t<decltype(b.r)>;
  using T = std::remove_cvref_t<decltype(b.in.logits.data[0])>;
  using V = vec<float, 16 * R>;
  auto const& r = b.r;
  index_t const k = r.select.experts_per_token();
  key_layout const l = layout_of(r.select, static_cast<index_t>(b.in.logits.cols));

  // Logits, and the summary of the rows.
  float const* logit[std::size_t{R}];
  bool const direct = std::same_as<T, float> && is_none<decltype(r.prior)> && l.size == l.experts;
  for (int q = 0; q < R; ++q) {
    auto const row = b.in.logits[first + q];
    if (direct) {
      if constexpr (std::same_as<T, float>) logit[q] = row.data;
      continue;
    }
    float* const copy = s.template take<float>(l.size);
    logit[q] = copy;
    if constexpr (is_none<decltype(r.prior)>) {
      spread(row.data, l, copy);
    } else {  // the prior works on experts in a row
      float* const flat = l.groups == 1 ? copy : copy + l.size;
      for (index_t e = 0; e < l.experts; ++e) flat[e] = moeroute::load(row[e]);
      r.prior(serial_group{}, b.in.context(first + q), memory_row<float>{flat, l.experts});
      if (l.groups == 1)
        for (index_t i = l.experts; i < l.size; ++i) copy[i] = not_a_number<float>;
      else
        spread(static_cast<float const*>(flat), l, copy);
    }
  }
  vector_row<R> const z{logit, l.size};
  auto const m = b.summary(vector_group{}, z);
  if (!b.out.scores.empty()) write_scores(b, first, l, z);

  // Keys.
  float const* key[std::size_t{R}];
  for (int q = 0; q < R; ++q) key[q] = logit[q];
  if constexpr (!ranks_logits<Router>) {
    float* to[std::size_t{R}];
    for (int q = 0; q < R; ++q) key[q] = to[q] = s.template take<float>(l.size);
    auto const parameters = r.bias.parameters(b.in.context(first));
    for (index_t i = 0; i < l.size; i += 16) {
      V const x = z.raw(i);
      V y = score_of(r.score, m, closed_if_nan(x));
      if constexpr (!is_none<decltype(r.bias)>) {
        index_t const g = i / (16 * l.vectors), in_group = i - 16 * g * l.vectors;
        floats const p = read_parameters(parameters, g < l.groups ? g * l.width + in_group : 0,
                                         g < l.groups ? l.width - in_group : 0);
        y = r.bias(y, side_by_side<R>([&](int) MOEROUTE_SIMD_LAMBDA { return p; }));
      }
      y = select(V(lowest) < x, y, x);  // closed stays closed, NaN stays NaN
      for_each_part<R>(y, [&](int q, floats part) MOEROUTE_SIMD_LAMBDA { store(to[q] + i, part); });
    }
  }

  // The best, of all experts or of the open groups.
  std::int32_t origin[std::size_t{R}][64];
  float const* from[std::size_t{R}];
  int size = l.size;
  for (int q = 0; q < R; ++q) from[q] = key[q];
  if constexpr (limits_groups<decltype(r.select)>)
    for (int q = 0; q < R; ++q) {
      float* const open = s.template take<float>(l.size);
      bool const sum = r.select.group_score.count(k, r.select.top_groups) > 1;
      auto const pick = [&](auto g, auto both) MOEROUTE_SIMD_LAMBDA {
        return open_groups<decltype(g)::value, decltype(both)::value>(
            key[q], l.groups, l.vectors, l.width, r.select.top_groups, open, origin[q]);
      };
      size = l.groups > 8
                 ? (sum ? pick(constant<16>, constant<1>) : pick(constant<16>, constant<0>))
                 : (sum ? pick(constant<8>, constant<1>) : pick(constant<8>, constant<0>));
      from[q] = open;
    }
  alignas(64) std::int32_t id[std::size_t{16} * R] = {};
  float top[std::size_t{R}];
  unsigned repair = 0;
  if constexpr (chooses_rows<decltype(r.select)>) {
    offset_t token[std::size_t{R}];
    for (int q = 0; q < R; ++q) token[q] = b.in.context(first + q).token;
    r.select.template choose_rows<R>(token, from, l.experts, size, id, s.template take<float>(2 * R * size));
  } else {
    repair = k <= 8 ? best_of_rows<8, R>(from, size, k, id, top) : best_of_rows<16, R>(from, size, k, id, top);
  }
  for (unsigned bits = repair; bits != 0; bits &= bits - 1) {
    int const q = std::countr_zero(bits);
    insert_row(from[q], size, k, id + 16 * q, [&](index_t i) {
      if constexpr (limits_groups<decltype(r.select)>)
        return origin[q][i / 16] >= 0 && (origin[q][i / 16] % l.width) + i % 16 < l.width;
      else
        return i < l.experts;
    });
  }
  alignas(64) float chosen[std::size_t{16} * R] = {};
  for (int q = 0; q < R; ++q)
    for (int j = 0; j < k; ++j) {
      std::int32_t e = id[16 * q + j];
      if constexpr (limits_groups<decltype(r.select)>) {
        std::int32_t const at = origin[q][e / 16] + e % 16;
        e = at;
        chosen[16 * q + j] = logit[q][16 * l.vectors * (at / l.width) + at % l.width];
      } else {
        chosen[16 * q + j] = logit[q][e];
      }
      b.out.ids[first + q][j] = static_cast<std::remove_cvref_t<decltype(b.out.ids[0][0])>>(e);
    }
  V const w = score_of(r.score, m, closed_if_nan(load<V>(chosen)));
  store(chosen, w);
  for (int q = 0; q < R; ++q) {
    row_view<float> const row{chosen + 16 * q, k};
    r.weigh(row);
    for (int j = 0; j < k; ++j)
      b.out.weights[first + q][j] =
          static_cast<std::remove_cvref_t<decltype(b.out.weights[0][0])>>(row[j]);
    if constexpr (limits_groups<decltype(r.select)>)  // a sum of infinities has its own rule
      if (top[q] == infinity<float>) route_plainly(b, first + q, s);
    if constexpr (chooses_rows<decltype(r.select)>)  // fewer open experts than places
      for (int j = 0; j < k; ++j)
        if (!(logit[q][id[16 * q + j]] > -infinity<float>)) {
          route_plainly(b, first + q, s);
          break;
        }
  }
}

// Rows [first, last) of a route body.
template <class Body>
void route_rows(Body const& b, offset_t first, offset_t last, scratch s) {
  offset_t t = first;
  if (!suits(b)) {
    for (; t < last; ++t) route_plainly(b, t, s);
    return;
  }
  while (t < last) {
    bool together = t + rows_at_once <= last;
    for (int q = 0; together && q < rows_at_once; ++q) together = b.in.is_valid(t + q);
    if (together && same_parameters(b, t, rows_at_once)) {
      route_some<rows_at_once>(b, t, s);
      t += rows_at_once;
    } else if (b.in.is_valid(t)) {
      route_some<1>(b, t++, s);
    } else {
      route_plainly(b, t++, s);
    }
  }
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
