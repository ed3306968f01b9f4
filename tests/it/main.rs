//! End-to-end tests, one file per promise.
//!
//! Each starts the whole server on ports of its own, in front of a provider of its own, and talks to both over real
//! sockets in real time. What the server claims is compared with what the provider saw: its ledger is the truth. They
//! run side by side; none waits for a fixed time where it can wait for a condition.
#![cfg(test)]

mod support;

mod a_429_parks_every_caller_until_retry_after;
mod a_breaker_trips_at_the_threshold_and_not_before;
mod a_caller_that_leaves_frees_its_permit;
mod a_charge_on_a_real_stripe_server;
mod a_charge_that_timed_out_keeps_its_key_and_is_one_charge;
mod a_deadline_during_a_mutating_attempt_answers_pending_and_the_run_goes_on;
mod a_late_result_of_an_older_epoch_changes_nothing;
mod a_non_loopback_listener_is_refused_without_keys;
mod a_panicking_integration_restarts_alone;
mod a_retry_that_cannot_fit_the_deadline_fails_at_once;
mod a_sigterm_drains_and_exits_0;
mod an_operators_trip_takes_effect_within_50_ms;
mod bad_requests_are_clear_4xx;
mod correlation_and_trace_reach_the_provider;
mod exactly_n_probes_pass_a_half_open_breaker;
mod the_demo_runs;
mod what_does_not_exist_yet_is_answered_501;
mod without_a_key_a_timed_out_charge_ends_unknown_and_is_not_resent;
mod wrong_configuration_exits_2_and_names_every_place;
