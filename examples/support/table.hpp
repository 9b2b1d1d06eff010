// Decides how a text table is aligned: words to the left, numbers to the right, columns two blanks apart.
// Namespace: moeroute_examples.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace moeroute_examples {

class table {
 public:
  explicit table(std::vector<std::string> heads) { rows_.push_back(std::move(heads)); }
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  std::string words() const {
    std::vector<std::size_t> width(rows_[0].size());
    std::vector<bool> numbers(width.size(), rows_.size() > 1);
    for (std::size_t r = 0; r < rows_.size(); ++r)
      for (std::size_t c = 0; c < std::min(width.size(), rows_[r].size()); ++c) {
        width[c] = std::max(width[c], glyphs(rows_[r][c]));
        if (r > 0 && !rows_[r][c].empty()) numbers[c] = numbers[c] && numeric(rows_[r][c]);
      }
    std::string out;
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      std::string line;
      for (std::size_t c = 0; c < width.size(); ++c) {
        std::string const cell = c < rows_[r].size() ? rows_[r][c] : "";
        std::string const blanks(width[c] - glyphs(cell), ' ');
        line += (c == 0 ? "" : "  ") + (numbers[c] ? blanks + cell : cell + blanks);
      }
      out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
      if (r == 0) {
        for (std::size_t c = 0; c < width.size(); ++c) out += (c == 0 ? "" : "  ") + std::string(width[c], '-');
        out += "\n";
      }
    }
    return out;
  }
  // Pipes and a ruler, for documents.
  std::string markdown() const {
    std::string out;
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      for (auto const& cell : rows_[r]) out += "| " + cell + " ";
      out += "|\n";
      if (r == 0) {
        for (std::size_t c = 0; c < rows_[0].size(); ++c) out += "|---";
        out += "|\n";
      }
    }
    return out;
  }

 private:
  static std::size_t glyphs(std::string const& s) {  // UTF-8: bytes that start a character
    return static_cast<std::size_t>(std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  }
  static bool numeric(std::string const& s) {
    return (s.find_first_not_of("0123456789.+-eE% x") == std::string::npos &&
            s.find_first_of("0123456789") != std::string::npos) ||
           s == "-" || s == "nan" || s == "inf";
  }
  std::vector<std::vector<std::string>> rows_;
};

// A number with `digits` behind the point.
inline std::string fixed_digits(double x, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, x);
  return buffer;
}

}  // namespace moeroute_examples
