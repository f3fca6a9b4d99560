#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures joulemark and llama.cpp in turn on the same files, with the limits of the machine, and adds
each result to a file of JSON lines at once. Started again with the same arguments, it measures what
is still missing. llama_cpp_table.py makes table, plots and page of the file; llama_cpp.md, the page,
says how to install llama.cpp.

    llama_cpp.py --node-modules ~/peers/node_modules --models ~/models
    llama_cpp.py --node-modules ~/peers/node_modules --models ~/models --only hy-mt-1.8b,q4_0,decode
"""
import argparse
import hashlib
import json
import os
import pathlib
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "workloads" / "data"
BIG, TINY = "hy-mt-1.8b", "tiny-mt"
FORMATS = {BIG: ["Q8_0", "Q4_0", "Q4_K", "Q6_K", "STQ1_0"], TINY: ["F16", "Q8_0", "Q4_0", "STQ1_0"]}
BATCHED = {BIG: ["Q4_0", "STQ1_0"], TINY: ["F16"]}
BUNDLED = {"F16": DATA / "tiny-mt-f16.gguf", "STQ1_0": DATA / "tiny-mt-stq1_0.gguf"}
# Tokens of the prompt, tokens decoded, sequences; the tiny model's context is 256. A big model's run
# is long enough to be timed once; a tiny one is repeated, and the median of a process counts.
TASKS = {(BIG, "single"): (256, 32, 1), (TINY, "single"): (128, 64, 1),
         (BIG, "batch"): (8, 16, 16), (TINY, "batch"): (8, 16, 16)}
SECONDS = {BIG: 0, TINY: 0.2}
WORDS = {"decode": ("task", "single"), "prompt": ("task", "single"), "single": ("task", "single"),
         "batch": ("task", "batch"), "ours": ("side", "ours"), "peer": ("side", "peer"),
         BIG: ("model", BIG), TINY: ("model", TINY),
         **{f.lower(): ("format", f) for formats in FORMATS.values() for f in formats}}


class Trouble(Exception):
    """What stops the measurement; the text is for the user."""


def text_of(path, pattern, default="unknown"):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(), re.M)
    except OSError:
        found = None
    return found.group(1).strip() if found else default


def describe(args):
    """What all measurements of a file have in common."""
    build, package = pathlib.Path(args.build), args.node_modules / "node-llama-cpp/package.json"
    parts = [build / "bin/bench_model", build / "lib/joulemark/libjm_cpu.so", build / "bin/joulemark"]
    for part in parts + [package]:
        if not part.exists():
            raise Trouble(f"{part} is missing; build with 'cmake --preset release && cmake --build "
                          "--preset release', and install node-llama-cpp as llama_cpp.md says")
    version = subprocess.run([parts[2], "version"], capture_output=True, text=True).stdout
    return {"cpu": text_of("/proc/cpuinfo", r"^model name\s*: (.*)$"),
            "virtual": bool(re.search(r"^flags.* hypervisor( |$)",
                                      pathlib.Path("/proc/cpuinfo").read_text(), re.M)),
            "cores": len(os.sched_getaffinity(0)),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": f"{platform.system()} {platform.release().split('-')[0]}",
            "node": subprocess.run([args.node, "--version"], capture_output=True,
                                   text=True).stdout.strip(),
            "package": "node-llama-cpp " + json.loads(package.read_text())["version"],
            "joulemark": " ".join(version.split("\n")[0].split()[1:]),
            "commit": (re.search(r"^commit (\S+)", version, re.M) or [None, "unknown"])[1],
            "program": hashlib.sha256(b"".join(p.read_bytes() for p in parts[:2])).hexdigest()[:16]}


class Raw:
    """The file of JSON lines; what is in it is not measured again."""

    def __init__(self, path, setup):
        self.path, self.lines = path, []
        if path.exists():
            try:
                self.lines = [json.loads(line) for line in path.read_text().splitlines()]
            except ValueError as e:
                raise Trouble(f"{path}: not lines of JSON ({e}); remove it, or name another with --raw")
            if not self.lines or self.lines[0].get("setup") != setup:
                raise Trouble(f"{path} is of another machine, build or version; move it away, or name "
                              "another with --raw")
        else:
            self.add({"setup": setup})

    def add(self, line):
        with open(self.path, "a", encoding="utf-8") as f:
            f.write(json.dumps(line) + "\n")
            f.flush()
            os.fsync(f.fileno())
        self.lines.append(line)

    def has(self, **key):
        return any(all(line.get(k) == v for k, v in key.items()) for line in self.lines)


def busy_jiffies():
    """Of all processors: busy, or taken by other guests of the same host."""
    v = [int(x) for x in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return sum(v) - v[3] - v[4]  # without idle and iowait


def run(command, env=None):
    """Runs it; its result, and the share of all processors that others took meanwhile."""
    busy, own, start = busy_jiffies(), resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                          env={**os.environ, **(env or {})})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = time.monotonic() - start
    all_s = (busy_jiffies() - busy) / os.sysconf("SC_CLK_TCK")
    own_s = after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime
    return done, max(0.0, (all_s - own_s) / (took * os.cpu_count()))


def cause(done):
    """The one line of a failed program that says why."""
    lines = [s.strip() for s in done.stderr.splitlines() if s.strip()]
    errors = [s for s in lines if re.match(r"\w*Error: ", s)]
    return (errors or lines or [f"exit status {done.returncode}"])[-1 if not errors else 0]


def joulemark(args, *words):
    done, _ = run([pathlib.Path(args.build) / "bin/joulemark", *words])
    if done.returncode != 0:
        raise Trouble(cause(done))
    return done.stdout


def model_file(args, model, fmt):
    """The file, made where it is missing, and read once so that it is in the page cache."""
    path = args.models / f"{model}-{fmt.lower()}.gguf"
    if model == TINY and fmt in BUNDLED:
        path = BUNDLED[fmt]
    if not path.exists():
        print(f"making {path}", flush=True)
        args.models.mkdir(parents=True, exist_ok=True)
        if model == BIG:
            joulemark(args, "synth", "--shape", BIG, "--format", fmt, "-o", path)
        else:
            joulemark(args, "quantize", BUNDLED["F16"], path, fmt)
    if path not in args.cached:
        with open(path, "rb") as f:
            while f.read(1 << 24):
                pass
        args.cached.add(path)
    return path


def roofs(args, raw, repeat):
    with tempfile.TemporaryDirectory() as scratch:
        found = json.loads(joulemark(args, "roofline", "--roofs", "--json", "--no-plots", "--results",
                                     scratch))["roofs"]
    raw.add({"roofs": found, "repeat": repeat})


def measure_ours(args, job, path, threads):
    prompt, decode, batch = TASKS[job["model"], job["task"]]
    done, others = run([pathlib.Path(args.build) / "bin/bench_model", path, "--threads", threads[0],
                        "--prompt", prompt, "--decode", decode, "--batch", batch, "--seconds",
                        SECONDS[job["model"]]])
    if done.returncode != 0:
        raise Trouble(cause(done))
    return [json.loads(done.stdout)], others


def measure_peer(args, job, path, threads):
    """One line for each number of threads; a file that it cannot run: no line, but the cause."""
    done, others = run([args.node, HERE / "llama_cpp.mjs", args.node_modules, path,
                        ",".join(map(str, threads)), *TASKS[job["model"], job["task"]],
                        SECONDS[job["model"]]], env={"UV_THREADPOOL_SIZE": "1"})
    if done.returncode != 0:
        return [{"failed": cause(done)} for _ in threads], others
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], others


def jobs(args):
    """Everything to measure, in an order where what is compared stands side by side."""
    for repeat in range(1, args.repeats + 1):
        for model, formats in FORMATS.items():
            for fmt in formats:
                for task in ("single", "batch") if fmt in BATCHED[model] else ("single",):
                    threads = args.threads if task == "single" else args.threads[:1]
                    ours = [("ours", [t]) for t in threads]
                    peer = [("peer", threads)]
                    for side, count in ours + peer if repeat % 2 else peer + ours[::-1]:
                        yield {"side": side, "model": model, "format": fmt, "task": task,
                               "repeat": repeat}, count


def wanted(args, job):
    return all(job[kind] in some for kind, some in args.only.items())


def summary(line):
    if "failed" in line:
        return "unavailable: " + line["failed"]
    batch = f", {line['batch']} sequences {line['batch_per_s']:.1f}" if line["batch"] > 1 else ""
    return f"prompt {line['prompt_per_s']:.1f}, decode {line['decode_per_s']:.1f}{batch} tokens/s"


def measure(args, raw):
    """Returns how many measurements are still missing."""
    began, roofed, left = time.monotonic(), set(), 0
    for job, count in jobs(args):
        broken = job["side"] == "peer" and [x for x in raw.lines if "failed" in x and all(
            x[k] == job[k] for k in ("side", "model", "format"))]
        missing = [t for t in count if not raw.has(**job, threads=t)]
        if not wanted(args, job) or broken or not missing:
            continue
        if args.stop_after and time.monotonic() - began > args.stop_after:
            left += 1
            continue
        if job["repeat"] not in roofed:
            roofs(args, raw, job["repeat"])
            roofed.add(job["repeat"])
        path = model_file(args, job["model"], job["format"])
        lines, others = (measure_ours if job["side"] == "ours" else measure_peer)(args, job, path,
                                                                                 missing)
        for threads, line in zip(missing, lines, strict=True):
            raw.add({**job, "threads": threads, "others": round(others, 4), **line})
            print(f"{job['repeat']}/{args.repeats} {job['model']} {job['format']} {job['side']} "
                  f"{threads} threads: {summary(line)}", flush=True)
    return left


def parse():
    cores = len(os.sched_getaffinity(0))
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--node-modules", type=pathlib.Path, required=True, metavar="DIR",
                   help="where npm put node-llama-cpp")
    p.add_argument("--models", type=pathlib.Path, required=True, metavar="DIR",
                   help="of model files; those that are missing are made: 6 GB")
    p.add_argument("--build", default=HERE.parent.parent / "build/release", metavar="DIR",
                   help="build folder of joulemark (build/release)")
    p.add_argument("--raw", type=pathlib.Path, default=HERE / "llama_cpp.jsonl", metavar="FILE",
                   help="where results are added (llama_cpp.jsonl beside this program)")
    p.add_argument("--repeats", type=int, default=5, metavar="N", help="times in turn (5)")
    p.add_argument("--threads", default=",".join(map(str, sorted({1, cores}, reverse=True))),
                   metavar="N,N", help="numbers of threads (all cores, and one)")
    p.add_argument("--only", default="", metavar="WORDS",
                   help="a part: words of " + ", ".join(WORDS))
    p.add_argument("--stop-after", type=float, metavar="S",
                   help="begin no measurement after S seconds; the same command goes on")
    p.add_argument("--node", default="node", help="the program node")
    args = p.parse_args()
    only = {}
    for word in filter(None, args.only.lower().split(",")):
        if word not in WORDS:
            p.error(f"--only: no '{word}'; there are {', '.join(WORDS)}")
        only.setdefault(WORDS[word][0], set()).add(WORDS[word][1])
    args.only, args.cached = only, set()
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", args.threads) or args.repeats < 1:
        p.error("--threads are numbers like 2,1, and --repeats is at least 1")
    args.threads = [int(t) for t in args.threads.split(",")]
    return args


def main():
    args = parse()
    try:
        left = measure(args, Raw(args.raw, describe(args)))
    except (Trouble, OSError, ValueError) as e:
        print(f"llama_cpp.py: {e}", file=sys.stderr)
        return 3 if isinstance(e, Trouble) else 4
    print(f"{left} measurements are left; the same command goes on" if left else
          f"all measured; next: {HERE / 'llama_cpp_table.py'} {args.raw}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
