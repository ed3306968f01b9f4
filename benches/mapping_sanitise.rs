//! Mapping and masking: what every payload passes through.
#![expect(clippy::expect_used, reason = "a bench without its program measures nothing")]
#![expect(unreachable_pub, reason = "a part of the bench, called by its main file")]

use std::hint::black_box;

use bytes::Bytes;
use causeway_core::json::Json;
use causeway_core::mapping::{Input, Kind, Program, RunView, Vars};
use causeway_core::sanitise::{Extra, Sanitiser};
use criterion::{Criterion, Throughput};
use http::HeaderMap;

/// What an operation hands to a step.
const CHARGE: &[u8] = br#"{"amount":1999,"currency":"EUR","token":"tok_visa","order":{"id":"order-17","items":[{"sku":"A-1","count":2},{"sku":"B-7","count":1}]},"customer":{"id":"cus_42","country":"DE"},"metadata":{"shop":"berlin","campaign":"spring"}}"#;
const FIVE_FIELDS: &str = "{ body: { amount: .amount, currency: (.currency | ascii_downcase), source: .token, order: .order.id, key: $idempotency_key } }";
/// What a provider answers.
const CHARGED: &[u8] = br#"{"id":"ch_3N5","object":"charge","amount":1999,"currency":"eur","status":"succeeded","created":1767225600,"paid":true,"livemode":false,"description":null,"receipt_url":"https://pay.example.com/receipts/1","outcome":{"type":"authorized","risk_level":"normal"},"metadata":{"shop":"berlin"},"refunded":false}"#;
const RESULT: &str = "{ id: .body.id, status: .body.status, amount: .body.amount, risk: .body.outcome.risk_level, paid: .body.paid }";

/// jq: compiling, and five fields each way with parsing and printing.
pub fn mapping(c: &mut Criterion) {
    let mut group = c.benchmark_group("mapping");
    group.bench_function("compile_five_fields", |b| {
        b.iter(|| Program::compile(Kind::Request, black_box(FIVE_FIELDS)));
    });
    let run = RunView { id: "run_01JD", correlation_id: "order-17", operation: "payments.charge" };
    let charge = Json::parse(Bytes::from_static(CHARGE)).expect("JSON");
    let request = Program::compile(Kind::Request, FIVE_FIELDS).expect("a program");
    group.bench_function("request_five_fields", |b| {
        b.iter(|| {
            let input = Input::json(black_box(&charge)).expect("input");
            request.request(&input, &Vars::request(&run, Some("key-1"))).expect("parts")
        });
    });
    let mut headers = HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    headers.insert("request-id", http::HeaderValue::from_static("req_1"));
    let body = Bytes::from_static(CHARGED);
    let result = Program::compile(Kind::Response, RESULT).expect("a program");
    group.bench_function("response_five_fields", |b| {
        b.iter(|| {
            let input = Input::response(200, black_box(&headers), &body);
            result.value(&input, &Vars::default()).expect("a value")
        });
    });
    group.bench_function("response_input_alone", |b| {
        b.iter(|| Input::response(200, black_box(&headers), &body));
    });
    let input = Input::response(200, &headers, &body);
    let condition = Program::compile(Kind::Response, ".status == 402").expect("a program");
    group.bench_function("condition_alone", |b| b.iter(|| condition.truth(black_box(&input))));
    group.bench_function("value_alone", |b| b.iter(|| result.value(black_box(&input), &Vars::default())));
    let regex =
        Program::compile(Kind::Response, ".body.id | test(\"^ch_[0-9A-Za-z]+$\")").expect("a program");
    group.bench_function("regex_alone", |b| b.iter(|| regex.truth(black_box(&input))));
    group.finish();
}

/// A page of records, as list endpoints answer: about 4 KiB.
fn page() -> String {
    let records: Vec<String> = (0..9)
        .map(|index| {
            format!(
                r#"{{"id":"ch_3N5kXyLkdIwHu7ix0snN0B{index}","object":"charge","amount":{}99,"currency":"eur","status":"succeeded","created":176722{index}600,"paid":true,"description":"Order {index} of the spring campaign, shop Berlin","receipt_url":"https://pay.example.com/receipts/{index}?locale=de","customer":"cus_{index}42","billing_details":{{"name":"Jane Roe","email":"jane.roe{index}@example.com","phone":null}},"payment_method":"pm_1N5kXy","outcome":{{"type":"authorized","risk_level":"normal"}}}}"#,
                index + 1
            )
        })
        .collect();
    format!(r#"{{"object":"list","has_more":false,"data":[{}]}}"#, records.join(","))
}

/// Masking: a small answer, a page of records, what surrounds them.
pub fn sanitise(c: &mut Criterion) {
    let sanitiser = Sanitiser::new(&Extra::default());
    let page = page();
    let mut group = c.benchmark_group("sanitise");
    for (name, body) in [("json_small", CHARGED), ("json_4k", page.as_bytes())] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| b.iter(|| sanitiser.json(black_box(body), 8192)));
    }
    let form = "amount=1999&currency=eur&source=tok_visa&card[number]=4242424242424242&metadata[order]=17";
    group.throughput(Throughput::Bytes(form.len() as u64));
    group.bench_function("form", |b| {
        b.iter(|| {
            sanitiser.body(Some("application/x-www-form-urlencoded"), black_box(form.as_bytes()), 8192)
        });
    });
    let message = "card declined for jane@example.com: number=4242424242424242, request req_1 at 12:30";
    group.throughput(Throughput::Bytes(message.len() as u64));
    group.bench_function("text", |b| b.iter(|| sanitiser.text(black_box(message), 1024)));
    let url = "https://api.example.com/v1/charges?limit=10&starting_after=ch_1&key=abc";
    group.throughput(Throughput::Bytes(url.len() as u64));
    group.bench_function("url", |b| b.iter(|| sanitiser.query(black_box(url))));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("request-id", "req_1"),
        ("authorization", "Bearer sk_live_x"),
        ("ratelimit-remaining", "99"),
    ] {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    group.throughput(Throughput::Elements(headers.len() as u64));
    group.bench_function("headers", |b| b.iter(|| sanitiser.headers(black_box(&headers))));
    group.finish();
}
