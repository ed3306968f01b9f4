"""Grafana's JSON from short calls: what all dashboards have in common, and nothing about any one of them.

A dashboard is a list of rows, a row a list of panels; places and ids follow from the order. A panel's id is
its row's number times a hundred and its own in the row, so a new panel moves only the ids after it in its row.
"""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24

GREEN, ORANGE, RED, BLUE, PURPLE, GREY = "green", "orange", "red", "blue", "purple", "text"


def steps(*bounds):
    """Thresholds: a colour for everything, then (from, colour) upwards."""
    return {
        "mode": "absolute",
        "steps": [{"color": bounds[0], "value": None}] + [{"color": c, "value": v} for v, c in bounds[1:]],
    }


NEUTRAL = steps(GREY)


def words(*states):
    """Value mappings: (value, word, colour), so that nothing is told by its colour alone."""
    options = {str(v): {"text": w, "color": c, "index": i} for i, (v, w, c) in enumerate(states)}
    return [{"type": "value", "options": options}]


def query(expr, legend="", instant=False, table=False):
    """A query. Lines of `expr` are joined: the table of panels breaks them where it reads best."""
    return {
        "expr": " ".join(expr.split()),
        "legendFormat": legend or "__auto",
        "instant": instant,
        "range": not instant,
        "format": "table" if table else "time_series",
    }


def override(names, *properties):
    """Properties, as (id, value), of the series whose display names match."""
    return {
        "matcher": {"id": "byRegexp", "options": names},
        "properties": [{"id": key, "value": value} for key, value in properties],
    }


def panel(kind, title, description, unit, queries, width, height, options, defaults=None, custom=None,
          thresholds=None, mappings=None, overrides=None, links=None, transformations=None):
    """Any panel."""
    made = {
        "type": kind,
        "title": title,
        "description": " ".join(description.split()),
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": [dict(q, refId=chr(ord("A") + n), datasource=DATASOURCE) for n, q in enumerate(queries)],
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "color": {"mode": "thresholds" if kind not in ("timeseries",) else "palette-classic"},
                "thresholds": thresholds or NEUTRAL,
                "mappings": mappings or [],
                "links": links or [],
                "custom": custom or {},
                **(defaults or {}),
            },
            "overrides": overrides or [],
        },
        "options": options,
    }
    if transformations:
        made["transformations"] = transformations
    return made


def graph(title, description, unit, queries, width=8, height=8, thresholds=None, stack=False, least=0, most=None,
          **more):
    """Lines over time. Thresholds are drawn as lines: dashed, so that they are told from series."""
    custom = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 20 if stack else 0,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
        "axisSoftMin": least,
    }
    if most is not None:
        custom["axisSoftMax"] = most
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, description, unit, queries, width, height, options, {"min": least}, custom,
                 thresholds, **more)


def reduced():
    return {"calcs": ["lastNotNull"], "fields": "", "values": False}


def stat(title, description, unit, queries, width=4, height=4, thresholds=None, **more):
    """The newest value of each query, in large."""
    options = {
        "reduceOptions": reduced(),
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value_and_name" if len(queries) > 1 else "auto",
    }
    return panel("stat", title, description, unit, queries, width, height, options, None, None, thresholds, **more)


def bars(title, description, unit, queries, width=8, height=8, thresholds=None, least=0, most=1, **more):
    """The newest value of each series, as a bar between two bounds."""
    options = {
        "reduceOptions": reduced(),
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "text",
    }
    return panel("bargauge", title, description, unit, queries, width, height, options,
                 {"min": least, "max": most}, None, thresholds, **more)


def states(title, description, queries, mappings, width=24, height=8, **more):
    """Which state each series was in, over time, in words."""
    options = {
        "mergeValues": True,
        "showValue": "always",
        "alignValue": "left",
        "rowHeight": 0.85,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single"},
    }
    custom = {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False}
    return panel("state-timeline", title, description, "none", queries, width, height, options, None, custom,
                 mappings=mappings, **more)


def table(title, description, unit, queries, columns, width=24, height=10, **more):
    """One row for each set of labels. `columns` are what the labels and the queries' values are called, in order."""
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
    queries = [dict(q, instant=True, range=False, format="table") for q in queries]
    transformations = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "indexByName": {key: place for place, (key, _) in enumerate(columns)},
                "renameByName": dict(columns),
            },
        },
    ]
    return panel("table", title, description, unit, queries, width, height, options, None,
                 {"align": "auto", "cellOptions": {"type": "auto"}}, transformations=transformations, **more)
