// Decides whether any bytes can hurt the case.json reader and its getters: a value, or an input_error.
#include <cstdlib>

#include "support/compare.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace moeroute_examples;
  auto const tried = [](auto&& f) {
    try {
      f();
    } catch (input_error const& e) {
      if (std::string_view(e.what()).find('\n') != std::string_view::npos) std::abort();
    }
  };
  tried([&] {
    auto const c = case_file::parse({reinterpret_cast<char const*>(data), size}, "/nonexistent/case.json");
    for (char const* name : {"k", "T", "scale", "renormalize", "score"}) {
      tried([&] {
        auto const n = c.integer(name, 1, 64);
        if (n < 1 || n > 64) std::abort();
      });
      tried([&] { c.number(name); });
      tried([&] { c.flag(name); });
      tried([&] { c.words(name); });
      tried([&] { c.same(name, 8); });
    }
    for (char const* name : {"logits", "bias", "ids"}) {
      tried([&] { c.floats<float>(name, {any, any}, nan::forbidden); });
      tried([&] { c.integers<std::int32_t>(name, {any}, 0, 9); });
    }
    outputs out;
    out.number("loss", 1), out.integer("k", 2), out.flag("on", true);
    out.add("ids", std::vector<int>{1, 2}, {2});
    tried([&] { compare_case(c, out); });
  });
  return 0;
}
