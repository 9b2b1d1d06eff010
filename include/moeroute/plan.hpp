// Decides where every choice goes: the dispatch plan. In reading order.
#pragma once

#include <moeroute/plan/view.hpp>
#include <moeroute/plan/count.hpp>
#include <moeroute/plan/make.hpp>
#include <moeroute/plan/routing_map.hpp>
