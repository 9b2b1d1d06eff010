// The include alone: what a unit pays that only mentions our types.
#include <moeroute/moeroute.hpp>
