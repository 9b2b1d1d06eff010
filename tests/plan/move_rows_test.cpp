// Decides whether dot products have the same bits for every lane group, and padding rows become zeros.
#include <doctest/doctest.h>

#include <Eigen/Core>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/plan/move_rows.hpp>

#include "support/travel.hpp"

using namespace moeroute;

namespace {
template <class T>
struct dot_row {
  T const *a, *b;
  offset_t width;
  float* out;
  offset_t scratch_bytes() const { return 0; }
  void operator()(lane_group auto const& g, offset_t, scratch) const {
    float const d = detail::dot<float>(g, a, b, width);
    if (g.rank() == 0) *out = d;
  }
};
}  // namespace

TEST_CASE_TEMPLATE("promise P7: a dot product has the same bits for 1, 2, 3, 4, 32 and 33 lanes", T, float,
                   Eigen::half) {
  for (offset_t const width : {0, 1, 31, 32, 33, 64, 100, 1000}) {
    auto const a = as<T>(drawn(width, 1)), b = as<T>(drawn(width, 2));
    float want = -1;
    REQUIRE(serial{}.run(1, dot_row<T>{a.data(), b.data(), width, &want}, {}).ok());
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
      sum += static_cast<double>(static_cast<float>(a[i])) * static_cast<double>(static_cast<float>(b[i]));
    CHECK(static_cast<double>(want) == doctest::Approx(sum).epsilon(1e-5));
    for (index_t const lanes : {2, 3, 4, 32, 33}) {
      float got = -1;
      REQUIRE(lockstep{lanes}.run(1, dot_row<T>{a.data(), b.data(), width, &got}, {}).ok());
      CHECK(math::as<std::int32_t>(got) == math::as<std::int32_t>(want));
    }
  }
}

TEST_CASE("promise P9: rows beyond the rows in use are not written, padding rows are zeroed, others kept") {
  travel const s(9, 2, 4, 5, {.align = 4});
  std::vector<float> grouped(static_cast<std::size_t>(s.rows * 5), 7.f);
  REQUIRE(try_zero_padding(lockstep{3}, s.plan.view, as_matrix(grouped, s.rows, 5)).ok());
  for (offset_t r = 0; r < s.rows; ++r)
    for (offset_t d = 0; d < 5; ++d) {
      bool const padding = r < s.plan.offsets.back() && s.plan.token_of_slot[static_cast<std::size_t>(r)] < 0;
      CHECK(grouped[static_cast<std::size_t>(r * 5 + d)] == (padding ? 0.f : 7.f));
    }
}
