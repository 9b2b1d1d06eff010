// Decides how a case folder is read: case.json (scheme, params, inputs, expected, compare) and its arrays.
// Every getter checks kind, shape and range and throws an input_error that names file and field, so that a
// scheme can use what it gets. Namespace: moeroute_examples.
//
//   case_file c = case_file::load("tests/golden/01_softmax_topk/t7_e8_k2");
//   auto logits = c.floats<float>("logits", {any, any});           // tensor<float>, [T,E]
//   auto T = logits.extent(0), E = logits.extent(1);
//   c.same("T", T); c.same("E", E);                                // params agree where they are given
//   auto k = c.integer("k", 1, E);
//   auto bias = c.floats<float>("bias", {E}, nan::forbidden);
//   auto scale = c.number("scale", 1.0);                           // with a default
#pragma once

#include <cmath>

#include <nlohmann/json.hpp>

#include "tensor.hpp"

namespace moeroute_examples {

inline constexpr std::int64_t any = -1;  // an extent that the array decides
enum class nan { allowed, forbidden };

class case_file {
 public:
  std::filesystem::path path;  // of case.json
  std::string scheme;
  nlohmann::json params = nlohmann::json::object();
  nlohmann::json inputs = nlohmann::json::object();
  nlohmann::json expected = nlohmann::json::object();
  nlohmann::json compare = nlohmann::json::object();

