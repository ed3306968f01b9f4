//! Lives that end at each failpoint there is.

use std::time::Duration;

use causeway::failpoint::{self, Durable, Failpoint};
use causeway::sandbox::{Action, Behaviour};
use http::Method;
use serde_json::{Value, json};

use super::load::Deed;
use super::world::{Store, World};
use crate::support::{Ask, Process, charge, until};

/// Later than everything has been kept for long enough.
const LATER: &str = "+800d";

/// When in its lives a server comes by.
#[derive(PartialEq, Eq)]
enum When {
    /// Before it serves: once, as its data is made.
    Making,
    /// Before it serves, in each life.
    Starting,
    /// When it is asked for something.
    Serving,
    /// When something is old enough to be let go.
    Ageing,
}

fn when(point: Failpoint) -> When {
    match point {
        Failpoint::Request(_) => When::Serving,
        Failpoint::Write(what, _) => match what {
            Durable::KeyFile | Durable::Schema => When::Making,
            Durable::Seal | Durable::Own | Durable::Recover | Durable::KeepConfiguration => When::Starting,
            Durable::ForgetOldAttempts
            | Durable::ForgetOldDeeds
            | Durable::ForgetOldDeadLetters
            | Durable::ForgetOldRuns
            | Durable::ForgetOldConfigurations
            | Durable::ForgetOldLimits => When::Ageing,
            Durable::Claim
            | Durable::Record
            | Durable::Finish
            | Durable::Forget
            | Durable::TakeBack
            | Durable::Lease
            | Durable::Heartbeat
            | Durable::Release
            | Durable::Park
            | Durable::Cancel
            | Durable::Reopen
            | Durable::Inquire
            | Durable::ForgetDeadLetter
            | Durable::Audit
            | Durable::Keep
            | Durable::KeepLimits
            | Durable::AppendAttempts
            | Durable::Check => When::Serving,
        },
    }
}

/// The latest that it is worth to die there, where it is come by so often.
fn often(point: Failpoint) -> u64 {
    match point {
        Failpoint::Request(_) => 20,
        Failpoint::Write(Durable::Claim | Durable::Finish | Durable::Record, _) => 10,
        Failpoint::Write(Durable::Lease | Durable::Audit, _) => 3,
        // As a life begins, and as something is taken of a quota.
        Failpoint::Write(Durable::KeepLimits, _) => 2,
        Failpoint::Write(..) => 1,
    }
}

/// What an operator has to do that it is come by soon.
fn leads_to(point: Failpoint) -> Option<Deed> {
    let Failpoint::Write(what, _) = point else { return None };
    [
        (Durable::Forget, Deed::Trip),
        (Durable::Audit, Deed::Trip),
        (Durable::Keep, Deed::RedriveMany),
        (Durable::Reopen, Deed::LookAfterADeadLetter),
        (Durable::ForgetDeadLetter, Deed::LookAfterADeadLetter),
        (Durable::Cancel, Deed::Cancel),
    ]
    .into_iter()
    .find_map(|(wanted, deed)| (wanted == what).then_some(deed))
}

/// Dies everywhere, but of what is old.
pub(super) async fn through(world: &mut World) {
    let store = world.store;
    let of = |wanted: When| {
        let here = move |point: &Failpoint| store.has(point) && when(*point) == wanted;
        failpoint::all().filter(here).collect::<Vec<_>>()
    };
    let (tables, key): (Vec<_>, Vec<_>) =
        of(When::Making).into_iter().partition(|point| matches!(point, Failpoint::Write(Durable::Schema, _)));
    for point in key {
        assert!(dies_starting(world, point).await);
    }
    while dies_being_made(world, &tables).await {}
    for point in of(When::Starting) {
        assert!(dies_starting(world, point).await);
    }
    let mut serving = of(When::Serving);
    while !serving.is_empty() {
        let place = usize::try_from(world.dice.roll(serving.len() as u64)).expect("a place");
        let point = serving.swap_remove(place);
        dies_serving(world, point).await;
    }
}

/// Dies at each of these, and is then a step further; `false` when there is nothing left to be made.
async fn dies_being_made(world: &mut World, points: &[Failpoint]) -> bool {
    for point in points {
        if !dies_starting(world, *point).await {
            return false;
        }
    }
    true
}

async fn dies_starting(world: &mut World, point: Failpoint) -> bool {
    let mut command = world.command();
    world.dies_starting(point, &mut command).await
}

async fn dies_serving(world: &mut World, point: Failpoint) {
    let mut too = "";
    match point {
        // Longer than a third of the lease.
        Failpoint::Write(Durable::Heartbeat, _) => {
            world.provider.always(Behaviour::normal().delayed(Duration::from_millis(700)));
        }
        Failpoint::Write(Durable::Park, _) => world.provider.always(Behaviour::status(503)),
        // What may have been made cannot be asked for: nobody is told, and it is asked about later.
        Failpoint::Write(Durable::Inquire, _) => {
            world.provider.always(Action::DropAfter {});
            world.provider.always_on(&Method::GET, "/v1/charges", Behaviour::status(403));
        }
        // What was committed and is refused all the same; a file is asked twice.
        Failpoint::Write(Durable::TakeBack, _) => {
            world.provider.always(Behaviour::normal());
            too = if world.store == Store::Sqlite {
                "claim.lost=2*return->off;"
            } else {
                "claim.lost=1*return->off;"
            };
        }
        Failpoint::Write(..) | Failpoint::Request(_) => world.is_in_trouble(),
    }
    let nth = 1 + world.dice.roll(often(point));
    world.dies_serving(point, nth, too, leads_to(point)).await;
    world.provider.always(Behaviour::normal());
    world.provider.always_on(&Method::GET, "/v1/charges", Behaviour::normal());
}

/// Years later everything is let go, at whatever moment of that it dies; what still waits is not.
pub(super) async fn of_what_is_old(world: &mut World) {
    let later = |world: &World| {
        let mut command = world.command();
        let clock = world.clock();
        clock.set(LATER);
        clock.of(&mut command);
        command
    };
    let (mut server, api, _) = world.serve().await;
    let waits = Ask::run("tomorrow", &charge()).header("x-not-before", "2999-01-01T00:00:00Z");
    let waits = api.send(waits).await.json()["id"].clone();
    server.kill();
    for point in failpoint::all().filter(|point| when(*point) == When::Ageing) {
        if matches!(point, Failpoint::Write(Durable::ForgetOldConfigurations, _)) {
            // One that held for a life in which no run began.
            world.changes_its_configuration();
            let (mut server, ..) = world.serve().await;
            server.kill();
            world.changes_its_configuration();
        }
        let mut command = later(world);
        world.dies_idle(point, &mut command).await;
    }
    let mut server = Process::start(&mut later(world));
    let (api, admin) = server.serves().await;
    let items = async |path: &str| match path.strip_prefix("/admin") {
        Some(_) => admin.get(path).await.ok()["items"].clone(),
        None => api.get(path).await.ok()["items"].clone(),
    };
    until("what is old is let go", async || {
        let runs = items("/v1/runs").await;
        let left: Vec<&Value> = runs.as_array()?.iter().map(|run| &run["id"]).collect();
        let empty = items("/admin/v1/dead-letters").await == json!([])
            && items("/admin/v1/attempts").await == json!([])
            && items("/admin/v1/audit").await == json!([]);
        (left == [&waits] && empty).then_some(())
    })
    .await;
    // And it goes on.
    api.send(Ask::run("payments.charge", &charge())).await.ok();
    server.kill();
}
