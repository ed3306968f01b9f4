//! What the core's decisions cost: `cargo bench`.
//!
//! Nothing here waits or does I/O; the figures are nanoseconds of one thread.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start may say so loudly")]

use std::hint::black_box;
use std::time::Duration;

use causeway_core::breaker::BreakerSpec;
use causeway_core::bulkhead::PoolSpec;
use causeway_core::classify::Phase;
use causeway_core::idempotency::{Resend, outward_key};
use causeway_core::integration::{AttemptEnd, Call, CallId, Effect, Integration, IntegrationSpec};
use causeway_core::limits::token_bucket::TokenBucketSpec;
use causeway_core::limits::{LimitKind, LimitSpec};
use causeway_core::name::{LimitName, RunId, StepName};
use causeway_core::retry::RetrySpec;
use causeway_core::time::Mono;
use criterion::{Criterion, criterion_group, criterion_main};

mod mapping_sanitise;

/// Breaker with count and rate, and two limits that never run dry.
fn integration() -> Integration<u32> {
    let limit = |name: &str, per: u64| {
        let per = Duration::from_secs(per);
        let bucket = TokenBucketSpec { requests: 10_000_000, per, burst: 10_000_000 };
        LimitSpec::new(LimitName::new(name).unwrap(), LimitKind::TokenBucket(bucket))
    };
    let spec = IntegrationSpec {
        breaker: BreakerSpec { failure_rate: Some(0.5), ..BreakerSpec::default() },
        retry: RetrySpec::default(),
        pool: PoolSpec::default(),
        limits: vec![limit("second", 1), limit("minute", 60)],
        endpoints: vec![Resend::Safe],
    };
    Integration::new(spec, Mono::ZERO, 1)
}

/// One call through every layer: admitted, sent, finished, answered.
fn admit_and_finish(c: &mut Criterion) {
    let mut core = integration();
    let mut n = 0_u64;
    c.bench_function("admit + finish of one call, all layers", |b| {
        b.iter(|| {
            n += 1;
            let now = Mono::from_origin(Duration::from_micros(n * 10));
            core.advance(now);
            core.admit(now, Call { id: CallId(n), endpoint: 0, deadline: now + Duration::from_secs(8) });
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

fn key(c: &mut Criterion) {
    let run = RunId::new("run_01a20971747577c5a693bfadbfc818e5");
    let step = StepName::new("charge").unwrap();
    c.bench_function("outward idempotency key", |b| {
        b.iter(|| outward_key(black_box(&run), black_box(&step)))
    });
}

criterion_group!(benches, admit_and_finish, key, mapping_sanitise::mapping, mapping_sanitise::sanitise);
criterion_main!(benches);
