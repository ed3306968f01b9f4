//! What the core's decisions cost: `cargo bench`.
//!
//! Nothing here waits or does I/O; the figures are nanoseconds of one thread.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start may say so loudly")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use causeway_core::breaker::BreakerSpec;
use causeway_core::bulkhead::PoolSpec;
use causeway_core::classify::Phase;
use causeway_core::idempotency::{Resend, Role, outward_key};
use causeway_core::integration::{AttemptEnd, Call, CallId, CallRules, Effect, Integration, IntegrationSpec};
use causeway_core::limits::token_bucket::TokenBucketSpec;
use causeway_core::limits::{Demand, Groups, LimitKey, LimitKind, LimitSpec, Limits, Take};
use causeway_core::name::{LimitName, RunId, StepName};
use causeway_core::priority::Priority;
use causeway_core::retry::RetrySpec;
use causeway_core::time::Now;
use criterion::{Criterion, criterion_group, criterion_main};

mod mapping_sanitise;

/// A limit that never runs dry.
fn limit(name: &str, per: u64) -> LimitSpec {
    let per = Duration::from_secs(per);
    let bucket = TokenBucketSpec { requests: 10_000_000, per, burst: 10_000_000 };
    LimitSpec::new(LimitName::new(name).unwrap(), LimitKind::TokenBucket(bucket))
}

/// Breaker with count and rate, and two limits.
fn integration() -> Integration<u32> {
    let spec = IntegrationSpec {
        breaker: BreakerSpec { failure_rate: Some(0.5), ..BreakerSpec::default() },
        retry: RetrySpec::default(),
        pool: PoolSpec::default(),
        limits: vec![limit("second", 1), limit("minute", 60)],
    };
    Integration::new(spec, &Groups::new(), Now::default(), 1)
}

/// One call through every layer: admitted, sent, finished, answered.
fn admit_and_finish(c: &mut Criterion) {
    let mut core = integration();
    let mut n = 0_u64;
    let retry = Arc::new(RetrySpec::default());
    let take = |limit| Take { limit, key: LimitKey::Shared, cost: 1 };
    let demand = Demand([take(0), take(1)].into_iter().collect());
    c.bench_function("admit + finish of one call, all layers", |b| {
        b.iter(|| {
            n += 1;
            let now = Now::default().after(Duration::from_micros(n * 10));
            core.advance(now);
            let (demand, deadline) = (demand.clone(), now.mono + Duration::from_secs(8));
            let rules = CallRules { resend: Resend::Safe, retry: Arc::clone(&retry) };
            core.admit(
                now,
                Call {
                    id: CallId(n),
                    rules,
                    demand,
                    priority: Priority::Normal,
                    deadline,
                    in_doubt_for: None,
                },
            );
            while let Some(effect) = core.poll() {
                if let Effect::Send(send) = effect {
                    core.finished(
                        now,
                        send.attempt,
                        AttemptEnd {
                            result: Ok(1),
                            phase: Phase::Sent,
                            cut: None,
                            took: Duration::ZERO,
                            told: Vec::new(),
                        },
                    );
                }
                black_box(core.next_deadline());
            }
        });
    });
}

/// What two limits alone cost.
fn take_and_finish(c: &mut Criterion) {
    let specs = [limit("second", 1), limit("minute", 60)];
    let mut limits = Limits::new(specs, &Groups::new(), Now::default());
    let demand = Demand((0..2).map(|limit| Take { limit, key: LimitKey::Shared, cost: 1 }).collect());
    let mut now = Now::default();
    c.bench_function("take + finish of two token buckets", |b| {
        b.iter(|| {
            now = now.after(Duration::from_micros(10));
            if let Ok(taken) = limits.take(now, black_box(&demand)) {
                limits.finish(now, taken);
            }
        });
    });
}

fn key(c: &mut Criterion) {
    let run = RunId::new("run_01a20971747577c5a693bfadbfc818e5");
    let step = StepName::new("charge").unwrap();
    c.bench_function("outward idempotency key", |b| {
        b.iter(|| outward_key(black_box(&run), black_box(&step), Role::Primary))
    });
}

criterion_group!(
    benches,
    admit_and_finish,
    take_and_finish,
    key,
    mapping_sanitise::mapping,
    mapping_sanitise::sanitise
);
criterion_main!(benches);
