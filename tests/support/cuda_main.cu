#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <support/device.hpp>

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  int const result = context.run();
  if (result != 0 || context.shouldExit()) return result;
  return moeroute_test::device_was_missed() ? 77 : 0;
}
