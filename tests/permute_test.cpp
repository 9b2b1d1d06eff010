// Decides whether rows reach their slots unchanged (or weighed), and gradients come back.
#include <doctest/doctest.h>

#include <Eigen/Core>

#include <moeroute/combine.hpp>
#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/permute.hpp>

#include "support/travel.hpp"

using namespace moeroute;

TEST_CASE_TEMPLATE("promise P11: permute copies every row bit for bit to each of its slots, zeros the padding", T,
                   float, double, Eigen::bfloat16, Eigen::half) {
  for (offset_t const width : {1, 7, 64, 70, 200}) {
    travel const s(33, 3, 5, width, {.align = 8});
    auto const x = as<T>(s.x);
    auto const check = [&](auto const& ex) {
      std::vector<T> grouped(static_cast<std::size_t>(s.rows * (width + 3)), static_cast<T>(99.f));
      matrix_view<T> const to{grouped.data(), s.rows, width, width + 3};
      permute(ex, s.plan.view, as_matrix(x, s.tokens, width), to);
      for (offset_t r = 0; r < s.rows; ++r)
        for (offset_t d = 0; d < width + 3; ++d) {
          offset_t const t = s.plan.token_of_slot[static_cast<std::size_t>(r)];
          bool const used = r < s.plan.offsets.back() && d < width;
          auto const want = !used   ? static_cast<T>(99.f)
                            : t < 0 ? static_cast<T>(0.f)
                                    : x[static_cast<std::size_t>(t * width + d)];
          REQUIRE(to.data[r * to.stride + d] == want);
        }
    };
    check(serial{}), check(threads{3}), check(lockstep{4});
  }
}

TEST_CASE_TEMPLATE("permute: a weight on the input multiplies the row in float and rounds once", T, float, double,
                   Eigen::bfloat16) {
  travel const s(20, 2, 4, 70);
  auto const x = as<T>(s.x);
  auto const w = as<float>(s.weights);
  std::vector<T> grouped(static_cast<std::size_t>(s.rows * 70)), lanes = grouped;
  permute(serial{}, s.plan.view, as_matrix(x, 20, 70), as_matrix(w, 20, 2), as_matrix(grouped, s.rows, 70));
  permute(lockstep{3}, s.plan.view, as_matrix(x, 20, 70), as_matrix(w, 20, 2), as_matrix(lanes, s.rows, 70));
  CHECK(grouped == lanes);
  for (offset_t t = 0; t < 20; ++t)
    for (offset_t j = 0; j < 2; ++j)
      if (s.slot(t, j) >= 0)
        for (offset_t d = 0; d < 70; ++d) {
          using V = compute_t<T>;
          V const want = static_cast<V>(w[static_cast<std::size_t>(2 * t + j)]) *
                         static_cast<V>(x[static_cast<std::size_t>(70 * t + d)]);
          REQUIRE(grouped[static_cast<std::size_t>(s.slot(t, j) * 70 + d)] == static_cast<T>(want));
        }
}

TEST_CASE("promise P14: gradients of permute with the weight on the input match central differences") {
  travel const s(9, 3, 4, 37, {.align = 4});
  auto x = s.x, w = s.weights;
  auto const d_grouped = drawn(s.rows * 37, 5);
  auto const loss = [&] {
    std::vector<double> grouped(static_cast<std::size_t>(s.rows * 37));
    permute(serial{}, s.plan.view, as_matrix(x, 9, 37), as_matrix(w, 9, 3), as_matrix(grouped, s.rows, 37));
    double sum = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(s.plan.offsets.back() * 37); ++i)
      sum += grouped[i] * d_grouped[i];
    return sum;
  };
  for (int which = 0; which < 3; ++which) {
    std::vector<double> d_x(x.size(), 7), d_w(w.size(), 7);
    auto const run = [&](auto const& ex) {
      permute_backward(ex, s.plan.view, as_matrix(x, 9, 37), as_matrix(w, 9, 3), as_matrix(d_grouped, s.rows, 37),
                       as_matrix(d_x, 9, 37), as_matrix(d_w, 9, 3));
    };
    if (which == 0) run(serial{});
    else if (which == 1) run(threads{2});
    else run(lockstep{5});
    auto const same = [&](std::vector<double>& v, std::vector<double> const& grad) {
      for (std::size_t i = 0; i < v.size(); ++i) {
        double const before = v[i], h = 0.25;  // the loss is linear in each
        v[i] = before + h;
        double const up = loss();
        v[i] = before - h;
        double const down = loss();
        v[i] = before;
        CHECK(grad[i] == doctest::Approx((up - down) / (2 * h)).epsilon(1e-9));
      }
    };
    if (which == 0) same(x, d_x), same(w, d_w);
    else if (which > 0) {
      std::vector<double> e_x(x.size()), e_w(w.size());
      permute_backward(serial{}, s.plan.view, as_matrix(x, 9, 37), as_matrix(w, 9, 3), as_matrix(d_grouped, s.rows, 37),
                       as_matrix(e_x, 9, 37), as_matrix(e_w, 9, 3));
      CHECK(e_x == d_x);  // every executor and every lane group, to the last bit
      CHECK(e_w == d_w);
    }
  }
}

