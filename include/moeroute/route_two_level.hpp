// Decides in two steps: first among groups of experts, then inside the chosen groups, each step a router of its own.
//
//   ids = group * width + inner id,  weight = group weight * inner weight
//   SMILE (S042):  groups = nodes, top-1 of softmax, times top-1 of softmax inside the node
//   SAM (S017):    top-1 group, then top-k inside it with softmax over the chosen
//   M6-T (S056):   no group router: all Z prototypes, top-1 of each one's own softmax
// Inner logits: tokens x (groups width), or tokens x width shared by all groups.
#pragma once

#include <moeroute/route_backward.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// All groups, weight 1: what stands in for a group router.
struct every_group {
  index_t groups = 1;
};

template <class W = float>
struct two_level_view {
  matrix_view<index_t> ids{};  // tokens x (k groups * k inner)
  matrix_view<W> weights{};
  matrix_view<index_t> groups{};   // tokens x k groups: the groups chosen
  matrix_view<W> group_weights{};  // tokens x k groups
  matrix_view<W> inner_weights{};  // as weights, before the group weight
};

namespace detail {

template <class G>
inline constexpr bool is_every_group = std::same_as<G, every_group>;
template <class G>
MOEROUTE_HD index_t groups_per_token(G const& group) {
  if constexpr (is_every_group<G>) return group.groups;
  else return group.select.experts_per_token();
}

// A row of logits as a batch of one token that keeps its name and context.
template <class T>
struct row_alone {
  offset_t name;
  batch<T> one;
  MOEROUTE_HD row_alone(batch<T> const& all, row_view<T const> logits, offset_t t) : name(all.context(t).token) {
    one.logits = {logits.data, 1, logits.size};
    if (!all.sequence.empty()) one.sequence = {all.sequence.data + t, 1};
    if (!all.modality.empty()) one.modality = {all.modality.data + t, 1};
    if (!all.group.empty()) one.group = {all.group.data + t, 1};
    one.nan = all.nan;
    one.first_row = all.first_row + t;
  }
  MOEROUTE_HD batch<T> const& get() {
    one.token = {&name, 1};
    return one;
  }
};
// The logits of the experts of one group, or the one row that all groups share.
template <class T>
MOEROUTE_HD row_view<T const> inner_logits(matrix_view<T const> inner, index_t width, offset_t t, index_t group) {
  return {inner[t].data + (inner.cols == width ? 0 : offset_t{group} * width), width};
}

template <class GroupRouter, class Inner, class T, class W>
struct two_level_row {
  using V = compute_t<T>;
  GroupRouter group;
  Inner inner;
  batch<T> in;                  // group logits (or none), names, valid
  matrix_view<T const> logits;  // inner
  index_t width;
  two_level_view<W> out;

  offset_t scratch_bytes() const {
    offset_t bytes = 2 * aligned_bytes<V>(width) + aligned_bytes<V>(inner.select.experts_per_token());
    if constexpr (!is_every_group<GroupRouter>) {
      offset_t const first = 2 * aligned_bytes<V>(in.logits.cols) + aligned_bytes<V>(groups_per_token(group));
      bytes = first > bytes ? first : bytes;
    }
    return bytes;
  }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    offset_t const k = inner.select.experts_per_token(), kg = groups_per_token(group);
    if constexpr (is_every_group<GroupRouter>) {
      for (offset_t j = g.rank(); j < kg; j += g.size()) {
        out.groups[t][j] = in.is_valid(t) ? static_cast<index_t>(j) : no_expert;
        out.group_weights[t][j] = W(1);
      }
      g.sync();
    } else {
      route_row<GroupRouter, T, float, index_t, W>{group, in, {out.groups, out.group_weights, {}}}(g, t, s);
    }
    for (offset_t j = 0; j < kg; ++j) {
      index_t const chosen = out.groups[t][j];
      matrix_view<index_t> const ids{out.ids[t].data + j * k, 1, k};
      matrix_view<W> const weights{out.inner_weights[t].data + j * k, 1, k};
      if (chosen == no_expert) {
        for (offset_t i = g.rank(); i < k; i += g.size())
          ids[0][i] = no_expert, weights[0][i] = W(0), out.weights[t][j * k + i] = W(0);
        g.sync();
        continue;
      }
      row_alone<T> row(in, inner_logits(logits, width, t, chosen), t);
      route_row<Inner, T, float, index_t, W>{inner, row.get(), {ids, weights, {}}}(g, 0, s);
      for (offset_t i = g.rank(); i < k; i += g.size()) {
        out.weights[t][j * k + i] =
            static_cast<W>(static_cast<V>(out.group_weights[t][j]) * static_cast<V>(weights[0][i]));
        if (ids[0][i] != no_expert) ids[0][i] += chosen * width;
      }
      g.sync();
    }
  }
};

