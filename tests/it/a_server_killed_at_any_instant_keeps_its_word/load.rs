//! Who asks a server until it is gone: callers, and an operator.

use std::time::Duration;

use serde_json::{Value, json};

use super::wishes::{Kind, Memory, Said, Told, Wish, status_of};
use crate::support::{Answer, Ask, Client, Dice};

/// Wishes until the server is gone. Now and then asks for the same as before, to be told the same.
pub(super) async fn call(api: Client, memory: Memory, mut dice: Dice) {
    loop {
        if dice.roll(4) == 0
            && let Some(granted) = memory.granted(&mut dice)
        {
            let Some(answer) = ask(api, &granted).await else { return };
            is_told_the_same(&granted, &answer);
        }
        let wish = memory.wish(&mut dice);
        let Some(answer) = ask(api, &wish).await else { return };
        memory.said(wish.amount, &answer);
    }
}

/// Asks for it, again while the store is not available; `None` when the server is gone.
async fn ask(api: Client, wish: &Wish) -> Option<Answer> {
    loop {
        let answer = api.try_send(wish.ask()).await.ok()?;
        if answer.status != 503 || answer.json()["code"] != "store_unavailable" {
            return Some(answer);
        }
    }
}

/// Fails unless a wish is answered as it was the first time.
pub(super) fn is_told_the_same(wish: &Wish, answer: &Answer) {
    let Some(Said::Ended { body, .. }) = &wish.said else { return };
    assert_eq!(answer.header("idempotency-replayed"), Some("true"), "{wish:?}: {answer:?}");
    assert_eq!(&answer.body, body, "{wish:?}");
}

/// The server has been killed.
struct Gone;

impl From<String> for Gone {
    fn from(_: String) -> Self {
        Self
    }
}

/// What an operator does.
#[derive(Clone, Copy)]
pub(super) enum Deed {
    Trip,
    RedriveMany,
    LookAfterADeadLetter,
    Cancel,
}

impl Deed {
    const ALL: [Self; 4] = [Self::Trip, Self::RedriveMany, Self::LookAfterADeadLetter, Self::Cancel];
}

/// Somebody who looks after a server.
pub(super) struct Operator {
    pub(super) api: Client,
    pub(super) admin: Client,
    pub(super) memory: Memory,
    /// What is done every other time.
    pub(super) above: Option<Deed>,
}

