//! A step is taken back at the provider that served it, in that provider's own way, and nowhere else.

use causeway::sandbox::Behaviour;
use serde_json::{Value, json};

use crate::support::{Ask, Config, Provider, Server, charge};

const REFUND: &str = r#"
[endpoints.refund]
method = "POST"
path = "/v1/charges"
request = '{ body: { amount: .amount, currency: "eur", source: "tok_visa", reference: .charge } }'
idempotency = { header = "Idempotency-Key" }
"#;
const ORDER: &str = r#"
deadline = "5s"
[[steps]]
name = "pay"
call = "bank.charge"
undo = { call = "bank.refund", input = '{ amount: 1, charge: .steps.pay.result.id }' }
alternates = [
    { call = "other.charge", undo = { call = "other.refund", input = '{ amount: 2, charge: .steps.pay.result.id }' } },
    "third.charge",
]
[[steps]]
name = "ship"
call = "carrier.charge"
after = ["pay"]
"#;
const VALUED: &str = r#"
deadline = "5s"
[[steps]]
name = "pay"
call = "bank.charge"
undo = { call = "bank.refund", input = '{ amount: 1, charge: .steps.pay.result.id }' }
fallback = { value = { id = "ch_none" } }
[[steps]]
name = "ship"
call = "carrier.charge"
after = ["pay"]
"#;

struct World {
    bank: Provider,
    other: Provider,
    third: Provider,
    carrier: Provider,
    server: Server,
}

impl World {
    /// A carrier that refuses everything, and integrations that are switched off.
    async fn without(off: &[&str]) -> Self {
        let [bank, other, third, carrier] = [(); 4].map(|()| Provider::start());
        let providers = [("bank", &bank), ("other", &other), ("third", &third), ("carrier", &carrier)];
        let config = Config::new().providers(&providers, REFUND);
        let server = Server::start(&config.operation("order", ORDER).operation("valued", VALUED));
        carrier.always(Behaviour::status(404));
        for name in off {
            let path = format!("/admin/v1/integrations/{name}/breaker/trip");
            let trip = server.admin.send(Ask::post(path, &json!({ "reason": "exercise" }))).await;
            assert_eq!(trip.status, 200, "{trip:?}");
        }
        Self { bank, other, third, carrier, server }
    }

    /// Runs the operation to its failure, and gives the step that paid.
    async fn pay(&self, operation: &str) -> Value {
        let problem = self.server.api.run(operation, &charge()).await.problem(422, "provider_refused");
        assert_eq!(problem["run"]["status"], "failed");
        assert_eq!(self.carrier.arrivals().len(), 1);
        problem["run"]["steps"][0].clone()
    }
}

/// That this provider has charged once, and taken just that back with this amount.
fn undone_at(provider: &Provider, amount: u64) {
    let effects = provider.effects();
    let [charge, refund] = &effects[..] else { panic!("not a charge and a refund: {effects:?}") };
    assert_eq!((refund.amount, refund.reference.as_ref()), (amount, Some(&charge.id)));
}

#[tokio::test]
async fn the_first_where_it_served() {
    let world = World::without(&[]).await;
    let step = world.pay("order").await;
    assert_eq!((&step["status"], &step["integration"]), (&json!("undone"), &json!("bank")));
    undone_at(&world.bank, 1);
    assert_eq!((world.other.arrivals().len(), world.third.arrivals().len()), (0, 0));
}

#[tokio::test]
async fn the_alternate_where_it_served() {
    let world = World::without(&["bank"]).await;
    let step = world.pay("order").await;
    assert_eq!((&step["status"], &step["integration"]), (&json!("undone"), &json!("other")));
    undone_at(&world.other, 2);
    assert_eq!((world.bank.arrivals().len(), world.third.arrivals().len()), (0, 0));
}

#[tokio::test]
async fn nobody_where_the_one_that_served_has_no_undo() {
    let world = World::without(&["bank", "other"]).await;
    let step = world.pay("order").await;
    assert_eq!((&step["status"], &step["integration"]), (&json!("succeeded"), &json!("third")));
    assert_eq!(world.third.effects().len(), 1);
    assert_eq!((world.bank.arrivals().len(), world.other.arrivals().len()), (0, 0));
}

#[tokio::test]
async fn nobody_where_nobody_served() {
    let world = World::without(&["bank"]).await;
    let step = world.pay("valued").await;
    assert_eq!((&step["status"], &step["served_by"]), (&json!("succeeded"), &json!("value")));
    assert_eq!(world.bank.arrivals().len(), 0);
}
