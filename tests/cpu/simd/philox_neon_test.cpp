// Decides whether the form at hand, on Arm the words of four counters in four registers, makes the words of core/philox.hpp.
#include <moeroute/cpu/simd/philox.hpp>
#include <moeroute/cpu/simd/philox_neon.hpp>

#include "support/philox_words.hpp"

using namespace moeroute;

#if defined(__aarch64__)
static_assert(std::same_as<simd::philox_words, simd::philox_neon>);
#endif

TEST_CASE("simd philox: the form at hand makes the words of one by one") {
  philox_test::words_of<simd::philox_words>();
}
