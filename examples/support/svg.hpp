// Decides how numbers become figures: bars, lines, heat-maps and small multiples, each a whole SVG file with
// title, axis names, legend and value labels. Namespace: moeroute_examples.
//
//   write_text("load.svg", heat_map({.title = "Text share per expert"}, schemes, experts, share,
//                                   {.map = color_map::diverging, .low = 0, .high = 1, .legend = "text share"}));
#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "svg_canvas.hpp"

namespace moeroute_examples {

struct figure {
  std::string title;
  std::string subtitle = "";
  std::string x_label = "";
  std::string y_label = "";
};
struct series {
  std::string name;
  std::vector<double> x = {};  // line charts; 0, 1, 2, ... if left out
  std::vector<double> y;
  std::vector<double> error = {};  // line and bar charts: half the width of an interval, drawn if given
};
struct heat_options {
  color_map map = color_map::sequential;
  double low = 0, high = 0;  // equal: the smallest and largest value
  std::string legend = "";
  int digits = 2;
  bool values = true;  // printed where the cells are wide enough
};
struct panel {
  std::string title;
  std::string note;           // one short line under the title
  std::vector<series> stack;  // bars of equal length, stacked in this order
};

namespace svg_detail {

inline constexpr double margin = 24;

inline double head(canvas& c, figure const& f) {
  c.words(margin, 36, f.title, "start", "title", 18);
  if (!f.subtitle.empty()) c.words(margin, 56, f.subtitle, "start", "mute", 12.5);
  return f.subtitle.empty() ? 54 : 74;
}
inline double head_width(figure const& f) {
  return 2 * margin + std::max(words_width(f.title, 18) * 1.05, words_width(f.subtitle, 12.5));
}
inline void legend(canvas& c, double x, double y, std::vector<std::string> const& names) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    c.rect(x, y - 9, 11, 11, category(i).hex(), 2);
    c.words(x + 17, y, names[i], "start", "ink", 12);
    x += 17 + words_width(names[i]) + 22;
  }
}
inline double widest(std::vector<std::string> const& names, double size = 12) {
  double w = 0;
  for (auto const& n : names) w = std::max(w, words_width(n, size));
  return w;
}
inline std::string fixed_words(double x, int digits) {
  char out[40];
  std::snprintf(out, sizeof out, "%.*f", digits, x);
  return out;
}

}  // namespace svg_detail

// Horizontal bars, one group a label: names stay readable however many there are.
inline std::string bar_chart(figure const& f, std::vector<std::string> const& labels, std::vector<series> const& bars) {
  using namespace svg_detail;
  double high = 0;
  for (auto const& s : bars)
    for (std::size_t i = 0; i < s.y.size(); ++i)
      if (std::isfinite(s.y[i])) high = std::max(high, s.y[i] + (i < s.error.size() ? s.error[i] : 0));
  if (high <= 0) high = 1;
  double const thick = bars.size() == 1 ? 15 : 11, group = thick * static_cast<double>(bars.size()) + 8;
  double const left = margin + widest(labels) + 12, plot = 430;
  double const width = std::max(head_width(f), left + plot + 70);
  double const top_of_legend = bars.size() > 1 ? 26 : 0;
  double const height = 74 + top_of_legend + group * static_cast<double>(labels.size()) + 52;
  canvas c(width, height);
  double top = head(c, f);
  if (bars.size() > 1) {
    std::vector<std::string> names;
    for (auto const& s : bars) names.push_back(s.name);
    legend(c, margin, top + 10, names), top += top_of_legend;
  }
  double const bottom = top + group * static_cast<double>(labels.size());
  auto const at = [&](double v) { return left + v / high * plot; };
  for (double const v : ticks(0, high)) {
    c.line(at(v), top, at(v), bottom, "grid");
    c.words(at(v), bottom + 16, short_number(v), "middle", "mute", 11);
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    double const y = top + group * static_cast<double>(i) + 4;
    c.words(left - 8, y + (group - 8) / 2 + 4, labels[i], "end");
    for (std::size_t s = 0; s < bars.size(); ++s) {
      if (i >= bars[s].y.size() || !std::isfinite(bars[s].y[i])) continue;
      double const v = bars[s].y[i], yy = y + thick * static_cast<double>(s), end = at(std::max(0., v));
      c.rect(left, yy + 1, end - left, thick - 2, category(s).hex(), 2,
             labels[i] + " " + bars[s].name + ": " + short_number(v, 4));
      double label_at = end;
      if (i < bars[s].error.size()) {
        double const half = bars[s].error[i];
        c.line(at(std::max(0., v - half)), yy + thick / 2, at(v + half), yy + thick / 2, "axis");
        label_at = at(v + half);
      }
      c.words(label_at + 5, yy + thick / 2 + 4, short_number(v), "start", "ink", 11);
    }
  }
  c.line(left, top, left, bottom, "axis");
  if (!f.x_label.empty()) c.words(left + plot / 2, bottom + 36, f.x_label, "middle", "mute");
  return c.finish();
}

