#!/usr/bin/python3
"""Runs the benchmarks one after the other and writes all they say, and on what machine, into <folder>/results.json.

Usage: suite.py <folder with the built benchmarks> <folder for the results> [--quick]     (scripts/bench calls it)
Ends non-zero when one of them failed; what the others said is written all the same.
"""
import csv
import datetime
import json
import os
import pathlib
import platform
import socket
import subprocess
import sys
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parent.parent
THREADS = [1, 2, 4, 16, 64, 256]


def at_least(bound, figure="decisions_per_second", statistic="median"):
    return {"figure": figure, "statistic": statistic, "at_least": bound}


def at_most(bound, figure, statistic="median"):
    return {"figure": figure, "statistic": statistic, "at_most": bound}


def lone(bound):
    return [at_most(bound, "p50_us", "upper_quartile"), at_most(bound, "p99_us", "upper_quartile")]


# What the ratio tollgate : a connection per thread in plain hiredis has to be, by the number of threads.
BY_THREADS = {
    1: lone(1.05),
    2: [at_least(0.9)],
    4: [at_least(1.0)],
    16: [at_least(1.8), at_most(0.8, "p99_us")],
    64: [at_least(3.0), at_most(0.5, "p99_us"), at_most(0.25, "redis_cpu_us")],
    256: [at_least(3.0), at_most(0.5, "p99_us"), at_most(0.25, "redis_cpu_us")],
}
PAIRS = {"rounds": 15, "seconds": 0.5}
# Few threads let the CPUs fall asleep between calls, or not: a mode of either side, which changes from second to second.
FEW = {"rounds": 25, "seconds": 0.5}
GATE = {"threads": 16, "transport": "gate", "against": "lone_plain_times_threads"}


def cases():
    """(title, arguments of `load`, targets) of each comparison."""
    for threads in THREADS:
        title = "lone caller, allow" if threads == 1 else f"{threads} threads, one shared client"
        yield title, {"threads": threads, **(PAIRS if threads == 1 else FEW if threads <= 4 else {"seconds": 2})}, BY_THREADS[threads]
    yield "lone caller, deny", {"threads": 1, "mix": "deny", **PAIRS}, lone(1.10)
    yield "1 ms network, allow", GATE, [at_least(0.98)]
    yield "1 ms network, deny", {**GATE, "mix": "deny"}, [at_least(0.98)]
    yield "1 ms network, deny : a plain allow", {
        **GATE, "mix": "deny", "against": "lone_plain_allowed_times_threads"}, []
    yield "1 ms network, a connection per thread : lone × 16", {**GATE, "ours": "connection_per_thread"}, []
    yield "two shared clients : the ceiling", {"clients": 2, "against": "ceiling"}, [at_least(0.27)]
    yield "`consume_all` of 64 : the same depth", {"threads": 2, "ours": "consume_all", "against": "plain_depth"}, [
        at_least(0.95)
    ]
    # Load shapes: 64 threads unless said otherwise.
    yield "one hot user", {"users": 1}, []
    yield "1 000 users", {"users": 1000}, []
    yield "1 000 000 users", {"users": 1000000}, []
    yield "deny, deny memory off", {"mix": "deny"}, []
    yield "deny, deny memory on", {"mix": "deny", "deny_memory": "on"}, []
    yield "half denied, deny memory off", {"mix": "mixed"}, []
    yield "half denied, deny memory on", {"mix": "mixed", "deny_memory": "on"}, []
    yield "`kAtomic`", {"admission": "atomic"}, []
    yield "`kAtomic`, half denied", {"admission": "atomic", "mix": "mixed"}, []
    yield "`kAtomic` : `kPipelined`", {"admission": "atomic", "against": "tollgate_pipelined"}, []
    yield "Unix socket, 1 thread", {"threads": 1, "transport": "unix"}, []
    yield "Unix socket, 16 threads", {"threads": 16, "transport": "unix"}, []
    yield "Unix socket, 64 threads", {"transport": "unix"}, []
    yield "one plain connection with a mutex", {"against": "one_connection_with_mutex"}, []
    yield "a connection per thread : the ceiling", {"ours": "connection_per_thread", "against": "ceiling"}, []
    for rate in [10_000, 50_000, 100_000]:
        yield f"open loop, {rate // 1000} 000 calls/s", {"rate": rate}, []


