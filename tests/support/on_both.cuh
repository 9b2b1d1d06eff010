// Decides how a router is tried on the device: the same tokens, of every kind that has broken a router, on
// one CPU lane and on the GPU; ids equal, weights and gradients within the last bits, twice the same bits.
#pragma once

#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda.cuh>

#include <support/device_array.cuh>

#include <vector>

namespace moeroute_test {
using namespace moeroute;

template <class T>
std::vector<T> some_logits(offset_t tokens, index_t experts, std::uint64_t seed) {
  std::vector<T> x;
  draws const d{.seed = seed};
  float const odd[] = {not_a_number<float>, infinity<float>, -infinity<float>, -0.f, 0.f, 1e30f, -1e30f, 1e-40f};
  for (offset_t t = 0; t < tokens; ++t)
    for (index_t e = 0; e < experts; ++e) {
      float const u = d.uniform(t, e);
      float z = math::log(u / (1 - u));
      if (t % 8 == 1) z = static_cast<float>(static_cast<int>(4 * u));  // ties
      if (t % 8 == 2) z = .25f;                                         // constant
      if (t % 8 == 3) z = odd[static_cast<int>(8 * u)];                 // anything
      if (t % 8 == 4) z = e % 37 == 5 ? z : -infinity<float>;           // nearly all closed
      if (t % 8 == 5) z = u < .3f ? not_a_number<float> : z;
      if (t % 32 == 6) z = -infinity<float>;
      if (t % 32 == 14) z = not_a_number<float>;
      x.push_back(static_cast<T>(z));
    }
  return x;
}

struct answer {
  std::vector<index_t> ids;
  std::vector<float> weights, scores, d_logits;
};
// NaN equals NaN; everything else bit by bit, but that 0 equals -0.
inline bool same(std::vector<float> const& a, std::vector<float> const& b) {
  bool equal = a.size() == b.size();
  for (std::size_t i = 0; equal && i < a.size(); ++i) equal = a[i] == b[i] || (is_nan(a[i]) && is_nan(b[i]));
  return equal;
}
inline float largest_difference(std::vector<float> const& a, std::vector<float> const& b) {
  float worst = a.size() == b.size() ? 0 : infinity<float>;
  for (std::size_t i = 0; worst < infinity<float> && i < a.size(); ++i) {
    if (a[i] == b[i] || (is_nan(a[i]) && is_nan(b[i]))) continue;
    float const off = std::abs(a[i] - b[i]) / (std::abs(a[i]) > 1 ? std::abs(a[i]) : 1);
    worst = off <= worst ? worst : (is_nan(off) ? infinity<float> : off);
  }
  return worst;
}

// WithGradient = false saves the compiler the kernels of the backward.
template <bool WithGradient = true, class R, class T>
answer on_one_lane(R const& r, std::vector<T> const& logits, offset_t tokens, index_t experts, nan_rule nan) {
  auto const k = static_cast<std::size_t>(r.select.experts_per_token()), n = static_cast<std::size_t>(tokens);
  answer a{std::vector<index_t>(n * k), std::vector<float>(n * k), std::vector<float>(logits.size()),
           std::vector<float>(logits.size())};
  auto const columns = static_cast<offset_t>(k);
  batch<T> const in{.logits = {logits.data(), tokens, experts}, .nan = nan};
  std::vector<std::byte> memory(static_cast<std::size_t>(route_workspace_bytes<serial, R, T>({}, r, tokens, experts)));
  route(serial{}, r, in,
        routing_view<>{
            {a.ids.data(), tokens, columns}, {a.weights.data(), tokens, columns}, {a.scores.data(), tokens, experts}},
        workspace(memory));
  if constexpr (WithGradient)
    route_backward(serial{}, r, in, matrix_view<index_t const>{a.ids.data(), tokens, columns},
                   matrix_view<float const>{a.weights.data(), tokens, columns},
                   matrix_view<float>{a.d_logits.data(), tokens, experts}, workspace(memory));
  return a;
}

template <bool WithGradient = true, class R, class T>
answer on_device(on_cuda x, R const& r, std::vector<T> const& logits, offset_t tokens, index_t experts, nan_rule nan) {
  auto const k = static_cast<std::size_t>(r.select.experts_per_token()), n = static_cast<std::size_t>(tokens);
  device_array<T> const z(logits);
  device_array<index_t> const ids(n * k);
  device_array<float> const weights(n * k), scores(logits.size()), d_logits(logits.size());
  device_array<std::byte> const memory(
      static_cast<std::size_t>(route_workspace_bytes<on_cuda, R, T>(x, r, tokens, experts)));
  auto const columns = static_cast<offset_t>(k);
  batch<T> const in{.logits = {z.data(), tokens, experts}, .nan = nan};
  route(x, r, in,
        routing_view<>{
            {ids.data(), tokens, columns}, {weights.data(), tokens, columns}, {scores.data(), tokens, experts}},
        workspace(memory));
  if constexpr (WithGradient)
    route_backward(x, r, in, matrix_view<index_t const>{ids.data(), tokens, columns},
                   matrix_view<float const>{weights.data(), tokens, columns},
                   matrix_view<float>{d_logits.data(), tokens, experts}, workspace(memory));
  check(cudaStreamSynchronize(x.stream), "cudaStreamSynchronize");
  CHECK(ids.bands_whole());
  CHECK(weights.bands_whole());
  CHECK(scores.bands_whole());
  CHECK(d_logits.bands_whole());
  CHECK(memory.bands_whole());
  return {ids.read(), weights.read(), scores.read(), d_logits.read()};
}

// Ids and everything a weight is made of agree bit for bit; gradients within a few rounding errors, for
// the compilers may fuse a product into a sum there.
template <class T, bool WithGradient = true, class R>
void check_equal(char const* name, R const& r, offset_t tokens, index_t experts, nan_rule nan = nan_rule::rank_last,
                 on_cuda x = {}) {
  CAPTURE(name);
  CAPTURE(tokens);
  CAPTURE(experts);
  auto const logits = some_logits<T>(tokens, experts, 11);
  answer const a = on_one_lane<WithGradient>(r, logits, tokens, experts, nan);
  answer const b = on_device<WithGradient>(x, r, logits, tokens, experts, nan);
  CHECK(a.ids == b.ids);
  CHECK(largest_difference(a.weights, b.weights) <= 4e-7f);
  CHECK(largest_difference(a.scores, b.scores) <= 4e-7f);
  CHECK(largest_difference(a.d_logits, b.d_logits) <= 2e-6f);
  answer const again = on_device<WithGradient>(x, r, logits, tokens, experts, nan);
  CHECK(again.ids == b.ids);
  CHECK(same(again.weights, b.weights));
  CHECK(same(again.d_logits, b.d_logits));
}

}  // namespace moeroute_test
