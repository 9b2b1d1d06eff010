#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda/register_rows.hpp>

#include <Eigen/Core>

#include "support/lockstep_lanes.hpp"

using namespace moeroute;

template <>
inline constexpr half_format moeroute::half_format_of<Eigen::bfloat16> = half_format::bf16;
template <>
inline constexpr half_format moeroute::half_format_of<Eigen::half> = half_format::fp16;

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

enum class form { named, any, named_few, few };  // experts known or any number; on 8 lanes or, few tokens, on 32

// Row by row: ids equal, weights and scores the same bits (NaN is NaN).
template <class T, index_t Experts, form Form = form::named, class R>
void compare(char const* name, R const& r, offset_t tokens = kinds, offset_t pad = 0,
             nan_rule nan = nan_rule::rank_last) {
  CAPTURE(name);
  CAPTURE(Experts);
  CAPTURE(static_cast<int>(Form));
  offset_t const k = r.select.experts_per_token(), stride = Experts + pad;
  std::vector<T> memory_of_logits(static_cast<std::size_t>(tokens * stride + 32));
  std::size_t const misfit = reinterpret_cast<std::uintptr_t>(memory_of_logits.data()) % 16 / sizeof(T);
  T* const logits = memory_of_logits.data() + (misfit == 0 ? 0 : 16 / sizeof(T) - misfit);
  for (offset_t t = 0; t < tokens; ++t)
    for (index_t e = 0; e < Experts; ++e)
      logits[t * stride + e] = static_cast<T>(logit(static_cast<int>(t % kinds), t, e));
  std::vector<std::uint8_t> valid(static_cast<std::size_t>(tokens), 1);
  valid[1] = 0;
  batch<T> const in{.logits = {logits, tokens, Experts, stride}, .valid = valid, .nan = nan};

  constexpr index_t lanes = Form >= form::named_few ? 32 : 8;
  using body = route_in_registers<R, T, float, index_t, float, lanes,
                                  Form == form::named || Form == form::named_few ? Experts : 0>;
  static_assert(body::possible);
  using warp = lockstep_lanes::marching_warp<lanes, (lanes == 32 ? 1 : 2)>;
  for (bool const with_scores : {true, false}) {
    auto const run = [&](auto const& try_it) {
      answer<float> a{std::vector<index_t>(static_cast<std::size_t>(tokens * k), -7),
                      std::vector<float>(static_cast<std::size_t>(tokens * k), -7),
                      std::vector<float>(static_cast<std::size_t>(tokens * Experts), -7)};
      routing_view<> out{{a.ids.data(), tokens, k}, {a.weights.data(), tokens, k}};
      if (with_scores) out.scores = {a.scores.data(), tokens, Experts};
      try_it(route_row<R, T, float, index_t, float>{r, in, out});
      return a;
    };
    auto const plain = run([&](auto const& row) {
      std::vector<std::byte> memory(
          static_cast<std::size_t>(route_workspace_bytes<serial, R, T>({}, r, tokens, Experts)));
      REQUIRE(serial{}.run(tokens, row, workspace(memory)).ok());
    });
    auto const fast = run([&](auto const& row) {
      body const b = body::of(row);
      REQUIRE(b.serves());
      std::vector<std::byte> memory(static_cast<std::size_t>(warp::workspace_bytes(b.scratch_bytes())),
                                    std::byte{0xff});
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
}
// In every form.
template <class T, index_t Experts, class R>
void compare_all(char const* name, R const& r) {
  compare<T, Experts>(name, r);
  compare<T, Experts, form::any>(name, r);
  compare<T, Experts, form::few>(name, r);
  compare<T, Experts, form::named_few>(name, r);
}

std::vector<float> some_bias(index_t experts, float unit) {
  std::vector<float> b;
  for (index_t e = 0; e < experts; ++e)
    b.push_back(static_cast<float>(static_cast<int>(draws{.seed = 5}.bits(e, 0) % 16)) * unit);
  return b;
}

struct named_64 {
  template <class R>
  using of = route_in_registers<R, float, float, index_t, float, 8, 64>;
};
struct any_8 {
  template <class R>
  using of = route_in_registers<R, float, float, index_t, float, 8>;
};

}  // namespace

TEST_CASE("a row in registers: top k of softmax, float and 16 bits") {
  router const plain{.select = top_k{8}, .weigh = renormalize{}};
  compare_all<float, 256>("E 256", plain);
  compare_all<Eigen::bfloat16, 256>("E 256, bf16: exact keys", plain);
  compare_all<Eigen::half, 128>("E 128, fp16: exact keys", plain);
  compare_all<float, 64>("the sum counts", router{.select = top_k{8}, .weigh = keep_scores{}});
  compare_all<Eigen::bfloat16, 64>("the sum counts", router{.select = top_k{8}, .weigh = keep_scores{}});
  for (auto nan : {nan_rule::propagate, nan_rule::drop_row}) compare<float, 64>("nan rules", plain, kinds, 0, nan);
}

TEST_CASE("a row in registers: any number of experts, rows that do not lie on 16 bytes") {
  router const plain{.select = top_k{8}, .weigh = renormalize{}};
  compare_all<float, 60>("E 60, with padding", plain);
  compare<float, 60, form::any>("rows on 4 bytes", plain, kinds, 1);
  compare<Eigen::bfloat16, 61, form::any>("rows on 2 bytes", plain);
  compare<Eigen::half, 300, form::any>("E 300", plain);
  compare<float, 513, form::few>("E 513", plain);
  compare_all<float, 8>("all experts", router{.score = relu{}, .select = top_k{fixed<8>}});
  compare<float, 1, form::any>("one expert", router{.select = top_k{1}});
}

TEST_CASE("a row in registers: every k from 1 to 32") {
  for (index_t k = 1; k <= 32; k += k < 18 ? 1 : 7) {
    CAPTURE(k);
    compare<float, 64>("float", router{.select = top_k{k}});
    compare<Eigen::bfloat16, 64>("bf16", router{.select = top_k{k}, .weigh = renormalize{}});
    compare<Eigen::half, 40, form::any>("fp16", router{.select = top_k{k}, .weigh = p_norm{}});
    compare<float, 100, form::few>("few", router{.score = sigmoid{}, .select = top_k{k}});
  }
}

TEST_CASE("a row in registers: a bias, near ties of biased scores") {
  for (float const unit : {.01f, 0x1p-21f, 1.f}) {  // the last: scores beyond fixed point
    auto const b = some_bias(64, unit);
    correction_bias<> const bias{row_view<float const>(b)};
    for (index_t k : {1, 8, 11})
      compare_all<float, 64>(
          "sigmoid and bias",
          router{.score = sigmoid{}, .bias = bias, .select = top_k{k}, .weigh = renormalize{.scale = 2.5f}});
    compare_all<Eigen::bfloat16, 64>("sigmoid and bias, bf16",
                                     router{.score = sigmoid{}, .bias = bias, .select = top_k{8}});
    compare_all<float, 64>("softmax and bias", router{.bias = bias, .select = top_k{8}});
  }
}

TEST_CASE("a row in registers: a bias for each modality, and rows of a modality that no table has") {
  auto const b = some_bias(128, .01f);
  modality_bias<> const bias{{b.data(), 2, 64}};
  offset_t const tokens = 12;
  std::vector<float> logits(static_cast<std::size_t>(tokens) * 64);
  for (offset_t t = 0; t < tokens; ++t)
    for (index_t e = 0; e < 64; ++e) logits[static_cast<std::size_t>(t * 64 + e)] = logit(0, t, e);
  std::vector<index_t> modality;
  for (index_t t = 0; t < tokens; ++t) modality.push_back(t % 4 == 3 ? 1 << 30 : t % 2);
  router const r{.score = sigmoid{}, .bias = bias, .select = top_k{4}};
  using R = std::remove_const_t<decltype(r)>;
  batch<> const in{.logits = {logits.data(), tokens, 64}, .modality = modality};
  std::vector<index_t> ids(static_cast<std::size_t>(tokens) * 4), fast_ids(ids.size(), -7);
  std::vector<float> weights(ids.size()), fast_weights(ids.size(), -7);
  route_row<R, float, float, index_t, float> const row{r, in, {{ids.data(), tokens, 4}, {weights.data(), tokens, 4}}};
  auto fast_row = row;
  fast_row.out = {{fast_ids.data(), tokens, 4}, {fast_weights.data(), tokens, 4}};
  std::vector<std::byte> memory(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, tokens, 64)));
  REQUIRE(serial{}.run(tokens, row, workspace(memory)).ok());
  using body = route_in_registers<R, float, float, index_t, float, 8, 64>;
  using warp = lockstep_lanes::marching_warp<8, 2>;
  REQUIRE(warp{}.run(tokens, body::of(fast_row), workspace(memory)).ok());
  CHECK(fast_ids == ids);
  CHECK(fast_weights == weights);
}

