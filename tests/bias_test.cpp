#include <doctest/doctest.h>

#include <vector>

#include <moeroute/bias.hpp>

using namespace moeroute;

TEST_CASE("bias: adds its parameter, by expert and by modality") {
  std::vector<float> const b{.5f, -.5f};
  correction_bias const c{b};
  static_assert(std::same_as<decltype(c), correction_bias<float> const>);
  CHECK(c(1.f, c.parameters({})[1]) == .5f);
  std::vector<double> const table{1, 2, 3, 4};
  modality_bias<double> const m{{table.data(), 2, 2}};
  CHECK(m.parameters({.modality = 1})[0] == 3.);
  CHECK(c.validate(2).ok());
  CHECK_FALSE(c.validate(3).ok());
  CHECK_FALSE(m.validate(3).ok());
  CHECK(no_bias{}(2.f, 9.f) == 2.f);
}
