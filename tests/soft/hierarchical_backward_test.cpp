// Decides whether the gradient of two-level soft assignment is the derivative of its forward, both levels together.
#include <moeroute/soft/hierarchical_backward.hpp>

#include <algorithm>
#include <cmath>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S134 hierarchical soft MoE: the combined backward of both levels, by central differences") {
  hierarchical_soft const how{.group = 4, .slots = 2};
  offset_t const tokens = 10, width = 3, slots = 6, groups = 3;  // groups of 4, 4 and 2
  auto x = normal_numbers(30, 1);
  auto const d = normal_numbers(30, 2), map = normal_numbers(6, 3), phi2 = normal_numbers(18, 4);
  using vec = std::vector<double>;
  auto const c = [](vec const& v, offset_t rows, offset_t cols) {
    return matrix_view<double const>{v.data(), rows, cols};
  };
  auto const m = [](vec& v, offset_t rows, offset_t cols) { return matrix_view<double>{v.data(), rows, cols}; };
  vec means(9), vectors(18), a(20), s1(18), logits(36), dispatch(36), combine(36), s2(18), f(18), o(18), y(30);
  // slot vectors: a fixed linear map of the group's mean; level 2: logits of the slots against phi2; expert: tanh
  auto const forward = [&](auto const& run) {
    REQUIRE(try_group_means(run, how, c(x, tokens, width), m(means, groups, width)).ok());
    for (std::size_t i = 0; i < 18; ++i)
      vectors[i] = means[i / 6 * 3 + i % 3] * map[i % 6] + .2 * means[i / 6 * 3 + (i + 1) % 3];
    REQUIRE(try_group_assignment(run, how, c(x, tokens, width), c(vectors, slots, width), m(a, tokens, 2)).ok());
    REQUIRE(try_group_slots(run, how, c(a, tokens, 2), c(x, tokens, width), m(s1, slots, width)).ok());
    for (std::size_t i = 0; i < 36; ++i) {
      logits[i] = 0;
      for (std::size_t q = 0; q < 3; ++q) logits[i] += s1[i / 6 * 3 + q] * phi2[i % 6 * 3 + q];
    }
    soft_weights(run, c(logits, 6, 6), m(dispatch, 6, 6), m(combine, 6, 6));
    soft_slots(run, c(dispatch, 6, 6), c(s1, slots, width), m(s2, 6, width));
    for (std::size_t i = 0; i < 18; ++i) f[i] = std::tanh(s2[i]);
    soft_combine(run, c(combine, 6, 6), c(f, 6, width), m(o, slots, width));
    REQUIRE(try_group_combine(run, how, c(a, tokens, 2), c(o, slots, width), m(y, tokens, width)).ok());
  };
  vec d_x(30), d_vectors(18);
  auto const backward = [&](auto const& run) {
    forward(run);
    vec d_o(18), d_a(20), d_f(18), d_logits(36), d_s1(18), d_means(9);
    std::fill(d_x.begin(), d_x.end(), 0.);
    REQUIRE(try_group_combine_backward(run, how, c(a, tokens, 2), c(o, slots, width), c(d, tokens, width),
                                       m(d_o, slots, width), m(d_a, tokens, 2))
                .ok());
    soft_combine_backward(run, c(combine, 6, 6), c(f, 6, width), c(d_o, slots, width), m(d_f, 6, width),
                          m(d_logits, 6, 6));
    for (std::size_t i = 0; i < 18; ++i) d_f[i] *= 1 - f[i] * f[i];
    soft_slots_backward(run, c(dispatch, 6, 6), c(s1, slots, width), c(d_f, 6, width), m(d_s1, slots, width),
                        m(d_logits, 6, 6));
    for (std::size_t i = 0; i < 36; ++i)
      for (std::size_t q = 0; q < 3; ++q) d_s1[i / 6 * 3 + q] += d_logits[i] * phi2[i % 6 * 3 + q];
    REQUIRE(try_group_backward(run, how, c(x, tokens, width), c(vectors, slots, width), c(a, tokens, 2),
                               c(d_s1, slots, width), m(d_a, tokens, 2), m(d_x, tokens, width),
                               m(d_vectors, slots, width))
                .ok());
    for (std::size_t i = 0; i < 18; ++i) {
      d_means[i / 6 * 3 + i % 3] += d_vectors[i] * map[i % 6];
      d_means[i / 6 * 3 + (i + 1) % 3] += .2 * d_vectors[i];
    }
    REQUIRE(try_group_means_backward(run, how, c(d_means, groups, width), m(d_x, tokens, width)).ok());
  };
  backward(serial{});
  auto const found = d_x, found_vectors = d_vectors;
  auto const loss = [&] {
    forward(serial{});
    double sum = 0;
    for (std::size_t i = 0; i < 30; ++i) sum += d[i] * y[i];
    return sum;
  };
  for (std::size_t i = 0; i < 30; ++i) {
    double const kept = x[i];
    x[i] = kept + 1e-6;
    double const up = loss();
    x[i] = kept - 1e-6;
    double const down = loss();
    x[i] = kept;
    CHECK(found[i] == doctest::Approx((up - down) / 2e-6).epsilon(1e-5).scale(1));
  }
  backward(lockstep{.lanes = 4});
  CHECK(same_bits(found, d_x));
  CHECK(same_bits(found_vectors, d_vectors));
  vec small(5);
  CHECK(!try_group_means_backward(serial{}, how, c(means, groups, width), m(small, 1, width)).ok());
}
