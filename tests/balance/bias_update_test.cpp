// Decides whether bias rules move the right experts by the right amount, and none at balance.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include <moeroute/balance/bias_update.hpp>
#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/core/philox.hpp>
#include <moeroute/route.hpp>
#include <moeroute/stats/counts.hpp>

using namespace moeroute;

namespace {
template <class P, class Rule>
std::vector<P> after(Rule const& rule, std::vector<std::int64_t> const& counts, std::vector<P> bias,
                     offset_t tokens = 0) {
  auto other = bias;
  update_bias(serial{}, rule, row_view<std::int64_t const>(counts), row_view<P>(bias), tokens);
  update_bias(lockstep{3}, rule, row_view<std::int64_t const>(counts), row_view<P>(other), tokens);
  CHECK(bias == other);
  return bias;
}
}  // namespace

TEST_CASE("S046 sign update: towards the mean, nothing at the mean") {
  auto const b = after<double>(sign_update{.rate = .5}, {5, 3, 4, 4}, {0, 0, 0, 1});
  CHECK(b == std::vector<double>{-.5, .5, 0, 1});
  CHECK(after<float>(sign_update{}, {4, 4, 4}, {1, 2, 3}) == std::vector<float>{1, 2, 3});
  CHECK(after<float>(sign_update{}, {0, 0, 0}, {1, 2, 3}) == std::vector<float>{1, 2, 3});
}
TEST_CASE("P26 zero-mean sign update: the mean of the bias does not drift") {
  auto const b = after<double>(sign_update{.rate = .25, .zero_mean = true}, {9, 1, 1, 1}, {0, 0, 0, 0});
  CHECK(b == std::vector<double>{-.375, .125, .125, .125});
}
TEST_CASE("S046 proportional update") {
  auto const b = after<double>(proportional_update{.rate = 1}, {6, 2, 4, 4}, {0, 0, 0, 0});
  CHECK(b == std::vector<double>{-.5, .5, 0, 0});
}
TEST_CASE("P25 LongCat: real experts aim at k_target of k, identity experts do not move") {
  target_update const rule{.rate = 1, .identity_experts = 2, .k = 3, .k_target = 2};
  // 10 tokens x 3; at the target each of 4 real experts gets 5 of 30 slots.
  auto const b = after<double>(rule, {5, 5, 5, 5, 7, 3}, {0, 0, 0, 0, 0, 0});
  for (double x : b) CHECK(x == doctest::Approx(0));
  auto const c = after<double>(rule, {8, 2, 5, 5, 5, 5}, {0, 0, 0, 0, 0, 0});
  CHECK(c[0] == doctest::Approx(-.1));
  CHECK(c[1] == doctest::Approx(.1));
  CHECK(c[5] == 0);
}
TEST_CASE("S067 FlyLoRA: counts over tokens against k / r, not raw counts") {
  // 8 tokens, k = 2 of 4: balance is 4 each. Raw counts against 0.5 would push every bias down.
  auto const b = after<double>(share_update{.rate = .5, .k = 2}, {4, 7, 1, 4}, {0, 0, 0, 0}, 8);
  CHECK(b == std::vector<double>{0, -.5, .5, 0});
}
TEST_CASE("bias update: one row a modality; a 32-bit count type; wrong sizes named") {
  std::vector<index_t> counts{3, 1, 1, 3};
  std::vector<float> bias(4);
  update_bias(serial{}, sign_update{.rate = 1}, matrix_view<index_t>(counts.data(), 2, 2),
              matrix_view<float>(bias.data(), 2, 2));
  CHECK(bias == std::vector<float>{-1, 1, 1, -1});
  auto const s = try_update_bias(serial{}, sign_update{}, row_view<index_t>(counts), row_view<float>(bias.data(), 3));
  CHECK(s.code == errc::bad_shape);
}
TEST_CASE("S046: on a skewed stream the violation falls below a bound, and weights never hold the bias") {
  std::vector<float> bias(8), logits(64 * 8), weights(64 * 2);
  std::vector<index_t> ids(64 * 2);
  std::vector<std::byte> memory(1 << 16);
  router const r{
      .score = sigmoid{}, .bias = correction_bias{row_view<float const>(bias)}, .select = top_k{.k = fixed<2>}};
  double violation = 0;
  for (std::uint32_t step = 0; step < 400; ++step) {
    draws const noise{.seed = 3, .step = step};
    for (offset_t t = 0; t < 64; ++t)
      for (index_t e = 0; e < 8; ++e)
        logits[static_cast<std::size_t>(8 * t + e)] = noise.normal(t, e) - .3f * static_cast<float>(e);
    batch<float> in;
    in.logits = {logits.data(), 64, 8};
    route(serial{}, r, in, routing_view<index_t, float>{{ids.data(), 64, 2}, {weights.data(), 64, 2}, {}}, memory);
    std::vector<std::int64_t> counts(8);
    count_choices(serial{}, matrix_view<index_t>(ids.data(), 64, 2), {}, row_view<std::int64_t>(counts), memory);
    violation = static_cast<double>(*std::max_element(counts.begin(), counts.end())) / 16 - 1;
    if (step == 0) CHECK(violation > 1);
    update_bias(serial{}, sign_update{.rate = .01}, row_view<std::int64_t>(counts), row_view<float>(bias));
  }
  CHECK(violation < .6);
  CHECK(weights[0] == math::sigmoid(logits[static_cast<std::size_t>(ids[0])]));
}
