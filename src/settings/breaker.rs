//! `[breaker]`: when calls stop, and how they begin again.

use std::ops::RangeInclusive;
use std::time::Duration;

use causeway_core::breaker::{BreakerSpec, ModeKind, ProbeSpec};
use causeway_core::classify::Safety;
use causeway_core::name::EndpointName;
use causeway_core::window::MAX_CALLS;

use super::endpoint::EndpointSettings;
use super::error::{Placed, SettingsError};
use super::reader::forms::{choice, duration, integer, name, number, positive_share};
use super::reader::{Table, Value, suggestion};

/// Bounds of the calls and failures that are counted.
const CALLS: RangeInclusive<u32> = 1..=MAX_CALLS;
/// Bounds of the window: its slices must be worth telling apart, and a breaker forgets within a day.
const WINDOW: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);
/// Bounds of a call that is slow.
const SLOW_CALL: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
/// Bounds of the time a breaker stays open, and of a half-open cycle.
const OPEN_FOR: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
/// Bounds of what a further opening's time is multiplied by: below 1, it would shrink.
const OPEN_MULTIPLIER: RangeInclusive<f64> = 1.0..=100.0;
/// Bounds of the trials while half-open.
const HALF_OPEN_CALLS: RangeInclusive<u32> = 1..=10_000;

const MODES: [(&str, ModeKind); 4] = [
    (ModeKind::Auto.as_str(), ModeKind::Auto),
    (ModeKind::ForcedOpen.as_str(), ModeKind::ForcedOpen),
    (ModeKind::Disabled.as_str(), ModeKind::Disabled),
    (ModeKind::MetricsOnly.as_str(), ModeKind::MetricsOnly),
];

/// A breaker's settings, and what they say that is understood only with others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WrittenBreaker {
    /// The settings; without the probe.
    pub spec: BreakerSpec,
    /// `failures`, where it is written.
    pub failures: Option<u32>,
    /// `open_max`, where it is written.
    pub open_max: Option<Duration>,
    /// `probe`, where it is written.
    pub probe: Option<Placed<EndpointName>>,
}

/// Reads `breaker`; what is absent is taken from `base`. Where a rate is written, failures are counted only if that is
/// written too, be it there or here.
pub(super) fn read(table: &mut Table<'_>, base: &WrittenBreaker) -> WrittenBreaker {
    let default = &base.spec;
    let failures = table.optional("failures", integer(CALLS)).or(base.failures);
    let failure_rate = table.optional("failure_rate", positive_share).or(default.failure_rate);
    let mut spec = BreakerSpec {
        failures: if failure_rate.is_some() {
            failures
        } else {
            failures.or(BreakerSpec::default().failures)
        },
        window: table.or("window", default.window, duration(WINDOW)),
        window_calls: table.optional("window_calls", integer(CALLS)).or(default.window_calls),
        failure_rate,
        minimum_calls: table.or("minimum_calls", default.minimum_calls, integer(CALLS)),
        slow_call: table.optional("slow_call", duration(SLOW_CALL)).or(default.slow_call),
        slow_rate: table.optional("slow_rate", positive_share).or(default.slow_rate),
        open_for: table.or("open_for", default.open_for, duration(OPEN_FOR)),
        open_multiplier: table.or("open_multiplier", default.open_multiplier, number(OPEN_MULTIPLIER)),
        ..default.clone()
    };
    let open_max = table.optional("open_max", duration(OPEN_FOR)).or(base.open_max);
    // Where nothing is written, the longest is no reason to refuse a longer first.
    spec.open_max = open_max.unwrap_or(BreakerSpec::default().open_max.max(spec.open_for));
    spec.half_open_calls = table.or("half_open_calls", default.half_open_calls, integer(HALF_OPEN_CALLS));
    spec.half_open_for = table.or("half_open_for", default.half_open_for, duration(OPEN_FOR));
    let probe = table.optional("probe", placed_name).or_else(|| base.probe.clone());
    spec.mode = table.or("mode", default.mode, choice(&MODES));
    check_together(table, &spec);
    WrittenBreaker { spec, failures, open_max, probe }
}

fn placed_name(value: Value<'_>) -> Option<Placed<EndpointName>> {
    let at = value.position();
    name(value).map(|value| Placed { value, at })
}

/// Tells what is wrong only in the light of other keys. A key that is wrong by itself has been told.
fn check_together(table: &Table<'_>, spec: &BreakerSpec) {
    let slow = [("slow_call", spec.slow_call.is_some()), ("slow_rate", spec.slow_rate.is_some())];
    for ((written, there), (other, other_there)) in [(slow[0], slow[1]), (slow[1], slow[0])] {
        if there && !other_there && !table.had(other) {
            let example = if other == "slow_rate" { "slow_rate = 0.5" } else { "slow_call = \"2s\"" };
            table.wrong(written, &format!("slowness is judged by both keys; write {example} too"));
        }
    }
    if spec.open_max < spec.open_for {
        let later = if table.had("open_max") { "open_max" } else { "open_for" };
        table.wrong(later, "the longest time is shorter than the first; make `open_max` at least `open_for`");
    }
    let Some(window) = spec.window_calls else { return };
    let rated = spec.failure_rate.is_some() || spec.slow_rate.is_some();
    let asked = [("failures", spec.failures), ("minimum_calls", rated.then_some(spec.minimum_calls))];
    for (key, least) in asked.into_iter().filter_map(|(key, least)| Some((key, least?))) {
        if least > window {
            let later = if table.had("window_calls") { "window_calls" } else { key };
            let message = format!(
                "the last {window} calls never hold `{key}` ({least}), so nothing is judged; write at least {least} calls, \
                 or lower `{key}`"
            );
            table.wrong(later, &message);
        }
    }
}

/// What the breaker asks by itself: the endpoint that is written, if it is safe and there. `declared` has the names of
/// all endpoints, those that are wrong included; `endpoints` has those that are right, with their place among all.
pub(super) fn probe(
    written: &Placed<EndpointName>,
    declared: &[String],
    endpoints: &[(usize, EndpointSettings)],
) -> Result<Option<ProbeSpec>, SettingsError> {
    let name = &written.value;
    let wrong =
        |message: String| SettingsError::at(written.at.clone(), format!("`breaker.probe`: {message}"));
    let Some((index, endpoint)) = endpoints.iter().find(|(_, endpoint)| endpoint.name == *name) else {
        if declared.iter().any(|declared| declared == name.as_str()) {
            return Ok(None);
        }
        let hint = suggestion(name.as_str(), declared.iter().map(String::as_str), "its endpoints are");
        return Err(wrong(format!("the integration has no endpoint `{name}`{hint}")));
    };
    if endpoint.idempotency.safety() != Safety::Safe {
        return Err(wrong(format!(
            "the endpoint `{name}` may act, and nobody asks it to when the breaker does; name one that only reads"
        )));
    }
    Ok(Some(ProbeSpec { endpoint: *index, timeout: endpoint.timeouts.total }))
}