TEST_CASE("a row in registers: scores nearer than a rough score can tell") {
  // Logits an ulp or a few apart: sigmoids that differ by less than the error of rough ones, in any order. All of a row,
  // or only the last winner and the first loser, or only two winners; the others lie far from each other.
  offset_t const tokens = 120;
  std::vector<float> logits(static_cast<std::size_t>(tokens) * 64), b = some_bias(64, 0.f);
  for (offset_t t = 0; t < tokens; ++t)
    for (index_t e = 0; e < 64; ++e) {
      auto const bits = draws{.seed = 3}.bits(t, e);
      offset_t const kind = t / 2 % 3;  // of both rows that march together: doubt of one repairs the other
      index_t const place = (e * 37 + static_cast<index_t>(t)) % 64, twin = kind == 1 ? 8 : 4;
      float const apart = 2.f - .25f * static_cast<float>(place == twin ? twin - 1 : place);
      float const center = kind == 0 ? static_cast<float>(t % 5) - 2.f : apart;
      bool const near = kind == 0 || place == twin || place == twin - 1;
      logits[static_cast<std::size_t>(t * 64 + e)] =
          center + (near ? static_cast<float>(static_cast<int>(bits % 33) - 16) * 0x1p-23f : 0.f);
      b[static_cast<std::size_t>(e)] = static_cast<float>(bits % 3) * 0x1p-23f;
    }
  auto const check = [&](auto const& r) {
    using R = std::remove_cvref_t<decltype(r)>;
    batch<> const in{.logits = {logits.data(), tokens, 64}};
    std::vector<index_t> ids(static_cast<std::size_t>(tokens) * 8), fast(ids.size(), -7);
    std::vector<float> weights(ids.size());
    route_row<R, float, float, index_t, float> row{r, in, {{ids.data(), tokens, 8}, {weights.data(), tokens, 8}}};
    std::vector<std::byte> memory(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, tokens, 64)));
    REQUIRE(serial{}.run(tokens, row, workspace(memory)).ok());
    row.out.ids.data = fast.data();
    using warp = lockstep_lanes::marching_warp<8, 2>;
    REQUIRE(warp{}
                .run(tokens, route_in_registers<R, float, float, index_t, float, 8, 64>::of(row), workspace(memory))
                .ok());
    CHECK(fast == ids);
  };
  correction_bias<> const bias{row_view<float const>(b)};
  check(router{.score = sigmoid{}, .bias = bias, .select = top_k{8}});
  check(router{.score = sigmoid{}, .bias = bias, .select = group_limited_top_k{.k = 8, .groups = 8, .top_groups = 3}});
}

