//! The actors as a whole: router, integrations, attempts and board on one thread, on paused time, over a scripted
//! transport.
//!
//! Each test lives in a [`world`] that, when it is over, asserts that nothing is held any more. Time stands still
//! while anything can be done and then leaps to the next timer, so what a test says about time holds to the
//! millisecond.
#![cfg(test)]

mod dice;
mod truth;
mod world;

mod attempts;
mod board;
mod breaker;
mod deadlines;
mod limits;
mod overload;
mod quotas;
mod redials;
mod reload;
mod restarts;
mod simulation;
mod steps;
