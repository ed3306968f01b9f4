//! What arrived at the provider, how each request ended, and what it did: the truth a test compares with.
//!
//! An arrival is noted when the request's head has been read, with the monotonic time since the sandbox started; its
//! ending just before the answer is handed to the connection. The ledger is bounded: beyond [`MAX_RECORDS`] the oldest
//! records make room and are only counted.

use std::collections::VecDeque;

use causeway_core::time::Mono;
use serde::{Deserialize, Serialize};

/// The most arrivals, and the most effects, that are kept.
pub const MAX_RECORDS: usize = 100_000;
/// The most bytes of a path or a key that a record keeps.
const MAX_TEXT: usize = 1024;

/// A snapshot of everything noted since the start or the last reset, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Every request but those to the control API.
    pub arrivals: Vec<Arrival>,
    /// Arrivals that made room.
    pub dropped_arrivals: u64,
    /// Everything that was done.
    pub effects: Vec<Effect>,
    /// Effects that made room.
    pub dropped_effects: u64,
    /// The counters at the same moment.
    pub counters: Counters,
}

/// One request, as it arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arrival {
    /// Counts up from 1, over resets too.
    pub number: u64,
    /// When its head had been read: microseconds since the sandbox started.
    pub at_us: u64,
    /// Which connection it came over, counted from 1.
    pub connection: u64,
    /// The method.
    pub method: String,
    /// Path and query, at most 1 KiB of them.
    pub path: String,
    /// `Idempotency-Key`, as sent.
    pub key: Option<String>,
    /// What became of it.
    pub ending: Ending,
    /// When it ended: microseconds since the sandbox started.
    pub ended_us: Option<u64>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ending {
    /// Nothing yet.
    Open {},
    /// A whole answer.
    Answered {
        /// Its status.
        status: u16,
    },
    /// An answer that was cut.
    Truncated {
        /// The status in its head.
        status: u16,
    },
    /// Bytes that are no HTTP.
    Garbage {},
    /// The sandbox closed the connection without an answer.
    Closed {},
    /// The client left, or the sandbox stopped, before there was an answer. What the request set going goes on.
    ClientLeft {},
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// What was made (`charge`, `refund`, `message` …), or changed (`contact.changed`).
    pub kind: String,
    /// The object's id.
    pub id: String,
    /// The arrival that caused it.
    pub arrival: u64,
    /// When: microseconds since the sandbox started.
    pub at_us: u64,
    /// When: seconds since the Unix epoch.
    pub created: u64,
    /// In the currency's smallest unit; 0 of what has no amount.
    pub amount: u64,
    /// Three lower-case letters; empty of what has none.
    pub currency: String,
    /// The key it came with.
    pub key: Option<String>,
    /// The caller's own name for it.
    pub reference: Option<String>,
}

/// How busy the sandbox is and was. Control requests count only as connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Requests since the start or the last reset.
    pub requests: u64,
    /// Requests that have not ended.
    pub open: u64,
    /// The most that were open at once, since the start or the last reset.
    pub peak_open: u64,
    /// Connections accepted since the start or the last reset.
    pub connections: u64,
    /// Connections closed because there were too many, since the start or the last reset.
    pub refused_connections: u64,
}

/// The arrivals as they are being noted.
#[derive(Debug)]
pub(super) struct Book {
    arrivals: VecDeque<Arrival>,
    next: u64,
    dropped: u64,
    counters: Counters,
    capacity: usize,
}

impl Book {
    /// An empty book that keeps `capacity` arrivals.
    pub(super) fn new(capacity: usize) -> Self {
        Self { arrivals: VecDeque::new(), next: 1, dropped: 0, counters: Counters::default(), capacity }
    }

    /// Notes a connection.
    pub(super) fn connected(&mut self) {
        self.counters.connections += 1;
    }

    /// Notes a connection that was one too many.
    pub(super) fn refused(&mut self) {
        self.counters.refused_connections += 1;
    }

