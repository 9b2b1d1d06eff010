// Decides where every choice goes: the dispatch plan. In reading order.
#pragma once

#include <moeroute/plan/view.hpp>
#include <moeroute/plan/count.hpp>
#include <moeroute/plan/rank.hpp>
#include <moeroute/plan/make.hpp>
#include <moeroute/plan/capacity.hpp>
#include <moeroute/plan/queue.hpp>
#include <moeroute/plan/limited.hpp>
#include <moeroute/plan/kept_weights.hpp>
#include <moeroute/plan/routing_map.hpp>
#include <moeroute/plan/conversions.hpp>
#include <moeroute/plan/expert_parallel.hpp>
#include <moeroute/plan/refill.hpp>
#include <moeroute/plan/report.hpp>
#include <moeroute/plan/by_weight.hpp>
