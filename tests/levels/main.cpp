// Decides what the test of one level does: runs all parts where the processor has the level, and compares their numbers
// with expected.txt. Compiled without the level, so that a processor that lacks it gets as far as saying so.
//   levels_avx2 expected.txt      `-` instead of the file prints the numbers
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "level_report.hpp"

namespace {

// Null, or what the processor lacks.
char const* missing() {
  char const* const level = MOEROUTE_TEST_LEVEL;
#if defined(__x86_64__)
  bool const avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool const avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (std::strstr(level, "avx2") != nullptr && !avx2) return "AVX2 and FMA";
  if (std::strstr(level, "avx512") != nullptr && !(avx2 && avx512)) return "AVX-512 (F, DQ, BW, VL)";
  if (std::strstr(level, "vbmi2") != nullptr && !__builtin_cpu_supports("avx512vbmi2")) return "AVX-512 VBMI2";
#else
  static_cast<void>(level);
#endif
  return nullptr;
}

}  // namespace

int main(int count, char const* const* argument) {
  if (char const* const what = missing()) {
    std::printf("SKIPPED: this processor has no %s, compiled but not run\n", what);
    return 77;
  }
  levels::report r;
  levels::route_grid(r);
  levels::draw_grid(r);
  levels::functions(r);
  levels::verbs(r);
  bool const print = count < 2 || std::strcmp(argument[1], "-") == 0;
  std::FILE* const file = print ? nullptr : std::fopen(argument[1], "r");
  if (!print && file == nullptr) return std::printf("FAILED: cannot open %s\n", argument[1]), 1;
  std::size_t agreed = 0;
  for (auto const& [name, value] : r.numbers) {
    if (print) {
      std::printf("%016" PRIx64 " %s\n", value, name.c_str());
      continue;
    }
    char line[256];
    if (std::fgets(line, sizeof line, file) == nullptr) line[0] = '\0';
    line[std::strcspn(line, "\n")] = '\0';
    char mine[256];
    std::snprintf(mine, sizeof mine, "%016" PRIx64 " %s", value, name.c_str());
    if (std::strcmp(line, mine) == 0) ++agreed;
    else r.failed(std::string("numbers differ: here \"") + mine + "\", expected \"" + line + "\"");
  }
  if (file != nullptr) std::fclose(file);
  std::printf("%s: %zu of %zu numbers as expected, %d failures\n", MOEROUTE_TEST_LEVEL, print ? 0 : agreed,
              r.numbers.size(), r.failures);
  return r.failures == 0 ? 0 : 1;
}
