#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The comparison with llama.cpp without llama.cpp: the arithmetic of its table on numbers made to be
calculated by hand and on a recorded file, its measurement with a program that plays node, and
bench_model.

    test_peers.py BUILD_DIR
"""
import csv
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
REFERENCE = HERE.parent / "results" / "reference"
MODEL = HERE.parent / "workloads" / "data" / "tiny-mt-f16.gguf"
BUILD = None

SETUP = {"cpu": "A CPU", "virtual": False, "cores": 2, "memory_bytes": 8 << 30, "system": "Linux 6",
         "node": "v20", "package": "node-llama-cpp 3", "joulemark": "0.1.0", "commit": "abc",
         "program": "123"}

# Plays node: version, then what the peer prints, or an error for a file whose name says so.
FAKE_NODE = """#!/bin/sh
[ "$1" != --version ] || { echo v20.0.0; exit 0; }
[ "$UV_THREADPOOL_SIZE" = 1 ] || { echo 'Error: no UV_THREADPOOL_SIZE' >&2; exit 1; }
case $3 in *stq1_0*) echo '    at load.js:1' >&2; echo 'Error: what is this?' >&2; exit 1 ;; esac
for t in $(echo "$4" | tr , ' '); do
    echo "{\\"program\\": \\"llama.cpp b1\\", \\"kernels\\": \\"C\\", \\"threads\\": $t, \\"prompt\\": $5," \\
        "\\"decode\\": $6, \\"batch\\": $7, \\"file_bytes\\": 1000, \\"load_s\\": 1, \\"ready_s\\": 2," \\
        "\\"peak_bytes\\": 3000, \\"prompt_per_s\\": 10, \\"decode_per_s\\": 2, \\"batch_per_s\\": 4}"