// Lines over a common axis; each is named at its right end, in its color.
inline std::string line_chart(figure const& f, std::vector<series> const& lines) {
  using namespace svg_detail;
  double x0 = 1e300, x1 = -1e300, y0 = 1e300, y1 = -1e300;
  auto const x_of = [](series const& s, std::size_t i) { return i < s.x.size() ? s.x[i] : static_cast<double>(i); };
  for (auto const& s : lines)
    for (std::size_t i = 0; i < s.y.size(); ++i) {
      if (!std::isfinite(s.y[i])) continue;
      double const half = i < s.error.size() ? s.error[i] : 0;
      x0 = std::min(x0, x_of(s, i)), x1 = std::max(x1, x_of(s, i));
      y0 = std::min(y0, s.y[i] - half), y1 = std::max(y1, s.y[i] + half);
    }
  if (!(x1 >= x0)) x0 = 0, x1 = 1, y0 = 0, y1 = 1;
  if (x1 == x0) x1 = x0 + 1;
  if (y0 > 0 && y0 < 0.35 * y1) y0 = 0;
  if (y1 == y0) y1 = y0 + 1;
  auto const y_ticks = ticks(y0, y1 + (y1 - y0) * 0.04);
  y1 += (y1 - y0) * 0.04;
  std::vector<std::string> names;
  for (auto const& s : lines) names.push_back(s.name);
  double const left = margin + 54, plot = 520, tall = 300;
  double const width = std::max(head_width(f), left + plot + 16 + widest(names) + margin);
  canvas c(width, 74 + tall + 62);
  double const top = head(c, f), bottom = top + tall;
  auto const px = [&](double v) { return left + (v - x0) / (x1 - x0) * plot; };
  auto const py = [&](double v) { return bottom - (v - y0) / (y1 - y0) * tall; };
  for (double const v : y_ticks) {
    c.line(left, py(v), left + plot, py(v), "grid");
    c.words(left - 7, py(v) + 4, short_number(v), "end", "mute", 11);
  }
  for (double const v : ticks(x0, x1, 7)) c.words(px(v), bottom + 17, short_number(v), "middle", "mute", 11);
  c.line(left, bottom, left + plot, bottom, "axis");
  std::vector<std::array<double, 2>> ends;  // wanted height of each name, index
  for (std::size_t l = 0; l < lines.size(); ++l) {
    auto const& s = lines[l];
    std::vector<std::array<double, 2>> points, upper, lower;
    for (std::size_t i = 0; i < s.y.size(); ++i) {
      if (!std::isfinite(s.y[i])) continue;
      points.push_back({px(x_of(s, i)), py(s.y[i])});
      if (i < s.error.size()) {
        upper.push_back({px(x_of(s, i)), py(s.y[i] + s.error[i])});
        lower.push_back({px(x_of(s, i)), py(s.y[i] - s.error[i])});
      }
    }
    if (points.empty()) continue;
    if (!upper.empty()) upper.insert(upper.end(), lower.rbegin(), lower.rend()), c.band(upper, category(l).hex());
    c.path(points, category(l).hex());
    if (points.size() <= 24)
      for (auto const& p : points) c.dot(p[0], p[1], 2.8, category(l).hex());
    ends.push_back({points.back()[1], static_cast<double>(l)});
  }
  std::sort(ends.begin(), ends.end());
  double free = top - 20;
  for (auto const& e : ends) {  // names keep 15 units apart
    free = std::max(free + 15, e[0] + 4);
    auto const l = static_cast<std::size_t>(e[1]);
    c.words(left + plot + 9, free, lines[l].name, "start", category(l).hex(), 12);
  }
  if (!f.x_label.empty()) c.words(left + plot / 2, bottom + 40, f.x_label, "middle", "mute");
  if (!f.y_label.empty()) c.words(margin, top + tall / 2, f.y_label, "middle", "mute", 12, -90);
  return c.finish();
}

