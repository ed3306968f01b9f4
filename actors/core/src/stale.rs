//! The last good results of calls that only read: what is served where nobody else serves.
//!
//! A result is kept under what determines it: the endpoint as it is configured, and what the request was made of. It
//! is served while it is no older than the step allows, and kept within bounds; what has not been renewed for longest
//! goes first.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::json::Json;
use crate::name::OperationName;
use crate::operation::CallPlan;
use crate::time::Mono;

/// The most results kept.
pub const MAX_ENTRIES: usize = 10_000;
/// The most bytes kept, keys and bookkeeping included.
pub const MAX_BYTES: usize = 64 << 20;
/// The largest result kept, in bytes: one must not push all others out.
pub const MAX_RESULT: usize = 1 << 20;
/// What a result takes besides itself, in bytes, roughly.
const ENTRY_OVERHEAD: usize = 160;

/// What determines a result: a digest, so that it is small whatever the request was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StaleKey([u8; 32]);

impl StaleKey {
    /// Of a call and the input its request is made of. The operation is part of it, for a request may name it; the
    /// run's ids are not, for what is read does not depend on who reads.
    pub fn of(operation: &OperationName, call: &CallPlan, input: &Json) -> Self {
        let mut digest = Sha256::new();
        for name in [operation.as_str(), call.integration.as_str(), call.endpoint.as_str()] {
            // No name has a slash.
            digest.update(name);
            digest.update(b"/");
        }
        digest.update(call.revision.to_be_bytes());
        digest.update(input.bytes());
        Self(digest.finalize().into())
    }
}

/// The last good results.
#[derive(Debug)]
pub struct StaleResults {
    max_entries: usize,
    max_bytes: usize,
    results: HashMap<StaleKey, Kept>,
    /// In the order in which they were renewed.
    order: BTreeMap<u64, StaleKey>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    result: Json,
    at: Mono,
    place: u64,
}

/// None yet, of at most [`MAX_ENTRIES`] and [`MAX_BYTES`].
impl Default for StaleResults {
    fn default() -> Self {
        Self::bounded(MAX_ENTRIES, MAX_BYTES)
    }
}

impl StaleResults {
    fn bounded(max_entries: usize, max_bytes: usize) -> Self {
        let (results, order) = (HashMap::new(), BTreeMap::new());
        Self { max_entries, max_bytes, results, order, next: 0, bytes: 0 }
    }

    /// Keeps a result that has just come; one that is too large is not kept, nor the one it replaces.
    pub fn keep(&mut self, now: Mono, key: StaleKey, result: Json) {
        self.forget(&key);
        if result.bytes().len() > MAX_RESULT {
            return;
        }
        let place = self.next;
        self.next += 1;
        self.bytes += size(&result);
        self.order.insert(place, key);
        self.results.insert(key, Kept { result, at: now, place });
        while self.results.len() > self.max_entries || self.bytes > self.max_bytes {
            let Some((_, oldest)) = self.order.first_key_value() else { return };
            let oldest = *oldest;
            self.forget(&oldest);
        }
    }

    /// The last good result, if it is not older than `within`.
    pub fn recall(&self, now: Mono, key: &StaleKey, within: Duration) -> Option<Json> {
        self.results.get(key).filter(|kept| now.since(kept.at) <= within).map(|kept| kept.result.clone())
    }

    fn forget(&mut self, key: &StaleKey) {
        if let Some(kept) = self.results.remove(key) {
            self.order.remove(&kept.place);
            self.bytes -= size(&kept.result);
        }
    }
}

