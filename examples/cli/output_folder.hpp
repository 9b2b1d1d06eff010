// Decides how results reach the disk: all files go to a temporary folder beside the target, which is renamed
// when it is complete, so a folder with the wanted name is never a part of a result.
// Namespace: moeroute_examples.
#pragma once

#include <cmath>

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "support/outputs.hpp"

namespace moeroute_examples {

class output_folder {
 public:
  explicit output_folder(std::filesystem::path const& target) : target_(target.lexically_normal()) {
    namespace fs = std::filesystem;
    if (!target_.has_filename()) target_ = target_.parent_path();
    std::error_code failed;
    if (target_.empty()) throw input_error("command line", "--out", "a folder", "nothing");
    auto const there = fs::symlink_status(target_, failed);
    if (fs::exists(there) && !replaceable())
      throw input_error(target_.string(), "--out", "a new name, an empty folder or an earlier result",
                        fs::is_directory(there) ? "a folder with other files" : "a file");
    auto const parent = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
    fs::create_directories(parent, failed);
    temporary_ = parent / ("." + target_.filename().string() + ".part" + std::to_string(getpid()));
    fs::remove_all(temporary_, failed);
    if (!fs::create_directory(temporary_, failed))
      throw input_error(target_.string(), "--out", "a place where a folder can be made", failed.message());
  }
  ~output_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(temporary_, ignored);
  }
  output_folder(output_folder const&) = delete;
  output_folder& operator=(output_folder const&) = delete;

  std::filesystem::path const& path() const { return temporary_; }
  void add(std::string const& name, std::string const& words) {
    write_bytes(temporary_ / name, std::as_bytes(std::span(words)));
  }

  // Renames the folder to its name; an earlier result makes room.
  void finish() {
    namespace fs = std::filesystem;
    std::error_code failed;
    fs::path old = temporary_;
    old += ".old";
    bool const replaces = fs::exists(target_, failed);
    if (replaces) fs::rename(target_, old, failed);
    if (!failed) fs::rename(temporary_, target_, failed);
    if (failed) {
      std::error_code ignored;
      if (replaces) fs::rename(old, target_, ignored);
      throw input_error(target_.string(), "--out", "a place where a folder can be renamed", failed.message());
    }
    fs::remove_all(old, failed);
  }

 private:
  bool replaceable() const {
    namespace fs = std::filesystem;
    std::error_code failed;
    return fs::is_directory(target_, failed) &&
           (fs::is_empty(target_, failed) || fs::exists(target_ / "result.json", failed));
  }
  std::filesystem::path target_, temporary_;
};

inline nlohmann::json to_json(scalar const& s) {
  return std::visit(
      [](auto x) -> nlohmann::json {
        if constexpr (std::is_same_v<decltype(x), double>) {  // JSON has no NaN: words instead of null
          if (x != x) return "nan";
          if (std::isinf(x)) return x > 0 ? "inf" : "-inf";
        }
        return x;
      },
      s);
}

// Arrays and result.json, complete or not at all. `extra` members join result.json.
inline void write_result(std::filesystem::path const& target, std::string const& scheme, outputs const& out,
                         nlohmann::json const& extra = nlohmann::json::object()) {
  output_folder folder(target);
  for (auto const& [name, a] : out.arrays) write_npy(folder.path() / (name + ".npy"), a);
  nlohmann::ordered_json result;
  result["scheme"] = scheme;
  result["describe"] = out.describe;
  result["values"] = nlohmann::ordered_json::object();
  for (auto const& [name, s] : out.scalars) result["values"][name] = to_json(s);
  for (auto const& [key, value] : extra.items()) result[key] = value;
  folder.add("result.json", result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  folder.finish();
}

}  // namespace moeroute_examples
