//! `causeway check` tells everything that is wrong with all files, each at its place, and what may be better apart.

use serde_json::{Value, json};

use crate::support::Config;
use crate::support::process::{self, Ended};

async fn check(config: &Config, arguments: &[&str]) -> Ended {
    let dir = tempfile::tempdir().expect("a directory");
    config.write(dir.path());
    let path = dir.path().display().to_string();
    let mut ended = process::run(&[&["check", "--config", &path], arguments].concat()).await;
    for text in [&mut ended.out, &mut ended.err] {
        *text = text.replace(&path, "DIR");
    }
    ended
}

const SECRET: &str = "[auth]\ntype = \"bearer\"\ntoken = { env = \"CAUSEWAY_TEST_UNSET\" }\n";

/// Something wrong of every kind: syntax, keys, values, names, expressions, secrets.
fn broken() -> Config {
    let endpoint = "[endpoints.a]\nmethod = \"GET\"\npath = \"/a\"\nidempotency = \"none\"\nresponse = '''\n{ id: .body.id,\n  status: nope }'''\n";
    Config::new()
        .file("causeway.toml", "[listen]\nmax_bodi = \"1MiB\"\n[store]\nurl = \"mysql://x\"\n")
        .file("integrations/one.toml", &format!("base_url = \"https://a.example.com\"\n{SECRET}{endpoint}"))
        .file("integrations/two.toml", "base_url = \"https://a.example.com\"\n[[limits]]\nkind = \"calendar\"\nrequests = 1\nper = \"week\"\n")
        .file("integrations/zed.toml", "base_url = https\n")
        .file("operations/a.toml", "result = '.steps.a.result | @nope'\n[[steps]]\nname = \"a\"\ncall = \"one.b\"\n")
}

#[tokio::test]
async fn errors_of_all_files_are_told_and_the_exit_code_is_2() {
    let ended = check(&broken(), &[]).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    let places: Vec<&str> =
        ended.err.lines().skip(1).map(|line| line.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(
        places,
        [
            "DIR/causeway.toml:2:1",
            "DIR/causeway.toml:4:7",
            "DIR/integrations/one.toml:4:9",
            "DIR/integrations/one.toml:11:11",
            "DIR/integrations/two.toml:5:7",
            "DIR/integrations/zed.toml:1:12",
            "DIR/operations/a.toml:4:8",
        ],
        "{}",
        ended.err
    );
    assert!(ended.err.starts_with("causeway: 7 errors in DIR:\n"), "{}", ended.err);
    assert!(ended.err.contains("`store.url`: this is not where a store can be"), "{}", ended.err);
    assert!(
        ended.out.contains("advice: DIR/integrations/one.toml:8:15: `endpoints.a.idempotency`"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn the_same_is_told_to_machines() {
    let ended = check(&broken(), &["--json", "--no-secrets"]).await;
    assert_eq!((ended.status.code(), ended.err.as_str()), (Some(2), ""));
    let document: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&document["usable"], document["errors"].as_array().map(Vec::len)), (&json!(false), Some(6)));
    let first = &document["errors"][0];
    assert_eq!(
        (&first["file"], &first["line"], &first["column"]),
        (&json!("DIR/causeway.toml"), &json!(2), &json!(1))
    );
    assert_eq!(first["message"], "unknown key `listen.max_bodi`; did you mean `max_body`?");
    assert_eq!(document["advice"].as_array().map(Vec::len), Some(3), "{document}");
}

#[tokio::test]
async fn what_is_only_unwise_can_be_served() {
    let config = Config::payments("https://api.example.com", SECRET);
    let ended = check(&config, &["--no-secrets"]).await;
    assert_eq!((ended.status.code(), ended.err.as_str()), (Some(0), ""), "{ended:?}");
    assert!(
        ended.out.contains("advice: DIR/integrations/payments.toml:1:1: there are no limits"),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains(
            "DIR can be served: 1 integration, 4 operations; 4 pieces of advice; secrets were not looked for"
        ),
        "{}",
        ended.out
    );
    let ended = check(&config, &[]).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(
        ended.err.contains("DIR/integrations/payments.toml:4:9: the environment variable"),
        "{}",
        ended.err
    );
}
