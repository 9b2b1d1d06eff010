#!/usr/bin/env python3
"""Registers, spills, local memory, shared memory and instructions of the kernels in kernels.cu.

usage: report.py [--arch 90] [--kernels FILE] [--only WORD] [--write docs/cuda.md]     (or: ./dev ptxas)

ptxas counts registers and spills; instructions are counted in the disassembly where nvdisasm is found (on
PATH, in $NVDISASM, or in the pip package nvidia-cuda-nvdisasm), and left out where it is not. The last
instructions of a kernel, padding after its final branch, are not counted. For kernels with a prediction a second
table sets the instructions a row usually runs through (hot_path.py) beside it. Exit 1 if any kernel spills or has
a stack frame, or compiled to nothing: nvcc makes an empty body, without a word, of one that calls a function for the
host alone under MOEROUTE_EXEC_CHECK_DISABLE. --only keeps the kernels whose name has the word.
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

import hot_path

root = pathlib.Path(__file__).resolve().parents[2]
kernel_line = r"^(?:WARP|BLOCK|BLOCK_BOTH|PART|WIDE|BULK|MOEROUTE_KERNEL)\((?:part_a_row, )?"
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


def compile_kernels(text, arch, only, folder):
    unit = folder / "kernels.cu"
    unit.write_text("\n".join(line for line in text.split("\n")
                              if not only or only in line or not re.match(kernel_line, line)))
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    cubin = folder / "kernels.cubin"
    start = time.time()
    run = subprocess.run(
        [nvcc, "-std=c++20", "-O3", f"-arch=sm_{arch}", "-lineinfo", "-Xptxas=-v", "-cubin", "-Werror=all-warnings",
         f"-I{root / 'include'}", str(unit), "-o", str(cubin)],
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


def disassemble(nvdisasm, cubin):
    """For each kernel its section of the disassembly, instructions, and those that touch local memory."""
    text = subprocess.run([nvdisasm, "-c", "-gi", str(cubin)], capture_output=True, text=True).stdout
    found = {}
    for name, part in hot_path.sections(text):
        code = [m[1] for m in re.finditer(r"^\s+/\*[0-9a-f]+\*/\s+(.*?);", part, re.M)]
        while code and re.match(r"(NOP|BRA )", code[-1]):
            code.pop()
        found[name] = (part, len(code), sum(1 for c in code if re.search(r"\b(LDL|STL)\b", c)))
    return found


# What a row should cost. `table`: the prediction from the parts of the work, made before there was code;
# `prototype`: the machine instructions of the kernels that settled the design. A row of work is what a group of
# lanes serves, so a warp's instructions are divided by its rows.
class Gate:
    def __init__(self, lanes, table, prototype, words=("renormalized",), chunks=1):
        self.lanes, self.table, self.prototype, self.words = lanes, table, prototype, words
        self.trips = {"n < filled": chunks - 1}  # the first one stands before the loop


gates = {
    "registers_softmax_bf16": Gate(8, 170, 265),
    "registers_softmax_fp32": Gate(8, 170, 300),
    "registers_deepseek_v3_bf16": Gate(8, None, 355),
    "registers_deepseek_v3_fp32": Gate(8, None, 350),
    "registers_softmax_bf16_any": Gate(8, 170, 265, chunks=4),
    "registers_softmax_fp32_any": Gate(8, 170, 300, chunks=4),
    "registers_deepseek_v3_bf16_any": Gate(8, None, 355, chunks=4),
    "registers_deepseek_v3_fp32_any": Gate(8, None, 350, chunks=4),
    "registers_softmax_bf16_few": Gate(32, None, None, chunks=1),
    "registers_deepseek_v3_bf16_few": Gate(32, None, 900),
    "registers_deepseek_v3_bf16_few_any": Gate(32, None, 900),
}
# Other kernels: the instructions of a warp for a unit of work, and of the usual path with loops once; beside them those
# of the prototype's kernel, counted by the same functions with the same turns of the same loops.
a_token = {"p += Together * step": 7, "for (offset_t j =": 8, "i < count; i += 32": (2 * 224, "LDG")}
choices, counts = 4096 // 32, 8 * 132  # turns of all warps of a block; 8 warps hold the 256 experts


def for_a_token(section):
    return sum(hot_path.count(section, (), a_token)[0].values())


def for_counting(section):
    return choices * (hot_path.count_loop(section, "base < end", (), {"bits -= 4": 2})
                      + hot_path.count_loop(section, "c < end; c += lanes"))


def for_placing(section):
    return (choices * hot_path.count_loop(section, "walk.c < last")
            + counts * hot_path.count_loop(section, "how_many", each="LDG"))


token, share = "a token: 7168 bf16 numbers, k = 8", "loops over a share: 4096 choices, 256 experts, 132 shares"
others = {
    "plan_count": (share, for_counting, 21888, 470),
    "plan_place": (share, for_placing, 11398, 828),
    "permute_bf16": (token, for_a_token, 2069, 347),
    "permute_backward_bf16": (token, for_a_token, 7934, 347),
    "combine_bf16": (token, for_a_token, 7991, 377),
    "combine_backward_bf16": (token, for_a_token, 22185, 990),
    "group_advantages": ("", None, None, 2120),
}
allowed = 1.3
# The walk over the rows alone, without a body, has fewer than these.
few_registers, few_instructions = 16, 100


def against(measured, predicted):
    if predicted is None:
        return "-"
    ratio = measured / predicted
    return f"{predicted} ({ratio:.2f}{' **over**' if ratio > allowed else ''})"


def hot_table(sections):
    names = [name for name, _ in hot_path.classes]
    lines = ["| gate kernel, E = 256 | a row | network | " + " | ".join(names) + " | predicted (ratio) | prototype (ratio) |",
             "|---|--:|--:|" + "--:|" * len(names) + "--:|--:|"]
    for kernel, gate in gates.items():
        if kernel in sections:
            rows = 32 // gate.lanes
            by_class, network = hot_path.count(sections[kernel], gate.words, gate.trips)
            total = sum(by_class.values()) / rows
            lines.append(f"| {kernel} | {total:.0f} | {network / rows:.0f} | "
                         + " | ".join(f"{by_class[name] / rows:.0f}" for name in names)
                         + f" | {against(total, gate.table)} | {against(total, gate.prototype)} |")
    lines += ["", "| other kernel | unit of work | instructions of warps | prototype (ratio) | usual path, loops once | prototype (ratio) |",
              "|---|---|--:|--:|--:|--:|"]
    for kernel, (unit, work, predicted, predicted_once) in others.items():
        if kernel in sections:
            once = sum(hot_path.count(sections[kernel])[0].values())
            total = f"{work(sections[kernel]):.0f}" if work else "-"
            lines.append(f"| {kernel} | {unit} | {total} | {against(float(total), predicted) if work else '-'} | {once} | {against(once, predicted_once)} |")
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--arch", default="90")
    parser.add_argument("--kernels", default=root / "cmake/ptxas/kernels.cu", help="the file that instantiates them")
    parser.add_argument("--only", help="kernels whose line has this word")
    parser.add_argument("--write", help="replace the table between the marks of this page")
    arguments = parser.parse_args()
    kernels, nvdisasm = pathlib.Path(arguments.kernels).read_text(), find_nvdisasm()
    with tempfile.TemporaryDirectory() as folder:
        cubin, log, seconds = compile_kernels(kernels, arguments.arch, arguments.only, pathlib.Path(folder))
        disassembly = disassemble(nvdisasm, cubin) if nvdisasm else {}
    lines = ["| kernel | lanes a row | registers | spills (B) | local (B) | static shared (B) | instructions | of these local |",
             "|---|---|--:|--:|--:|--:|--:|--:|"]
    rows, sections, spilling, empty = [], {}, [], []
    for mangled, k in parse_ptxas(log):
        name, lanes = short(mangled)
        sections[name], n, local = disassembly.get(mangled, ("", "-", "-"))
        rows.append((name, f"| {name} | {lanes} | {k['registers']} | {k['spill']} | {k['stack']} | {k['shared']} | {n} | {local} |"))
        if k["spill"] or k["stack"]:
            spilling.append(name)
        if k["registers"] <= few_registers or (disassembly and n < few_instructions):
            empty.append(f"{name} ({k['registers']} registers, {n} instructions)")
    order = re.findall(kernel_line + r"(\w+)", kernels, re.M)
    rows.sort(key=lambda r: order.index(r[0]) if r[0] in order else len(order))
    lines += [r[1] for r in rows]
    if disassembly:
        lines += [""] + hot_table(sections)
    release = re.search(r"release (\S+),", subprocess.run(
        [shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc", "--version"], capture_output=True, text=True).stdout)
    lines.append("")
    lines.append(f"sm_{arguments.arch}, nvcc {release[1] if release else '?'}, `-O3`"
                 + ("." if nvdisasm else "; nvdisasm not found, so instructions were not counted."))
    table = "\n".join(lines)
    print(table)
    print(f"{len(rows)} kernels compiled in {seconds:.1f} s")
    if arguments.write and not arguments.only:
        page = pathlib.Path(arguments.write)
        text = page.read_text()
        before, rest = text.split(begin)
        page.write_text(before + begin + "\n" + table + "\n" + end + rest.split(end)[1])
    if not rows:
        sys.exit("no kernel found in the report")
    if spilling:
        print("spills or has a stack frame: " + ", ".join(spilling), file=sys.stderr)
    if empty:
        print("compiled to (nearly) nothing: " + ", ".join(empty) + "\nA body that calls a function for the host alone does, "
              "without a warning: look for a missing MOEROUTE_HD.", file=sys.stderr)
    if spilling or empty:
        sys.exit(1)


if __name__ == "__main__":
    main()
