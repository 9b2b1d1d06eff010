// Decides what happens to a row in doubt: exact keys of all experts and the plain rule of core/best.hpp, the row read
// again in every round. With it what else few calls ask for: NaN rules, and the scores of the whole row.
#pragma once

#include <moeroute/core/best.hpp>
#include <moeroute/cuda/register_groups.hpp>
#include <moeroute/cuda/register_keys.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class Plain, class Layout>
struct register_repair;
template <class R, class T, class H, class Id, class W, class Layout>
struct register_repair<route_row<R, T, H, Id, W>, Layout> {
  using V = compute_t<T>;
  static constexpr bool grouped = detail::is_group_limited<std::remove_cvref_t<decltype(R::select)>>;
  route_row<R, T, H, Id, W> const* plain;
  Layout const* place;

  MOEROUTE_HD vector_row<T, Layout> logits(offset_t t) const { return {plain->in.logits[t].data, *place}; }
  template <class G>
  MOEROUTE_HD void choose(G const& g, offset_t t, bool known, row_view<V> chosen) const {
    row_context const c = detail::context_of(plain->in, t, known);
    auto const row = logits(t);
    auto const m = plain->summary(g, mapped_row{row, detail::nan_to_closed{}});
    auto const score = [&](V z) { return score_of(plain->r.score, m, detail::closed_if_nan(z)); };
    mapped_row const keys{
        row, [&](index_t e, V z) { return detail::key_of(plain->r, c, e, z, ranks_logits<R> ? z : score(z)); }};
    bool const open = is_open(g, keys);
    row_view<Id> const ids = plain->out.ids[t];
    // The ids lie where the scores will.
    static_assert(sizeof(V) == sizeof(index_t));
    take_best(g, keys, row_view<index_t>{reinterpret_cast<index_t*>(chosen.data), chosen.size},
              [&](index_t) { return open; });
    for (index_t j = g.rank(); j < static_cast<index_t>(chosen.size); j += Layout::lanes) {
      auto const e = math::as<index_t>(chosen[j]);
      if (known) ids[j] = static_cast<Id>(e);
      chosen[j] = score(load(row.data[e]));
    }
    g.sync();
  }

  // For some rows of a warp and not for others: nothing that all must call.
  template <class G>
  MOEROUTE_HD void nobody(G const& g, offset_t t, bool live) const {
    if (live) plain->nobody(apart{g.rank()}, t);
  }
  template <class G>
  MOEROUTE_HD bool has_nan(G const& g, offset_t t) const {
    bool found = false;
    logits(t).each(g, [&](index_t, V z) { found = found || is_nan(z); });
    return g.any(found);
  }
  template <class G>
  MOEROUTE_HD void weigh(G const& g, row_view<V> chosen) const {
    g.sync();
    if (g.rank() == 0) plain->r.weigh(chosen);
    g.sync();
  }
  template <class G>
  MOEROUTE_HD void scores(G const& g, offset_t t, bool known) const {
    auto const row = logits(t);
    auto const all = summarize(plain->r.score, g, mapped_row{row, detail::nan_to_closed{}});
    if (!known) return;
    row.each(g, [&](index_t e, V z) {
      plain->out.scores[t][e] = static_cast<W>(score_of(plain->r.score, all, detail::closed_if_nan(z)));
    });
  }

 private:
  struct apart {
    index_t lane;
    MOEROUTE_HD index_t rank() const { return lane; }
    MOEROUTE_HD static constexpr index_t size() { return Layout::lanes; }
    MOEROUTE_HD static constexpr void sync() {}
  };
  template <class G, class Row>
  MOEROUTE_HD bool is_open(G const& g, Row const& keys) const {
    if constexpr (!grouped) {
      return true;
    } else {
      V first = -infinity<V>, second = -infinity<V>;
      keys.each(g, [&](index_t, V z0) {
        V const z = detail::closed_if_nan(z0);
        second = math::max(second, math::min(first, z));
        first = math::max(first, z);
      });
      for (index_t d = 1; d < place->per_group(); d *= 2) {
        V const f = g.exchange(first, d), s = g.exchange(second, d);
        second = math::max(math::min(first, f), math::max(second, s));
        first = math::max(first, f);
      }
      return detail::is_among_best(g, *place, plain->r.select, first, second);
    }
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
