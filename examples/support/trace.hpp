// Decides what a saved routing looks like on disk: a folder with trace.jsonl, one JSON object a line, and the
// arrays it names. Expert ids alone tell much of the tokens: treat a trace as you would treat the prompt.
// Namespace: moeroute_examples.
//
//   {"layer": 0, "experts": 64, "ids": "l0_ids.npy", "weights": "l0_weights.npy", "modality": "modality.npy",
//    "logits": "l0_logits.npy"}                    layer, experts and ids are needed, the rest may be left out
//
// ids [tokens, k] (negative: no expert), weights [tokens, k], modality [tokens], logits [tokens, experts].
// Lines of the same layer are steps of the same layer and are read as one. The folder that `moeroute route`
// writes is read as a trace of one layer.
#pragma once

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include "tensor.hpp"

namespace moeroute_examples {

struct trace_layer {
  std::int64_t layer = 0, experts = 0, k = 0;
  tensor<std::int32_t> ids{shape_t{0, 0}};  // tokens x k
  std::vector<double> weights;              // tokens x k or empty
  std::vector<double> logits;               // tokens x experts or empty
  std::vector<std::int64_t> modality;       // tokens or empty
  std::int64_t tokens() const { return ids.extent(0); }
};

namespace trace_detail {

struct line_reader {
  std::filesystem::path file;
  std::string place;  // "line 3"
  nlohmann::json j;

  [[noreturn]] void bad(std::string const& field, std::string const& expects, std::string const& found) const {
    throw input_error(file.string(), place + " " + field, expects, found);
  }
  std::int64_t whole(char const* name, std::int64_t most) const {
    auto const wanted = "a number from 0 to " + std::to_string(most);
    if (!j.contains(name)) bad(name, wanted, "none");
    if (!j[name].is_number_integer()) bad(name, wanted, j[name].type_name());
    double const x = j[name].get<double>();
    if (!(x >= 0 && x <= static_cast<double>(most))) bad(name, wanted, in_words(x));
    return j[name].get<std::int64_t>();
  }
  // The array `name`, of this shape and kind; empty if it is left out.
  template <class T>
  std::vector<T> values(char const* name, shape_t const& shape, bool floating) const {
    if (!j.contains(name)) return {};
    if (!j[name].is_string()) bad(name, "a file name", j[name].type_name());
    auto const path = file.parent_path() / j[name].get<std::string>();
    array const a = read_npy(path);
    if (is_floating(a.type) != floating)
      throw input_error(path.string(), "dtype", floating ? "a floating dtype" : "an integer dtype", facts(a.type).code);
    bool good = a.shape.size() == shape.size();
    for (std::size_t i = 0; good && i < shape.size(); ++i) good = shape[i] < 0 || a.shape[i] == shape[i];
    if (!good) throw input_error(path.string(), "shape", in_words(shape), in_words(a.shape));
    return a.values<T>();
  }
};

inline void append(trace_layer& to, line_reader const& r) {
  constexpr std::int64_t most = 1 << 20;
  auto const experts = r.whole("experts", most);
  if (!r.j.contains("ids")) r.bad("ids", "a file name", "none");
  if (!r.j["ids"].is_string()) r.bad("ids", "a file name", r.j["ids"].type_name());
  array const shape_of_ids = read_npy(r.file.parent_path() / r.j["ids"].get<std::string>());
  auto const ids = r.values<std::int64_t>("ids", {-1, -1}, false);
  auto const tokens = shape_of_ids.shape[0], k = shape_of_ids.shape[1];
  for (auto const id : ids)
    if (id >= experts) r.bad("ids", "ids below " + std::to_string(experts), std::to_string(id));
  bool const first = to.ids.size() == 0 && to.k == 0;
  if (!first && (to.k != k || to.experts != experts))
    r.bad("ids", "k and experts as on the earlier line of this layer",
          std::to_string(k) + " and " + std::to_string(experts));
  to.k = k, to.experts = experts;
  auto const join = [&](auto& all, auto const& some, char const* name) {
    if (!first && all.empty() != some.empty()) r.bad(name, "on every line of a layer or on none", "on some");
    all.insert(all.end(), some.begin(), some.end());
  };
  join(to.weights, r.values<double>("weights", {tokens, k}, true), "weights");
  join(to.logits, r.values<double>("logits", {tokens, experts}, true), "logits");
  join(to.modality, r.values<std::int64_t>("modality", {tokens}, false), "modality");
  for (auto const id : ids) to.ids.values.push_back(id < 0 ? -1 : static_cast<std::int32_t>(id));
  to.ids.shape = {to.ids.extent(0) + tokens, k};
}

inline nlohmann::json parsed(std::string_view words, std::filesystem::path const& file, std::string const& place) {
  auto j = nlohmann::json::parse(words, nullptr, false);
  if (!j.is_object())
    throw input_error(file.string(), place, "a JSON object", j.is_discarded() ? "malformed JSON" : j.type_name());
  return j;
}

}  // namespace trace_detail

// Layers in ascending order. `where`: a folder with trace.jsonl or result.json, or a .jsonl file.
inline std::vector<trace_layer> load_trace(std::filesystem::path where) {
  using namespace trace_detail;
  namespace fs = std::filesystem;
  std::error_code failed;
  std::map<std::int64_t, trace_layer> layers;
  if (fs::is_directory(where, failed)) {
    if (!fs::exists(where / "trace.jsonl", failed) && fs::exists(where / "result.json", failed)) {
      auto const file = where / "result.json";
      auto const bytes = read_bytes(file);
      auto j = parsed({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, file, "file");
      array const ids = read_npy(where / "ids.npy");
      auto const all = ids.values<std::int64_t>();
      std::int64_t experts = all.empty() ? 0 : *std::max_element(all.begin(), all.end()) + 1;
      if (j.contains("values") && j["values"].is_object() && j["values"].contains("experts") &&
          j["values"]["experts"].is_number_integer())
        experts = j["values"]["experts"].get<std::int64_t>();
      nlohmann::json line = {{"layer", 0}, {"experts", experts}, {"ids", "ids.npy"}};
      for (char const* name : {"weights", "modality", "logits"})
        if (fs::exists(where / (std::string(name) + ".npy"), failed)) line[name] = std::string(name) + ".npy";
      append(layers[0], {file, "values", line});
      return {layers[0]};
    }
    where /= "trace.jsonl";
  }
  auto const bytes = read_bytes(where);
  std::string_view const all(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  for (std::size_t at = 0, number = 1; at < all.size(); ++number) {
    auto const end = std::min(all.find('\n', at), all.size());
    auto const words = all.substr(at, end - at);
    at = end + 1;
    if (words.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto const place = "line " + std::to_string(number);
    line_reader const r{where, place, parsed(words, where, place)};
    auto const layer = r.whole("layer", 1 << 20);
    layers[layer].layer = layer;
    append(layers[layer], r);
  }
  if (layers.empty()) throw input_error(where.string(), "file", "at least one line", "none");
  std::vector<trace_layer> out;
  for (auto& [number, l] : layers) out.push_back(std::move(l));
  return out;
}

}  // namespace moeroute_examples
