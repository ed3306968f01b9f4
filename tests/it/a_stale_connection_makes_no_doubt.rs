//! A connection that the provider is about to close must not carry what cannot be repeated: nobody could say whether
//! it was read.

use std::time::Duration;

use crate::support::hostile::{Hostile, Step};
use crate::support::{Config, Server, charge};

const WELL: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";
const KIND: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nkeep-alive: timeout=2, max=100\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";

/// A provider that reads a second request on a connection, and is gone.
async fn charges_twice(conversation: &'static [Step], pause: Duration) -> (Vec<u16>, usize) {
    let provider = Hostile::start(conversation);
    let server = Server::start(&Config::payments(&provider.url(), "[retry]\nmax_retries = 0"));
    let first = server.api.run("payments.charge_once", &charge()).await;
    tokio::time::sleep(pause).await;
    let second = server.api.run("payments.charge_once", &charge()).await;
    (vec![first.status, second.status], provider.connections())
}

#[tokio::test]
async fn what_has_been_idle_for_four_seconds_carries_no_charge() {
    const GONE: &[Step] = &[Step::Read, Step::Say(WELL), Step::Read];
    assert_eq!(charges_twice(GONE, Duration::from_millis(4_200)).await, (vec![200, 200], 2));
    // The doubt that this is for: nobody can know that the provider has let the connection go.
    assert_eq!(charges_twice(GONE, Duration::ZERO).await, (vec![200, 504], 1));
}

#[tokio::test]
async fn a_providers_keep_alive_timeout_is_believed() {
    const GONE: &[Step] = &[Step::Read, Step::Say(KIND), Step::Read];
    assert_eq!(charges_twice(GONE, Duration::from_millis(1_200)).await, (vec![200, 200], 2));
}
