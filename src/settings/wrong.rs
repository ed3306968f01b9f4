//! Wrong configurations, one mistake each, with all that is told of them: the place, what is wrong, what would be right.

use super::*;

/// In a good set, this file is written so, and this is told.
#[derive(Clone, Copy)]
struct Mistake {
    file: &'static str,
    text: &'static str,
    told: &'static str,
}

const SERVER: &str = "causeway.toml";
const INTEGRATION: &str = "integrations/x.toml";
const OPERATION: &str = "operations/o.toml";

/// What an integration's file begins with: two lines, then the mistake in the third.
const BASE: &str = "base_url = \"https://x\"\ntitle = \"X\"\n";
/// An endpoint begun, and what is wrong with it in the fourth line.
const ENDPOINT: &str = "base_url = \"https://x\"\n[endpoints.e]\nmethod = \"POST\"\n";
/// A limit begun, and what is wrong with it in the third line.
const LIMIT: &str = "base_url = \"https://x\"\n[[limits]]\n";
/// A good integration for operations to call.
const GOOD: &str = "base_url = \"https://x\"\n[endpoints.e]\nmethod = \"GET\"\npath = \"/\"\n";

const fn server(text: &'static str, told: &'static str) -> Mistake {
    Mistake { file: SERVER, text, told }
}

const fn integration(text: &'static str, told: &'static str) -> Mistake {
    Mistake { file: INTEGRATION, text, told }
}

const fn operation(text: &'static str, told: &'static str) -> Mistake {
    Mistake { file: OPERATION, text, told }
}

