// Decides how runs are compared: means over seeds, paired differences, bootstrap intervals. Namespace: moeroute_smoes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace moeroute_smoes {

using json = nlohmann::json;
using measure = std::function<double(json const&)>;

struct interval {
  double mean = 0, low = 0, high = 0;
  std::size_t n = 0;
  bool above(double x) const { return n > 1 && low > x; }
  bool below(double x) const { return n > 1 && high < x; }
};

// 95 % percentile bootstrap over seeds, 10000 draws; the same draws every time.
inline interval bootstrap(std::vector<double> const& x) {
  interval r{.n = x.size()};
  if (x.empty()) return r;
  for (double const v : x) r.mean += v / static_cast<double>(x.size());
  std::vector<double> means(10000);
  std::uint64_t state = 12345;
  for (double& m : means) {
    m = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      m += x[static_cast<std::size_t>(state >> 33) % x.size()] / static_cast<double>(x.size());
    }
  }
  std::sort(means.begin(), means.end());
  r.low = means[250], r.high = means[9749];
  return r;
}

class results {
 public:
  explicit results(std::vector<json> const& lines) {
    for (auto const& j : lines) runs_[j.at("method")][j.at("seed").get<int>()] = j;
  }
  bool has(std::string const& method) const { return runs_.contains(method); }
  std::map<int, json> const& of(std::string const& method) const {
    static std::map<int, json> const none;
    auto const it = runs_.find(method);
    return it == runs_.end() ? none : it->second;
  }
  interval value(std::string const& method, measure const& f) const {
    std::vector<double> x;
    for (auto const& [seed, j] : of(method)) x.push_back(f(j));
    return bootstrap(x);
  }
  // f(a) - g(b), seed by seed.
  interval difference(std::string const& a, measure const& f, std::string const& b, measure const& g) const {
    std::vector<double> x;
    for (auto const& [seed, j] : of(a))
      if (of(b).contains(seed)) x.push_back(f(j) - g(of(b).at(seed)));
    return bootstrap(x);
  }
  interval difference(std::string const& a, std::string const& b, measure const& f) const {
    return difference(a, f, b, f);
  }
  // 1 - f(a) / g(b): how much is saved.
  interval saving(std::string const& a, measure const& f, std::string const& b, measure const& g) const {
    std::vector<double> x;
    for (auto const& [seed, j] : of(a))
      if (of(b).contains(seed) && g(of(b).at(seed)) > 0) x.push_back(1 - f(j) / g(of(b).at(seed)));
    return bootstrap(x);
  }

 private:
  std::map<std::string, std::map<int, json>> runs_;
};

inline measure field(std::string name, double unit = 1) {
  return [name, unit](json const& j) { return unit * j.at(name).get<double>(); };
}
inline measure transfer(std::string place, std::string kind, std::string what) {
  return [=](json const& j) { return j.at("placement").at(place).at(kind).at(what).get<double>(); };
}

template <class... T>
std::string words(char const* format, T... x) {
  char buffer[512];
  std::snprintf(buffer, sizeof buffer, format, x...);
  return buffer;
}
// "0.45 (0.43, 0.49)"
inline std::string shown(interval const& i, int digits = 2) {
  return i.n == 0 ? "-" : words("%.*f (%.*f, %.*f)", digits, i.mean, digits, i.low, digits, i.high);
}
inline std::string percent(interval const& i) {
  return i.n == 0 ? "-" : words("%.0f %% (%.0f, %.0f)", 100 * i.mean, 100 * i.low, 100 * i.high);
}

}  // namespace moeroute_smoes
