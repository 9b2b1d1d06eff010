// Decides whether soft assignment mixes and unmixes with true softmaxes, and whether its gradient is theirs.
#include <moeroute/soft/slot_logits.hpp>
#include <moeroute/soft/soft_moe.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {

// A layer with linear experts y = m_s * slot (one factor a slot): enough to send gradients through.
struct layer {
  offset_t tokens = 7, width = 5, slots = 4;
  slot_logits how{};
  std::vector<double> x, phi, m;
  std::vector<double> logits, dispatch, combine, in_slots, out_slots, y;

  matrix_view<double> view(std::vector<double>& v, offset_t rows, offset_t cols) const {
    v.resize(static_cast<std::size_t>(rows * cols));
    return {v.data(), rows, cols};
  }
  static matrix_view<double const> as_const(matrix_view<double> v) { return v; }
  template <class X>
  void forward(X const& run, row_view<std::uint8_t const> valid = {}) {
    auto const xs = as_const(view(x, tokens, width)), ps = as_const(view(phi, width, slots));
    auto const l = view(logits, tokens, slots), d = view(dispatch, tokens, slots), c = view(combine, tokens, slots);
    auto const in = view(in_slots, slots, width), out = view(out_slots, slots, width), ys = view(y, tokens, width);
    compute_slot_logits(run, how, xs, ps, l);
    soft_weights(run, as_const(l), d, c, valid);
    soft_slots(run, as_const(d), xs, in);
    for (offset_t s = 0; s < slots; ++s)
      for (offset_t i = 0; i < width; ++i) out[s][i] = m[static_cast<std::size_t>(s)] * in[s][i];
    soft_combine(run, as_const(c), as_const(out), ys);
  }
};

}  // namespace

TEST_CASE("S088 S134 soft MoE: dispatch columns and combine rows sum to 1; permuting tokens permutes outputs") {
  layer l;
  l.x = normal_numbers(35, 1), l.phi = normal_numbers(20, 2), l.m = normal_numbers(4, 3);
  l.forward(serial{});
  for (std::size_t s = 0; s < 4; ++s) {
    double sum = 0;
    for (std::size_t t = 0; t < 7; ++t) sum += l.dispatch[4 * t + s];
    CHECK(sum == doctest::Approx(1).epsilon(1e-12));
  }
  for (std::size_t t = 0; t < 7; ++t) {
    double sum = 0;
    for (std::size_t s = 0; s < 4; ++s) sum += l.combine[4 * t + s];
    CHECK(sum == doctest::Approx(1).epsilon(1e-12));
  }
  auto turned = l;
  for (std::size_t t = 0; t < 7; ++t)
    for (std::size_t i = 0; i < 5; ++i) turned.x[5 * ((t + 3) % 7) + i] = l.x[5 * t + i];
  turned.forward(serial{});
  for (std::size_t t = 0; t < 7; ++t)
    for (std::size_t i = 0; i < 5; ++i)
      CHECK(turned.y[5 * ((t + 3) % 7) + i] == doctest::Approx(l.y[5 * t + i]).epsilon(1e-12));
}

TEST_CASE("S088 soft MoE: gradients of x and phi by finite differences, plain and normalized") {
  for (bool const normalized : {false, true}) {
    layer l;
    l.how = {.normalized = normalized, .scale = normalized ? 2.5f : 1.f};
    l.x = normal_numbers(35, 4), l.phi = normal_numbers(20, 5), l.m = normal_numbers(4, 6);
    l.forward(serial{});
    auto const d_y = normal_numbers(35, 7);
    std::vector<double> d_out, d_logits, d_x(35), d_phi(20);
    auto const c = [&](std::vector<double>& v, offset_t r, offset_t k) { return layer::as_const(l.view(v, r, k)); };
    matrix_view<double const> const dy{d_y.data(), 7, 5};
    soft_combine_backward(serial{}, c(l.combine, 7, 4), c(l.out_slots, 4, 5), dy, l.view(d_out, 4, 5),
                          l.view(d_logits, 7, 4));
    for (std::size_t s = 0; s < 4; ++s)
      for (std::size_t i = 0; i < 5; ++i) d_out[5 * s + i] *= l.m[s];
    soft_slots_backward(serial{}, c(l.dispatch, 7, 4), c(l.x, 7, 5), c(d_out, 4, 5), l.view(d_x, 7, 5),
                        l.view(d_logits, 7, 4));
    slot_logits_backward(serial{}, l.how, c(l.x, 7, 5), c(l.phi, 5, 4), c(l.logits, 7, 4), c(d_logits, 7, 4),
                         l.view(d_x, 7, 5), l.view(d_phi, 5, 4));
    auto const check = [&](std::vector<double>& p, std::vector<double> const& found) {
      for (std::size_t i = 0; i < p.size(); ++i) {
        auto const loss = [&](double h) {
          double const kept = p[i];
          p[i] = kept + h;
          l.forward(serial{});
          p[i] = kept;
          double sum = 0;
          for (std::size_t j = 0; j < 35; ++j) sum += d_y[j] * l.y[j];
          return sum;
        };
        CHECK(found[i] == doctest::Approx((loss(1e-5) - loss(-1e-5)) / 2e-5).epsilon(1e-6).scale(1));
      }
    };
    check(l.x, d_x);
    check(l.phi, d_phi);
  }
}

TEST_CASE("P9 S088 soft MoE: padding mixes into no slot; lane groups agree; shapes are checked") {
  layer l;
  l.x = normal_numbers(35, 8), l.phi = normal_numbers(20, 9), l.m = normal_numbers(4, 10);
  std::vector<std::uint8_t> const valid{1, 1, 0, 1, 1, 0, 1};
  l.forward(serial{}, valid);
  auto const before = l.y;
  for (std::size_t i = 10; i < 15; ++i) l.x[i] = 1e3;
  l.forward(serial{}, valid);
  for (std::size_t i = 0; i < 35; ++i) {
    CHECK(l.y[i] == before[i]);
    if (i / 5 == 2 || i / 5 == 5) CHECK(l.y[i] == 0);
  }
  auto const serial_y = l.y;
  l.forward(lockstep{.lanes = 4}, valid);
  CHECK(same_bits(l.y, serial_y));
  l.forward(lockstep{.lanes = 32}, valid);
  CHECK(same_bits(l.y, serial_y));
  std::vector<double> small(6);
  CHECK(!try_soft_slots(serial{}, matrix_view<double const>{l.dispatch.data(), 7, 4},
                        matrix_view<double const>{l.x.data(), 6, 5}, matrix_view<double>{small.data(), 4, 5})
             .ok());
}
