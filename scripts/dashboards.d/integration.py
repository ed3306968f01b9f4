"""One integration: what its provider does, what Causeway does about it, and what is left to do it with."""

from dashboard import (BASELINE, ERROR_RATE, P99, SELECTED, STATE_WORDS, TIMES_BASELINE, dashboard, error_rate,
                       quantile, state)
from grafana import BLUE, GREEN, GREY, ORANGE, RED, bars, graph, override, query, stat, states, steps


def rate(metric, by, more=""):
    return f"sum by ({by}) (rate({metric}{{{SELECTED}{more}}}[$__rate_interval]))"


def increase(metric, by="", over="1h"):
    return f"sum by ({by}) (increase({metric}{{{SELECTED}}}[{over}]))"


NOW = [
    stat("Breaker", "The state of its breaker, the worst of the instances.", "none",
         [query(state("integration"), "breaker", instant=True)], mappings=STATE_WORDS),
    stat("Attempts", "Attempts that ended, per second, over the last 5 minutes.", "reqps",
         [query(f"sum(rate(causeway_attempts_total{{{SELECTED}}}[5m]))", "attempts", instant=True)]),
    stat("Errors",
         """Of the attempts of the last 5 minutes, those that failed on the provider's side. The alerts begin at 1
         % and 5 %.""",
         "percentunit", [query(error_rate("", over="5m"), "errors", instant=True)], thresholds=ERROR_RATE),
    stat("p99", "99 % of the attempts of the last 5 minutes took at most this long.", "s",
         [query(P99, "p99", instant=True)]),
    stat("p99 / baseline",
         """How many times the baseline, the median p99 of a day until 10 minutes ago, the p99 of the last 5
         minutes is. The alerts begin at 2 and 5 times. Empty until there is a baseline.""",
         "suffix:×", [query(f"{P99} / {BASELINE}", "p99 / baseline", instant=True)], thresholds=TIMES_BASELINE),
    stat("Tightest limit left", "What is left of the limit that has the smallest share left, at any instance.",
         "percentunit",
         [query(f"min(causeway_limit_remaining{{{SELECTED}}} / causeway_limit_capacity)", "left", instant=True)],
         thresholds=steps(RED, (0.1, ORANGE), (0.25, GREEN))),
]

BREAKER = [
    states("Breaker by instance",
           "The state of its breaker at each instance: closed, metrics only, disabled, half-open, open, forced open.",
           [query(state("instance"), "{{instance}}")], STATE_WORDS, width=16),
    graph("Transitions",
          """Changes of the breaker's state in a minute, by what they led to and why. `metrics_only` counts what
          it would have done. The first of its kind since a start is not drawn; it is marked as an annotation.""",
          "short",
          [query(f"sum by (to, reason) (increase(causeway_breaker_transitions_total{{{SELECTED}}}[1m]))",
                 "{{to}} · {{reason}}")]),
    graph("Refused before the wire",
          """Calls that ended without an attempt: the breaker was open, a limit exhausted (`throttled`), the queue
          full (`overloaded`), or the time too short (`deadline`).""",
          "reqps", [query(rate("causeway_rejections_total", "class"), "{{class}}")], stack=True, width=12),
    graph("Fallbacks",
          """Steps that something stood in for: an alternate provider, an earlier result (`stale`) or a value of
          the configuration. Empty where no operation names any.""",
          "ops", [query(rate("causeway_fallbacks_total", "endpoint, kind"), "{{endpoint}} · {{kind}}")], width=12),
]

OUTCOMES = [
    graph("Attempts by outcome",
          """`success`, or the class of the error: `transient` and `rate_limited` are retried; `ambiguous` may
          have acted; `client` was refused for good reason; `credential` was not accepted; `invalid_response` was
          not understood.""",
          "reqps", [query(rate("causeway_attempts_total", "outcome"), "{{outcome}}")], stack=True,
          overrides=[override("success", ("color", {"mode": "fixed", "fixedColor": GREEN})),
                     override("transient", ("color", {"mode": "fixed", "fixedColor": ORANGE})),
                     override("ambiguous", ("color", {"mode": "fixed", "fixedColor": RED})),
                     override("client", ("color", {"mode": "fixed", "fixedColor": BLUE}))]),
    graph("Errors by endpoint",
          """The share of each endpoint's attempts that failed on the provider's side. The lines are where the
          alerts begin, for the integration over 5 minutes: 1 % and 5 %.""",
          "percentunit", [query(error_rate("endpoint"), "{{endpoint}}")], thresholds=ERROR_RATE, most=0.06),
    graph("Why attempts fail",
          "Attempts without success by what went wrong on the way (`none`: the answer itself) and the answer's status.",
          "reqps", [query(rate("causeway_attempts_total", "reason, status", ',outcome!="success"'),
                          "{{reason}} · {{status}}")]),
]

