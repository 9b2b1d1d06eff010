#!/usr/bin/env python3
"""The table of the GPU benchmarks: time, floor, goal.

usage: bench/gpu_table.py bench_cuda_gate.json bench_cuda_move.json bench_cuda_train.json
Reads the JSON of Google Benchmark. A figure is the median of the repetitions in microseconds. The floor is the bytes a
call cannot do without over the bandwidth of the copy measured in the same run, and no less than an empty kernel; the
goals are for an H100.
"""
import json
import statistics
import sys

# (benchmark, goal in microseconds on an H100)
GOALS = {
    "gate/softmax_bf16_registers/tokens:1/experts:256/k:8/cold:0": 1.8,
    "gate/softmax_bf16_registers/tokens:16384/experts:128/k:8/cold:0": 5,
    "gate/softmax_bf16_registers/tokens:16384/experts:256/k:8/cold:0": 7,
    "gate/softmax_bf16_registers/tokens:16384/experts:512/k:10/cold:0": 14,
    "gate/v3_bf16_registers/tokens:1/experts:256/k:8/cold:0": 2.0,
    "gate/v3_bf16_registers/tokens:65536/experts:256/k:8/cold:1": 20,
    "gate/v3_fp32_registers/tokens:65536/experts:256/k:8/cold:1": 28,
    "gate/softmax_bf16_warp/tokens:4096/experts:384/k:8/cold:0": 10,
    "gate/softmax_bf16_warp/tokens:4096/experts:512/k:22/cold:0": 10,
    "gate/softmax_bf16_warp/tokens:4096/experts:896/k:16/cold:0": 10,
    "gate/softmax_bf16_warp/tokens:4096/experts:2048/k:32/cold:0": 10,
    "plan/tokens:4096": 4,
    "plan/tokens:65536": 8,
    "route_and_plan/tokens:4096": 7,
    "permute_bf16/tokens:32/width:7168": 4,
    "permute_bf16/tokens:4096/width:7168": 190,
    "permute_backward_bf16/tokens:4096/width:7168": 186,
    "combine_bf16/tokens:4096/width:7168": 186,
    "combine_backward_bf16/tokens:4096/width:7168": 360,
    "advantages/rewards:8192/group:8": 3,
    "advantages/rewards:8192/group:64": 3,
    "advantages/rewards:8192/group:8192": 3,
}
MICROSECONDS = {"ns": 1e-3, "us": 1, "ms": 1e3, "s": 1e6}


def read(paths):
    """Benchmark name -> (median microseconds, bytes a call)."""
    times, moved, skipped = {}, {}, 0
    for path in paths:
        with open(path) as file:
            for b in json.load(file)["benchmarks"]:
                if b.get("error_occurred"):
                    skipped += 1
                elif b.get("run_type") == "iteration":
                    name = "/".join(p for p in b["name"].split("/") if p != "manual_time" and not p.startswith("repeats"))
                    us = b["real_time"] * MICROSECONDS[b["time_unit"]]
                    times.setdefault(name, []).append(us)
                    moved[name] = b.get("bytes_per_second", 0) * us * 1e-6
    return {n: (statistics.median(t), moved[n], max(t) / min(t)) for n, t in times.items()}, skipped


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    found, skipped = read(sys.argv[1:])
    if not found:
        raise SystemExit(f"SKIPPED: {skipped} benchmarks of a GPU found no device")
    copies = [b / us for n, (us, b, _) in found.items() if n.startswith("moeroute_bench::limit_copy")]
    launch = min((us for n, (us, _, _) in found.items() if n.startswith("moeroute_bench::limit_launch")), default=0)
    rate = max(copies) if copies else None  # bytes a microsecond
    print(f"copy {rate / 1e6:.2f} TB/s (read and written); a launch in a graph {launch:.2f} us" if rate else "no limit measured")
    print("| work | us | spread | floor (us) | times the floor | goal on an H100 (us) |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, (us, moved, spread) in found.items():
        if "limit_" in name:
            continue
        floor = max(moved / rate, launch) if rate else None
        goal = GOALS.get(name)
        met = "" if goal is None or us <= goal else " (not met)"
        print(f"| {name} | {us:.2f} | {spread:.2f} | {'-' if floor is None else f'{floor:.2f}'} | "
              f"{'-' if not floor else f'{us / floor:.1f}'} | {'-' if goal is None else goal}{met} |")
    for tokens in (4096, 16384, 65536):
        where = f"/tokens:{tokens}/experts:256/k:8/cold:0"
        plain, drawn = (found.get("gate/" + n + where) for n in ("softmax_bf16_warp", "drawn_bf16_warp"))
        if plain and drawn:
            print(f"drawn over plain, {tokens} tokens: {drawn[0] / plain[0]:.2f}  (goal 1.5)")
        one, again = (found.get("gate/softmax_bf16_registers" + n + where) for n in ("", "_again"))
        if one and again:
            print(f"a contender against itself, {tokens} tokens: {one[0] / again[0]:.3f}")


if __name__ == "__main__":
    main()
