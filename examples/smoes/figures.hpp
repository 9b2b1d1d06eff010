// Decides how the runs look: text share by expert before and after, specialization by depth, bytes by placement;
// plain SVG. Namespace: moeroute_smoes.
#pragma once

#include <filesystem>
#include <fstream>

#include "smoes/statistics.hpp"

namespace moeroute_smoes {

class svg {
 public:
  svg(std::filesystem::path const& file, double width, double height) : out_(file) {
    out_ << words(
        "<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%.0f' "
        "font-family='sans-serif' font-size='12'>\n",
        width, height);
    out_ << words("<rect width='%.0f' height='%.0f' fill='white'/>\n", width, height);
  }
  ~svg() { out_ << "</svg>\n"; }
  void box(double x, double y, double w, double h, std::string const& color) {
    out_ << words("<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='%s'/>\n", x, y, w, h, color.c_str());
  }
  void line(double x1, double y1, double x2, double y2, std::string const& color) {
    out_ << words("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='%s' stroke-width='2'/>\n", x1, y1, x2, y2,
                  color.c_str());
  }
  void say(double x, double y, std::string const& what, char const* anchor = "start") {
    out_ << words("<text x='%.1f' y='%.1f' text-anchor='%s'>%s</text>\n", x, y, anchor, what.c_str());
  }

 private:
  std::ofstream out_;
};

inline std::string text_share_color(double share) {  // vision orange, text blue, shared light
  auto const mix = [](double a, double b, double x) { return static_cast<int>(a + (b - a) * x); };
  double const away = share < .5 ? 1 - 2 * share : 2 * share - 1;
  return share < .5 ? words("rgb(%d,%d,%d)", mix(240, 214, away), mix(240, 96, away), mix(240, 26, away))
                    : words("rgb(%d,%d,%d)", mix(240, 31, away), mix(240, 98, away), mix(240, 166, away));
}
inline char const* series_color(std::size_t i) {
  static constexpr char const* colors[] = {"#555555", "#1f62a6", "#d6601a", "#2b8a3e", "#8e44ad"};
  return colors[i % 5];
}

inline void write_figures(results const& r, std::filesystem::path const& folder) {
  std::vector<std::string> methods;
  for (auto const& m : {"none", "soft-attention", "hard-score", "random-labels"})
    if (r.has(m)) methods.emplace_back(m);
  if (methods.empty()) return;
  auto const& sample = r.of(methods[0]).begin()->second;
  auto const layers = sample.at("msi_layers").size();

  {  // before (start) and after; rows: layers; columns: experts in the order of their text share
    auto shown = methods;
    if (r.has("start")) shown.insert(shown.begin(), "start");
    svg s(folder / "modality_by_expert.svg", 420, 40. + static_cast<double>(shown.size() * (16 * layers + 30)));
    double y = 20;
    for (auto const& m : shown) {
      s.say(10, y + 4, m + ": experts by text share (orange vision, blue text), a row a layer");
      y += 10;
      for (auto const& layer : r.of(m).begin()->second.at("by_modality")) {
        auto const c = layer.get<std::vector<double>>();
        std::size_t const n = c.size() / 2;
        double of[2] = {0, 0};
        for (std::size_t i = 0; i < c.size(); ++i) of[i / n] += c[i];
        std::vector<double> share;
        for (std::size_t e = 0; e < n; ++e) {
          double const v = c[e] / std::max(1., of[0]), t = c[e + n] / std::max(1., of[1]);
          share.push_back(v + t > 0 ? t / (v + t) : .5);
        }
        std::sort(share.begin(), share.end());
        for (std::size_t e = 0; e < n; ++e)
          s.box(10 + 400. / static_cast<double>(n) * static_cast<double>(e), y, 400. / static_cast<double>(n) - 1, 14,
                text_share_color(share[e]));
        y += 16;
      }
      y += 20;
    }
  }
  {
    svg s(folder / "msi_by_depth.svg", 420, 280);
    s.say(10, 18, "specialization index by layer (mean of seeds)");
    s.line(50, 240, 400, 240, "#999999"), s.line(50, 40, 50, 240, "#999999");
    s.say(44, 45, "1", "end"), s.say(44, 243, "0", "end");
    for (std::size_t i = 0; i < methods.size(); ++i) {
      double last = 0;
      for (std::size_t l = 0; l < layers; ++l) {
        double const v =
            r.value(methods[i], [l](json const& j) { return j.at("msi_layers").at(l).get<double>(); }).mean;
        auto const x = [&](std::size_t at) {
          return 60 + 320. * static_cast<double>(at) / static_cast<double>(std::max<std::size_t>(1, layers - 1));
        };
        if (l > 0) s.line(x(l - 1), 240 - 200 * last, x(l), 240 - 200 * v, series_color(i));
        last = v;
      }
      s.box(60 + 90. * static_cast<double>(i), 255, 10, 10, series_color(i)),
          s.say(74 + 90. * static_cast<double>(i), 265, methods[i].substr(0, 12));
    }
  }
  {
    svg s(folder / "bytes_by_placement.svg", 520, 60 + 56. * static_cast<double>(methods.size()));
    s.say(10, 18, "bytes a token and layer, two devices: index placement (gray), bin placement (blue)");
    double y = 36;
    for (auto const& m : methods) {
      s.say(10, y + 18, m);
      for (auto const& [place, color] : {std::pair{"index2", "#999999"}, std::pair{"bin2", "#1f62a6"}}) {
        double const v = r.value(m, transfer(place, "all", "bytes")).mean;
        s.box(120, y, v * 1.6, 18, color), s.say(126 + v * 1.6, y + 14, words("%.0f", v));
        y += 22;
      }
      y += 12;
    }
  }
}

}  // namespace moeroute_smoes
