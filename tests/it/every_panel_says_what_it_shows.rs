//! The dashboards are what their tables say, name only what there is, and explain themselves.

use std::collections::{BTreeSet, HashSet};
use std::process::Command;

use causeway_actors::metric::Metric;
use causeway_core::breaker::State;

use crate::support::dashboards::{
    FILES, Query, dashboard, list, panels, queries, repository, text, variables,
};

#[test]
fn the_files_are_what_the_tables_say() {
    let check =
        Command::new("python3").arg("scripts/dashboards").arg("--check").current_dir(repository()).output();
    let check = check.expect("python3");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

#[test]
fn every_panel_says_what_it_shows() {
    let mut uids = BTreeSet::new();
    for file in FILES {
        let dashboard = dashboard(file);
        uids.insert(text(&dashboard, "/uid").to_owned());
        let names: Vec<_> =
            list(&dashboard, "/templating/list").iter().map(|variable| text(variable, "/name")).collect();
        assert_eq!(names, ["datasource", "job", "instance", "integration"], "{file}");
        assert_eq!(dashboard["links"][0]["tags"], dashboard["tags"], "{file}: it leads to the others");
        let mut ids = HashSet::new();
        for panel in list(&dashboard, "/panels") {
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{file}: twice {}", panel["id"]);
        }
        for panel in panels(&dashboard) {
            let place = format!("{file}: {}", text(panel, "/title"));
            for (what, pointer) in [("unit", "/fieldConfig/defaults/unit"), ("description", "/description")] {
                assert!(!text(panel, pointer).is_empty(), "{place} has no {what}");
            }
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{place}");
            assert!(!list(panel, "/targets").is_empty(), "{place} asks nothing");
            let (x, width) = (panel["gridPos"]["x"].as_u64(), panel["gridPos"]["w"].as_u64());
            assert!(x.zip(width).is_some_and(|(x, width)| x + width <= 24), "{place} is too wide");
        }
        for Query { place, expr } in queries(file) {
            let of_selected = ["job=~\"$job\"", "instance=~\"$instance\""];
            assert!(of_selected.iter().all(|part| expr.contains(part)), "{place} is of everything: {expr}");
        }
    }
    let expected = ["causeway-integration", "causeway-mesh", "causeway-queues"].map(ToOwned::to_owned);
    assert_eq!(uids, BTreeSet::from(expected));
}

/// The metrics that a query names.
fn metrics(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("causeway_"))
}

/// Durations are histograms, but for how long something has lasted so far.
fn is_histogram(name: &str) -> bool {
    let so_far = name == Metric::QueueOldest.name();
    name == Metric::StoreBatch.name() || (name.ends_with("_seconds") && !so_far)
}

#[test]
fn only_metrics_that_there_are() {
    let there_are: HashSet<_> = Metric::ALL.into_iter().map(Metric::name).collect();
    for file in FILES {
        let variables =
            variables(file).into_iter().map(|(label, query)| (format!("{file}: ${label}"), query));
        let queries = queries(file).into_iter().map(|query| (query.place, query.expr));
        for (place, query) in queries.chain(variables) {
            for metric in metrics(&query) {
                let name = metric.strip_suffix("_bucket").unwrap_or(metric);
                assert!(there_are.contains(name), "{place}: there is no metric {metric}");
                assert_eq!(is_histogram(name), metric != name, "{place}: {metric} is no series");
            }
        }
    }
}

/// The dashboards number the states, and must name each number as the core names the state.
#[test]
fn states_are_told_by_their_words() {
    for file in FILES {
        let dashboard = dashboard(file);
        let timelines: Vec<_> =
            panels(&dashboard).filter(|panel| panel["type"] == "state-timeline").collect();
        if file == "queues.json" {
            assert_eq!(timelines.len(), 0, "{file}");
            continue;
        }
        assert_eq!(timelines.len(), 1, "{file}");
        let (expr, words) = (
            text(timelines[0], "/targets/0/expr"),
            &timelines[0]["fieldConfig"]["defaults"]["mappings"][0]["options"],
        );
        for state in State::ALL.map(State::as_str) {
            let end =
                expr.find(&format!("state=\"{state}\"")).unwrap_or_else(|| panic!("no {state}: {expr}"));
            let start = expr[..end].rfind(" * ").expect("a number times the state");
            let number = expr[..start].rsplit([' ', '(']).next().expect("a number");
            let word = text(&words[number], "/text").replace([' ', '-'], "_");
            assert_eq!(word, state, "{file}: {number}");
        }
    }
}

/// The numbers of the alerts' conditions, by the alert: what stands behind each word.
fn bound(alert: &str, after: &str) -> f64 {
    let path = repository().join("dashboards/prometheus/alerts.yml");
    let rules = std::fs::read_to_string(path).expect("the alerts");
    let begins = rules.find(&format!("- alert: {alert}\n")).unwrap_or_else(|| panic!("no alert {alert}"));
    let rule = rules[begins..].split("annotations:").next().expect("a rule");
    let behind = rule.find(after).unwrap_or_else(|| panic!("{alert} has no `{after}`: {rule}")) + after.len();
    let number: String = rule[behind..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    number.parse().unwrap_or_else(|error| panic!("{error}: {alert} behind `{after}`: {number}"))
}

/// Where a panel's colours change.
fn bounds(panel: &serde_json::Value) -> Vec<f64> {
    let steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array();
    steps.into_iter().flatten().filter_map(|step| step["value"].as_f64()).collect()
}

#[test]
fn colours_change_where_the_alerts_begin() {
    let errors = [bound("CausewayErrorRate", "ratio5m > "), bound("CausewayErrorRateCritical", "ratio5m > ")];
    let latency = [bound("CausewayLatency", "p99_5m > "), bound("CausewayLatencyCritical", "p99_5m > ")];
    let left = bound("CausewayLimitNearlyUsedUp", "[10m:15s]) < ");
    let depth = ["CausewayQueueDepth", "CausewayQueueDepthCritical"]
        .map(|alert| bound(alert, "{state=\"pending\"}) >= "));
    // Any is more than none.
    let died = [1.0, bound("CausewayManyDeadLetters", "[1h])) >= ")];
    assert!(bound("CausewayDeadLetters", "[1h])) > ").abs() < f64::EPSILON);
    let mut compared = 0;
    for file in FILES {
        let dashboard = dashboard(file);
        for panel in panels(&dashboard) {
            let (unit, found) = (text(panel, "/fieldConfig/defaults/unit"), bounds(panel));
            let expr = text(panel, "/targets/0/expr");
            let place = format!("{file}: {}", text(panel, "/title"));
            if found.len() < 2 {
                continue;
            }
            match unit {
                "suffix:×" => assert_eq!(found, latency, "{place}"),
                "percentunit" if expr.contains("causeway_limit_remaining") => {
                    assert_eq!(found[0], left, "{place}");
                }
                "percentunit" => assert_eq!(found, errors, "{place}"),
                "short" if expr.contains("causeway_queue_depth") => assert_eq!(found, depth, "{place}"),
                "short" if expr.contains("causeway_dead_letters_total") => assert_eq!(found, died, "{place}"),
                _ => panic!("{place} changes colour at {found:?}: compare it with an alert here"),
            }
            compared += 1;
        }
    }
    assert!(compared >= 9, "{compared}");
}
