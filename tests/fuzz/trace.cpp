// Decides whether any bytes can hurt the trace reader: layers, or an input_error.
#include <cstdlib>
#include <unistd.h>

#include "support/load_statistics.hpp"
#include "support/trace.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace moeroute_examples;
  static auto const folder = [] {
    auto const p = std::filesystem::temp_directory_path() / ("moeroute_fuzz_trace" + std::to_string(getpid()));
    std::filesystem::create_directories(p);
    write_npy(p / "i.npy", array::of(std::vector<std::int32_t>{0, 1, 2, 3, 0, -1}, {3, 2}));
    write_npy(p / "w.npy", array::of(std::vector<float>{1, 0, .5f, .5f, 1, 0}, {3, 2}));
    write_npy(p / "m.npy", array::of(std::vector<std::int32_t>{0, 1, 1}, {3}));
    return p;
  }();
  write_bytes(folder / "trace.jsonl", std::as_bytes(std::span(data, size)));
  try {
    for (auto const& l : load_trace(folder)) {
      auto const s = statistics_of(l.ids, l.weights, l.modality, l.experts);
      if (!(s.summary.cv >= 0)) std::abort();
    }
  } catch (input_error const& e) {
    if (std::string_view(e.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
