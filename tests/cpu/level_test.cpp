#include <doctest/doctest.h>

#include <cstring>
#include <exception>
#include <string>

#include <moeroute/cpu/level.hpp>

using namespace moeroute;

#define MOEROUTE_TEST_TEXT_(x) #x
#define MOEROUTE_TEST_TEXT(x) MOEROUTE_TEST_TEXT_(x)

namespace {
constexpr level all[] = {level::plain, level::neon, level::sse2, level::avx2, level::avx512, level::avx512_vbmi2};
int one() { return 1; }
int two() { return 2; }
// What stands for a level in a table of which bit `l` says whether level l is there.
constexpr int things[] = {0, 1, 2, 3, 4, 5};
constexpr per_level<int const> given(unsigned bits) {
  auto const at = [&](int l) { return (bits >> l & 1) != 0 ? &things[l] : nullptr; };
  return {at(0), at(1), at(2), at(3), at(4), at(5)};
}
}  // namespace

TEST_CASE("level: a unit knows its own, and names it") {
  CHECK(std::strcmp(name(this_level), MOEROUTE_TEST_TEXT(MOEROUTE_LEVEL)) == 0);
  CHECK(name(level::plain) == std::string("plain"));
  CHECK(name(level::neon) == std::string("neon"));
  CHECK(name(level::sse2) == std::string("sse2"));
  CHECK(name(level::avx2) == std::string("avx2"));
  CHECK(name(level::avx512) == std::string("avx512"));
  CHECK(name(level::avx512_vbmi2) == std::string("avx512_vbmi2"));
}

TEST_CASE("level: the processor runs this unit, and has what each level is compiled for") {
  CHECK(this_level <= processor_level());
#if defined(__x86_64__)
  bool const avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2");
  bool const avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512cd");
  bool const vbmi2 = avx512 && __builtin_cpu_supports("avx512vbmi2");
  CHECK(processor_level() == (vbmi2 ? level::avx512_vbmi2 : avx512 ? level::avx512 : avx2 ? level::avx2 : level::sse2));
#endif
}

TEST_CASE("level: the highest that is given, for every set of levels and every limit") {
  for (unsigned bits = 0; bits < 64; ++bits)
    for (level const limit : all) {
      int expected = -1;
      for (int l = 0; l <= static_cast<int>(limit); ++l)
        if ((bits >> l & 1) != 0) expected = l;
      int const* const found = given(bits).up_to(limit);
      CHECK((found == nullptr ? -1 : *found) == expected);
    }
  static_assert(per_level<int const>{}.up_to(level::avx512) == nullptr);
}

TEST_CASE("level: the chosen one is given, runs here and is not above the limit") {
  for (unsigned bits = 0; bits < 64; ++bits)
    for (level const limit : all) {
      int const* const runs = given(bits).up_to(limit < processor_level() ? limit : processor_level());
      if (runs != nullptr) CHECK(given(bits).chosen(limit) == runs);
      else CHECK_THROWS_AS(static_cast<void>(given(bits).chosen(limit)), error);
    }
  CHECK(given(63).chosen() == &things[static_cast<int>(processor_level())]);
}

TEST_CASE("level: functions, by their type or deduced") {
  per_level<int()> const named{.plain = one, .avx2 = two};
  CHECK(named.chosen(level::sse2)() == 1);
  per_level const deduced{.plain = one, .sse2 = two};
  CHECK(deduced.up_to(level::avx512)() == 2);
  CHECK(deduced.chosen(level::plain)() == 1);
}

TEST_CASE("level: none that runs here is an error that says so") {
  try {
    static_cast<void>(per_level<int()>{.sse2 = one}.chosen(level::plain));
    FAIL("a level above the limit was chosen");
  } catch (error const& e) {
    CHECK(e.why().code == errc::unsupported);
    CHECK(e.what() == std::string("moeroute: per_level: levels given that may run here = 0 must be at least 1"));
  }
}
