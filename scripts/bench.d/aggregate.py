"""Three integrations called side by side by one operation, beside its slowest leg alone: what aggregation adds.

The provider is the sandbox; its answers take 5, 10 and 20 ms. The aggregate and the slowest leg take turns at the same
fixed rate; the ratio of their medians is taken round by round.
"""

import pathlib
import statistics

import load
from instances import behave, causeway, sandbox
from processes import Process
from report import spread

PORT, SANDBOX_PORT = 19421, 19429
LEGS_MS = {"fast": 5, "middle": 10, "slow": 20}
RATE = 200  # operations a second
BOUND = 1.2
PEER_CORE, LOAD_CORE = 0, 1


def measure(folder: pathlib.Path, rounds: int, seconds: int) -> int:
    running: list[Process] = []
    try:
        running.append(Process(sandbox(SANDBOX_PORT), LOAD_CORE, folder))
        for leg, delay in LEGS_MS.items():
            answer = {"kind": "status", "status": 200, "body": {"leg": leg}, "delay_ms": delay}
            behave(SANDBOX_PORT, f"/{leg}", answer)
        running.append(Process(causeway("causeway-aggregate", folder, PORT, files()), PEER_CORE, folder))
        aggregate, slowest = [], []
        errors = 0
        for _ in range(rounds):
            for operation, into in (("bench.all", aggregate), ("bench.slow", slowest)):
                seen = load.pace(f"http://127.0.0.1:{PORT}/v1/operations/{operation}", seconds, LOAD_CORE, RATE)
                into.append(seen.p50_us / 1000)
                errors += seen.errors
        return show(aggregate, slowest, errors)
    finally:
        for process in reversed(running):
            process.stop()


def files() -> dict[str, str]:
    made = {}
    for leg in LEGS_MS:
        made[f"integrations/{leg}.toml"] = (
            f'base_url = "http://127.0.0.1:{SANDBOX_PORT}"\n[pool]\nmax_in_flight = 256\nmax_idle = 256\n'
            f'[endpoints.get]\nmethod = "GET"\npath = "/{leg}"\n')
    steps = "".join(f'[[steps]]\nname = "{leg}"\ncall = "{leg}.get"\n' for leg in LEGS_MS)
    result = "result = '{ " + ", ".join(f"{leg}: .steps.{leg}.result.leg" for leg in LEGS_MS) + " }'\n"
    made["operations/bench.all.toml"] = result + steps
    made["operations/bench.slow.toml"] = '[[steps]]\nname = "slow"\ncall = "slow.get"\n'
    return made


def show(aggregate: list[float], slowest: list[float], errors: int) -> int:
    ratios = [ours / theirs for ours, theirs in zip(aggregate, slowest, strict=True)]
    print(f"\n| three integrations side by side, {RATE}/s | p50 ms |\n|---|---|")
    print(f"| slowest leg alone (20 ms at the provider) | {spread(slowest, 1)} |")
    print(f"| aggregate of 5, 10 and 20 ms | {spread(aggregate, 1)} |")
    verdict = "void" if errors else "met" if statistics.median(ratios) <= BOUND else "not met"
    print(f"\naggregate p50 ≤ {BOUND} × its slowest leg: {spread(ratios, 2)}: {verdict}")
    if errors:
        print(f"!!! VOID: {errors} errors")
    return 1 if errors else 0