const OF_THE_SERVER: &[Mistake] = &[
    server("regoin = \"eu\"", "1:1: unknown key `regoin`; did you mean `region`?"),
    server(
        "region = 1",
        "1:10: `region`: an integer cannot stand here; write a string such as \"eu-west-2\"",
    ),
    server("region = \"a\"\nregion = \"b\"", "2:1: this is not TOML: duplicate key"),
    server(
        "store = { url = \"postgres://causeway:hunter2@db/causeway\" }",
        "1:17: `store.url`: a password does not belong into an address; write password = { env = \"…\" } beside it",
    ),
    server(
        "store = { url = \"postgres://causeway@db\" }",
        "1:17: `store.url`: this is not where a database can be; write \"postgres://user@host:5432/database\"",
    ),
    server(
        "store = { url = \"postgres://causeway@db/causeway\" }",
        "1:9: `store`: a database is sealed under keys of yours: give [encryption] keys (`causeway keys new encryption` makes one)",
    ),
    server(
        "store = { password = { env = \"DB\" } }",
        "1:22: `store.password`: a store in a file asks for no password; seal it by [encryption]",
    ),
    server(
        "store = { url = \"data/causeway.db\" }",
        "1:17: `store.url`: this is not where a store can be; write \"sqlite://data/causeway.db\" or \"postgres://causeway@db.internal/causeway\"",
    ),
    server(
        "encryption = { keys = [{ id = \"k1\", key = \"c2VjcmV0\" }] }",
        "1:43: `encryption.keys[0].key`: a secret must not stand in the configuration; write a reference, { env = \"NAME\" } \
         or { file = \"/run/secrets/name\" }",
    ),
    server(
        "[[clients]]\nname = \"a\"",
        "1:1: `clients[0].key` is missing; write for example key = { env = \"CHECKOUT_KEY\" }",
    ),
    server(
        "[[clients]]\nname = \"a\"\nkey = \"sk_live_hunter2\"",
        "3:7: `clients[0].key`: a secret must not stand in the configuration; write a reference, { env = \"NAME\" } or { file = \"/run/secrets/name\" }",
    ),
    server(
        "[[clients]]\nname = \"a\"\nkey = { env = \"K\" }\nrate = \"5 per second\"",
        "4:8: `clients[0].rate`: \"5 per second\" is not a rate; write a whole number from 1 to 1000000 and one of /s, /m, /h, such as \"500/s\"",
    ),
    server(
        "[[clients]]\nname = \"a\"\nkey = { env = \"K\" }\noperations = [\"Pay!\"]",
        "4:15: `clients[0].operations[0]`: \"Pay!\" is no pattern of operations; write an operation's name, in which `*` stands for any characters, such as \"payments.*\"",
    ),
    server(
        "[[operators]]\nname = \"a\"\nkey = { env = \"K\" }\nrole = \"root\"",
        "4:8: `operators[0].role`: \"root\" is not available; write \"viewer\" or \"operator\" or \"admin\"",
    ),
    server(
        "[[operators]]\nname = \"a\"\nkey = { env = \"K\" }\n[[operators]]\nname = \"a\"\nkey = { env = \"L\" }",
        "5:8: `operators[1].name`: \"a\" is there already; give each its own name",
    ),
    server(
        "[listen]\ntrusted_proxies = [\"proxy\"]",
        "2:20: `listen.trusted_proxies[0]`: \"proxy\" is not a network; write an address and a prefix, such as \"10.0.0.0/8\"",
    ),
    server("[secrets.vault]\naddress = \"x\"", "1:2: `secrets` is not available in this version; remove it"),
    server(
        "[listen]\nhooks = \"127.0.0.1:1\"",
        "2:1: `listen.hooks` is not available in this version; remove it",
    ),
    server(
        "[listen]\napi = \"127.0.0.1\"",
        "2:7: `listen.api`: \"127.0.0.1\" is not an address; write an IP address and a port, such as \"127.0.0.1:8080\"",
    ),
    server(
        "[listen]\nmax_body = \"1MB\"",
        "2:12: `listen.max_body`: \"1MB\" is not a size; write a whole number and one of B, KiB, MiB, GiB, such as \"64KiB\"",
    ),
    server(
        "[listen]\nhead_timeout = \"100ms\"",
        "2:16: `listen.head_timeout`: 100ms is out of range; write \"1s\" to \"5m\"",
    ),
    server(
        "[listen]\nio_threads = 2.5",
        "2:14: `listen.io_threads`: a float cannot stand here; write a whole number",
    ),
    server(
        "[logs]\nlevel = \"warning\"",
        "2:9: `logs.level`: \"warning\" is not available; write \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"",
    ),
    server(
        "[defaults.timeouts]\ntotal = \"10\"",
        "2:9: `defaults.timeouts.total`: \"10\" is not a duration; write a whole number and one of ms, s, m, h, d, such as \"30s\"",
    ),
    server(
        "[defaults.queue]\nslots = 1",
        "1:11: unknown key `defaults.queue`; known here: `timeouts`, `retry`, `breaker`, `pool`, `limits`",
    ),
    server(
        "[[defaults.limits]]\nkind = \"sliding_window\"\nrequests = 1",
        "1:1: `defaults.limits[0].per` is missing; write for example per = \"1s\"",
    ),
];

