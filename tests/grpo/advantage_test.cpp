#include <cmath>

#include <doctest/doctest.h>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/grpo/advantage.hpp>

#include "support/inputs.hpp"
#include "support/lockstep_lanes.hpp"
#include "support/run.hpp"

using namespace moeroute;

namespace {

template <class V, class X>
std::vector<V> advantages(X const& x, group_advantage const& p, std::vector<V> const& r, segments s) {
  std::vector<V> out(r.size(), V(9));
  group_advantages(x, p, row_view<V const>(r), s, row_view<V>(out));
  return out;
}

}  // namespace

TEST_CASE("advantage: deviation, mean only and leave one out, population and sample") {
  std::vector<double> const r{1, 0, 0, 3};
  double const mean = 1, squares = 0 + 1 + 1 + 4;
  for (bool const sample : {false, true}) {
    auto const a = advantages(serial{}, {.sample = sample}, r, segments(1, 4));
    double const std = std::sqrt(squares / (sample ? 3 : 4)) + 1e-6;
    for (std::size_t i = 0; i < 4; ++i) CHECK(a[i] == doctest::Approx((r[i] - mean) / std).epsilon(1e-14));
  }
  auto const m = advantages(serial{}, {.against = baseline::mean_only}, r, segments(1, 4));
  auto const l = advantages(serial{}, {.against = baseline::leave_one_out}, r, segments(1, 4));
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(m[i] == r[i] - mean);
    CHECK(l[i] == doctest::Approx(r[i] - (4 * mean - r[i]) / 3).epsilon(1e-14));
  }
}

TEST_CASE("advantage: ragged groups; equal rewards, one member and no member give exactly 0") {
  std::vector<double> const r{.1, .1, .1, 5, 0, 1, 0, 1};
  std::vector<offset_t> const offset{0, 3, 4, 4, 8};
  for (auto const form : {baseline::deviation, baseline::mean_only, baseline::leave_one_out}) {
    auto const a = advantages(serial{}, {.against = form}, r, segments(row_view<offset_t const>(offset)));
    for (std::size_t i = 0; i < 4; ++i) CHECK(a[i] == 0);
    CHECK(a[4] == -a[5]);
    CHECK(a[5] > 0);
  }
}

TEST_CASE("advantage: a group sums to 0 and has deviation 1; 1e8 + small rewards keep their differences") {
  auto r = inputs::normal(64, 5);
  std::vector<double> w(r.begin(), r.end());
  for (auto& x : w) x += 1e8;
  auto const a = advantages(serial{}, {.epsilon = 0}, w, segments(8, 8));
  for (std::size_t g = 0; g < 8; ++g) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < 8; ++i) sum += a[g * 8 + i], squares += a[g * 8 + i] * a[g * 8 + i];
    CHECK(std::fabs(sum) < 1e-6);
    CHECK(squares / 8 == doctest::Approx(1).epsilon(1e-6));
  }
}

TEST_CASE("advantage: NaN rewards are left out or named") {
  std::vector<float> const r{1, not_a_number<float>, 0, 0, 1, not_a_number<float>};
  auto const a = advantages(serial{}, {}, r, segments(2, 3));
  auto const b = advantages(serial{}, {}, std::vector<float>{1, 0}, segments(1, 2));
  CHECK(a[0] == b[0]);
  CHECK(a[1] == 0);
  CHECK(a[2] == b[1]);
  CHECK(a[5] == 0);
  std::vector<float> out(6);
  auto const s = try_group_advantages(serial{}, {.nan = nan_reward::named}, row_view<float const>(r), segments(2, 3),
                                      row_view<float>(out));
  CHECK(std::string(message(s).c_str()) == "moeroute: rewards: place of a NaN = 1 must not be 1");
}

TEST_CASE_TEMPLATE("advantage: the same bits for every lane group", V, float, double) {
  auto const raw = inputs::normal(300, 6);
  std::vector<V> r(raw.begin(), raw.end());
  r[7] = not_a_number<V>;
  std::vector<offset_t> const offset{0, 3, 50, 50, 51, 200, 300};
  segments const s{row_view<offset_t const>(offset)};
  for (auto const form : {baseline::deviation, baseline::leave_one_out}) {
    auto const want = advantages(serial{}, {.against = form}, r, s);
    CHECK(run::same_bits(advantages(lockstep{3}, {.against = form}, r, s), want));
    CHECK(run::same_bits(advantages(lockstep{8}, {.against = form}, r, s), want));
    CHECK(run::same_bits(advantages(threads{2}, {.against = form}, r, s), want));
    CHECK(run::same_bits(advantages(lockstep_lanes::warp<lockstep_lanes::words<8>>{}, {.against = form}, r, s), want));
  }
}

