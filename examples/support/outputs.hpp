// Decides what a scheme hands back: named arrays, named scalars, and its formula in words. The frame writes
// them (arrays to NAME.npy, scalars to result.json) or compares them. Namespace: moeroute_examples.
#pragma once

#include <map>
#include <variant>

#include "tensor.hpp"

namespace moeroute_examples {

using scalar = std::variant<bool, std::int64_t, double>;

struct outputs {
  std::string describe;  // the formula in words: what policy.describe(text) wrote
  std::map<std::string, array> arrays;
  std::map<std::string, scalar> scalars;

  template <class T>
  void add(std::string const& name, tensor<T> const& t) {
    arrays[name] = t.to_array();
  }
  template <class T>
  void add(std::string const& name, std::vector<T> const& values, shape_t shape) {
    arrays[name] = array::of(values, std::move(shape));
  }
  void number(std::string const& name, double x) { scalars[name] = x; }
  void integer(std::string const& name, std::int64_t n) { scalars[name] = n; }
  void flag(std::string const& name, bool b) { scalars[name] = b; }
};

}  // namespace moeroute_examples
