#!/usr/bin/env python3
"""Products that g++ fuses into a sum where the machine has an instruction for both.

usage: fused.py UNIT [--compiler g++]

Such a product is not rounded by itself, so the last bits depend on the machine the code is built for. math::mul keeps it
apart; math::fma, and math::multiply_add where the product is exact, say that it is fused. The compiler is asked, not the
disassembly: the pass that fuses writes down each sum and its line. A product with a power of two is exact and may be fused.
The unit has one line `// planted` that must be found: a compiler that reports nothing, or in other words, is no proof.
Exit 1 if any other is found.
"""
import argparse
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parents[2]
like_o2 = ["-O1", "-fexpensive-optimizations", "-finline-small-functions"]  # fuses what -O2 does, and compiles faster
number = re.compile(r"-?\d\.\d+e[+-]\d+")


def exact(statement):
    """_4 = .FMA (_1, 2.0e+0, _3): is a factor a power of two, or 0?"""
    factors = statement[statement.index("(") + 1:].split(", ")[:2]
    return any(number.fullmatch(f) and math.frexp(abs(float(f)))[0] in (0, .5) for f in factors)


def report_of(compiler, unit):
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [compiler, "-std=c++20", *like_o2, "-march=x86-64-v3", "-DMOEROUTE_PLAIN", "-w", f"-I{root / 'include'}",
             "-S", "-fdump-tree-widening_mul-details-lineno", "-dumpdir", f"{folder}/", "-o", f"{folder}/unit.s",
             str(unit)],
            capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(run.stderr[-4000:])
        return "".join(file.read_text() for file in pathlib.Path(folder).glob("*.widening_mul")).split("\n")


def fused_lines(report):
    """Where they are: FILE:LINE, or the function where the compiler has lost the line."""
    found, fused, function = set(), set(), ""
    for line in report:
        if line.startswith(";; Function "):
            function, fused = line.split(" (")[0][len(";; Function "):], set()
        elif line.startswith("Generated FMA "):
            fused.add(line[len("Generated FMA "):].strip())
        elif fused:
            place, statement = re.match(r"\s*(?:\[([^]]*):\d+\] )?(.*)", line).groups()
            if statement in fused and not exact(statement):
                found.add(place or function)
    return found


def main():
    options = argparse.ArgumentParser()
    options.add_argument("unit", type=pathlib.Path)
    options.add_argument("--compiler", default="g++")
    options = options.parse_args()
    planted, others = 0, []
    for place in sorted(fused_lines(report_of(options.compiler, options.unit.resolve()))):
        file, _, line = place.rpartition(":")
        if not file or not pathlib.Path(file).is_file():
            others.append(f"{place}: in a line that the compiler does not tell")
            continue
        text = pathlib.Path(file).read_text().split("\n")[int(line) - 1].strip()
        if text.endswith("// planted"):
            planted += 1
        else:
            others.append(f"{os.path.relpath(file, root)}:{line}: {text}")
    if planted != 1:
        sys.exit(f"of one planted product {options.compiler} reports {planted}: this check sees nothing")
    print("".join(f"fused: {other}\n" for other in others) + f"{len(others)} products fused into a sum")
    sys.exit(1 if others else 0)


if __name__ == "__main__":
    main()
