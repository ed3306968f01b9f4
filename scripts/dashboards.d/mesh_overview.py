"""The whole mesh on one page: is anything wrong, where, and since when."""

from dashboard import (ANY, BASELINE, ERROR_RATE, MESH, P99, SELECTED, STATE_WORDS, TIMES_BASELINE, TO_INTEGRATION,
                       dashboard, error_rate, quantile, state)
from grafana import BLUE, GREEN, GREY, ORANGE, RED, bars, graph, override, query, stat, states, steps, table

STATE = state("integration")
FAILING = f"({error_rate('integration', over='5m')} > bool 0.01)"


def how_many(expr, legend):
    return query(f"sum({expr})", legend, instant=True)


def coloured(name, colour):
    """A count that is grey at none."""
    return override(name, ("thresholds", steps(GREY, (1, colour))))


HEALTH = [
    stat(
        "Health",
        """How many integrations are well. Each counts once, by the worst of its instances: open or forced open;
        half-open; unprotected (breaker disabled or metrics only); degraded: closed, and more than 1 % of the
        attempts of the last 5 minutes failed; healthy: everything else.""",
        "none",
        [
            how_many(f"({STATE} == bool 1) * (1 - {FAILING})", "healthy"),
            how_many(f"({STATE} == bool 1) * {FAILING}", "degraded"),
            how_many(f"{STATE} == bool 4", "half-open"),
            how_many(f"{STATE} >= bool 5", "open"),
            how_many(f"({STATE} == bool 2) + ({STATE} == bool 3)", "unprotected"),
        ],
        width=12,
        overrides=[coloured("healthy", GREEN), coloured("degraded", ORANGE), coloured("half-open", ORANGE),
                   coloured("open", RED), coloured("unprotected", BLUE)],
    ),
    stat(
        "Attempts that fail",
        """Of all attempts of the last 5 minutes, at all integrations: those that failed on the provider's side.
        What a provider refused for good reason (a declined card) does not count.""",
        "percentunit",
        [query(error_rate("", over="5m"), "errors", instant=True)],
        thresholds=ERROR_RATE,
    ),
    stat(
        "Integrations set aside",
        "Integrations whose actor panicked five times in a minute. They serve nothing until their breaker is reset.",
        "none",
        [query(f"sum(causeway_actor_quarantined{{{MESH}}})", "set aside", instant=True)],
        thresholds=ANY,
    ),
    stat(
        "Instances by version",
        "How many instances run which version. More than one version outside of a deployment is worth a look.",
        "none",
        [query(f"count by (version) (causeway_build_info{{{MESH}}})", "{{version}}", instant=True)],
    ),
    states(
        "Breakers",
        """The state of each integration's breaker, the worst of its instances: closed, metrics only, disabled,
        half-open, open, forced open. An integration that was removed is shown as gone.""",
        [query(STATE, "{{integration}}")],
        STATE_WORDS,
        links=TO_INTEGRATION,
    ),
    table(
        "Integrations at a glance",
        """Each integration over the last 5 minutes: breaker, attempts, the share that failed, p99 and how many
        times that is its baseline (the median p99 of a day, until 10 minutes ago), and what is left of its
        tightest limit.""",
        "none",
        [
            query(STATE),
            query(f"sum by (integration) (rate(causeway_attempts_total{{{SELECTED}}}[5m]))"),
            query(error_rate("integration", over="5m")),
            query(P99),
            query(f"{P99} / {BASELINE}"),
            query(f"min by (integration) (causeway_limit_remaining{{{SELECTED}}} / causeway_limit_capacity)"),
        ],
        [("integration", "Integration"), ("Value #A", "Breaker"), ("Value #B", "Attempts"), ("Value #C", "Errors"),
         ("Value #D", "p99"), ("Value #E", "p99 / baseline"), ("Value #F", "Tightest limit left")],
        overrides=[
            override("Integration", ("links", [{
                "title": "${__value.text} in detail",
                "url": "/d/causeway-integration?var-integration=${__value.text}&${datasource:queryparam}"
                "&${job:queryparam}&${instance:queryparam}&${__url_time_range}",
            }])),
            override("Breaker", ("mappings", STATE_WORDS), ("custom.cellOptions", {"type": "color-text"})),
            override("Attempts", ("unit", "reqps")),
            override("Errors", ("unit", "percentunit"), ("thresholds", ERROR_RATE),
                     ("custom.cellOptions", {"type": "color-text"})),
            override("p99", ("unit", "s")),
            override("p99 / baseline", ("unit", "suffix:×"), ("decimals", 1), ("thresholds", TIMES_BASELINE),
                     ("custom.cellOptions", {"type": "color-text"})),
            override("Tightest limit left", ("unit", "percentunit")),
        ],
    ),
]

