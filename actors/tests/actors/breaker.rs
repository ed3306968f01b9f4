//! The breaker's modes, and its own calls.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use causeway_actors::fakes::Script;
use causeway_actors::ports::WireRequest;
use causeway_core::breaker::{BreakerSpec, By, ModeChange, ModeKind, ProbeSpec, State};
use causeway_core::failure::ErrorClass;
use causeway_core::operation::RunStatus;
use http::Method;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use crate::world::{LONG, Setting, To, World, millis};

/// Opens at the second failure, for ten seconds; two successes close it.
fn spec() -> BreakerSpec {
    BreakerSpec {
        failures: Some(2),
        open_for: millis(10_000),
        half_open_calls: 2,
        half_open_for: millis(6_000),
        ..BreakerSpec::default()
    }
}

fn probing() -> Setting {
    let probe = Some(ProbeSpec { endpoint: To::Safe as usize, timeout: millis(10_000) });
    Setting { breaker: BreakerSpec { probe, ..spec() }, ..Setting::default() }
}

fn is_probe(request: &WireRequest) -> bool {
    request.headers["x-correlation-id"].to_str().unwrap().starts_with("probe_")
}

async fn fail_twice(world: &World) {
    for _ in 0..2 {
        world.dispatch(To::Plain, LONG).outcome().await;
    }
}

fn set(mode: ModeKind, lasting: Option<u64>) -> ModeChange {
    let by = By::Operator(Some("ada".to_owned()));
    ModeChange { mode, reason: "exercise".to_owned(), by, lasting: lasting.map(millis) }
}

/// When probes were sent, and when they were over.
fn probes(world: &World) -> Vec<(u128, Option<u128>)> {
    let of = |at: causeway_core::time::Mono| at.since_origin().as_millis();
    world
        .transport
        .seen()
        .iter()
        .filter(|seen| seen.headers["x-correlation-id"].to_str().unwrap().starts_with("probe_"))
        .map(|seen| (of(seen.at), seen.over.map(of)))
        .collect()
}

#[test]
fn a_probe_heals_an_open_breaker_without_traffic() {
    // Everything fails until half a minute has passed; probes take 100 ms.
    let play = |n: usize, request: &WireRequest| {
        assert!(!is_probe(request) || request.method == Method::GET);
        Script::answers(if n < 4 { 500 } else { 200 }, "{}").after(millis(if is_probe(request) {
            100
        } else {
            0
        }))
    };
    World::live(&probing(), play, async |world| {
        fail_twice(world).await;
        let opened = world.clock.mono().since_origin().as_millis();
        assert_eq!(world.snapshot().view.state, State::Open);
        world.pass(millis(9_999)).await;
        assert!(probes(world).is_empty(), "not before it is due");
        world.pass(millis(25_000)).await;
        let expected = [10_000, 20_100, 30_200, 31_200].map(|at| (opened + at, Some(opened + at + 100)));
        assert_eq!(probes(world), expected, "when it is due, and one second apart");
        let view = &world.snapshot().view;
        assert_eq!((view.state, view.openings, view.calls), (State::Closed, 0, 0));
        assert_eq!(world.dispatch(To::Plain, LONG).outcome().await.status, RunStatus::Succeeded);
        world.pass(LONG).await;
        assert_eq!(probes(world).len(), 4, "a closed breaker has nothing to find out");
    });
}

#[test]
fn a_probe_that_hangs_counts_against_the_provider_and_is_alone() {
    let play = |_: usize, request: &WireRequest| {
        if is_probe(request) { Script::hangs() } else { Script::answers(500, "") }
    };
    World::live(
        &Setting { breaker: BreakerSpec { half_open_for: millis(60_000), ..probing().breaker }, ..probing() },
        play,
        async |world| {
            fail_twice(world).await;
            let opened = world.clock.mono().since_origin().as_millis();
            world.pass(millis(45_000)).await;
            // Ten seconds open, ten on the wire, in turn.
            let expected =
                [(opened + 10_000, Some(opened + 20_000)), (opened + 30_000, Some(opened + 40_000))];
            assert_eq!(probes(world), expected);
            let view = &world.snapshot().view;
            assert_eq!((view.state, view.openings), (State::Open, 3));
            world.place().reset(None, None).await.unwrap();
        },
    );
}

#[test]
fn a_wait_for_the_pool_takes_nothing_from_a_probes_own_time() {
    let play = |_: usize, request: &WireRequest| {
        if is_probe(request) { Script::hangs() } else { Script::answers(200, "{}").after(millis(500)) }
    };
    let breaker = BreakerSpec { half_open_for: millis(60_000), ..probing().breaker };
    World::live(&Setting { breaker, ..Setting::pool(1, 4) }, play, async |world| {
        let flying = world.dispatch(To::Plain, LONG);
        world.now().await;
        world.panic();
        assert_eq!(flying.outcome().await.status, RunStatus::Succeeded);
        world.pass(millis(10_000)).await;
        assert_eq!(world.snapshot().view.state, State::Open, "it has timed out, and was not cut");
        world.place().reset(None, None).await.unwrap();
    });
}

#[test]
fn few_calls_and_probes_fill_a_cycle_together() {
    let play = |n: usize, _: &_| Script::answers(if n < 2 { 500 } else { 200 }, "{}");
    World::live(&probing(), play, async |world| {
        fail_twice(world).await;
        tokio::time::advance(millis(10_000)).await;
        assert_eq!(world.dispatch(To::Plain, LONG).outcome().await.status, RunStatus::Succeeded);
        world.pass(millis(1_000)).await;
        assert_eq!(world.snapshot().view.state, State::Closed);
        assert_eq!(probes(world).len(), 1);
    });
}

