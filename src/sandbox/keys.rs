//! The provider's memory of idempotency keys.
//!
//! A key is claimed when a request for a charge begins and settled with its answer; in between a second request with
//! it conflicts. Only requests that were understood claim one, so a malformed one can be corrected and sent again.

use std::collections::{HashMap, VecDeque};

use http::StatusCode;

use super::answer::{Answer, Refusal};

/// The keys in use.
#[derive(Debug)]
pub(super) struct Keys {
    claims: HashMap<String, Claim>,
    order: VecDeque<String>,
    capacity: usize,
}

#[derive(Debug)]
struct Claim {
    fingerprint: u64,
    /// `None` while the first request is under way.
    answer: Option<Answer>,
}

impl Keys {
    /// Remembers the latest `capacity` keys.
    pub(super) fn new(capacity: usize) -> Self {
        Self { claims: HashMap::new(), order: VecDeque::new(), capacity }
    }

    /// Claims `key` for a request: `None` if it is new, else what to answer.
    pub(super) fn claim(&mut self, key: &str, fingerprint: u64) -> Option<Answer> {
        if let Some(claim) = self.claims.get(key) {
            return Some(repeat(claim, fingerprint));
        }
        if self.order.len() >= self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.claims.remove(&oldest);
        }
        self.order.push_back(key.to_owned());
        self.claims.insert(key.to_owned(), Claim { fingerprint, answer: None });
        None
    }

    /// Keeps the answer to the request that claimed `key`.
    pub(super) fn settle(&mut self, key: &str, answer: &Answer) {
        if let Some(claim) = self.claims.get_mut(key) {
            claim.answer = Some(answer.clone());
        }
    }
}

fn repeat(claim: &Claim, fingerprint: u64) -> Answer {
    let kind = "idempotency_error";
    if claim.fingerprint != fingerprint {
        let message =
            "this Idempotency-Key was used with another body: use a new key for a new request".to_owned();
        return Refusal {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            kind,
            code: "idempotency_key_reused",
            message,
        }
        .into();
    }
    if let Some(answer) = &claim.answer {
        let mut answer = answer.clone();
        answer.headers_mut().insert("idempotent-replayed", http::HeaderValue::from_static("true"));
        return answer;
    }
    let message = "a request with this Idempotency-Key is still in progress: try again later".to_owned();
    Refusal { status: StatusCode::CONFLICT, kind, code: "idempotency_key_in_use", message }.into()
}

#[cfg(test)]
mod tests {
    use super::super::answer::empty;
    use super::*;

    #[test]
    fn a_key_conflicts_while_in_progress_and_replays_afterwards() {
        let mut keys = Keys::new(10);
        assert!(keys.claim("k", 1).is_none());
        assert_eq!(keys.claim("k", 1).unwrap().status(), 409);
        keys.settle("k", &empty(StatusCode::OK));
        let replayed = keys.claim("k", 1).unwrap();
        assert_eq!(replayed.status(), 200);
        assert_eq!(replayed.headers()["idempotent-replayed"], "true");
        assert_eq!(keys.claim("k", 2).unwrap().status(), 422);
    }

    #[test]
    fn the_oldest_key_is_forgotten() {
        let mut keys = Keys::new(2);
        for key in ["a", "b", "c"] {
            assert!(keys.claim(key, 1).is_none());
        }
        assert_eq!(keys.claim("b", 1).unwrap().status(), 409);
        assert!(keys.claim("a", 1).is_none());
    }
}
