//! Every metric's name, as an enum, and the only file that touches the raw macros.
//!
//! The names, kinds and labels are a contract: dashboards and alerts are built on them. Labels come from bounded
//! sets (names in the configuration, closed enums), never from a path, a key, an id or a message. Call sites hold
//! handles: a look-up costs three times a cached increment.
#![expect(clippy::disallowed_macros, reason = "the one place that names metrics")]

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Label, Unit};

/// A metric of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Runs that ended · operation, outcome.
    RunsTotal,
    /// From a run's start to its end · operation.
    RunDuration,
    /// Runs under way · operation.
    RunsInFlight,
    /// Attempts that ended · integration, endpoint, outcome, reason, status.
    AttemptsTotal,
    /// An attempt's whole duration · integration, endpoint.
    AttemptDuration,
    /// The parts of an attempt · integration, phase.
    AttemptPhase,
    /// Retries scheduled · integration, endpoint, class.
    RetriesTotal,
    /// One-hot · integration, state.
    BreakerState,
    /// Changes of the breaker's state · integration, from, to, reason.
    BreakerTransitions,
    /// Calls that ended without an attempt being allowed · integration, class.
    Rejections,
    /// Retries that the retry budget did not allow · integration.
    RetryBudgetExhausted,
    /// How long calls waited for a limit · integration, limit.
    LimitWait,
    /// Tokens left · integration, limit.
    LimitRemaining,
    /// Tokens there may be · integration, limit.
    LimitCapacity,
    /// Answers 429 · integration, endpoint.
    Provider429,
    /// Attempts on the wire · integration.
    PoolInFlight,
    /// Calls in the admission queue · integration.
    PoolQueued,
    /// Attempts there may be on the wire · integration.
    PoolCapacity,
    /// Connections that stand, busy or idle · integration.
    ConnectionsOpen,
    /// Attempts by connection · integration, reused.
    ConnectionsTotal,
    /// Credentials read again after a refusal · integration, outcome.
    CredentialRefresh,
    /// Answers that break their schema · integration, endpoint, kind.
    SchemaViolations,
    /// Restarts after a panic · actor.
    ActorRestarts,
    /// 1 while an actor is quarantined · actor.
    ActorQuarantined,
    /// Queued runs · integration, state.
    QueueDepth,
    /// How long the oldest run that could be executed has waited · integration.
    QueueOldest,
    /// Runs that a person has to look at · integration, operation.
    DeadLetters,
    /// Runs that became something that a person has to look at · integration, operation.
    DeadLettersTotal,
    /// Times that providers were to be asked about a run in doubt · result (`found`, `absent`, `undecided`, `not_asked`).
    Reconciliations,
    /// What became of idempotency keys · operation, result.
    Idempotency,
    /// How long a group of writes took until it was on disk.
    StoreCommit,
    /// How many writes were in a group.
    StoreBatch,
    /// Groups of writes that failed.
    StoreErrors,
    /// Steps that something stood in for · integration, endpoint, kind.
    Fallbacks,
    /// What was let go under pressure · kind.
    Dropped,
    /// Always 1 · version, revision.
    BuildInfo,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 36] = [
        Self::RunsTotal,
        Self::RunDuration,
        Self::RunsInFlight,
        Self::AttemptsTotal,
        Self::AttemptDuration,
        Self::AttemptPhase,
        Self::RetriesTotal,
        Self::BreakerState,
        Self::BreakerTransitions,
        Self::Rejections,
        Self::RetryBudgetExhausted,
        Self::LimitWait,
        Self::LimitRemaining,
        Self::LimitCapacity,
        Self::Provider429,
        Self::PoolInFlight,
        Self::PoolQueued,
        Self::PoolCapacity,
        Self::ConnectionsOpen,
        Self::ConnectionsTotal,
        Self::CredentialRefresh,
        Self::SchemaViolations,
        Self::ActorRestarts,
        Self::ActorQuarantined,
        Self::QueueDepth,
        Self::QueueOldest,
        Self::DeadLetters,
        Self::DeadLettersTotal,
        Self::Reconciliations,
        Self::Idempotency,
        Self::StoreCommit,
        Self::StoreBatch,
        Self::StoreErrors,
        Self::Fallbacks,
        Self::Dropped,
        Self::BuildInfo,
    ];

    /// The bounds of histograms over whole operations and attempts, in seconds.
    pub const BUCKETS: [f64; 14] =
        [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

    /// The name that is scraped.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunsTotal => "causeway_runs_total",
            Self::RunDuration => "causeway_run_duration_seconds",
            Self::RunsInFlight => "causeway_runs_in_flight",
            Self::AttemptsTotal => "causeway_attempts_total",
            Self::AttemptDuration => "causeway_attempt_duration_seconds",
            Self::AttemptPhase => "causeway_attempt_phase_seconds",
            Self::RetriesTotal => "causeway_retries_total",
            Self::BreakerState => "causeway_breaker_state",
            Self::BreakerTransitions => "causeway_breaker_transitions_total",
            Self::Rejections => "causeway_rejections_total",
            Self::RetryBudgetExhausted => "causeway_retry_budget_exhausted_total",
            Self::LimitWait => "causeway_limit_wait_seconds",
            Self::LimitRemaining => "causeway_limit_remaining",
            Self::LimitCapacity => "causeway_limit_capacity",
            Self::Provider429 => "causeway_provider_429_total",
            Self::PoolInFlight => "causeway_pool_in_flight",
            Self::PoolQueued => "causeway_pool_queued",
            Self::PoolCapacity => "causeway_pool_capacity",
            Self::ConnectionsOpen => "causeway_connections_open",
            Self::ConnectionsTotal => "causeway_connections_total",
            Self::CredentialRefresh => "causeway_credential_refresh_total",
            Self::SchemaViolations => "causeway_schema_violations_total",
            Self::ActorRestarts => "causeway_actor_restarts_total",
            Self::ActorQuarantined => "causeway_actor_quarantined",
            Self::QueueDepth => "causeway_queue_depth",
            Self::QueueOldest => "causeway_queue_oldest_seconds",
            Self::DeadLetters => "causeway_dead_letters",
            Self::DeadLettersTotal => "causeway_dead_letters_total",
            Self::Reconciliations => "causeway_reconciliations_total",
            Self::Idempotency => "causeway_idempotency_total",
            Self::StoreCommit => "causeway_store_commit_seconds",
            Self::StoreBatch => "causeway_store_batch_size",
            Self::StoreErrors => "causeway_store_errors_total",
            Self::Fallbacks => "causeway_fallbacks_total",
            Self::Dropped => "causeway_dropped_total",
            Self::BuildInfo => "causeway_build_info",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::RunsTotal => "Runs that ended",
            Self::RunDuration => "From a run's start to its end",
            Self::RunsInFlight => "Runs under way",
            Self::AttemptsTotal => "Attempts that ended",
            Self::AttemptDuration => "An attempt's whole duration",
            Self::AttemptPhase => "How long the parts of an attempt took",
            Self::RetriesTotal => "Retries scheduled",
            Self::BreakerState => "1 for the state the breaker is in",
            Self::BreakerTransitions => "Changes of the breaker's state",
            Self::Rejections => "Calls that were refused an attempt",
            Self::RetryBudgetExhausted => "Retries that the retry budget did not allow",
            Self::LimitWait => "How long calls waited for a rate budget",
            Self::LimitRemaining => "Tokens left in a rate budget",
            Self::LimitCapacity => "Tokens a rate budget can hold",
            Self::Provider429 => "Answers 429 of the provider",
            Self::PoolInFlight => "Attempts on the wire",
            Self::PoolQueued => "Calls waiting for a permit or a token",
            Self::PoolCapacity => "Attempts there may be on the wire",
            Self::ConnectionsOpen => "Connections to the provider that stand, busy or idle",
            Self::ConnectionsTotal => "Attempts by whether their connection had served before",
            Self::CredentialRefresh => "Credentials read again after the provider refused them",
            Self::SchemaViolations => "Answers that break their response_schema",
            Self::ActorRestarts => "Restarts after a panic",
            Self::ActorQuarantined => "1 while an actor that kept panicking is set aside",
            Self::QueueDepth => "Queued runs, by what they wait for",
            Self::QueueOldest => "How long the oldest run that could be executed has waited",
            Self::DeadLetters => "Runs that a person has to look at",
            Self::DeadLettersTotal => "Runs that became something that a person has to look at",
            Self::Reconciliations => {
                "Times that providers were to be asked about a run that had ended in doubt"
            }
            Self::Idempotency => "What became of idempotency keys",
            Self::StoreCommit => "How long a group of writes took until it was on disk",
            Self::StoreBatch => "How many writes were in a group",
            Self::StoreErrors => "Groups of writes that failed",
            Self::Fallbacks => "Steps that an alternate, an earlier result or a value stood in for",
            Self::Dropped => "What was let go under pressure",
            Self::BuildInfo => "The version that runs",
        }
    }

    /// A counter's handle.
    pub fn counter(self, labels: &Labels) -> Counter {
        metrics::counter!(self.name(), labels.0.clone())
    }

    /// A gauge's handle.
    pub fn gauge(self, labels: &Labels) -> Gauge {
        metrics::gauge!(self.name(), labels.0.clone())
    }

    /// A histogram's handle.
    pub fn histogram(self, labels: &Labels) -> Histogram {
        metrics::histogram!(self.name(), labels.0.clone())
    }

    /// Tells the recorder what each metric means. Call once, after the recorder is installed.
    pub fn describe_all() {
        for metric in Self::ALL {
            match metric.name() {
                name if name == Self::QueueOldest.name() => {
                    metrics::describe_gauge!(name, Unit::Seconds, metric.help())
                }
                name if name == Self::StoreBatch.name() => metrics::describe_histogram!(name, metric.help()),
                name if name.ends_with("_seconds") => {
                    metrics::describe_histogram!(name, Unit::Seconds, metric.help());
                }
                name if name.ends_with("_total") => metrics::describe_counter!(name, metric.help()),
                name => metrics::describe_gauge!(name, metric.help()),
            }
        }
    }
}

/// Label values of one series.
#[derive(Clone, Debug, Default)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// No labels.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a label whose value is a name from the configuration.
    #[must_use]
    pub fn named(mut self, key: &'static str, value: Arc<str>) -> Self {
        self.0.push(Label::new(key, value));
        self
    }

    /// Adds a label whose value is a word of a closed set.
    #[must_use]
    pub fn word(mut self, key: &'static str, value: &'static str) -> Self {
        self.0.push(Label::from_static_parts(key, value));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_contract() {
        for metric in Metric::ALL {
            let name = metric.name();
            assert!(name.starts_with("causeway_"), "{name}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            );
            assert_eq!(Metric::ALL.iter().filter(|other| other.name() == name).count(), 1, "{name}");
        }
    }
}
