// Decides whether a level draws right: random words, uniform, Gumbel and normal numbers, and routes drawn without
// replacement, vector path against plain path.
#include <moeroute/cpu/simd/gumbel.hpp>
#include <moeroute/select/gumbel_top_k.hpp>

#include "rows.hpp"

namespace levels {
namespace {

constexpr draws families[] = {{1, 2, 3}, {0xFFFFFFFF00000001u, 77, 0x47}};
constexpr offset_t tokens[] = {0, 12345, (offset_t{1} << 40) + 7};

void numbers(report& to) {
  digest words, uniform, gumbel, normal;
  for (draws const& d : families)
    for (offset_t const t : tokens)
      for (index_t e = 0; e < 512; ++e) {
        words.add(d.bits(t, e)), uniform.add(d.uniform(t, e)), uniform.add(d.uniform<double>(t, e));
        gumbel.add(d.gumbel(t, e)), gumbel.add(d.gumbel<double>(t, e)), normal.add(d.normal(t, e));
      }
  to.number("Philox words", words), to.number("uniform", uniform);
  to.number("Gumbel", gumbel), to.number("normal", normal);
}
// 64 experts at once: the same bits, and a bound above each.
void at_once(report& to) {
  using W = simd::vec<std::uint32_t, 16>;
  for (draws const& d : families)
    for (offset_t const t : tokens)
      for (index_t first = 0; first < 512; first += 64) {
        float out[64];
        simd::gumbel_of_64(simd::philox_words(d), t, first, out);
        for (index_t i = 0; i < 64; ++i)
          if (math::as<std::int32_t>(out[i]) != math::as<std::int32_t>(d.gumbel(t, first + i)))
            to.failed("Gumbel numbers on vectors", t, first, i);
      }
  for (std::uint32_t x = 0; x < 1u << 23; x += 16 * 61) {
    W const word = (simd::bits_as<std::uint32_t>(simd::lane_id()) + W(x)) << 9;
    float exact[16], bound[16];
    simd::store(exact, simd::gumbel_of(word)), simd::store(bound, simd::gumbel_bound(simd::floats(0.f), ~word));
    for (int i = 0; i < 16; ++i)
      if (!(bound[i] + simd::bound_constant > exact[i] + 1e-5f)) to.failed("bound of a Gumbel number", x, i);
  }
}
void routes(report& to) {
  three_digests d;
  for (index_t const experts : {5, 16, 60, 64, 128, 257}) {
    rows<float> const z(experts, experts % 3);
    for (index_t const k : {1, 2, 8, 9, 24})
      for (float const temperature : {1.f, .7f})
        if (k <= experts)
          both_paths(to, "drawn", router{.select = gumbel_top_k{.k = k, .temperature = temperature}}, z, d);
  }
  d.tell(to, "drawn");
}

}  // namespace

void draw_grid(report& to) {
  numbers(to);
  at_once(to);
  routes(to);
}

}  // namespace levels
