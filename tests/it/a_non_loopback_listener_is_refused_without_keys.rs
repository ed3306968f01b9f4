//! Without keys that say who may call, the server listens to its own machine only.

use causeway::settings::Settings;

use crate::support::{Config, Provider, process};

const FOREIGN: [&str; 6] =
    ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080", "[2001:db8::1]:8080", "[::ffff:10.0.0.1]:80", "10.0.0.1:0"];

#[test]
fn by_the_settings() {
    for address in FOREIGN {
        for listener in ["api", "admin"] {
            let text = format!("[listen]\n{listener} = \"{address}\"\n");
            let integration = ("integrations/a.toml", "base_url = \"https://api.example.com\"");
            let errors =
                Settings::from_texts(&[("causeway.toml", &text), integration]).expect_err("it is refused");
            let error = errors.to_string();
            assert!(error.starts_with("causeway.toml:2:"), "{error}");
            assert!(error.contains("can be reached from other machines"), "{error}");
            let section = if listener == "api" { "clients" } else { "operators" };
            assert!(error.contains(&format!("no [[{section}]] says")), "{error}");
            let keyed = format!("{text}\n[[{section}]]\nname = \"a\"\nkey = {{ env = \"A_KEY\" }}\n");
            Settings::from_texts(&[("causeway.toml", &keyed), integration]).expect("it asks for keys");
        }
    }
}

#[tokio::test]
async fn by_the_command() {
    let provider = Provider::start();
    let dir = tempfile::tempdir().expect("a directory");
    let server = "[listen]\napi = \"0.0.0.0:0\"\nadmin = \"127.0.0.1:0\"\n";
    Config::payments(&provider.url(), "").file("causeway.toml", server).write(dir.path());
    let ended = process::run(&["serve", "--config", &dir.path().display().to_string()]).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(
        ended.err.contains("causeway.toml:2:7: `listen.api`: 0.0.0.0:0 can be reached from other machines"),
        "{}",
        ended.err
    );

    let any = "127.0.0.1:0";
    for arguments in [["--api", "0.0.0.0:0", "--admin", any], ["--api", any, "--admin", "[::]:0"]] {
        let ended = process::run(&[&["demo", "--sandbox", any], &arguments[..]].concat()).await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.err.contains("loopback"), "{}", ended.err);
    }
}
