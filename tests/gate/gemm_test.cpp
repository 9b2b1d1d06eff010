#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/gate/gemm.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

TEST_CASE("gemm: plain loops in every orientation, the same bits for every group; wrong sizes are named") {
  auto const a = inputs::normal(5 * 11, 1), b = inputs::normal(11 * 3, 2);
  std::vector<float> at(55), bt(33);
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t l = 0; l < 11; ++l) at[5 * l + i] = a[11 * i + l];
  for (std::size_t l = 0; l < 11; ++l)
    for (std::size_t j = 0; j < 3; ++j) bt[11 * j + l] = b[3 * l + j];
  auto const run = [&](auto const& x, bool ta, bool tb) {
    std::vector<float> c(15, 2.f);
    matrix_view<float const> const left =
        ta ? matrix_view<float const>(at.data(), 11, 5) : matrix_view<float const>(a.data(), 5, 11);
    matrix_view<float const> const right =
        tb ? matrix_view<float const>(bt.data(), 3, 11) : matrix_view<float const>(b.data(), 11, 3);
    REQUIRE(plain_gemm{}(x, left, ta ? transposed::yes : transposed::no, right, tb ? transposed::yes : transposed::no,
                         .5f, matrix_view<float>(c.data(), 5, 3))
                .ok());
    return c;
  };
  auto const want = run(serial{}, false, false);
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t j = 0; j < 3; ++j) {
      double sum = 1;
      for (std::size_t l = 0; l < 11; ++l)
        sum += static_cast<double>(a[11 * i + l]) * static_cast<double>(b[3 * l + j]);
      CHECK(want[3 * i + j] == doctest::Approx(sum).epsilon(1e-5));
    }
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      auto const c = run(serial{}, ta, tb);
      for (std::size_t i = 0; i < 15; ++i) CHECK(c[i] == doctest::Approx(want[i]).epsilon(1e-5));
      CHECK(run(lockstep{3}, ta, tb) == c);
    }
  std::vector<float> c(15);
  matrix_view<float> const out{c.data(), 5, 3};
  matrix_view<float const> const left{a.data(), 5, 11}, right{b.data(), 10, 3};
  status const s =
      check_gemm("hidden", left, transposed::no, "gate.weight columns", right, transposed::no, "logits", out);
  CHECK(std::string(message(s).c_str()) == "moeroute: gate.weight columns = 10 must be 11");
}
