//! A quota's tokens are reserved on disk before they are used: who waits for that, who is refused, and who is not held up.

use std::time::Duration;

use causeway_actors::fakes::{Script, ScriptedLedger};
use causeway_core::failure::ErrorClass;
use causeway_core::limits::{CalendarPeriod, CalendarSpec, LimitKind, LimitSpec, Owner};
use causeway_core::name::{GroupName, LimitName};
use causeway_core::operation::RunStatus;

use crate::world::{At, LONG, Setting, To, World, millis};

fn month(requests: u32, group: Option<&str>) -> Setting {
    let kind = LimitKind::Calendar(CalendarSpec {
        requests,
        per: CalendarPeriod::Month,
        timezone: jiff::tz::TimeZone::UTC,
    });
    let group = group.map(|name| GroupName::new(name).unwrap());
    let limits = vec![LimitSpec { group, ..LimitSpec::new(LimitName::new("month").unwrap(), kind) }];
    Setting { limits, ledger: Some(ScriptedLedger::default()), ..Setting::default() }
}

fn ledger(setting: &Setting) -> ScriptedLedger {
    setting.ledger.clone().unwrap()
}

fn answers(_: usize, _: &causeway_actors::ports::WireRequest) -> Script {
    Script::answers(200, "{}")
}

/// How many tokens the disk knows as taken.
fn reserved(ledger: &ScriptedLedger) -> Vec<u32> {
    ledger.records().into_iter().filter_map(|record| record.quota).map(|quota| quota.reserved).collect()
}

#[test]
fn a_call_waits_for_the_disk_and_is_not_sent_before() {
    let setting = month(100, None);
    let ledger = ledger(&setting);
    ledger.takes(millis(500));
    World::live(&setting, answers, async |world| {
        let began = world.clock.mono();
        let call = world.dispatch(To::Plain, LONG);
        world.pass(millis(499)).await;
        assert!(world.transport.seen().is_empty() && reserved(&ledger).is_empty());
        assert_eq!(call.outcome().await.status, RunStatus::Succeeded);
        assert_eq!(world.clock.mono(), began + millis(500));
        assert_eq!(reserved(&ledger), [6], "with a slice more");
    });
}

#[test]
fn nobody_waits_while_a_slice_is_ahead() {
    let setting = month(1_000, None);
    let ledger = ledger(&setting);
    ledger.takes(millis(20));
    World::live(&setting, answers, async |world| {
        world.dispatch(To::Plain, LONG).outcome().await;
        for _ in 0..600 {
            let began = world.clock.mono();
            assert_eq!(world.dispatch(To::Plain, LONG).outcome().await.status, RunStatus::Succeeded);
            assert_eq!(world.clock.mono(), began, "at once");
            world.pass(millis(1)).await;
        }
        assert!(ledger.asked() < 40, "{} times for 600 calls", ledger.asked());
        let shown = world.snapshot().view.limits[0].clone();
        let known = reserved(&ledger)[0];
        assert!((601..=700).contains(&known) && shown.reserved.is_some(), "{known} {shown:?}");
    });
}

#[test]
fn while_the_disk_fails_it_is_refused_and_afterwards_it_goes_on() {
    let setting = month(100, None);
    let ledger = ledger(&setting);
    ledger.fails(true);
    ledger.takes(millis(50));
    World::live(&setting, answers, async |world| {
        let began = world.clock.mono();
        let all = [(); 3].map(|()| world.dispatch(To::Plain, LONG));
        for call in all {
            let failure = call.failure().await;
            assert_eq!((failure.class, &*failure.code), (ErrorClass::Overloaded, "store_unavailable"));
            assert_eq!(failure.retry_after, Some(millis(1_000)));
            assert_eq!(world.clock.mono(), began + millis(50));
        }
        assert_eq!(&*world.dispatch(To::Plain, LONG).failure().await.code, "store_unavailable");
        assert_eq!(
            (world.clock.mono(), ledger.asked()),
            (began + millis(50), 1),
            "it is not asked again at once"
        );
        ledger.fails(false);
        world.pass(millis(1_000)).await;
        assert_eq!(world.dispatch(To::Plain, LONG).outcome().await.status, RunStatus::Succeeded);
        assert_eq!(world.transport.seen().len(), 1, "nothing was sent without");
    });
}

#[test]
fn an_actor_that_was_rebuilt_or_replaced_asks_anew() {
    for kill in [false, true] {
        let setting = month(100, None);
        let ledger = ledger(&setting);
        World::live(&setting, answers, async |world| {
            world.dispatch(To::Plain, LONG).outcome().await;
            ledger.takes(millis(300));
            // Until one has to wait.
            for _ in 0..5 {
                world.dispatch(To::Plain, LONG);
            }
            let waiting = world.dispatch(To::Plain, LONG);
            world.now().await;
            if kill {
                world.kill()
            } else {
                world.panic()
            }
            assert_ne!(waiting.outcome().await.status, RunStatus::Succeeded);
            world.pass(Duration::from_secs(2)).await;
            let began = world.clock.mono();
            assert_eq!(world.dispatch(To::Plain, LONG).outcome().await.status, RunStatus::Succeeded);
            assert!(world.clock.mono() <= began + millis(300));
            assert!(reserved(&ledger)[0] as usize >= world.transport.seen().len());
        });
    }
}

#[test]
fn members_of_a_group_reserve_together() {
    let setting = month(100, Some("account"));
    let ledger = ledger(&setting);
    ledger.takes(millis(100));
    World::live(&setting, answers, async |world| {
        let began = world.clock.mono();
        let one = world.dispatch_at(At::Provider, To::Plain, LONG);
        world.now().await;
        let other = world.dispatch_at(At::Neighbour, To::Plain, LONG);
        assert_eq!(one.outcome().await.status, RunStatus::Succeeded);
        assert_eq!(other.outcome().await.status, RunStatus::Succeeded);
        assert_eq!(
            (world.clock.mono(), ledger.asked()),
            (began + millis(100), 1),
            "who was told wakes who waits"
        );
        let records = ledger.records();
        assert_eq!(records[0].subject.owner, Owner::Group(GroupName::new("account").unwrap()));
        assert_eq!(records.len(), 1);
        let settled = world.settle().await;
        assert!(settled.iter().all(|record| record.quota.as_ref().unwrap().reserved == 2), "{settled:?}");
    });
}

#[test]
fn what_a_provider_asks_for_is_on_disk_at_once() {
    let play = |_: usize, _: &_| Script { ..Script::answers(429, "{}") };
    let setting = Setting { ledger: Some(ScriptedLedger::default()), ..Setting::default() };
    let ledger = ledger(&setting);
    World::live(&setting, play, async |world| {
        let before = world.clock.now().wall;
        let _refused = world.dispatch(To::Safe, millis(900)).outcome().await;
        world.now().await;
        let records = ledger.records();
        let until = records[0].drained_until.unwrap();
        assert!(records[0].subject.limit.is_none() && until >= before + millis(1_000), "{records:?}");
    });
}
