"""What was measured of the durable path, as tables, and the targets of docs/performance.md judged by it."""

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

from disk import GROUP, Syncs
from queues import TITLES
from report import BUSY_LOAD, spread

if TYPE_CHECKING:
    from durable import Measured, Round

OURS = ["causeway-sqlite", "causeway-postgres"]
NOISE = 0.5  # a p99 whose rounds differ by more than this share of their median proves nothing


@dataclass(frozen=True)
class Target:
    """Our figure ≤ (or ≥) `bound`, or so many times `other`'s; without a bound it is only told."""

    text: str
    figure: Callable[["Round"], list[float]]
    bound: float | None
    other: str | None = None
    at_least: bool = False
    noisy: bool = False
    callers: int = 64
    digits: int = 2


TARGETS = [
    Target("accepted/s ≥ 2 × naive", lambda r: r.accepted, 2, "naive", at_least=True),
    Target("accepted/s ≥ 4 × Restate", lambda r: r.accepted, 4, "restate", at_least=True),
    Target("delivered/s ≥ 1.5 × naive", lambda r: r.delivered, 1.5, "naive", at_least=True),
    Target("delivered/s ≥ 8 × Restate", lambda r: r.delivered, 8, "restate", at_least=True),
    Target("CPU per job ≤ 90 µs", lambda r: r.cpu_us, 90, digits=0),
    Target("CPU per job, times naive's", lambda r: r.cpu_us, None, "naive"),
    Target("p99 of accepting ≤ naive's, 64 callers", lambda r: r.p99_us, 1, "naive", noisy=True),
    Target("p99 of accepting ≤ naive's, 512 callers", lambda r: r.p99_us, 1, "naive", noisy=True, callers=512),
]


def show(measured: dict[str, "Measured"], syncs: Syncs, load1: float, rounds: int, seconds: int) -> int:
    """Prints everything; 1 if a figure is void, else 0."""
    print(f"\n{rounds} rounds of {seconds} s per peer and number of callers, taking turns; median (min–max). Load before the run: "
          f"{load1:.2f}")
    if load1 >= BUSY_LOAD:
        print(f"NOTE: load ≥ {BUSY_LOAD} before the run: steer by CPU and ratios; rates and p99 do not count.")
    print(f"The disk, in the same rounds: {spread(syncs.single, 0)} appends of 1 KiB synced a second, one by one; "
          f"{spread([rate * GROUP for rate in syncs.grouped], 0)} in groups of {GROUP} ({spread(syncs.grouped, 0)} syncs).")
    for callers in next(iter(measured.values())).by_callers:
        print(f"\n| {callers} callers | accepted/s | p50 ms | p99 ms | delivered/s | CPU µs/job | KiB written/job "
              "| memory MiB |\n|---|---|---|---|---|---|---|---|")
        for name, m in measured.items():
            r = m.by_callers[callers]
            ms = lambda values: spread([value / 1000 for value in values], 1)
            print(f"| {TITLES[name]} | {spread(r.accepted, 0)} | {ms(r.p50_us)} | {ms(r.p99_us)} | {spread(r.delivered, 0)} "
                  f"| {spread(r.cpu_us, 0)} | {spread(r.written_kib, 1)} | {m.busy_mib:.0f} |")
    targets_table(measured)
    void = {name: m.faults for name, m in measured.items() if m.faults}
    for name, faults in void.items():
        print(f"\n!!! VOID: {TITLES[name]}: {'; '.join(faults)}. Its figures mean nothing.")
    return 1 if void else 0


def targets_table(measured: dict[str, "Measured"]) -> None:
    print("\n| target | on | measured, round by round | verdict |\n|---|---|---|---|")
    for target in TARGETS:
        for ours in OURS:
            if ours in measured and (target.other is None or target.other in measured):
                value, judged = verdict(target, ours, measured)
                print(f"| {target.text} | {TITLES[ours].removeprefix('Causeway on ')} | {value} | {judged} |")


def verdict(target: Target, ours: str, measured: dict[str, "Measured"]) -> tuple[str, str]:
    sides = [measured[name] for name in (ours, target.other) if name]
    if any(side.faults for side in sides):
        return "—", "void"
    figures = [target.figure(side.by_callers[target.callers]) for side in sides]
    values = figures[0] if len(figures) == 1 else [mine / theirs for mine, theirs in zip(*figures, strict=True)]
    told = spread(values, target.digits)
    if target.bound is None:
        return told, "no target"
    return told, judge(values, target.bound, target.at_least, figures if target.noisy else [])


def judge(values: list[float], bound: float, at_least: bool = False, noise_of: list[list[float]] = ()) -> str:
    """Met or not by the median; inconclusive where rounds disagree and what they are about varies too much in itself."""
    reaches = lambda value: value >= bound if at_least else value <= bound
    judged = "met" if reaches(statistics.median(values)) else "not met"
    if len({reaches(value) for value in values}) == 1:
        return judged
    noise = max(((max(figure) - min(figure)) / statistics.median(figure) for figure in noise_of), default=0.0)
    return f"inconclusive: varies by {noise:.0%} in itself" if noise > NOISE else f"{judged}, but not in every round"
