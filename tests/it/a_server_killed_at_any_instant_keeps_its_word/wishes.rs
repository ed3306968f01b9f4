//! What is asked for, and what was said of it before the server was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{Answer, Ask, Config, Dice, Provider};

/// What may be wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A charge with a key, which its caller waits for.
    Charge,
    /// The same, left to the queue.
    Later,
    /// A charge without a key.
    Once,
    /// The same, left to the queue.
    OnceLater,
    /// A charge, and one more in the background.
    Both,
    /// Two charges, one after the other.
    Chain,
    /// A charge without a key, whose provider can be asked whether it was made.
    Book,
    /// A charge that is declined, left to the queue: a dead letter.
    Declined,
    /// A charge that is due in a thousand years: it waits until somebody cancels it.
    Tomorrow,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Charge,
        Self::Later,
        Self::Once,
        Self::OnceLater,
        Self::Both,
        Self::Chain,
        Self::Book,
        Self::Declined,
        Self::Tomorrow,
    ];

    pub(super) const fn operation(self) -> &'static str {
        match self {
            Self::Charge => "payments.charge",
            Self::Later => "later",
            Self::Once => "payments.charge_once",
            Self::OnceLater => "once_later",
            Self::Both => "both",
            Self::Chain => "chain",
            Self::Book => "book",
            Self::Declined => "declined",
            Self::Tomorrow => "tomorrow",
        }
    }

    /// The effects that it has when it is done.
    pub(super) const fn effects(self) -> usize {
        match self {
            Self::Both | Self::Chain => 2,
            Self::Declined | Self::Tomorrow => 0,
            Self::Charge | Self::Later | Self::Once | Self::OnceLater | Self::Book => 1,
        }
    }

    /// Whether it is left to the queue: where it fails, a person has to look at it.
    pub(super) const fn is_queued(self) -> bool {
        matches!(self, Self::Later | Self::OnceLater | Self::Declined | Self::Tomorrow)
    }

    /// Whether its provider is asked what became of it where that is in doubt: so long nothing is told for good.
    pub(super) const fn is_asked_about(self) -> bool {
        matches!(self, Self::Book)
    }

    /// Whether it is done for certain when it was accepted.
    pub(super) const fn is_certain(self) -> bool {
        matches!(self, Self::Later)
    }
}

/// What a caller was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// That it is on disk, and will be seen to.
    Accepted,
    /// How it ended, in these words.
    Ended { status: String, body: String },
    /// Something else.
    Else(u16),
}

impl Said {
    pub(super) fn of(answer: &Answer) -> Self {
        let told = answer.json();
        let run = if answer.status == 200 { &told } else { &told["run"] };
        let is_over = run["finished_at"].is_string()
            && !matches!(told["code"].as_str(), Some("outcome_pending" | "store_unavailable"));
        match (answer.status, run["status"].as_str()) {
            (202, _) => Self::Accepted,
            (_, Some(status)) if is_over => {
                Self::Ended { status: status.to_owned(), body: answer.body.clone() }
            }
            (other, _) => Self::Else(other),
        }
    }
}

/// A wish: by the amount of its charge it is known again in the ledger.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) amount: u64,
    pub(super) kind: Kind,
    pub(super) said: Option<Said>,
    /// The run that it became.
    pub(super) run: Option<String>,
    /// A person has said that it has to be sent once more, or that it is settled: so often at most.
    pub(super) resent: usize,
    /// A person has had a hand in it.
    pub(super) is_settled: bool,
    /// Somebody wanted it cancelled; whether that was acknowledged.
    pub(super) cancelled: Option<bool>,
}

impl Wish {
    pub(super) fn ask(&self) -> Ask {
        let source = if self.kind == Kind::Declined { "tok_declined" } else { "tok_visa" };
        let input = json!({ "amount": self.amount, "currency": "eur", "source": source });
        let ask = Ask::run(self.kind.operation(), &input)
            .header("idempotency-key", &format!("wish-{}", self.amount));
        if self.kind == Kind::Tomorrow { ask.header("x-not-before", "2999-01-01T00:00:00Z") } else { ask }
    }
}

/// What an operator was told last of a breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing that would hold for certain.
    #[default]
    Nothing,
    Tripped,
    Reset,
}

