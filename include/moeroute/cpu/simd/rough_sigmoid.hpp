// Decides how AVX-512 makes the rough sigmoid of core/rough_math.hpp: a parabola for each of 31 intervals, whose coefficients
// two registers hold. Seven instructions, where an exponential and a reciprocal take eleven.
//
//   sigmoid(x) = c0 + c1 x + c2 x^2,   |x - i h| <= h / 2, -15 <= i <= 15, h = .545; beyond 15.49 h the value there
//
// The parabolas are those of least error: 1.1e-4, and as much at both ends.
#pragma once

#include <moeroute/cpu/simd/memory.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

#if defined(__AVX512F__) && defined(__AVX512DQ__)
namespace detail {
struct parabolas {
  alignas(64) float c0[32]{}, c1[32]{}, c2[32]{};  // of interval i at i mod 32; sigmoid(-x) = 1 - sigmoid(x)
  constexpr parabolas() {
    constexpr float of[3][16] = {
        {.5f, .497765809f, .488335729f, .490919501f, .526044071f, .591806114f, .671637058f, .749540806f, .816416681f,
         .86937058f, .90911597f, .937862098f, .958103359f, .972071469f, .981560051f, .988028765f},
        {.248847589f, .26468426f, .289057285f, .286402017f, .250018954f, .196364656f, .14290753f, .0987298638f,
         .0658599436f, .0428991653f, .0274838861f, .0173993986f, .0109177427f, 6.80370023e-3f, 4.21661185e-3f,
         2.60137999e-3f},
        {0.f, -.0304695312f, -.0463202186f, -.0457637012f, -.0363283344f, -.0253733695f, -.0164182223f, -.010152163f,
         -6.11178437e-3f, -3.62215634e-3f, -2.12712213e-3f, -1.24252355e-3f, -7.23557023e-4f, -4.20591474e-4f,
         -2.44227936e-4f, -1.41731871e-4f}};
    for (int i = 0; i < 16; ++i) {
      c0[(32 - i) % 32] = 1 - of[0][i], c1[(32 - i) % 32] = of[1][i], c2[(32 - i) % 32] = -of[2][i];
      c0[i] = of[0][i], c1[i] = of[1][i], c2[i] = of[2][i];
    }
  }
};
inline constexpr parabolas sigmoid_by_parabolas{};
}  // namespace detail

template <int N>
  requires(N >= 16)
MOEROUTE_SIMD_INLINE vec<float, N> simd_rough_sigmoid(vec<float, N> x) {
  return each(
      [](floats a) MOEROUTE_SIMD_LAMBDA {
        constexpr int nearer_zero = 2;  // with the sign of the first
        auto const& c = detail::sigmoid_by_parabolas;
        floats const end(15.49f * .545f),
            z(__builtin_ia32_rangeps512_mask(a.v, end.v, nearer_zero, a.v, all_lanes, 4), 0);
        ints const i = bits_as<std::int32_t>(simd_fma(z, floats(1 / .545f), floats(0x1.8p23f)));
        auto const of = [&](float const* p)
                            MOEROUTE_SIMD_LAMBDA { return lookup(load<floats>(p), load<floats>(p + 16), i); };
        return simd_fma(simd_fma(of(c.c2), z, of(c.c1)), z, of(c.c0));
      },
      x);
}
#endif

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
