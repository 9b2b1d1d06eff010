#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda/register_rows.hpp>

#include <Eigen/Core>

#include "support/lockstep_lanes.hpp"

using namespace moeroute;

namespace {

constexpr int kinds = 14;
// One logit of a row of some kind: ties, nearly ties, odd values, anything.
float logit(int kind, offset_t t, index_t e) {
  draws const d{.seed = 17};
  float const u = d.uniform(t, e), normal = d.normal(t, e);
  float const odd[] = {
      not_a_number<float>, infinity<float>, -infinity<float>, -0.f, 0.f, 1e30f, -1e30f, 1e-40f, 3e38f, -3e38f};
  switch (kind) {
    case 0:
    case 1:
    case 2:
      return normal;
    case 3:
      return static_cast<float>(static_cast<int>(4 * u));  // dense ties
    case 4:
      return .25f;  // constant
    case 5:
      return not_a_number<float>;
    case 6:
      return odd[static_cast<int>(10 * u)];
    case 7:
      return math::as<float>(math::as<std::int32_t>(1.f) + static_cast<std::int32_t>(64 * u));  // ties once cut off
    case 8:
      return math::as<float>(math::as<std::int32_t>(-1.f) + e);
    case 9:
      return -infinity<float>;
    case 10:
      return e % 37 == 5 ? normal : -infinity<float>;  // nearly all closed
    case 11:
      return u < .6f ? normal : not_a_number<float>;
    case 12:
      return 20 + normal;  // sigmoid saturates
    default:
      return math::as<float>(static_cast<std::int32_t>(d.bits(t, e)));  // any bits
  }
}

template <class W>
struct answer {
  std::vector<index_t> ids;
  std::vector<W> weights, scores;
};

// Row by row: ids equal, weights and scores the same bits (NaN is NaN).
template <class T, index_t Experts, class R>
void compare(char const* name, R const& r, offset_t tokens = kinds, offset_t pad = 0,
             nan_rule nan = nan_rule::rank_last) {
  CAPTURE(name);
  CAPTURE(Experts);
  offset_t const k = r.select.experts_per_token(), stride = Experts + pad;
  std::vector<T> logits(static_cast<std::size_t>(tokens * stride + 16));
  for (offset_t t = 0; t < tokens; ++t)
    for (index_t e = 0; e < Experts; ++e)
      logits[static_cast<std::size_t>(t * stride + e)] = static_cast<T>(logit(static_cast<int>(t % kinds), t, e));
  std::vector<std::uint8_t> valid(static_cast<std::size_t>(tokens), 1);
  valid[1] = 0;
  batch<T> const in{.logits = {logits.data(), tokens, Experts, stride}, .valid = valid, .nan = nan};

  using body = route_in_registers<R, T, float, index_t, float, Experts>;
  static_assert(body::possible);
  auto const run = [&](auto const& try_it) {
    answer<float> a{std::vector<index_t>(static_cast<std::size_t>(tokens * k), -7),
                    std::vector<float>(static_cast<std::size_t>(tokens * k), -7),
                    std::vector<float>(static_cast<std::size_t>(tokens * Experts), -7)};
    routing_view<> const out{
        {a.ids.data(), tokens, k}, {a.weights.data(), tokens, k}, {a.scores.data(), tokens, Experts}};
    try_it(route_row<R, T, float, index_t, float>{r, in, out});
    return a;
  };
  auto const plain = run([&](auto const& row) {
    std::vector<std::byte> memory(
        static_cast<std::size_t>(route_workspace_bytes<serial, R, T>({}, r, tokens, Experts)));
    REQUIRE(serial{}.run(tokens, row, workspace(memory)).ok());
  });
  auto const fast = run([&](auto const& row) {
    body const b{row};
    REQUIRE(b.serves());
    using warp = lockstep_lanes::warp<lockstep_lanes::reducing_words<body::lanes>>;
    std::vector<std::byte> memory(static_cast<std::size_t>(warp::workspace_bytes(b.scratch_bytes())), std::byte{0xff});
    REQUIRE(warp{}.run(tokens, b, workspace(memory)).ok());
  });
  auto const same = [](std::vector<float> const& a, std::vector<float> const& b) {
    std::size_t off = 0;
    for (std::size_t i = 0; i < a.size(); ++i) off += !(a[i] == b[i] || (is_nan(a[i]) && is_nan(b[i])));
    return off == 0;
  };
  CHECK(fast.ids == plain.ids);
  CHECK(same(fast.weights, plain.weights));
  CHECK(same(fast.scores, plain.scores));
}

std::vector<float> some_bias(index_t experts, float unit) {
  std::vector<float> b;
  for (index_t e = 0; e < experts; ++e)
    b.push_back(static_cast<float>(static_cast<int>(draws{.seed = 5}.bits(e, 0) % 16)) * unit);
  return b;
}

}  // namespace