const OF_AN_INTEGRATION: &[Mistake] = &[
    integration(
        "title = \"X\"",
        "1:1: `base_url` is missing; write for example base_url = \"https://api.example.com\"",
    ),
    integration(
        "base_url = \"http://x\"",
        "1:12: `base_url`: http sends everything in the open; write https (http is for 127.0.0.0/8, ::1, localhost)",
    ),
    integration(
        "base_url = \"https://u:p@x\"",
        "1:12: `base_url`: the URL carries a user or a password; remove them and write [auth] with references",
    ),
    integration("@polls = {}", "3:1: `polls` is not available in this version; remove it"),
    integration(
        "@group = \"Payments\"",
        "3:9: `group`: `Payments` is not a valid name: use 1 to 64 of a–z, 0–9, `_`, `-`, beginning with a letter",
    ),
    integration(
        "@runbook = \"wiki\"",
        "3:11: `runbook`: this is not a URL; write one such as \"https://wiki.example.com/stripe\"",
    ),
    integration(
        "@dedicated_thread = \"yes\"",
        "3:20: `dedicated_thread`: a string cannot stand here; write true or false",
    ),
    integration(
        "@api_version = { header = \"V\" }",
        "3:15: `api_version.value` is missing; write for example value = \"2025-09-30\"",
    ),
    integration(
        "@api_version = { value = \"1\" }",
        "3:15: `api_version`: a version is told in one way; write one of `header`, `query` and `path`",
    ),
    integration(
        "@api_version = { path = \"/v2/\" }",
        "3:24: `api_version.path`: this is not the beginning of a path; write one such as \"/v2\", without a `/` at its end",
    ),
    integration(
        "@api_version = { path = \"/v2\", value = \"2\" }",
        "3:31: `api_version.value` stands in the path already; remove it",
    ),
    integration(
        "@headers = { Cookie = \"a\" }",
        "3:13: `headers.Cookie`: the header carries a secret; write it in [auth], as a reference: type = \"header\", name, value = { env = \"NAME\" }",
    ),
    integration(
        "@auth = { type = \"oauth2\" }",
        "3:17: `auth.type`: \"oauth2\" is not available in this version; write \"none\" or \"basic\" or \"bearer\" or \"header\" or \"query\"",
    ),
    integration(
        "@auth = { type = \"bearer\", token = \"t0p\" }",
        "3:35: `auth.token`: a secret must not stand in the configuration; write a reference, { env = \"NAME\" } or { file = \"/run/secrets/name\" }",
    ),
    integration(
        "@auth = { type = \"bearer\", token = { env = \"T\", ttl = \"1h\" } }",
        "3:48: `auth.token.ttl` is not available in this version; remove it",
    ),
    integration(
        "@auth = { type = \"none\", account = \"private\" }",
        "3:35: `auth.account`: \"private\" is not available; write \"service\" or \"personal\"",
    ),
    integration(
        "@timeouts = { first_bite = \"1s\" }",
        "3:14: unknown key `timeouts.first_bite`; did you mean `first_byte`?",
    ),
    integration(
        "@retry = { budget = -0.1 }",
        "3:20: `retry.budget`: -0.1 is out of range; write 0.0 to 100.0",
    ),
    integration(
        "@retry = { base_delay = \"1m\" }",
        "3:24: `retry.base_delay`: the longest wait is shorter than the first; make `max_delay` at least `base_delay`",
    ),
    integration(
        "@retry = { reset_headers = [{ name = \"X-Reset\" }] }",
        "3:28: `retry.reset_headers[0].form` is missing; write for example form = \"epoch\"",
    ),
    integration(
        "@retry.queued = { give_up_after = \"0s\" }",
        "3:34: `retry.queued.give_up_after`: 0s is out of range; write \"1s\" to \"365d\"",
    ),
    integration(
        "@breaker = { failure_rate = 50 }",
        "3:28: `breaker.failure_rate`: 50 is out of range; write a number above 0, at most 1",
    ),
    integration(
        "@pool = { max_in_flight = 0 }",
        "3:26: `pool.max_in_flight`: 0 is out of range; write 1 to 10000",
    ),
];