impl Operator {
    /// Does what operators do until the server is gone.
    pub(super) async fn work(self, mut dice: Dice) {
        if self.finds_what_was_said().await.is_err() {
            return;
        }
        // Lives are short: it is tripped at the end of some.
        let mut first = (dice.roll(2) == 0).then_some(Deed::Trip);
        loop {
            let any = *dice.pick(&Deed::ALL);
            let deed = first.take().or(self.above.filter(|_| dice.roll(2) == 0)).unwrap_or(any);
            let done = match deed {
                Deed::Trip => self.trip_and_reset(&mut dice).await,
                Deed::RedriveMany => self.redrive_many().await,
                Deed::LookAfterADeadLetter => self.look_after_a_dead_letter(&mut dice).await,
                Deed::Cancel => self.cancel(&mut dice).await,
            };
            if done.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(dice.roll(10))).await;
        }
    }

    async fn trip_and_reset(&self, dice: &mut Dice) -> Result<(), Gone> {
        self.say("breaker/trip", &json!({ "reason": "a test" }), Told::Tripped).await?;
        // Long enough to be killed meanwhile, now and then.
        tokio::time::sleep(Duration::from_millis(dice.roll(40))).await;
        self.say("breaker/reset", &json!({}), Told::Reset).await
    }

    /// What was acknowledged to an operator holds in the next life.
    async fn finds_what_was_said(&self) -> Result<(), Gone> {
        let told = self.memory.with(|words| words.breaker);
        let shown = self.admin.try_send(Ask::get("/admin/v1/integrations/payments")).await?;
        let is_tripped = shown.ok()["breaker"]["state"] == "forced_open";
        match told {
            Told::Nothing => {}
            Told::Tripped => assert!(is_tripped, "the trip was forgotten: {shown:?}"),
            Told::Reset => assert!(!is_tripped, "the reset was forgotten: {shown:?}"),
        }
        if is_tripped { self.say("breaker/reset", &json!({}), Told::Reset).await } else { Ok(()) }
    }

    async fn say(&self, word: &str, body: &Value, told: Told) -> Result<(), Gone> {
        // Whoever is not answered does not know which of the two holds.
        let before = self.memory.with(|words| std::mem::take(&mut words.breaker));
        let ask = Ask::post(format!("/admin/v1/integrations/payments/{word}"), body);
        let answer = self.admin.try_send(ask).await;
        let holds = match &answer {
            Ok(answer) => {
                answer.ok();
                told
            }
            // The server was gone before it was said.
            Err(error) if error.contains("refused") => before,
            Err(_) => Told::Nothing,
        };
        self.memory.with(|words| words.breaker = holds);
        answer?;
        Ok(())
    }

    async fn redrive_many(&self) -> Result<(), Gone> {
        let body = json!({ "filter": { "operation": "declined" }, "rate": 500 });
        self.admin.try_send(Ask::post("/admin/v1/redrives", &body)).await?;
        Ok(())
    }

    /// Has one tried again, settles one, or lets one go.
    async fn look_after_a_dead_letter(&self, dice: &mut Dice) -> Result<(), Gone> {
        let letters = self.admin.try_send(Ask::get("/admin/v1/dead-letters?limit=50")).await?.ok();
        let letters = letters["items"].as_array().expect("a list");
        if letters.is_empty() {
            return Ok(());
        }
        let id = dice.pick(letters)["id"].as_str().expect("an id");
        let letter = format!("/admin/v1/dead-letters/{id}");
        let whole = self.admin.try_send(Ask::get(letter.clone())).await?;
        // Somebody was faster.
        if whole.status == 404 {
            return Ok(());
        }
        let whole = whole.ok();
        let amount = whole["input"]["amount"].as_u64().expect("an amount");
        let in_doubt = whole["class"] == "ambiguous";
        self.memory.change(amount, |wish| wish.is_settled = true);
        let resolve = |body: Value| Ask::post(format!("{letter}/resolve"), &body);
        match dice.roll(if in_doubt { 5 } else { 2 }) {
            0 => {
                let gone = self.admin.try_send(Ask::delete(letter)).await?;
                if gone.status == 204 {
                    self.memory.with(|words| words.let_go.insert(id.to_owned()));
                }
            }
            1 => drop(self.admin.try_send(Ask::post(format!("{letter}/redrive"), &json!({}))).await?),
            2 => {
                self.memory.change(amount, |wish| wish.resent += 1);
                self.admin.try_send(resolve(json!({ "as": "resend" }))).await?;
            }
            3 => drop(self.admin.try_send(resolve(json!({ "as": "failed" }))).await?),
            _ => drop(self.admin.try_send(resolve(json!({ "as": "succeeded", "result": {} }))).await?),
        }
        Ok(())
    }

    /// Has something cancelled, nearly always something that waits.
    async fn cancel(&self, dice: &mut Dice) -> Result<(), Gone> {
        let any = dice.roll(8) == 0;
        let wish = self.memory.with(|words| {
            let of_these = |wish: &&Wish| wish.run.is_some() && (any || wish.kind == Kind::Tomorrow);
            let some: Vec<&Wish> = words
                .wishes
                .values()
                .rev()
                .filter(of_these)
                .filter(|wish| wish.cancelled.is_none())
                .collect();
            some.first().map(|wish| (*wish).clone())
        });
        let Some((wish, run)) = wish.and_then(|wish| wish.run.clone().map(|run| (wish, run))) else {
            return Ok(());
        };
        self.memory.change(wish.amount, |wish| wish.cancelled = Some(false));
        let answer = self.api.try_send(Ask::post(format!("/v1/runs/{run}/cancel"), &json!({}))).await?;
        // A run for which nothing was sent may be forgotten by now; one that waits is not.
        if wish.kind == Kind::Tomorrow {
            assert!(matches!(answer.status, 200 | 202), "{wish:?}: {answer:?}");
            assert!(!status_of(&answer.json()).is_empty(), "{answer:?}");
            self.memory.change(wish.amount, |wish| wish.cancelled = Some(true));
        }
        Ok(())
    }
}
