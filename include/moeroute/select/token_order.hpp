// Decides in which order the tokens of a batch lie before experts choose among them: by segment (sequence or
// isolation group), then by token index or by a keyed hash of the token's name. A lower place wins a tie.
#pragma once

#include <moeroute/core/philox.hpp>
#include <moeroute/route.hpp>
#include <moeroute/select/top_tokens.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

// One row of work: a counting sort of the valid tokens by segment, then hashed segments sorted in themselves.
// Tokens of segments outside [0, segments) are left out, as padding is.
template <class T, class H>
struct order_tokens {
  static constexpr bool long_rows = true;  // as long as the batch
  batch<T, H> in;
  choice_scope scope;
  tie_rule ties;
  std::uint64_t secret;
  row_view<offset_t> start;     // segments + 1
  row_view<offset_t> token_at;  // tokens: place -> token
  row_view<offset_t> place_of;  // tokens: token -> place, -1 where left out

  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    offset_t const segments = start.size - 1, tokens = in.logits.rows;
    if (scope == choice_scope::batch && segments == 1 && ties == tie_rule::index && in.valid.empty()) {
      for (offset_t t = g.rank(); t < tokens; t += g.size()) token_at[t] = place_of[t] = t;
      if (g.rank() == 0) start[0] = 0, start[1] = tokens;
      return g.sync();
    }
    if (g.rank() == 0) {
      for (auto& s : start) s = 0;
      for (offset_t t = 0; t < tokens; ++t)
        if (offset_t const s = segment(t); s >= 0) ++start[s + 1];
      for (offset_t s = 0; s < segments; ++s) start[s + 1] += start[s];
      for (offset_t t = 0; t < tokens; ++t) {
        offset_t const s = segment(t);
        if (s >= 0) token_at[start[s]++] = t;
      }
      for (offset_t s = segments; s > 0; --s) start[s] = start[s - 1];
      start[0] = 0;
    }
    g.sync();
    if (ties == tie_rule::hashed)
      for (offset_t s = 0; s < segments; ++s)
        sort_in_place(g, token_at.data + start[s], start[s + 1] - start[s], [&](offset_t a, offset_t b) {
          auto const x = hash(a), y = hash(b);
          return x < y || (x == y && a < b);
        });
    for (offset_t t = g.rank(); t < tokens; t += g.size()) place_of[t] = -1;
    g.sync();
    for (offset_t i = g.rank(); i < start[segments]; i += g.size()) place_of[token_at[i]] = i;
    g.sync();
  }

 private:
  MOEROUTE_HD offset_t segment(offset_t t) const {
    if (!in.is_valid(t)) return -1;
    row_context const c = in.context(t);
    offset_t const s = scope == choice_scope::batch ? 0 : scope == choice_scope::sequence ? c.sequence : c.group;
    return s >= 0 && s + 1 < start.size ? s : -1;
  }
  MOEROUTE_HD std::uint64_t hash(offset_t t) const {
    draws const d{.seed = secret, .purpose = 0x54494553};
    offset_t const name = in.context(t).token;
    return std::uint64_t{d.bits(name, 0)} << 32 | d.bits(name, 1);
  }
};

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
