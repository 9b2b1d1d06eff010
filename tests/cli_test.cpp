// Decides whether the program moeroute keeps its word: exit codes 0 to 3, one line of complaint that names
// file and field, and no output folder unless it is complete.
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "../examples/support/case_file.hpp"

#if defined(MOEROUTE_CLI) && defined(MOEROUTE_GOLDEN_DIR)

namespace {

namespace fs = std::filesystem;
using namespace moeroute_examples;

struct folder {
  fs::path path =
      fs::temp_directory_path() / ("moeroute_cli_" + std::to_string(reinterpret_cast<std::uintptr_t>(this)));
  folder() { fs::remove_all(path), fs::create_directories(path); }
  ~folder() { fs::remove_all(path); }
  folder(folder const&) = delete;
  std::string at(std::string const& name) const { return (path / name).string(); }
};
struct answer {
  int code = 0;
  std::string out, complaint;
};
std::string words_in(fs::path const& p) {
  std::ifstream in(p);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}
answer ask(folder const& f, std::string const& arguments) {
  auto const command = std::string("\"") + MOEROUTE_CLI + "\" " + arguments + " > \"" + f.at("stdout") + "\" 2> \"" +
                       f.at("stderr") + "\"";
  int const s = std::system(command.c_str());
  return {s % 256 == 0 ? s / 256 : -s, words_in(f.at("stdout")), words_in(f.at("stderr"))};
}
bool mentions(std::string const& words, std::string const& part) { return words.find(part) != std::string::npos; }
int lines(std::string const& words) { return static_cast<int>(std::count(words.begin(), words.end(), '\n')); }

std::string const golden = std::string(MOEROUTE_GOLDEN_DIR) + "/";
std::string const good_case = golden + "04_deepseek_v3/t7_e8_k2";

// A copy of a case whose case.json is changed.
template <class F>
std::string with_change(folder const& f, std::string const& from, F&& edit) {
  fs::copy(from, f.path / "case", fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  auto j = nlohmann::json::parse(words_in(f.path / "case/case.json"));
  edit(j);
  std::ofstream(f.path / "case/case.json") << j.dump();
  return f.at("case");
}
// Bad input: code 2, one line that mentions these words, nothing written.
void refused(folder const& f, std::string const& arguments, std::initializer_list<std::string> parts, int code = 2) {
  auto const a = ask(f, arguments + " --out \"" + f.at("out") + "\"");
  CAPTURE(arguments);
  CAPTURE(a.complaint);
  CHECK(a.code == code);
  CHECK(lines(a.complaint) == 1);
  for (auto const& part : parts) CHECK(mentions(a.complaint, part));
  CHECK_FALSE(fs::exists(f.path / "out"));
  for (auto const& e : fs::directory_iterator(f.path)) CHECK_FALSE(mentions(e.path().filename().string(), ".part"));
}

}  // namespace

TEST_CASE("command line: route writes arrays and result.json, and reproduces what the case expects") {
  folder const f;
  auto const out = f.at("out");
  CHECK(ask(f, "route \"" + good_case + "\" --out \"" + out + "\"").code == 0);
  CHECK(read_npy(out + "/ids.npy").bytes == read_npy(good_case + "/ids.npy").bytes);
  CHECK(read_npy(out + "/weights.npy").type == dtype::f4);
  CHECK(read_npy(out + "/weights_f64.npy").type == dtype::f8);
  auto const j = nlohmann::json::parse(words_in(out + "/result.json"));
  CHECK(j["scheme"] == "deepseek_v3");
  CHECK(mentions(j["describe"].get<std::string>(), "sigmoid"));
  CHECK(j["values"].is_object());
  // case.json itself is as good as its folder; an earlier result is replaced.
  CHECK(ask(f, "route \"" + good_case + "/case.json\" --executor lockstep:4 --out \"" + out + "\"").code == 0);
  CHECK(read_npy(out + "/ids.npy").bytes == read_npy(good_case + "/ids.npy").bytes);
}

TEST_CASE("command line: bad input is code 2 and one line with file, field, expected and found") {
  folder const f;
  auto const route = [&](std::string const& where) { return "route \"" + where + "\""; };
  auto const with = [&](auto&& change) { return route(with_change(f, good_case, change)); };
  refused(f, route(f.at("none")), {"none", "a file that can be read"});
  refused(f, with([](auto& j) { j["params"]["k"] = 9; }), {"case.json", "params.k", "found 9"});
  refused(f, with([](auto& j) { j["params"]["k"] = "two"; }), {"params.k", "two"});
  refused(f, with([](auto& j) { j["params"]["groups"] = 3; }), {"params.groups", "divisor"});
  refused(f, with([](auto& j) { j["params"]["T"] = 8; }), {"params.T", "expected 7", "found 8"});
  refused(f, with([](auto& j) { j["params"].erase("k"); }), {"params.k", "none"});
  refused(f, with([](auto& j) { j["inputs"].erase("bias"); }), {"inputs.bias"});
  refused(f, with([](auto& j) { j["inputs"]["logits"] = "gone.npy"; }), {"gone.npy"});
  refused(f, with([](auto& j) { j["inputs"]["bias"] = "logits.npy"; }), {"logits.npy", "shape", "(8,)", "(7, 8)"});
  refused(f, with([](auto& j) { j["inputs"]["logits"] = "ids.npy"; }), {"ids.npy", "dtype", "<i4"});
  refused(f, with([](auto& j) { j["scheme"] = 4; }), {"scheme"});
  auto const where = with_change(f, good_case, [](auto&) {});
  auto bias = read_npy(where + "/bias.npy").values<float>();
  bias[3] = NAN;
  write_npy(where + "/bias.npy", array::of(bias, {8}));
  refused(f, route(where), {"bias.npy", "no NaN", "index 3"});
  std::ofstream(where + "/case.json") << "{\"scheme\": ";
  refused(f, route(where), {"case.json", "well-formed JSON"});
  refused(f, route(good_case) + " --executor gpu", {"--executor", "gpu"});
  refused(f, "route", {"route"});
  refused(f, route(good_case) + " --frobnicate", {"frobnicate"});
}

TEST_CASE("command line: every prefix of an array file is refused by name") {
  folder const f;
  auto const where = with_change(f, good_case, [](auto&) {});
  auto const whole = read_bytes(where + "/logits.npy");
  for (std::size_t const n : {std::size_t{0}, std::size_t{5}, std::size_t{9}, std::size_t{60}, whole.size() - 1}) {
    write_bytes(where + "/logits.npy", std::span(whole).first(n));
    refused(f, "route \"" + where + "\"", {"logits.npy"});
  }
}

TEST_CASE("command line: unknown names are code 3 and come with the nearest") {
  folder const f;
  refused(f, "route \"" + with_change(f, good_case, [](auto& j) { j["scheme"] = "deepsek_v3"; }) + "\"",
          {"deepsek_v3", "deepseek_v3"}, 3);
  refused(f, "route --preset mixtrel --logits \"" + good_case + "/logits.npy\"", {"mixtrel", "mixtral"}, 3);
}

TEST_CASE("command line: a folder that is no earlier result is left alone") {
  folder const f;
  fs::create_directories(f.path / "mine");
  std::ofstream(f.path / "mine/notes.txt") << "keep";
  CHECK(ask(f, "route \"" + good_case + "\" --out \"" + f.at("mine") + "\"").code == 2);
  CHECK(words_in(f.path / "mine/notes.txt") == "keep");
  fs::create_directories(f.path / "empty");
  CHECK(ask(f, "route \"" + good_case + "\" --out \"" + f.at("empty") + "\"").code == 0);
}

TEST_CASE("command line: a preset routes logits and writes a plan") {
  folder const f;
  auto const out = f.at("out");
  std::string const logits = golden + "02_softmax_topk_renorm/t33_e64_k6/logits.npy";
  REQUIRE(ask(f, "route --preset qwen3_moe --k 6 --align 4 --logits \"" + logits + "\" --out \"" + out + "\"").code ==
          0);
  CHECK(read_npy(out + "/ids.npy").bytes == read_npy(golden + "02_softmax_topk_renorm/t33_e64_k6/ids.npy").bytes);
  auto const offsets = read_npy(out + "/offsets.npy").values<std::int64_t>(),
             slots = read_npy(out + "/slot_of_choice.npy").values<std::int64_t>();
  auto const tokens = read_npy(out + "/token_of_slot.npy").values<std::int64_t>(),
             ids = read_npy(out + "/ids.npy").values<std::int64_t>();
  REQUIRE(offsets.size() == 65);
  for (std::size_t c = 0; c < slots.size(); ++c) {
    auto const e = static_cast<std::size_t>(ids[c]);
    CHECK(slots[c] >= offsets[e]);
    CHECK(slots[c] < offsets[e + 1]);
    CHECK(tokens[static_cast<std::size_t>(slots[c])] == static_cast<std::int64_t>(c / 6));
  }
  for (auto const o : offsets) CHECK(o % 4 == 0);
  REQUIRE(ask(f, "route --preset qwen3_moe --k 6 --capacity-factor 0.5 --logits \"" + logits + "\" --out \"" +
                     f.at("few") + "\"")
              .code == 0);
  auto const few = nlohmann::json::parse(words_in(f.path / "few/result.json"))["values"];
  CHECK(few["rows"].get<int>() + few["dropped"].get<int>() == 33 * 6);
  CHECK(few["dropped"].get<int>() > 0);
  auto const weights = read_npy(f.at("few") + "/weights.npy").values<float>();
  auto const kept = read_npy(f.at("few") + "/slot_of_choice.npy").values<int>();
  for (std::size_t c = 0; c < kept.size(); ++c) CHECK((kept[c] == -2) == (weights[c] == 0));
  CHECK(ask(f, "stats \"" + out + "\"").code == 0);
  for (std::string const name :
       {"kimi_k3", "longcat_flash", "v_moe", "expert_threshold", "dynamic_routing", "dynmole", "remoe"}) {
    CAPTURE(name);
    CHECK(ask(f, "route --preset " + name + " --logits \"" + logits + "\" --out \"" + f.at(name) + "\"").code == 0);
  }
  CHECK(mentions(ask(f, "diff \"" + out + "\" \"" + out + "\"").out, "100.0 %"));
  CHECK(ask(f, "plot \"" + out + "\" --out \"" + f.at("x.svg") + "\"").code == 0);
  CHECK(words_in(f.at("x.svg")).starts_with("<svg"));
}

TEST_CASE("command line: check compares, and fails when something differs") {
  folder const f;
  auto const where = with_change(f, good_case, [](auto&) {});
  CHECK(mentions(ask(f, "check \"" + where + "\"").out, "1 passed, 0 failed, 0 unsupported"));
  auto ids = read_npy(where + "/ids.npy");
  ids.bytes[0] ^= std::byte{1};
  write_npy(where + "/ids.npy", ids);
  auto const a = ask(f, "check \"" + where + "\"");
  CHECK(a.code == 1);
  CHECK(mentions(a.out, "FAIL"));
  CHECK(mentions(a.out, "ids: "));
  auto const odd = with_change(f, good_case, [](auto& j) { j["scheme"] = "no_such"; });
  auto const b = ask(f, "check \"" + odd + "\"");
  CHECK(b.code == 0);
  CHECK(mentions(b.out, "0 passed, 0 failed, 1 unsupported"));
  CHECK(ask(f, "check --complete \"" + odd + "\"").code == 1);
}

TEST_CASE("command line: margins are those of the softmax of the logits") {
  folder const f;
  write_npy(f.path / "ids.npy", array::of(std::vector<std::int32_t>{0, 1, 1}, {3, 1}));
  // Chosen: e^2 of e^2 + 1, half of two, and the weaker of the two.
  write_npy(f.path / "z.npy", array::of(std::vector<float>{2, 0, 1, 1, 2, 0}, {3, 2}));
  std::ofstream(f.path / "x.jsonl") << "{\"layer\": 0, \"experts\": 2, \"ids\": \"ids.npy\", \"logits\": \"z.npy\"}\n";
  auto const a = ask(f, "stats \"" + f.at("x.jsonl") + "\"");
  CHECK(a.code == 0);
  CHECK(mentions(a.out, "-0.762"));  // (1 - e^2) / (1 + e^2), to 2^-12
}

TEST_CASE("command line: traces of several layers and steps") {
  folder const f;
  write_npy(f.path / "a.npy", array::of(std::vector<std::int32_t>{0, 1, 2, 3}, {2, 2}));
  write_npy(f.path / "b.npy", array::of(std::vector<std::int32_t>{0, 1, 2, 0}, {2, 2}));
  std::ofstream(f.path / "x.jsonl")
      << "{\"layer\": 0, \"experts\": 4, \"ids\": \"a.npy\"}\n{\"layer\": 1, \"experts\": 4, \"ids\": \"b.npy\"}\n"
         "{\"layer\": 0, \"experts\": 4, \"ids\": \"b.npy\"}\n";
  auto const a = ask(f, "stats \"" + f.at("x.jsonl") + "\"");
  CHECK(a.code == 0);
  CHECK(lines(a.out) == 4);
  for (std::string const bad :
       {"{\"layer\": 0}", "{\"layer\": 0, \"experts\": 2, \"ids\": \"a.npy\"}", "[]", "{", ""}) {
    std::ofstream(f.path / "y.jsonl") << bad << "\n";
    auto const b = ask(f, "stats \"" + f.at("y.jsonl") + "\"");
    CAPTURE(bad);
    CHECK(b.code == 2);
    CHECK(mentions(b.complaint, "y.jsonl"));
  }
}

TEST_CASE("command line: schemes and info answer") {
  folder const f;
  CHECK(mentions(ask(f, "schemes").out, "softmax_topk"));
  CHECK(nlohmann::json::parse(ask(f, "schemes --json").out).is_array());
  CHECK(mentions(ask(f, "info").out, "compiler"));
  CHECK(ask(f, "--help").code == 0);
  CHECK(ask(f, "").code == 2);
}

#endif
