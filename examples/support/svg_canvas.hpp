// Decides how a figure is drawn: shapes and words on a sheet that reads on light and on dark paper, and
// colors that people with color-blindness tell apart. Namespace: moeroute_examples.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace moeroute_examples {

struct rgb {
  int r = 0, g = 0, b = 0;
  std::string hex() const {
    char out[8];
    std::snprintf(out, sizeof out, "#%02x%02x%02x", r & 255, g & 255, b & 255);
    return out;
  }
  bool dark() const { return 0.299 * r + 0.587 * g + 0.114 * b < 140; }
};

// Categories: Okabe and Ito (2008), without the yellow that vanishes on white.
inline constexpr std::array<rgb, 7> categories{
    {{0, 114, 178}, {230, 159, 0}, {0, 158, 115}, {204, 121, 167}, {213, 94, 0}, {86, 180, 233}, {127, 127, 127}}};
inline rgb category(std::size_t i) { return categories[i % categories.size()]; }

enum class color_map {
  sequential,  // viridis: dark is little, bright is much
  diverging,   // blue, white, orange: two ends and a neutral middle
};
inline rgb color_of(color_map m, double x) {
  static constexpr std::array<rgb, 9> viridis{{{68, 1, 84},
                                               {72, 40, 120},
                                               {62, 73, 137},
                                               {49, 104, 142},
                                               {38, 130, 142},
                                               {31, 158, 137},
                                               {53, 183, 121},
                                               {144, 215, 67},
                                               {253, 231, 37}}};
  static constexpr std::array<rgb, 9> blue_orange{{{8, 81, 156},
                                                   {58, 130, 190},
                                                   {125, 180, 219},
                                                   {199, 221, 240},
                                                   {247, 247, 247},
                                                   {254, 224, 182},
                                                   {253, 184, 99},
                                                   {224, 130, 20},
                                                   {179, 88, 6}}};
  auto const& stops = m == color_map::sequential ? viridis : blue_orange;
  if (!(x > 0)) x = 0;
  x = std::min(x, 1.) * 8;
  auto const i = std::min<std::size_t>(static_cast<std::size_t>(x), 7);
  double const f = x - static_cast<double>(i);
  auto const mix = [f](int a, int b) { return static_cast<int>(std::lround(a + f * (b - a))); };
  return {mix(stops[i].r, stops[i + 1].r), mix(stops[i].g, stops[i + 1].g), mix(stops[i].b, stops[i + 1].b)};
}

// At most `most` significant digits, no trailing zeros: 0.25, 1.2k, 3M.
inline std::string short_number(double x, int most = 3) {
  double const a = std::fabs(x);
  char const* unit = a >= 1e9 ? "G" : a >= 1e6 ? "M" : a >= 1e4 ? "k" : "";
  double const divisor = a >= 1e9 ? 1e9 : a >= 1e6 ? 1e6 : a >= 1e4 ? 1e3 : 1;
  char out[40];
  std::snprintf(out, sizeof out, "%.*g", a >= 1000 && divisor == 1 ? 4 : most, x / divisor);
  return std::string(out) + unit;
}

inline std::string xml_escaped(std::string const& words) {
  std::string out;
  for (char const c : words) {
    if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '&') out += "&amp;";
    else if (c == '"') out += "&quot;";
    else if (static_cast<unsigned char>(c) < 32) out += ' ';
    else out += c;
  }
  return out;
}

class canvas {
 public:
  canvas(double width, double height) : width_(width), height_(height) {}

