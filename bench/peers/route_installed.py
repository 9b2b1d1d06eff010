#!/usr/bin/env python3
"""route against the CPU operators of packages a user can install, side by side in one run.

usage: bench/peers/route_installed.py PATH/TO/bench_route [--rounds 5] [--out FILE.json]
Needs NumPy, and PyTorch (torch), ONNX Runtime (onnxruntime and onnx) or both; a peer that is not installed is left
out. Every peer's ids and weights are first compared with a reference in double on rows without near ties. Then the
programs take turns, each on one thread and then on two; a figure is the best of all rounds, in nanoseconds a token,
and the ratio is the peer over moeroute.
"""
import argparse
import functools
import importlib.util
import json
import subprocess
import time

import numpy as np

CASES = [("softmax_top_k", 4096, 8, 2), ("softmax_top_k", 4096, 64, 6), ("softmax_top_k", 4096, 128, 8),
         ("softmax_top_k", 1, 128, 8), ("softmax_top_k", 4096, 256, 8), ("softmax_top_k", 1024, 512, 10),
         ("deepseek_v3", 1, 256, 8), ("deepseek_v3", 256, 256, 8), ("deepseek_v3", 4096, 256, 8)]
GROUPS, KEPT_GROUPS, SCALE = 8, 4, 2.5


def rows(tokens, experts):
    random = np.random.default_rng(1)
    z = random.standard_normal((tokens, experts), np.float32)
    return z, (0.05 * random.standard_normal(experts)).astype(np.float32)


# ---- what is right ------------------------------------------------------------------------------------------------
def best(key, k):
    """The k best of each row, and whether order and membership are clear of rounding."""
    order = np.argsort(-key, axis=-1, kind="stable")
    value = np.take_along_axis(key, order, -1)[:, :k + 1]
    with np.errstate(invalid="ignore"):  # -inf beside -inf, behind the k
        return order[:, :k], (value[:, :-1] - value[:, 1:] > 1e-5 * np.abs(value[:, :-1])).all(-1)


def reference(name, z, bias, k):
    z = z.astype(np.float64)
    if name == "softmax_top_k":
        p = np.exp(z - z.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        ids, clear = best(p, k)
        return ids, np.take_along_axis(p, ids, -1), clear
    score = 1 / (1 + np.exp(-z))
    key = (score + bias).reshape(len(z), GROUPS, -1)
    kept, clear = best(np.sort(key, -1)[:, :, -2:].sum(-1), KEPT_GROUPS)
    is_open = np.zeros((len(z), GROUPS), bool)
    np.put_along_axis(is_open, kept, True, -1)
    ids, also = best(np.where(is_open[:, :, None], key, -np.inf).reshape(z.shape), k)
    weight = np.take_along_axis(score, ids, -1)
    return ids, weight / weight.sum(-1, keepdims=True) * SCALE, clear & also


def check(who, name, z, bias, k, weights, ids):
    right, weight, clear = reference(name, z, bias, k)
    if not clear.sum() >= 0.95 * len(z):
        raise SystemExit(f"{name} {z.shape}: only {clear.sum()} rows are clear of near ties")
    wrong = int((ids[clear] != right[clear]).any(-1).sum())
    if wrong or not np.allclose(weights[clear], weight[clear], rtol=1e-5):
        raise SystemExit(f"{who}, {name} {z.shape}, top {k}: {wrong} rows with other ids than the reference, "
                         "or other weights")


# ---- peers: for each block of rows a call without arguments that gives weights and ids -----------------------------
def torch_calls(name, blocks, bias, k, threads):
    import torch
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    bias = torch.from_numpy(bias)

    def softmax_top_k(z):
        return torch.topk(torch.softmax(z, -1), k)

    def deepseek_v3(z):
        score = z.sigmoid()
        key = (score + bias).view(len(z), GROUPS, -1)
        group = key.topk(2, -1)[0].sum(-1)
        closed = torch.ones_like(group, dtype=torch.bool).scatter_(1, group.topk(KEPT_GROUPS, -1)[1], False)
        ids = key.masked_fill(closed.unsqueeze(-1), float("-inf")).flatten(1).topk(k, -1)[1]
        weight = score.gather(1, ids)
        return weight / weight.sum(-1, keepdim=True) * SCALE, ids

    run = {"softmax_top_k": softmax_top_k, "deepseek_v3": deepseek_v3}[name]
    return [functools.partial(run, torch.from_numpy(z)) for z in blocks]


def onnx_calls(name, blocks, bias, k, threads):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx_graph(name, blocks[0].shape, bias, k), options,
                                           providers=["CPUExecutionProvider"])

    def bound(z):  # inputs and outputs stay where they are: no copy is timed
        binding = session.io_binding()
        held = [onnxruntime.OrtValue.ortvalue_from_numpy(x)
                for x in (z, np.empty((len(z), k), np.float32), np.empty((len(z), k), np.int64))]
        binding.bind_ortvalue_input("z", held[0])
        binding.bind_ortvalue_output("weights", held[1])
        binding.bind_ortvalue_output("ids", held[2])

        def call():
            session.run_with_iobinding(binding)
            return held[1:]

        return call

    return [bound(z) for z in blocks]


