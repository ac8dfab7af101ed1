#!/usr/bin/python3
"""Renders <folder>/results.json, which suite.py wrote, into results.md and plots (SVG, by gnuplot) beside it.

Usage: report.py <folder>
"""
import json
import pathlib
import re
import subprocess
import sys

FIGURES = {"decisions_per_second": "decisions/s", "p50_us": "p50", "p99_us": "p99", "redis_cpu_us": "Redis CPU"}


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def median(comparison, side, figure):
    values = sorted(round[side][figure] for round in comparison["rounds"])
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def spread(comparison, figure):
    ratio = comparison["ratios"][figure]
    return f"{ratio['median']:.2f} ({ratio['lowest']:.2f} … {ratio['highest']:.2f})"


# --- targets


def bound(target):
    return ("≥", target["at_least"]) if "at_least" in target else ("≤", target["at_most"])


def is_reached(target, value):
    sign, limit = bound(target)
    return value >= limit if sign == "≥" else value <= limit


def target_rows(comparison):
    """A row for each target: what, its figure, what it shall be, whether it is."""
    for target in comparison["targets"]:
        ratio = comparison["ratios"][target["figure"]]
        value = ratio[target["statistic"]]
        measured = spread(comparison, target["figure"])
        if target["statistic"] == "upper_quartile":
            measured += f", upper quartile {value:.2f}"
        sign, limit = bound(target)
        yield [comparison["title"], FIGURES[target["figure"]], measured, f"{sign} {limit:.2f}",
               "yes" if is_reached(target, value) else "**no**"]


def micro_rows(micro):
    """Of one thread, which has a core."""
    for start, title, limit in [("remembered_denial", "remembered denial", 15e6),
                                ("memory_url_1000_users", "`memory://`, 1 000 users", 5e6)]:
        for row in micro or []:
            if row["name"].startswith(start) and row["threads"] == 1:
                rate = row["items_per_second"]
                yield [title, "decisions/s per core", f"{rate / 1e6:.1f} million", f"≥ {limit / 1e6:.0f} million",
                       "yes" if rate >= limit else "**no**"]


def instruction_rows(text):
    found = re.search(r"^tollgate .* instructions, ([0-9.]+) of plain", text or "", re.MULTILINE)
    if found:
        ratio = float(found.group(1))
        yield ["one decision, client side, without the kernel", "instructions", f"{ratio:.2f}", "≤ 1.00",
               "yes" if ratio <= 1 else "**no**"]


def memory_rows(memory):
    if not memory:
        return
    ratio = memory["redis_bytes_per_user"] / memory["redis_bytes_of_the_bare_key"]
    yield ["Redis memory per active user", "to the bare key", f"{ratio:.2f}", "≤ 1.10",
           "yes" if ratio <= 1.1 else "**no**"]
    for what in ["allowed", "denied"]:
        first, *_, before, last = memory[what]
        grown = last["resident_kb"] - before["resident_kb"]
        yield [f"client memory, all {what}", "resident", f"{first['resident_kb']} kB at {first['users']} users, "
               f"{before['resident_kb']} kB at {before['users']}, {last['resident_kb']} kB at {last['users']}",
               "no growth at the end", "yes" if grown <= last["resident_kb"] / 10 else "**no**"]


# --- sections


def describe(machine):
    rows = [[name.replace("_", " "), value] for name, value in machine.items()]
    return table(["", ""], rows)


def comparisons(results):
    rows = []
    for comparison in results["comparisons"]:
        parameters = comparison["parameters"]
        rates = [f"{median(comparison, side, 'decisions_per_second') / 1000:.1f}" for side in ["ours", "against"]]
        rows.append([comparison["title"], f"{parameters['ours']} : {parameters['against']}", " : ".join(rates),
                     *[spread(comparison, figure) for figure in FIGURES], f"`{comparison['command']}`"])
    ratios = [f"ratio of {name}" for name in FIGURES.values()]
    return table(["what", "sides", "thousand decisions/s", *ratios, "command"], rows)


def latencies(results):
    rows = []
    for comparison in results["comparisons"]:
        cells = [f"{median(comparison, 'ours', figure):.0f} : {median(comparison, 'against', figure):.0f}"
                 for figure in ["p50_us", "p99_us", "p999_us"]]
        cpu = f"{median(comparison, 'ours', 'redis_cpu_us'):.2f} : {median(comparison, 'against', 'redis_cpu_us'):.2f}"
        rows.append([comparison["title"], *cells, cpu])
    return table(["what", "p50, µs", "p99, µs", "p99.9, µs", "Redis CPU per decision, µs"], rows)


def redis_benchmark(rows):
    return table(["connections", "depth", "thousand INCRBY/s", "p50, ms", "p99, ms"],
                 [[row["connections"], row["depth"], f"{float(row['rps']) / 1000:.1f}", row["p50_latency_ms"],
                   row["p99_latency_ms"]] for row in rows])