const OF_A_LIMIT: &[Mistake] = &[
    integration(
        "#requests = 1\nper = \"1s\"",
        "2:1: `limits[0].kind` is missing; write for example kind = \"token_bucket\"",
    ),
    integration(
        "#kind = \"leaky\"",
        "3:8: `limits[0].kind`: \"leaky\" is not available; write \"token_bucket\" or \"sliding_window\" or \"calendar\" or \"concurrent\"",
    ),
    integration(
        "#kind = \"calendar\"\nrequests = 1\nper = \"1d\"",
        "5:7: `limits[0].per`: \"1d\" is not available; write \"minute\" or \"hour\" or \"day\" or \"month\"",
    ),
    integration(
        "#kind = \"calendar\"\nrequests = 1\nper = \"day\"\ntimezone = \"Berlin\"",
        "6:12: `limits[0].timezone`: \"Berlin\" is not the name of a time zone; write one of the IANA database such as \"UTC\" or \"Europe/Berlin\"",
    ),
    integration(
        "#kind = \"sliding_window\"\nrequests = 1\nper = \"1s\"\nburst = 2",
        "6:1: `limits[0].burst` is for kind = \"token_bucket\"; remove it",
    ),
    integration(
        "#kind = \"concurrent\"\nrequests = 1\nper = \"1s\"",
        "5:1: `limits[0].per` is not for kind = \"concurrent\", which counts calls at once; remove it",
    ),
    integration(
        "#kind = \"concurrent\"\nrequests = 1\nscope = \"endpoints\"",
        "5:9: `limits[0].scope`: it does not say which; write endpoints = [\"list_*\"] beside it",
    ),
    integration(
        "#kind = \"concurrent\"\nrequests = 1\nscope = { by = 7 }",
        "5:16: `limits[0].scope.by`: an integer cannot stand here; write a jq program as a string, such as '.body.id'",
    ),
    integration(
        "#kind = \"concurrent\"\nrequests = 1\nscope = true",
        "5:9: `limits[0].scope`: a boolean cannot stand here; write \"integration\", \"endpoints\", \"connection\" or { by = '.user' }",
    ),
    integration(
        "#kind = \"concurrent\"\nrequests = 1\nendpoints = [\"list_*\"]\n[endpoints.e]\nmethod = \"GET\"\npath = \"/\"",
        "5:14: `limits[0].endpoints[0]`: no endpoint is named like \"list_*\"; there are `e`",
    ),
    integration(
        "#kind = \"concurrent\"\nrequests = 1\nendpoints = []",
        "5:13: `limits[0].endpoints`: the limit is for no endpoint; name one, or remove the key",
    ),
    integration(
        "#kind = \"concurrent\"\nrequests = 1\nlearn = { limit = \"X-Limit\" }",
        "5:9: `limits[0].learn.remaining` is missing; write for example remaining = \"X-RateLimit-Remaining\"",
    ),
    integration(
        "#kind = \"concurrent\"\nrequests = 3\n[endpoints.e]\nmethod = \"GET\"\npath = \"/\"\ncost = 4",
        "8:8: `endpoints.e.cost`: 4 never fits the limit \"limit-1\" (integrations/x.toml:3), which holds 3; write at most 3, or let the limit hold more",
    ),
];

const OF_AN_ENDPOINT: &[Mistake] = &[
    integration(
        "$path = \"v1\"",
        "4:8: `endpoints.e.path`: a path begins with `/`; write one such as \"/v1/charges\"",
    ),
    integration(
        "$path = \"/{id}\"",
        "4:8: `endpoints.e.path`: nothing fills the placeholders; write request = '{ path: { name: .name } }', with each name of the path",
    ),
    integration(
        "$path = \"/\"\nbody = \"xml\"",
        "5:8: `endpoints.e.body`: \"xml\" is not available; write \"json\" or \"form\" or \"multipart\" or \"text\" or \"none\"",
    ),
    integration(
        "$path = \"/\"\nscopes = [\"a\"]",
        "5:1: `endpoints.e.scopes` is not available in this version; remove it",
    ),
    integration(
        "$path = \"/\"\nrequest = ' '",
        "5:11: `endpoints.e.request`: the jq program is empty; write one such as '.', or remove the key",
    ),
    integration(
        "$path = \"/\"\nidempotency = { verify = { endpoint = \"e\" }, header = \"K\" }",
        "5:26: `endpoints.e.idempotency.verify.found` is missing; write for example found = '.body.data | length > 0'",
    ),
    integration(
        "$path = \"/\"\nclassify = [{ class = \"client\" }]",
        "5:13: `endpoints.e.classify[0].when` is missing; write for example when = '.status == 402'",
    ),
    integration(
        "$path = \"/\"\ncost = -1",
        "5:8: `endpoints.e.cost`: -1 is out of range; write 0 to 10000000",
    ),
    integration(
        "$path = \"/\"\nretry = { max_retries = 101 }",
        "5:25: `endpoints.e.retry.max_retries`: 101 is out of range; write 0 to 100",
    ),
    integration(
        "$path = \"/\"\ntimeouts = \"1s\"",
        "5:12: `endpoints.e.timeouts`: a string cannot stand here; write a table",
    ),
];

