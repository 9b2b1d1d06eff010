// Decides what is looked at: numbers of one scheme beside those of plain softmax top-k, and the figures that
// show all of them. Namespace: moeroute_examples.
#pragma once

#include <cmath>

#include "cli/planned.hpp"
#include "compare_schemes/contender.hpp"
#include "support/load_statistics.hpp"
#include "support/svg.hpp"

namespace moeroute_examples {

struct shown {
  std::string name, id;
  preset_routes routes;
  load_statistics load;
  double dropped = 0;    // share of choices beyond 1.25 times the mean load
  double agreement = 1;  // share of its choices that the first scheme made too
  std::int64_t k() const { return routes.ids.extent(1); }
};

inline shown look_at(contender const& c, world const& w, shown const* first) {
  shown s{c.name, c.id, c.run(w), {}, 0, 1};
  s.load = statistics_of(s.routes.ids, s.routes.weights.values, w.tokens.modality, w.experts());
  moeroute::capacity_rule const rule{.formula = moeroute::capacity_formula::given,
                                     .slots = static_cast<std::int64_t>(std::ceil(1.25 * s.load.summary.mean))};
  planned const plan(w.executor, moeroute::choices_view<moeroute::index_t>{.ids = s.routes.ids.matrix()}, w.experts(),
                     {}, {.rule = rule});
  for (auto const slot : plan.slot_of_choice.values)
    s.dropped += slot == moeroute::dropped_slot ? 1 / std::max(1., static_cast<double>(s.load.summary.total)) : 0;
  if (first != nullptr) s.agreement = shared_choices(s.routes.ids, first->routes.ids);
  return s;
}

// Schemes that chose the same experts everywhere are shown once, under the first name.
inline std::vector<shown> distinct(std::vector<shown> const& all) {
  std::vector<shown> out;
  for (auto const& s : all) {
    auto const same =
        std::find_if(out.begin(), out.end(), [&](auto const& o) { return o.routes.ids.values == s.routes.ids.values; });
    if (same == out.end()) out.push_back(s);
  }
  return out;
}

namespace views_detail {

inline std::vector<std::string> numbers(std::int64_t n) {
  std::vector<std::string> out;
  for (std::int64_t i = 0; i < n; ++i) out.push_back(std::to_string(i));
  return out;
}
inline std::vector<std::string> names(std::vector<shown> const& all) {
  std::vector<std::string> out;
  for (auto const& s : all) out.push_back(s.name);
  return out;
}

inline std::string load_view(std::vector<shown> const& all) {
  std::vector<panel> panels;
  for (auto const& s : all) {
    auto const row = [&](std::int64_t m) {
      return std::vector<double>(s.load.usage.matrix()[m].begin(), s.load.usage.matrix()[m].end());
    };
    panels.push_back({s.name,
                      "max/mean " + svg_detail::fixed_words(s.load.summary.max_over_mean(), 2) + " \u00b7 unused " +
                          std::to_string(s.load.summary.dead),
                      {{.name = "image patches", .y = row(0)}, {.name = "words", .y = row(1)}}});
  }
  return small_multiples(
      {.title = "Who does the work",
       .subtitle = "Tokens per expert on the same batch; schemes that agree everywhere are shown once",
       .x_label = "experts",
       .y_label = "chosen places"},
      panels, 4, false);
}

inline std::string modality_view(std::vector<shown> const& all, world const& w) {
  std::vector<double> share;
  for (auto const& s : all)
    for (std::size_t e = 0; e < s.load.load.size(); ++e)
      share.push_back(s.load.load[e] > 0 ? s.load.text_share[e] : std::nan(""));
  return heat_map(
      {.title = "Patches or words?",
       .subtitle =
           "Text share of each expert, corrected for how many tokens of each kind there are; empty: nobody chose it",
       .x_label = "expert"},
      names(all), numbers(w.experts()), share,
      {.map = color_map::diverging, .low = 0, .high = 1, .legend = "text", .digits = 2});
}

inline std::string balance_view(std::vector<shown> const& all) {
  std::vector<shown> sorted = all;
  std::sort(sorted.begin(), sorted.end(), [](auto const& a, auto const& b) {
    double const x = a.load.summary.max_over_mean(), y = b.load.summary.max_over_mean();
    return x != y ? x < y : a.name < b.name;
  });
  series most{.name = "busiest expert over mean", .y = {}};
  for (auto const& s : sorted) most.y.push_back(s.load.summary.max_over_mean());
  return bar_chart({.title = "How even is the load?",
                    .subtitle = "Busiest expert over the mean; 1 is perfectly even",
                    .x_label = "max / mean load"},
                   names(sorted), {most});
}

inline std::string agreement_view(std::vector<shown> const& all) {
  std::vector<double> values;
  for (auto const& a : all)
    for (auto const& b : all) values.push_back(shared_choices(a.routes.ids, b.routes.ids));
  return heat_map({.title = "Who agrees with whom",
                   .subtitle = "Share of the choices of the scheme at the left that the scheme on top made too"},
                  names(all), names(all), values, {.low = 0, .high = 1, .legend = "shared", .digits = 2});
}

// What each expert sees under the first scheme: share of every class of image and topic.
inline std::string class_view(shown const& s, world const& w) {
  std::vector<std::string> rows(image_class_names, image_class_names + image_classes);
  rows.insert(rows.end(), topic_names, topic_names + topics);
  auto const experts = static_cast<std::size_t>(w.experts()), k = static_cast<std::size_t>(s.k());
  std::vector<double> share(rows.size() * experts), total(rows.size());
  for (std::size_t t = 0; t < w.tokens.modality.size(); ++t) {
    auto const row =
        static_cast<std::size_t>(w.tokens.label[t] + (w.tokens.modality[t] == text_modality ? image_classes : 0));
    for (std::size_t j = 0; j < k; ++j)
      if (auto const id = s.routes.ids.values[t * k + j]; id >= 0)
        ++share[row * experts + static_cast<std::size_t>(id)], ++total[row];
  }
  for (std::size_t i = 0; i < share.size(); ++i) share[i] *= 100 / std::max(1., total[i / experts]);
  return heat_map({.title = "Where things go",
                   .subtitle = "Percent of the choices of each image class and each topic, " + s.name,
                   .x_label = "expert"},
                  rows, numbers(w.experts()), share, {.legend = "percent", .digits = 0});
}

}  // namespace views_detail

// File name and figure.
inline std::vector<std::array<std::string, 2>> views(std::vector<shown> const& different, world const& w) {
  using namespace views_detail;
  if (different.empty()) return {};
  return {{"load.svg", load_view(different)},
          {"modality.svg", modality_view(different, w)},
          {"balance.svg", balance_view(different)},
          {"agreement.svg", agreement_view(different)},
          {"classes.svg", class_view(different.front(), w)}};
}

}  // namespace moeroute_examples
