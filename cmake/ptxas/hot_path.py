"""The instructions that a row usually runs through, counted in a disassembly with line numbers (nvdisasm -c -gi).

The basic blocks that a kernel's entry leads to are counted, without those that are seldom run:
  - blocks whose instructions come, most of them, from a line marked `// seldom` (inlined calls on such a line count
    as that line), or from a file in `seldom_files`; `// seldom if WORD` holds for kernels that name the word
  - calls, which are the slow branches of divisions, and what runs after `BRA.DIV`, for warps that have come apart
A block in a loop counts as often as the loop's line says: `trips` maps a piece of source text to a number of turns.
Both sides of every other branch are counted.
"""
import collections
import functools
import pathlib
import re

seldom_files = ("cuda/register_repair.hpp",)
classes = (
    ("shuffle", r"SHFL|VOTE|REDUX|MATCH"),
    ("memory", r"LD|ST|ATOM|RED\b|ULDC|CCTL|MEMBAR"),
    ("mufu", r"MUFU"),
    ("control", r"BRA|EXIT|BSSY|BSYNC|CALL|RET|WARPSYNC|NOP|BAR|BREAK|BMOV|S2R|S2UR|CS2R|R2UR|PLOP3|DEPBAR|U[A-Z]"),
    ("fma", r"FADD|FMUL|FFMA|HFMA2|HADD2|HMUL2|IMAD|DADD|DMUL|DFMA"),
    ("alu", r"."),
)


@functools.cache
def source(path):
    try:
        return pathlib.Path(path).read_text().split("\n")
    except OSError:
        return []


def line_of(frame):
    lines = source(frame[0])
    return lines[frame[1] - 1] if frame[1] <= len(lines) else ""


def is_seldom(frames, words):
    for frame in frames:
        if frame[0].endswith(seldom_files):
            return True
        mark = re.search(r"// seldom\b(?: if (\w+))?", line_of(frame))
        if mark and (mark[1] is None or mark[1] in words):
            return True
    return False


def bare(instruction):
    return re.sub(r"^@!?U?P\w+\s+", "", instruction)


def blocks_of(section):
    """Basic blocks: lists of (instruction, frames), and the block of each label."""
    blocks, labels, waiting, frames, open_block, more = [], {}, [], [], False, False
    for text in section.split("\n"):
        if m := re.match(r'\s*//## File "([^"]+)", line (\d+)(?: inlined at "([^"]+)", line (\d+))?', text):
            if not more:
                frames, more = [], True
            frames.append((m[1], int(m[2])))
            if m[3]:
                frames.append((m[3], int(m[4])))
        elif m := re.match(r"([.$\w]+):\s*$", text):
            open_block = False
            waiting.append(m[1])
        elif m := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+\{?\s*(.*?)\s*;", text):
            more = False
            if not open_block:
                for label in waiting:
                    labels[label] = len(blocks)
                waiting, open_block = [], True
                blocks.append([])
            blocks[-1].append((m[1], tuple(frames)))
            open_block = not re.search(r"\b(BRA|EXIT|RET|BRX|JMP|CALL|BREAK)\b", m[1])
    return blocks, labels


def successors(blocks, labels):
    following = []
    for i, block in enumerate(blocks):
        last = block[-1][0]
        target = re.search(r"`\(([^)]+)\)", last)
        conditional = last.startswith("@") or re.search(r"\bBRA(\.\w+)*\s+!?U?P\d", last)
        if re.search(r"\b(EXIT|RET)\b", last):
            to = [i + 1] if conditional else []
        elif re.search(r"\bBRA\b", last) and "BRA.DIV" not in last:
            to = ([labels[target[1]]] if target and target[1] in labels else []) + ([i + 1] if conditional else [])
        else:
            to = [i + 1]
        following.append([t for t in to if t < len(blocks)])
    return following


def trips_of(frames, trips, inside):
    """How often the loop that ends here runs, by the innermost of its lines that `trips` knows: a number, or of a loop
    that may be unrolled the instructions of a pattern that all its turns have together."""
    n = next((n for frame in frames for text, n in trips.items() if text in line_of(frame)), 1)
    if not isinstance(n, tuple):
        return n
    in_a_turn = sum(bool(re.match(n[1], bare(op))) for block in inside for op, _ in block)
    return n[0] / max(in_a_turn, 1)


def usual(section, words, trips):
    """The blocks of a kernel, how often each runs (0: seldom, or not led to), and its loops: (first, last, frames)."""
    blocks, labels = blocks_of(section)
    following = successors(blocks, labels)

    def work(block):
        return [f for op, f in block if not re.match(r"BSYNC|BSSY|NOP|BRA|WARPSYNC", bare(op))]

    def seldom(block):
        marked = [is_seldom(f, words) for f in work(block)]
        moves = [is_seldom(f, words) for op, f in block if re.match(r"LD[GSL.]|ST[GSL.]", bare(op))]
        # Addresses may have been computed for other blocks too, so that four loads or stores speak for a block.
        return 2 * sum(marked) > len(marked) or (len(moves) >= 4 and all(moves)) or "CALL" in block[-1][0]

    led_to, todo = set(), [0] if blocks else []
    while todo:
        i = todo.pop()
        if i not in led_to:
            led_to.add(i)
            todo += following[i]
    reached = {i for i in led_to if work(blocks[i]) and not seldom(blocks[i])}
    # A block that only steers belongs to what comes before it.
    todo = list(reached)
    while todo:
        for t in following[todo.pop()]:
            if t not in reached and not work(blocks[t]) and not seldom(blocks[t]):
                reached.add(t)
                todo.append(t)
    loops = [(back, i, blocks[i][-1][1]) for i in sorted(reached) for back in following[i] if back <= i]
    times = [int(i in reached) for i in range(len(blocks))]
    for back, i, frames in loops:
        n = trips_of(frames, trips, blocks[back:i + 1])
        for j in range(back, i + 1):
            times[j] *= n
    return blocks, times, loops


def count(section, words=(), trips=None):
    """Instructions by class, and those of core/key_network.hpp; all of them without the padding at the end."""
    blocks, times, _ = usual(section, words, trips or {})
    by_class, network = collections.Counter(), 0
    for block, n in zip(blocks, times):
        for op, frames in block if n else ():
            by_class[next(name for name, pattern in classes if re.match(pattern, bare(op)))] += n
            network += n * any(f[0].endswith("core/key_network.hpp") and not re.search(r"\bat\(|b\[j\]", line_of(f)) for f in frames)
    return by_class, network


def count_loop(section, text, words=(), trips=None, each=None):
    """Instructions of one turn of the largest loop whose line has `text`; of a loop that is unrolled, divided by the
    instructions of the pattern `each` in it, of which a turn has one."""
    blocks, times, loops = usual(section, words, trips or {})
    found = [(back, i) for back, i, frames in loops if frames and text in line_of(frames[0])]
    if not found:
        return None
    back, last = max(found, key=lambda loop: sum(len(blocks[j]) for j in range(loop[0], loop[1] + 1)))
    inside = [(op, times[j] / times[last]) for j in range(back, last + 1) if times[j] for op, _ in blocks[j]]
    return sum(n for _, n in inside) / (sum(n for op, n in inside if re.match(each, bare(op))) if each else 1)


def sections(disassembly):
    for part in re.split(r"\n(?=\s*\.section\s+\.text\.)", disassembly)[1:]:
        yield re.match(r"\s*\.section\s+\.text\.([^,\s]+)", part)[1].strip('"'), part
