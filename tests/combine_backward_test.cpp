// Decides whether every gradient of combine is the one of its sum.
#include <cmath>

#include <doctest/doctest.h>

#include <moeroute/combine_backward.hpp>
#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/permute.hpp>

#include "support/combine_everything.hpp"

using namespace moeroute;

TEST_CASE("promise P14: every gradient of combine matches central differences") {
  for (auto const kind : {gate_kind::value, gate_kind::sigmoid}) {
    combine_everything f;
    f.kind = kind, f.when_full = overflow::pass_through;
    f.s.plan.slot_of_choice[6] = f.s.plan.slot_of_choice[7] = f.s.plan.slot_of_choice[8] = dropped_slot;
    auto const d_y = drawn(11 * 37, 9);
    auto const loss = [&] {
      std::vector<double> y(11 * 37);
      combine(serial{}, f.s.plan.view, f.terms(), as_matrix(y, 11, 37));
      double sum = 0;
      for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * d_y[i];
      return sum;
    };
    struct grads {
      std::vector<double> rows, w, x, shared, gate;
    };
    auto const back = [&](auto const& ex) {
      grads g{std::vector<double>(f.rows.size(), 3), std::vector<double>(f.w.size(), 3),
              std::vector<double>(f.x.size(), 3), std::vector<double>(f.shared.size(), 3),
              std::vector<double>(f.gate.size(), 3)};
      combine_gradients<double, double> const out{as_matrix(g.rows, f.s.rows, 37), as_matrix(g.w, 11, 3),
                                                  as_matrix(g.x, 11, 37), as_matrix(g.shared, 11, 37), g.gate};
      combine_backward(ex, f.s.plan.view, f.terms(), as_matrix(d_y, 11, 37), out);
      return g;
    };
    auto const g = back(serial{});
    auto const same = [&](std::vector<double>& v, std::vector<double> const& grad, double tolerance) {
      for (std::size_t i = 0; i < v.size(); i += v.size() > 200 ? 3u : 1u) {
        double const before = v[i], h = 1e-3;
        v[i] = before + h;
        double const up = loss();
        v[i] = before - h;
        double const down = loss();
        v[i] = before;
        CHECK(std::fabs(grad[i] - (up - down) / (2 * h)) < tolerance);
      }
    };
    same(f.w, g.w, 1e-8), same(f.x, g.x, 1e-8), same(f.shared, g.shared, 1e-8), same(f.gate, g.gate, 1e-5);
    auto const& rows = g.rows;
    for (offset_t r = 0; r < f.s.plan.offsets.back(); ++r)  // padding: no gradient
      for (offset_t d = 0; d < 37; ++d)
        if (f.s.plan.token_of_slot[static_cast<std::size_t>(r)] < 0)
          CHECK(rows[static_cast<std::size_t>(r * 37 + d)] == 0);
    for (offset_t t = 0; t < 11; ++t)
      for (offset_t j = 0; j < 3; ++j)
        if (offset_t const slot = f.s.slot(t, j); slot >= 0)
          for (offset_t d = 0; d < 37; ++d)
            CHECK(rows[static_cast<std::size_t>(slot * 37 + d)] ==
                  f.w[static_cast<std::size_t>(3 * t + j)] * d_y[static_cast<std::size_t>(37 * t + d)]);
    for (auto const& other : {back(threads{2}), back(lockstep{3})}) {
      CHECK(other.rows == g.rows);
      CHECK(other.w == g.w);
      CHECK(other.x == g.x);
      CHECK(other.shared == g.shared);
      CHECK(other.gate == g.gate);
    }
  }
}

TEST_CASE("combine: the weight on the input and on the output agree for a linear expert, gradients too") {
  travel const s(17, 2, 5, 40);
  auto const& w = s.weights;
  std::vector<double> on_input(static_cast<std::size_t>(s.rows * 40)), plain = on_input, y1(680), y2(680);
  permute(serial{}, s.plan.view, as_matrix(s.x, 17, 40), as_matrix(w, 17, 2), as_matrix(on_input, s.rows, 40));
  permute(serial{}, s.plan.view, as_matrix(s.x, 17, 40), as_matrix(plain, s.rows, 40));
  combine(serial{}, s.plan.view, as_matrix(on_input, s.rows, 40), as_matrix(y1, 17, 40));
  combine(serial{}, s.plan.view, as_matrix(plain, s.rows, 40), as_matrix(w, 17, 2), as_matrix(y2, 17, 40));
  for (std::size_t i = 0; i < 680; ++i) CHECK(y1[i] == doctest::Approx(y2[i]).epsilon(1e-12));
  auto const d_y = drawn(680, 3);
  std::vector<double> d_rows(plain.size()), d_w1(34), d_w2(34), d_x(680);
  combine_backward(
      serial{}, s.plan.view,
      combine_terms<double, double>{.rows = as_matrix(plain, s.rows, 40), .weights = as_matrix(w, 17, 2)},
      as_matrix(d_y, 17, 40),
      combine_gradients<double, double>{.rows = as_matrix(d_rows, s.rows, 40), .weights = as_matrix(d_w1, 17, 2)});
  combine_backward(serial{}, s.plan.view, combine_terms<double, double>{.rows = as_matrix(on_input, s.rows, 40)},
                   as_matrix(d_y, 17, 40), combine_gradients<double, double>{.rows = as_matrix(d_rows, s.rows, 40)});
  permute_backward(serial{}, s.plan.view, as_matrix(s.x, 17, 40), as_matrix(w, 17, 2), as_matrix(d_rows, s.rows, 40),
                   as_matrix(d_x, 17, 40), as_matrix(d_w2, 17, 2));
  for (std::size_t i = 0; i < 34; ++i) CHECK(d_w1[i] == doctest::Approx(d_w2[i]).epsilon(1e-12));
}