fn size(result: &Json) -> usize {
    result.bytes().len() + ENTRY_OVERHEAD
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::idempotency::Resend;
    use crate::name::{EndpointName, IntegrationName};

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Mono {
        Mono::from_origin(SECOND * u32::try_from(seconds).unwrap())
    }

    fn text(text: &str) -> Json {
        Json::parse(Bytes::from(text.to_owned())).unwrap()
    }

    fn of_size(bytes: usize) -> Json {
        text(&format!("\"{}\"", "x".repeat(bytes - 2)))
    }

    fn call(integration: &str, endpoint: &str, revision: u64) -> CallPlan {
        CallPlan {
            integration: IntegrationName::new(integration).unwrap(),
            endpoint: EndpointName::new(endpoint).unwrap(),
            endpoint_index: 0,
            resend: Resend::Safe,
            verify: None,
            revision,
        }
    }

    fn key(n: u64) -> StaleKey {
        StaleKey::of(&OperationName::new("rates").unwrap(), &call("ecb", "rate", n), &Json::NULL)
    }

    #[test]
    fn a_result_is_kept_under_all_that_determines_it() {
        let of = |operation: &str, call: &CallPlan, input: &str| {
            StaleKey::of(&OperationName::new(operation).unwrap(), call, &text(input))
        };
        let one = of("rates", &call("ecb", "rate", 0), "1");
        assert_eq!(one, of("rates", &call("ecb", "rate", 0), "1"));
        let others = [
            of("rates", &call("ecb", "rate", 0), "2"),
            of("rates", &call("ecb", "rate", 1), "1"),
            of("rates", &call("ecb", "rates", 0), "1"),
            of("rates", &call("fed", "rate", 0), "1"),
            of("rate", &call("ecb", "rate", 0), "1"),
        ];
        assert!(!others.contains(&one));
    }

    #[test]
    fn a_result_is_served_while_it_is_not_older_than_allowed() {
        let mut results = StaleResults::default();
        assert_eq!(results.recall(at(0), &key(0), SECOND), None);
        results.keep(at(10), key(0), text("1"));
        assert_eq!(results.recall(at(20), &key(0), 10 * SECOND), Some(text("1")));
        assert_eq!(results.recall(at(21), &key(0), 10 * SECOND), None);
        assert_eq!(results.recall(at(21), &key(0), 11 * SECOND), Some(text("1")));
        assert_eq!(results.recall(at(21), &key(1), 11 * SECOND), None);
        results.keep(at(30), key(0), text("2"));
        assert_eq!(results.recall(at(31), &key(0), SECOND), Some(text("2")));
    }

    #[test]
    fn what_has_not_been_renewed_for_longest_goes_first() {
        let mut results = StaleResults::default();
        for n in 0..MAX_ENTRIES as u64 {
            results.keep(at(n), key(n), Json::NULL);
        }
        results.keep(at(MAX_ENTRIES as u64), key(0), Json::NULL);
        results.keep(at(MAX_ENTRIES as u64), key(u64::MAX), Json::NULL);
        assert_eq!(results.results.len(), MAX_ENTRIES);
        let kept = |n| results.recall(at(0), &key(n), Duration::MAX).is_some();
        assert!(kept(0) && !kept(1) && kept(2) && kept(u64::MAX));
    }

    #[test]
    fn a_result_too_large_is_not_kept_nor_is_the_one_it_replaces() {
        let mut results = StaleResults::default();
        results.keep(at(0), key(0), of_size(MAX_RESULT));
        assert!(results.recall(at(0), &key(0), SECOND).is_some());
        results.keep(at(0), key(0), of_size(MAX_RESULT + 1));
        assert_eq!(results.recall(at(0), &key(0), SECOND), None);
        assert_eq!((results.bytes, results.order.len()), (0, 0));
    }

    proptest! {
        #[test]
        fn bounds_and_books_hold(kept in proptest::collection::vec((0..20_u64, 2..2_000_usize), 0..60)) {
            let mut results = StaleResults::bounded(10, 8_000);
            for (n, bytes) in kept {
                results.keep(at(0), key(n), of_size(bytes));
                let sum: usize = results.results.values().map(|kept| size(&kept.result)).sum();
                prop_assert_eq!(sum, results.bytes);
                prop_assert_eq!(results.results.len(), results.order.len());
                prop_assert!(results.bytes <= 8_000 && results.results.len() <= 10);
                prop_assert!(results.recall(at(0), &key(n), SECOND).is_some());
            }
        }
    }
}
