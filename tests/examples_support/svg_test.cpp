// Decides whether figures are whole: well-formed, every label on them, no coordinate that is not a number.
#include <cmath>

#include <doctest/doctest.h>

#include "../../examples/support/svg.hpp"
#include "../../examples/support/table.hpp"

using namespace moeroute_examples;

namespace {

std::size_t count(std::string const& words, std::string const& part) {
  std::size_t n = 0;
  for (auto at = words.find(part); at != std::string::npos; at = words.find(part, at + 1)) ++n;
  return n;
}
void whole(std::string const& svg) {
  CHECK(svg.starts_with("<svg"));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(count(svg, "<text") == count(svg, "</text>"));
  CHECK(count(svg, "nan") == 0);
  CHECK(count(svg, "inf\"") == 0);
  CHECK(count(svg, "prefers-color-scheme:dark") == 1);
}

}  // namespace

TEST_CASE("svg: every chart carries its title, labels and values") {
  auto const bars = bar_chart({.title = "A < B", .x_label = "load"}, {"one", "two"},
                              {{.name = "s", .y = {1, 2.5}, .error = {.1, .2}}});
  whole(bars);
  CHECK(count(bars, "A &lt; B") == 1);
  CHECK(count(bars, ">2.5<") >= 1);
  auto const lines =
      line_chart({.title = "t"}, {{.name = "up", .y = {1, 2, 3}}, {.name = "down", .x = {0, 2}, .y = {3, 1}}});
  whole(lines);
  CHECK(count(lines, ">up<") == 1);
  auto const heat = heat_map({.title = "t"}, {"r"}, {"a", "b"}, {0.25, std::nan("")}, {.low = 0, .high = 1});
  whole(heat);
  CHECK(count(heat, ">0.25<") == 1);
  whole(small_multiples({.title = "t"}, {{"p", "n", {{.name = "x", .y = {1, 2}}, {.name = "y", .y = {0, 1}}}}}));
}

TEST_CASE("svg: nothing to draw is still a figure") {
  whole(bar_chart({.title = "t"}, {}, {}));
  whole(line_chart({.title = "t"}, {}));
  whole(line_chart({.title = "t"}, {{.name = "flat", .y = {2, 2}}}));
  whole(heat_map({.title = "t"}, {}, {}, {}));
  whole(small_multiples({.title = "t"}, {}));
}

TEST_CASE("table: words to the left, numbers to the right") {
  table t({"name", "x"});
  t.add({"a", "1"}), t.add({"bbbbbb", "10"});
  CHECK(t.words() == "name     x\n------  --\na        1\nbbbbbb  10\n");
}
