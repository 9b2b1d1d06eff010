// A 16-bit expert bias, whose small updates would round away.
// expect: correction_bias: the bias is float or double
// also: nvcc
#include <moeroute/moeroute.hpp>

struct half {
  unsigned short bits{};
};
#if defined(FAIL)
using number = half;
#else
using number = float;
#endif

moeroute::correction_bias<number> const bias{};
