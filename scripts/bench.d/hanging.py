"""One hanging provider of ten: what the other nine's callers notice.

Ten integrations on one I/O thread. Nine are called at a fixed rate; the tenth is called beside them, by as many
connections as the pool of its integration admits and more, and is well in one half of each pair of rounds and hangs in
the other. Its breaker is disabled: an open breaker would end the hanging, and that is not what is measured. Pairs take
turns in which half comes first; the ratio of the nine's p99 is taken pair by pair.
"""

import pathlib
import statistics
import time

import load
from instances import PROVIDER_PORT, behave, causeway, sandbox
from processes import Process
from report import spread

PORT, SANDBOX_PORT = 19431, 19439
RATE, TENTH_RATE = 900, 100  # calls a second
LEAST_PAIRS = 7
BOUND = 1.05
PEER_CORE, LOAD_CORE = 0, 1
TIMEOUT_S = 1  # of an attempt of the tenth
NINE = [f"/v1/operations/bench.op{number}" for number in range(9)]
WELL = {"kind": "status", "status": 200, "body": {"id": "pay_1"}}
HANGS = {"kind": "hang"}


def measure(folder: pathlib.Path, rounds: int, seconds: int) -> int:
    running: list[Process] = []
    pairs = max(rounds, LEAST_PAIRS)
    try:
        running.append(Process(sandbox(SANDBOX_PORT), LOAD_CORE, folder))
        running.append(Process(causeway("causeway-hanging", folder, PORT, files()), PEER_CORE, folder))
        p99: dict[bool, list[float]] = {False: [], True: []}
        errors = {False: 0, True: 0}
        hung = 0
        for number in range(pairs):
            for hangs in (False, True) if number % 2 == 0 else (True, False):
                seen, tenth = round_of(hangs, seconds)
                p99[hangs].append(seen.p99_us)
                errors[hangs] += seen.errors
                hung += tenth.errors if hangs else 0
        return show(p99, errors, hung)
    finally:
        for process in reversed(running):
            process.stop()


def round_of(hangs: bool, seconds: int) -> tuple[load.Seen, load.Seen]:
    behave(SANDBOX_PORT, "/tenth", HANGS if hangs else WELL)
    base = f"http://127.0.0.1:{PORT}"
    tenth = load.Load(f"{base}/v1/operations/bench.tenth", seconds + 2, LOAD_CORE, TENTH_RATE)
    time.sleep(1)  # until the tenth's pool is as full as it gets
    seen = load.pace(base, seconds, LOAD_CORE, RATE, NINE)
    ended = tenth.seen()
    time.sleep(TIMEOUT_S + 0.5)  # what hangs has timed out before the next half
    return seen, ended


def files() -> dict[str, str]:
    made = {}
    for number in range(9):
        made[f"integrations/op{number}.toml"] = (
            f'base_url = "http://127.0.0.1:{PROVIDER_PORT}"\n[endpoints.echo]\nmethod = "POST"\npath = "/echo"\n'
            'idempotency = "safe"\n')
        made[f"operations/bench.op{number}.toml"] = f'[[steps]]\nname = "echo"\ncall = "op{number}.echo"\n'
    made["integrations/tenth.toml"] = (
        f'base_url = "http://127.0.0.1:{SANDBOX_PORT}"\n[timeouts]\nfirst_byte = "{TIMEOUT_S}s"\n[retry]\nmax_retries = 0\n'
        '[breaker]\nmode = "disabled"\n[endpoints.get]\nmethod = "GET"\npath = "/tenth"\n')
    made["operations/bench.tenth.toml"] = '[[steps]]\nname = "get"\ncall = "tenth.get"\n'
    return made


def show(p99: dict[bool, list[float]], errors: dict[bool, int], hung: int) -> int:
    ratios = [with_one / without for with_one, without in zip(p99[True], p99[False], strict=True)]
    print(f"\n| nine integrations at {RATE}/s, the tenth beside them | p99 µs | errors |\n|---|---|---|")
    print(f"| the tenth is well | {spread(p99[False], 0)} | {errors[False]} |")
    print(f"| the tenth hangs ({hung} of its calls failed) | {spread(p99[True], 0)} | {errors[True]} |")
    middle = statistics.median(ratios)
    # Where the same half differs from pair to pair by more than what is looked for, nothing can be said.
    noise = max(statistics.median(values) and (max(values) - min(values)) / statistics.median(values)
                for values in p99.values())
    if errors[False] or errors[True]:
        verdict = "not met: success is not equal" if errors[True] > errors[False] else "void"
    elif not hung:
        verdict = "void: the tenth did not hang"
    elif middle <= BOUND:
        verdict = "met" if noise <= 0.5 else f"within the bound, but inconclusive: p99 varies by {noise:.0%} in itself"
    else:
        verdict = "not met" if noise <= 0.5 else f"inconclusive: p99 varies by {noise:.0%} in itself"
    print(f"\np99 of the others ≤ {BOUND} × in the median of {len(ratios)} pairs: {spread(ratios, 2)}: {verdict}")
    return 1 if verdict.startswith("void") else 0
