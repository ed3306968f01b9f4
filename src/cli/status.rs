//! `causeway status`: one sentence of health, and a line of each integration; on a terminal, again and again.
//!
//! Watching redraws in place and leaves the last picture standing when it is interrupted. A server that goes away
//! meanwhile is told of and looked for again, for one that is restarted is what is watched most.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AdminArgs, Ask, Server, block_on};
use super::integrations::{self, Page, seen::Integration};
use super::screen::{Colour, Screen, Words, count};
use super::{CommandError, output};
use crate::settings::duration;

/// The shortest time between two looks.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway status
  causeway status --watch
  causeway status --json | jq -e '.status == \"healthy\"'

A key, where the server asks for one, is read from CAUSEWAY_OPERATOR_KEY; a viewer's will do.")]
pub(super) struct Args {
    /// On a terminal, look again and again, until Ctrl-C.
    #[arg(
        long,
        value_name = "INTERVAL",
        num_args = 0..=1,
        default_missing_value = "1s",
        value_parser = interval,
        conflicts_with = "json"
    )]
    watch: Option<Duration>,
    #[command(flatten)]
    admin: AdminArgs,
    /// Print health and integrations as a JSON document.
    #[arg(long)]
    json: bool,
    /// Use colours.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Colour,
}

fn interval(text: &str) -> Result<Duration, String> {
    duration(text)
        .filter(|every| *every >= MIN_INTERVAL)
        .ok_or_else(|| "write a duration of 100ms or more, such as 500ms, 2s or 1m".to_owned())
}

/// What `GET /v1/health` tells.
#[derive(Debug, Deserialize)]
struct Health {
    status: String,
    region: String,
}

/// Both answers, as they came.
struct Looked {
    health: String,
    list: Value,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let server = args.admin.server();
    let screen = || Screen::of_output(args.color);
    block_on(async {
        if let (Some(every), Some(_)) = (args.watch, screen().size()) {
            return watch(&server, every, screen).await;
        }
        let looked = look(&server).await?;
        if args.json { output::show_json(&looked.json()?) } else { output::say(&looked.text(screen())?) }
    })
}

async fn look(server: &Server<'_>) -> Result<Looked, CommandError> {
    let health = server.get(&Ask::get("asking for health", "/v1/health")).await?;
    let list = integrations::all(server).await?;
    Ok(Looked { health, list })
}

fn unreadable(error: &serde_json::Error) -> CommandError {
    CommandError::Failed(format!("reading the server's health: {error}; is the server of the same version?"))
}

impl Looked {
    fn json(&self) -> Result<String, CommandError> {
        let mut document: Value = serde_json::from_str(&self.health).map_err(|error| unreadable(&error))?;
        document["integrations"] = self.list.get("items").cloned().unwrap_or_else(|| json!([]));
        Ok(document.to_string())
    }

    fn text(&self, screen: Screen) -> Result<String, CommandError> {
        let health: Health = serde_json::from_str(&self.health).map_err(|error| unreadable(&error))?;
        let page: Page = Page::deserialize(&self.list).map_err(|error| unreadable(&error))?;
        let table = integrations::table(&page.items, screen);
        Ok(format!("{}\n\n{table}", screen.sentence(sentence(&health, &page.items))))
    }
}

/// `Degraded: of 3 integrations 1 is down, 1 is degraded and 1 is healthy. Region eu-west-2.`
fn sentence(health: &Health, integrations: &[Integration]) -> Words {
    let of = |status: &str| integrations.iter().filter(|integration| integration.status == status).count();
    let all = integrations.len();
    let parts: Vec<String> = ["down", "paused", "degraded", "healthy"]
        .into_iter()
        .filter(|status| of(status) > 0)
        .map(|status| format!("{} {} {status}", of(status), if of(status) == 1 { "is" } else { "are" }))
        .collect();
    let told = match (parts.split_last(), all) {
        (_, 0) => "no integration is configured".to_owned(),
        (_, 1) => format!("the one integration is {}", integrations[0].status),
        (Some((only, [])), _) => {
            only.replacen(&format!("{all} are"), &format!("all {all} integrations are"), 1)
        }
        (Some((last, before)), _) => {
            format!("of {} {} and {last}", count(all, "integration"), before.join(", "))
        }
        (None, _) => count(all, "integration"),
    };
    let mut first = health.status.chars();
    let status: String = first.next().into_iter().flat_map(char::to_uppercase).chain(first).collect();
    Words::toned(&format!("{status}: {told}. Region {}.", health.region), integrations::tone(&health.status))
}

