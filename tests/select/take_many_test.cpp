// Decides whether the threshold form takes exactly what a full sort would, for every lane group.
#include <moeroute/select/take_many.hpp>

#include <algorithm>
#include <cmath>

#include "support/choice.hpp"

using namespace choice_test;

namespace {
template <class V>
struct take_body {
  std::vector<V> const* keys;
  std::vector<offset_t>* out;
  pick_order order;
  offset_t scratch_bytes() const { return 0; }
  void operator()(lane_group auto const& g, offset_t, scratch) const {
    take_many(g, memory_row<V const>{keys->data(), static_cast<index_t>(keys->size())}, row_view<offset_t>(*out),
              order);
  }
};
template <class V>
void check(std::vector<V> const& keys, std::size_t wanted) {
  std::vector<offset_t> best;
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (keys[i] > -infinity<V>) best.push_back(static_cast<offset_t>(i));
  auto const key = [&](offset_t i) { return keys[static_cast<std::size_t>(i)]; };
  std::stable_sort(best.begin(), best.end(), [&](offset_t a, offset_t b) { return key(a) > key(b); });
  best.resize(std::min(best.size(), wanted));
  auto by_position = best;
  std::sort(by_position.begin(), by_position.end());
  best.resize(wanted, -1), by_position.resize(wanted, -1);
  auto const on = [&](auto const& x) {
    std::vector<offset_t> out(wanted, 77);
    static_cast<void>(x.run(1, take_body<V>{&keys, &out, pick_order::best_first}, {}));
    CHECK(out == best);
    static_cast<void>(x.run(1, take_body<V>{&keys, &out, pick_order::position}, {}));
    CHECK(out == by_position);
  };
  on(serial{});
  on(lockstep{.lanes = 4});
  on(lockstep{.lanes = 7});
}
}  // namespace

TEST_CASE("take_many equals a stable sort: ties, NaN, infinities, denormals, every count") {
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    std::size_t const n = 1 + random() % 300;
    std::vector<float> x(n);
    for (auto& v : x) {
      v = static_cast<float>(static_cast<int>(random() % 41) - 20) * (round % 2 == 0 ? 1.f : 1e-39f);
      if (random() % 20 == 0) v = infinity<float>;
      if (random() % 20 == 0) v = -infinity<float>;
      if (random() % 20 == 0) v = not_a_number<float>;
      if (random() % 20 == 0) v = -0.f;
    }
    check(x, round % 5 == 0 ? n : random() % (n + 3));
  }
  check(normal_numbers(1000, 7), 128);
  check(std::vector<double>(50, 1.), 17);
  check(std::vector<float>(50, -infinity<float>), 17);
  check(std::vector<float>{}, 3);
}

TEST_CASE("take_many of long rows: the serial way equals every other, however many keys are alike") {
  for (std::size_t const n : {63u, 64u, 1000u, 4096u, 9999u})
    for (std::size_t const wanted : {1u, 65u, 300u, 2100u}) {
      auto x = narrow(normal_numbers(n, static_cast<unsigned>(n + wanted)));
      check(x, wanted);
      for (auto& v : x) v = std::floor(v * 4) / 4;  // ties by the hundred
      check(x, wanted);
      for (auto& v : x) v = v > 1 ? -infinity<float> : v < -1 ? not_a_number<float> : v;
      check(x, wanted);
    }
  check(std::vector<float>(9000, 3.f), 500);
  std::vector<float> ramp(5000);
  for (std::size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<float>(i);
  check(ramp, 77);
  std::reverse(ramp.begin(), ramp.end());
  check(ramp, 77);
}
