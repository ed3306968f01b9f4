//! What was said, compared with what was done, when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use causeway::sandbox::Behaviour;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::load::is_told_the_same;
use super::wishes::{Kind, Said, Wish, status_of};
use super::world::World;
use crate::support::queued::are_all_over;
use crate::support::{Answer, Ask, Client, Provider, until};

/// As many are asked at once.
const AT_ONCE: usize = 16;

/// Fails unless every promise was kept.
pub(super) async fn compare(world: &World) {
    world.provider.always(Behaviour::normal());
    let (server, api, admin) = world.serve().await;
    admin.send(Ask::post("/admin/v1/integrations/payments/breaker/reset", &json!({}))).await.ok();
    let cancelled = cancel_what_waits_for_its_time(api).await;
    comes_to_rest(api, admin).await;
    let (wishes, let_go) = world.memory.with(|words| (words.wishes.clone(), words.let_go.clone()));
    // Before anything is asked again: nothing was done twice, whatever was said.
    let done = done(&world.provider);
    let wishes: Vec<Wish> = wishes.into_values().collect();
    for wish in &wishes {
        let times = done.get(&wish.amount).copied().unwrap_or_default();
        assert!(times <= wish.kind.effects() + wish.resent, "{wish:?} was done {times} times");
    }
    // And whoever asks again is told the truth.
    let mut dead = dead_letters(admin).await;
    let mut unknown = Vec::new();
    for some in wishes.chunks(AT_ONCE) {
        let answers = join_all(some.iter().map(|wish| api.send(wish.ask()))).await;
        for (wish, answer) in some.iter().zip(answers) {
            let times = done.get(&wish.amount).copied().unwrap_or_default();
            let case = Case { wish, answer: &answer, times, dead: &dead, cancelled: &cancelled };
            unknown.extend(case.judge());
        }
    }
    // Of some the provider is asked meanwhile; those that stay so are dead letters by now.
    dead.extend(dead_letters(admin).await);
    for (wish, run) in unknown {
        assert!(dead.contains(&run), "{wish:?} is no dead letter: {run}");
    }
    assert!(let_go.iter().all(|id| !dead.contains(id)), "a dead letter that was let go is there");
    // What nobody had been promised was done now, and once.
    cancel_what_waits_for_its_time(api).await;
    comes_to_rest(api, admin).await;
    let done = self::done(&world.provider);
    for wish in &wishes {
        let times = done.get(&wish.amount).copied().unwrap_or_default();
        assert!(times <= wish.kind.effects() + wish.resent, "{wish:?} was done {times} times at last");
    }
    no_key_has_two_effects(&world.provider);
    server.terminate();
    assert!(server.ended().await.status.success(), "it ends in order");
}

/// How often each amount was charged.
fn done(provider: &Provider) -> BTreeMap<u64, usize> {
    let mut done = BTreeMap::new();
    for effect in provider.effects() {
        *done.entry(effect.amount).or_default() += 1;
    }
    done
}

/// Cancels the runs that are due in a thousand years, those too that nobody was told of.
async fn cancel_what_waits_for_its_time(api: Client) -> BTreeSet<String> {
    let mut cancelled = BTreeSet::new();
    loop {
        let left = api.get("/v1/runs?limit=100&status=accepted&operation=tomorrow").await.ok();
        let left: Vec<&str> =
            left["items"].as_array().expect("a list").iter().filter_map(|run| run["id"].as_str()).collect();
        if left.is_empty() {
            return cancelled;
        }
        for id in left {
            let answer = api.send(Ask::post(format!("/v1/runs/{id}/cancel"), &json!({}))).await;
            assert!(matches!(answer.status, 200 | 202), "{answer:?}");
            cancelled.insert(id.to_owned());
        }
    }
}