done
"""


def roof(kind, name, threads, value, capacity=None):
    if kind == "read":
        return {"kind": kind, "name": name, "threads": threads, "bytes_per_s": value,
                "capacity_bytes": capacity}
    return {"kind": kind, "name": name, "threads": threads, "operations_per_s": value}


def result(side, threads, repeat, prompt, decode, **more):
    line = {"side": side, "model": "m", "format": "Q4_0", "task": "single", "repeat": repeat,
            "threads": threads, "others": 0.01, "program": side, "kernels": "k", "prompt": 256,
            "decode": 32, "batch": 1, "file_bytes": 2000, "load_s": 1, "ready_s": 2.0 * repeat,
            "peak_bytes": 3000, "prompt_per_s": prompt, "decode_per_s": decode}
    if side == "ours":
        line |= {"weight_bytes": 1000, "prompt_operations": {"INT8": 512000},
                 "decode_operations": {"INT8": 2000}}
    return line | more


def run(*command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)


class Folder(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.dir = pathlib.Path(self.scratch.name)

    def table(self, lines):
        """Exit status, what it said, and rows by (format, threads, measure)."""
        raw = self.dir / "raw.jsonl"
        raw.write_text("".join(x + "\n" for x in lines))
        done = run(REFERENCE / "llama_cpp_table.py", raw, "--out", self.dir / "out")
        rows = {}
        if done.returncode == 0:
            with open(self.dir / "out" / "llama_cpp.csv", newline="") as f:
                rows = {(r["format"], int(r["threads"]), r["measure"]): r for r in csv.DictReader(f)}
        return done, rows


class Arithmetic(Folder):
    def made(self):
        """Reading at 4000 B/s from memory with one thread, 6000 with two, 9000 from a cache that is
        too small; INT8 at 1 and 2 million. So 256 rows of a prompt take 0.512 s in one thread."""
        lines = [{"setup": SETUP}]
        for scale in (0.5, 1, 1.5):  # medians count
            lines.append({"repeat": 1, "roofs": [
                roof("read", "memory", 1, 4000 * scale), roof("read", "memory", 2, 6000 * scale),
                roof("read", "L2", 1, 9000 * scale, 999), roof("read", "L2", 2, 9000 * scale, 999),
                roof("multiply", "INT8", 1, 1e6 * scale), roof("multiply", "INT8", 2, 2e6 * scale)]})
        for repeat, (prompt, decode) in enumerate([(100, 1), (300, 3), (200, 2.5)], 1):
            lines.append(result("ours", 1, repeat, prompt, decode))
            lines.append(result("peer", 1, repeat, prompt / 4, decode / 2, ready_s=None))
            lines.append(result("ours", 2, repeat, 2 * prompt, decode + 0.5))
            lines.append(result("peer", 2, repeat, 50, 1, peak_bytes=7000))
        lines.append(result("ours", 2, 1, 9, 2, task="batch", batch=16, batch_per_s=20,
                            batch_operations={"INT8": 32000 * 2000}))
        return lines

    def test_rows(self):
        done, rows = self.table([json.dumps(x) for x in self.made()])
        self.assertEqual((done.returncode, done.stderr.replace(
            "llama_cpp_table.py: no plots: gnuplot is not installed\n", "")), (0, ""))

        def is_row(threads, measure, **want):
            got = rows["Q4_0", threads, measure]
            for column, value in want.items():
                if value == "":
                    self.assertEqual(got[column], "", (measure, column))
                else:
                    self.assertAlmostEqual(float(got[column]), value, 4, (measure, column))

        is_row(1, "prompt", ours=200, peer=50, ratio=4, bound=500, share_of_bound=0.4, repeats=3,
               spread=1, peer_spread=1)
        is_row(1, "decode", ours=2.5, peer=1.25, ratio=2, bound=4, share_of_bound=0.625, spread=0.8)
        is_row(2, "prompt", ours=400, peer=50, ratio=8, bound=1000, share_of_bound=0.4, peer_spread=0)
        is_row(2, "decode", ours=3, peer=1, ratio=3, bound=6, share_of_bound=0.5)
        is_row(2, "prompt_2_over_1_threads", ours=2, peer=1, ratio=2, bound=2, share_of_bound="",
               spread="")
        is_row(2, "decode_2_over_1_threads", ours=1.2, peer=0.8, ratio=1.5, bound=1.5)
        # Sixteen rows of 32 s of multiplying: not reading, that bounds them.
        is_row(2, "decode_16", ours=20, peer="", ratio="", bound=0.5, share_of_bound=40, repeats=1)
        is_row(2, "decode_16_over_1", ours=10, peer="", bound=0.5 / 6)
        is_row(2, "first_token", ours=4, peer=4, ratio=1, bound="", share_of_bound="")
        is_row(2, "peak_memory", ours=1.5, peer=3.5)
        self.assertNotIn(("Q4_0", 1, "peak_memory"), rows)
        self.assertEqual(rows["Q4_0", 2, "decode_16"]["peer_reason"], "not measured")
        self.assertEqual(rows["Q4_0", 2, "decode"]["peer_reason"], "")

    def test_unknown_limits(self):
        """Where a limit is not known there is no bound, and nothing is made up."""
        lines = self.made()
        for x in lines:
            for r in x.get("roofs", []):
                if r["name"] == "INT8":
                    r["operations_per_s"] = None
        _, rows = self.table([json.dumps(x) for x in lines])
        self.assertEqual(rows["Q4_0", 1, "decode"]["bound"], "")
        self.assertEqual(rows["Q4_0", 1, "decode"]["share_of_bound"], "")
        self.assertEqual(rows["Q4_0", 2, "decode_2_over_1_threads"]["bound"], "")
        self.assertEqual(rows["Q4_0", 2, "decode_2_over_1_threads"]["ours"], "1.2")

    def test_recorded(self):
        done, rows = self.table((HERE / "fixtures" / "llama_cpp.jsonl").read_text().splitlines())
        self.assertEqual(done.returncode, 0, done.stderr)
        row = rows["STQ1_0", 2, "decode"]
        self.assertEqual((row["peer"], row["ratio"], row["peer_reason"]),
                         ("", "", "Error: Invalid type or block size"))
        row = rows["Q4_0", 2, "prompt"]
        self.assertAlmostEqual(float(row["ours"]) / float(row["peer"]), float(row["ratio"]), 3)
        self.assertTrue(0 < float(row["share_of_bound"]) < 1)
        page = (self.dir / "out" / "llama_cpp.md").read_text()
        for word in ("None", "nan", "inf ", "{"):
            self.assertNotIn(word, page)
        for text in ("times llama.cpp;", "STQ1_0 decodes 2.", "AMD EPYC, a virtual machine, 2 cores",
                     'llama.cpp does not load hy-mt-1.8b in STQ1_0: "Error: Invalid type',
                     "npm install"):
            self.assertIn(text, page)

    def test_damaged(self):
        good = [json.dumps(x) for x in self.made()]
        zero = json.dumps(result("ours", 1, 4, 0, 1))
        for lines, why in (([], "holds no|first line"), (good[:4], "holds no result"), (good[1:], "first"),
                           ([*good, "{"], "line 18"), ([*good, "[]"], "line 18"),
                           ([*good, "{}"], "line 18.*side"), ([*good, zero], "line 18.*prompt_per_s")):
            done, _ = self.table(lines)
            self.assertEqual(done.returncode, 3, why)
            self.assertRegex(done.stderr, f"^llama_cpp_table.py: .*({why})[^\n]*\n$")


class Measuring(Folder):
    def measure(self, *more):
        return run(REFERENCE / "llama_cpp.py", "--node", self.dir / "node", "--node-modules", self.dir,
                   "--models", self.dir / "models", "--build", BUILD, "--raw", self.dir / "raw.jsonl",
                   "--repeats", 2, "--threads", 1, *more)

    def setUp(self):
        super().setUp()
        (self.dir / "node").write_text(FAKE_NODE)
        (self.dir / "node").chmod(0o755)
        (self.dir / "node-llama-cpp").mkdir()
        (self.dir / "node-llama-cpp" / "package.json").write_text('{"version": "3"}')

    def lines(self):
        return [json.loads(x) for x in (self.dir / "raw.jsonl").read_text().splitlines()]

    def test_goes_on(self):
        """In turn, once each, and nothing twice; the table takes it."""
        done = self.measure("--only", "tiny-mt,f16,decode")
        self.assertEqual(done.returncode, 0, done.stderr)
        found = self.lines()
        self.assertEqual([x.get("side", "roofs" if "roofs" in x else "setup") for x in found],
                         ["setup", "roofs", "ours", "peer", "roofs", "peer", "ours"])
        self.assertEqual([x["repeat"] for x in found[1:]], [1, 1, 1, 2, 2, 2])
        done = self.measure("--only", "tiny-mt,f16,decode")
        self.assertEqual((done.returncode, self.lines()), (0, found))
        done, rows = self.table(json.dumps(x) for x in found)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(rows["F16", 1, "decode"]["peer"], "2")
        self.assertGreater(float(rows["F16", 1, "decode"]["bound"]), 0)

    def test_refusals(self):
        """A file that the peer does not load is tried once; another build's results are not mixed."""
        done = self.measure("--only", "tiny-mt,stq1_0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([x["failed"] for x in self.lines() if "failed" in x], ["Error: what is this?"])
        (self.dir / "node-llama-cpp" / "package.json").write_text('{"version": "4"}')
        done = self.measure()
        self.assertEqual(done.returncode, 3)
        self.assertIn("another machine, build or version", done.stderr)
        self.assertEqual(self.measure("--only", "q9").returncode, 2)
        self.assertEqual(self.measure("--threads", "0").returncode, 2)
        (self.dir / "node-llama-cpp" / "package.json").unlink()
        self.assertIn("package.json is missing", self.measure().stderr)


class Bench(unittest.TestCase):
    def bench(self, *words):
        return run(pathlib.Path(BUILD) / "bin" / "bench_model", *words)

    def test_numbers(self):
        done = self.bench(MODEL, "--threads", 1, "--prompt", 40, "--decode", 3, "--batch", 2,
                          "--rows", 16, "--seconds", 0)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        for key in ("load_s", "ready_s", "peak_bytes", "plan_bytes", "prompt_per_s", "decode_per_s",
                    "batch_per_s"):
            self.assertGreater(found[key], 0, key)
        self.assertGreater(found["ready_s"], found["load_s"])
        self.assertEqual(found["file_bytes"], MODEL.stat().st_size)
        self.assertLess(found["weight_bytes"], found["file_bytes"])
        self.assertEqual((found["threads"], found["repeats"]), (1, 1))
        # Weights are F16, two bytes for two operations a row; the output's matrix meets one row only.
        one, two, many = (sum(found[k].values()) for k in ("decode_operations", "batch_operations",
                                                           "prompt_operations"))
        self.assertEqual(one, found["weight_bytes"])
        self.assertEqual(two, 2 * one)
        self.assertTrue(20 * one < many < 40 * one)

    def test_refusals(self):
        for words, status, text in ((["--help"], 0, ""), ([], 2, "usage"), ([MODEL, MODEL], 2, "usage"),
                                    ([MODEL, "--decode", "0"], 2, "from 1 to"),
                                    ([MODEL, "--seconds", "nan"], 2, "usage"),
                                    ([HERE / "none.gguf"], 3, "No such file"),
                                    ([MODEL, "--isa", "sse9"], 5, "sse9")):
            done = self.bench(*words)
            self.assertEqual(done.returncode, status, (words, done.stderr))
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    BUILD = sys.argv.pop(1)
    unittest.main()
