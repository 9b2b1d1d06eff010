// Decides how the DeepSeek gates are read from a case: golden folders 04 and 05.
#include <moeroute/select/group_limited_top_k.hpp>

#include "cli/routed.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

struct group_params {
  index_t k, groups, top_groups;
  std::int64_t experts;
  bool all_open() const { return top_groups == groups; }  // groups close nothing: a plain top-k
};
group_params groups_of(case_file const& c) {
  auto const experts = logits_of<float>(c).extent(1);
  auto const groups = c.integer_or("groups", 1, 1, std::min<std::int64_t>(experts, 64));
  if (experts % groups != 0)
    c.bad("params.groups", "a divisor of " + std::to_string(experts) + " experts", std::to_string(groups));
  auto const top = c.integer_or("top_groups", groups, 1, groups);
  auto const k = c.integer("k", 1, top * (experts / groups));
  return {as_index(k), as_index(groups), as_index(top), experts};
}
// "sum_topN" as N, "max" as 0; N keys must fit a group.
index_t summed_keys(case_file const& c, std::string const& otherwise, group_params const& g) {
  auto const words = c.words("group_score", otherwise);
  if (words == "max") return 0;
  std::int64_t n = 0;
  bool good = words.starts_with("sum_top") && words.size() > 7 && words.size() < 12;
  for (std::size_t i = 7; good && i < words.size(); ++i) {
    good = words[i] >= '0' && words[i] <= '9';
    n = n * 10 + (words[i] - '0');
  }
  if (!good || n < 1) c.bad("params.group_score", "max or sum_topN", words);
  if (!g.all_open() && n > g.experts / g.groups)
    c.bad("params.group_score", "at most the " + std::to_string(g.experts / g.groups) + " experts of a group", words);
  return as_index(n);
}
void score_must_be(case_file const& c, std::string const& wanted) {
  if (auto const found = c.words("score", wanted); found != wanted) c.bad("params.score", wanted, found);
}

// Calls f(weigh) with the weights the params ask for.
template <class F>
auto with_weigh(case_file const& c, bool renormalized, F&& f) {
  auto const scale = static_cast<float>(c.number("scale", 1));
  if (c.flag("renormalize", renormalized))
    return f(renormalize{.scale = scale, .epsilon = static_cast<float>(c.number("eps", 0))});
  return f(keep_scores{scale});
}

outputs deepseek_v3(case_file const& c, any_executor const& x, closed_groups closed) {
  score_must_be(c, "sigmoid");
  auto const wanted = closed == closed_groups::zero ? "0" : "-inf";
  if (auto const found = c.words("masked_value", wanted); found != wanted) c.bad("params.masked_value", wanted, found);
  auto const g = groups_of(c);
  auto const n = summed_keys(c, "sum_top2", g);
  auto const bias = bias_of(c, g.experts);
  return with_weigh(c, true, [&](auto weigh) {
    if (g.all_open()) {
      auto out = route_case(
          c, x, router{.score = sigmoid{}, .bias = correction_bias{bias.row()}, .select = top_k{g.k}, .weigh = weigh});
      if (closed == closed_groups::zero)
        out.add("rows_with_zero_key", tensor<std::uint8_t>({logits_of<float>(c).extent(0)}));
      return out;
    }
    group_limited_top_k<sum_of_top> select{g.k, g.groups, g.top_groups, {n == 0 ? 1 : n}, closed};
    auto out = route_case(
        c, x, router{.score = sigmoid{}, .bias = correction_bias{bias.row()}, .select = select, .weigh = weigh});
    if (closed == closed_groups::zero) {  // does a row hold an expert that no open group holds?
      select.closed = closed_groups::minus_infinity;
      select.k = as_index(g.top_groups * (g.experts / g.groups));
      auto const open =
          forward(x, router{.score = sigmoid{}, .bias = correction_bias{bias.row()}, .select = select, .weigh = weigh},
                  logits_of<float>(c))
              .ids;
      array const& ids = out.arrays.at("ids");
      auto const chosen = ids.values<index_t>();
      tensor<std::uint8_t> rows({open.extent(0)});
      for (std::int64_t t = 0; t < rows.size(); ++t)
        for (index_t j = 0; j < g.k; ++j) {
          auto const all = open.matrix()[t];
          auto const id = chosen[static_cast<std::size_t>(t * g.k + j)];
          if (std::find(all.begin(), all.end(), id) == all.end()) rows[t] = 1;
        }
      out.add("rows_with_zero_key", rows);
    }
    return out;
  });
}
outputs deepseek_v3_official(case_file const& c, any_executor const& x) {
  return deepseek_v3(c, x, closed_groups::minus_infinity);
}
outputs deepseek_v3_hf_mask0(case_file const& c, any_executor const& x) {
  return deepseek_v3(c, x, closed_groups::zero);
}

outputs deepseek_v2(case_file const& c, any_executor const& x) {
  score_must_be(c, "softmax");
  auto const g = groups_of(c);
  auto const n = summed_keys(c, "max", g);
  return with_weigh(c, false, [&](auto weigh) {
    if (g.all_open()) return route_case(c, x, router{.score = softmax{}, .select = top_k{g.k}, .weigh = weigh});
    if (n == 0)
      return route_case(c, x,
                        router{.score = softmax{},
                               .select = group_limited_top_k<best_of_group>{g.k, g.groups, g.top_groups, {}, {}},
                               .weigh = weigh});
    return route_case(c, x,
                      router{.score = softmax{},
                             .select = group_limited_top_k<sum_of_top>{g.k, g.groups, g.top_groups, {n}, {}},
                             .weigh = weigh});
  });
}

register_schemes const registered{
    {"deepseek_v3", "P7",
     "sigmoid; top k of score + bias inside the best groups (sum of two best keys); score / sum, times scale",
     deepseek_v3_official},
    {"deepseek_v3_hf_mask0", "P7", "as deepseek_v3, keys of closed groups are 0 instead of -inf", deepseek_v3_hf_mask0},
    {"deepseek_v2", "P5", "softmax; top k inside the best groups (maximum of the group); score times scale",
     deepseek_v2},
};

}  // namespace
}  // namespace moeroute_examples
