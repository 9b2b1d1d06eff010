// Decides which experts a token may use before anything is scored: logits in, logits out, -inf closed.
#pragma once

#include <moeroute/concepts.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct no_prior {
  static constexpr bool none = true;
  MOEROUTE_HD void operator()(auto const&, row_context, auto const&) const {}
};

// The same experts open for every token. Source: expert pruning and switchboards; 1 = open.
struct expert_mask {
  row_view<std::uint8_t const> open{};  // experts
  MOEROUTE_HD void operator()(lane_group auto const& g, row_context, auto const& x) const {
    x.each(g, [&](index_t e, auto& z) {
      if (open[e] == 0) z = -infinity<float>;
    });
  }
  status validate(index_t experts) const { return checks{}.must_be("prior.open size", open.size, experts).result(); }
  void describe(text& t) const { t.add("experts outside the mask closed"); }
};

// Experts open by the modality, task or condition of the token: rows of a table (P24 isolated pools).
struct modality_mask {
  matrix_view<std::uint8_t const> open{};  // modalities x experts, 1 = open
  MOEROUTE_HD void operator()(lane_group auto const& g, row_context c, auto const& x) const {
    bool const known = c.modality >= 0 && c.modality < open.rows;  // a stranger has no pool
    x.each(g, [&](index_t e, auto& z) {
      if (!known || open[c.modality][e] == 0) z = -infinity<float>;
    });
  }
  MOEROUTE_HD offset_t modalities() const { return open.rows; }
  status validate(index_t experts) const {
    checks c;
    c.must_be("prior.open columns", open.cols, experts).strided("prior.open", open);
    return c.at_least("prior.open rows", open.rows, 1, errc::missing).result();
  }
  void describe(text& t) const { t.add("experts outside the modality's pool closed"); }
};

// Experts that are up at all, told by their stand-in: e.g. after a device left (closed = not available).
struct availability {
  row_view<std::uint8_t const> available{};  // experts, 0 = closed
  MOEROUTE_HD void operator()(lane_group auto const& g, row_context c, auto const& x) const {
    expert_mask{available}(g, c, x);
  }
  status validate(index_t experts) const {
    return checks{}.must_be("prior.available size", available.size, experts).result();
  }
  void describe(text& t) const { t.add("unavailable experts closed"); }
};

// logit + offset[e]: test-time steering, resident-set bonus, logit-level priors.
struct logit_offset {
  row_view<float const> offset{};  // experts
  float scale = 1;
  MOEROUTE_HD void operator()(lane_group auto const& g, row_context, auto const& x) const {
    x.each(g, [&]<class V>(index_t e, V& z) { z = math::fma(V(scale), V(offset[e]), z); });
  }
  status validate(index_t experts) const {
    return checks{}.must_be("prior.offset size", offset.size, experts).result();
  }
  void describe(text& t) const { t.add("logit + ").add(scale).add(" offset[e]"); }
};

// Two policies of one kind, first then second.
template <class A, class B>
struct both {
  [[no_unique_address]] A first{};
  [[no_unique_address]] B second{};

  MOEROUTE_EXEC_CHECK_DISABLE
  MOEROUTE_HD void operator()(lane_group auto const& g, row_context c, auto const& x) const
    requires prior_policy<A>
  {
    first(g, c, x);
    second(g, c, x);
  }
  MOEROUTE_HD offset_t modalities() const
    requires(tells_modalities<A> || tells_modalities<B>)
  {
    offset_t const a = modalities_of(first), b = modalities_of(second);
    return a < b ? a : b;
  }
  status validate_tokens(offset_t tokens) const {
    return checks{}.also(tokens_fit(first, tokens)).also(tokens_fit(second, tokens)).result();
  }
  status validate(index_t experts) const {
    return checks{}.also(experts_fit(first, experts)).also(experts_fit(second, experts)).result();
  }
  void describe(text& t) const {
    if constexpr (describes<A>) first.describe(t);
    t.add(", then ");
    if constexpr (describes<B>) second.describe(t);
  }
};
template <class A, class B>
both(A, B) -> both<A, B>;

static_assert(prior_policy<no_prior> && prior_policy<expert_mask> && prior_policy<modality_mask>);
static_assert(prior_policy<availability> && prior_policy<logit_offset>);
static_assert(prior_policy<both<expert_mask, logit_offset>>);

}  // namespace moeroute::inline MOEROUTE_ABI