async fn watch(
    server: &Server<'_>,
    every: Duration,
    screen: impl Fn() -> Screen,
) -> Result<(), CommandError> {
    let mut drawn = Drawn::default();
    let looks = async {
        loop {
            let looked = look(server).await;
            // As wide and as high as it is now.
            let screen = screen();
            let text = match looked.and_then(|looked| looked.text(screen)) {
                Ok(text) => text,
                Err(CommandError::Failed(error)) if drawn.lines > 0 => screen
                    .sentence(Words::toned(&format!("{error}. Looking again."), integrations::tone("down"))),
                // What has never been seen is rather a slip than gone.
                Err(error) => return Err(error),
            };
            let Some(size) = screen.size() else { return output::say(&text) };
            output::write(&drawn.again(&text, size))?;
            tokio::time::sleep(every).await;
        }
    };
    tokio::select! {
        ended = looks => ended,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.map_err(|error| CommandError::Failed(format!("listening for signals: {error}")))?;
            // The terminal has written `^C` there.
            output::say("")
        }
    }
}

/// What is on the terminal.
#[derive(Debug, Default)]
struct Drawn {
    lines: usize,
    size: (u16, u16),
}

impl Drawn {
    /// What puts `text` in the place of what is there. What does not fit is left out, for a terminal that has rolled
    /// on cannot go back.
    fn again(&mut self, text: &str, size: (u16, u16)) -> String {
        let room = usize::from(size.1).saturating_sub(2).max(1);
        let all = text.lines().count();
        let mut lines: Vec<&str> = text.lines().take(room).collect();
        let left_out = format!("… {} more", (all + 1).saturating_sub(room));
        if all > room {
            lines.pop();
            lines.push(&left_out);
        }
        let mut out = match self.lines {
            0 => String::new(),
            // Lines that were broken otherwise are no longer where they were.
            _ if self.size != size => "\x1b[2J\x1b[H".to_owned(),
            lines => format!("\r\x1b[{lines}A"),
        };
        for line in &lines {
            out.push_str(line);
            out.push_str("\x1b[K\n");
        }
        out.push_str("\x1b[J");
        (self.lines, self.size) = (lines.len(), size);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::integrations::seen::testing::seen;
    use super::*;

    fn told(status: &str, integrations: &[&str]) -> String {
        let health = Health { status: status.to_owned(), region: "eu".to_owned() };
        let all: Vec<Integration> =
            integrations.iter().map(|status| seen("x", &[("/status", json!(status))])).collect();
        sentence(&health, &all).text().to_owned()
    }

    #[test]
    fn health_is_one_sentence() {
        for (status, integrations, expected) in [
            ("healthy", &["healthy"; 3][..], "Healthy: all 3 integrations are healthy. Region eu."),
            ("healthy", &["healthy"], "Healthy: the one integration is healthy. Region eu."),
            ("healthy", &[], "Healthy: no integration is configured. Region eu."),
            ("down", &["down", "down"], "Down: all 2 integrations are down. Region eu."),
            (
                "degraded",
                &["down", "degraded", "healthy", "healthy"],
                "Degraded: of 4 integrations 1 is down, 1 is degraded and 2 are healthy. Region eu.",
            ),
            (
                "degraded",
                &["paused", "healthy"],
                "Degraded: of 2 integrations 1 is paused and 1 is healthy. Region eu.",
            ),
        ] {
            assert_eq!(told(status, integrations), expected);
        }
    }

    #[test]
    fn a_redraw_goes_back_to_where_it_began() {
        let mut drawn = Drawn::default();
        assert_eq!(drawn.again("a\nb", (80, 24)), "a\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(drawn.again("c", (80, 24)), "\r\x1b[2Ac\x1b[K\n\x1b[J");
        assert_eq!(drawn.again("d", (40, 24)), "\x1b[2J\x1b[Hd\x1b[K\n\x1b[J", "another size");
        let many = "x\n".repeat(10);
        let drawing = drawn.again(&many, (40, 6));
        assert_eq!(drawn.lines, 4, "it fits");
        assert!(drawing.contains("… 7 more"), "{drawing}");
    }

    #[test]
    fn an_interval_is_a_duration_that_leaves_the_server_time() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        assert!(interval("10ms").is_err() && interval("2").is_err() && interval("soon").is_err());
    }
}
