"""What waits: queued runs, runs that a person has to look at, and the store that all of them are in."""

from dashboard import ANY, MESH, SELECTED, dashboard, quantile
from grafana import GREEN, ORANGE, RED, bars, graph, query, stat, steps

# The bounds of the alert.
DEPTH = steps(GREEN, (100, ORANGE), (1000, RED))
MANY = steps(GREEN, (1, ORANGE), (10, RED))
PENDING = f'causeway_queue_depth{{{SELECTED},state="pending"}}'


def increase(metric, by, selected, over="$__rate_interval"):
    return f"sum by ({by}) (increase({metric}{{{selected}}}[{over}]))"


NOW = [
    stat("Pending", "Queued runs whose turn it is. The alerts begin at 100 and 1000 of one integration.", "short",
         [query(f"max(sum by (integration) ({PENDING}))", "pending", instant=True)], thresholds=DEPTH, width=6),
    stat("Oldest", "How long the oldest run that could be executed has waited.", "s",
         [query(f"max(causeway_queue_oldest_seconds{{{SELECTED}}})", "oldest", instant=True)], width=6),
    stat("Dead letters", "Runs that a person has to look at: in doubt, or failed for good.", "short",
         [query(f"sum(causeway_dead_letters{{{SELECTED}}})", "dead letters", instant=True)], thresholds=ANY, width=6),
    stat("Died in the last hour", "Runs that became dead letters. The alerts begin at any and at 10 of one integration.",
         "short", [query(f"sum(increase(causeway_dead_letters_total{{{SELECTED}}}[1h]))", "died", instant=True)],
         thresholds=MANY, width=6),
]

QUEUES = [
    graph("Pending", """Queued runs whose turn it is, by integration. One whose breaker is open, whose limits are drained or
          that is paused takes none. The lines are where the alerts begin: 100 and 1000.""",
          "short", [query(f"sum by (integration) ({PENDING})", "{{integration}}")], thresholds=DEPTH, width=12),
    graph("Delayed and executed", "Runs that wait for their time (a retry, `X-Not-Before`), and runs that are executed.",
          "short", [query(f'sum by (integration, state) (causeway_queue_depth{{{SELECTED},state!="pending"}})',
                          "{{integration}} · {{state}}")], width=12),
    graph("Oldest", "How long the oldest run that could be executed has waited, by integration.", "s",
          [query(f"max by (integration) (causeway_queue_oldest_seconds{{{SELECTED}}})", "{{integration}}")], width=12),
    graph("Idempotency keys", """What became of requests with a key, per second: `new`, `replayed` (answered as before), `attached` (to the
          run under way), `conflict`, `mismatch` (the key was used for something else).""", "reqps",
          [query(f"sum by (result) (rate(causeway_idempotency_total{{{MESH}}}[$__rate_interval]))", "{{result}}")],
          width=12),
]

DEAD = [
    bars("Dead letters by operation", "Runs that a person has to look at, by integration and operation.", "short",
         [query(f"sort_desc(sum by (integration, operation) (causeway_dead_letters{{{SELECTED}}}) > 0)",
                "{{integration}} · {{operation}}", instant=True)], width=8, most=None),
    graph("Runs that die", "Runs that became dead letters, by integration, in an hour.", "short",
          [query(increase("causeway_dead_letters_total", "integration", SELECTED, "1h"), "{{integration}}")],
          thresholds=MANY),
    graph("Asked again", """Times in an hour that providers were to be asked about runs in doubt: `found`, `absent`, `undecided` (the answer
          told nothing), `not_asked` (the breaker was open, or a limit drained).""", "short",
          [query(increase("causeway_reconciliations_total", "result", MESH, "1h"), "{{result}}")]),
]

STORE = [
    graph("Commits", "How long half, and 99 %, of the groups of writes took until they were on disk.", "s",
          [query(quantile(q, "causeway_store_commit_seconds", "job", MESH), f"p{int(q * 100)}") for q in (0.5, 0.99)]),
    graph("Writes in a commit", "How many writes half, and 99 %, of the commits had: the slower the disk, the more.", "short",
          [query(quantile(q, "causeway_store_batch_size", "job", MESH), f"p{int(q * 100)}") for q in (0.5, 0.99)]),
    graph("Failures", """Writes per second that the store did not take, each answered 503 `store_unavailable`; and what became of
          attempts that it was not asked to take.""", "ops",
          [query(f"sum(rate(causeway_store_errors_total{{{MESH}}}[$__rate_interval]))", "errors"),
           query(f'sum(rate(causeway_dropped_total{{{MESH},kind="attempt_log"}}[$__rate_interval]))', "attempts let go of")]),
]

DASHBOARD = dashboard("causeway-queues", "Causeway: queues",
                      "Queued runs, dead letters and the store: what waits, for how long, and for whom.",
                      [("Now", NOW), ("Queues", QUEUES), ("Dead letters", DEAD), ("Store", STORE)], False)
