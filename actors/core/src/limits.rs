//! Rate budgets of an integration (being built).

pub mod token_bucket;
