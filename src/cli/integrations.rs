//! `causeway integrations list|show|pause|resume NAME`: how each external system is doing, as the admin API tells it.
//!
//! - `seen`: what the API answers; `words`: a word or two on each part of it; `whole`: everything about one.

use serde::Deserialize;
use serde_json::Value;

use super::client::{AdminArgs, Ask, Server, block_on, segment};
use super::screen::{Colour, Screen};
use super::{CommandError, output};
use crate::settings::nearest;

pub(super) mod seen;
mod whole;
mod words;

use seen::Integration;
pub(super) use words::{table, tone};

/// Where all of them are.
pub(super) const PATH: &str = "/admin/v1/integrations";
/// The most names that an error lists.
const MAX_LISTED: usize = 16;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway integrations list
  causeway integrations show stripe
  causeway integrations list --json | jq -r '.items[] | select(.status != \"healthy\") | .name'

A key, where the server asks for one, is read from CAUSEWAY_OPERATOR_KEY; a viewer's will do.")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    admin: AdminArgs,
    /// Print what the admin API answers, as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Use colours.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    color: Colour,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Every integration in a line: status and reasons, breaker, the tightest limit, pool.
    List,
    /// Stop leasing the queued runs of one; those that are executed go on.
    Pause {
        /// The integration.
        #[arg(value_name = "NAME")]
        integration: String,
        /// Why, for the log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Start leasing them again.
    Resume {
        /// The integration.
        #[arg(value_name = "NAME")]
        integration: String,
        /// Why, for the log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Everything about one: who has set its breaker's mode, why and until when; each limit with its reset.
    Show {
        /// The integration.
        #[arg(value_name = "NAME")]
        integration: String,
    },
}

/// What the list is.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) items: Vec<Integration>,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let server = args.admin.server();
    let screen = Screen::of_output(args.color);
    block_on(async {
        match &args.action {
            Action::List => {
                let list = all(&server).await?;
                if args.json {
                    return output::show_json(&list.to_string());
                }
                let page = Page::deserialize(&list).map_err(|error| unreadable(&error))?;
                output::say(&table(&page.items, screen))
            }
            Action::Pause { integration, reason } | Action::Resume { integration, reason } => {
                let paused = matches!(args.action, Action::Pause { .. });
                let (word, what) = if paused { ("pause", "paused") } else { ("resume", "resumed") };
                let path = format!("{PATH}/{}/{word}", segment(integration));
                let body = serde_json::json!({ "reason": reason }).to_string();
                let ask = Ask::post(format!("having {integration} {what}"), path, body);
                let answer = send(&server, &ask, integration).await?;
                if args.json {
                    return output::show_json(&answer);
                }
                output::say(&format!("{integration}: its queue is {what}"))
            }
            Action::Show { integration } => {
                let ask =
                    Ask::get(format!("showing {integration}"), format!("{PATH}/{}", segment(integration)));
                let answer = send(&server, &ask, integration).await?;
                if args.json {
                    return output::show_json(&answer);
                }
                output::say(&whole::text(&server.read(&ask, &answer)?, screen))
            }
        }
    })
}

/// The list of all integrations, as one page.
pub(super) async fn all(server: &Server<'_>) -> Result<Value, CommandError> {
    let (mut items, mut path) = (Vec::new(), format!("{PATH}?limit=100"));
    loop {
        let ask = Ask::get("listing the integrations", path);
        let mut page: Value = server.read(&ask, &server.get(&ask).await?)?;
        if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
            items.extend(more);
        }
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(cursor) => path = format!("{PATH}?limit=100&cursor={}", segment(cursor)),
            None => return Ok(serde_json::json!({ "items": items, "next_cursor": null })),
        }
    }
}

fn unreadable(error: &serde_json::Error) -> CommandError {
    CommandError::Failed(format!(
        "reading the list of integrations: {error}; is the server of the same version?"
    ))
}

/// Sends what is about one integration. Where there is none of this name, says which there are.
pub(super) async fn send(server: &Server<'_>, ask: &Ask, name: &str) -> Result<String, CommandError> {
    let answer = server.send(ask).await?;
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let refused = server.refused(ask, &answer);
    let CommandError::Failed(message) = refused else { return Err(refused) };
    if answer.code().as_deref() != Some("unknown_integration") {
        return Err(CommandError::Failed(message));
    }
    let known = all(server).await.ok().and_then(|list| Page::deserialize(&list).ok());
    let known = known.map(|page| page.items).unwrap_or_default();
    let known: Vec<&str> = known.iter().map(|integration| &*integration.name).collect();
    Err(CommandError::Failed(format!("{message}{}", hint(name, &known))))
}

/// The name that was meant, or those there are.
fn hint(name: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(name, known.iter().copied()) {
        return format!("; did you mean `{near}`?");
    }
    let listed: Vec<String> = known.iter().take(MAX_LISTED).map(|name| format!("`{name}`")).collect();
    let more = if known.len() > MAX_LISTED { ", …" } else { "" };
    if listed.is_empty() { String::new() } else { format!("; there is {}{more}", listed.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_answered_with_the_name_that_was_meant() {
        assert_eq!(hint("strip", &["adyen", "stripe"]), "; did you mean `stripe`?");
        assert_eq!(hint("paypal", &["adyen", "stripe"]), "; there is `adyen`, `stripe`");
        assert_eq!(hint("paypal", &[]), "");
        let many: Vec<String> = (10..40).map(|number| format!("integration-{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(hint("x", &many).ends_with("`integration-25`, …"));
    }
}
