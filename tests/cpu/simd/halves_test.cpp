#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cpu/eigen.hpp>
#include <moeroute/cpu/simd/halves.hpp>
#include <moeroute/presets.hpp>
#include <moeroute/route.hpp>

#include <vector>

#if defined(MOEROUTE_SIMD_BYTES)
namespace {

using namespace moeroute;

// A user's own type of another format: whole numbers of 64ths.
struct odd_half {
  std::uint16_t bits = 0;
  odd_half() = default;
  explicit odd_half(float x) : bits(static_cast<std::uint16_t>(x == x ? static_cast<int>(x * 64) : 0)) {}
  explicit operator float() const { return static_cast<float>(static_cast<std::int16_t>(bits)) / 64; }
};

// All 2^16 patterns, 16 at a time, against the type's own conversion; NaN for NaN.
template <class T>
int wrong() {
  std::vector<T> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) {
    auto const bits = static_cast<std::uint16_t>(i);
    std::memcpy(static_cast<void*>(&all[i]), &bits, 2);
  }
  int count = 0;
  for (std::size_t i = 0; i < all.size(); i += 16) {
    float got[16];
    simd::store(got, simd::load_halves(&all[i], simd::format_of<T>()));
    for (std::size_t j = 0; j < 16; ++j) {
      float const want = load(all[i + j]);
      count +=
          is_nan(want) ? !is_nan(got[j]) : std::bit_cast<std::uint32_t>(want) != std::bit_cast<std::uint32_t>(got[j]);
    }
  }
  return count;
}

template <class T, class R>
void equal_rows(R const& r, offset_t tokens, index_t experts) {
  CAPTURE(tokens);
  CAPTURE(experts);
  auto const n = static_cast<std::size_t>(tokens), k = static_cast<std::size_t>(r.select.experts_per_token());
  std::vector<T> x;
  draws const d{.seed = 5};
  for (offset_t t = 0; t < tokens; ++t)
    for (index_t e = 0; e < experts; ++e)
      x.push_back(static_cast<T>(t == 3 && e % 5 == 0 ? not_a_number<float> : 2 * d.normal(t, e)));
  std::vector<float> wide;
  for (T const z : x) wide.push_back(load(z));
  auto const routed = [&]<class X, class L>(X const& on, std::vector<L> const& logits) {
    std::pair<std::vector<index_t>, std::vector<float>> out{std::vector<index_t>(n * k), std::vector<float>(n * k)};
    std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes<X, R, L>(on, r, tokens, experts)));
    auto const columns = static_cast<offset_t>(k);
    route(on, r, batch<L>{.logits = {logits.data(), tokens, experts}},
          routing_view<>{{out.first.data(), tokens, columns}, {out.second.data(), tokens, columns}}, workspace(space));
    return out;
  };
  auto const want = routed(row_by_row{serial{}}, wide);
  CHECK(routed(serial{}, x) == want);
  CHECK(routed(row_by_row{serial{}}, x) == want);
}

}  // namespace

TEST_CASE("halves: rows of 16-bit logits are routed as the floats they stand for, on vectors and one by one") {
  for (index_t experts : {8, 13, 64, 100, 256})
    for (offset_t tokens : {1, 16, 37}) {
      router const plain{.select = top_k{2}};
      equal_rows<Eigen::bfloat16>(plain, tokens, experts);
      equal_rows<Eigen::half>(plain, tokens, experts);
      equal_rows<odd_half>(plain, tokens, experts);
    }
  std::vector<float> bias;
  for (index_t e = 0; e < 256; ++e) bias.push_back(static_cast<float>(e % 13) * .01f);
  equal_rows<Eigen::bfloat16>(presets::deepseek_v3(row_view<float const>(bias)), 21, 256);
  equal_rows<Eigen::half>(presets::deepseek_v3(row_view<float const>(bias)), 21, 256);
}

TEST_CASE("halves: every 16-bit pattern widens as its type says, and a format is known by what a type writes") {
  CHECK(simd::format_of<Eigen::bfloat16>() == half_format::bf16);
  CHECK(simd::format_of<Eigen::half>() == half_format::fp16);
  CHECK(simd::format_of<odd_half>() == half_format::unknown);
  CHECK(wrong<Eigen::bfloat16>() == 0);
  CHECK(wrong<Eigen::half>() == 0);
  CHECK(wrong<odd_half>() == 0);
}
#endif
