// Decides what a level of the CPU part reports: numbers that stand for all outputs of one kind, the same on every level
// and machine (expected.txt), and what failed here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace levels {

// A hash of numbers in order. NaNs count alike: their sign and payload are the machine's.
struct digest {
  std::uint64_t value = 0xcbf29ce484222325u;

  void add_bits(std::uint64_t bits) {
    value = (value ^ bits) * 0x9e3779b97f4a7c15u;
    value ^= value >> 29;
  }
  template <class T>
  void add(T x) {
    if constexpr (std::is_floating_point_v<T>) {
      using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
      add_bits(x != x ? 0x7ff8u : std::uint64_t{__builtin_bit_cast(bits, x)});
    } else {
      add_bits(static_cast<std::uint64_t>(x));
    }
  }
  template <class T>
  void add(std::vector<T> const& v) {
    for (T const& x : v) add(x);
  }
};

struct report {
  std::vector<std::pair<std::string, std::uint64_t>> numbers;
  int failures = 0;

  void number(std::string name, digest const& d) { numbers.emplace_back(std::move(name), d.value); }
  // `what` and the place in the grid, of the first ten.
  void failed(std::string const& what, long long a = 0, long long b = 0, long long c = 0) {
    if (failures++ < 10) std::printf("FAILED %s (%lld, %lld, %lld)\n", what.c_str(), a, b, c);
  }
};

// The same numbers on every machine: near normal, full mantissas. No function of a C library is asked.
inline float noise(std::uint32_t seed, std::size_t i) {
  std::uint64_t x = (std::uint64_t{seed} << 32) + i;
  x = (x ^ (x >> 31)) * 0x7fb5d329728ea185u;
  x = (x ^ (x >> 27)) * 0x81dadef4bc2dd44du;
  x ^= x >> 33;
  std::int32_t sum = -2 * 65535;
  for (int j = 0; j < 4; ++j) sum += static_cast<std::int32_t>(x >> 16 * j & 0xffffu);
  return static_cast<float>(sum) * (0x1p-15f * 1.0000123f);
}
inline std::vector<float> noise_of(std::uint32_t seed, std::size_t n, float scale = 1) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = noise(seed, i) * scale;
  return x;
}

// What each part adds; each is compiled for the level.
void route_grid(report&);
void draw_grid(report&);
void functions(report&);
void verbs(report&);

}  // namespace levels
