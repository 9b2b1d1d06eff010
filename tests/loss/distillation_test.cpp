// Decides whether router distillation (S139) is right: promise P14.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/distillation.hpp>

using namespace p14;

namespace {
std::vector<index_t> const home{0, 0, 0, 0, 1, 1, 1, 1};
std::vector<std::uint8_t> const groups{1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1};
}  // namespace

TEST_CASE("promise P14: router distillation (S139), squared error and KL, softmax and sigmoid") {
  auto const t = sample(13, 6, 2);
  std::vector<double> q(t.logits.size());
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = (1 + static_cast<double>(i % 6)) / 21;
  matrix_view<double const> const teacher(q.data(), 13, 6);
  for (bool kl : {false, true}) {
    router_distillation<double> const term{.teacher = teacher, .alpha = 2, .kl = kl};
    CHECK(gradient_error(term, by_softmax, t) < 1e-6);
    CHECK(gradient_error(term, by_sigmoid, t) < 1e-6);
    auto const s = sums_of(serial{}, term, by_softmax, t);
    CHECK(sums_of(lockstep{3}, term, by_softmax, t) == s);
    CHECK(gradient_of(lockstep{3}, term, by_softmax, t, s) == gradient_of(serial{}, term, by_softmax, t, s));
    auto same = t;
    for (std::size_t i = 0; i < q.size(); ++i) same.logits[i] = std::log(q[i]);
    CHECK(value_of(term, by_softmax, same) == doctest::Approx(0));
    CHECK(value_of(term, by_softmax, t) > 0);
  }
}