template <class GroupRouter, class Inner, class T, class W, class D>
struct two_level_row_backward {
  using V = compute_t<T>;
  GroupRouter group;
  Inner inner;
  batch<T> in;
  matrix_view<T const> logits;
  index_t width;
  two_level_view<W> at;  // as the forward wrote it
  matrix_view<W const> d_weights;
  matrix_view<D> d_groups, d_inner;

  offset_t inner_bytes() const {
    return 2 * aligned_bytes<V>(width) + 2 * aligned_bytes<V>(inner.select.experts_per_token());
  }
  offset_t scratch_bytes() const {
    offset_t bytes = inner_bytes();
    if constexpr (!is_every_group<GroupRouter>) {
      offset_t const first = 2 * aligned_bytes<V>(in.logits.cols) + 2 * aligned_bytes<V>(groups_per_token(group));
      bytes = first > bytes ? first : bytes;
    }
    return bytes + aligned_bytes<W>(at.ids.cols) + aligned_bytes<W>(at.groups.cols) +
           aligned_bytes<index_t>(at.ids.cols);
  }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    offset_t const k = inner.select.experts_per_token(), kg = groups_per_token(group);
    W* const d_local = s.take<W>(at.ids.cols);
    W* const d_group = s.take<W>(kg);
    index_t* const local = s.take<index_t>(at.ids.cols);
    for (offset_t i = g.rank(); i < d_inner.cols; i += g.size()) d_inner[t][i] = D(0);
    for (offset_t j = g.rank(); j < kg; j += g.size()) {
      V sum = 0;
      for (offset_t i = 0; i < k; ++i) {
        offset_t const c = j * k + i;
        sum = math::fma(static_cast<V>(d_weights[t][c]), static_cast<V>(at.inner_weights[t][c]), sum);
        d_local[c] = static_cast<W>(static_cast<V>(d_weights[t][c]) * static_cast<V>(at.group_weights[t][j]));
        local[c] = at.ids[t][c] == no_expert ? no_expert : at.ids[t][c] - at.groups[t][j] * width;
      }
      d_group[j] = static_cast<W>(sum);
    }
    g.sync();
    for (offset_t j = 0; j < kg; ++j) {
      index_t const chosen = at.groups[t][j];
      if (chosen == no_expert) continue;
      offset_t const start = d_inner.cols == width ? 0 : offset_t{chosen} * width;
      row_alone<T> row(in, inner_logits(logits, width, t, chosen), t);
      route_row_backward<Inner, T, float, index_t, W, D>{
          inner, row.get(), {local + j * k, 1, k}, {d_local + j * k, 1, k}, {d_inner[t].data + start, 1, width}, true}(
          g, 0, s);
    }
    if constexpr (!is_every_group<GroupRouter>) {
      // The group router's own backward, on row t of its batch.
      row_alone<T> row(in, in.logits[t], t);
      if (in.is_valid(t)) {
        route_row_backward<GroupRouter, T, float, index_t, W, D>{
            group, row.get(), {at.groups[t].data, 1, kg}, {d_group, 1, kg}, {d_groups[t].data, 1, in.logits.cols},
            false}(g, 0, s);
      } else {
        for (offset_t i = g.rank(); i < d_groups.cols; i += g.size()) d_groups[t][i] = D(0);
        g.sync();
      }
    }
  }
};

