#!/usr/bin/env python3
"""Registers, spills, local memory, shared memory and instructions of the kernels in kernels.cu.

usage: report.py [--arch 90] [--write docs/cuda.md]     (or: ./dev ptxas)

ptxas counts registers and spills; instructions are counted in the disassembly where nvdisasm is found (on
PATH, in $NVDISASM, or in the pip package nvidia-cuda-nvdisasm), and left out where it is not. The last
instructions of a kernel, padding after its final branch, are not counted. Exit 1 if any kernel spills or has
a stack frame.
"""
import argparse
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

root = pathlib.Path(__file__).resolve().parents[2]
begin, end = "<!-- ptxas: begin -->", "<!-- ptxas: end -->"


def find_nvdisasm():
    for candidate in (os.environ.get("NVDISASM"), shutil.which("nvdisasm")):
        if candidate:
            return candidate
    try:
        for file in importlib.metadata.files("nvidia-cuda-nvdisasm") or []:
            if file.name == "nvdisasm":
                return str(file.locate())
    except importlib.metadata.PackageNotFoundError:
        pass
    tools = root / "build" / "tools"
    return next((str(p) for p in tools.rglob("nvdisasm") if os.access(p, os.X_OK)), None) if tools.exists() else None


def compile_kernels(arch, folder):
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    cubin = folder / "kernels.cubin"
    start = time.time()
    run = subprocess.run(
        [nvcc, "-std=c++20", "-O3", f"-arch=sm_{arch}", "-Xptxas=-v", "-cubin", "-Werror=all-warnings",
         f"-I{root / 'include'}", str(root / "cmake/ptxas/kernels.cu"), "-o", str(cubin)],
        capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr[-4000:])
    return cubin, run.stderr, time.time() - start


def short(mangled):
    text = subprocess.run(["c++filt", mangled], capture_output=True, text=True).stdout
    found = re.search(r"row_kernel<.*?(warp|block)_a_row, (?:\w+::)*(\w+)\s*>", text) or \
        re.search(r"(?:(warp|block|part)_)?\w*kernel<.*?(?:\w+::)*(\w+)\s*>\(", text)
    return (found.group(2), found.group(1) or "part") if found else (text.strip()[:60], "?")


def parse_ptxas(log):
    pattern = re.compile(
        r"Compiling entry function '(\S+)' for.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
        r"(\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)", re.S)
    for m in pattern.finditer(log):
        shared = re.search(r"(\d+) bytes smem", m[6])
        yield m[1], {"stack": int(m[2]), "spill": int(m[3]) + int(m[4]), "registers": int(m[5]),
                     "shared": int(shared[1]) if shared else 0}


def count_instructions(nvdisasm, cubin):
    text = subprocess.run([nvdisasm, "-c", str(cubin)], capture_output=True, text=True).stdout
    counts = {}
    for part in re.split(r"\n(?=\s*\.section\s+\.text\.)", text)[1:]:
        name = re.match(r"\s*\.section\s+\.text\.([^,\s]+)", part)[1].strip('"')
        code = [m[1] for m in re.finditer(r"^\s+/\*[0-9a-f]+\*/\s+(.*?);", part, re.M)]
        while code and re.match(r"(NOP|BRA )", code[-1]):
            code.pop()
        local = sum(1 for c in code if re.search(r"\b(LDL|STL)\b", c))
        counts[name] = (len(code), local)
    return counts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--arch", default="90")
    parser.add_argument("--write", help="replace the table between the marks of this page")
    arguments = parser.parse_args()
    nvdisasm = find_nvdisasm()
    with tempfile.TemporaryDirectory() as folder:
        cubin, log, seconds = compile_kernels(arguments.arch, pathlib.Path(folder))
        counts = count_instructions(nvdisasm, cubin) if nvdisasm else {}
    lines = ["| kernel | lanes a row | registers | spills (B) | local (B) | static shared (B) | instructions | of these local |",
             "|---|---|--:|--:|--:|--:|--:|--:|"]
    rows, bad = [], False
    for mangled, k in parse_ptxas(log):
        name, lanes = short(mangled)
        n, local = counts.get(mangled, ("-", "-"))
        rows.append((name, f"| {name} | {lanes} | {k['registers']} | {k['spill']} | {k['stack']} | {k['shared']} | {n} | {local} |"))
        bad = bad or k["spill"] or k["stack"]
    order = re.findall(r"^(?:WARP|BLOCK|PART)\((\w+)", (root / "cmake/ptxas/kernels.cu").read_text(), re.M)
    rows.sort(key=lambda r: order.index(r[0]) if r[0] in order else len(order))
    lines += [r[1] for r in rows]
    release = re.search(r"release (\S+),", subprocess.run(
        [shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc", "--version"], capture_output=True, text=True).stdout)
    lines.append("")
    lines.append(f"sm_{arguments.arch}, nvcc {release[1] if release else '?'}, `-O3`"
                 + ("." if nvdisasm else "; nvdisasm not found, so instructions were not counted."))
    table = "\n".join(lines)
    print(table)
    print(f"{len(rows)} kernels compiled in {seconds:.1f} s")
    if arguments.write:
        page = pathlib.Path(arguments.write)
        text = page.read_text()
        before, rest = text.split(begin)
        page.write_text(before + begin + "\n" + table + "\n" + end + rest.split(end)[1])
    if bad or not rows:
        sys.exit("a kernel spills or has a stack frame" if rows else "no kernel found in the report")


if __name__ == "__main__":
    main()
