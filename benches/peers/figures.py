"""Figures into lines: every round as it was measured, then medians, spread, ratio, bar and verdict.

An absolute bar holds on the machine of the reference table, so the figure beside it is scaled: measured here x what the peer
reached there / what it reached here, in the same rounds.
"""

import hashlib
import os
import platform
import subprocess
import time

# The reference table: a 2-core EPYC, Linux 6.18; requests, writes or rows a second.
THERE = {
    "epoll": 170_000,
    "epoll, 16 pipelined": 1_470_000,
    "redis GET -P16": 630_000,
    "redis SET, appendfsync always": 52_500,
    "sled alone": 99_000,
}

# More than this for anything else, and a run was not alone on the machine.
QUIET_CORES = 0.1
# A server that answers fewer of the requests that are due falls behind for good.
SUSTAINED = 0.97


def median(figures):
    ordered = sorted(figures)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def shown(figure):
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def spread(figures):
    return f"{shown(median(figures))} ({shown(min(figures))}-{shown(max(figures))})"


class Sheet:
    """What one row of the table writes: raw rounds, and verdicts, which begin with `= `."""

    def __init__(self):
        self.lines = []
        self.bad = []
        self.behind = []
        self.runs = self.disturbed = 0

    def say(self, line):
        print(line, flush=True)
        self.lines.append(line)

    def told(self, who, report):
        """One run of the client, as it was."""
        cores = " ".join(f"{name} {report[name]:.2f}" for name in ("client", "server", "others", "stolen"))
        for stream in report["streams"]:
            us = stream["microseconds"]
            times = " ".join(f"{name} {us[name]:.0f}" for name in ("p50", "p90", "p99", "p99.9", "max"))
            self.say(f"  {who}, {stream['name']}: {stream['rate']:.0f}/s; us: {times}; cores: {cores}")
            if stream["arrived"] < SUSTAINED * stream["rate"]:
                self.say(f"    NOT SUSTAINED: only {stream['arrived']:.0f}/s were answered meanwhile")
                self.behind.append(f"{who}, {stream['name']}: {stream['arrived']:.0f} of {stream['rate']:.0f}/s")
            for kind, count in stream["bad"].items():
                self.say(f"    NOT AS EXPECTED: {count} of {stream['answers'] + count}: {kind}")
                self.bad.append(f"{who}, {stream['name']}: {count} {kind}")
        self.runs += 1
        if report["others"] + report["stolen"] > QUIET_CORES:
            self.disturbed += 1
            self.say(f"    DISTURBED: something else had {report['others'] + report['stolen']:.2f} cores meanwhile")

    def ratio(self, what, ours, peers, bar=None, unit="/s", at_most=False):
        """The ratio of medians, against a bar that is a ratio itself."""
        found = median(ours) / median(peers)
        sides = f"{spread(ours)} against {spread(peers)} {unit}"
        self.verdict(f"{what}: {sides} = {found:.2f}x", found, bar, "x", at_most)

    def scaled(self, what, ours, peer, peers, bar, unit="/s", at_most=False):
        """A figure with an absolute bar, beside a peer of the reference table that was measured in turns with it."""
        factor = THERE[peer] / median(peers)
        # What takes time takes less of it on a faster machine.
        found = median(ours) / factor if at_most else median(ours) * factor
        sides = f"{spread(ours)} {unit}; {peer} {spread(peers)} here, {THERE[peer]:,} there"
        self.verdict(f"{what}: {sides}; scaled: {shown(found)} {unit}", found, bar, f" {unit}", at_most)

    def verdict(self, text, found, bar, unit="", at_most=False):
        if bar is not None:
            holds = found <= bar if at_most else found >= bar
            mark = "holds" if holds else "BELOW" if not at_most else "ABOVE"
            text += f"; bar {'<=' if at_most else '>='} {bar:,}{unit}: {mark}"
        self.say(f"= {text}")

    def end(self):
        if self.behind:
            self.say(f"= NOT SUSTAINED in {len(self.behind)} of {self.runs} runs, the first: {self.behind[0]}")
        if self.disturbed:
            self.say(f"= DISTURBED: in {self.disturbed} of {self.runs} runs something else had over {QUIET_CORES} cores")
        if self.bad:
            self.say(f"= NOT VALID, answers were not as expected: {'; '.join(self.bad[:5])}")


def machine(program):
    """What the figures were measured on, and with."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    model = next((value.strip() for name, value in fields.items() if name.strip() == "model name"), platform.machine())
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(file.readline().split()[1]) >> 20
    with open(program, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    folder = os.environ.get("TMPDIR", "/tmp")
    system = told(["findmnt", "-nro", "FSTYPE", "-T", folder])
    load = " ".join(f"{one:.2f}" for one in os.getloadavg())
    peers = [
        told(["nginx", "-v"]).replace("nginx version: ", ""),
        told(["redis-server", "--version"]).split(" sha")[0],
        told(["wrk", "-v"]).split(" Copyright")[0].split("\n")[0],
    ]
    return [
        f"# {time.strftime('%F %R', time.gmtime())} UTC; {os.cpu_count()} cores of {model}, {memory} GiB, Linux {platform.release()}, {system}; load average {load}",
        f"# {told([program, '--version'])} (SHA-256 {digest}…), sources {told(['git', 'describe', '--always', '--dirty'])}; {'; '.join(peers)}; {told(['rustc', '--version'])}",
    ]


def told(command):
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=10)
        return (ran.stdout + ran.stderr).strip()
    except (OSError, subprocess.TimeoutExpired):
        return f"no {command[0]}"
