// Decides whether observing a batch adds to what is there, skips padding, and says what is too small.
#include "promise14.hpp"

#include <moeroute/loss/observe.hpp>
#include <moeroute/loss/switch_balance.hpp>
#include <moeroute/loss/z_loss.hpp>
#include <moeroute/prior/noise.hpp>

using namespace p14;

TEST_CASE("observe: adds to the sums it is given, in the workspace it asked for") {
  auto const t = sample(27, 8, 2);
  router<> const r;
  auto const once = sums_of(serial{}, z_loss{}, r, t);
  auto twice = once;
  auto const bytes = observe_workspace_bytes<serial, z_loss, double>(serial{}, z_loss{}, t.count, t.experts);
  std::vector<std::byte> space(static_cast<std::size_t>(bytes));
  observe(serial{}, z_loss{}, r, t.view(), t.choices(), row_view<wide_sum>(twice), workspace(space));
  auto merged = once;
  merge_sums(merged, once);
  CHECK(twice == merged);
  CHECK(try_observe(serial{}, z_loss{}, r, t.view(), t.choices(), row_view<wide_sum>(twice), workspace{}).code ==
        errc::too_small);
  CHECK(twice == merged);
}

TEST_CASE("observe: a row of sums of the wrong size is named") {
  auto const t = sample(9, 4, 2);
  std::vector<wide_sum> few(1);
  std::vector<std::byte> space(1 << 16);
  terms const both{z_loss{}, z_loss{}};
  status const s =
      try_observe(serial{}, both, router<>{}, t.view(), t.choices(), row_view<wide_sum>(few), workspace(space));
  CHECK(s.code == errc::bad_shape);
  CHECK(s.found == 1);
  CHECK(s.wanted == both.sums(t.experts));
}

TEST_CASE("observe: gradients go back through a prior that scales the logits") {
  router const r{.prior = logit_jitter<>{.epsilon = .3f}};
  CHECK(gradient_error(terms{z_loss{.alpha = 1}, switch_balance{.alpha = 1}}, r, sample(9, 5, 2)) < 1e-6);
}

namespace {
template <class R>
void same_on_vectors(R const& r, tokens<float> const& t) {
  terms const both{switch_balance{.alpha = 1}, switch_balance{.alpha = 2, .load = load_source::first_choice}};
  auto const sums = sums_of(lockstep{4}, both, r, t);
  CHECK(sums_of(serial{}, both, r, t) == sums);
  auto const a = gradient_of(serial{}, both, r, t, sums), b = gradient_of(lockstep{4}, both, r, t, sums);
  for (std::size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i);
    CHECK((a[i] == b[i] || (a[i] != a[i] && b[i] != b[i])));
  }
}
}  // namespace

TEST_CASE("observe: 16 experts side by side have the bits of one after the other, closed and NaN logits too") {
  for (index_t const experts : {16, 48, 64}) {
    auto t = sample(40, experts, 3).as<float>();
    auto const at = [&](offset_t i, index_t e) -> float& {
      return t.logits[static_cast<std::size_t>(i * experts + e)];
    };
    for (index_t e = 0; e < experts; ++e) at(0, e) = -infinity<float>, at(3, e) = e % 2 == 0 ? 1e4f : -1e4f;
    at(1, 2) = at(5, 15) = -infinity<float>, at(2, 7) = std::nanf(""), at(4, 1) = 90;
    same_on_vectors(router<>{}, t);
    same_on_vectors(router{.score = sigmoid{}}, t);
    same_on_vectors(router{.score = sqrt_softplus{}}, t);
    same_on_vectors(router{.score = relu{}}, t);
    same_on_vectors(router{.score = identity{}}, t);
    same_on_vectors(router<no_gate, no_prior, given_scores>{}, t);
    for (float& z : t.logits) z = z == z && z < 1e3f ? z : 0.f;
    terms const z{z_loss{}};
    CHECK(sums_of(serial{}, z, router<>{}, t) == sums_of(lockstep{4}, z, router<>{}, t));
  }
}
