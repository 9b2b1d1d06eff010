#!/usr/bin/env python3
"""Builds the token set of the examples from two Debian packages, with nothing but Python's library.

    apt-get install dataset-fashion-mnist wordnet-base && python3 build.py [--out DIR]

Writes images_{start,tune,test}.npy (u8 [n, 28, 28]), labels_{start,tune,test}.npy (u8 [n]) and
glosses.txt. The result is committed; nobody has to run this. Every run gives the same bytes.
"""
import argparse
import gzip
import hashlib
import pathlib
import re
import struct

IMAGES = pathlib.Path("/usr/share/datasets/fashion-mnist")
NOUNS = pathlib.Path("/usr/share/wordnet/data.noun")
# The lexicographer file numbers of WordNet (man lexnames) that become the eight topics.
TOPICS = {5: "animal", 6: "artifact", 8: "body", 13: "food", 15: "location", 18: "person",
          20: "plant", 26: "state"}
HELD_OUT = 2000  # glosses
UNWANTED = re.compile("slur|(offensive|disparaging|derogatory) (term|name)")
# name: (file, first image, count). `tune` starts at 10000: nothing of it was seen in `start`.
SPLITS = {"start": ("train", 0, 2000), "tune": ("train", 10000, 1000), "test": ("t10k", 0, 1000)}


def write_npy(path, data, shape):
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data)


def build_images(out):
    for name, (file, first, count) in SPLITS.items():
        pixels = gzip.decompress((IMAGES / f"{file}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((IMAGES / f"{file}-labels-idx1-ubyte.gz").read_bytes())
        assert struct.unpack(">4I", pixels[:16])[0::2] == (2051, 28) and struct.unpack(">I", labels[:4]) == (2049,)
        pixels = pixels[16 + 784 * first:16 + 784 * (first + count)]
        labels = labels[8 + first:8 + first + count]
        assert len(pixels) == 784 * count and len(labels) == count
        write_npy(out / f"images_{name}.npy", pixels, (count, 28, 28))
        write_npy(out / f"labels_{name}.npy", labels, (count,))


def build_glosses(out):
    of_topic = {topic: [] for topic in TOPICS.values()}
    seen = set()  # some definitions occur twice: none may be both held out and trained on
    for line in NOUNS.read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):
            continue  # the licence at the top
        facts, gloss = line.split(" | ", 1)
        offset, lexicographer = facts.split()[:2]
        topic = TOPICS.get(int(lexicographer))
        if topic is None:
            continue
        words = re.findall("[a-z]+", re.split('[;"]', gloss)[0].lower())
        gloss = " ".join(words)
        if 6 <= len(words) <= 16 and gloss not in seen and not UNWANTED.search(gloss):
            seen.add(gloss)
            of_topic[topic].append((hashlib.sha256(offset.encode()).digest(), gloss))
    smallest = min(len(glosses) for glosses in of_topic.values())
    lines = []
    shuffled = {topic: sorted(glosses)[:smallest] for topic, glosses in of_topic.items()}
    for i in range(smallest):
        lines += [f"{topic}\t{shuffled[topic][i][1]}" for topic in of_topic]
    head = (f"# WordNet 3.0 noun glosses, Copyright 2006 by Princeton University, licence in LICENSE.wordnet\n"
            f"# topic, tab, words; the first {HELD_OUT} lines are held out\n")
    (out / "glosses.txt").write_text(head + "\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    out_dir = parser.parse_args().out
    out_dir.mkdir(parents=True, exist_ok=True)
    build_images(out_dir)
    build_glosses(out_dir)
