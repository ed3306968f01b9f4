//! Redrives of many: begun, watched, paused, gone on with, cancelled.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::Value;

use super::super::client::{Ask, Server, block_on, segment};
use super::super::screen::{Screen, Tone, Words, moment};
use super::super::{CommandError, output};
use super::OfRedrive;

const PATH: &str = "/admin/v1/redrives";
/// How often it is asked how far one is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Deserialize)]
struct Redrives {
    items: Vec<Redrive>,
}

/// One, as far as it is told in a line.
#[derive(Debug, Deserialize)]
struct Redrive {
    id: Option<String>,
    status: String,
    matched: u64,
    done: u64,
    failed: u64,
    rate: f64,
    eta_seconds: Option<f64>,
    created_at: String,
}

impl Redrive {
    fn is_open(&self) -> bool {
        matches!(self.status.as_str(), "running" | "paused")
    }

    fn told(&self) -> String {
        let Self { matched, done, failed, status, .. } = self;
        match failed {
            0 => format!("{status}: {done} of {matched} taken up"),
            failed => format!("{status}: {done} of {matched} taken up, {failed} could not be"),
        }
    }
}

/// Begins one, and watches it to its end if it is to.
pub(super) fn begin(server: &Server<'_>, body: &Value, wait: bool, json: bool) -> Result<(), CommandError> {
    let ask = Ask::post("redriving dead letters", PATH, body.to_string());
    block_on(async {
        let mut answer = server.get(&ask).await?;
        let mut redrive: Redrive = server.read(&ask, &answer)?;
        let Some(id) = redrive.id.clone() else {
            let text = format!("{} would be taken up, in about {} s", redrive.matched, eta(&redrive));
            return if json { output::show_json(&answer) } else { output::say(&text) };
        };
        if wait {
            let look = self::look(&id);
            let bar = ProgressBar::new(redrive.matched);
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}") {
                bar.set_style(style);
            }
            while redrive.is_open() {
                bar.set_length(redrive.matched.max(redrive.done + redrive.failed));
                bar.set_position(redrive.done + redrive.failed);
                bar.set_message(match redrive.status.as_str() {
                    "paused" => "paused".to_owned(),
                    _ => format!("{} s left", eta(&redrive)),
                });
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    _ = tokio::signal::ctrl_c() => {
                        bar.abandon();
                        output::note(&format!(
                            "It goes on at the server; `causeway dead-letters redrives cancel {id}` stops it."
                        ));
                        return Ok(());
                    }
                }
                answer = server.get(&look).await?;
                redrive = server.read(&look, &answer)?;
            }
            bar.finish_and_clear();
        }
        if json {
            return output::show_json(&answer);
        }
        output::say(&format!("{id} {}", redrive.told()))?;
        if redrive.failed > 0 {
            output::note("The server's log tells of each that could not be taken up, and why.");
        }
        Ok(())
    })
}

fn eta(redrive: &Redrive) -> u64 {
    // Never negative, and at most some years.
    redrive.eta_seconds.unwrap_or_default() as u64
}

fn look(id: &str) -> Ask {
    Ask::get(format!("looking after {id}"), format!("{PATH}/{}", segment(id)))
}

pub(super) fn ask(action: Option<&OfRedrive>) -> Ask {
    let command = |id: &str, word: &str| {
        Ask::post(format!("{word}: {id}"), format!("{PATH}/{}/{word}", segment(id)), "{}".to_owned())
    };
    match action {
        None => Ask::get("listing the redrives", PATH),
        Some(OfRedrive::Show { id }) => look(id),
        Some(OfRedrive::Pause { id }) => command(id, "pause"),
        Some(OfRedrive::Resume { id }) => command(id, "resume"),
        Some(OfRedrive::Cancel { id }) => command(id, "cancel"),
    }
}

pub(super) fn show(
    server: &Server<'_>,
    ask: &Ask,
    answer: &str,
    one: bool,
    screen: Screen,
) -> Result<(), CommandError> {
    if one {
        let redrive: Redrive = server.read(ask, answer)?;
        return output::say(&format!("{} {}", redrive.id.as_deref().unwrap_or_default(), redrive.told()));
    }
    let redrives: Redrives = server.read(ask, answer)?;
    if redrives.items.is_empty() {
        return output::say("There is no redrive of many.");
    }
    let row = |redrive: &Redrive| {
        let tone = if redrive.failed > 0 { Tone::Doubtful } else { Tone::Good };
        let left = redrive.eta_seconds.map_or_else(|| "–".to_owned(), |_| format!("{} s", eta(redrive)));
        vec![
            Words::new(redrive.id.as_deref().unwrap_or_default()),
            Words::toned(&redrive.status, tone),
            Words::new(&redrive.matched.to_string()),
            Words::new(&redrive.done.to_string()),
            Words::new(&redrive.failed.to_string()),
            Words::new(&format!("{}/s", redrive.rate)),
            Words::new(&left),
            Words::new(&moment(&redrive.created_at)),
        ]
    };
    let header = ["REDRIVE", "STATUS", "MATCHED", "DONE", "FAILED", "RATE", "LEFT", "BEGUN"];
    output::say(&screen.table(&header, redrives.items.iter().map(row).collect()))
}
