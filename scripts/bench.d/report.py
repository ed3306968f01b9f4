"""What was measured, as tables, and the targets of docs/performance.md judged by it."""

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from sync import Measured

BUSY_LOAD = 1.5
PACED_RATE = 2000  # requests a second; wrk's own start and end cost a little of it
LEAST_PACED = 0.98
LEAST_LOGGED = 0.99  # lines per request; below it the log was dropped, and its cost with it

TITLES = {
    "nginx": "nginx proxy_pass, keep-alive",
    "envoy": "Envoy, same features, access log",
    "naive": "actix-web + reqwest, no features",
    "causeway": "Causeway, attempt log written",
    "causeway-quiet": "Causeway, attempt log sampled off",
    "causeway-mapped": "Causeway, five fields mapped each way",
}


@dataclass(frozen=True)
class Target:
    """`peer`'s figure ≤ (or ≥) `bound` times `other`'s."""

    text: str
    peer: str
    other: str
    figure: Callable[["Measured"], list[float]]
    bound: float
    at_least: bool = False
    paced: bool = False


TARGETS = [
    Target("CPU per operation ≤ 0.8 × Envoy", "causeway", "envoy", lambda m: m.cpu_us, 0.8),
    Target("CPU per operation ≤ 1.6 × naive, log written", "causeway", "naive", lambda m: m.cpu_us, 1.6),
    Target("CPU per operation ≤ 1.2 × naive, log sampled off", "causeway-quiet", "naive", lambda m: m.cpu_us, 1.2),
    Target("CPU per operation, mapped ≤ 1.8 × passed through", "causeway-mapped", "causeway", lambda m: m.cpu_us, 1.8),
    Target("throughput ≥ 1.3 × Envoy", "causeway", "envoy", lambda m: m.rps, 1.3, at_least=True),
    Target("p99 at 2,000/s ≤ 1.2 × naive", "causeway", "naive", lambda m: m.paced_p99_us, 1.2, paced=True),
]


def show(measured: dict[str, "Measured"], load1: float, rounds: int, seconds: int) -> int:
    """Prints everything; 1 if a figure is void, else 0."""
    print(f"\n{rounds} rounds of {seconds} s per peer, taking turns; median (min–max). Load before the run: {load1:.2f}")
    if load1 >= BUSY_LOAD:
        print(f"NOTE: load ≥ {BUSY_LOAD} before the run: steer by CPU and ratios; rates and p99 do not count.")
    saturated_table(measured)
    paced_table(measured)
    problems = {name: found for name, m in measured.items() if (found := faults(m))}
    paced_problems = {name: found for name, m in measured.items() if (found := paced_faults(m))}
    targets_table(measured, problems, paced_problems)
    for name, found in problems.items():
        print(f"\n!!! VOID: {TITLES[name]}: {found}. Its figures mean nothing.")
    for name, found in paced_problems.items():
        print(f"\n!!! VOID: {TITLES[name]}: {found}. Its figures at a fixed rate mean nothing.")
    return 1 if problems or paced_problems else 0


def saturated_table(measured: dict[str, "Measured"]) -> None:
    print("\n| peer | operations/s | CPU µs/operation | p50 µs | p99 µs | log lines/op | RSS idle MiB | RSS busy MiB "
          "| start ms | errors |\n|---|---|---|---|---|---|---|---|---|---|")
    for name, m in measured.items():
        logged = spread(m.logged, 2) if m.logged else "—"
        print(f"| {TITLES[name]} | {spread(m.rps, 0)} | {spread(m.cpu_us, 1)} | {spread(m.p50_us, 0)} "
              f"| {spread(m.p99_us, 0)} | {logged} | {m.idle_mib:.1f} | {m.busy_mib:.1f} | {spread(m.start_ms, 0)} "
              f"| {m.errors} |")


def paced_table(measured: dict[str, "Measured"]) -> None:
    paced = {name: m for name, m in measured.items() if m.paced_rate}
    if not paced:
        return
    print("\n| at 2,000/s | reached/s | p50 µs | p99 µs | errors |\n|---|---|---|---|---|")
    for name, m in paced.items():
        print(f"| {TITLES[name]} | {spread(m.paced_rate, 0)} | {spread(m.paced_p50_us, 0)} "
              f"| {spread(m.paced_p99_us, 0)} | {m.paced_errors} |")


def targets_table(measured: dict[str, "Measured"], problems: dict[str, str], paced_problems: dict[str, str]) -> None:
    rows = [(target, verdict(target, measured, paced_problems if target.paced else problems)) for target in TARGETS
            if target.peer in measured and target.other in measured]
    if rows:
        print("\n| target | measured | verdict |\n|---|---|---|")
    for target, (value, judged) in rows:
        print(f"| {target.text} | {value} | {judged} |")


def verdict(target: Target, measured: dict[str, "Measured"], void: dict[str, str]) -> tuple[str, str]:
    if target.peer in void or target.other in void:
        return "—", "void"
    pairs = zip(target.figure(measured[target.peer]), target.figure(measured[target.other]), strict=True)
    ratios = [ours / theirs for ours, theirs in pairs]
    reaches = lambda ratio: ratio >= target.bound if target.at_least else ratio <= target.bound
    judged = "met" if reaches(statistics.median(ratios)) else "not met"
    if len({reaches(ratio) for ratio in ratios}) > 1:
        judged += ", but not in every round"
    return spread(ratios, 2), judged


def faults(m: "Measured") -> str:
    if m.errors:
        return f"{m.errors} errors or answers other than success under load"
    if m.logged and min(m.logged) < LEAST_LOGGED:
        return f"only {min(m.logged):.2f} log lines per operation were written"
    return ""


def paced_faults(m: "Measured") -> str:
    if m.paced_errors:
        return f"{m.paced_errors} errors or answers other than success at a fixed rate"
    if m.paced_rate and min(m.paced_rate) < LEAST_PACED * PACED_RATE:
        return f"only {min(m.paced_rate):.0f} requests a second of {PACED_RATE} were answered"
    return ""


def spread(values: list[float], digits: int) -> str:
    if not values:
        return "—"
    number = lambda value: f"{value:,.{digits}f}"
    if len(values) == 1:
        return number(values[0])
    return f"{number(statistics.median(values))} ({number(min(values))}–{number(max(values))})"
