#!/usr/bin/env python3
"""The tables of ratios beside their goals, and a picture of how far each goal is met.

usage: bench/ratios.py bench_*.json [--svg FILE.svg]
Reads the JSON files of Google Benchmark, each called after its program. A time is the best repetition; a row is
compared with a peer or a limit of the same program, so of the same run: where the two take turns, by the median of their
ratio, else by their times. Two threads beside one: the best repetition, for whatever else runs takes from two alone.
Routers: nanoseconds a token, beside the fastest peer put together from public parts.
"""
import argparse
import json
import pathlib
import statistics

# (our benchmark, its peers, tokens, experts, k, goal as a ratio over the peer)
ROWS = [
    ("softmax_top_k", "softmax_by", 4096, 8, 2, 7.0),
    ("softmax_top_k", "softmax_by", 4096, 64, 6, 2.4),
    ("softmax_top_k", "softmax_by", 4096, 128, 8, 3.2),
    ("softmax_top_k", "softmax_by", 1, 128, 8, 2.4),
    ("softmax_top_k", "softmax_by", 4096, 256, 8, 4.5),
    ("softmax_top_k", "softmax_by", 1024, 512, 10, 4.5),
    ("softmax_top_k", "softmax_by", 1024, 512, 22, None),
    ("deepseek_v3", "deepseek_v3_by", 1, 256, 8, 5.0),
    ("deepseek_v3", "deepseek_v3_by", 256, 256, 8, 5.0),
    ("deepseek_v3", "deepseek_v3_by", 4096, 256, 8, 5.0),
]
# (work, program, ours, its peer or limit, goal): speed over the peer, at least; goals below 0 are most times the peer's time.
COMPARED = [
    ("plan, 32768 choices of 256", "plan", "dropless64/serial/256", "counting_sort<offset_t>/256", 1.0),
    ("the same, 32-bit slots", "plan", "dropless32/serial/256", "counting_sort<std::int32_t>/256", 1.0),
    ("route with its plan, 256/8", "plan", "routed/fused_plan/256", "routed/then_counting_sort/256", 1.0),
    *[(f"{work} {kind} {width}, {what}", "permute", f"{verb}/{kind}/one/{width}", f"{limit}/{kind}/one/{width}", goal)
      for work, verb, goal, limits in (
          ("gather", "permute", 0.95, (("write limit", "limit_write"), ("write and read", "limit_write_and_read"))),
          ("combine", "combine", 0.85, (("read limit", "limit_read"), ("read and write", "limit_read_and_write"))))
      for kind in ("fp32", "bf16") for width in (2048, 7168) for what, limit in limits],
    *[(f"{work} {kind} {width}, two threads", "permute", f"{verb}/{kind}/two/{width}", f"{verb}/{kind}/one/{width}", 1.7)
      for work, verb in (("gather", "permute"), ("combine", "combine"))
      for kind in ("fp32", "bf16") for width in (2048, 7168)],
    ("expert choice 4096 x 64, 128", "assign", "choose_by_position/4096/64/128", "nth_element_of_columns/4096/64/128",
     -0.75),
    ("expert choice, two threads", "assign", "choose_after_softmax_two_threads/4096/64/128",
     "choose_after_softmax/4096/64/128", 1.7),
    ("Sinkhorn 4096 x 64, 8 rounds", "assign", "sinkhorn_rounds/4096/64", "sinkhorn_by_eigen/4096/64", -0.8),
    ("auction 4096 x 64", "assign", "balanced/4096/64", "fairseq (built outside)", None),
    ("auction 1024 x 16", "assign", "balanced/1024/16", "fairseq (built outside)", None),
    ("Gumbel top-k 4096 x 128/8", "grpo", "routed/gumbel_top_k/experts:128/k:8",
     "routed/plain_top_k/experts:128/k:8", -1.5),
    *[(f"advantages, groups of {n}", "grpo", f"advantages/group:{n}", "sums_of_groups/group:8192", -2.0)
      for n in (8, 64, 8192)],
]
LIMITS = [("read", "bytes_per_second", "GB/s"), ("write", "bytes_per_second", "GB/s"),
          ("copy", "bytes_per_second", "GB/s"), ("exp", "items_per_second", "G/s"), ("fma", "items_per_second", "G/s")]