TEST_CASE("permute: without weights the gradient is the plain sum; combine of ones is its twin") {
  travel const s(50, 4, 6, 65, {.align = 8});
  auto const d_grouped = as<float>(drawn(s.rows * 65, 3));
  std::vector<float> d_x(50 * 65), y(50 * 65);
  permute_backward(serial{}, s.plan.view, as_matrix(d_grouped, s.rows, 65), as_matrix(d_x, 50, 65));
  combine(threads{2}, s.plan.view, as_matrix(d_grouped, s.rows, 65), as_matrix(y, 50, 65));
  CHECK(d_x == y);
}

TEST_CASE("promise P12: rows beyond 2^31 elements are reached, through rows that overlap in little memory") {
  // Row r of this view starts r * stride elements in: r * stride passes 2^31 for the last row, the memory is
  // one reserved region of which only the touched pages exist.
  offset_t const width = 8, rows = 5, stride = (offset_t{1} << 31) / 4 + 1000;
  std::vector<int> const ids{4, 0};  // two tokens; expert 4's only row is row 1, but offsets are given below
  std::vector<float> x(16);
  for (std::size_t i = 0; i < 16; ++i) x[i] = static_cast<float>(i + 1);
  plan_arrays<> p(2, 5, rows);
  p.view.choices = {2, 1, {}};
  p.offsets = {0, 1, 2, 3, 4, 5};
  p.slot_of_choice = {4, 0};
  p.token_of_slot = {1, 0, 0, 0, 0};  // no padding
  // A calloc of many GiB commits nothing until written.
  auto* const memory = static_cast<float*>(std::calloc(static_cast<std::size_t>(4 * stride + width), sizeof(float)));
  if (memory == nullptr) {
    MESSAGE("no address space for this test");
    return;
  }
  matrix_view<float> const far{memory, rows, width, stride};
  REQUIRE(far.stride * 4 > offset_t{1} << 31);
  permute(serial{}, p.view, as_matrix(x, 2, width), far);
  CHECK(memory[4 * stride] == 1.f);
  CHECK(memory[4 * stride + 7] == 8.f);
  CHECK(memory[0] == 9.f);
  std::vector<float> y(16);
  combine(serial{}, p.view, far, as_matrix(y, 2, width));
  CHECK(y == x);
  std::free(memory);
}

TEST_CASE("promise P17: permute names the array that does not fit") {
  travel const s(6, 2, 3, 8, {.align = 4});
  std::vector<float> x(48), grouped(static_cast<std::size_t>(s.rows * 8)), w(12);
  auto const says = [&](matrix_view<float const> in, matrix_view<float const> weights, matrix_view<float> out) {
    return std::string(message(try_permute(serial{}, s.plan.view, in, weights, out)).c_str());
  };
  auto const g = as_matrix(grouped, s.rows, 8);
  CHECK(says(as_matrix(x, 6, 8), {}, g) == "ok");
  CHECK(says(as_matrix(x, 5, 8), {}, g).find("x rows = 5 must be 6") != std::string::npos);
  CHECK(says({x.data(), 6, 8, 7}, {}, g).find("(row stride) must be at least 8") != std::string::npos);
  CHECK(says(as_matrix(x, 6, 7), {}, g).find("grouped columns = 8 must be 7") != std::string::npos);
  CHECK(says(as_matrix(x, 6, 8), as_matrix(w, 6, 1), g).find("weights columns = 1 must be 2") != std::string::npos);
  CHECK(says(as_matrix(x, 6, 8), {}, as_matrix(grouped, s.plan.offsets.back() - 1, 8)).find("grouped rows") !=
        std::string::npos);
  CHECK_THROWS_AS(permute(serial{}, s.plan.view, as_matrix(x, 5, 8), g), error);
}