const OF_AN_OPERATION: &[Mistake] = &[
    operation(
        "deadline = \"1s\"",
        "1:1: `steps` is missing; write for example steps = [{ name = \"charge\", call = \"stripe.create_charge\" }]",
    ),
    operation(
        "[[steps]]\nname = \"s\"\ncall = \"y.e\"",
        "3:8: `steps[0].call`: there is no integration \"y\"; did you mean `x`?",
    ),
    operation(
        "[[steps]]\nname = \"s\"\ncall = \"x.f\"",
        "3:8: `steps[0].call`: x has no endpoint \"f\"; did you mean `e`?",
    ),
    operation(
        "[[steps]]\nname = \"S\"\ncall = \"x.e\"",
        "2:8: `steps[0].name`: `S` is not a valid name: use 1 to 64 of a–z, 0–9, `_`, `-`, beginning with a letter",
    ),
    operation(
        "deadline = \"2h\"\n[[steps]]\nname = \"s\"\ncall = \"x.e\"",
        "1:12: `deadline`: 2h is out of range; write \"1ms\" to \"1h\"",
    ),
];

/// The file's text: what its mark says stands before it.
fn text(mistake: &Mistake) -> String {
    let rest = |base: &str| format!("{base}{}", &mistake.text[1..]);
    match mistake.text.as_bytes()[0] {
        b'@' => rest(BASE),
        b'#' => rest(LIMIT),
        b'$' => rest(ENDPOINT),
        _ => mistake.text.to_owned(),
    }
}

#[test]
fn each_is_told_at_its_place_with_what_would_be_right() {
    let all = [OF_THE_SERVER, OF_AN_INTEGRATION, OF_A_LIMIT, OF_AN_ENDPOINT, OF_AN_OPERATION].concat();
    assert!(all.len() >= 60, "{}", all.len());
    let mut unlike = Vec::new();
    for mistake in &all {
        let text = text(mistake);
        let mut files = vec![(mistake.file, text.as_str())];
        if mistake.file != INTEGRATION {
            files.push((INTEGRATION, GOOD));
        }
        let told = match Settings::from_texts(&files) {
            Ok(_) => "nothing".to_owned(),
            Err(errors) => errors.to_string(),
        };
        let expected = format!("{}:{}", mistake.file, mistake.told);
        if told != expected {
            unlike.push(format!("{text}\n  told:     {told}\n  expected: {expected}"));
        }
    }
    assert!(unlike.is_empty(), "{}", unlike.join("\n\n"));
}

#[test]
fn limits_of_a_group_that_disagree_name_both_files() {
    let limit = |requests: u32| {
        format!(
            "base_url = \"https://x\"\n[[limits]]\nname = \"all\"\nkind = \"concurrent\"\nrequests = {requests}\ngroup = \"g\"\n"
        )
    };
    let told = |one: u32, other: u32| {
        let (one, other) = (limit(one), limit(other));
        let errors = Settings::from_texts(&[("integrations/a.toml", &one), ("integrations/b.toml", &other)]);
        errors.err().map(|errors| errors.to_string())
    };
    assert_eq!(told(3, 3), None);
    let expected = "integrations/b.toml:4:8: the limit \"all\" of group \"g\" is one budget, and \
                    integrations/a.toml:4:8 says otherwise what it holds; write the same kind, requests, per and \
                    scope in both";
    assert_eq!(told(3, 4).as_deref(), Some(expected));
}