NANOSECONDS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
KINDS = ["ties", "constant", "ascending", "descending", "some_nan", "some_infinite"]


def program(path):
    return pathlib.Path(path).stem.removeprefix("bench_")


def read(path, figure, best=min):
    """Benchmark name without its suffixes -> the best figure of its repetitions."""
    suffixes = ("real_time", "manual_time", "repeats", "iterations")
    found = {}
    with open(path) as file:
        for b in json.load(file)["benchmarks"]:
            if b.get("run_type") == "iteration" and (x := figure(b)) is not None:
                name = "/".join(p for p in b["name"].split("/") if not p.startswith(suffixes))
                found.setdefault(name, []).append(x)
    return {name: best(figures) for name, figures in found.items()}


def ratios(path):
    """Of those that take turns: how many times as long the other takes."""
    every = read(path, lambda b: b.get("ratio"), list)
    return {name: (max if "/two" in name else statistics.median)(found) for name, found in every.items()}


def nanoseconds(b):
    return b["real_time"] * NANOSECONDS[b["time_unit"]]


def nanoseconds_an_item(b):
    return 1e9 / b["items_per_second"] if "items_per_second" in b else None


def at(tokens, experts, k):
    return f"/tokens:{tokens}/experts:{experts}/k:{k}"


def table(best, in_turns):
    rows = []
    for ours, peers, tokens, experts, k, goal in ROWS:
        where = at(tokens, experts, k)
        if f"{ours}/one_thread{where}" not in best:
            continue
        one = best[f"{ours}/one_thread{where}"]
        found = {n.split("/")[1]: t for n, t in best.items() if n.startswith(peers + "/") and n.endswith(where)}
        peer = min(found, key=found.get) if found else None
        rows.append({
            "work": f"{ours} {tokens} x {experts} / {k}", "ns": one, "peer": peer, "peer_ns": found.get(peer),
            "ratio": found[peer] / one if peer else None, "goal": goal, "two": in_turns.get(f"{ours}/two_beside_one{where}"),
            "plain": best.get(f"{ours}/plain_path{where}"), "read": best.get(f"limit_read{where}"),
            "exp": best.get(f"limit_exp{where}"),
        })
    return rows


def compared(files):
    rows = []
    times = {name: read(path, nanoseconds) for name, path in files.items()}
    in_turns = {name: ratios(path) for name, path in files.items()}
    for work, where, ours, peer, goal in COMPARED:
        one, other = times.get(where, {}).get(ours), times.get(where, {}).get(peer)
        if one is None:
            continue
        what, _, rest = ours.partition("/")
        ratio = in_turns[where].get(f"{what}_beside_{peer.partition('/')[0]}/{rest}", other / one if other else None)
        inverse = ratio is not None and goal is not None and goal < 0
        rows.append({"work": work, "ns": one, "peer": peer, "peer_ns": other, "goal": goal,
                     "ratio": 1 / ratio if inverse else ratio})
    return rows


def attained(r):
    """1 where the goal is just met, more where it is passed."""
    if r["ratio"] is None or r["goal"] is None:
        return None
    return r["ratio"] / r["goal"] if r["goal"] > 0 else -r["goal"] / r["ratio"]


def cell(x, digits=1):
    return "-" if x is None else f"{x:.{digits}f}"


def print_table(rows):
    print("| work | ns/token | best composed | its ns/token | ratio | goal | two threads | plain path | read | exp |")
    print("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|")
    for r in rows:
        met = "" if attained(r) is None else " (met)" if attained(r) >= 1 else " (not met)"
        print(f"| {r['work']} | {cell(r['ns'])} | {r['peer'] or '-'} | {cell(r['peer_ns'])} | {cell(r['ratio'])} | "
              f"{cell(r['goal'])}{met} | {cell(r['two'], 2)} | {cell(r['plain'], 0)} | {cell(r['read'])} | {cell(r['exp'])} |")


