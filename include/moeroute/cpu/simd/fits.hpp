// Decides which routers the vector path serves, found by what their policies can do rather than by name.
#pragma once

#include <moeroute/cpu/simd/filter.hpp>
#include <moeroute/router.hpp>
#include <moeroute/select/group_limited_top_k.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// Selection by groups: the fields of group_limited_top_k.
template <class S>
concept limits_groups = requires(S const& s) {
  s.groups;
  s.top_groups;
  s.closed;
  s.group_score.count(index_t{}, index_t{});
};

// A score that can be computed on vectors: written for any V.
struct probe_row {
  using value_type = floats;
  index_t size() const;
  floats at(index_t) const;
  template <class G, class F>
  void each(G const&, F&& f) const {
    f(index_t{}, floats(0.f));
  }
};
template <class S>
concept vector_score = requires(S const& s, floats x) {
  { s(x) } -> std::same_as<floats>;
} || requires(S const& s, serial_group g, probe_row z, floats x) {
  { s(s.summarize(g, z), x) } -> std::same_as<floats>;
};
template <class B>
concept vector_bias = is_none<B> || requires(B const& b, floats x) {
  { b(x, x) } -> std::same_as<floats>;
};

// How many rows from t on, at most `most`, are valid and share bias parameters, which may differ from token to token.
template <class Body>
int rows_together(Body const& b, offset_t t, int most) {
  if (b.in.valid.empty() && is_none<decltype(b.r.bias)>) return most;
  if (!knows_row(b.r, b.in, t)) return 0;
  int n = 1;
  if constexpr (is_none<decltype(b.r.bias)>) {
    while (n < most && b.in.is_valid(t + n)) ++n;
  } else {
    auto const* const p = b.r.bias.parameters(b.in.context(t)).data;
    while (n < most && b.in.is_valid(t + n) && b.r.bias.parameters(b.in.context(t + n)).data == p) ++n;
  }
  return n;
}

// Selection that chooses for up to 16 rows in its own way. Rows have `size` logits (a multiple of 64), NaN behind the
// experts. `space`: 2 rows size floats. Bit q of the result is set where row q was not served; its ids are places all the
// same.
template <class S>
concept chooses_rows =
    requires(S const& s, offset_t const* token, float const* const* logits, winners const& w, float* space) {
      { s.choose_rows(token, logits, int{}, index_t{}, w, space) } -> std::same_as<unsigned>;
    };

template <class R, class V>
inline constexpr bool fits =
    std::same_as<V, float> && (takes_best<decltype(R::select)> || chooses_rows<decltype(R::select)>) &&
    vector_score<decltype(R::score)> && vector_bias<decltype(R::bias)>;

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
