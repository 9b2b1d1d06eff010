// Decides whether chance is uniform, repeatable, and drawn for the unit it should be drawn for.
#include <moeroute/select/uniform_random.hpp>

#include <algorithm>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S090 THOR: uniform over the open experts, the same for the same seed and step") {
  std::vector<float> z(16000 * 6, 0.f);
  for (std::size_t i = 2; i < z.size(); i += 6) z[i] = -infinity<float>;
  uniform_random<> chance{.k = 1, .random = {.seed = 3}};
  auto const a = run(router{.select = chance}, z, 6);
  double chi = 0;
  for (index_t e = 0; e < 6; ++e) {
    auto const n = static_cast<double>(std::count(a.ids.begin(), a.ids.end(), e));
    if (e == 2) CHECK(n == 0);
    else chi += (n - 3200) * (n - 3200) / 3200;
  }
  CHECK(chi < 18.5);  // 4 degrees of freedom, 0.1 %
  CHECK(a.ids == run(router{.select = chance}, z, 6).ids);
  chance.random.step = 1;
  CHECK(a.ids != run(router{.select = chance}, z, 6).ids);
}

TEST_CASE("S090 THOR: one draw for a batch, one for a sequence; k draws are distinct; lane groups") {
  std::vector<float> const z(40 * 8, 0.f);
  std::vector<index_t> sequence;
  for (index_t i = 0; i < 40; ++i) sequence.push_back(i / 10);
  batch<float> const in{.logits = {z.data(), 40, 8}, .sequence = sequence};
  uniform_random<> chance{.k = 2, .unit = draw_for_each::batch};
  auto const whole = run(serial{}, router{.select = chance}, in);
  for (offset_t t = 0; t < 40; ++t) {
    CHECK(whole.id(t, 0) == whole.id(0, 0));
    CHECK(whole.id(t, 0) != whole.id(t, 1));
  }
  chance.unit = draw_for_each::sequence;
  auto const each = run(serial{}, router{.select = chance}, in);
  bool differ = false;
  for (offset_t t = 0; t < 40; ++t) {
    CHECK(each.id(t, 0) == each.id(t / 10 * 10, 0));
    differ = differ || each.id(t, 0) != each.id(0, 0);
  }
  CHECK(differ);
  check_same_on_every_group(router{.select = chance}, in);
  CHECK(!validate(router{.select = uniform_random<>{.k = 9}}, 8).ok());
}