#[test]
fn a_wrong_program_is_told_at_its_place_in_the_program() {
    for (written, place) in [
        ("'.a | nope'", "5:18"),
        ("\".a | nope\"", "5:18"),
        ("'''.a |\n  nope'''", "6:3"),
        ("'''\n.a |\n  nope'''", "7:3"),
        ("\"\"\"\n.a | nope\"\"\"", "6:6"),
        // An escape moves everything behind it: the value's beginning is told, and the place in the program.
        ("\".a |\\tnope\"", "5:12"),
    ] {
        let text = format!(
            "base_url = \"https://x\"\n[endpoints.e]\nmethod = \"GET\"\npath = \"/\"\nresponse = {written}\n"
        );
        let settings = Settings::from_texts(&[(INTEGRATION, &text)]).unwrap();
        let errors = crate::plans::check(&settings, crate::plans::Secrets::Read).to_string();
        assert!(
            errors.starts_with(&format!("{INTEGRATION}:{place}: this is no usable jq program: ")),
            "{written}: {errors}"
        );
    }
}

/// What is advised about a set with this integration, called by one operation with this deadline.
fn advice(integration: &str, deadline: &str) -> Vec<String> {
    let operation = format!(
        "deadline = \"{deadline}\"\nidempotency = \"required\"\n[[steps]]\nname = \"s\"\ncall = \"x.e\"\n"
    );
    let files = [(INTEGRATION, integration), (OPERATION, operation.as_str())];
    let examined = Examined::texts(&files);
    assert_eq!(examined.errors.to_string(), "");
    examined.advice.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_unwise_is_advised_against_and_stops_nothing() {
    let limit = "[[limits]]\nkind = \"token_bucket\"\nrequests = 11\nper = \"1s\"\n";
    let good = format!(
        "base_url = \"https://x\"\n[endpoints.e]\nmethod = \"GET\"\npath = \"/\"\n{limit}[breaker]\nfailure_rate = 0.5\n"
    );
    assert_eq!(advice(&good, "8s"), [""; 0]);
    let told = |from: &str, to: &str, deadline: &str| {
        let changed = good.replace(from, to);
        assert!(from == to || changed != good, "{from}");
        advice(&changed, deadline).join("\n")
    };
    for (from, to, expected) in [
        (
            "failure_rate = 0.5",
            "failures = 5",
            "the limits allow 11 calls a second, among which 5 failures in 60 s may be few; write failure_rate = 0.5",
        ),
        (limit, "", "there are no limits, so nothing keeps calls below what the provider allows"),
        (
            "\"GET\"",
            "\"POST\"",
            "integrations/x.toml:2:1: `endpoints.e.idempotency`: a call that may have acted is never sent again",
        ),
        (
            "[breaker]",
            "[pool]\nmax_in_flight = 100\n[breaker]",
            "integrations/x.toml:10:17: `pool.max_in_flight`: up to 100 connections carry calls and 32 are kept",
        ),
        (
            "[breaker]",
            "[timeouts]\ntotal = \"2s\"\n[breaker]",
            "integrations/x.toml:10:9: `timeouts.total`: the whole attempt ends before its parts may",
        ),
        (
            "[breaker]",
            "[auth]\ntype = \"none\"\naccount = \"personal\"\n[breaker]",
            "integrations/x.toml:11:11: `auth.account`: the account of a person ends when that person leaves",
        ),
    ] {
        let told = told(from, to, "8s");
        assert!(told.contains(expected) && !told.contains('\n'), "{to}: {told}");
    }
    let slow = told("", "", "5s");
    assert_eq!(
        slow,
        "operations/o.toml:1:12: `deadline`: 5s is shorter than the 6s that x.e may take to answer; give it longer, or \
         shorten the endpoint's timeouts"
    );
}
