// Decides whether what was computed equals what a case expects, by the rules of tests/golden/README.md
// section 2: "exact", "set" (per row), "informative", or |value - expected| <= atol + rtol |expected|.
// NaN equals NaN and an infinity itself; integers and masks are one kind, floating values the other.
// Namespace: moeroute_examples.
#pragma once

#include <algorithm>
#include <cmath>

#include "case_file.hpp"
#include "outputs.hpp"

namespace moeroute_examples {

struct verdict {
  bool good = true;
  std::string why;   // "weights: |0.25 - 0.5| at (3, 1) above 1e-05" when not good
  double worst = 0;  // largest error in units of the tolerance
};

namespace compare_detail {

struct rule {
  bool exact = false, set = false, informative = false;
  double atol = 0, rtol = 0;
};

inline rule rule_of(case_file const& c, std::string const& name, double scale) {
  rule r;
  auto const part = [&](char const* suffix) {
    auto const key = name + suffix;
    if (!c.compare.contains(key)) return 0.;
    if (!c.compare[key].is_number()) c.bad("compare." + key, "a number", c.compare[key].type_name());
    return c.compare[key].get<double>() * scale;
  };
  if (c.compare.contains(name)) {
    auto const& v = c.compare[name];
    std::string const word = v.is_string() ? v.get<std::string>() : "";
    r.exact = word == "exact", r.set = word == "set", r.informative = word == "informative";
    if (!r.exact && !r.set && !r.informative)
      c.bad("compare." + name, "exact, set or informative", one_line(v.dump(), 60));
    return r;
  }
  r.atol = part("_atol"), r.rtol = part("_rtol");
  return r;
}

inline bool near(double x, double wanted, rule const& r, double& worst) {
  if (x == wanted || (x != x && wanted != wanted)) return true;
  double const allowed = r.atol + r.rtol * std::fabs(wanted);
  double const error = std::fabs(x - wanted);
  if (allowed > 0 && error == error) worst = std::max(worst, error / allowed);
  return error <= allowed;  // false for a NaN or an infinity on one side
}

inline std::string place(std::int64_t flat, shape_t const& shape) {
  shape_t at(shape.size());
  for (std::size_t i = shape.size(); i-- > 0;) at[i] = flat % shape[i], flat /= shape[i];
  return in_words(at);
}

inline verdict compare_arrays(std::string const& name, array const& x, array const& wanted, rule const& r) {
  auto const no = [&](std::string const& why) { return verdict{false, name + ": " + why, 0}; };
  if (is_floating(x.type) != is_floating(wanted.type))
    return no(std::string("dtype ") + facts(x.type).code + ", expected " + facts(wanted.type).code);
  if (x.shape != wanted.shape) return no("shape " + in_words(x.shape) + ", expected " + in_words(wanted.shape));
  auto a = x.values<double>(), b = wanted.values<double>();
  if (r.set && !x.shape.empty() && x.shape.back() > 0) {
    auto const columns = x.shape.back();
    for (std::int64_t first = 0; first < x.size(); first += columns) {
      std::sort(a.begin() + first, a.begin() + first + columns);
      std::sort(b.begin() + first, b.begin() + first + columns);
    }
  }
  verdict v;
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (near(a[i], b[i], r, v.worst)) continue;
    if (wrong++ == 0)
      v.why = name + ": " + in_words(a[i]) + " at " + place(static_cast<std::int64_t>(i), x.shape) + ", expected " +
              in_words(b[i]);
  }
  if (wrong > 0) {
    v.good = false;
    v.why += " (" + std::to_string(wrong) + " of " + std::to_string(a.size()) + " differ";
    v.why += v.worst > 0 ? ", up to " + in_words(v.worst) + " x tolerance)" : ")";
  }
  return v;
}

inline double as_double(scalar const& s) {
  return std::visit([](auto x) { return static_cast<double>(x); }, s);
}

// Balanced assignment is compared by what it reaches: every expert gets per_expert tokens, and the total
// score lies within T eps of the optimum and not above it.
inline verdict compare_assignment(case_file const& c, outputs const& out) {
  auto const no = [](std::string const& why) { return verdict{false, "assignment: " + why, 0}; };
  if (!out.arrays.contains("assignment")) return no("missing");
  if (!out.scalars.contains("objective")) return no("objective is missing");
  if (!out.scalars.contains("eps")) return no("eps is missing");
  auto const scores = c.floats<double>("scores", {any, any});
  auto const tokens = scores.extent(0), experts = scores.extent(1);
  auto const per_expert = c.integer("per_expert", 0, tokens);
  auto const chosen = out.arrays.at("assignment").values<std::int64_t>();
  if (std::ssize(chosen) != tokens) return no(std::to_string(chosen.size()) + " tokens");
  std::vector<std::int64_t> counts(static_cast<std::size_t>(experts));
  double total = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    auto const e = chosen[static_cast<std::size_t>(t)];
    if (e < 0 || e >= experts) return no("expert " + std::to_string(e));
    ++counts[static_cast<std::size_t>(e)];
    total += scores[t * experts + e];
  }
  for (auto const n : counts)
    if (n != per_expert) return no(std::to_string(n) + " tokens for one expert");
  double const best = c.expected.at("optimal_objective").get<double>();
  double const eps = as_double(out.scalars.at("eps")), said = as_double(out.scalars.at("objective"));
  double const slack = 1e-6 * std::max(1., std::fabs(best));
  if (std::fabs(said - total) > slack)
    return no("objective " + in_words(said) + " is not its total score " + in_words(total));
  if (total > best + slack) return no("total score above the optimum");
  if (total < best - static_cast<double>(tokens) * eps - slack)
    return no("total score " + in_words(total) + " more than T eps below the optimum " + in_words(best));
  return {};
}

}  // namespace compare_detail

// Compares every expected item of the case; tolerances are multiplied by `tolerance_scale`.
inline verdict compare_case(case_file const& c, outputs const& out, double tolerance_scale = 1) {
  using namespace compare_detail;
  verdict all;
  auto const join = [&](verdict const& v) {
    all.worst = std::max(all.worst, v.worst);
    if (v.good) return;
    all.why += (all.good ? "" : "; ") + v.why;
    all.good = false;
  };
  bool const by_objective = c.compare.contains("rule");
  if (by_objective) join(compare_assignment(c, out));
  for (auto const& [name, wanted] : c.expected.items()) {
    rule const r = rule_of(c, name, tolerance_scale);
    if (r.informative || (by_objective && name == "optimal_objective")) continue;
    if (wanted.is_string()) {
      if (auto const it = out.arrays.find(name); it == out.arrays.end()) join({false, name + ": not computed", 0});
      else join(compare_arrays(name, it->second, c.expected_array(name), r));
    } else if (wanted.is_number() || wanted.is_boolean()) {
      auto const it = out.scalars.find(name);
      if (it == out.scalars.end()) {
        join({false, name + ": not computed", 0});
        continue;
      }
      double const b = wanted.is_boolean() ? wanted.get<bool>() : wanted.get<double>();
      verdict v;
      v.good = near(as_double(it->second), b, r, v.worst);
      if (!v.good) v.why = name + ": " + in_words(as_double(it->second)) + ", expected " + in_words(b);
      join(v);
    } else c.bad("expected." + name, "a file name or a scalar", wanted.type_name());
  }
  return all;
}

}  // namespace moeroute_examples
