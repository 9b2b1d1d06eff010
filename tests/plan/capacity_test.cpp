// Decides whether every capacity formula gives the numbers of its framework, whatever the sizes.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include <moeroute/plan/capacity.hpp>

using namespace moeroute;
using f = capacity_formula;

namespace {
offset_t of(capacity_rule const& rule, offset_t tokens, offset_t k, index_t experts, offset_t largest = 0) {
  return capacity(rule, {tokens, tokens * k, experts, largest});
}
}  // namespace

TEST_CASE("capacity: hand-worked numbers of each formula") {
  CHECK(of({f::megatron, 1.}, 33, 2, 8) == 9);     // ceil(66 / 8)
  CHECK(of({f::megatron, 1.25}, 20, 3, 10) == 8);  // ceil(6 * 1.25 = 7.5)
  CHECK(of({f::deepspeed, .6}, 24, 3, 6) == 8);    // ceil(4 * 1.8 = 7.2)
  CHECK(of({.formula = f::deepspeed, .factor = .25, .floor = 3}, 16, 2, 8) == 3);
  CHECK(of({f::tutel, 1.}, 33, 2, 8) == 10);     // 2 int(1 * 5)
  CHECK(of({f::tutel, .75}, 24, 1, 6) == 3);     // int(0.75 * 4)
  CHECK(of({f::tutel, 0.}, 18, 2, 6, 7) == 7);   // the largest count
  CHECK(of({f::tutel, -.8}, 18, 2, 6, 9) == 4);  // min(9, 2 int(0.8 * 3 = 2.4))
  CHECK(of({f::tutel, -.8}, 18, 2, 6, 3) == 3);
  CHECK(of({.formula = f::tutel, .factor = .5, .multiple = 4}, 40, 4, 16) == 4);  // 4 int(0.5 * 3), already a multiple
  CHECK(of({f::torchscale}, 33, 2, 8) == 10);                                     // 2 ceil(33 / 8)
  CHECK(of({.formula = f::vmoe, .factor = 1.05, .multiple = 4}, 196, 2, 32) == 16);  // ceil(12.8625) = 13 -> 16
  CHECK(of({f::flaxformer, 1.25}, 10, 1, 5) == 2);                                   // round(2.5) to even
  CHECK(of({f::flaxformer, 1.25}, 14, 1, 5) == 4);                                   // round(3.5) to even
  CHECK(of({.formula = f::given, .slots = 5}, 100, 2, 4) == 5);
  CHECK(of({.formula = f::given, .slots = 5, .floor = 6, .multiple = 4}, 100, 2, 4) == 8);
  CHECK(of({f::unlimited}, 10, 1, 2) > offset_t{1} << 60);
}

TEST_CASE("promise P17: capacity beyond the tokens, no tokens, huge factors: a number, never undefined behaviour") {
  CHECK(of({f::megatron, 8.}, 12, 2, 4) == 48);  // more than the tokens: fine
  for (auto const formula : {f::megatron, f::deepspeed, f::tutel, f::torchscale, f::vmoe, f::flaxformer}) {
    CHECK(of({.formula = formula, .factor = 1}, 0, 2, 8) == 0);
    CHECK(of({.formula = formula, .factor = 1e12}, offset_t{1} << 40, 8, 1) >= 0);
    CHECK(of({.formula = formula, .factor = 0, .floor = 4}, 100, 2, 8, 1) >= 4);
    for (offset_t t = 1; t < 200; ++t)  // more tokens never lower it
      CHECK(of({.formula = formula, .factor = 1.1}, t, 2, 7) <= of({.formula = formula, .factor = 1.1}, t + 1, 2, 7));
  }
  CHECK(capacity_rule{.factor = -1}.validate().code == errc::bad_value);
  CHECK(capacity_rule{.factor = std::nan("")}.validate().code == errc::bad_value);
  CHECK(capacity_rule{.formula = f::tutel, .factor = -1}.validate().ok());
  CHECK(capacity_rule{.multiple = 0}.validate().code == errc::bad_value);
  CHECK(capacity_rule{.floor = -1}.validate().code == errc::bad_value);
}

TEST_CASE("capacity: the rule says itself in words") {
  text t;
  capacity_rule{.formula = f::tutel, .factor = .5, .multiple = 4}.describe(t);
  CHECK(std::string(t.c_str()) == "capacity k int(f ceil(T / E)), f = 0.5, a multiple of 4");
}