#[test]
fn a_restarted_integration_probes_too_and_only_once_at_a_time() {
    let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(500));
    World::live(&probing(), play, async |world| {
        world.panic();
        world.now().await;
        assert_eq!(world.snapshot().view.state, State::HalfOpen);
        assert_eq!(probes(world).len(), 1);
        world.panic();
        world.pass(millis(450)).await;
        assert_eq!(probes(world).len(), 1, "the probe of the life before is still out");
        world.pass(millis(5_000)).await;
        assert_eq!(world.snapshot().view.state, State::Closed);
        let probes = probes(world);
        assert!(probes.windows(2).all(|pair| pair[0].1.unwrap() <= pair[1].0), "{probes:?}");
        assert_eq!(probes.len(), 3);
    });
}

#[test]
fn a_quarantined_integration_does_not_probe() {
    World::live(
        &probing(),
        |_, _| Script::answers(200, "{}"),
        async |world| {
            for _ in 0..5 {
                world.panic();
                world.now().await;
            }
            let before = probes(world).len();
            world.pass(LONG).await;
            assert_eq!(probes(world).len(), before);
            world.place().reset(None, None).await.unwrap();
        },
    );
}

#[test]
fn where_a_person_rules_nobody_probes() {
    for mode in [ModeKind::ForcedOpen, ModeKind::Disabled, ModeKind::MetricsOnly] {
        World::live(
            &probing(),
            |n, _| Script::answers(if n < 2 { 500 } else { 200 }, "{}"),
            async |world| {
                fail_twice(world).await;
                world.pass(millis(5_000)).await;
                world.place().set_mode(set(mode, Some(30_000))).await.unwrap();
                world.pass(millis(29_999)).await;
                assert!(probes(world).is_empty(), "{mode:?}");
                world.pass(millis(2_000)).await;
                assert_eq!(
                    (world.snapshot().view.state, probes(world).len()),
                    (State::Closed, 2),
                    "{mode:?}"
                );
            },
        );
    }
}

#[test]
fn disabled_it_never_opens() {
    let setting = Setting { breaker: spec(), ..Setting::default() };
    World::live(
        &setting,
        |_, _| Script::answers(500, ""),
        async |world| {
            world.place().set_mode(set(ModeKind::Disabled, None)).await.unwrap();
            for _ in 0..20 {
                let failure = world.dispatch(To::Plain, LONG).outcome().await.error.unwrap();
                assert_eq!(failure.class, ErrorClass::Ambiguous, "it was sent");
            }
            assert_eq!(world.transport.seen().len(), 20);
            world.pass(millis(200)).await;
            let view = &world.snapshot().view;
            assert_eq!((view.state, view.window.failures), (State::Disabled, 20));
            world.panic();
            world.now().await;
            let manual = world.snapshot().view.mode.manual().cloned().unwrap();
            assert_eq!(manual.by, By::Operator(Some("ada".to_owned())), "kept over a restart");
            assert_eq!(world.snapshot().view.state, State::Disabled);
        },
    );
}

#[test]
fn a_mode_expires_to_half_open_without_anybody_asking() {
    let setting = Setting { breaker: spec(), ..Setting::default() };
    World::live(
        &setting,
        |_, _| Script::answers(200, "{}"),
        async |world| {
            world.place().set_mode(set(ModeKind::ForcedOpen, Some(7_000))).await.unwrap();
            let failure = world.dispatch(To::Plain, LONG).failure().await;
            assert_eq!((failure.class, failure.retry_after), (ErrorClass::BreakerOpen, Some(millis(7_000))));
            world.pass(millis(6_999)).await;
            assert_eq!(world.snapshot().view.state, State::ForcedOpen);
            world.pass(millis(1)).await;
            let view = &world.snapshot().view;
            assert_eq!((view.state, view.mode.kind()), (State::HalfOpen, ModeKind::Auto));
        },
    );
}

/// Keeps counters, and nothing else.
#[derive(Default)]
struct Counters(Mutex<HashMap<Key, Arc<AtomicU64>>>);

impl Counters {
    /// The transitions told, as `from to reason`.
    fn transitions(&self) -> Vec<(String, u64)> {
        let counters = self.0.lock().unwrap();
        let told = counters.iter().filter(|(key, _)| key.name() == "causeway_breaker_transitions_total");
        let labels = |key: &Key| {
            let words: Vec<&str> = key
                .labels()
                .filter(|label| label.key() != "integration")
                .map(metrics::Label::value)
                .collect();
            words.join(" ")
        };
        let mut told: Vec<_> =
            told.map(|(key, count)| (labels(key), count.load(Ordering::Relaxed))).collect();
        // Those at zero are there from the start.
        told.retain(|(_, count)| *count > 0);
        told.sort();
        told
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(key.clone()).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn metrics_only_blocks_nobody_and_tells() {
    let counters = Counters::default();
    metrics::with_local_recorder(&counters, || {
        let breaker = BreakerSpec { mode: ModeKind::MetricsOnly, ..spec() };
        World::live(
            &Setting { breaker, ..Setting::default() },
            |_, _| Script::answers(500, ""),
            async |world| {
                for _ in 0..20 {
                    let failure = world.dispatch(To::Plain, LONG).outcome().await.error.unwrap();
                    assert_eq!(failure.class, ErrorClass::Ambiguous, "it was sent");
                }
                let view = &world.snapshot().view;
                assert_eq!((view.state, view.would), (State::MetricsOnly, Some(State::Open)));
                assert_eq!(view.mode.manual().unwrap().by, By::Settings);
            },
        );
    });
    let told = ("metrics_only metrics_only would_open".to_owned(), 1);
    assert_eq!(counters.transitions(), [told], "and nobody is told of an opening");
}
