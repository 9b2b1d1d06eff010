#!/usr/bin/env python3
"""route against PyTorch's CPU operators for the same routers, side by side in one run.

usage: bench/peers/route_torch.py PATH/TO/bench_route [--rounds 5] [--out FILE.json]
Needs the PyTorch package. The two programs take turns, each on one thread and then on two; a figure is the
best of all rounds, in nanoseconds a token, and the ratio is PyTorch over moeroute.
"""
import argparse
import json
import subprocess
import time

import torch

TOKENS = 4096
CASES = [("softmax_top_k", 64, 6), ("softmax_top_k", 128, 8), ("softmax_top_k", 256, 8), ("deepseek_v3", 256, 8)]


def softmax_top_k(z, k, _bias):
    return torch.topk(torch.softmax(z, -1), k)


def deepseek_v3(z, k, bias):
    score = z.sigmoid()
    key = score + bias
    group = key.view(TOKENS, 8, -1).topk(2, -1)[0].sum(-1)
    closed = torch.ones_like(group, dtype=torch.bool).scatter_(1, group.topk(4, -1)[1], False)
    key = key.view(TOKENS, 8, -1).masked_fill(closed.unsqueeze(-1), float("-inf")).flatten(1)
    ids = key.topk(k, -1)[1]
    weight = score.gather(1, ids)
    return ids, weight / weight.sum(-1, keepdim=True) * 2.5


def torch_ns(name, experts, k, threads, seconds=0.5):
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(TOKENS, experts, generator=generator)
    bias = 0.05 * torch.randn(experts, generator=generator)
    run = globals()[name]
    best, end = float("inf"), time.perf_counter() + seconds
    with torch.inference_mode():
        run(z, k, bias)
        while time.perf_counter() < end:
            start = time.perf_counter()
            run(z, k, bias)
            best = min(best, time.perf_counter() - start)
    return best / TOKENS * 1e9


def ours_ns(program, name, experts, k, threads):
    label = f"{name}/{'one_thread' if threads == 1 else 'two_threads'}"
    label += f"/tokens:{TOKENS}/experts:{experts}/k:{k}/real_time"
    out = subprocess.run([program, f"--benchmark_filter=^{label}$", "--benchmark_format=json", "--benchmark_repetitions=5",
                          "--benchmark_min_time=0.1"], check=True, capture_output=True, text=True).stdout
    times = [b["real_time"] for b in json.loads(out)["benchmarks"] if b["run_type"] == "iteration"]
    if not times:
        raise SystemExit(f"no benchmark {label} in {program}")
    return min(times) / TOKENS


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out")
    args = parser.parse_args()
    rows = []
    for name, experts, k in CASES:
        for threads in (1, 2):
            ours = peer = float("inf")
            for _ in range(args.rounds):
                ours = min(ours, ours_ns(args.program, name, experts, k, threads))
                peer = min(peer, torch_ns(name, experts, k, threads))
            rows.append({"router": name, "tokens": TOKENS, "experts": experts, "k": k, "threads": threads,
                         "moeroute_ns": ours, "torch_ns": peer, "ratio": peer / ours})
            print(f"{name:14} {TOKENS} x {experts}/{k:<2} {threads} thread(s): moeroute {ours:8.1f}  torch {peer:8.1f} ns/token  ratio {peer / ours:5.1f}", flush=True)
    if args.out:
        with open(args.out, "w") as file:
            json.dump({"torch": torch.__version__, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