TEST_CASE("a row in registers: DeepSeek-V3 and V2, a lane an expert group") {
  for (float const unit : {.01f, 0x1p-21f, 1.f}) {
    auto const b = some_bias(256, unit);
    correction_bias<> const bias{row_view<float const>(b)};
    router const v3{.score = sigmoid{},
                    .bias = bias,
                    .select = group_limited_top_k{.k = 8, .groups = 8, .top_groups = 4},
                    .weigh = renormalize{.scale = 2.5f}};
    compare_all<float, 256>("V3", v3);
    compare_all<Eigen::bfloat16, 256>("V3, bf16", v3);
  }
  router const v2{.select = group_limited_top_k{.k = 6, .groups = 8, .top_groups = 3, .group_score = best_of_group{}}};
  compare<Eigen::bfloat16, 160>("V2, bf16: exact keys", v2);
  compare<Eigen::bfloat16, 160, form::any>("V2, bf16: exact keys", v2);
  compare<Eigen::bfloat16, 160, form::few>("V2, bf16: exact keys; runs of 5 are no vectors, so not named", v2);
}

TEST_CASE("a row in registers: any number of groups, several lanes a group") {
  auto const b = some_bias(96, .01f);
  correction_bias<> const bias{row_view<float const>(b)};
  for (index_t groups : {1, 2, 4, 8, 16, 32}) {
    CAPTURE(groups);
    router const r{.score = sigmoid{},
                   .bias = bias,
                   .select = group_limited_top_k{.k = 3, .groups = groups, .top_groups = groups < 3 ? 1 : groups / 2}};
    compare<float, 96, form::few>("many lanes", r);
    if (groups <= 8) compare<Eigen::half, 96, form::any>("8 lanes", r);
    router const best{.select = group_limited_top_k{
                          .k = 3, .groups = groups, .top_groups = groups < 3 ? 1 : 2, .group_score = best_of_group{}}};
    compare<Eigen::bfloat16, 96, form::few>("exact keys", best);
  }
}

TEST_CASE("what registers do not serve is told, not guessed") {
  auto const ask = [](auto body, auto const& r, index_t experts) {
    using R = std::remove_cvref_t<decltype(r)>;
    alignas(16) static float logits[64];
    batch<> const in{.logits = {logits, 0, experts}};
    return decltype(body)::template of<R>::of({r, in, {}}).serves();
  };
  constexpr named_64 named{};
  constexpr any_8 any{};
  CHECK(ask(named, router{.select = top_k{8}}, 64));
  CHECK(ask(named, router{.select = top_k{32}}, 64));
  CHECK(!ask(named, router{.select = top_k{33}}, 64));
  CHECK(!ask(named, router{.select = top_k{8}}, 63));
  CHECK(ask(any, router{.select = top_k{8}}, 63));
  CHECK(!ask(any, router{.select = top_k{8}}, 1025));
  CHECK(!ask(any, router{.select = top_k{8}}, 7));
  CHECK(!ask(named, router{.prior = availability{}, .select = top_k{8}}, 64));
  CHECK(ask(named, router{.select = group_limited_top_k{.k = 4, .groups = 8, .top_groups = 4}}, 64));
  CHECK(!ask(named, router{.select = group_limited_top_k{.k = 4, .groups = 4, .top_groups = 2}}, 64));
  CHECK(ask(any, router{.select = group_limited_top_k{.k = 4, .groups = 4, .top_groups = 2}}, 64));
  CHECK(!ask(any, router{.select = group_limited_top_k{.k = 4, .groups = 16, .top_groups = 2}}, 64));
  CHECK(!ask(named,
             router{.select = group_limited_top_k{.k = 4, .groups = 8, .top_groups = 4, .closed = closed_groups::zero}},
             64));
}