// values: rows x columns, row-major; NaN leaves a cell empty.
inline std::string heat_map(figure const& f, std::vector<std::string> const& rows,
                            std::vector<std::string> const& columns, std::vector<double> const& values,
                            heat_options const& o = {}) {
  using namespace svg_detail;
  double low = o.low, high = o.high;
  if (low == high) {
    low = 1e300, high = -1e300;
    for (double const v : values)
      if (std::isfinite(v)) low = std::min(low, v), high = std::max(high, v);
    if (!(high > low)) high = low + 1;
  }
  double const n = static_cast<double>(columns.size());
  double const cell = std::clamp(760 / std::max(1., n), 9., 42.), tall = 25;
  bool const turned = widest(columns, 11) > cell - 3;
  double const left = margin + widest(rows) + 10;
  double const names_tall = turned ? widest(columns, 11) * 0.8 + 12 : 20;
  double const width = std::max(head_width(f), left + cell * n + 100);
  double const body = tall * static_cast<double>(rows.size());
  canvas c(width, 74 + names_tall + (f.x_label.empty() ? 0 : 18) + std::max(body, 110.) + margin);
  double top = head(c, f);
  if (!f.x_label.empty()) c.words(left + cell * n / 2, top + 6, f.x_label, "middle", "mute"), top += 18;
  top += names_tall;
  for (std::size_t j = 0; j < columns.size(); ++j) {
    double const x = left + cell * (static_cast<double>(j) + 0.5);
    c.words(turned ? x + 4 : x, top - 6, columns[j], turned ? "start" : "middle", "mute", 11, turned ? -52 : 0);
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    double const y = top + tall * static_cast<double>(i);
    c.words(left - 8, y + tall / 2 + 4, rows[i], "end");
    for (std::size_t j = 0; j < columns.size(); ++j) {
      double const v = values[i * columns.size() + j], x = left + cell * static_cast<double>(j);
      if (!std::isfinite(v)) {
        c.rect(x + 0.6, y + 0.6, cell - 1.2, tall - 1.2, "panel", 2);
        continue;
      }
      rgb const color = color_of(o.map, (v - low) / (high - low));
      c.rect(x + 0.6, y + 0.6, cell - 1.2, tall - 1.2, color.hex(), 2,
             rows[i] + ", " + columns[j] + ": " + short_number(v, 4));
      if (o.values && cell >= 26)
        c.words(x + cell / 2, y + tall / 2 + 3.6, fixed_words(v, o.digits), "middle",
                color.dark() ? "#ffffff" : "#1f2328", 10);
    }
  }
  double const bar = left + cell * n + 20, bar_tall = std::min(std::max(body, 90.), 220.);
  for (int i = 0; i < 48; ++i)
    c.rect(bar, top + bar_tall * (47 - i) / 48, 12, bar_tall / 48 + 0.7, color_of(o.map, i / 47.).hex());
  for (double const x : {0., 0.5, 1.})
    c.words(bar + 18,
            top + bar_tall * (1 - x) +
                (x == 1   ? 9
                 : x == 0 ? 0
                          : 4),
            short_number(low + x * (high - low)), "start", "mute", 11);
  if (!o.legend.empty()) c.words(bar, top - 7, o.legend, "start", "mute", 11);
  return c.finish();
}

