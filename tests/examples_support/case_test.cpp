// Decides whether cases are read with every mistake named, and compared by the rules of the golden README.
#include <cmath>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "../../examples/support/compare.hpp"

using namespace moeroute_examples;
namespace fs = std::filesystem;

namespace {

struct folder {
  fs::path path =
      fs::temp_directory_path() / ("moeroute_case_" + std::to_string(reinterpret_cast<std::uintptr_t>(this)));
  folder() { fs::create_directories(path); }
  ~folder() { fs::remove_all(path); }
  folder(folder const&) = delete;
  case_file with(std::string const& json) const { return case_file::parse(json, path / "case.json"); }
};
template <class F>
std::string complaint(F&& f) {
  try {
    f();
  } catch (input_error const& e) { return e.what(); }
  return "accepted";
}
bool mentions(std::string const& words, char const* part) { return words.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("case: parameters are checked for kind and range") {
  folder const f;
  auto const c =
      f.with(R"({"scheme": "s", "params": {"k": 2, "x": 1.5, "on": true, "w": "abc", "half": 2.5, "big": 1e300}})");
  CHECK(c.integer("k", 1, 8) == 2);
  CHECK(c.number("x") == 1.5);
  CHECK(c.number("y", 3.) == 3.);
  CHECK(c.flag("on"));
  CHECK(c.words("w") == "abc");
  CHECK(mentions(complaint([&] { c.integer("k", 3, 8); }),
                 "case.json: params.k: expected an integer from 3 to 8, found 2"));
  CHECK(mentions(complaint([&] { c.integer("half", 1, 8); }), "found 2.5"));
  CHECK(mentions(complaint([&] { c.integer("big", 1, 8); }), "found 1e+300"));
  CHECK(mentions(complaint([&] { c.integer("none", 1, 8); }), "found none"));
  CHECK(mentions(complaint([&] { c.flag("k"); }), "expected true or false"));
  CHECK(mentions(complaint([&] { c.number("w"); }), "a number"));
  CHECK(mentions(complaint([&] { c.same("k", 5); }), "params.k: expected 5"));
}

TEST_CASE("case: malformed files are refused") {
  folder const f;
  CHECK(mentions(complaint([&] { f.with("{"); }), "well-formed JSON"));
  CHECK(mentions(complaint([&] { f.with("[]"); }), "a JSON object"));
  CHECK(mentions(complaint([&] { f.with("{}"); }), "scheme"));
  CHECK(mentions(complaint([&] { f.with(R"({"scheme": 3})"); }), "found 3"));
  CHECK(mentions(complaint([&] { f.with(R"({"scheme": "s", "inputs": 3})"); }), "inputs: expected a JSON object"));
  CHECK(mentions(complaint([&] { f.with(std::string(100000, '[')); }), "nested"));
  CHECK(mentions(complaint([&] { case_file::load(f.path / "none"); }), "a file that can be read"));
}

TEST_CASE("case: arrays are checked for presence, dtype, shape, range and NaN") {
  folder const f;
  write_npy(f.path / "l.npy", array::of(std::vector<float>{1, 2, NAN, 4}, {2, 2}));
  write_npy(f.path / "i.npy", array::of(std::vector<int>{0, 1, 5}, {3}));
  auto const c = f.with(R"({"scheme": "s", "inputs": {"l": "l.npy", "i": "i.npy", "gone": "gone.npy", "odd": 3}})");
  CHECK(c.floats<double>("l", {any, 2}).values[3] == 4);
  CHECK(c.integers<int>("i", {3}, 0, 5).values[2] == 5);
  CHECK(mentions(complaint([&] { c.floats<float>("l", {2, 3}); }), "l.npy: shape: expected (2, 3), found (2, 2)"));
  CHECK(mentions(complaint([&] { c.floats<float>("l", {2, 2}, nan::forbidden); }), "NaN at flat index 2"));
  CHECK(mentions(complaint([&] { c.floats<float>("i", {3}); }), "dtype: expected f2, f4 or f8, found <i4"));
  CHECK(mentions(complaint([&] { c.integers<int>("l", {2, 2}, 0, 5); }), "an integer dtype"));
  CHECK(mentions(complaint([&] { c.integers<int>("i", {3}, 0, 4); }), "5 at flat index 2"));
  CHECK(mentions(complaint([&] { c.input("gone"); }), "gone.npy: file"));
  CHECK(mentions(complaint([&] { c.input("absent"); }), "inputs.absent"));
  CHECK(mentions(complaint([&] { c.input("odd"); }), "inputs.odd"));
}

TEST_CASE("compare: exact, set, tolerance, informative and NaN") {
  folder const f;
  write_npy(f.path / "ids.npy", array::of(std::vector<int>{1, 2, 3, 4}, {2, 2}));
  write_npy(f.path / "w.npy", array::of(std::vector<double>{1, std::nan("")}, {2}));
  auto const c = f.with(R"({"scheme": "s",
    "expected": {"ids": "ids.npy", "same": "ids.npy", "w": "w.npy", "loss": 2.0, "note": 9},
    "compare": {"ids": "exact", "same": "set", "w_atol": 1e-3, "loss_rtol": 1e-2, "note": "informative"}})");
  outputs out;
  out.add("ids", std::vector<std::int64_t>{1, 2, 3, 4}, {2, 2});
  out.add("same", std::vector<int>{2, 1, 4, 3}, {2, 2});
  out.add("w", std::vector<float>{1.0005f, NAN}, {2});
  out.number("loss", 2.01);
  CHECK(compare_case(c, out).good);
  CHECK_FALSE(compare_case(c, out, 1e-3).good);
  auto const spoiled = [&](auto&& change) {
    outputs copy = out;
    change(copy);
    auto const v = compare_case(c, copy);
    CHECK_FALSE(v.good);
    return v.why;
  };
  CHECK(mentions(spoiled([](outputs& o) { o.add("ids", std::vector<int>{1, 2, 4, 3}, {2, 2}); }),
                 "ids: 4 at (1, 0), expected 3"));
  CHECK(mentions(spoiled([](outputs& o) { o.add("ids", std::vector<float>{1, 2, 3, 4}, {2, 2}); }), "dtype"));
  CHECK(mentions(spoiled([](outputs& o) { o.add("ids", std::vector<int>{1, 2, 3, 4}, {4}); }), "shape"));
  CHECK(mentions(spoiled([](outputs& o) { o.add("same", std::vector<int>{2, 1, 4, 4}, {2, 2}); }), "same"));
  CHECK(mentions(spoiled([](outputs& o) { o.add("w", std::vector<float>{1, 1}, {2}); }), "w: 1 at (1,)"));
  CHECK(mentions(spoiled([](outputs& o) { o.number("loss", 2.03); }), "loss"));
  CHECK(mentions(spoiled([](outputs& o) { o.arrays.erase("w"); }), "w: not computed"));
}

TEST_CASE("compare: a balanced assignment is judged by its objective") {
  folder const f;
  write_npy(f.path / "scores.npy", array::of(std::vector<float>{1, 0, 0, 1, 1, 0, 0, 1}, {4, 2}));
  auto const c = f.with(R"({"scheme": "base_balanced_assignment", "params": {"per_expert": 2},
    "inputs": {"scores": "scores.npy"}, "expected": {"optimal_objective": 4.0},
    "compare": {"rule": "by objective", "optimal_objective_rtol": 1e-6}})");
  auto const judged = [&](std::vector<int> chosen, double said, double eps) {
    outputs out;
    out.add("assignment", chosen, {4});
    out.number("objective", said), out.number("eps", eps);
    return compare_case(c, out).good;
  };
  CHECK(judged({0, 1, 0, 1}, 4, 0));
  CHECK(judged({1, 0, 0, 1}, 2, .5));
  CHECK_FALSE(judged({1, 0, 0, 1}, 2, .1));
  CHECK_FALSE(judged({0, 0, 0, 1}, 3, 1));
  CHECK_FALSE(judged({0, 1, 0, 1}, 3, 1));
}
