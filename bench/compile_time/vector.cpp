// The baseline: a unit that uses the standard library and not us.
#include <vector>

int size(std::vector<int> const& v) { return static_cast<int>(v.size()); }
