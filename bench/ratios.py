#!/usr/bin/env python3
"""The table of ratios of bench_route, and a picture of it.

usage: bench/ratios.py bench_route.json [--svg FILE.svg]
Reads the JSON of Google Benchmark. A figure is the best repetition in nanoseconds a token; the peer is the fastest
of those put together from public parts in the same run.
"""
import argparse
import json

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
KINDS = ["ties", "constant", "ascending", "descending", "some_nan", "some_infinite"]


def read(path):
    """Benchmark name without its suffixes -> best nanoseconds a token."""
    best = {}
    with open(path) as file:
        for b in json.load(file)["benchmarks"]:
            if b.get("run_type") != "iteration" or "items_per_second" not in b:
                continue
            name = "/".join(p for p in b["name"].split("/") if p != "real_time" and not p.startswith("repeats"))
            best[name] = min(best.get(name, float("inf")), 1e9 / b["items_per_second"])
    return best


def at(tokens, experts, k):
    return f"/tokens:{tokens}/experts:{experts}/k:{k}"


def table(best):
    rows = []
    for ours, peers, tokens, experts, k, goal in ROWS:
        where = at(tokens, experts, k)
        if f"{ours}/one_thread{where}" not in best:
            continue
        one = best[f"{ours}/one_thread{where}"]
        found = {n.split("/")[1]: t for n, t in best.items() if n.startswith(peers + "/") and n.endswith(where)}
        peer = min(found, key=found.get) if found else None
        two = best.get(f"{ours}/two_threads{where}") if tokens > 1 else None
        rows.append({
            "work": f"{ours} {tokens} x {experts} / {k}", "ns": one, "peer": peer, "peer_ns": found.get(peer),
            "ratio": found[peer] / one if peer else None, "goal": goal, "two": one / two if two else None,
            "plain": best.get(f"{ours}/plain_path{where}"), "read": best.get(f"limit_read{where}"),
            "exp": best.get(f"limit_exp{where}"),
        })
    return rows


def cell(x, digits=1):
    return "-" if x is None else f"{x:.{digits}f}"


def print_table(rows):
    print("| work | ns/token | best composed | its ns/token | ratio | goal | two threads | plain path | read | exp |")
    print("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|")
    for r in rows:
        met = "" if r["goal"] is None or r["ratio"] is None or r["ratio"] >= r["goal"] else " (not met)"
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


def draw(rows, path):
    """Bars: ratio over the best composed peer; a line where the goal is."""
    rows = [r for r in rows if r["ratio"]]
    left, scale, step = 260, 44, 26
    width, height = left + int(max(r["ratio"] for r in rows) * scale) + 120, step * len(rows) + 60
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="10" y="22" font-size="15">Speed over the best composed public parts, one thread</text>']
    for i, r in enumerate(rows):
        y = 40 + i * step
        out.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{r["work"]}</text>')
        out.append(f'<rect x="{left}" y="{y}" width="{r["ratio"] * scale:.1f}" height="18" fill="#3b6ea5"/>')
        out.append(f'<text x="{left + r["ratio"] * scale + 6:.1f}" y="{y + 14}">{r["ratio"]:.1f} ({r["ns"]:.0f} ns)</text>')
        if r["goal"]:
            x = left + r["goal"] * scale
            out.append(f'<line x1="{x:.1f}" y1="{y - 3}" x2="{x:.1f}" y2="{y + 21}" stroke="#c0392b" stroke-width="2"/>')
    out.append(f'<text x="{left}" y="{height - 6}" fill="#c0392b">line: goal</text></svg>')
    with open(path, "w") as file:
        file.write("\n".join(out) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json")
    parser.add_argument("--svg")
    args = parser.parse_args()
    best = read(args.json)
    rows = table(best)
    if not rows:
        raise SystemExit("no benchmark of route in " + args.json)
    print_table(rows)
    print_others(best)
    if args.svg:
        draw(rows, args.svg)
        print("picture: " + args.svg)


if __name__ == "__main__":
    main()
