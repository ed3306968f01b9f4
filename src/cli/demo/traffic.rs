//! Steady sample traffic, and a script of troubles that comes round every minute.
//!
//! Orders go in through the business API like anybody's, a few a second. At the same time two providers have their
//! troubles, so that whoever looks sees a breaker open and close, orders that are `partial` meanwhile, and calls that
//! wait for a provider that has asked for patience. Payments are left alone: they are the newcomer's to break.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::sandbox::{Action, Behaviour, Control, Rule};

/// Between two calls.
const EVERY: Duration = Duration::from_millis(150);
/// One in so many cards is declined.
const DECLINED: u64 = 10;
/// The longest that a call is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The minute's script: when, counted from the trouble before, what happens at which path.
fn script() -> [(Duration, &'static str, Behaviour); 4] {
    let patience = Action::RateLimit { retry_after: "3".to_owned(), status: 429 };
    [
        (Duration::from_secs(10), "/v1/messages", Behaviour::status(500)),
        (Duration::from_secs(10), "/v1/messages", Behaviour::normal()),
        (Duration::from_secs(20), "/v1/contacts", patience.into()),
        (Duration::from_secs(4), "/v1/contacts", Behaviour::normal()),
    ]
}
/// What is left of the minute after the last trouble.
const REST: Duration = Duration::from_secs(16);

/// Has providers fail and recover, for ever.
pub(super) async fn troubles(control: Control) {
    loop {
        for (wait, path, behaviour) in script() {
            sleep(wait).await;
            if let Err(error) = control.plan(Rule::always(behaviour).on(&Method::POST, path)) {
                tracing::warn!(%error, "the demo could not change what its provider does");
            }
        }
        sleep(REST).await;
    }
}

/// Places orders, for ever.
pub(super) async fn orders(api: SocketAddr) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1_u64.. {
        ticks.tick().await;
        actix::spawn(async move {
            // What becomes of an order is in its outcome, the metrics and the log.
            let _ = timeout(PATIENCE, place(api, number)).await;
        });
    }
}

async fn place(api: SocketAddr, number: u64) -> Result<(), Box<dyn std::error::Error>> {
    let source = if number.is_multiple_of(DECLINED) { "tok_declined" } else { "tok_visa" };
    let order = json!({
        "amount": 500 + number % 97 * 25,
        "currency": "eur",
        "source": source,
        "email": format!("customer-{}@example.com", number % 1000),
    });
    let stream = TcpStream::connect(api).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = actix::spawn(connection);
    let request = Request::post("/v1/operations/orders.place")
        .header(HOST, api.to_string())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(order.to_string())))?;
    let answer = sender.send_request(request).await?;
    answer.into_body().collect().await?;
    driver.abort();
    Ok(())
}