RUNS = f"sum by ({{}}) (rate(causeway_runs_total{{{{{MESH}{{}}}}}}[$__rate_interval]))".format
WITHOUT_SUCCESS = ',outcome=~"failed|unknown"'
OPERATIONS = [
    graph("Runs", "Runs of business operations that ended, per second. $integration does not select here.", "ops",
          [query(RUNS("operation", ""), "{{operation}}")]),
    graph("Runs by outcome",
          """How runs ended. `unknown` means that the provider may or may not have acted: each is worth a look.
          `partial`: an optional step failed.""",
          "ops", [query(RUNS("outcome", ""), "{{outcome}}")], stack=True,
          overrides=[override("succeeded", ("color", {"mode": "fixed", "fixedColor": GREEN})),
                     override("failed", ("color", {"mode": "fixed", "fixedColor": RED})),
                     override("unknown", ("color", {"mode": "fixed", "fixedColor": "purple"})),
                     override("partial", ("color", {"mode": "fixed", "fixedColor": ORANGE})),
                     override("cancelled", ("color", {"mode": "fixed", "fixedColor": BLUE}))]),
    graph("Runs without success",
          """Of each operation's runs, those that failed, or whose outcome is unknown. Refusals that the caller
          must mend (a declined card) are among them, so there is no fixed bound.""",
          "percentunit",
          [query(f"{RUNS('operation', WITHOUT_SUCCESS)} / {RUNS('operation', '')}", "{{operation}}")],
          most=0.1),
    *(graph(f"Duration of runs, p{int(q * 100)}",
            f"""{share} of an operation's runs took at most this long, retries and waits included. Above 10 s, the
                  last bucket's bound, it cannot be told by how much.""",
            "s", [query(quantile(q, "causeway_run_duration_seconds", "operation", MESH), "{{operation}}")])
      for q, share in ((0.5, "Half"), (0.95, "95 %"), (0.99, "99 %"))),
    graph("Runs in flight", "Runs under way, those in doubt that still wait for their effect included.", "short",
          [query(f"sum by (operation) (causeway_runs_in_flight{{{MESH}}})", "{{operation}}")], width=24),
]

INTEGRATIONS = [
    graph("Attempts", "Attempts that ended, per second: first ones, retries and probes.", "reqps",
          [query(f"sum by (integration) (rate(causeway_attempts_total{{{SELECTED}}}[$__rate_interval]))",
                 "{{integration}}")], width=12, links=TO_INTEGRATION),
    graph("Errors",
          """The share of attempts that failed on the provider's side: everything but success and `client`
          (refused for good reason). The lines are where the alerts begin, over 5 minutes: 1 % and 5 %.""",
          "percentunit", [query(error_rate("integration"), "{{integration}}")], width=12, thresholds=ERROR_RATE,
          most=0.06, links=TO_INTEGRATION),
    *(graph(f"Duration of attempts, p{int(q * 100)}",
            f"{share} of an integration's attempts took at most this long, from connecting to the last byte.", "s",
            [query(quantile(q, "causeway_attempt_duration_seconds", "integration", SELECTED), "{{integration}}")],
            links=TO_INTEGRATION)
      for q, share in ((0.5, "Half"), (0.95, "95 %"), (0.99, "99 %"))),
]


def per_integration(metric):
    return [query(f"sum by (integration) (rate({metric}{{{SELECTED}}}[$__rate_interval]))", "{{integration}}")]


PRESSURE = [
    graph("Refused before the wire",
          """Calls that ended without an attempt: the breaker was open, a limit exhausted (`throttled`), the queue
          full (`overloaded`), or the time too short (`deadline`).""",
          "reqps", [query(f"sum by (class) (rate(causeway_rejections_total{{{SELECTED}}}[$__rate_interval]))",
                          "{{class}}")], stack=True),
    bars("Limits: what is left",
         """Of each limit's capacity, what the instance that has least of it has left. Below 10 % calls will wait
         soon; at none they do.""",
         "percentunit",
         [query(f"sort(min by (integration, limit) (causeway_limit_remaining{{{SELECTED}}} / causeway_limit_capacity))",
                "{{integration}} · {{limit}}", instant=True)],
         thresholds=steps(RED, (0.1, ORANGE), (0.25, GREEN))),
    graph("Pool in use", "Of the attempts that an integration may have on the wire, those that are.", "percentunit",
          [query(f"max by (integration) (causeway_pool_in_flight{{{SELECTED}}} / causeway_pool_capacity)",
                 "{{integration}}")], most=1, links=TO_INTEGRATION),
    graph("Retries", "Retries scheduled, per second.", "reqps", per_integration("causeway_retries_total")),
    graph("Answers 429", "Times that a provider said: too many requests.", "reqps",
          per_integration("causeway_provider_429_total"), links=TO_INTEGRATION),
    graph("Fallbacks",
          "Steps that an alternate provider, an earlier result (`stale`) or a value of the configuration stood in for.",
          "ops", [query(f"sum by (integration, kind) (rate(causeway_fallbacks_total{{{SELECTED}}}[$__rate_interval]))",
                        "{{integration}} · {{kind}}")]),
]

DASHBOARD = dashboard(
    "causeway-mesh",
    "Causeway: mesh overview",
    "Every operation and integration: rate, errors, duration, breakers, limits.",
    [("Health", HEALTH), ("Operations", OPERATIONS), ("Integrations", INTEGRATIONS), ("Pressure", PRESSURE)],
    one_integration=False,
)