  // `where` is a case folder or the path of its case.json.
  static case_file load(std::filesystem::path where) {
    std::error_code failed;
    if (std::filesystem::is_directory(where, failed)) where /= "case.json";
    auto const bytes = read_bytes(where);
    return parse({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, where);
  }
  static case_file parse(std::string_view words, std::filesystem::path where) {
    case_file c;
    c.path = std::move(where);
    if (words.size() > most_bytes) c.bad("file", "at most 16 MiB of JSON", std::to_string(words.size()));
    if (depth(words) > 64) c.bad("file", "JSON nested at most 64 deep", "more");
    nlohmann::json j;
    try {
      j = nlohmann::json::parse(words);
    } catch (nlohmann::json::parse_error const& e) {
      c.bad("file", "well-formed JSON", "an error at byte " + std::to_string(e.byte));
    } catch (nlohmann::json::exception const&) { c.bad("file", "well-formed JSON", "a number that no double holds"); }
    if (!j.is_object()) c.bad("file", "a JSON object", kind(j));
    if (!j.contains("scheme")) c.bad("scheme", "the name of a scheme", "none");
    if (!j["scheme"].is_string()) c.bad("scheme", "the name of a scheme", kind(j["scheme"]));
    c.scheme = j["scheme"].get<std::string>();
    c.take_object(j, "params", c.params);
    c.take_object(j, "inputs", c.inputs);
    c.take_object(j, "expected", c.expected);
    c.take_object(j, "compare", c.compare);
    return c;
  }

  [[noreturn]] void bad(std::string const& field, std::string const& expects, std::string const& found) const {
    throw input_error(path.string(), field, expects, found);
  }

  // ---- params ------------------------------------------------------------------------------------
  bool has(std::string const& name) const { return params.contains(name) && !params[name].is_null(); }

  double number(std::string const& name) const {
    auto const& v = param(name, "a number");
    if (!v.is_number()) bad("params." + name, "a number", kind(v));
    return v.get<double>();
  }
  double number(std::string const& name, double otherwise) const { return has(name) ? number(name) : otherwise; }
  double number_in(std::string const& name, double least, double most) const {
    double const x = number(name);
    if (!(x >= least && x <= most))
      bad("params." + name, "a number from " + in_words(least) + " to " + in_words(most), in_words(x));
    return x;
  }
  std::int64_t integer(std::string const& name, std::int64_t least, std::int64_t most) const {
    std::string const wanted = "an integer from " + std::to_string(least) + " to " + std::to_string(most);
    auto const& v = param(name, wanted);
    if (!v.is_number()) bad("params." + name, wanted, kind(v));
    double const x = v.get<double>();
    if (!(x >= static_cast<double>(least) && x <= static_cast<double>(most)) || x != std::floor(x))
      bad("params." + name, wanted, v.dump());
    return v.is_number_integer() ? v.get<std::int64_t>() : static_cast<std::int64_t>(x);
  }
  std::int64_t integer_or(std::string const& name, std::int64_t otherwise, std::int64_t least,
                          std::int64_t most) const {
    return has(name) ? integer(name, least, most) : otherwise;
  }
  bool flag(std::string const& name) const {
    auto const& v = param(name, "true or false");
    if (!v.is_boolean()) bad("params." + name, "true or false", kind(v));
    return v.get<bool>();
  }
  bool flag(std::string const& name, bool otherwise) const { return has(name) ? flag(name) : otherwise; }
  std::string words(std::string const& name) const {
    auto const& v = param(name, "a word");
    if (!v.is_string()) bad("params." + name, "a word", kind(v));
    return v.get<std::string>();
  }
  std::string words(std::string const& name, std::string const& otherwise) const {
    return has(name) ? words(name) : otherwise;
  }
  // A parameter that repeats what an array already says must agree with it.
  void same(std::string const& name, std::int64_t size) const {
    if (!has(name)) return;
    auto const& v = params[name];
    if (!v.is_number() || v.get<double>() != static_cast<double>(size))
      bad("params." + name, std::to_string(size) + " (the shape of the inputs)", one_line(v.dump(), 60));
  }

  // ---- arrays ------------------------------------------------------------------------------------
  bool has_input(std::string const& name) const { return inputs.contains(name); }
  array input(std::string const& name) const { return load_array(inputs, "inputs.", name); }

  // Floating arrays (f2, f4, f8) as T. `shape` may hold `any`; an empty shape takes every shape.
  template <class T>
  tensor<T> floats(std::string const& name, shape_t const& shape, nan nans = nan::allowed) const {
    static_assert(std::is_floating_point_v<T>);
    array const a = input(name);
    if (!is_floating(a.type)) wrong(name, "dtype", "f2, f4 or f8", facts(a.type).code);
    tensor<T> out{a.values<T>(), a.shape};
    check_shape(name, a.shape, shape);
    if (nans == nan::forbidden)
      for (std::int64_t i = 0; i < out.size(); ++i)
        if (out[i] != out[i]) wrong(name, "values", "no NaN", "NaN at flat index " + std::to_string(i));
    return out;
  }
  // Integer arrays of any width as T; every value in [least, most].
  template <class T>
  tensor<T> integers(std::string const& name, shape_t const& shape, std::int64_t least, std::int64_t most) const {
    static_assert(std::is_integral_v<T>);
    array const a = input(name);
    if (is_floating(a.type)) wrong(name, "dtype", "an integer dtype", facts(a.type).code);
    check_shape(name, a.shape, shape);
    tensor<T> out{a.values<T>(), a.shape};
    a.each([&](std::int64_t i, auto x) {
      if constexpr (std::is_integral_v<decltype(x)>) {
        if (std::cmp_less(x, least) || std::cmp_greater(x, most))
          wrong(name, "values", "numbers from " + std::to_string(least) + " to " + std::to_string(most),
                std::to_string(x) + " at flat index " + std::to_string(i));
      }
    });
    return out;
  }
  // 0/1 masks.
  tensor<std::uint8_t> mask(std::string const& name, shape_t const& shape) const {
    return integers<std::uint8_t>(name, shape, 0, 1);
  }
  bool input_is_double(std::string const& name) const { return input(name).type == dtype::f8; }

  // Complains about the array `inputs.name` itself.
  [[noreturn]] void wrong(std::string const& name, char const* field, std::string const& expects,
                          std::string const& found) const {
    throw input_error(array_path(inputs, "inputs.", name).string(), field, expects, found);
  }

  array expected_array(std::string const& name) const { return load_array(expected, "expected.", name); }

 private:
  static constexpr std::size_t most_bytes = std::size_t{1} << 24;

  static std::string kind(nlohmann::json const& v) {
    return v.is_primitive() && !v.is_null()
               ? one_line(v.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), 60)
               : std::string("a JSON ") + v.type_name();
  }
  // The parser recurses in its destructor: bound the nesting before it sees the words.
  static int depth(std::string_view words) {
    int now = 0, most = 0;
    for (char const c : words) {
      if (c == '[' || c == '{') most = ++now > most ? now : most;
      if (c == ']' || c == '}') --now;
    }
    return most;
  }
  void take_object(nlohmann::json const& j, char const* name, nlohmann::json& out) const {
    if (!j.contains(name)) return;
    if (!j[name].is_object()) bad(name, "a JSON object", kind(j[name]));
    out = j[name];
  }
  nlohmann::json const& param(std::string const& name, std::string const& wanted) const {
    if (!has(name)) bad("params." + name, wanted, "none");
    return params[name];
  }
  std::filesystem::path array_path(nlohmann::json const& group, char const* prefix, std::string const& name) const {
    if (!group.contains(name)) bad(prefix + name, "the name of an array file", "none");
    if (!group[name].is_string()) bad(prefix + name, "the name of an array file", kind(group[name]));
    auto const file = group[name].get<std::string>();
    if (file.find('\0') != std::string::npos || file.empty())
      bad(prefix + name, "the name of an array file", "'" + file + "'");
    return path.parent_path() / std::filesystem::path(file);
  }
  array load_array(nlohmann::json const& group, char const* prefix, std::string const& name) const {
    return read_npy(array_path(group, prefix, name));
  }
  void check_shape(std::string const& name, shape_t const& found, shape_t const& wanted) const {
    if (wanted.empty()) return;
    bool same_shape = found.size() == wanted.size();
    for (std::size_t i = 0; same_shape && i < found.size(); ++i) same_shape = wanted[i] == any || found[i] == wanted[i];
    if (!same_shape) wrong(name, "shape", in_words(wanted), in_words(found));
  }
};

}  // namespace moeroute_examples
