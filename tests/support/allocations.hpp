// Counts every operator new of the test program: verbs of the core must add none.
#pragma once

#include <atomic>

namespace allocations {
extern std::atomic<long> count;
}