TEST_CASE("promise P7 advantage: long groups by a block have the bits of one lane, near or beyond the room for them") {
  using body = long_group_advantage<float, float>;
  auto r = inputs::normal(21000, 8);
  r[1] = r[1999] = not_a_number<float>;
  for (std::size_t i = 2000; i < 3100; ++i) r[i] = .1f;
  std::vector<offset_t> const offset{0, 0, 2000, 3100, 3101, 3101 + body::room + 40, 21000};
  segments const s{row_view<offset_t const>(offset)};
  for (auto const form : {baseline::deviation, baseline::mean_only, baseline::leave_one_out}) {
    group_advantage const p{.against = form};
    auto const want = advantages(serial{}, p, r, s);
    auto const by = [&](auto const& x) {
      std::vector<float> out(r.size(), 9.f);
      body const b{{p, row_view<float const>(r), s, row_view<float>(out)}};
      std::vector<std::byte> memory(static_cast<std::size_t>(x.workspace_bytes(b.scratch_bytes())), std::byte{0xff});
      REQUIRE(x.run(s.count, b, workspace(memory)).ok());
      return out;
    };
    CHECK(run::same_bits(by(lockstep_lanes::block<8, 3>{}), want));
    CHECK(run::same_bits(by(lockstep_lanes::block<32, 2>{}), want));
  }
  group_advantage_row<float, float> const ragged{{}, row_view<float const>(r), s, {}};
  CHECK(ragged.row_length() == 3500);
  CHECK(group_advantage_row<float, float>{{}, {}, segments(row_view<offset_t const>(offset.data(), 1)), {}}
            .row_length() == 0);
}

TEST_CASE("promise P7 advantage: small groups side by side have the bits of one after the other") {
  auto r = inputs::normal(16 * 105, 6);
  for (std::size_t i = 0; i < r.size(); i += 37) r[i] = not_a_number<float>;
  for (std::size_t i = 320; i < 400; ++i) r[i] = i % 3 == 0 ? -0.f : 0.f;  // equal rewards
  for (std::size_t i = 400; i < 416; ++i) r[i] = not_a_number<float>;
  r[500] = infinity<float>, r[516] = -infinity<float>, r[533] = 3e38f, r[534] = -3e38f;
  for (offset_t const size : {4, 8, 16})
    for (auto const form : {baseline::deviation, baseline::mean_only, baseline::leave_one_out})
      for (bool const sample : {false, true}) {
        segments const s(std::ssize(r) / size, size);
        group_advantage const p{.against = form, .sample = sample};
        CHECK(run::same_bits(advantages(serial{}, p, r, s), advantages(lockstep{3}, p, r, s)));
        CHECK(run::same_bits(advantages(serial{}, p, r, s), advantages(row_by_row{serial{}}, p, r, s)));
      }
}

TEST_CASE("promise P17: advantage names what does not fit") {
  std::vector<float> r(6), out(6);
  auto const said = [&](segments s) {
    return std::string(
        message(try_group_advantages(serial{}, {}, row_view<float const>(r), s, row_view<float>(out))).c_str());
  };
  CHECK(said(segments(2, 4)) == "moeroute: rewards size = 6 must be 8");
  CHECK(said(segments(-2, -3)) == "moeroute: segments.count = -2 must be at least 0");
  std::vector<offset_t> offset{0, 4, 3, 6};
  segments const ragged{row_view<offset_t const>(offset)};
  CHECK(said(ragged) == "moeroute: segments.offset (next) = 3 must be at least 4");
  offset = {1, 3, 4, 6};
  CHECK(said(ragged) == "moeroute: segments.offset (first) = 1 must be 0");
  offset = {0, 3, 4, 7};
  CHECK(said(ragged) == "moeroute: rewards size = 6 must be 7");
  offset = {0, 3, 3, 6};
  CHECK(said(ragged) == "ok");
}
