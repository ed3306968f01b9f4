//! Where there are operators, a key says who operates: a viewer looks, an operator acts, an admin changes the server.

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Ask, Config, Provider, Server};

const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

fn key(role: &str) -> String {
    format!("cw_the-key-of-the-{role}")
}

fn configured(provider: &Provider, dir: &TempDir) -> Config {
    let operators = ROLES.map(|role| {
        let path = dir.path().join(role);
        std::fs::write(&path, key(role)).expect("a file for the key");
        let path = path.display();
        format!("[[operators]]\nname = \"{role}-ada\"\nkey = {{ file = \"{path}\" }}\nrole = \"{role}\"\n")
    });
    Config::payments(&provider.url(), "").append("causeway.toml", &operators.concat())
}

fn as_a(role: &str, ask: Ask) -> Ask {
    ask.header("authorization", &format!("Bearer {}", key(role)))
}

#[tokio::test]
async fn and_no_more() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let files = tempfile::tempdir().expect("a directory");
    let server = Server::start_in(files.path(), &configured(&provider, &dir));
    let trip = || {
        let command = json!({ "reason": "exercise" });
        Ask::post("/admin/v1/integrations/payments/breaker/trip", &command)
    };
    let look = || Ask::get("/admin/v1/integrations/payments");
    let reload = || Ask::post_text("/admin/v1/config/reload", "");
    for ask in [look(), trip(), reload(), Ask::get("/v1/health")] {
        server.admin.send(ask).await.problem(401, "unauthenticated");
    }
    for (ask, allowed) in [(look as fn() -> Ask, &ROLES[..]), (trip, &ROLES[1..]), (reload, &ROLES[2..])] {
        for role in ROLES {
            let answer = server.admin.send(as_a(role, ask())).await;
            if allowed.contains(&role) {
                answer.ok();
            } else {
                let detail = answer.problem(403, "forbidden")["detail"].to_string();
                assert!(detail.contains(&format!("it takes `{}`", allowed[0])), "{detail}");
            }
        }
    }
    let seen = server.admin.send(as_a("viewer", look())).await.ok();
    assert_eq!(seen["breaker"]["manual"]["by"], "admin-ada", "who tripped it last");
    // Those that watch the process need no key.
    for path in ["/livez", "/readyz"] {
        assert_eq!(server.admin.get(path).await.status, 200, "{path}");
    }
    // The business API has no clients, so it asks for no key.
    server.api.run("payments.ping", &json!({})).await.problem(503, "breaker_open");
}
