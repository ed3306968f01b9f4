use super::*;
use crate::limits::{DrainScope, ResetForm};
use crate::mapping::{Kind, RunView};
use crate::retry::ResetHeader;
use crate::sanitise::Extra;

const RUN: RunView<'static> = RunView { id: "run_1", correlation_id: "c", operation: "payments.charge" };

fn program(kind: Kind, source: &str) -> Program {
    Program::compile(kind, source).unwrap()
}

fn endpoint(body: BodyKind, resend: Resend) -> Endpoint {
    Endpoint {
        name: EndpointName::new("create_charge").unwrap(),
        method: Method::POST,
        path: PathTemplate::parse("/v1/charges").unwrap(),
        body,
        headers: HeaderMap::new(),
        request: None,
        response: None,
        rules: Vec::new(),
        schema: None,
        deadline_header: None,
        resend,
        verified: false,
        key_header: None,
        timeouts: Timeouts::default(),
        retry: Arc::default(),
        cost: Cost::default(),
        follow_redirects: 0,
    }
}

fn input(text: &'static str) -> Json {
    Json::parse(Bytes::from_static(text.as_bytes())).unwrap()
}

fn interpret(
    endpoint: &Endpoint,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Json, Failure> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let body = Bytes::copy_from_slice(body.as_bytes());
    let answer = Answer { status, headers: &map, body: &body, at: Wall::default(), resends_key: false };
    endpoint.interpret(&answer, &Sanitiser::new(&Extra::default()))
}

#[test]
fn without_a_mapping_bytes_pass_untouched() {
    let endpoint = endpoint(BodyKind::Json, Resend::Never);
    let request = endpoint.materialise(&input("{ \"a\":1.50 }"), &RUN, None).unwrap();
    assert_eq!(request.body, "{ \"a\":1.50 }");
    assert_eq!(request.path_and_query, "/v1/charges");
    assert_eq!(request.headers[header::CONTENT_TYPE], "application/json");
    assert_eq!(interpret(&endpoint, 200, &[], "{ \"b\": 2 }").unwrap().as_str(), "{ \"b\": 2 }");
    assert_eq!(interpret(&endpoint, 204, &[], "").unwrap(), Json::NULL);
}

