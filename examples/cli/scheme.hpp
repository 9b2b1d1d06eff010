// Decides how a scheme is offered to the command line: a name, its catalogue id, its formula, and a function
// from a case to its outputs. Namespace: moeroute_examples.
//
// To add schemes, write one file examples/cli/schemes_<family>.cpp (CMake finds it) and register them at
// its end; nothing else is edited:
//
//   #include "cli/scheme.hpp"
//   namespace moeroute_examples {
//   namespace {
//   outputs my_scheme(case_file const& c, any_executor const& x) {
//     auto const logits = c.floats<float>("logits", {any, any});      // checks dtype and shape
//     c.same("T", logits.extent(0)), c.same("E", logits.extent(1));   // params must agree with the arrays
//     auto const k = c.integer("k", 1, logits.extent(1));             // checks kind and range
//     outputs out;
//     ...                                        // policies and verbs of the public headers, run on x
//     out.add("ids", ids);                       // tensor<T> or (vector, shape)
//     out.number("loss", loss);                  // scalars: number, integer, flag
//     out.describe = moeroute::describe(router).c_str();
//     return out;
//   }
//   register_schemes const registered{{{"my_scheme", "S042", "formula in words", my_scheme}}};
//   }  // namespace
//   }  // namespace moeroute_examples
//
// Throw nothing but what the getters of case_file throw; moeroute::error counts as bad input of the case.
#pragma once

#include <initializer_list>
#include <vector>

#include "cli/executor.hpp"
#include "support/case_file.hpp"
#include "support/outputs.hpp"

namespace moeroute_examples {

struct scheme {
  char const* name;
  char const* id;       // of the catalogue: S007, P03, ...
  char const* formula;  // in words
  outputs (*run)(case_file const&, any_executor const&);
};

inline std::vector<scheme>& all_schemes() {
  static std::vector<scheme> all;
  return all;
}
struct register_schemes {
  register_schemes(std::initializer_list<scheme> some) {
    all_schemes().insert(all_schemes().end(), some.begin(), some.end());
  }
};

}  // namespace moeroute_examples