// One small stacked bar chart a panel, all to one scale (`shared` false: each to its own), with its mean dashed.
inline std::string small_multiples(figure const& f, std::vector<panel> const& panels, int columns = 4,
                                   bool shared = true) {
  using namespace svg_detail;
  double const w = 232, plot_w = w - 22, plot_h = 74, h = plot_h + 62, gap = 12;
  double all_high = 0;
  auto const totals = [](panel const& p) {
    std::vector<double> t;
    for (auto const& s : p.stack) {
      t.resize(std::max(t.size(), s.y.size()));
      for (std::size_t i = 0; i < s.y.size(); ++i) t[i] += s.y[i];
    }
    return t;
  };
  for (auto const& p : panels)
    for (double const t : totals(p)) all_high = std::max(all_high, t);
  auto const n = static_cast<int>(panels.size());
  columns = std::max(1, std::min(columns, n));
  int const lines = (n + columns - 1) / columns;
  double const width = std::max(head_width(f), 2 * margin + columns * (w + gap) - gap);
  canvas c(width, 74 + 30 + lines * (h + gap) + 30);
  double top = head(c, f);
  if (!panels.empty() && panels[0].stack.size() > 1) {
    std::vector<std::string> names;
    for (auto const& s : panels[0].stack) names.push_back(s.name);
    legend(c, margin, top + 8, names);
  }
  top += 24;
  for (int i = 0; i < n; ++i) {
    auto const& p = panels[static_cast<std::size_t>(i)];
    double const x = margin + (i % columns) * (w + gap), y = top + (i / columns) * (h + gap);
    c.rect(x, y, w, h, "panel", 6);
    c.words(x + 11, y + 20, p.title, "start", "title", 12.5);
    c.words(x + 11, y + 36, p.note, "start", "mute", 11);
    auto const t = totals(p);
    double high = all_high, mean = 0;
    if (!shared) high = t.empty() ? 1 : *std::max_element(t.begin(), t.end());
    for (double const v : t) mean += v / static_cast<double>(t.size());
    if (!(high > 0)) high = 1;
    double const base = y + 46 + plot_h, each = plot_w / static_cast<double>(std::max<std::size_t>(1, t.size()));
    std::vector<double> from(t.size());
    for (std::size_t s = 0; s < p.stack.size(); ++s)
      for (std::size_t e = 0; e < p.stack[s].y.size(); ++e) {
        double const tall = p.stack[s].y[e] / high * plot_h;
        if (tall > 0)
          c.rect(x + 11 + each * static_cast<double>(e) + each * 0.08, base - from[e] - tall, each * 0.84, tall,
                 category(s).hex(), 0,
                 p.title + ", " + std::to_string(e) + ", " + p.stack[s].name + ": " + short_number(p.stack[s].y[e], 4));
        from[e] += tall;
      }
    c.line(x + 11, base, x + 11 + plot_w, base, "axis");
    c.line(x + 11, base - mean / high * plot_h, x + 11 + plot_w, base - mean / high * plot_h, "mean");
  }
  std::string const axes = f.x_label.empty()   ? f.y_label
                           : f.y_label.empty() ? f.x_label
                                               : f.x_label + " across, " + f.y_label + " up; dashed: mean";
  c.words(margin, top + lines * (h + gap) + 14, axes, "start", "mute");
  return c.finish();
}

inline void write_text(std::filesystem::path const& path, std::string const& words) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << words;
  if (!out.flush()) throw std::runtime_error(path.string() + ": cannot be written");
}

}  // namespace moeroute_examples
