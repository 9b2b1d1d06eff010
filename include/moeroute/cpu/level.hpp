// Decides which of several compiled levels a program runs: the highest that is there and that the processor has.
//
//   moeroute::per_level const compiled{.sse2 = my::sse2::route_tokens, .avx2 = my::avx2::route_tokens};
//   auto* const route_tokens = compiled.chosen();
//
// A unit of a level writes `namespace my::MOEROUTE_LEVEL { ... }`; the CMake function moeroute_add_levels compiles it for
// each. What crosses between the unit that chooses and a level is plain: pointers, sizes, functions. Types of the library
// carry the level in their namespace, moeroute::error too: catch it as std::exception.
#pragma once

#include <moeroute/core/status.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// A processor has all up to its own. On x86-64 a level's units are compiled with the flag beside it, or with less.
enum class level : std::uint8_t {
  plain,         // any
  neon,          // any 64-bit Arm
  sse2,          // -march=x86-64
  avx2,          // -march=x86-64-v3
  avx512,        // -march=x86-64-v4
  avx512_vbmi2,  // -march=x86-64-v4 -mavx512vbmi2
};
// That of the unit which includes this file.
inline constexpr level this_level = level::MOEROUTE_LEVEL;

constexpr char const* name(level l) {
  char const* const names[] = {"plain", "neon", "sse2", "avx2", "avx512", "avx512_vbmi2"};
  return names[static_cast<std::size_t>(l)];
}

// The highest that this processor and its operating system run.
inline level processor_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
#if defined(__clang__) && __clang_major__ < 18  // knows neither of the two sets by its name
  bool const v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  bool const v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512cd");
#else
  bool const v3 = __builtin_cpu_supports("x86-64-v3"), v4 = __builtin_cpu_supports("x86-64-v4");
#endif
  if (v4) return __builtin_cpu_supports("avx512vbmi2") ? level::avx512_vbmi2 : level::avx512;
  return v3 ? level::avx2 : level::sse2;
#elif defined(__aarch64__)
  return level::neon;
#else
  return level::plain;
#endif
}

// A function, or a table of several, for each level it was compiled for; null where there is none.
template <class Function>
struct per_level {
  Function* plain = nullptr;
  Function* neon = nullptr;
  Function* sse2 = nullptr;
  Function* avx2 = nullptr;
  Function* avx512 = nullptr;
  Function* avx512_vbmi2 = nullptr;

  // That of the highest level up to `limit`, or null.
  constexpr Function* up_to(level limit) const {
    Function* const all[] = {plain, neon, sse2, avx2, avx512, avx512_vbmi2};
    for (std::size_t l = static_cast<std::size_t>(limit) + 1; l-- > 0;)
      if (all[l] != nullptr) return all[l];
    return nullptr;
  }
  // That of the highest level that runs here, up to `at_most`; never null. Throws errc::unsupported.
  Function* chosen(level at_most = level::avx512_vbmi2) const {
    level const here = processor_level();
    Function* const best = up_to(at_most < here ? at_most : here);
    if (best == nullptr)
      throw_if_bad({errc::unsupported, "per_level: levels given that may run here", "must be at least", 0, 1});
    return best;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
