// Decides the group-limited choice: the best `top_groups` of `groups` equal expert groups, then the top k
// inside them. Sources: DeepSeek-V2 (best_of_group), DeepSeek-V3 (sum_of_top{2}), Megatron-LM (sum_of_share).
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/best.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// How a group is ranked: by the sum of its `count(k, top_groups)` largest keys.
struct best_of_group {
  static constexpr key_kind keys = key_kind::rank;
  MOEROUTE_HD static constexpr index_t count(index_t, index_t) { return 1; }
  static void describe(text& t) { t.add("maximum"); }
};
struct sum_of_top {
  static constexpr key_kind keys = key_kind::value;
  index_t n = 2;
  MOEROUTE_HD constexpr index_t count(index_t, index_t) const { return n; }
  void describe(text& t) const { t.add("sum of top ").add(n); }
};
struct sum_of_share {
  static constexpr key_kind keys = key_kind::value;
  MOEROUTE_HD static constexpr index_t count(index_t k, index_t top_groups) {
    return k / top_groups > 1 ? k / top_groups : 1;
  }
  static void describe(text& t) { t.add("sum of top k/top_groups"); }
};

// What the key of an expert in a closed group becomes: -inf in the official code of DeepSeek, Megatron-LM
// and FlashInfer, 0 in one Transformers port; they differ where score + bias is negative.
enum class closed_groups : std::uint8_t { minus_infinity, zero };

template <class GroupScore>
struct group_limited_top_k {
  index_t k = 8;
  index_t groups = 8;
  index_t top_groups = 4;
  [[no_unique_address]] GroupScore group_score{};
  closed_groups closed = closed_groups::minus_infinity;
  static constexpr key_kind keys = GroupScore::keys;
  static constexpr bool takes_best = true;

  MOEROUTE_HD index_t experts_per_token() const { return k; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Out>
  MOEROUTE_HD void operator()(G const& g, row_context, Row const& key, Out out) const {
    using V = typename Row::value_type;
    index_t const width = key.size() / groups;
    std::uint64_t const open = open_groups(g, key, width);
    auto const is_open = [=](index_t e) { return (open >> (e / width) & 1u) != 0; };
    if (closed == closed_groups::minus_infinity) {
      take_best(g, key, out, is_open);
    } else {
      take_best(g, mapped_row{key, [=](index_t e, V x) { return is_open(e) ? x : V(0); }}, out);
    }
  }

  status validate(index_t experts) const {
    checks c;
    c.at_least("select.k", k, 1).at_least("select.groups", groups, 1).at_most("select.groups", groups, 64);
    c.divides("select.groups", groups, experts).at_least("select.top_groups", top_groups, 1);
    c.at_most("select.top_groups", top_groups, groups);
    if (!c.result().ok()) return c.result();
    index_t const width = experts / groups;
    c.at_most("select.k", k, closed == closed_groups::zero ? experts : top_groups * width);
    c.at_most("select.group_score count", group_score.count(k, top_groups), width);
    if (closed == closed_groups::zero && keys == key_kind::rank)
      c.also({errc::unsupported, "select.closed = zero with keys that only rank: group scores", "must be", 1, 2});
    return c.result();
  }
  void describe(text& t) const {
    t.add("top ").add(k).add(" inside the best ").add(top_groups).add(" of ").add(groups);
    t.add(" groups (group score: ");
    group_score.describe(t);
    t.add(closed == closed_groups::zero ? "; closed groups at 0)" : ")");
  }

 private:
  // Bit q is set where group q is open; every lane gets the same bits.
  template <class G, class Row>
  MOEROUTE_HD std::uint64_t open_groups(G const& g, Row const& key, index_t width) const {
    using V = typename Row::value_type;
    std::uint64_t open = 0;
    for (index_t round = 0; round < top_groups; ++round) {
      ranked<key_t<V>> mine;
      for (index_t q = g.rank(); q < groups; q += g.size()) {
        if ((open >> q & 1u) != 0) continue;
        ranked<key_t<V>> const c{order_key<V>(score_of_group(key, q * width, width)), q};
        if (beats(c, mine)) mine = c;
      }
      open |= std::uint64_t{1} << g.best(mine).id;
    }
    return open;
  }
  // Sum of the largest keys of experts [first, first + width), largest first; NaN counts as -inf.
  template <class Row>
  MOEROUTE_HD typename Row::value_type score_of_group(Row const& key, index_t first, index_t width) const {
    using V = typename Row::value_type;
    index_t const n = group_score.count(k, top_groups);
    V sum = 0;
    ranked<key_t<V>> last{largest<key_t<V>>, -1};
    for (index_t i = 0; i < n; ++i) {
      ranked<key_t<V>> next;
      for (index_t e = first; e < first + width; ++e) {
        ranked<key_t<V>> const c{order_key<V>(key.at(e)), e};
        if (beats(last, c) && beats(c, next)) next = c;
      }
      last = next;
      V const x = from_order_key<V>(next.key);
      sum = i == 0 ? (is_nan(x) ? -infinity<V> : x) : sum + (is_nan(x) ? -infinity<V> : x);
    }
    return sum;
  }
};
static_assert(token_choice<group_limited_top_k<>> && token_choice<group_limited_top_k<best_of_group>>);

}  // namespace moeroute::inline MOEROUTE_ABI