#[test]
fn a_mapping_writes_path_query_headers_and_body() {
    let mut endpoint = endpoint(BodyKind::Form, Resend::Key { retention: Duration::from_secs(60) });
    endpoint.path = PathTemplate::parse("/v1/charges/{id}").unwrap();
    endpoint.key_header = Some(HeaderName::from_static("idempotency-key"));
    endpoint.request = Some(program(
        Kind::Request,
        r#"{ path: { id: .id }, query: { expand: "x" }, headers: { "X-Run": $run.id }, body: { amount: .amount, key: $idempotency_key } }"#,
    ));
    let request = endpoint.materialise(&input(r#"{"id":"a b","amount":5}"#), &RUN, Some("cw_1")).unwrap();
    assert_eq!(request.path_and_query, "/v1/charges/a%20b?expand=x");
    assert_eq!(request.body, "amount=5&key=cw_1");
    assert_eq!(request.headers["idempotency-key"], "cw_1");
    assert_eq!(request.headers["x-run"], "run_1");
    assert_eq!(request.headers[header::CONTENT_TYPE], "application/x-www-form-urlencoded");
}

#[test]
fn a_request_that_cannot_be_written_is_our_failure() {
    let mut endpoint = endpoint(BodyKind::Json, Resend::Never);
    for source in [
        ".a.b.c | error",
        r#"{ headers: { Host: "evil" } }"#,
        r#"{ headers: { X: "a\nb" } }"#,
        r#"{ path: { id: "1" } }"#,
    ] {
        endpoint.request = Some(program(Kind::Request, source));
        let failure = endpoint.materialise(&input("{}"), &RUN, None).unwrap_err();
        assert_eq!(
            (failure.class, &*failure.code),
            (ErrorClass::Internal, "request_mapping_failed"),
            "{source}"
        );
        assert!(failure.message.contains("create_charge"), "{}", failure.message);
    }
}

#[test]
fn rules_come_before_the_table() {
    let mut endpoint = endpoint(BodyKind::Json, Resend::Never);
    endpoint.rules = vec![
        Rule {
            when: program(Kind::Response, ".status == 402"),
            class: Some(Meaning::Failure(ErrorClass::Client)),
            code: Some(program(Kind::Response, ".body.error.code")),
            message: Some(program(Kind::Response, ".body.error.message")),
            retry_after: None,
            scope: None,
        },
        Rule {
            when: program(Kind::Response, r#".status == 200 and .body.status == "busy""#),
            class: Some(Meaning::Failure(ErrorClass::Transient)),
            code: None,
            message: None,
            retry_after: None,
            scope: None,
        },
    ];
    let declined = r#"{"error":{"code":"card_declined","message":"Your card\nwas declined."}}"#;
    let failure = interpret(&endpoint, 402, &[], declined).unwrap_err();
    assert_eq!((failure.class, &*failure.code), (ErrorClass::Client, "card_declined"));
    assert_eq!(failure.provider_status, Some(402));
    assert!(!failure.message.contains('\n'), "{}", failure.message);
    let failure = interpret(&endpoint, 200, &[], r#"{"status":"busy"}"#).unwrap_err();
    assert_eq!((failure.class, &*failure.code), (ErrorClass::Transient, "http_200"));
    assert!(interpret(&endpoint, 200, &[], r#"{"status":"ok"}"#).is_ok());
    let failure = interpret(&endpoint, 500, &[], "").unwrap_err();
    assert_eq!(failure.class, ErrorClass::Ambiguous);
    endpoint.rules[0].when = program(Kind::Response, r#".body.error.code == "busy""#);
    let failure = interpret(&endpoint, 500, &[], "<html>").unwrap_err();
    assert_eq!(
        (failure.class, &*failure.code),
        (ErrorClass::Ambiguous, "http_500"),
        "a rule that fails does not apply"
    );
}

#[test]
fn what_cannot_be_read_is_an_invalid_response() {
    let mut endpoint = endpoint(BodyKind::Json, Resend::Never);
    let code = |failure: Failure| (failure.class, failure.code.into_owned());
    let invalid = |code: &str| (ErrorClass::InvalidResponse, code.to_owned());
    assert_eq!(code(interpret(&endpoint, 200, &[], "<html>").unwrap_err()), invalid("response_not_json"));
    let gzip = interpret(&endpoint, 200, &[("content-encoding", "gzip")], "{}").unwrap_err();
    assert_eq!(code(gzip), invalid("unexpected_content_encoding"));
    endpoint.response = Some(program(Kind::Response, ".body.id.x"));
    assert_eq!(
        code(interpret(&endpoint, 200, &[], r#"{"id":"s"}"#).unwrap_err()),
        invalid("response_mapping_failed")
    );
}

#[test]
fn rules_judge_by_status_and_headers_what_is_encoded() {
    let mut endpoint = endpoint(BodyKind::Json, Resend::Never);
    let told = |endpoint: &Endpoint, status: u16| {
        let headers = [("content-encoding", "gzip"), ("x-reason", "held")];
        let failure = interpret(endpoint, status, &headers, "\u{1f}\u{8b}").unwrap_err();
        (failure.class, failure.code.into_owned(), failure.message.into_owned())
    };
    endpoint.rules = vec![
        rule(".body.ok != true", Some(Meaning::Failure(ErrorClass::Client))),
        rule(
            ".headers[\"x-reason\"] == \"held\" and .status == 500",
            Some(Meaning::Failure(ErrorClass::Client)),
        ),
        rule(".status == 404", Some(Meaning::Success)),
    ];
    let held = (ErrorClass::Client, "http_500".to_owned(), "the provider answered 500".to_owned());
    assert_eq!(told(&endpoint, 500), held);
    assert_eq!(told(&endpoint, 502).0, ErrorClass::Ambiguous, "what nobody can read is not missing");
    for status in [200, 404] {
        let (class, code, _) = told(&endpoint, status);
        let unread = (ErrorClass::InvalidResponse, "unexpected_content_encoding");
        assert_eq!((class, &*code), unread, "{status}");
    }
}

#[test]
fn a_refusal_carries_the_providers_wait_and_words() {
    let endpoint = endpoint(BodyKind::Json, Resend::Never);
    let failure =
        interpret(&endpoint, 429, &[("retry-after", "7")], r#"{"message":"slow down"}"#).unwrap_err();
    assert_eq!(failure.class, ErrorClass::RateLimited);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(failure.message, "slow down");
    let failure = interpret(&endpoint, 404, &[], &"[".repeat(10_000)).unwrap_err();
    assert_eq!(failure.message, "the provider answered 404");
}

#[test]
fn a_reset_is_a_wait_where_the_budget_is_used_up_and_nowhere_else() {
    let reset = ResetHeader { name: HeaderName::from_static("x-reset"), form: ResetForm::Delta };
    let retry = Arc::new(RetrySpec { reset_headers: vec![reset], ..RetrySpec::default() });
    let endpoint = Endpoint { retry, ..endpoint(BodyKind::Json, Resend::Never) };
    let refused = |status| {
        let failure = interpret(&endpoint, status, &[("X-Reset", "9")], "{}").unwrap_err();
        (failure.class, failure.retry_after)
    };
    assert_eq!(refused(429), (ErrorClass::RateLimited, Some(Duration::from_secs(9))));
    // A bare 503 stays in doubt: that a budget will be full again does not say that it was refused.
    assert_eq!(refused(503), (ErrorClass::Ambiguous, None));
}

#[test]
fn a_broken_body_does_not_undo_what_the_head_says() {
    let endpoint = endpoint(BodyKind::Json, Resend::Never);
    let mut headers = HeaderMap::new();
    let broken = |reason, status: u16, headers: &HeaderMap| {
        let failure =
            endpoint.broken(reason, Phase::Sent, Some((status, headers, Wall::default())), String::new());
        (failure.class, failure.retry_after)
    };
    assert_eq!(broken(Reason::BodyTooLarge, 200, &headers).0, ErrorClass::InvalidResponse);
    assert_eq!(broken(Reason::BodyTooLarge, 404, &headers).0, ErrorClass::Client);
    assert_eq!(broken(Reason::BodyTooLarge, 500, &headers).0, ErrorClass::Ambiguous);
    assert_eq!(broken(Reason::Reset, 200, &headers).0, ErrorClass::Ambiguous);
    assert_eq!(broken(Reason::Reset, 503, &headers).0, ErrorClass::Ambiguous);
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
    let wait = Some(Duration::from_secs(30));
    assert_eq!(broken(Reason::Reset, 429, &headers), (ErrorClass::RateLimited, wait));
    assert_eq!(broken(Reason::BodyTimeout, 503, &headers), (ErrorClass::Transient, wait));
    let nothing = endpoint.broken(Reason::Reset, Phase::Sent, None, String::new());
    assert_eq!((nothing.class, &*nothing.code), (ErrorClass::Ambiguous, "reset"));
}

fn rule(when: &str, class: Option<Meaning>) -> Rule {
    let when = program(Kind::Response, when);
    Rule { when, class, code: None, message: None, retry_after: None, scope: None }
}

#[test]
fn a_rule_may_name_the_wait_and_whom_it_holds_up() {
    let mut endpoint = endpoint(BodyKind::Json, Resend::Never);
    let wait = |endpoint: &Endpoint, status: u16, headers: &[(&str, &str)], body: &str| {
        let failure = interpret(endpoint, status, headers, body).unwrap_err();
        (failure.class, failure.retry_after.map(|wait| wait.as_millis()))
    };
    let limited = Meaning::Failure(ErrorClass::RateLimited);
    let mut limit = rule(".body.wait != \"no\"", Some(limited));
    limit.retry_after = Some(program(Kind::Response, ".body.wait"));
    limit.scope = Some(DrainScope::Integration);
    endpoint.rules = vec![limit];
    for (body, expected) in [
        (r#"{"wait":2.5}"#, Some(2_500)),
        (r#"{"wait":0}"#, Some(0)),
        (r#"{"wait":"3"}"#, Some(3_000)),
        (r#"{"wait":"250ms"}"#, Some(250)),
        (r#"{"wait":"2m"}"#, Some(120_000)),
        (r#"{"wait":"Thu, 01 Jan 1970 00:00:09 GMT"}"#, Some(9_000)),
        // Nonsense leaves what the header says.
        (r#"{"wait":"soon"}"#, Some(7_000)),
        (r#"{"wait":-1}"#, Some(7_000)),
        (r#"{"wait":1e12}"#, Some(7_000)),
        (r#"{"wait":null}"#, Some(7_000)),
        (r#"{"wait":[1]}"#, Some(7_000)),
    ] {
        assert_eq!(
            wait(&endpoint, 200, &[("retry-after", "7")], body),
            (ErrorClass::RateLimited, expected),
            "{body}"
        );
    }
    let failure = interpret(&endpoint, 403, &[], "{}").unwrap_err();
    assert_eq!(failure.scope, Some(DrainScope::Integration));

    // A wait makes a refusal of a 503, as Retry-After does.
    endpoint.rules[0].class = None;
    assert_eq!(wait(&endpoint, 503, &[], r#"{"wait":1}"#), (ErrorClass::Transient, Some(1_000)));
    assert_eq!(wait(&endpoint, 503, &[], r#"{"wait":"no"}"#), (ErrorClass::Ambiguous, None));
    assert!(interpret(&endpoint, 200, &[], r#"{"wait":1}"#).is_ok(), "without a class a success stays one");
}

#[test]
fn a_rule_may_make_a_success_of_any_status() {
    let mut endpoint = endpoint(BodyKind::None, Resend::Never);
    endpoint.rules = vec![
        rule(".status == 404 and .body.code == \"gone\"", Some(Meaning::Success)),
        rule(".status == 404", Some(Meaning::Failure(ErrorClass::Credential))),
    ];
    endpoint.response = Some(program(Kind::Response, "{ gone: (.status == 404) }"));
    assert_eq!(interpret(&endpoint, 404, &[], r#"{"code":"gone"}"#).unwrap().as_str(), r#"{"gone":true}"#);
    assert_eq!(interpret(&endpoint, 404, &[], "{}").unwrap_err().class, ErrorClass::Credential);
    assert_eq!(interpret(&endpoint, 410, &[], "{}").unwrap_err().class, ErrorClass::Client);
}

#[test]
fn a_broken_schema_fails_under_enforce_only() {
    let mut endpoint = endpoint(BodyKind::None, Resend::Never);
    let schema = |mode| {
        let text = r#"{"type":"object","required":["id"]}"#;
        Some(ResponseSchema::compile(text, mode).unwrap())
    };
    endpoint.response = Some(program(Kind::Response, "{ status: .status }"));
    for rules in [Vec::new(), vec![rule("false", None)]] {
        endpoint.rules = rules;
        endpoint.schema = schema(SchemaMode::Enforce);
        assert!(interpret(&endpoint, 200, &[], r#"{"id":1}"#).is_ok());
        let failure = interpret(&endpoint, 200, &[], r#"{"secret":"hunter2"}"#).unwrap_err();
        assert_eq!((failure.class, &*failure.code), (ErrorClass::InvalidResponse, SCHEMA_VIOLATED));
        assert!(
            failure.message.contains("/required") && !failure.message.contains("hunter2"),
            "{}",
            failure.message
        );
        let refused = interpret(&endpoint, 404, &[], "{}").unwrap_err();
        assert_eq!(refused.class, ErrorClass::Client, "only successes are held to it");
        endpoint.schema = schema(SchemaMode::Warn);
        assert!(interpret(&endpoint, 200, &[], "{}").is_ok());
    }
}

#[test]
fn a_page_for_people_is_no_document() {
    let mut endpoint = endpoint(BodyKind::None, Resend::Never);
    endpoint.response = Some(program(Kind::Response, "{ ok: true }"));
    let html = [("content-type", "text/html; charset=utf-8")];
    let json = [("content-type", "application/problem+json")];
    let code = |failure: Failure| (failure.class, failure.code.into_owned());
    let unexpected = (ErrorClass::InvalidResponse, "unexpected_content_type".to_owned());
    assert_eq!(code(interpret(&endpoint, 200, &html, "<html>login</html>").unwrap_err()), unexpected);
    let deep = "[".repeat(200) + &"]".repeat(200);
    for body in ["{\"a\":", "\"a", "", &deep] {
        let outcome = interpret(&endpoint, 200, &json, body);
        assert_eq!(outcome.is_ok(), body.is_empty(), "{body}");
    }
    for body in ["{}", "\"a\"", "\"\"", " 1 "] {
        assert!(interpret(&endpoint, 200, &json, body).is_ok(), "{body}");
    }
    assert!(interpret(&endpoint, 200, &[("content-type", "text/csv")], "a,b").is_ok());
    endpoint.headers.insert(header::ACCEPT, HeaderValue::from_static("text/html"));
    assert!(interpret(&endpoint, 200, &html, "<html>").is_ok());
}

#[test]
fn texts_and_parts_are_written() {
    let mut endpoint = endpoint(BodyKind::Text, Resend::Never);
    let request = endpoint.materialise(&input("\"line\\n\""), &RUN, None).unwrap();
    assert_eq!(
        (&*request.body, &request.headers[header::CONTENT_TYPE]),
        (&b"line\n"[..], &HeaderValue::from_static("text/plain; charset=utf-8"))
    );
    assert_eq!(&*endpoint.materialise(&input("{}"), &RUN, None).unwrap_err().code, "request_mapping_failed");
    endpoint.body = BodyKind::Multipart;
    let first = endpoint
        .materialise(&input(r#"{"a":"1","f":{"content":"x","filename":"x.txt"}}"#), &RUN, None)
        .unwrap();
    let again = endpoint
        .materialise(&input(r#"{"a":"1","f":{"content":"x","filename":"x.txt"}}"#), &RUN, None)
        .unwrap();
    assert_eq!((&first.body, &first.headers), (&again.body, &again.headers));
    let kind = first.headers[header::CONTENT_TYPE].to_str().unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    assert!(first.body.starts_with(format!("--{boundary}\r\n").as_bytes()));
}
