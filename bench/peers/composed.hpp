// Decides what routing costs when it is put together from public parts: a vector softmax or sigmoid, and the best k by
// std::partial_sort on (score, id) pairs or, where Debian's libhwy-dev is there, by Highway's VQSort on 64-bit keys.
// The numerators and sigmoids are ours, so that the difference is the selection; built without fused sums, where ours cost
// more than others', they are the C library's.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <moeroute/cpu/simd/math.hpp>
#if defined(MOEROUTE_BENCH_HWY)
#include <hwy/contrib/sort/vqsort.h>
#endif

namespace composed {

using moeroute::simd::floats;
using moeroute::simd::load;
using moeroute::simd::store;

#if defined(__FMA__) || defined(__aarch64__)
template <class V>
V exp_of(V x) {
  return moeroute::math::exp(x);
}
#else
inline float exp_of(float x) { return std::exp(x); }
inline floats exp_of(floats x) {
  float lane[16];
  store(lane, x);
  for (float& v : lane) v = std::exp(v);
  return load<floats>(lane);
}
#endif
inline floats sigmoid_of(floats x) { return floats(1.f) / (floats(1.f) + exp_of(-x)); }
inline float sum_of(floats x) {
  float lane[16], s = 0;
  store(lane, x);
  for (float v : lane) s += v;
  return s;
}
inline float max_of(float const* z, int experts) {
  floats m(z[0]);
  for (int e = 0; e + 16 <= experts; e += 16) m = moeroute::math::max(load<floats>(z + e), m);
  float lane[16], top = z[0];
  store(lane, m);
  for (float v : lane) top = v > top ? v : top;
  for (int e = experts / 16 * 16; e < experts; ++e) top = z[e] > top ? z[e] : top;
  return top;
}
inline float denominator(float const* z, int experts, float top) {
  floats s(0.f);
  for (int e = 0; e + 16 <= experts; e += 16) s += exp_of(load<floats>(z + e) - floats(top));
  float total = sum_of(s);
  for (int e = experts / 16 * 16; e < experts; ++e) total += exp_of(z[e] - top);
  return total;
}

// The k best of `count` keys by (key descending, lower id), best first.
struct partial_sort {
  std::vector<std::pair<float, int>> pair;
  void operator()(float const* key, int const* id, int count, int k, int* out) {
    pair.resize(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) pair[static_cast<std::size_t>(i)] = {key[i], id == nullptr ? i : id[i]};
    std::partial_sort(pair.begin(), pair.begin() + k, pair.end(), [](auto const& a, auto const& b) {
      return a.first > b.first || (a.first == b.first && a.second < b.second);
    });
    for (int j = 0; j < k; ++j) out[j] = pair[static_cast<std::size_t>(j)].second;
  }
};
#if defined(MOEROUTE_BENCH_HWY)
struct vqsort {
  std::vector<std::uint64_t> packed;
  hwy::Sorter sort;
  void operator()(float const* key, int const* id, int count, int k, int* out) {
    packed.resize(static_cast<std::size_t>(count + 15));
    using ids = moeroute::simd::ints;
    using keys = moeroute::simd::vec<std::uint64_t, 16>;
    for (int i = 0; i < count; i += 16) {  // a multiple of 8 experts; room for 16
      auto const bits = moeroute::simd::bits_as<std::int32_t>(load<floats>(key + i) + floats(0.f));
      auto const order = bits ^ (bits >> 31 & ids(0x7fffffff)) ^ ids(moeroute::least<std::int32_t>);
      auto const low = ~(id == nullptr ? moeroute::simd::lane_id() + ids(i) : load<ids>(id + i));
      auto const wide = [](ids x) {
        return moeroute::simd::convert<std::uint64_t>(moeroute::simd::bits_as<std::uint32_t>(x));
      };
      store(packed.data() + i, keys(wide(order) << 32) | wide(low));
    }
    sort(packed.data(), static_cast<std::size_t>(count), hwy::SortDescending{});
    for (int j = 0; j < k; ++j)
      out[j] = static_cast<int>(~static_cast<std::uint32_t>(packed[static_cast<std::size_t>(j)]));
  }
};
#endif

template <class Best>
void softmax_top_k(Best& best, float const* z, int experts, int k, int* ids, float* weights) {
  best(z, nullptr, experts, k, ids);
  float const top = max_of(z, experts), total = denominator(z, experts, top);
  for (int j = 0; j < k; ++j) weights[j] = exp_of(z[ids[j]] - top) / total;
}

// DeepSeek-V3: sigmoid, bias, the best 4 of 8 groups by their two best, the best k inside, renormalized.
template <class Best>
void deepseek_v3(Best& best, float const* z, float const* bias, int experts, int k, int* ids, float* weights) {
  alignas(64) float score[512], key[512], inside[512];
  int id[512], open[4];
  for (int e = 0; e < experts; e += 16) {
    floats const s = sigmoid_of(load<floats>(z + e));
    store(score + e, s);
    store(key + e, s + load<floats>(bias + e));
  }
  int const width = experts / 8;
  std::pair<float, int> group[8];
  for (int g = 0; g < 8; ++g) {
    float first = key[g * width], second = -1e30f;
    for (int e = g * width + 1; e < (g + 1) * width; ++e) {
      second = std::max(second, std::min(first, key[e]));
      first = std::max(first, key[e]);
    }
    group[g] = {-(first + second), g};
  }
  std::partial_sort(group, group + 4, group + 8);
  for (int i = 0; i < 4; ++i) open[i] = group[i].second;
  int n = 0;
  for (int g : open)
    for (int e = g * width; e < (g + 1) * width; ++e, ++n) inside[n] = key[e], id[n] = e;
  best(inside, id, n, k, ids);
  float sum = 1e-20f;
  for (int j = 0; j < k; ++j) sum += weights[j] = score[ids[j]];
  for (int j = 0; j < k; ++j) weights[j] *= 2.5f / sum;
}

}  // namespace composed
