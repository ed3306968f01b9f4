//! What the outside sees follows what happens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use causeway_actors::fakes::Script;
use causeway_core::breaker::{BreakerSpec, State};
use causeway_core::limits::token_bucket::TokenBucketSpec;
use causeway_core::limits::{LimitKind, LimitSpec};
use causeway_core::name::LimitName;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use crate::world::{LONG, Setting, To, World, millis};

/// Keeps gauges, and nothing else.
#[derive(Default)]
struct Gauges(Mutex<HashMap<Key, Arc<AtomicU64>>>);

impl Gauges {
    fn of(&self, name: &str, label: &str) -> f64 {
        let gauges = self.0.lock().unwrap();
        let labelled = |key: &Key, value: &str| key.labels().any(|label| label.value() == value);
        let found = gauges.iter().find(|(key, _)| {
            key.name() == name && labelled(key, "provider") && (label.is_empty() || labelled(key, label))
        });
        f64::from_bits(found.unwrap().1.load(Ordering::Relaxed))
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::clone(self.0.lock().unwrap().entry(key.clone()).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn limits() -> Vec<LimitSpec> {
    let bucket = TokenBucketSpec { requests: 1, per: millis(1000), burst: 10 };
    vec![LimitSpec::new(LimitName::new("all").unwrap(), LimitKind::TokenBucket(bucket))]
}

#[test]
fn board_and_gauges_follow_within_200_ms() {
    let gauges = Gauges::default();
    metrics::with_local_recorder(&gauges, || {
        let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(900));
        let setting = Setting { limits: limits(), ..Setting::pool(2, 4) };
        World::live(&setting, play, async |world| {
            let runs = [(); 3].map(|()| world.dispatch(To::Plain, LONG));
            world.pass(millis(200)).await;
            let view = &world.snapshot().view;
            assert_eq!((view.in_flight, view.queued, view.limits[0].remaining), (2, 1, 8));
            assert_eq!(gauges.of("causeway_pool_in_flight", ""), 2.0);
            assert_eq!(gauges.of("causeway_pool_queued", ""), 1.0);
            assert_eq!(gauges.of("causeway_limit_remaining", "all"), 8.0);
            for run in runs {
                run.outcome().await;
            }
            world.pass(millis(200)).await;
            let view = &world.snapshot().view;
            assert_eq!((view.in_flight, view.queued, view.calls), (0, 0, 0));
            assert_eq!(gauges.of("causeway_pool_in_flight", ""), 0.0);
            assert_eq!(gauges.of("causeway_pool_queued", ""), 0.0);
        });
    });
}

#[test]
fn a_change_of_the_breaker_is_told_at_once() {
    let gauges = Gauges::default();
    metrics::with_local_recorder(&gauges, || {
        let breaker = BreakerSpec { failures: Some(2), ..BreakerSpec::default() };
        let setting = Setting { breaker, ..Setting::default() };
        World::live(
            &setting,
            |_, _| Script::answers(500, ""),
            async |world| {
                for _ in 0..2 {
                    world.dispatch(To::Plain, LONG).outcome().await;
                }
                assert_eq!(world.snapshot().view.state, State::Open);
                assert_eq!(gauges.of("causeway_breaker_state", "open"), 1.0);
                assert_eq!(gauges.of("causeway_breaker_state", "closed"), 0.0);
                world.place().reset(None, None).await.unwrap();
                assert_eq!(world.snapshot().view.state, State::Closed);
                assert_eq!(gauges.of("causeway_breaker_state", "closed"), 1.0);
            },
        );
    });
}

#[test]
fn what_time_alone_changes_is_told_too_and_then_the_actor_rests() {
    let setting = Setting { limits: limits(), ..Setting::default() };
    World::live(
        &setting,
        |_, _| Script::answers(200, "{}"),
        async |world| {
            for _ in 0..5 {
                world.dispatch(To::Plain, LONG).outcome().await;
            }
            for (seconds, remaining, calls) in [(2, 7, 5), (6, 10, 5), (70, 10, 0)] {
                world.pass(Duration::from_secs(seconds)).await;
                let view = &world.snapshot().view;
                assert_eq!((view.limits[0].remaining, view.window.calls), (remaining, calls));
            }
            let written = world.snapshot().at.mono;
            world.pass(LONG).await;
            assert_eq!(world.snapshot().at.mono, written, "nothing happens, so nothing is written");
        },
    );
}