/// Nothing is stuck.
async fn comes_to_rest(api: Client, admin: Client) {
    until("nothing is under way", async || {
        let redrives = admin.get("/admin/v1/redrives").await.ok();
        if redrives["items"].as_array()?.iter().any(|redrive| redrive["status"] == "running") {
            return None;
        }
        are_all_over(&api).await.then_some(())
    })
    .await;
}

/// The runs that a person has to look at.
async fn dead_letters(admin: Client) -> BTreeSet<String> {
    let (mut dead, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = admin.get(&format!("/admin/v1/dead-letters?limit=100{cursor}")).await.ok();
        let items = page["items"].as_array().expect("a list");
        dead.extend(items.iter().filter_map(|letter| letter["id"].as_str()).map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return dead,
        }
    }
}

/// A wish, what its caller is told at last, and what was done.
struct Case<'w, 'a> {
    wish: &'w Wish,
    answer: &'a Answer,
    /// How often it had been done before that was asked.
    times: usize,
    dead: &'a BTreeSet<String>,
    /// The runs that were cancelled at last.
    cancelled: &'a BTreeSet<String>,
}

impl<'w> Case<'w, '_> {
    /// The wish and its run, where nobody knows what became of it and somebody has to look.
    fn judge(&self) -> Option<(&'w Wish, String)> {
        let Self { wish, answer, times, .. } = self;
        let told = answer.json();
        let is_known = answer.header("idempotency-replayed") == Some("true");
        match &wish.said {
            Some(Said::Accepted) => assert!(is_known, "{wish:?} was forgotten: {answer:?}"),
            // What nothing was sent for is not kept.
            Some(Said::Ended { status, .. }) if status != "failed" || is_known => {
                assert!(is_known, "{wish:?} was forgotten: {answer:?}");
                let is_open = status == "unknown" && wish.kind.is_asked_about();
                if !is_open && !wish.is_settled && (wish.cancelled.is_none() || status == "succeeded") {
                    is_told_the_same(wish, answer);
                }
            }
            Some(Said::Ended { .. } | Said::Else(_)) | None => {}
        }
        if is_known {
            return self.is_true(&told);
        }
        assert_eq!(*times, 0, "{wish:?} was done, and its run is forgotten: {answer:?}");
        None
    }

    /// What is told of a run is what was done, and a person is told of what nobody knows.
    fn is_true(&self, told: &Value) -> Option<(&'w Wish, String)> {
        let Self { wish, times, dead, .. } = self;
        let (all, status) = (wish.kind.effects(), status_of(told));
        let untouched = !wish.is_settled && wish.cancelled.is_none();
        if wish.kind.is_certain() && untouched {
            assert_eq!(status, "succeeded", "{wish:?}: {told}");
        }
        let id = told["run"]["id"].as_str().or_else(|| told["id"].as_str()).expect("an id");
        match status {
            "succeeded" if wish.is_settled => {}
            "succeeded" => assert_eq!(*times, all, "{wish:?} is not done: {told}"),
            "failed" if wish.is_settled => {}
            "failed" => {
                assert!(*times == 0 || *times < all, "{wish:?} was done: {told}");
                assert!(!wish.kind.is_queued() || dead.contains(id), "{wish:?} is no dead letter: {told}");
            }
            "unknown" => {}
            "cancelled" => {
                assert!(wish.cancelled.is_some() || self.cancelled.contains(id), "{wish:?}: {told}");
                assert!(wish.kind != Kind::Tomorrow || *times == 0, "{wish:?} was done: {told}");
            }
            other => panic!("{wish:?} is {other}: {told}"),
        }
        if wish.cancelled == Some(true) {
            assert_eq!(status, "cancelled", "{wish:?} was cancelled: {told}");
        }
        (status == "unknown" && !wish.is_settled).then(|| (*wish, id.to_owned()))
    }
}

fn no_key_has_two_effects(provider: &Provider) {
    let mut keys = BTreeSet::new();
    for effect in provider.effects() {
        if let Some(key) = effect.key {
            assert!(keys.insert((key.clone(), effect.amount)), "the key {key} has two effects");
        }
    }
}
