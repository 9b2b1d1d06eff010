// Decides a random choice without replacement: k experts drawn one after the other in proportion to
// exp(z / temperature) among those not yet drawn, in draw order.
//
//   ids = the k largest of  z_e / temperature + G_e,   G_e = -log(-log u_e),  best first
//
// is that very draw (Plackett-Luce; Yellott 1977, Kool et al. 2019), without a loop over draws. G depends on
// (seed, step, token, expert) alone. Closed experts (-inf) and NaN are never drawn: if fewer than k are
// open, the places left over hold no_expert. Its log-probability: grpo/log_prob.hpp.
#pragma once

#include <moeroute/core/best.hpp>
#include <moeroute/prior/noise.hpp>
#if !defined(__CUDACC__)  // device code knows no vectors; one expert at a time draws the same
#include <moeroute/cpu/simd/draw_rows.hpp>
#endif

namespace moeroute::inline MOEROUTE_ABI {

template <class K = index_t, noise_source Source = drawn_gumbel>
struct gumbel_top_k {
  [[no_unique_address]] K k{};
  float temperature = 1;
  Source source{};
  static constexpr key_kind keys = key_kind::logit;

  MOEROUTE_HD index_t experts_per_token() const { return k; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Out>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& logits, Out out) const {
    using V = typename Row::value_type;
#if !defined(__CUDACC__)
    if constexpr (is_serial<G> && std::same_as<V, float> && std::same_as<Source, drawn_gumbel>)
      if (out.size <= most_at_once) return serially(c, logits, out);
#endif
    auto const perturbed = [&](index_t e, V z) {
      return z > -infinity<V> ? z / V(temperature) + source.template at<V>(c, e) : -infinity<V>;
    };
    take_best(g, mapped_row{logits, perturbed}, out, [&](index_t e) { return logits.at(e) > -infinity<V>; });
  }
#if !defined(__CUDACC__)
  // For the vector path on the CPU (cpu/simd/fits.hpp).
  unsigned choose_rows(offset_t const* token, float const* const* logits, int rows, index_t size,
                       simd::winners const& w, float* space) const
    requires std::same_as<Source, drawn_gumbel>
  {
    return simd::draw_rows(source.random, temperature, token, logits, rows, size, k, w, space);
  }
  // One lane: noise for 64 experts at a time, the winners so far beside their keys. The same choice.
  static constexpr index_t most_at_once = 32;
  template <class Row, class Id>
  void serially(row_context c, Row const& logits, row_view<Id> out) const {
    using V = float;
    constexpr index_t chunk = 64, piece = 16;
    index_t const places = static_cast<index_t>(out.size), experts = logits.size();
    simd::philox_words const words(source.random);
    V best[most_at_once], noise[chunk], key[chunk];
    index_t filled = 0;
    V worst = -infinity<V>;  // of the winners, once all places are filled
    for (index_t first = 0; first < experts; first += chunk) {
      simd::gumbel_of_64(words, c.token, first, noise);
      index_t const n = experts - first < chunk ? experts - first : chunk;
      for (index_t i = 0; i < n; ++i) key[i] = logits.at(first + i) / V(temperature) + noise[i];
      for (index_t i = n; i < chunk; ++i) key[i] = -infinity<V>;
      for (index_t p = 0; p < n; p += piece) {
        V top = -infinity<V>;
        for (index_t i = p; i < p + piece; ++i) top = math::max(key[i], top);  // NaN is passed over
        if (!(top > worst)) continue;
        for (index_t i = p; i < p + piece; ++i) {
          V const x = key[i];
          if (!(x > worst)) continue;
          index_t j = filled < places ? filled++ : places - 1;
          for (; j > 0 && x > best[j - 1]; --j) best[j] = best[j - 1], out[j] = out[j - 1];
          best[j] = x, out[j] = static_cast<Id>(first + i);
          if (filled == places) worst = best[places - 1];
        }
      }
    }
    for (index_t j = filled; j < places; ++j) out[j] = no_expert_of<Id>;
  }
#endif
  status validate_tokens(offset_t tokens) const { return tokens_fit(source, tokens); }
  status validate(index_t experts) const {
    checks c;
    c.at_least("select.k", k, 1).at_most("select.k", k, experts);
    c.also(temperature > 0 ? status{}
                           : status{errc::bad_value, "select.temperature", "must be above",
                                    static_cast<std::int64_t>(temperature), 0});
    return c.also(experts_fit(source, experts)).result();
  }
  void describe(text& t) const {
    t.add(static_cast<index_t>(k)).add(" drawn without replacement");
    if (temperature != 1) t.add(" at temperature ").add(temperature);
  }
};
static_assert(token_choice<gumbel_top_k<>> && token_choice<gumbel_top_k<fixed_index<2>, given_noise<>>>);

}  // namespace moeroute::inline MOEROUTE_ABI
