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
  CHECK(try_observe(serial{}, z_loss{}, r, t.view(), t.choices(), row_view<wide_sum>(twice), workspace{}).code == errc::too_small);
  CHECK(twice == merged);
}

TEST_CASE("observe: a row of sums of the wrong size is named") {
  auto const t = sample(9, 4, 2);
  std::vector<wide_sum> few(1);
  std::vector<std::byte> space(1 << 16);
  terms const both{z_loss{}, z_loss{}};
  status const s = try_observe(serial{}, both, router<>{}, t.view(), t.choices(), row_view<wide_sum>(few), workspace(space));
  CHECK(s.code == errc::bad_shape);
  CHECK(s.found == 1);
  CHECK(s.wanted == both.sums(t.experts));
}

TEST_CASE("observe: gradients go back through a prior that scales the logits") {
  router const r{.prior = logit_jitter<>{.epsilon = .3f}};
  CHECK(gradient_error(terms{z_loss{.alpha = 1}, switch_balance{.alpha = 1}}, r, sample(9, 5, 2)) < 1e-6);
}