def run(command):
    """What the command prints; what it says besides goes to the terminal."""
    print("+", *command, file=sys.stderr, flush=True)
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True, text=True).stdout


def run_case(load, title, arguments, targets, quick):
    if quick:
        arguments = {**arguments, "rounds": 3, "seconds": 0.2}
    words = [f"{key}={value}" for key, value in arguments.items()]
    return {"title": title, "command": " ".join(["load", *words]), "targets": targets,
            **json.loads(run([load, *words]))}


def redis_benchmark(quick):
    """Redis's own figure for INCRBY alone, on a server of its own: a decision takes one INCRBY and one EXPIRE."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as directory:
        server = subprocess.Popen(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
                                   "--appendonly", "no", "--dir", directory, "--logfile", "log"])
        try:
            ping = ["redis-cli", "-p", port, "PING"]
            while subprocess.run(ping, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout != b"PONG\n":
                time.sleep(0.05)
            rows = []
            for depth, count in [(1, 400_000), (64, 4_000_000)]:
                text = run(["redis-benchmark", "-p", port, "-c", "64", "-P", depth, "-n", count // (10 if quick else 1),
                            "-r", "64", "--csv", "INCRBY", "user___rand_int__", "1"])
                rows.append({"connections": 64, "depth": depth, **list(csv.DictReader(text.splitlines()))[0]})
            return rows
        finally:
            server.terminate()
            server.wait()


def machine(build):
    def first_line(*command):
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[0].strip()

    def field(path, separator, name):
        for line in pathlib.Path(path).read_text().splitlines():
            if line.startswith(name):
                return line.split(separator, 1)[1].strip()
        return "unknown"

    def git(*command):
        return subprocess.run(["git", "-C", PROJECT, *command], stdout=subprocess.PIPE, text=True).stdout.strip()

    cache = build.parent / "CMakeCache.txt"
    return {
        "cpu": field("/proc/cpuinfo", ":", "model name"),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "redis": first_line("redis-server", "--version"),
        "hiredis": first_line("pkg-config", "--modversion", "hiredis"),
        "compiler": first_line(field(cache, "=", "CMAKE_CXX_COMPILER:"), "--version"),
        "build_type": field(cache, "=", "CMAKE_BUILD_TYPE:"),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": git("rev-parse", "HEAD") + (" and changes" if git("status", "--porcelain") else ""),
    }


def main():
    quick = "--quick" in sys.argv
    build, folder = [pathlib.Path(word) for word in sys.argv[1:] if word != "--quick"]
    results = {"machine": machine(build), "quick": quick, "comparisons": [], "failed": []}

    def attempt(name, step):
        """What the step returns, or nothing when it fails."""
        try:
            return step()
        except (subprocess.CalledProcessError, OSError, ValueError) as error:
            said = " ".join((getattr(error, "stdout", None) or "").split())
            results["failed"].append({"what": name, "why": f"{error} {said}"})
            print(f"{name}: {error}", file=sys.stderr)
            return None
        finally:
            (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")

    for title, arguments, targets in cases():
        result = attempt(title, lambda: run_case(build / "load", title, arguments, targets, quick))
        if result:
            results["comparisons"].append(result)

    micro = [build / "micro", "--benchmark_format=json", *(["--benchmark_min_time=0.1"] if quick else [])]
    memory = [build / "client_memory", f"users={100_000 if quick else 10_000_000}"]
    outage = [build / "outage", *([1, 1] if quick else [])]
    false_denials = [build / "false_denials", *([1] if quick else [])]
    instructions = ["env", f"TOLLGATE_INSTRUCTIONS_PROGRAM={(build / 'instructions').resolve()}",
                    PROJECT / "scripts" / "check-instructions"]
    results["redis_benchmark"] = attempt("redis-benchmark", lambda: redis_benchmark(quick))
    results["micro"] = attempt("micro", lambda: json.loads(run(micro))["benchmarks"])
    results["client_memory"] = attempt("client_memory", lambda: json.loads(run(memory)))
    results["outage"] = attempt("outage", lambda: run(outage))
    results["false_denials"] = attempt("false_denials", lambda: run(false_denials))
    results["instructions"] = attempt("instructions", lambda: run(instructions))
    attempt("the end", lambda: None)
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