def print_others(best):
    for name, where in (("softmax_of", at(4096, 128, 8)), ("deepseek_v3_of", at(4096, 256, 8))):
        normal = best.get(f"{name}/normal{where}")
        if normal:
            ratios = ((kind, best.get(f"{name}/{kind}{where}")) for kind in KINDS)
            print(f"{name}: time over that of normal rows: " +
                  ", ".join(f"{kind} {t / normal:.2f}" for kind, t in ratios if t) + "  (bar 1.3; constant 3.5)")
    where = at(4096, 128, 8)
    for ours, user in (("softmax_top_k/one_thread", "user_softmax"), ("sigmoid_top_k", "user_sigmoid")):
        if ours + where in best and user + where in best:
            print(f"{user}: {best[ours + where] / best[user + where]:.2f} of the built-in's speed  (bar 0.8)")


def print_compared(rows):
    print("| work | ns | beside it | its ns | ratio | goal | |")
    print("|---|--:|---|--:|--:|--:|---|")
    for r in rows:
        goal = "-" if r["goal"] is None else f"at least {r['goal']}" if r["goal"] > 0 else f"at most {-r['goal']}"
        met = "" if attained(r) is None else "met" if attained(r) >= 1 else "not met"
        print(f"| {r['work']} | {cell(r['ns'], 0)} | {r['peer']} | {cell(r['peer_ns'], 0)} | {cell(r['ratio'], 2)} | "
              f"{goal} | {met} |")


def print_limits(path):
    for what, key, unit in LIMITS:
        best = read(path, lambda b: b.get(key), max)
        rates = [f"{best[name] / 1e9:.1f}" for name in (f"{what}/one", f"{what}/two") if name in best]
        if rates:
            print(f"limit: {what} {' and '.join(rates)} {unit} on one thread and two")


def draw(rows, path):
    """Bars: how far each goal is met; a line where it just is."""
    rows = [r for r in rows if attained(r)]
    left, scale, step, most = 300, 220, 20, 3.0
    width, height = left + int(most * scale) + 130, step * len(rows) + 60
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="10" y="22" font-size="15">Goals: bars that reach the line meet theirs (ratio, and the goal)</text>']
    for i, r in enumerate(rows):
        y, bar = 36 + i * step, min(attained(r), most) * scale
        color = "#3b6ea5" if attained(r) >= 1 else "#d08a3c"
        out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{r["work"]}</text>')
        out.append(f'<rect x="{left}" y="{y}" width="{bar:.1f}" height="15" fill="{color}"/>')
        out.append(f'<text x="{left + bar + 6:.1f}" y="{y + 12}">{r["ratio"]:.2f} ({abs(r["goal"]):g})</text>')
    x, end = left + scale, 36 + step * len(rows)
    out.append(f'<line x1="{x}" y1="30" x2="{x}" y2="{end}" stroke="#c0392b" stroke-width="2"/></svg>')
    with open(path, "w") as file:
        file.write("\n".join(out) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", nargs="+")
    parser.add_argument("--svg")
    args = parser.parse_args()
    files = {program(path): path for path in args.json}
    routers = []
    if "route" in files:
        best = read(files["route"], nanoseconds_an_item)
        routers = table(best, ratios(files["route"]))
        print_table(routers)
        print_others(best)
    others = compared(files)
    if others:
        print_compared(others)
    if "limits" in files:
        print_limits(files["limits"])
    if not routers and not others:
        raise SystemExit("no benchmark with a goal in " + " ".join(args.json))
    if args.svg:
        draw(routers + others, args.svg)
        print("picture: " + args.svg)


if __name__ == "__main__":
    main()
