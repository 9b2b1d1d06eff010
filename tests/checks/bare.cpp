// Compiles the whole CPU library with -fno-exceptions -fno-rtti.
#include <moeroute/moeroute.hpp>

int main() {}
