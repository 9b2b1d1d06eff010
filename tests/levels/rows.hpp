// Decides which rows the levels route: every odd kind of row twice, at different places among the rows that run together,
// and normal ones; in float, bf16 and fp16, with gaps behind the rows.
#pragma once

#include <moeroute/route.hpp>

#include "level_report.hpp"
#include "support/inputs.hpp"

namespace levels {

using namespace moeroute;

struct bf16 {
  std::uint16_t bits = 0;
  bf16() = default;
  explicit bf16(float x) {
    auto const b = __builtin_bit_cast(std::uint32_t, x);
    bool const is_number = (b & 0x7fffffffu) <= 0x7f800000u;
    bits = static_cast<std::uint16_t>(is_number ? (b + 0x7fffu + (b >> 16 & 1)) >> 16 : 0x7fc0u);
  }
  explicit operator float() const { return __builtin_bit_cast(float, std::uint32_t{bits} << 16); }
};
// IEEE half, rounded towards zero, saturating: these are inputs, not a library.
struct fp16 {
  std::uint16_t bits = 0;
  fp16() = default;
  explicit fp16(float x) {
    auto const b = __builtin_bit_cast(std::uint32_t, x);
    std::uint32_t const sign = b >> 16 & 0x8000u, magnitude = b & 0x7fffffffu;
    std::uint32_t half = 0;
    if (magnitude > 0x7f800000u) half = 0x7e00u;
    else if (magnitude >= 0x47800000u) half = magnitude == 0x7f800000u ? 0x7c00u : 0x7bffu;
    else if (magnitude >= 0x38800000u) half = (magnitude - 0x38000000u) >> 13;
    bits = static_cast<std::uint16_t>(sign | half);
  }
  explicit operator float() const {
    std::uint32_t const sign = std::uint32_t{bits & 0x8000u} << 16, magnitude = bits & 0x7fffu;
    std::uint32_t b = 0;
    if (magnitude > 0x7c00u) b = 0x7fc00000u;
    else if (magnitude == 0x7c00u) b = 0x7f800000u;
    else if (magnitude != 0) b = (magnitude << 13) + 0x38000000u;
    return __builtin_bit_cast(float, sign | b);
  }
};

template <class T>
struct rows {
  offset_t tokens;
  index_t experts, gap;
  std::vector<T> data;

  rows(index_t e, index_t behind) : tokens(0), experts(e), gap(behind) {
    auto const width = static_cast<std::size_t>(e);
    auto const odd = inputs::adversarial(noise_of(77, width));
    for (int i = 0; i < 2; ++i)
      for (auto const& row : odd) append(row.data());
    std::vector<float> const normal = noise_of(9, width * 23, 1.5f);
    for (std::size_t t = 0; t < 23; ++t) append(normal.data() + t * width);
  }
  matrix_view<T const> view() const { return {data.data(), tokens, experts, experts + gap}; }

 private:
  void append(float const* row) {
    for (index_t e = 0; e < experts; ++e) data.push_back(static_cast<T>(row[e]));
    for (index_t e = 0; e < gap; ++e) data.push_back(static_cast<T>(1e30f));  // read by mistake, it would win
    ++tokens;
  }
};

struct outputs {
  std::vector<index_t> ids;
  std::vector<float> weights, scores;
};
template <class X, class R, class T>
outputs run(X const& on, R const& r, rows<T> const& z, bool scores) {
  index_t const k = r.select.experts_per_token();
  auto const n = static_cast<std::size_t>(z.tokens);
  outputs o{std::vector<index_t>(n * static_cast<std::size_t>(k), 77),
            std::vector<float>(n * static_cast<std::size_t>(k), 77.f),
            std::vector<float>(scores ? n * static_cast<std::size_t>(z.experts) : 0, 77.f)};
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes<X, R, T>(on, r, z.tokens, z.experts)),
                               std::byte{0xff});
  routing_view<> to{{o.ids.data(), z.tokens, k}, {o.weights.data(), z.tokens, k}};
  if (scores) to.scores = {o.scores.data(), z.tokens, z.experts};
  batch<T> in{.logits = z.view()};
  route(on, r, in, to, workspace(space));
  return o;
}
template <class T>
bool same_bits(std::vector<T> const& a, std::vector<T> const& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if constexpr (std::is_floating_point_v<T>) {
      if (is_nan(a[i]) && is_nan(b[i])) continue;
      if (__builtin_bit_cast(std::uint32_t, a[i]) != __builtin_bit_cast(std::uint32_t, b[i])) return false;
    } else if (a[i] != b[i]) {
      return false;
    }
  }
  return a.size() == b.size();
}

// Routes with the library's choice of path and row by row, which must give the same bits, and adds these to digests.
struct three_digests {
  digest ids, weights, scores;
  void tell(report& r, std::string const& name) const {
    r.number(name + " ids", ids), r.number(name + " weights", weights), r.number(name + " scores", scores);
  }
};
template <class R, class T>
void both_paths(report& to, char const* name, R const& r, rows<T> const& z, three_digests& d) {
  for (bool const scores : {false, true}) {  // without scores some paths need less
    outputs const fast = run(serial{}, r, z, scores), slow = run(row_by_row{serial{}}, r, z, scores);
    index_t const k = r.select.experts_per_token();
    if (!same_bits(fast.ids, slow.ids)) to.failed(std::string(name) + ": ids of the paths", z.experts, k, scores);
    if (!same_bits(fast.weights, slow.weights))
      to.failed(std::string(name) + ": weights of the paths", z.experts, k, scores);
    if (!same_bits(fast.scores, slow.scores)) to.failed(std::string(name) + ": scores of the paths", z.experts, k);
    d.ids.add(fast.ids), d.weights.add(fast.weights), d.scores.add(fast.scores);
  }
}

}  // namespace levels
