//! Everything about one integration.

use super::seen::{Breaker, Integration, Manual};
use super::words;
use crate::cli::screen::{Screen, Words, count, moment, span};

pub(super) fn text(integration: &Integration, screen: Screen) -> String {
    let mut parts = vec![screen.table(&[], facts(integration))];
    if !integration.limits.is_empty() {
        let row = |limit: &super::seen::Limit| {
            [limit.name.clone(), words::left(limit), format!("in {}", span(limit.resets_in_ms))]
                .map(|text| Words::new(&text))
                .to_vec()
        };
        let rows = integration.limits.iter().map(row).collect();
        parts.push(screen.table(&["LIMIT", "REMAINING", "RESETS"], rows));
    }
    if !integration.notices.is_empty() {
        let row = |notice: &super::seen::Notice| vec![Words::new(&notice.message)];
        parts.push(screen.table(&["NOTICE"], integration.notices.iter().map(row).collect()));
    }
    parts.join("\n\n")
}

fn facts(integration: &Integration) -> Vec<Vec<Words>> {
    let Integration { breaker, pool, actor, .. } = integration;
    let mut rows = Vec::new();
    let mut row = |name: &str, value: Words| rows.push(vec![Words::new(name), value]);
    row("name", Words::new(&integration.name));
    if let Some(title) = &integration.title {
        row("title", Words::new(title));
    }
    if let Some(owner) = &integration.owner {
        row("owner", Words::new(owner));
    }
    if let Some(runbook) = &integration.runbook {
        row("runbook", Words::new(runbook));
    }
    row("status", words::status(integration));
    row("breaker", words::breaker(integration));
    row("mode", Words::new(&mode(breaker)));
    if let Some(manual) = &breaker.manual {
        row("reason", Words::new(&manual.reason));
    }
    row("window", Words::new(&window(breaker)));
    if breaker.openings > 0 {
        row("openings", Words::new(&format!("{} without having been closed in between", breaker.openings)));
    }
    row("epoch", Words::new(&breaker.epoch.to_string()));
    if let Some(millis) = integration.parked_for_ms {
        row("parked", Words::new(&format!("for {}, as the provider asked", span(millis))));
    }
    let in_flight = format!("{} of {} in flight, {} queued", pool.in_flight, pool.capacity, pool.queued);
    row("pool", Words::new(&format!("{in_flight}, {} not yet answered", count(pool.calls, "call"))));
    row("actor", Words::new(&format!("{}, generation {}", actor.condition, actor.generation)));
    let kept = if integration.durable { "" } else { "; kept in memory only: a restart forgets it" };
    row("as of", Words::new(&format!("{}{kept}", moment(&integration.as_of))));
    rows
}

/// `forced_open by the operator ada since … until …`.
fn mode(breaker: &Breaker) -> String {
    let Some(manual) = &breaker.manual else { return breaker.mode.clone() };
    let Manual { source, by, since, until, .. } = manual;
    let by = match by {
        Some(name) => format!("the {source} {name}"),
        None if source == "operator" => "an operator".to_owned(),
        None => format!("the {source}"),
    };
    let since = since.as_deref().map_or_else(String::new, |since| format!(" since {}", moment(since)));
    let until = until
        .as_deref()
        .map_or_else(|| " until another command".to_owned(), |until| format!(" until {}", moment(until)));
    format!("{} by {by}{since}{until}", breaker.mode)
}

fn window(breaker: &Breaker) -> String {
    let seen = &breaker.window;
    format!("{}, {} failed, {} slow", count(seen.calls as usize, "call"), seen.failures, seen.slow)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::seen::testing::seen;
    use super::*;

    #[test]
    fn one_is_told_with_who_why_and_until_when_and_each_limit() {
        let manual = json!({
            "source": "operator", "by": "ada", "reason": "asked\u{1b}[2J to stop",
            "since": "2026-11-24T03:10:00Z", "until": "2026-11-24T03:30:00Z",
        });
        let stripe = seen(
            "stripe",
            &[
                ("/title", json!("Stripe payments")),
                ("/owner", json!("payments-team")),
                ("/runbook", json!("https://wiki.example.com/stripe")),
                ("/notices", json!([{ "message": "a mutating endpoint without a key" }])),
                ("/status", json!("down")),
                ("/reasons", json!(["breaker_forced_open", "rate_limited"])),
                ("/breaker/mode", json!("forced_open")),
                ("/breaker/state", json!("forced_open")),
                ("/breaker/openings", json!(2)),
                ("/breaker/manual", manual),
                ("/parked_for_ms", json!(2_500)),
                (
                    "/limits",
                    json!([
                        { "name": "requests", "remaining": 37, "capacity": 50, "resets_in_ms": 260 },
                        { "name": "a_day", "remaining": 9_000, "capacity": 10_000, "resets_in_ms": 74_399_000 },
                    ]),
                ),
            ],
        );
        let expected = "\
name      stripe
title     Stripe payments
owner     payments-team
runbook   https://wiki.example.com/stripe
status    down: breaker forced open, rate limited
breaker   forced_open, until 03:30:00 UTC
mode      forced_open by the operator ada since 2026-11-24 03:10:00 UTC until 2026-11-24 03:30:00 UTC
reason    asked\\u{1b}[2J to stop
window    12 calls, 1 failed, 0 slow
openings  2 without having been closed in between
epoch     1
parked    for 2.5 s, as the provider asked
pool      3 of 32 in flight, 0 queued, 3 calls not yet answered
actor     running, generation 1
as of     2026-11-24 03:20:00 UTC; kept in memory only: a restart forgets it

LIMIT     REMAINING   RESETS
requests  37/50       in 260 ms
a_day     9000/10000  in 20h 39m

NOTICE
a mutating endpoint without a key";
        assert_eq!(text(&stripe, Screen::default()), expected);
    }

    #[test]
    fn a_mode_of_the_settings_lasts_until_another_command() {
        let manual =
            json!({ "source": "settings", "by": null, "reason": "configured", "since": null, "until": null });
        let held = seen("x", &[("/breaker/mode", json!("disabled")), ("/breaker/manual", manual)]);
        assert_eq!(mode(&held.breaker), "disabled by the settings until another command");
        assert_eq!(mode(&seen("x", &[]).breaker), "auto");
    }
}