    /// Notes a request and numbers it.
    pub(super) fn arrive(
        &mut self,
        at: Mono,
        connection: u64,
        method: &str,
        path: &str,
        key: Option<&str>,
    ) -> u64 {
        if self.arrivals.len() >= self.capacity {
            self.arrivals.pop_front();
            self.dropped += 1;
        }
        let number = self.next;
        self.next += 1;
        self.counters.requests += 1;
        self.counters.open += 1;
        self.counters.peak_open = self.counters.peak_open.max(self.counters.open);
        self.arrivals.push_back(Arrival {
            number,
            at_us: micros(at),
            connection,
            method: clip(method),
            path: clip(path),
            key: key.map(clip),
            ending: Ending::Open {},
            ended_us: None,
        });
        number
    }

    /// Notes how a request ended, if it is still remembered.
    pub(super) fn end(&mut self, number: u64, at: Mono, ending: Ending) {
        self.counters.open = self.counters.open.saturating_sub(1);
        let first = self.arrivals.front().map_or(number, |arrival| arrival.number);
        let index = number.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        if let Some(arrival) = index.and_then(|index| self.arrivals.get_mut(index)) {
            arrival.ending = ending;
            arrival.ended_us = Some(micros(at));
        }
    }

    /// Forgets what was noted. Requests still open stay open; numbers go on, so that none is mistaken for an older one.
    pub(super) fn reset(&mut self) {
        self.arrivals.clear();
        self.dropped = 0;
        let open = self.counters.open;
        self.counters = Counters { open, peak_open: open, ..Counters::default() };
    }

    /// The counters now.
    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// The arrivals kept, and how many made room.
    pub(super) fn arrivals(&self) -> (Vec<Arrival>, u64) {
        (self.arrivals.iter().cloned().collect(), self.dropped)
    }
}

/// The ledger's unit of time.
pub(super) fn micros(at: Mono) -> u64 {
    u64::try_from(at.since_origin().as_micros()).unwrap_or(u64::MAX)
}

fn clip(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Mono {
        Mono::from_origin(Duration::from_millis(millis))
    }

    fn arrive(book: &mut Book) -> u64 {
        book.arrive(at(1), 1, "GET", "/", None)
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let mut book = Book::new(2);
        let first = arrive(&mut book);
        let second = arrive(&mut book);
        let third = arrive(&mut book);
        book.end(first, at(2), Ending::Closed {});
        book.end(third, at(3), Ending::Closed {});
        let (arrivals, dropped) = book.arrivals();
        assert_eq!(dropped, 1);
        let ends: Vec<_> = arrivals.iter().map(|arrival| (arrival.number, arrival.ended_us)).collect();
        assert_eq!(ends, [(second, None), (third, Some(3000))]);
        assert_eq!(
            book.counters(),
            Counters { requests: 3, open: 1, peak_open: 3, connections: 0, refused_connections: 0 }
        );
    }

    #[test]
    fn a_request_from_before_a_reset_ends_without_touching_later_ones() {
        let mut book = Book::new(10);
        let before = arrive(&mut book);
        book.reset();
        let after = arrive(&mut book);
        book.end(before, at(2), Ending::Garbage {});
        let (arrivals, _) = book.arrivals();
        assert_eq!(arrivals.len(), 1);
        assert_eq!((arrivals[0].number, arrivals[0].ending), (after, Ending::Open {}));
        assert_eq!(
            book.counters(),
            Counters { requests: 1, open: 1, peak_open: 2, connections: 0, refused_connections: 0 }
        );
    }

    #[test]
    fn long_texts_are_clipped_between_characters() {
        let mut book = Book::new(1);
        book.arrive(at(0), 1, "GET", &"é".repeat(2000), Some(&"k".repeat(2000)));
        let (arrivals, _) = book.arrivals();
        assert_eq!(arrivals[0].path.len(), 1024);
        assert_eq!(arrivals[0].key.as_ref().unwrap().len(), 1024);
    }
}
