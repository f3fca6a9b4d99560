#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes of what llama_cpp.py measured: llama_cpp.csv, one row a measure; llama_cpp.md, the page; and a
plot of each model. Every number of the page is from the file.

    llama_cpp_table.py llama_cpp.jsonl
    llama_cpp_table.py /tmp/llama_cpp.jsonl --out /tmp/table
"""
import argparse
import csv
import io
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
COLUMNS = ["model", "format", "threads", "measure", "unit", "ours", "peer", "ratio", "bound",
           "share_of_bound", "repeats", "spread", "peer_spread", "peer_reason"]
ROWS_A_STEP = 256  # of a prompt, in both programs
NAMES = {"prompt": "Prompt", "decode": "Decoding one sequence"}
DISTURBED = 0.05


class BadFile(Exception):
    """Says which line of the file is wrong."""


# ---- what was measured ----

class Raw:
    def __init__(self, path):
        self.setup, self.roofs, self.runs = None, [], []
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                self.take(json.loads(text))
            except (ValueError, KeyError, TypeError, AttributeError) as e:
                raise BadFile(f"{path}, line {number}: not what llama_cpp.py writes "
                              f"({type(e).__name__}: {e})") from e
        if not self.setup:
            raise BadFile(f"{path}: the first line, which says what was measured, is missing")

    def take(self, line):
        if "setup" in line:
            self.setup = {k: line["setup"][k] for k in ("cpu", "virtual", "cores", "memory_bytes",
                                                        "system", "node", "package", "joulemark",
                                                        "commit", "program")}
        elif "roofs" in line:
            for r in line["roofs"]:
                if r["kind"] == "read":
                    self.roofs.append((r["threads"], r["name"], r["bytes_per_s"],
                                       r["capacity_bytes"] or float("inf")))
                else:
                    self.roofs.append((r["threads"], r["name"], r["operations_per_s"], None))
        else:
            for key in ("side", "model", "format", "task", "repeat", "threads", "others"):
                line[key]  # KeyError: it is none of ours
            if "failed" not in line:
                for key in ("prompt", "decode", "batch", "prompt_per_s", "decode_per_s", "file_bytes"):
                    if not line[key] > 0:
                        raise ValueError(f"{key} is {line[key]}")
            self.runs.append(line)

    def of(self, side, **key):
        return [r for r in self.runs if r["side"] == side and "failed" not in r
                and all(r[k] == v for k, v in key.items())]

    def values(self, side, what, **key):
        return [r[what] for r in self.of(side, **key) if r.get(what) is not None]

    def why_not(self, **key):
        """Why the peer has no value."""
        failed = [r["failed"] for r in self.runs if r["side"] == "peer" and "failed" in r
                  and all(r[k] == v for k, v in key.items() if k in ("model", "format"))]
        return failed[0] if failed else "not measured"


# ---- bounds ----

def limit_of(raw, threads, name):
    """The median, as of everything else: what other guests of a host take from it, they take from
    all. None: not measured, or not possible on this machine."""
    found = [v for t, n, v, _ in raw.roofs if t == threads and n == name and v is not None]
    return statistics.median(found) if found else None


def read_roof(raw, threads, size):
    """Bytes/s at which that many are read again and again: from the fastest that holds them."""
    names = {n for t, n, _, capacity in raw.roofs
             if t == threads and capacity is not None and capacity >= size}
    found = [v for v in (limit_of(raw, threads, n) for n in names) if v is not None]
    return max(found) if found else None


def bound(raw, run, threads, what, tokens):
    """Tokens/s that no program can exceed on these limits: a step reads all weights once, as the file
    holds them, and its linears multiply; whichever takes longer. None: a limit is unknown."""
    work = run.get(what + "_operations")
    read = read_roof(raw, threads, run["weight_bytes"])
    steps = -(-tokens // ROWS_A_STEP) if what == "prompt" else 1
    if not work or not read:
        return None
    peaks = {kind: limit_of(raw, threads, kind) for kind in work}
    if not all(peaks.values()):
        return None
    calculating = sum(n / peaks[kind] for kind, n in work.items())
    return tokens / max(steps * run["weight_bytes"] / read, calculating)


# ---- rows ----

def spread(values):
    """Range over median; None: there is but one."""
    if len(values) < 2:
        return None
    return (max(values) - min(values)) / statistics.median(values)


def row(raw, key, measure, unit, ours, peer, limit=None, share=True):
    """ours, peer: values of the repeats."""
    mine, theirs = (statistics.median(v) if v else None for v in (ours, peer))
    return {**key, "measure": measure, "unit": unit, "ours": mine, "peer": theirs,
            "ratio": mine / theirs if theirs else None, "bound": limit,
            "share_of_bound": mine / limit if limit and share else None, "repeats": len(ours),
            "spread": spread(ours), "peer_spread": spread(peer),
            "peer_reason": None if peer else raw.why_not(**key)}


def over(raw, key, measure, above, below):
    """How many times one row is another."""
    def quotient(what):
        return [above[what] / below[what]] if above[what] and below[what] else []
    limit = quotient("bound")
    made = row(raw, key, measure, "times", quotient("ours"), quotient("peer"),
               limit[0] if limit else None, share=False)
    return {**made, "repeats": min(above["repeats"], below["repeats"])}


def single_rows(raw, model, fmt, threads):
    key = {"model": model, "format": fmt, "threads": threads}
    runs = raw.of("ours", task="single", **key)
    if not runs:
        return []
    made = []
    for what, tokens in (("prompt", runs[0]["prompt"]), ("decode", 1)):
        values = [raw.values(side, what + "_per_s", task="single", **key) for side in ("ours", "peer")]
        made.append(row(raw, key, what, "tokens/s", *values,
                        bound(raw, runs[-1], threads, what, tokens)))
    return made


def batch_rows(raw, model, fmt, threads):
    key = {"model": model, "format": fmt, "threads": threads}
    runs = raw.of("ours", task="batch", **key)
    if not runs:
        return []
    n = runs[0]["batch"]
    one, many = (row(raw, key, measure, "tokens/s",
                     *[raw.values(side, what + "_per_s", task="batch", **key)
                       for side in ("ours", "peer")], bound(raw, runs[-1], threads, what, tokens))
                 for measure, what, tokens in (("decode_1", "decode", 1),
                                               (f"decode_{n}", "batch", n)))
    return [many, over(raw, key, f"decode_{n}_over_1", many, one)]


def load_rows(raw, model, fmt, threads):
    """Of the highest number of threads: the peer loads a file once for all of them."""
    key = {"model": model, "format": fmt, "threads": threads}
    ready = [raw.values(side, "ready_s", task="single", **key) for side in ("ours", "peer")]
    memory = [[r["peak_bytes"] / r["file_bytes"] for r in raw.of(side, task="single", **key)
               if r["peak_bytes"]] for side in ("ours", "peer")]
    return ([row(raw, key, "first_token", "s", *ready)] if ready[0] else []) + \
           ([row(raw, key, "peak_memory", "times the file", *memory)] if memory[0] else [])


def distinct(values):
    return list(dict.fromkeys(values))


def make_rows(raw):
    rows = []
    for model, fmt in distinct((r["model"], r["format"]) for r in raw.runs):
        all_threads = sorted({r["threads"] for r in raw.of("ours", model=model, format=fmt)},
                             reverse=True)
        single = {t: single_rows(raw, model, fmt, t) for t in all_threads}
        for t in all_threads:
            rows += single[t]
        for t in all_threads[:-1]:
            for above, below in zip(single[t], single[all_threads[-1]]):
                rows.append(over(raw, {"model": model, "format": fmt, "threads": t},
                                 f"{above['measure']}_{t}_over_{all_threads[-1]}_threads", above,
                                 below))
        for t in all_threads:
            rows += batch_rows(raw, model, fmt, t)
        rows += load_rows(raw, model, fmt, all_threads[0]) if all_threads else []
    return rows


# ---- files ----

def number(x):
    return "" if x is None else f"{x:.5g}" if isinstance(x, float) else str(x)


def csv_text(rows):
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(COLUMNS)
    for r in rows:
        writer.writerow([number(r[c]) for c in COLUMNS])
    return out.getvalue()


def pick(rows, **key):
    found = [r for r in rows if all(r[k] == v for k, v in key.items())]
    return found[0] if found else None


def show(x, form="{:.3g}"):
    return "" if x is None else f"{x:.0f}" if form == "{:.3g}" and x >= 1000 else form.format(x)


def table(head, lines):
    return "\n".join(["| " + " | ".join(head) + " |",
                      "| --- |" + " --: |" * (len(head) - 1),
                      *["| " + " | ".join(line) + " |" for line in lines]]) + "\n"


def cells(r):
    if not r:
        return [""] * 4
    return [show(r["ours"]), show(r["peer"]) or "unavailable", show(r["ratio"], "{:.2f}"),
            show(r["share_of_bound"], "{:.0%}")]


def speed_table(rows, model):
    lines = []
    for fmt, t in distinct((r["format"], r["threads"]) for r in rows if r["model"] == model):
        key = {"model": model, "format": fmt, "threads": t}
        lines.append([fmt, str(t), *cells(pick(rows, measure="prompt", **key)),
                      *cells(pick(rows, measure="decode", **key))])
    return table(["format", "threads", "prompt", "llama.cpp", "ratio", "of bound", "decode",
                  "llama.cpp", "ratio", "of bound"], lines)


def other_table(rows, model):
    lines = [[r["format"], str(r["threads"]), r["measure"].replace("_", " "), r["unit"],
              show(r["ours"]), show(r["peer"]) or "unavailable", show(r["bound"])]
             for r in rows if r["model"] == model and r["measure"] not in NAMES]
    return table(["format", "threads", "measure", "unit", "joulemark", "llama.cpp", "bound"], lines)


def name(r):
    return f"{r['format']}, {r['threads']} thread{'s' if r['threads'] > 1 else ''}"


def extremes(rows, what, form):
    """From the least to the most, with their names."""
    low, high = min(rows, key=lambda r: r[what]), max(rows, key=lambda r: r[what])
    if low is high:
        return f"{form.format(low[what])} ({name(low)})"
    return f"{form.format(low[what])} ({name(low)}) to {form.format(high[what])} ({name(high)})"


def speed_findings(rows, model):
    for measure, text in NAMES.items():
        found = [r for r in rows if r["model"] == model and r["measure"] == measure]
        ratio = [r for r in found if r["ratio"] is not None]
        share = [r for r in found if r["share_of_bound"] is not None]
        said = []
        if ratio:
            said.append(f"{extremes(ratio, 'ratio', '{:.2f}')} times llama.cpp")
        if share:
            said.append(f"{extremes(share, 'share_of_bound', '{:.0%}')} of the bound")
        if said:
            yield f"{text}, {model}: " + "; ".join(said) + "."


def other_findings(rows, model):
    for t in distinct(r["threads"] for r in rows if r["model"] == model):
        small, plain = (pick(rows, model=model, format=f, threads=t, measure="decode")
                        for f in ("STQ1_0", "Q4_0"))
        if small and plain:
            yield (f"STQ1_0 decodes {small['ours'] / plain['ours']:.2f} times as fast as joulemark's "
                   f"own Q4_0 ({model}, {t} thread{'s' if t > 1 else ''}).")
    for r in rows:
        if r["model"] == model and r["measure"].endswith("_over_1"):
            n = r["measure"].split("_")[1]
            yield (f"{n} sequences together decode {r['ours']:.2f} times as many tokens/s as one "
                   f"({model}, {name(r)}; bound {show(r['bound'], '{:.2f}') or 'unavailable'}).")


def limits_text(raw):
    lines = []
    for t, n in distinct((t, n) for t, n, _, _ in raw.roofs):
        values = [v for a, b, v, _ in raw.roofs if (a, b) == (t, n) and v is not None]
        read = any(c is not None for a, b, _, c in raw.roofs if (a, b) == (t, n))
        if values:
            lines.append([n, str(t), f"{statistics.median(values) / 1e9:.1f}",
                          f"{min(values) / 1e9:.1f} to {max(values) / 1e9:.1f}",
                          "GB/s" if read else "GOP/s"])
    return table(["limit", "threads", "median", "range", "unit"], lines)


def quiet_text(raw):
    others = [r["others"] for r in raw.runs]
    loud = sum(x > DISTURBED for x in others)
    return (f"While a program ran, other programs and other guests of the host took "
            f"{statistics.median(others):.1%} of the processors' time (median of {len(others)} "
            f"starts; {max(others):.1%} at most; more than {DISTURBED:.0%} in {loud}).")


def machine_text(setup):
    virtual = ", a virtual machine" if setup["virtual"] else ""
    return (f"{setup['cpu']}{virtual}, {setup['cores']} cores, "
            f"{setup['memory_bytes'] / 2**30:.0f} GiB, {setup['system']}")


def page_text(raw, rows):
    s, models = raw.setup, distinct(r["model"] for r in rows)
    ours = raw.of("ours")[0]
    peers = raw.of("peer")
    peer = f"{peers[0]['program']} ({s['package']}, node {s['node']})" if peers else s["package"]
    text = (HERE / "llama_cpp_intro.md").read_text(encoding="utf-8")
    text += "\n## Found\n\n"
    for model in models:
        text += "".join(f"- {f}\n" for f in [*speed_findings(rows, model),
                                             *other_findings(rows, model)])
    for model in models:
        tasks = distinct((r["prompt"], r["decode"]) for r in raw.of("ours", model=model, task="single"))
        text += f"\n## {model}\n\n"
        text += "".join(f"A prompt of {p} tokens, then {d} tokens decoded. " for p, d in tasks)
        text += (f"Tokens/s. {max(r['repeats'] for r in rows if r['model'] == model)} starts of each "
                 f"program in turn, medians.\n\n![plot](llama_cpp_{model}.svg)\n\n")
        text += speed_table(rows, model) + "\n" + other_table(rows, model)
        for fmt in distinct(r["format"] for r in rows if r["model"] == model):
            reason = raw.why_not(model=model, format=fmt)
            if reason != "not measured":
                text += f"\nllama.cpp does not load {model} in {fmt}: \"{reason}\".\n"
    text += f"\n## Machine\n\n{machine_text(s)}.\n\n"
    text += (f"joulemark {s['joulemark']}, commit {s['commit']}, kernels {ours['kernels']}. {peer}"
             + (f"; it says of itself: {peers[0]['kernels']}" if peers else "") + "\n\n")
    return text + quiet_text(raw) + "\n\n" + limits_text(raw)


# ---- plots ----

def plot(raw, rows, model, out):
    """Panels: prompt and decode for each number of threads."""
    formats = distinct(r["format"] for r in rows if r["model"] == model)
    panels = [(m, t) for m in NAMES for t in distinct(
        r["threads"] for r in rows if r["model"] == model and r["measure"] == m)]
    blocks = []
    for measure, t in panels:
        lines = []
        for f in formats:
            r = pick(rows, model=model, format=f, threads=t, measure=measure)
            lines.append(" ".join([f] + [number(r and r[c]) or "?" for c in ("ours", "peer", "bound")]))
        blocks.append("\n".join(lines))
    data = out / f"llama_cpp_{model}.dat"
    data.write_text("\n\n\n".join(blocks) + "\n", encoding="utf-8")
    run = raw.of("ours", model=model)[0]
    peers = raw.of("peer", model=model)
    titles = "|".join(f"{'prompt of %d tokens' % run['prompt'] if m == 'prompt' else 'decoding'}, "
                      f"{t} thread{'s' if t > 1 else ''}" for m, t in panels)
    caption = (f"{machine_text(raw.setup)}. Median of "
               f"{max(r['repeats'] for r in rows if r['model'] == model)} starts in turn. No bar of "
               "llama.cpp: it does not load the file.")
    heading = f"{model}: joulemark and {peers[0]['program'] if peers else 'llama.cpp'}"
    done = subprocess.run(["gnuplot", "-c", HERE / "llama_cpp.gp", data, out / f"llama_cpp_{model}",
                           heading, caption, HERE.parent.parent / "plots", titles],
                          capture_output=True, text=True)
    data.unlink()
    if done.returncode != 0:
        raise OSError("gnuplot: " + (done.stderr.strip().splitlines() or ["failed"])[0])


def write(path, text):
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("raw", type=pathlib.Path, help="the file that llama_cpp.py wrote")
    p.add_argument("--out", type=pathlib.Path, metavar="DIR",
                   help="where table, page and plots go (beside raw)")
    args = p.parse_args()
    args.out = args.out or args.raw.parent
    try:
        raw = Raw(args.raw)
        rows = make_rows(raw)
        if not rows:
            raise BadFile(f"{args.raw}: holds no result of joulemark")
        args.out.mkdir(parents=True, exist_ok=True)
        write(args.out / "llama_cpp.csv", csv_text(rows))
        write(args.out / "llama_cpp.md", page_text(raw, rows))
        if not shutil.which("gnuplot"):
            print("llama_cpp_table.py: no plots: gnuplot is not installed", file=sys.stderr)
        else:
            for model in distinct(r["model"] for r in rows):
                plot(raw, rows, model, args.out)
    except BadFile as e:
        print(f"llama_cpp_table.py: {e}", file=sys.stderr)
        return 3
    except (OSError, UnicodeDecodeError) as e:
        print(f"llama_cpp_table.py: {e}", file=sys.stderr)
        return 3 if isinstance(e, (FileNotFoundError, UnicodeDecodeError)) else 4
    print(f"{args.out}/: llama_cpp.csv, llama_cpp.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
