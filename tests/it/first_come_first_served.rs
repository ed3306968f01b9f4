//! Calls that wait for the same tokens go in the order in which they came, at the pace of the limit; and each retry takes
//! a token of its own.

use causeway::sandbox::Behaviour;
use serde_json::json;

use crate::support::wait::until;
use crate::support::{Config, Provider, Server, charge};

/// Of a second, a fortieth is kept in reserve for requests that are long on their way.
fn one_per(per: &str) -> String {
    format!(
        "[pool]\nmax_queue = 50\n[retry]\nbase_delay = \"1ms\"\nbudget_min = 100\n[[limits]]\nname = \"all\"\nkind = \"sliding_window\"\nrequests = 1\nper = \"{per}\"\n"
    )
}

#[tokio::test]
async fn in_the_order_of_arrival() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), &one_per("1s")));
    let api = server.api;
    api.run("payments.charge", &charge()).await.ok();
    let mut callers = Vec::new();
    for number in 1..=4 {
        let mut input = charge();
        input["amount"] = json!(number);
        callers.push(tokio::spawn(async move { api.run("payments.charge", &input).await }));
        // The next comes when this one waits, or has gone.
        until("its turn to wait", async || {
            let queued = server.integration("payments").await["pool"]["queued"].as_u64()?;
            (queued + provider.arrivals().len() as u64 > number).then_some(())
        })
        .await;
    }
    for caller in callers {
        caller.await.expect("an answer").ok();
    }
    let amounts: Vec<_> = provider.effects().iter().skip(1).map(|effect| effect.amount).collect();
    assert!(amounts.is_sorted(), "{amounts:?}");
    assert_eq!(amounts.len(), 4);
    let times: Vec<u64> = provider.arrivals().iter().map(|arrival| arrival.at_us).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1_000_000), "{times:?}");
}

#[tokio::test]
async fn a_retry_takes_a_token_of_its_own() {
    let provider = Provider::start();
    provider.next([Behaviour::status(500), Behaviour::status(500)]);
    let server = Server::start(&Config::payments(&provider.url(), &one_per("1s")));
    server.api.run("payments.balance", &json!({})).await.ok();
    let times: Vec<u64> = provider.arrivals().iter().map(|arrival| arrival.at_us).collect();
    assert_eq!(times.len(), 3);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1_000_000), "{times:?}");
}