template <class X, class GroupRouter, class Inner, class T, class W>
status check_two_level(X const& x, GroupRouter const& group, Inner const& inner, batch<T> const& in,
                       matrix_view<T const> logits, two_level_view<W> const& out, index_t width) {
  checks c;
  index_t groups = 0;
  if constexpr (is_every_group<GroupRouter>) groups = group.groups;
  else
    groups = static_cast<index_t>(in.logits.cols),
    c.also(validate(group, in)).must_be("group logits rows", in.logits.rows, logits.rows);
  offset_t const kg = groups_per_token(group), k = kg * inner.select.experts_per_token();
  c.at_least("width (experts of a group)", width, 1).at_least("groups", groups, 1).also(validate(inner, width));
  if (logits.cols != width) c.must_be("inner logits columns (groups x width)", logits.cols, offset_t{groups} * width);
  c.strided("inner logits", logits)
      .must_be("out.ids rows", out.ids.rows, logits.rows)
      .must_be("out.ids columns", out.ids.cols, k);
  c.must_be("out.weights rows", out.weights.rows, logits.rows).must_be("out.weights columns", out.weights.cols, k);
  c.must_be("out.inner_weights rows", out.inner_weights.rows, logits.rows)
      .must_be("out.inner_weights columns", out.inner_weights.cols, k);
  c.also(context_fits(in, logits.rows)).also(arrays_fit(inner, in.first_row + logits.rows));
  c.must_be("out.groups rows", out.groups.rows, logits.rows).must_be("out.groups columns", out.groups.cols, kg);
  c.must_be("out.group_weights rows", out.group_weights.rows, logits.rows)
      .must_be("out.group_weights columns", out.group_weights.cols, kg);
  if (!c.result().ok()) return c.result();
  if constexpr (!is_every_group<GroupRouter>) c.also(validate_modalities(x, group, in));
  return c.also(validate_modalities(x, inner, in)).result();
}

}  // namespace detail

template <executor X, class GroupRouter, any_router Inner, element T = float>
offset_t two_level_workspace_bytes(X const& x, GroupRouter const& group, Inner const& inner, index_t groups,
                                   index_t width) {
  using V = compute_t<T>;
  offset_t const kg = detail::groups_per_token(group), k = inner.select.experts_per_token();
  offset_t const longest = groups > width ? groups : width, most = kg > k ? kg : k;
  return x.workspace_bytes(2 * aligned_bytes<V>(longest) + 2 * aligned_bytes<V>(most) + aligned_bytes<V>(kg * k) +
                           aligned_bytes<V>(kg) + aligned_bytes<index_t>(kg * k));
}

// `in` holds the group logits (left out with every_group), names and padding of the tokens.
template <executor X, class GroupRouter, any_router Inner, element T, class W>
status try_route_two_level(X const& x, GroupRouter const& group, Inner const& inner, batch<T> const& in,
                           matrix_view<T const> logits, index_t width, two_level_view<W> out, workspace w) noexcept {
  if (status const s = detail::check_two_level(x, group, inner, in, logits, out, width); !s.ok()) return s;
  return x.run(logits.rows, detail::two_level_row<GroupRouter, Inner, T, W>{group, inner, in, logits, width, out}, w);
}
// d weights to d group logits (empty with every_group) and d inner logits; both are written whole.
template <executor X, class GroupRouter, any_router Inner, element T, class W, class D>
status try_route_two_level_backward(X const& x, GroupRouter const& group, Inner const& inner, batch<T> const& in,
                                    matrix_view<T const> logits, index_t width, two_level_view<W> at,
                                    matrix_view<W const> d_weights, matrix_view<D> d_groups, matrix_view<D> d_inner,
                                    workspace w) noexcept {
  checks c;
  c.also(detail::check_two_level(x, group, inner, in, logits, at, width));
  c.must_be("d_weights rows", d_weights.rows, logits.rows).must_be("d_weights columns", d_weights.cols, at.ids.cols);
  c.must_be("d_inner rows", d_inner.rows, logits.rows).must_be("d_inner columns", d_inner.cols, logits.cols);
  if constexpr (!detail::is_every_group<GroupRouter>)
    c.must_be("d_groups rows", d_groups.rows, logits.rows).must_be("d_groups columns", d_groups.cols, in.logits.cols);
  if (!c.result().ok()) return c.result();
  return x.run(logits.rows,
               detail::two_level_row_backward<GroupRouter, Inner, T, W, D>{group, inner, in, logits, width, at,
                                                                           d_weights, d_groups, d_inner},
               w);
}
template <executor X, class GroupRouter, any_router Inner, element T, class W>
void route_two_level(X const& x, GroupRouter const& group, Inner const& inner, batch<T> const& in,
                     matrix_view<T const> logits, index_t width, two_level_view<W> out, workspace w) {
  throw_if_bad(try_route_two_level(x, group, inner, in, logits, width, out, w));
}
template <executor X, class GroupRouter, any_router Inner, element T, class W, class D>
void route_two_level_backward(X const& x, GroupRouter const& group, Inner const& inner, batch<T> const& in,
                              matrix_view<T const> logits, index_t width, two_level_view<W> at,
                              matrix_view<W const> d_weights, matrix_view<D> d_groups, matrix_view<D> d_inner,
                              workspace w) {
  throw_if_bad(try_route_two_level_backward(x, group, inner, in, logits, width, at, d_weights, d_groups, d_inner, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
