//! A wrong configuration is not started with, and everything that is wrong with it is told, each at its place.

use crate::support::Config;
use crate::support::process::{self, Ended};

/// Serves these files, which must not work.
async fn serve(config: &Config) -> Ended {
    let dir = tempfile::tempdir().expect("a directory");
    config.write(dir.path());
    let ended = process::run(&["serve", "--config", &dir.path().display().to_string()]).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    ended
}

/// Checks that each of these places is told in a line of its own, with these words.
fn check(ended: &Ended, expected: &[(&str, &str)]) {
    for (place, words) in expected {
        let line = ended.err.lines().find(|line| line.contains(place));
        let line = line.unwrap_or_else(|| panic!("{place} is not named:\n{}", ended.err));
        assert!(line.contains(words), "{line}");
    }
    let lines = ended.err.lines().filter(|line| line.contains(".toml")).count();
    assert_eq!(lines, expected.len(), "{}", ended.err);
}

#[tokio::test]
async fn in_all_files() {
    let server =
        "[listen]\napi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nmax_bodi = \"1MiB\"\ndrain = 25\n";
    let integration = "base_url = \"http://api.example.com\"\n[auth]\ntype = \"bearer\"\ntoken = \"sk_live_1\"\n\
                       [endpoints.a]\nmethod = \"FETCH\"\npath = \"a\"\n";
    let operation = "[[steps]]\nname = \"a\"\ncall = \"paymnets.a\"\n";
    let config = Config::new()
        .file("causeway.toml", server)
        .file("integrations/payments.toml", integration)
        .file("operations/a.toml", operation);
    let ended = serve(&config).await;
    check(
        &ended,
        &[
            ("causeway.toml:4:1", "max_body"),
            ("causeway.toml:5:9", "a duration such as"),
            ("integrations/payments.toml:1:12", "https"),
            ("integrations/payments.toml:4:9", "a secret must not stand in the configuration"),
            ("integrations/payments.toml:6:10", "POST"),
            ("integrations/payments.toml:7:8", "begins with `/`"),
            ("operations/a.toml:3:8", "payments"),
        ],
    );
    assert!(!ended.err.contains("sk_live_1"), "{}", ended.err);
}

#[tokio::test]
async fn what_only_starting_finds_out_is_told_too() {
    let integration = "base_url = \"https://api.example.com\"\n[auth]\ntype = \"bearer\"\ntoken = { env = \"CAUSEWAY_TEST_UNSET\" }\n\
                       [endpoints.a]\nmethod = \"GET\"\npath = \"/a\"\nresponse = '{ id: .body.id'\n";
    let operation = "result = '.steps.a.result | nope'\n[[steps]]\nname = \"a\"\ncall = \"payments.a\"\n";
    let config =
        Config::new().file("integrations/payments.toml", integration).file("operations/a.toml", operation);
    let ended = serve(&config).await;
    check(
        &ended,
        &[
            ("integrations/payments.toml:4:9", "CAUSEWAY_TEST_UNSET"),
            ("integrations/payments.toml:8:27", "jq"),
            ("operations/a.toml:1:29", "nope"),
        ],
    );
}

#[tokio::test]
async fn a_directory_that_is_not_there() {
    let ended = process::run(&["serve", "--config", "/nowhere/at/all"]).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.err.contains("/nowhere/at/all: there is no such directory"), "{ended:?}");
}

#[tokio::test]
async fn arguments() {
    for arguments in [&["serv"][..], &["serve", "--confg", "x"], &["breaker", "trip", "payments"], &[]] {
        let ended = process::run(arguments).await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.err.contains("Usage:"), "{ended:?}");
    }
}
