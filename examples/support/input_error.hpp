// Decides how an example says that what it was given is wrong: one line that names the file, the field,
// what was expected and what was found. Namespace of everything below examples/: moeroute_examples.
#pragma once

#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>

namespace moeroute_examples {

// Keeps a message on one line and short, whatever bytes it quotes.
inline std::string one_line(std::string const& words, std::size_t most = 160) {
  std::string out;
  for (char const c : words) {
    if (out.size() >= most) return out + "...";
    auto const byte = static_cast<unsigned char>(c);
    out += byte < 32 || byte == 127 ? '?' : c;
  }
  return out;
}

// Bad input: exit code 2 of the command line program.
class input_error : public std::runtime_error {
 public:
  input_error(std::string const& file, std::string const& field, std::string const& expected, std::string const& found)
      : std::runtime_error(one_line(file) + ": " + one_line(field) + ": expected " + one_line(expected, 240) +
                           ", found " + one_line(found, 240)) {}
};

// A scheme or preset that is not registered: exit code 3.
class unknown_name : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Numbers in messages: short, and a reader can type them back.
inline std::string in_words(double x) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.9g", x);
  return buffer;
}

}  // namespace moeroute_examples
