//! The alert rules are right in form, fire above their thresholds and not at them, name only metrics that there are, and
//! lead to a page that says what to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use causeway_actors::metric::Metric;

const RULES: [&str; 2] = ["recording.yml", "alerts.yml"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rules() -> PathBuf {
    repository().join("dashboards/prometheus")
}

/// Runs promtool where the rules are; it must be content.
fn promtool(arguments: &[&str]) {
    let program = repository().join(".peers/prometheus/usr/bin/promtool");
    assert!(
        program.exists(),
        "promtool is not installed: run scripts/peers prometheus ({} is missing)",
        program.display()
    );
    let ended = Command::new(program).args(arguments).current_dir(rules()).output().expect("promtool runs");
    let said = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "promtool {arguments:?}: {said}");
}

fn text(file: &str) -> String {
    fs::read_to_string(rules().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn tests() -> Vec<String> {
    let found = fs::read_dir(rules().join("tests")).expect("the tests of the rules");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("a file").file_name().to_string_lossy().into_owned()
    };
    found.map(|entry| format!("tests/{}", name(entry))).collect()
}

/// The values of a key, one a line, as the files write them.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let key = format!("{key}:");
    text.lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(&*key))
        .map(str::trim)
        .collect()
}

#[test]
fn in_form() {
    promtool(&["check", "rules", RULES[0], RULES[1]]);
    promtool(&["check", "config", "scrape.yml"]);
}

#[test]
fn below_at_and_above() {
    let tests = tests();
    for test in &tests {
        promtool(&["test", "rules", test]);
    }
    let tested: String = tests.iter().map(|test| text(test)).collect();
    for alert in values(&text("alerts.yml"), "alert") {
        let seen = |count: u8| {
            let expr = format!("alertname=\"{alert}\"");
            let of_alert = tested.split("- expr:").filter(|part| part.contains(&expr));
            of_alert.filter(|part| part.contains(&format!("value: {count}\n"))).count() > 0
        };
        assert!(seen(0) && seen(1), "{alert} is tested silent and firing");
    }
}

#[test]
fn of_metrics_that_there_are() {
    let known: BTreeSet<String> = Metric::ALL.iter().map(|metric| metric.name().to_owned()).collect();
    for file in RULES {
        let text = text(file);
        let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
        for word in
            words.filter(|word| word.starts_with("causeway_") && !text.contains(&format!("name: {word}\n")))
        {
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            assert!(known.contains(name), "{file} names {word}, which is no metric");
        }
    }
}

#[test]
fn with_a_page_that_says_what_to_do() {
    let text = text("alerts.yml");
    let alerts = values(&text, "alert").len();
    assert!(alerts >= 15, "{alerts}");
    for key in ["severity", "summary", "description", "runbook_url"] {
        assert_eq!(values(&text, key).len(), alerts, "each alert has its {key}");
    }
    assert!(values(&text, "severity").iter().all(|severity| ["warning", "critical"].contains(severity)));
    let pages: BTreeSet<&str> = values(&text, "runbook_url").into_iter().collect();
    for page in &pages {
        let page =
            fs::read_to_string(repository().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        for part in ["## Look at", "## Do", "## It ends when"] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }
    let written = fs::read_dir(repository().join("docs/runbook")).expect("the pages").count();
    assert_eq!(written, pages.len(), "no page without an alert");
}
