//! A word or two on each part of an integration: what a line of the list is made of.

use super::seen::{Integration, Limit, Pool};
use crate::cli::screen::{Screen, Tone, Words, moment_seen, span};

const HEADER: [&str; 5] = ["NAME", "STATUS", "BREAKER", "LIMITS", "POOL"];

/// The list, as a table.
pub(in crate::cli) fn table(integrations: &[Integration], screen: Screen) -> String {
    if integrations.is_empty() {
        return "No integration is configured: write one to integrations/NAME.toml and reload.".to_owned();
    }
    screen.table(&HEADER, integrations.iter().map(row).collect())
}

fn row(integration: &Integration) -> Vec<Words> {
    vec![
        Words::new(&integration.name),
        status(integration),
        breaker(integration),
        limits(&integration.limits, integration.parked_for_ms),
        pool(&integration.pool),
    ]
}

/// How good a status is.
pub(in crate::cli) fn tone(status: &str) -> Tone {
    match status {
        "healthy" => Tone::Good,
        "degraded" | "paused" => Tone::Doubtful,
        "down" => Tone::Bad,
        _ => Tone::Neutral,
    }
}

/// `down: breaker open`.
pub(super) fn status(integration: &Integration) -> Words {
    let Integration { status, reasons, .. } = integration;
    let reasons: Vec<String> = reasons.iter().map(|reason| reason.replace('_', " ")).collect();
    let colon = if reasons.is_empty() { "" } else { ": " };
    Words::toned(&format!("{status}{colon}{}", reasons.join(", ")), tone(status))
}

/// The state as the API names it, and what there is to know about it at once.
pub(super) fn breaker(integration: &Integration) -> Words {
    let breaker = &integration.breaker;
    let mut text = breaker.state.clone();
    let mut and = |more: String| text.push_str(&format!(", {more}"));
    let until = breaker.manual.as_ref().and_then(|manual| manual.until.as_deref());
    match (breaker.due, breaker.retry_in_ms) {
        (true, _) => and("due".to_owned()),
        (false, Some(millis)) if until.is_none() => and(format!("retry in {}", span(millis))),
        (false, _) => {}
    }
    if let Some(until) = until {
        and(format!("until {}", moment_seen(until, &integration.as_of)));
    }
    if breaker.trials_out > 0 {
        and(format!("trials out: {}", breaker.trials_out));
    }
    if let Some(would) = breaker.would.as_deref().filter(|would| *would != "closed") {
        and(format!("would be {would}"));
    }
    let tone = match breaker.state.as_str() {
        "open" | "forced_open" => Tone::Bad,
        "half_open" => Tone::Doubtful,
        _ => Tone::Neutral,
    };
    Words::toned(&text, tone)
}

/// The limit of which the smallest share is left, and how long the provider has asked to be left alone.
pub(super) fn limits(limits: &[Limit], parked_for_ms: Option<u64>) -> Words {
    let share = |limit: &&Limit| u64::from(limit.remaining) * 1_000_000 / u64::from(limit.capacity.max(1));
    let tightest = limits.iter().min_by_key(share).map(|limit| {
        let more = if limits.len() > 1 { format!(" (tightest of {})", limits.len()) } else { String::new() };
        format!("{} {}{more}", limit.name, left(limit))
    });
    let parked = parked_for_ms.map(|millis| format!("parked for {}", span(millis)));
    let used_up = parked.is_some() || limits.iter().any(|limit| limit.remaining == 0);
    let parts: Vec<String> = parked.into_iter().chain(tightest).collect();
    let text = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
    Words::toned(&text, if used_up { Tone::Doubtful } else { Tone::Neutral })
}

/// `37/50`.
pub(super) fn left(limit: &Limit) -> String {
    format!("{}/{}", limit.remaining, limit.capacity)
}

/// `3/32, 2 queued`.
fn pool(pool: &Pool) -> Words {
    let queued = if pool.queued > 0 { format!(", {} queued", pool.queued) } else { String::new() };
    let full = pool.in_flight >= pool.capacity;
    let tone = if full { Tone::Doubtful } else { Tone::Neutral };
    Words::toned(&format!("{}/{}{queued}", pool.in_flight, pool.capacity), tone)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::seen::testing::seen;
    use super::*;

    fn limit(name: &str, remaining: u32, capacity: u32) -> Value {
        json!({ "name": name, "remaining": remaining, "capacity": capacity, "resets_in_ms": 1_000 })
    }

    #[test]
    fn a_line_tells_status_breaker_tightest_limit_and_pool() {
        let all = [
            seen("adyen", &[]),
            seen(
                "stripe",
                &[
                    ("/status", json!("down")),
                    ("/reasons", json!(["breaker_open"])),
                    ("/breaker/state", json!("open")),
                    ("/breaker/retry_in_ms", json!(4_230)),
                    ("/limits", json!([limit("second", 90, 100), limit("day", 5, 10_000)])),
                    ("/pool/queued", json!(2)),
                ],
            ),
        ];
        assert_eq!(
            table(&all, Screen::default()),
            "\
NAME    STATUS              BREAKER               LIMITS                       POOL
adyen   healthy             closed                none                         3/32
stripe  down: breaker open  open, retry in 4.2 s  day 5/10000 (tightest of 2)  3/32, 2 queued"
        );
        assert!(table(&[], Screen::default()).starts_with("No integration is configured"));
    }

    #[test]
    fn a_breaker_says_when_it_tries_and_until_when_it_is_held() {
        let words = |changes: &[(&str, Value)]| breaker(&seen("x", changes)).text().to_owned();
        assert_eq!(words(&[]), "closed");
        assert_eq!(words(&[("/breaker/state", json!("open")), ("/breaker/due", json!(true))]), "open, due");
        let half_open = [("/breaker/state", json!("half_open")), ("/breaker/trials_out", json!(2))];
        assert_eq!(words(&half_open), "half_open, trials out: 2");
        let told = [("/breaker/state", json!("metrics_only")), ("/breaker/would", json!("open"))];
        assert_eq!(words(&told), "metrics_only, would be open");
        let manual = json!({
            "source": "operator", "by": "ada", "reason": "x", "since": null, "until": "2026-11-24T03:30:00Z",
        });
        let held = [
            ("/breaker/state", json!("forced_open")),
            ("/breaker/manual", manual),
            ("/breaker/retry_in_ms", json!(600_000)),
        ];
        assert_eq!(words(&held), "forced_open, until 03:30:00 UTC");
    }

    #[test]
    fn a_wait_that_the_provider_asked_for_comes_before_budgets() {
        let seen = seen("x", &[("/limits", json!([limit("all", 0, 0)])), ("/parked_for_ms", json!(61_000))]);
        let words = limits(&seen.limits, seen.parked_for_ms);
        assert_eq!(words.text(), "parked for 1m 01s, all 0/0");
    }
}
