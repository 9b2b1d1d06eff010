// Decides the plain choice: the k experts of largest key, best first (ties: lower id; NaN last).
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/best.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// No deduction guide: with one, nvcc refuses designated initializers.
template <class K>
struct top_k {
  [[no_unique_address]] K k{};
  static constexpr key_kind keys = key_kind::rank;
  static constexpr bool takes_best = true;

  MOEROUTE_HD index_t experts_per_token() const { return k; }
  MOEROUTE_HD void operator()(lane_group auto const& g, row_context, auto const& key, auto out) const {
    take_best(g, key, out);
  }
  status validate(index_t experts) const {
    return checks{}.at_least("select.k", k, 1).at_most("select.k", k, experts).result();
  }
  void describe(text& t) const { t.add("top ").add(static_cast<index_t>(k)); }
};

// The k experts of largest |key|. Source: FlyLoRA (S067), frozen sparse projections.
template <class K>
struct magnitude_top_k {
  [[no_unique_address]] K k{};
  static constexpr key_kind keys = key_kind::value;

  MOEROUTE_HD index_t experts_per_token() const { return k; }
  MOEROUTE_HD void operator()(lane_group auto const& g, row_context, auto const& key, auto out) const {
    take_best(g, mapped_row{key, [](index_t, auto const& x) { return x < 0 ? -x : x; }}, out);
  }
  status validate(index_t experts) const {
    return checks{}.at_least("select.k", k, 1).at_most("select.k", k, experts).result();
  }
  void describe(text& t) const { t.add("top ").add(static_cast<index_t>(k)).add(" by magnitude"); }
};

static_assert(token_choice<top_k<>> && token_choice<top_k<fixed_index<8>>>);
static_assert(token_choice<magnitude_top_k<>>);

}  // namespace moeroute::inline MOEROUTE_ABI