LATENCY = [
    graph("Duration of attempts",
          """p50, p95 and p99 over all endpoints, from connecting to the last byte, and the p99's baseline: the
          median of a day, until 10 minutes ago. Above 10 s, the last bucket's bound, it cannot be told by how
          much.""",
          "s",
          [*(query(quantile(q, "causeway_attempt_duration_seconds", "integration", SELECTED), f"p{int(q * 100)}")
             for q in (0.5, 0.95, 0.99)),
           query(BASELINE, "baseline of p99")], width=12,
          overrides=[override("baseline of p99", ("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
                              ("color", {"mode": "fixed", "fixedColor": GREY}))]),
    graph("p99 against its baseline",
          """How many times its baseline the p99 of 5 minutes was. The lines are where the alerts begin: 2 and 5
          times. Empty until there is a baseline.""",
          "suffix:×", [query(f"{P99} / {BASELINE}", "p99 / baseline")], width=12, thresholds=TIMES_BASELINE, most=6),
    graph("p99 by endpoint", "99 % of an endpoint's attempts took at most this long.", "s",
          [query(quantile(0.99, "causeway_attempt_duration_seconds", "endpoint", SELECTED), "{{endpoint}}")], width=12),
    graph("Phases, p95",
          """95 % of the attempts spent at most this long in the queue, on the name, connecting, on TLS, waiting
          for the first byte, and reading the body. Above 5 s, the last bucket's bound, it cannot be told by how
          much.""",
          "s", [query(quantile(0.95, "causeway_attempt_phase_seconds", "phase", SELECTED), "{{phase}}")], width=12),
]

LIMITS = [
    graph("Limits: left and capacity",
          "Tokens left of each limit and how many it can hold, at the instance that has least left.", "short",
          [query(f"min by (limit) (causeway_limit_remaining{{{SELECTED}}})", "{{limit}} left"),
           query(f"min by (limit) (causeway_limit_capacity{{{SELECTED}}})", "{{limit}} capacity")],
          overrides=[override(".* capacity", ("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}))]),
    bars("Limits: share left", "Of each limit's capacity, what the instance that has least of it has left.",
         "percentunit",
         [query(f"sort(min by (limit) (causeway_limit_remaining{{{SELECTED}}} / causeway_limit_capacity))",
                "{{limit}}", instant=True)],
         thresholds=steps(RED, (0.1, ORANGE), (0.25, GREEN))),
    graph("Waits for limits, p95", "95 % of the calls that a limit held up waited at most this long for it.", "s",
          [query(quantile(0.95, "causeway_limit_wait_seconds", "limit", SELECTED), "{{limit}}")]),
    graph("Answers 429", "Times that the provider said: too many requests.", "reqps",
          [query(rate("causeway_provider_429_total", "endpoint"), "{{endpoint}}")]),
    graph("Retries", "Retries scheduled, by the class of the error that called for them.", "reqps",
          [query(rate("causeway_retries_total", "endpoint, class"), "{{endpoint}} · {{class}}")]),
    graph("Retries the budget refused",
          """Retries in an hour that would have made an outage worse: the retry budget was spent, and their calls
          failed with `retry_budget_exhausted`.""",
          "short", [query(increase("causeway_retry_budget_exhausted_total"), "refused")]),
]

POOL = [
    graph("Pool", """Attempts on the wire, calls that wait for a permit or a token, and how many attempts there
          may be on the wire; of all instances together.""", "short",
          [query(f"sum(causeway_pool_in_flight{{{SELECTED}}})", "in flight"),
           query(f"sum(causeway_pool_queued{{{SELECTED}}})", "queued"),
           query(f"sum(causeway_pool_capacity{{{SELECTED}}})", "capacity")],
          overrides=[override("capacity", ("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}))]),
    graph("Pool in use", "Of the attempts that each instance may have on the wire, those that are.", "percentunit",
          [query(f"sum by (instance) (causeway_pool_in_flight{{{SELECTED}}}) "
                 f"/ sum by (instance) (causeway_pool_capacity{{{SELECTED}}})", "{{instance}}")], most=1),
    graph("Connections",
          """Attempts by whether their connection had served before. Many new ones under steady traffic: the
          provider closes them, or the pool is too small.""",
          "reqps",
          [query(rate("causeway_connections_total", "reused", ',reused="true"'), "used before"),
           query(rate("causeway_connections_total", "reused", ',reused="false"'), "new")], stack=True),
    graph("Connections that stand", "Connections to the provider, busy or idle, of each instance.", "short",
          [query(f"sum by (instance) (causeway_connections_open{{{SELECTED}}})", "{{instance}}")]),
]

DASHBOARD = dashboard(
    "causeway-integration",
    "Causeway: integration",
    "One integration: breaker, outcomes, latency against its baseline, limits, retries, pool.",
    [("Now", NOW), ("Breaker", BREAKER), ("Outcomes", OUTCOMES), ("Latency", LATENCY),
     ("Limits and retries", LIMITS), ("Pool and connections", POOL)],
    one_integration=True,
)
