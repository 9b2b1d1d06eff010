// Decides whether a level computes right: functions of a number within their units in the last place, every lane of a
// vector with the bits of the scalar function, sums in fixed point, sorting networks and filters.
#include <algorithm>
#include <cmath>

#include <moeroute/cpu/simd/filter.hpp>

#include "level_report.hpp"

namespace levels {
namespace {

using namespace moeroute;
using simd::floats;

// Numbers of all magnitudes, and the ends.
std::vector<float> arguments() {
  std::vector<float> x = noise_of(3, 16 * 300, 20);
  std::vector<float> const fine = noise_of(5, 16 * 100, .05f);
  x.insert(x.end(), fine.begin(), fine.end());
  for (std::uint32_t i = 0; i < 16 * 300; ++i) x.push_back(__builtin_bit_cast(float, i * 0x9E3779B1u));
  for (float const e : {0.f, -0.f, infinity<float>, -infinity<float>, not_a_number<float>, 0x1p-149f, -0x1p-149f,
                        88.72f, 89.5f, -103.9f, -104.1f, -87.5f, 1.f, -1.f, 0x1.fffffep127f, 0x1p-126f})
    x.push_back(e);
  return x;
}
double ulps(float got, double want) {
  auto const w = static_cast<float>(want);
  if (std::isinf(w) || std::isnan(w)) return got == w || (std::isnan(got) && std::isnan(w)) ? 0 : 1e9;
  double const size = std::fabs(static_cast<double>(w));
  int const exponent = size < 0x1p-126 ? -149 : std::ilogb(size) - 23;
  return std::fabs(static_cast<double>(got) - want) / std::ldexp(1., exponent);
}
template <class F, class G>
void function(report& to, char const* name, double most, F f, G exact) {
  digest d;
  std::vector<float> const x = arguments();
  for (std::size_t i = 0; i < x.size(); i += 16) {
    float lane[16];
    simd::store(lane, f(simd::load<floats>(x.data() + i)));
    for (std::size_t j = 0; j < 16; ++j) {
      float const y = f(x[i + j]);
      d.add(y);
      bool const same = __builtin_bit_cast(std::int32_t, y) == __builtin_bit_cast(std::int32_t, lane[j]);
      if (!same && !(is_nan(y) && is_nan(lane[j])))
        to.failed(std::string(name) + ": a lane", __builtin_bit_cast(std::int32_t, x[i + j]));
      if (!(ulps(y, exact(static_cast<double>(x[i + j]))) <= most))
        to.failed(std::string(name) + ": ulp", __builtin_bit_cast(std::int32_t, x[i + j]));
    }
  }
  to.number(name, d);
}

// NaN of any kind is closed, every number stays.
void closed(report& to) {
  std::vector<float> const x = arguments();
  for (std::size_t i = 0; i < x.size(); i += 16) {
    float lane[16];
    simd::store(lane, simd::closed_if_nan(simd::load<floats>(x.data() + i)));
    for (std::size_t j = 0; j < 16; ++j)
      if (lane[j] != (is_nan(x[i + j]) ? simd::lowest : x[i + j]))
        to.failed("closed if NaN", __builtin_bit_cast(std::int32_t, x[i + j]));
  }
}
void sums(report& to) {
  digest d;
  std::vector<float> const x = noise_of(8, 1600, .25f);
  exact_sum<float> all;
  for (std::size_t i = 0; i < x.size(); i += 16) {
    std::int64_t out[16];
    auto const ticks = exact_sum<floats>::to_ticks(simd::load<floats>(x.data() + i));
    simd::store(out, ticks);
    float back[16];
    simd::store(back, simd::simd_from_ticks(ticks, floats(0x1p40f)));
    for (std::size_t j = 0; j < 16; ++j) {
      all.add(x[i + j]);
      d.add(all.value());
      if (out[j] != exact_sum<float>::to_ticks(x[i + j])) to.failed("ticks of a lane", static_cast<long long>(i + j));
      if (back[j] != exact_sum<float>{out[j]}.value()) to.failed("a sum's value", static_cast<long long>(i + j));
    }
  }
  to.number("sums in fixed point", d);
}
// Keys with ties, zeros of both signs and infinities through the filter and its network, against std::sort.
void best(report& to) {
  digest d;
  for (int const size : {64, 128, 320})
    for (std::uint32_t seed = 0; seed < 40; ++seed) {
      std::vector<float> key = noise_of(seed, static_cast<std::size_t>(size));
      for (std::size_t i = 0; i < key.size(); ++i) {
        if (seed % 4 == 1) key[i] = static_cast<float>(static_cast<int>(key[i] * 4)) / 4;
        if (seed % 4 == 2 && i % 5 == 0) key[i] = i % 2 == 0 ? 0.f : -0.f;
        if (seed % 4 == 3 && i % 7 == 0) key[i] = i % 3 == 0 ? infinity<float> : not_a_number<float>;
      }
      std::vector<std::int32_t> order;
      for (int i = 0; i < size; ++i)
        if (!is_nan(key[static_cast<std::size_t>(i)])) order.push_back(i);
      std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
        return key[static_cast<std::size_t>(a)] > key[static_cast<std::size_t>(b)];
      });
      for (int const k : {1, 4, 8, 16, 33}) {
        std::int32_t id[64], list[320];
        float top[1];
        float const* const row[1] = {key.data()};
        if (simd::best_of_rows(row, 1, size, k, id, top, list) != 0) to.failed("a row not served", size, seed, k);
        for (int j = 0; j < k; ++j) {
          d.add(id[j]);
          if (id[j] != order[static_cast<std::size_t>(j)]) to.failed("filter", size, seed, k);
        }
      }
    }
  to.number("filter", d);
}

}  // namespace

void functions(report& to) {
  function(to, "exp", 1.1, [](auto x) { return math::exp(x); }, [](double x) { return std::exp(x); });
  function(to, "log", 2, [](auto x) { return math::log(x); }, [](double x) { return std::log(x); });
  function(
      to, "sigmoid", 2.5, [](auto x) { return math::sigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); });
  function(
      to, "softplus", 3, [](auto x) { return math::softplus(x); },
      [](double x) { return x > 40 ? x : std::log1p(std::exp(x)); });
  function(to, "tanh", 3, [](auto x) { return math::tanh(x); }, [](double x) { return std::tanh(x); });
  function(to, "square root", .5001, [](auto x) { return math::sqrt(x); }, [](double x) { return std::sqrt(x); });
  closed(to);
  sums(to);
  best(to);
}

}  // namespace levels