  void rect(double x, double y, double w, double h, std::string const& fill, double radius = 0,
            std::string const& tip = "") {
    put("<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"", x, y, std::max(0., w), std::max(0., h));
    if (radius > 0) put(" rx=\"%.2f\"", radius);
    body_ += (fill[0] == '#' ? " fill=\"" : " class=\"") + fill + "\"";
    close("rect", tip);
  }
  void line(double x1, double y1, double x2, double y2, char const* look) {
    put("<line x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\"", x1, y1, x2, y2);
    body_ += std::string(" class=\"") + look + "\"/>\n";
  }
  void path(std::vector<std::array<double, 2>> const& points, std::string const& stroke, double thickness = 2.2) {
    body_ += "<polyline fill=\"none\" stroke=\"" + stroke +
             "\" stroke-linejoin=\"round\" stroke-linecap=\"round\" stroke-width=\"";
    put("%.2f\" points=\"", thickness);
    for (auto const& p : points) put("%.2f,%.2f ", p[0], p[1]);
    body_ += "\"/>\n";
  }
  // Everything between two lines: an interval around a mean.
  void band(std::vector<std::array<double, 2>> const& outline, std::string const& fill) {
    body_ += "<polygon fill=\"" + fill + "\" fill-opacity=\"0.18\" points=\"";
    for (auto const& p : outline) put("%.2f,%.2f ", p[0], p[1]);
    body_ += "\"/>\n";
  }
  void dot(double x, double y, double radius, std::string const& fill, std::string const& tip = "") {
    put("<circle cx=\"%.2f\" cy=\"%.2f\" r=\"%.2f\"", x, y, radius);
    body_ += " fill=\"" + fill + "\"";
    close("circle", tip);
  }
  // look: "ink", "mute", "title", or a color; anchor: start, middle, end.
  void words(double x, double y, std::string const& text, char const* anchor = "start", std::string const& look = "ink",
             double size = 12, double turn = 0) {
    put("<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"%s\" font-size=\"%.1f\"", x, y, anchor, size);
    if (turn != 0) put(" transform=\"rotate(%.1f %.2f %.2f)\"", turn, x, y);
    body_ += (look[0] == '#' ? " fill=\"" : " class=\"") + look + "\">" + xml_escaped(text) + "</text>\n";
  }

  std::string finish() const {
    char head[256];
    std::snprintf(
        head, sizeof head,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\">\n", width_,
        height_, width_, height_);
    return std::string(head) +
           "<style>\n"
           "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\n"
           ".title{font-weight:650;fill:#1f2328}.ink{fill:#1f2328}.mute{fill:#5b6470}.paper{fill:#ffffff}\n"
           ".panel{fill:#f6f8fa}.grid{stroke:#dde3e9;stroke-width:1}.axis{stroke:#8c959f;stroke-width:1}\n"
           ".mean{stroke:#57606a;stroke-width:1.2;stroke-dasharray:4 3}\n"
           "@media (prefers-color-scheme:dark){.title,.ink{fill:#e6edf3}.mute{fill:#9aa4af}.paper{fill:#0d1117}\n"
           ".panel{fill:#161b22}.grid{stroke:#262c34}.axis{stroke:#6e7681}.mean{stroke:#aab4be}}\n"
           "</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n" +
           body_ + "</svg>\n";
  }

 private:
  template <class... A>
  void put(char const* format, A... a) {
    char out[256];
    std::snprintf(out, sizeof out, format, a...);
    body_ += out;
  }
  void close(char const* element, std::string const& tip) {
    if (tip.empty()) body_ += "/>\n";
    else body_ += "><title>" + xml_escaped(tip) + "</title></" + element + ">\n";
  }
  double width_, height_;
  std::string body_;
};

// Width of words in Arial-like faces, near enough to leave room.
inline double words_width(std::string const& text, double size = 12) {
  double n = 0;
  for (char const c : text)
    if ((c & 0xc0) != 0x80)
      n += c == 'i' || c == 'l' || c == '.' || c == ',' ? 0.3 : c >= 'A' && c <= 'Z' ? 0.68 : 0.55;
  return n * size;
}

// Round numbers that cover [0 or low, high]: 0, 0.5, 1, 1.5.
inline std::vector<double> ticks(double low, double high, int about = 5) {
  if (!(high > low)) high = low + 1;
  double const raw = (high - low) / about, power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (double const s : {1., 2., 2.5, 5.})
    if (s * power >= raw * 0.999) {
      step = s * power;
      break;
    }
  std::vector<double> out;
  for (double x = std::ceil(low / step - 1e-9) * step; x <= high + step * 1e-9; x += step)
    out.push_back(std::fabs(x) < step * 1e-9 ? 0 : x);
  return out;
}

}  // namespace moeroute_examples
