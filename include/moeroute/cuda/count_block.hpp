// Decides how a block of warps counts its share of the choices: a counter for each warp and expert in scratch, lanes with
// the same expert find each other by ballots. No atomics: ranks are those of the order of the choices.
#pragma once

#include <moeroute/core/butterfly_group.hpp>
#include <moeroute/core/joined_group.hpp>
#include <moeroute/plan/limited.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

MOEROUTE_HD inline index_t count_bits(std::uint32_t x) {
#if defined(__CUDA_ARCH__)
  return __popc(x);
#else
  return __builtin_popcount(x);
#endif
}
// Choices [first, first + count) of a share, fewer than 2^31 in all; the expert of a choice, `experts` if it has none.
template <std::integral Id>
struct choice_shares {
  choices_view<Id> in;
  id_ranges ids;
  offset_t choices;
  offset_t per_share;
  // Ids that lie one after another, all valid; else null.
  Id const* plain = packed() && in.valid.empty() ? in.ids.data : nullptr;

  MOEROUTE_HD offset_t first(offset_t share) const { return share * per_share; }
  MOEROUTE_HD offset_t count(offset_t share) const {
    offset_t const left = choices - first(share);
    return left < per_share ? left : per_share;
  }
  MOEROUTE_HD offset_t token_of(offset_t c) const { return in.shape().token_of(c); }
  // The id of a choice; padding tokens show no_expert.
  MOEROUTE_HD Id id(index_t c) const {
    if (plain != nullptr) return plain[c];
    return id_of_token(token_of(c), c);  // seldom
  }
  MOEROUTE_HD Id id_of_token(offset_t t, offset_t c) const {
    Id const given = packed() ? in.ids.data[c] : in.ids.data[t * in.ids.stride + (c - t * in.ids.cols)];
    return in.is_valid(t) ? given : no_expert_of<Id>;
  }
  MOEROUTE_HD bool packed() const { return in.offsets.size != 0 || in.ids.stride == in.ids.cols; }
  MOEROUTE_HD std::uint32_t expert(Id i) const {
    return static_cast<std::uint32_t>(ids.is_expert(i) ? static_cast<index_t>(i) : ids.experts);
  }
};

}  // namespace detail

template <std::integral Id, std::signed_integral Slot>
struct count_block {
  static constexpr bool long_rows = true;
  detail::choice_shares<Id> share;
  index_t warps;          // of a block that count; as many as scratch has room for
  std::uint32_t* counts;  // shares x experts
  offset_t* odd;          // shares: first choice with an id that nobody knows; largest<offset_t> if none
  Slot* rank;             // choices: rank of a choice among those of its expert in its share

  offset_t scratch_bytes() const {
    return aligned_bytes<std::uint32_t>(static_cast<offset_t>(warps) * share.ids.experts);
  }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch memory) const {
    auto const& warp = g.part;
    constexpr index_t lanes = std::remove_cvref_t<decltype(warp)>::static_lanes;
    auto const experts = static_cast<std::uint32_t>(share.ids.experts);
    auto* const table = memory.take<std::uint32_t>(static_cast<offset_t>(warps) * share.ids.experts);
    std::uint32_t* const mine = table + static_cast<std::uint32_t>(g.index) * experts;
    index_t bits = 0;
    while ((experts - 1) >> bits != 0) ++bits;
    auto const first = static_cast<index_t>(share.first(s)), last = first + static_cast<index_t>(share.count(s));
    index_t const each = (last - first + warps - 1) / warps, slice = (each + lanes - 1) / lanes * lanes;
    index_t const begin = first + (g.index < warps ? g.index * slice : last - first);
    index_t const end = begin + slice < last ? begin + slice : last;

    offset_t unknown = largest<offset_t>;
    if (g.index < warps) {
      MOEROUTE_UNROLL_BY(1)
      for (auto e = static_cast<std::uint32_t>(warp.rank()); e < experts; e += lanes) mine[e] = 0;
      warp.sync();
      MOEROUTE_UNROLL_BY(1)
      for (index_t base = begin; base < end; base += lanes) {
        index_t const c = base + warp.rank();
        std::uint32_t e = experts;
        if (c < end) {
          Id const id = share.id(c);
          e = share.expert(id);
          if (e == experts && unknown == largest<offset_t>) {
            unknown = share.ids.is_known(id) ? unknown : c;  // seldom
          }
        }
        std::uint32_t const same = warp.match(e, bits) & warp.ballot(e < experts);
        std::uint32_t const before =
            static_cast<std::uint32_t>(detail::count_bits(same & ((std::uint32_t{1} << warp.rank()) - 1)));
        std::uint32_t const seen = e < experts ? mine[e] : 0;
        warp.sync();
        if (e < experts) {
          rank[c] = static_cast<Slot>(seen + before);
          if (before == 0) mine[e] = seen + static_cast<std::uint32_t>(detail::count_bits(same));
        }
        warp.sync();
      }
    }
    g.sync();
    MOEROUTE_UNROLL_BY(1)
    for (auto e = static_cast<std::uint32_t>(g.rank()); e < experts; e += static_cast<std::uint32_t>(g.size())) {
      std::uint32_t total = 0, *at = table + e;
      MOEROUTE_UNROLL_BY(4)
      for (index_t q = 0; q < warps; ++q, at += experts) {
        std::uint32_t const count = *at;
        *at = total;
        total += count;
      }
      counts[s * experts + e] = total;
    }
    g.sync();
    MOEROUTE_UNROLL_BY(1)
    for (index_t c = begin + warp.rank(); c < end; c += lanes)
      if (std::uint32_t const e = share.expert(share.id(c)); e < experts)
        rank[c] = static_cast<Slot>(static_cast<std::uint32_t>(rank[c]) + mine[e]);
    unknown = -g.max(-unknown);
    if (g.rank() == 0) odd[s] = unknown;
    g.sync();
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