def micro(rows):
    return table(["benchmark", "ns", "million/s"],
                 [[row["name"], f"{row['real_time']:.1f}", f"{row.get('items_per_second', 0) / 1e6:.1f}"]
                  for row in rows])


def client_memory(memory):
    rows = [[what, *[row[key] for key in ["users", "requests", "denied", "resident_kb", "heap_kb"]]]
            for what in ["allowed", "denied"] for row in memory[what]]
    return table(["", "distinct users", "requests", "of them denied", "resident, kB", "heap, kB"], rows)


def markdown(results):
    how = "`scripts/bench --quick`: the figures are rough" if results["quick"] else "`scripts/bench`"
    parts = ["# Benchmarks\n", f"Made by {how}. Ratios are of both sides in turn in one run, round by round: median "
             "(lowest … highest).\n", describe(results["machine"])]
    rows = [row for comparison in results["comparisons"] for row in target_rows(comparison)]
    rows += [*micro_rows(results.get("micro")), *instruction_rows(results.get("instructions")),
             *memory_rows(results.get("client_memory"))]
    parts += ["## Figures to reach\n", table(["what", "ratio of", "measured", "target", "reached"], rows)]
    parts += ["## Plots\n", "\n".join(f"![{title}]({name}.svg)" for name, title, *_ in PLOTS) + "\n"]
    parts += ["## All comparisons\n", "The bare sides are plain hiredis; `benchmarks/sides.cpp` says what they do.\n",
              comparisons(results), "Medians of the rounds, ours : the other side's. A call of a side that decides many "
              "at once is one call:\n", latencies(results)]
    for name, title, render in SECTIONS:
        if results.get(name):
            parts += [f"## {title}\n", render(results[name])]
    if results["failed"]:
        parts += ["## Failed\n", table(["what", "why"], [[row["what"], row["why"]] for row in results["failed"]])]
    return "\n".join(parts)


def as_it_is(text):
    return text if "| ---" in text else f"```text\n{text.rstrip()}\n```\n"


SECTIONS = [
    ("redis_benchmark", "redis-benchmark, for orientation", redis_benchmark),
    ("micro", "Without the network", micro),
    ("instructions", "Instructions per decision", as_it_is),
    ("client_memory", "Client memory", client_memory),
    ("outage", "An outage", as_it_is),
    ("false_denials", "False denials", as_it_is),
]

# --- plots: file, title, figure, factor, label and kind of the axis

PLOTS = [
    ("throughput", "Throughput", "decisions_per_second", 1e-3, "thousand decisions per second", "set yrange [0:*]"),
    ("p99", "Latency, 99th percentile", "p99_us", 1, "µs per call", "set logscale y"),
    ("redis_cpu", "Redis CPU per decision", "redis_cpu_us", 1, "µs of CPU per decision", "set logscale y"),
]
SIDES = [
    ("ours", "tollgate, one shared client", "#0b6e4f"),
    ("against", "plain hiredis, a connection per thread", "#c44536"),
]


def by_threads(comparisons):
    """Those that differ in the number of threads alone."""
    same = {"users": 64, "mix": "allow", "admission": "pipelined", "transport": "tcp", "clients": 1, "rate": 0,
            "ours": "tollgate", "against": "connection_per_thread"}
    chosen = [c for c in comparisons if all(c["parameters"][key] == value for key, value in same.items())]
    return sorted(chosen, key=lambda c: c["parameters"]["threads"])


def points(comparison, side, figure, factor):
    """threads, median, lowest, highest"""
    values = [round[side][figure] * factor for round in comparison["rounds"]]
    middle = median(comparison, side, figure) * factor
    return f"{comparison['parameters']['threads']} {middle} {min(values)} {max(values)}"


def plot(comparisons, file, title, figure, factor, label, axis):
    data = [f"${side} << EOD\n" + "\n".join(points(c, side, figure, factor) for c in comparisons) + "\nEOD\n"
            for side, *_ in SIDES]
    lines = [f"${side} using 1:2:3:4 with yerrorlines title '{name}' linecolor '{color}' linewidth 2 pointtype 7"
             for side, name, color in SIDES]
    script = f"""
set terminal svg size 720,440 font 'sans-serif,14' background 'white'
set output '{file}'
set encoding utf8
set title '{title}: median, lowest and highest of the rounds'
set xlabel 'threads'
set ylabel '{label}'
set logscale x 2
set xrange [0.9:290]
set xtics (1, 2, 4, 16, 64, 256)
{axis}
set grid ytics linecolor '#dddddd'
set border 3
set tics nomirror
set key outside bottom center horizontal height 1
{''.join(data)}plot {', '.join(lines)}
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.md").write_text(markdown(results))
    for name, *what in PLOTS:
        plot(by_threads(results["comparisons"]), folder / f"{name}.svg", *what)


if __name__ == "__main__":
    main()
