// Decides which names are offered when one is not known: the nearest by edit distance.
// Namespace: moeroute_examples.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

namespace moeroute_examples {

inline std::size_t edit_distance(std::string const& a, std::string const& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      auto const above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      diagonal = above;
    }
  }
  return row.back();
}

// The `most` nearest of `names`, nearest first; names that contain the wanted one count as near.
inline std::vector<std::string> nearest(std::string wanted, std::vector<std::string> names, std::size_t most = 3) {
  wanted.resize(std::min<std::size_t>(wanted.size(), 80));
  auto const distance = [&](std::string const& name) {
    bool const inside =
        !wanted.empty() && (name.find(wanted) != std::string::npos || wanted.find(name) != std::string::npos);
    return inside ? std::size_t{1} : edit_distance(wanted, name);
  };
  std::sort(names.begin(), names.end(), [&](auto const& a, auto const& b) {
    auto const x = distance(a), y = distance(b);
    return x != y ? x < y : a < b;
  });
  names.resize(std::min(names.size(), most));
  return names;
}

inline std::string joined(std::vector<std::string> const& names) {
  std::string out;
  for (auto const& n : names) out += (out.empty() ? "" : ", ") + n;
  return out;
}

}  // namespace moeroute_examples