/// All that was wished and said.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) wishes: BTreeMap<u64, Wish>,
    pub(super) breaker: Told,
    /// Dead letters of which it was acknowledged that they are let go.
    pub(super) let_go: BTreeSet<String>,
}

/// All that was wished and said, for everybody who asks.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Words>>);

impl Memory {
    pub(super) fn with<T>(&self, what: impl FnOnce(&mut Words) -> T) -> T {
        what(&mut self.0.lock().expect("the words"))
    }

    /// A new wish.
    pub(super) fn wish(&self, dice: &mut Dice) -> Wish {
        let kind = *dice.pick(&Kind::ALL);
        self.with(|words| {
            let amount = words.wishes.last_key_value().map_or(1, |(last, _)| last + 1);
            let wish =
                Wish { amount, kind, said: None, run: None, resent: 0, is_settled: false, cancelled: None };
            words.wishes.insert(amount, wish.clone());
            wish
        })
    }

    /// A wish that came true in these words, and that nobody has had a hand in.
    pub(super) fn granted(&self, dice: &mut Dice) -> Option<Wish> {
        self.with(|words| {
            let is_granted = |wish: &&Wish| {
                matches!(&wish.said, Some(Said::Ended { status, .. }) if status == "succeeded")
                    && !wish.is_settled
            };
            let granted: Vec<&Wish> = words.wishes.values().filter(is_granted).collect();
            (!granted.is_empty()).then(|| (*dice.pick(&granted)).clone())
        })
    }

    /// What was said of a wish.
    pub(super) fn said(&self, amount: u64, answer: &Answer) {
        let run = answer.json();
        let run = if answer.status < 300 { &run["id"] } else { &run["run"]["id"] };
        self.with(|words| {
            let wish = words.wishes.get_mut(&amount).expect("a wish");
            (wish.said, wish.run) = (Some(Said::of(answer)), run.as_str().map(str::to_owned));
        });
    }

    /// Changes a wish.
    pub(super) fn change(&self, amount: u64, change: impl FnOnce(&mut Wish)) {
        self.with(|words| change(words.wishes.get_mut(&amount).expect("a wish")));
    }
}

/// A server that can be asked for all of it.
pub(super) fn config(provider: &Provider) -> Config {
    let sections = "[retry]\nmax_retries = 20\nbase_delay = \"5ms\"\nmax_delay = \"20ms\"\nbudget_min = 100000\n[retry.queued]\nmax_retries = 100\nmax_delay = \"50ms\"\n[breaker]\nfailures = 1000000\n[queue]\nlease = \"1s\"\n[[limits]]\nname = \"day\"\nkind = \"calendar\"\nrequests = 1000000\nper = \"day\"";
    let find = "[endpoints.find]\nmethod = \"GET\"\npath = \"/v1/charges\"\nrequest = '{ query: { reference: .reference } }'\n\
                [endpoints.book]\nmethod = \"POST\"\npath = \"/v1/charges\"\nrequest = '{ body: { amount: .amount, currency: .currency, source: .source, reference: $run.id } }'\nresponse = '{ id: .body.id, status: .body.status }'\n\
                [endpoints.book.idempotency.verify]\nendpoint = \"find\"\ninput = '{ reference: $run.id }'\nfound = '.body.data | length > 0'\nresult = '.body.data[0] | { id, status }'\nsettle = \"1s\"\nreconcile_after = [\"200ms\", \"1s\"]\n";
    let step = |name: &str, call: &str| format!("[[steps]]\nname = \"{name}\"\ncall = \"payments.{call}\"\n");
    let second = "after = [\"one\"]\ninput = '.input'\n";
    let both = format!("deadline = \"15s\"\n{}{}{second}", step("one", "charge"), step("two", "charge"));
    let queued = |call| format!("mode = \"async\"\n{}", step("charge", call));
    Config::payments(&provider.url(), sections)
        .append("integrations/payments.toml", find)
        .operation("later", &queued("charge"))
        .operation("declined", &queued("charge"))
        .operation("tomorrow", &queued("charge"))
        .operation("once_later", &queued("charge_once"))
        .operation("book", &format!("deadline = \"15s\"\n{}", step("book", "book")))
        .operation("both", &format!("{both}background = true\n"))
        .operation("chain", &both)
}

/// The status of a run, in an answer about it.
pub(super) fn status_of(told: &Value) -> &str {
    told["run"]["status"].as_str().or_else(|| told["status"].as_str()).unwrap_or_default()
}
