// Decides whether the experts' rows come back as their weighted sum, in one fixed order.
#include <cmath>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <moeroute/combine.hpp>
#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/permute.hpp>

#include "support/combine_everything.hpp"

using namespace moeroute;

TEST_CASE("combine: routed, identity and shared experts, gates, pass through: against plain sums") {
  combine_everything f;
  f.s.plan.slot_of_choice[6] = f.s.plan.slot_of_choice[7] = f.s.plan.slot_of_choice[8] = dropped_slot;  // token 2
  f.s.plan.slot_of_choice[9] = dropped_slot, f.s.plan.slot_of_choice[10] = 0;  // token 3 keeps one
  for (auto const kind : {gate_kind::value, gate_kind::sigmoid})
    for (auto const when_full : {overflow::drop, overflow::pass_through}) {
      f.kind = kind, f.when_full = when_full;
      auto const want = f.reference();
      std::vector<double> y(want.size(), 5), again = y, lanes = y;
      combine(serial{}, f.s.plan.view, f.terms(), as_matrix(y, 11, 37));
      combine(threads{3}, f.s.plan.view, f.terms(), as_matrix(again, 11, 37));
      combine(lockstep{4}, f.s.plan.view, f.terms(), as_matrix(lanes, 11, 37));
      CHECK(y == again);
      CHECK(y == lanes);
      for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i] == doctest::Approx(want[i]).epsilon(1e-12));
    }
}

TEST_CASE_TEMPLATE("promise P11: combine after permute with weight 1 on one choice is the identity", T, float, double,
                   Eigen::bfloat16, Eigen::half) {
  for (offset_t const k : {1, 4}) {
    travel const s(65, k, 7, 130, {.align = 16});
    auto const x = as<T>(s.x);
    std::vector<T> grouped(static_cast<std::size_t>(s.rows * 130)), y(x.size());
    std::vector<float> one(static_cast<std::size_t>(65 * k));
    for (offset_t t = 0; t < 65; ++t)
      for (offset_t j = 0; j < k; ++j)
        if (s.slot(t, j) >= 0) {
          one[static_cast<std::size_t>(t * k + j)] = 1;
          break;
        }
    permute(threads{2}, s.plan.view, as_matrix(x, 65, 130), as_matrix(grouped, s.rows, 130));
    combine(threads{2}, s.plan.view, as_matrix(grouped, s.rows, 130), as_matrix(one, 65, k), as_matrix(y, 65, 130));
    for (offset_t t = 0; t < 65; ++t) {
      bool any = false;
      for (offset_t j = 0; j < k; ++j) any = any || s.slot(t, j) >= 0;
      for (offset_t d = 0; d < 130; ++d)
        REQUIRE(y[static_cast<std::size_t>(130 * t + d)] ==
                (any ? x[static_cast<std::size_t>(130 * t + d)] : static_cast<T>(0.f)));
    }
  }
}

TEST_CASE("promise P8: a token's result has the same bits alone and in any batch") {
  travel const s(40, 4, 6, 100, {}, 8);
  auto const x = as<Eigen::bfloat16>(s.x);
  auto const w = as<float>(s.weights);
  std::vector<Eigen::bfloat16> grouped(static_cast<std::size_t>(s.rows * 100));
  std::vector<float> y(4000);  // float result of 16-bit rows
  permute(serial{}, s.plan.view, as_matrix(x, 40, 100), as_matrix(grouped, s.rows, 100));
  combine(serial{}, s.plan.view, as_matrix(grouped, s.rows, 100), as_matrix(w, 40, 4), as_matrix(y, 40, 100));
  for (offset_t t = 0; t < 40; ++t) {
    plan_arrays<> p(4, 6, 4);
    auto space = poisoned<std::byte>(plan_workspace_bytes(serial{}, 6));
    make_plan(serial{}, choices_view<>{.ids = {s.ids.data() + 4 * t, 1, 4}}, 6, {}, p.view, space);
    std::vector<Eigen::bfloat16> few(400);
    std::vector<float> alone(100);
    permute(serial{}, p.view, matrix_view<Eigen::bfloat16 const>(x.data() + 100 * t, 1, 100), as_matrix(few, 4, 100));
    combine(lockstep{2}, p.view, as_matrix(few, 4, 100), matrix_view<float const>(w.data() + 4 * t, 1, 4),
            as_matrix(alone, 1, 100));
    for (std::size_t d = 0; d < 100; ++d) REQUIRE(alone[d] == y[static_cast<std::size_t>(100 * t) + d]);
  }
}

TEST_CASE("promise P7: sums run in the order of the choices, fused, in float") {
  travel const s(20, 8, 3, 66, {}, 12);
  auto const rows = as<float>(drawn(s.rows * 66, 5));
  auto const w = as<float>(s.weights);
  std::vector<float> y(20 * 66);
  combine(serial{}, s.plan.view, as_matrix(rows, s.rows, 66), as_matrix(w, 20, 8), as_matrix(y, 20, 66));
  for (offset_t t = 0; t < 20; ++t)
    for (offset_t d = 0; d < 66; ++d) {
      float sum = 0;
      for (offset_t j = 0; j < 8; ++j)
        if (s.slot(t, j) >= 0)
          sum = std::fma(w[static_cast<std::size_t>(8 * t + j)], rows[static_cast<std::size_t>(s.slot(t, j) * 66 + d)],
                         sum);
      REQUIRE(y[static_cast<std::size_t>(66 * t + d)] == sum);
    }
}

TEST_CASE("promise P17: combine names what is missing") {
  combine_everything f;
  std::vector<double> y(11 * 37);
  auto const says = [&](combine_terms<double, double> const& in) {
    return std::string(message(try_combine(serial{}, f.s.plan.view, in, as_matrix(y, 11, 37))).c_str());
  };
  CHECK(says(f.terms()) == "ok");
  auto in = f.terms();
  in.x = {};
  CHECK(says(in).find("x rows (identity experts need x)") != std::string::npos);
  in.when_full = overflow::pass_through;
  CHECK(says(in).find("x rows (pass_through needs x)") != std::string::npos);
  in = f.terms(), in.shared = {};
  CHECK(says(in).find("shared rows (a gate needs shared experts)") != std::string::npos);
  in = f.terms(), in.gate.size = 10;
  CHECK(says(in).find("gate size = 10 must be 0 or 11") != std::string::npos);
  in = f.terms(), in.rows.rows = f.s.plan.offsets.back() - 1;
  CHECK(says(in).find("must be at least") != std::string::npos);
  in = f.terms(), in.weights.cols = 2;
  CHECK(says(in).find("weights columns = 2 must be 3") != std::string::npos);
}