TEST_CASE("a row in registers: top k of softmax, float and 16 bits") {
  router const plain{.select = top_k{8}, .weigh = renormalize{}};
  compare<float, 256>("E 256", plain);
  compare<Eigen::bfloat16, 256>("E 256, bf16: exact keys", plain);
  compare<float, 60>("E 60, with padding", plain);
  compare<float, 60>("rows that do not lie on 16 bytes", plain, kinds, 1);
  for (auto nan : {nan_rule::propagate, nan_rule::drop_row}) compare<float, 60>("nan rules", plain, kinds, 0, nan);
}

TEST_CASE("a row in registers: k in the type, scores that sum, all experts") {
  compare<float, 64>("k = 16, two choices a lane", router{.select = top_k{fixed<16>}});
  compare<Eigen::half, 20>("k = 11, with padding, fp16", router{.select = top_k{fixed<11>}});
  compare<float, 8>("all experts", router{.score = relu{}, .select = top_k{fixed<8>}});
}

TEST_CASE("a row in registers: a bias, near ties of biased scores") {
  for (float const unit : {.01f, 0x1p-21f}) {
    auto const b = some_bias(64, unit);
    correction_bias<> const bias{row_view<float const>(b)};
    compare<float, 64>(
        "sigmoid and bias",
        router{.score = sigmoid{}, .bias = bias, .select = top_k{8}, .weigh = renormalize{.scale = 2.5f}});
  }
}

TEST_CASE("a row in registers: DeepSeek-V3 and V2, a lane an expert group") {
  for (float const unit : {.01f, 0x1p-21f}) {
    auto const b = some_bias(256, unit);
    correction_bias<> const bias{row_view<float const>(b)};
    compare<float, 256>("V3", router{.score = sigmoid{},
                                     .bias = bias,
                                     .select = group_limited_top_k{.k = 8, .groups = 8, .top_groups = 4},
                                     .weigh = renormalize{.scale = 2.5f}});
  }
  compare<Eigen::bfloat16, 160>(
      "V2, bf16: exact keys",
      router{.select = group_limited_top_k{.k = 6, .groups = 8, .top_groups = 3, .group_score = best_of_group{}}});
}

TEST_CASE("what registers do not serve is told, not guessed") {
  auto const serves = [](auto const& r, index_t experts) {
    using R = std::remove_cvref_t<decltype(r)>;
    batch<> const in{.logits = {nullptr, 0, experts}};
    return route_in_registers<R, float, float, index_t, float, 64>{{r, in, {}}}.serves();
  };
  CHECK(serves(router{.select = top_k{8}}, 64));
  CHECK(!serves(router{.select = top_k{9}}, 64));
  CHECK(!serves(router{.select = top_k{8}}, 63));
  CHECK(!serves(router{.prior = availability{}, .select = top_k{8}}, 64));
  CHECK(serves(router{.select = group_limited_top_k{.k = 4, .groups = 8, .top_groups = 4}}, 64));
  CHECK(!serves(router{.select = group_limited_top_k{.k = 4, .groups = 4, .top_groups = 2}}, 64));
  CHECK(!serves(
      router{.select = group_limited_top_k{.k = 4, .groups = 8, .top_groups = 4, .closed = closed_groups::zero}}, 64));
}