def onnx_graph(name, shape, bias, k):
    from onnx import TensorProto, helper, numpy_helper
    tokens, experts = shape
    constants, nodes = [], []

    def constant(label, value):
        constants.append(numpy_helper.from_array(np.asarray(value), label))
        return label

    def node(op, inputs, outputs, **attributes):
        nodes.append(helper.make_node(op, inputs, outputs, **attributes))

    if name == "softmax_top_k":
        node("Softmax", ["z"], ["p"], axis=-1)
        node("TopK", ["p", constant("k", [k])], ["weights", "ids"], axis=-1)
    else:
        node("Sigmoid", ["z"], ["score"])
        node("Add", ["score", constant("bias", bias)], ["biased"])
        node("Reshape", ["biased", constant("grouped", [tokens, GROUPS, experts // GROUPS])], ["key"])
        node("TopK", ["key", constant("two", [2])], ["pair", "pair_ids"], axis=-1)
        node("ReduceSum", ["pair", constant("last", [-1])], ["group"], keepdims=0)
        node("TopK", ["group", constant("kept", [KEPT_GROUPS])], ["kept_values", "kept_ids"], axis=-1)
        node("ScatterElements", [constant("all_closed", np.full((tokens, GROUPS), -np.inf, np.float32)), "kept_ids",
                                 constant("open", np.zeros((tokens, KEPT_GROUPS), np.float32))], ["closed"], axis=1)
        node("Unsqueeze", ["closed", "last"], ["closed_groups"])
        node("Add", ["key", "closed_groups"], ["open_keys"])
        node("Reshape", ["open_keys", constant("flat", [tokens, experts])], ["flat_keys"])
        node("TopK", ["flat_keys", constant("k", [k])], ["best", "ids"], axis=-1)
        node("GatherElements", ["score", "ids"], ["chosen"], axis=1)
        node("ReduceSum", ["chosen", "last"], ["total"], keepdims=1)
        node("Div", ["chosen", "total"], ["share"])
        node("Mul", ["share", constant("scale", np.float32(SCALE))], ["weights"])
    graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info("z", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("weights", TensorProto.FLOAT, (tokens, k)),
                               helper.make_tensor_value_info("ids", TensorProto.INT64, (tokens, k))], constants)
    # Version 8 of the format, operator set 17: read by every release of the last years.
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return model.SerializeToString()


PEERS = {"torch": torch_calls, "onnxruntime": onnx_calls}


def peer_arrays(peer, name, z, bias, k):
    call = PEERS[peer](name, [z], bias, k, 1)[0]
    return [x.numpy().copy() for x in call()]


def peer_ns(peer, name, tokens, experts, k, threads, seconds=0.4):
    """One token a call takes another row each time, as bench_route does."""
    z, bias = rows(509 if tokens == 1 else tokens, experts)
    calls = PEERS[peer](name, [z[t:t + tokens].copy() for t in range(0, len(z), tokens)], bias, k, threads)
    least, end = float("inf"), time.perf_counter() + seconds
    for call in calls:
        call()
    while time.perf_counter() < end:
        start = time.perf_counter()
        for call in calls:
            call()
        least = min(least, time.perf_counter() - start)
    return least / len(z) * 1e9


# ---- ours ---------------------------------------------------------------------------------------------------------
def ours_ns(program, name, tokens, experts, k, threads):
    label = f"{name}/{'one_thread' if threads == 1 else 'two_threads'}"
    label += f"/tokens:{tokens}/experts:{experts}/k:{k}/real_time"
    out = subprocess.run([program, f"--benchmark_filter=^{label}$", "--benchmark_format=json",
                          "--benchmark_repetitions=5", "--benchmark_min_time=0.08"], check=True, capture_output=True,
                         text=True).stdout
    times = [b["real_time"] for b in json.loads(out)["benchmarks"] if b["run_type"] == "iteration"]
    if not times:
        raise SystemExit(f"no benchmark {label} in {program}")
    return min(times) / tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name/tokens/experts/k contains this")
    parser.add_argument("--out")
    args = parser.parse_args()
    packages = {"torch": ["torch"], "onnxruntime": ["onnxruntime", "onnx"]}
    peers = [p for p in PEERS if all(map(importlib.util.find_spec, packages[p]))]
    cases = [c for c in CASES if args.only in "/".join(map(str, c))]
    if not peers:
        raise SystemExit("neither torch nor onnxruntime (with onnx) is installed")
    for name, tokens, experts, k in cases:
        z, bias = rows(max(tokens, 256), experts)
        for peer in peers:
            check(peer, name, z, bias, k, *peer_arrays(peer, name, z, bias, k))
    print(f"ids and weights are right: {', '.join(peers)}", flush=True)

    table = []
    for name, tokens, experts, k in cases:
        for threads in (1, 2) if tokens > 1 else (1,):
            ours, least = float("inf"), dict.fromkeys(peers, float("inf"))
            for _ in range(args.rounds):
                ours = min(ours, ours_ns(args.program, name, tokens, experts, k, threads))
                for peer in peers:
                    least[peer] = min(least[peer], peer_ns(peer, name, tokens, experts, k, threads))
            table.append({"router": name, "tokens": tokens, "experts": experts, "k": k, "threads": threads,
                          "moeroute_ns": ours, **{f"{p}_ns": t for p, t in least.items()}})
            print(f"{name:13} {tokens:4} x {experts}/{k:<2} {threads} thread(s): moeroute {ours:8.1f}"
                  + "".join(f"  {p} {t:8.1f} ({t / ours:.1f})" for p, t in least.items())
                  + " ns/token (ratio)", flush=True)
    if args.out:
        versions = {p: __import__(p).__version__ for p in peers}
        with open(args.out, "w") as file:
            json.dump({"versions": versions, "rows": table}, file, indent=1)


if __name__ == "__main__":
    main()
