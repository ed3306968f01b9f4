//! Every command of the tutorial is run as it stands there, and shows what the tutorial says it shows.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use crate::support::Process;

/// Printed between two blocks' outputs.
const MARK: &str = "=====";

/// A block of commands, and what is to be seen of it.
#[derive(Debug, Default)]
struct Step {
    commands: String,
    shows: Vec<String>,
}

/// The fenced blocks of a page: commands (`sh`), and what the last of them shows (`text`).
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match kind {
            "sh" => steps.push(Step { commands: block.join("\n"), shows: Vec::new() }),
            "text" => {
                let step = steps.last_mut().expect("commands before what they show");
                step.shows = block.into_iter().map(str::to_owned).collect();
            }
            "console" => {}
            other => panic!("a block of {other} that nobody runs"),
        }
    }
    steps
}

/// Whether a line is as told, where `…` stands for anything.
fn is_as_told(line: &str, told: &str) -> bool {
    let mut parts = told.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("a bound address").port())
}

#[tokio::test]
async fn as_it_stands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/tutorial.md")).expect("the tutorial");
    let [api, admin, sandbox] = free_ports();
    let ported = |text: &str| {
        let ports = [("127.0.0.1:8080", api), ("127.0.0.1:8081", admin), ("127.0.0.1:8090", sandbox)];
        ports
            .iter()
            .fold(text.to_owned(), |text, (from, port)| text.replace(from, &format!("127.0.0.1:{port}")))
    };
    let steps = steps(&page);
    assert!(steps.len() > 8 && steps.iter().filter(|step| !step.shows.is_empty()).count() > 6, "{steps:?}");

    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("first")).expect("a directory");
    let listen = format!("[listen]\napi = \"127.0.0.1:{api}\"\nadmin = \"127.0.0.1:{admin}\"\n");
    fs::write(dir.path().join("first/causeway.toml"), listen).expect("a file");
    let mut script = "set -euo pipefail\ntrap 'kill $(jobs -p)' EXIT\n".to_owned();
    for step in &steps {
        let commands = step
            .commands
            .replace("causeway sandbox &", "causeway sandbox --listen 127.0.0.1:8090 > sandbox.log &");
        script.push_str(&ported(&commands));
        script.push_str(&format!("\necho '{MARK}'\n"));
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_causeway")).parent().expect("a directory");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("bash");
    bash.current_dir(dir.path()).args(["-c", &format!("exec 2>&1\n{script}")]).env("PATH", path);
    bash.env("CAUSEWAY_URL", format!("http://127.0.0.1:{api}"));
    bash.env("CAUSEWAY_ADMIN_URL", format!("http://127.0.0.1:{admin}"));
    for variable in ["CAUSEWAY_CONFIG", "CAUSEWAY_CLIENT_KEY", "CAUSEWAY_OPERATOR_KEY"] {
        bash.env_remove(variable);
    }
    let ended = Process::start(&mut bash).ended().await;
    assert!(ended.status.success(), "{ended:#?}");

    let seen: Vec<&str> = ended.out.split(&format!("{MARK}\n")).collect();
    assert_eq!(seen.len(), steps.len() + 1, "{ended:#?}");
    for (step, seen) in steps.iter().zip(seen) {
        let mut lines = seen.lines();
        for told in &step.shows {
            let found = lines.by_ref().any(|line| is_as_told(line, &ported(told)));
            assert!(
                found,
                "`{told}` is not to be seen (in this order) after\n{}\nbut\n{seen}",
                step.commands
            );
        }
    }
}

#[test]
fn dots_stand_for_anything() {
    for (line, told, is) in [
        ("a b c", "a … c", true),
        ("a b c", "a b c", true),
        ("a b c d", "a b c", false),
        ("a b c", "…b…", true),
        ("a c", "a…b…c", false),
        ("", "…", true),
    ] {
        assert_eq!(is_as_told(line, told), is, "{line} / {told}");
    }
}
