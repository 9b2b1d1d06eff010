#include <doctest/doctest.h>

#include <vector>

#include <moeroute/cpu/eigen.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

TEST_CASE("eigen: views of Eigen matrices keep their stride, and its GEMM equals ours") {
  eigen_matrix<float> a = eigen_matrix<float>::Random(5, 7), b = eigen_matrix<float>::Random(4, 7);
  matrix_view<float const> const block = a.block(1, 2, 3, 4);
  CHECK(block.stride == 7);
  CHECK(block[1][2] == a(2, 4));
  Eigen::Map<eigen_matrix<float>, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>> const skewed(a.data(), 2, 3,
                                                                                                 {7, 2});
  CHECK(matrix_view<float const>(skewed).stride == -1);
  for (float beta : {0.f, 1.f, .5f})
    for (bool ta : {false, true})
      for (bool tb : {false, true}) {
        eigen_matrix<float> const x = ta ? eigen_matrix<float>(a.transpose()) : a;
        eigen_matrix<float> const y = tb ? b : eigen_matrix<float>(b.transpose());
        eigen_matrix<float> c = eigen_matrix<float>::Constant(5, 4, 2.f), d = c;
        auto const t = [](bool yes) { return yes ? transposed::yes : transposed::no; };
        REQUIRE(eigen_gemm{}(serial{}, matrix_view<float const>(x), t(ta), matrix_view<float const>(y), t(tb), beta,
                             matrix_view<float>(c))
                    .ok());
        REQUIRE(plain_gemm{}(serial{}, matrix_view<float const>(x), t(ta), matrix_view<float const>(y), t(tb), beta,
                             matrix_view<float>(d))
                    .ok());
        eigen_matrix<float> const want = beta * 2 * eigen_matrix<float>::Ones(5, 4) + a * b.transpose();
        CHECK((c - want).cwiseAbs().maxCoeff() < 1e-5f);
        CHECK((d - want).cwiseAbs().maxCoeff() < 1e-5f);
      }
}
