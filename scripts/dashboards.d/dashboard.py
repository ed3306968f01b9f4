"""What Causeway's dashboards share: variables, links, annotations, and the words and bounds they all go by."""

from grafana import BLUE, DATASOURCE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH, steps, words

# What is selected: of the mesh, and of its integrations.
MESH = 'job=~"$job",instance=~"$instance"'
SELECTED = MESH + ',integration=~"$integration"'

# The bounds of the alerts.
ERROR_RATE = steps(GREEN, (0.01, ORANGE), (0.05, RED))
TIMES_BASELINE = steps(GREEN, (2, ORANGE), (5, RED))
ANY = steps(GREEN, (1, RED))

# What counts against the provider: not what it refused for good reason (`client`), which has a panel of its own.
ERRORS = 'outcome!~"success|client"'

# The breaker's states as numbers, the worse the higher, so that of several instances the worst is shown.
STATES = [
    ("closed", 1, "closed", GREEN),
    ("metrics_only", 2, "metrics only", BLUE),
    ("disabled", 3, "disabled", PURPLE),
    ("half_open", 4, "half-open", ORANGE),
    ("open", 5, "open", RED),
    ("forced_open", 6, "forced open", RED),
]
STATE_WORDS = words((0, "gone", GREY), *((number, word, colour) for _, number, word, colour in STATES))


def state(by):
    """The breaker's state as a number of STATES."""
    parts = (f'{number} * causeway_breaker_state{{{SELECTED},state="{name}"}}' for name, number, _, _ in STATES)
    return f"max by ({by}) ({' or '.join(parts)})"


def error_rate(by, selected=SELECTED, over="$__rate_interval"):
    """Attempts that failed on the provider's side, of all."""
    attempts = "sum by ({}) (rate(causeway_attempts_total{{{}}}[{}]))".format
    return f"{attempts(by, f'{selected},{ERRORS}', over)} / {attempts(by, selected, over)}"


def quantile(q, metric, by, selected, over="$__rate_interval"):
    """A quantile of a histogram."""
    return f"histogram_quantile({q}, sum by ({by}, le) (rate({metric}_bucket{{{selected}}}[{over}])))"


P99 = quantile(0.99, "causeway_attempt_duration_seconds", "integration", SELECTED, "5m")
# `>= 0` drops the quiet times, when there is no p99: they would count as the smallest.
BASELINE = f"quantile_over_time(0.5, ({P99} >= 0)[1d:5m] offset 10m)"
TO_INTEGRATION = [
    {
        "title": "${__field.labels.integration} in detail",
        "url": "/d/causeway-integration?var-integration=${__field.labels.integration}&${datasource:queryparam}"
        "&${job:queryparam}&${instance:queryparam}&${__url_time_range}",
    }
]


def variable(name, label, metric, several, of=""):
    """A variable of the label `name`'s values."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "query": {"query": f"label_values({metric}{of}, {name})", "refId": name},
        "definition": f"label_values({metric}{of}, {name})",
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "allValue": ".+" if several else None,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]} if several else {},
        "hide": 0,
    }


def annotation(name, colour, transitions, enabled=True):
    """Marks changes of breakers. A transition that never was before has no zero to rise from, so one that was not
    there before counts too, unless nothing was: then it is the scraping that began, not the transition."""
    changes = f"causeway_breaker_transitions_total{{{SELECTED},{transitions}}}"
    by = "integration, from, to, reason"
    expr = (
        f"sum by ({by}) (increase({changes}[$__rate_interval]) > 0"
        f" or ({changes} unless {changes} offset $__rate_interval)"
        f" and on (job, instance) causeway_build_info offset $__rate_interval)"
    )
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": enabled,
        "hide": False,
        "iconColor": colour,
        "expr": expr,
        "step": "15s",
        "titleFormat": "{{integration}}: {{from}} → {{to}}",
        "textFormat": "{{reason}}",
        "tagKeys": "integration,reason",
    }


def rows(table):
    """Panels with ids and places, below their rows' titles."""
    y, panels = 0, []
    for number, (title, members) in enumerate(table, 1):
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        panels.append({"type": "row", "id": number * 100, "title": title, "collapsed": False, "gridPos": place,
                       "panels": []})
        x, y, high = 0, y + 1, 0
        for index, member in enumerate(members, 1):
            size = member["gridPos"]
            if x + size["w"] > WIDTH:
                x, y, high = 0, y + high, 0
            panels.append(dict(member, id=number * 100 + index, gridPos=dict(size, x=x, y=y)))
            x, high = x + size["w"], max(high, size["h"])
        y += high
    return panels


def dashboard(uid, title, description, table, one_integration):
    """A whole dashboard."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["causeway"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "fiscalYearStartMonth": 0,
        "links": [
            {
                "type": "dashboards",
                "title": "Causeway",
                "tags": ["causeway"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "annotations": {
            "list": [
                annotation("Breaker opens", RED, 'to=~"open|forced_open"'),
                annotation("Breaker half-opens", ORANGE, 'to="half_open"'),
                annotation("Breaker closes", GREEN, 'to="closed"'),
                annotation("Breaker is set aside", BLUE, 'to=~"disabled|metrics_only",reason!~"would_.*"'),
            ]
        },
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus",
                 "refresh": 1, "multi": False, "includeAll": False, "current": {}, "hide": 0},
                variable("job", "Job", "causeway_build_info", True),
                variable("instance", "Instance", "causeway_build_info", True, '{job=~"$job"}'),
                variable("integration", "Integration", "causeway_breaker_state", not one_integration,
                         f"{{{MESH}}}"),
            ]
        },
        "panels": rows(table),
    }
