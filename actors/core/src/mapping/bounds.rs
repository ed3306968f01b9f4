//! Programs that would abort the process or never end, and that nothing written in the grammar does.
//!
//! A test that fails here may take the process with it: that is the failure.

use bytes::Bytes;
use proptest::prelude::*;

use super::{Fault, Input, Kind, MappingError, Program, Vars};
use crate::json::{Json, MAX_DEPTH, check_depth};
use crate::mapping::write::MAX_SIZE;

fn run(source: &str, document: &str) -> Result<Json, MappingError> {
    let program =
        Program::compile(Kind::Response, source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let json = Json::parse(Bytes::copy_from_slice(document.as_bytes())).unwrap();
    program.value(&Input::json(&json).unwrap(), &Vars::default())
}

fn fault(source: &str, document: &str) -> Fault {
    match run(source, document) {
        Err(MappingError::Program { fault, .. }) => fault,
        other => panic!("{source}: {other:?}"),
    }
}

/// A list of this many zeros.
fn zeros(count: usize) -> String {
    format!("[{}0]", "0,".repeat(count - 1))
}

/// A document in which a list of this many stands beside another.
fn lists(count: usize) -> String {
    format!(r#"{{"a":{0},"b":{0}}}"#, zeros(count))
}

#[test]
fn what_may_never_end_or_looks_outside_is_refused() {
    for source in [
        "def f: f; f",
        "def f: 1+f; f",
        "[range(1e9)]",
        "last(range(1e9))",
        "reduce range(1e5) as $i (null; [.])",
        "range(0; infinite)",
        "range(0; 10; 0.0001)",
        "range(nan)",
        "range(.n)",
        "recurse(.)",
        "recurse([.]; true)",
        "while(true; .)",
        "until(false; .)",
        "repeat(.)",
        "combinations",
        "combinations(9)",
        "[limit(-1; repeat(1))]",
        "env",
        "env.HOME",
        "$ENV",
        "$__prog_args",
        "input",
        "inputs",
        "input_line_number",
        "input_filename",
        "halt",
        "halt(1)",
        "halt_error",
        "debug",
        "debug(.)",
        "stderr",
        "now",
        "localtime",
        "strflocaltime(\"%Y\")",
        "mktime(1)",
        "getpath",
        "@base32d",
        "ascii",
        "implode",
        "tobytes",
        "splits(.re)",
        "gsub(.re; \"\")",
        "test(\"(a{1000}){1000}\")",
        "bounded_path",
        "path_value(.)",
        "error_empty",
        "import \"a\" as a; .",
    ] {
        assert!(Program::compile(Kind::Response, source).is_err(), "{source}");
    }
    let loops = "reduce .[] as $x (0; .) | ".repeat(65) + ".";
    assert!(Program::compile(Kind::Response, &loops).unwrap_err().message.contains("64 `reduce`"));
}

#[test]
fn growth_is_paid_for() {
    for source in [
        r#"reduce range(40) as $i ("a"; . + .)"#,
        r#"reduce range(40) as $i ("a"; . += .)"#,
        r#"reduce range(40) as $i ("a"; "\(.)\(.)")"#,
        r#"reduce range(40) as $i ([1]; . + .)"#,
        r#"reduce range(40) as $i ("a"; . * 2)"#,
        r#"[foreach range(40) as $i ("a"; . + .)] | length"#,
        r#"reduce range(40) as $i (["a"]; [.[], .[]])"#,
        r#"reduce range(40) as $i ("a"; [., .] | join(""))"#,
        r#"reduce range(40) as $i ("a"; [., .] | add)"#,
        r#"reduce range(40) as $i ("a"; @uri "\(.)%%%\(.)")"#,
        r#"reduce range(40) as $i ("a"; {a: ., b: .} | tojson)"#,
        r#"reduce range(60) as $i ("a"; gsub("a"; "aa"))"#,
        r#"reduce range(9999) as $i (1; . + .)"#,
        r#"reduce range(9999) as $i (-1; . - (0 - .))"#,
    ] {
        let fault = fault(source, "null");
        let told = fault.to_string();
        let bounded =
            ["steps", "goes through", "too large", "larger than"].iter().any(|bound| told.contains(bound));
        assert!(bounded, "{source}: {fault:?}");
    }
}

#[test]
fn depth_is_measured_before_the_stack_ends() {
    let many = zeros(400_000);
    let failed = Fault::Failed("nested deeper".to_owned());
    for source in [
        "reduce .[] as $x (null; [.])",
        "reduce .[] as $x (null; {next: ., value: $x})",
        "reduce .[] as $x ({}; {a: {b: {c: .}}})",
        "reduce .[] as $x ({}; . as $all | .a = $all)",
        "reduce .[] as $x ([1]; to_entries)",
        "reduce .[] as $x ([1]; group_by(.))",
        "reduce .[] as $x ([1]; .[0] |= [.])",
        "reduce .[] as $x ([1]; walk([.]))",
        "[foreach .[] as $x (null; [.]; 1)] | length",
        "reduce .[] as $x (null; reduce (1, 2) as $y (.; [.]))",
        "[.[:9] | walk([.]) | walk([.]) | walk([.]) | walk([.]) | walk([.]) | walk([.]) | walk([.]) | walk([.]) \
         | walk([.]) | walk([.]) | walk([.])]",
    ] {
        let fault = fault(source, &many);
        assert!(fault == failed || fault == Fault::TooManySteps, "{source}: {fault:?}");
    }
    let path = format!(r#"{{"p":[{}"a"]}}"#, r#""a","#.repeat(300_000));
    for source in [
        ". as $d | {} | setpath($d.p; 1)",
        ". as $d | {} | getpath($d.p)",
        ". as $d | {} | delpaths([$d.p])",
        ". as $d | [{} | path(getpath($d.p))]",
        ". as $d | {} | pick(getpath($d.p))",
        ". as $d | {} | (reduce $d.p[] as $k (.; .[$k])) |= 1",
        ". as $d | {} | (reduce $d.p[] as $k (.; .[$k])) = 1",
        ". as $d | (reduce $d.p[] as $k (.; .)) |= 1",
        ". as $d | del(reduce $d.p[] as $k (.; .))",
        ". as $d | {} | del(reduce $d.p[] as $k (.; .[$k]))",
        ". as $d | {} | [paths(getpath($d.p))]",
    ] {
        let fault = run(source, &path);
        let text = format!("{fault:?}");
        assert!(
            text.contains("path is too long")
                || text.contains("shorter path")
                || text.contains("deeper")
                || text.contains("cannot be")
                || fault.is_ok(),
            "{source}: {text:.300}"
        );
    }
}

#[test]
fn what_is_shared_a_billion_times_is_not_gone_through_a_billion_times() {
    let doubled = "(reduce range(60) as $i (1; [., .]))";
    for source in [
        "D | . == D",
        "[D, D] | sort",
        "[D, D] | unique",
        "[D, D] | group_by(.)",
        "[1, 2] | sort_by(D)",
        "[1, 2] | min_by(D)",
        "D | contains([D])",
        "[D] | index(D)",
        "D | [D] - [.]",
        "D | tojson",
        "D | tostring",
        "D | \"\\(.)\"",
        "D | @json",
        "D | @base64",
        "D | [..] | length",
        "D | walk(.)",
        "D | mktime",
        "D | strftime(\"%Y\")",
        "D | explode",
        "try (D | ascii_downcase) catch length",
        "try (D | .a) catch length",
        "try (D + 1) catch length",
        "D | (.a? // 1), .b | length",
        "{} | .[D] = 1",
        "{(D | tojson): 1}",
        "{(D): 1}",
        "[{key: D, value: 1}] | from_entries",
        "D | transpose",
        "D | error",
        "D | bsearch(D)",
        "[D] | bsearch(D)",
        "D | add",
        "D | join(\",\")",
    ] {
        // The end is all that is asked for, and that it comes soon.
        let _ = run(&source.replace('D', doubled), "null");
    }
}

#[test]
fn a_payload_does_not_square_what_a_program_does() {
    let document = lists(100_000);
    for source in [
        ". as $d | [.a[] | . as $x | $d.b | index($x)] | length",
        ". as $d | [.a[] | select($d.b | contains([1]))] | length",
        ". as $d | [.a[] | $d.b == $d.a] | length",
        ". as $d | [.a[] | $d.b | sort] | length",
        ". as $d | [.a[] | $d.b[1:90000] | 1] | length",
        ". as $d | [.a[] | first($d.b[])] | length",
        ". as $d | [.a[] | $d.b | .[0] = 1 | 1] | length",
        ". as $d | [.a[] | $d.b | .[0] |= 1 | 1] | length",
        ". as $d | [.a[] | $d.b + [1] | 1] | length",
        ". as $d | [.a[] | $d.b | .[[0, 0]]] | length",
        ". as $d | .a | indices($d.b)",
        ". as $d | (.a | tojson) as $s | [.b[] | $s | startswith($s)] | length",
        ". as $d | (.a | tojson) as $s | [.b[] | $s[10000:20000]] | length",
        ". as $d | (.a | tojson) as $s | [.b[] | $s | test(\"1$\")] | length",
        ". as $d | (.a | tojson) as $s | [.b[] | $s | @base64 | 1] | length",
        "[.a[] | test(\"a\")?] | length",
    ] {
        let outcome = run(source, &document);
        if let Err(MappingError::Program { fault, .. }) = outcome {
            let bounded = matches!(fault, Fault::TooManySteps | Fault::TooMuchWork);
            assert!(bounded || format!("{fault:?}").contains("an index is"), "{source}: {fault:?}");
        }
    }
}

#[test]
fn honest_work_on_a_large_document_is_done() {
    let records: Vec<String> = (0..20_000)
        .map(|index| {
            format!(r#"{{"id":"r{index}","n":{index},"tags":["a","b{index}"],"kind":"k{}"}}"#, index % 50)
        })
        .collect();
    let document = format!(r#"{{"items":[{}]}}"#, records.join(","));
    for source in [
        "[.items[] | {id, n: (.n + 1)}] | length",
        ".items | map(select(.tags | contains([\"a\"]))) | length",
        ".items | group_by(.kind) | map({(.[0].kind): length}) | add | length",
        ".items | map({(.id): .n}) | add | length",
        "reduce .items[] as $x (0; . + $x.n)",
        "reduce .items[] as $x ({}; .[$x.kind] += $x.n) | length",
        "reduce .items[] as $x ({}; .[$x.kind] += [$x.id]) | length",
        "reduce .items[] as $x ([]; . + [$x.id]) | length",
        "reduce .items[] as $x ({}; .[$x.id] = $x.n) | length",
        "reduce .items[] as $x (\"\"; . + $x.id) | length",
        "[.items[].id] | join(\",\") | length",
        "[.items[].id] | add | length",
        "[.items[] | select(.id | test(\"^r1[0-9]+$\"))] | length",
        ".items | map(.id |= ascii_upcase) | length",
        ".items | sort_by(.n) | reverse | .[0].n",
        ".items | unique_by(.kind) | length",
        ".items | map(with_entries(.value |= tostring)) | length",
        "[.items[] | \"\\(.id)-\\(.n)\"] | length",
    ] {
        let outcome = run(source, &document);
        assert!(outcome.is_ok(), "{source}: {outcome:?}");
    }
}

#[test]
fn nonsense_is_an_error_and_no_abort() {
    for source in [
        ".[1000000000] = 1",
        ".[-1000000000] = 1",
        ".[1e300] = 1",
        ".[nan] = 1",
        "[] | .[1000000000] = 1",
        "[1] | .[1e18:] = [2]",
        "[1] | del(.[1e18])",
        "setpath([1000000000]; 1)",
        "null | getpath([\"a\", 5])",
        "[limit(-1; 1, 2)] | length",
        "[skip(-1; 1, 2)] | length",
        "first(empty)",
        "nth(-1; 1, 2)",
        "nth(1e18; 1, 2)",
        "[1, nan, 2, null, \"a\", {}] | sort",
        "[nan, nan] | unique",
        "infinite | tostring",
        "infinite | floor | tojson",
        "1e1000 | floor",
        "-1e1000 | round | tostring",
        "1e1000 % 7",
        "5 % 0",
        "5 / 0",
        "5 % -1",
        "-9223372036854775808 % -1",
        "-9223372036854775808 | -.",
        "9223372036854775807 + 1",
        "1e18 | todate",
        "-1e18 | todate",
        "1e18 | gmtime",
        "nan | todate",
        "[1e18, 1, 1, 1, 1, 1] | mktime",
        "\"%\" as $f | 0 | strftime($f)",
        "0 | strftime(\"%99999999Y\")",
        "0 | strftime(\"%999999999999999999999d\")",
        "0 | strftime(\"%Q%!\")",
        "\"x\" | strptime(\"%99999999Y\")",
        "\"\\u0000\" | explode",
        "\"abc\" | .[1:-1e18]",
        "\"////\" | @base64d",
        "\"\\u00ff\" | @base64 | @base64d",
        "\"%ff\" | @urid",
        "[1] | flatten(1e18)",
        "[[[1]]] | flatten(-1)",
        "[1] | transpose",
        "[[]] | transpose",
        "{} | from_entries",
        "[1] | from_entries",
        "[null] | add",
        "\"a\" * 1000000000",
        "\"a\" * -1",
        "\"a\" * nan",
        "\"\" * 1e18",
        "1 as $x | 2 as $x | $x",
        "[.[]?]",
        "..?",
        "try error catch .",
        "try error(null) catch .",
        "error(null)",
        "label $f | break $f",
        "ltrimstr(1)",
        "\"a\" | splits(\"\")",
        "\"aaa\" | [splits(\"\")]",
        "\"aaa\" | gsub(\"\"; \"-\")",
        "\"aaa\" | gsub(\"^\"; \"-\")",
        "\"x\" | test(\"\\\\\")",
    ] {
        if let Ok(program) = Program::compile(Kind::Response, source) {
            let _ = program.value(&Input::json(&Json::NULL).unwrap(), &Vars::default());
        }
    }
}

/// Programs of the whole grammar. Literals are few, so that what is made fits what is asked for often enough.
fn programs() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        ".",
        "..",
        ".a",
        ".b",
        ".[]",
        ".[0]",
        ".[-1]",
        ".[1:]",
        "0",
        "1",
        "-1",
        "2.5",
        "\"a\"",
        "\"b c\"",
        "[]",
        "{}",
        "null",
        "true",
        "empty",
        "$x",
        "keys",
        "length",
        "add",
        "tojson",
        "tostring",
        "sort",
        "reverse",
        "to_entries",
        "from_entries",
        "flatten",
        "transpose",
        "explode",
        "tonumber",
        "fromjson",
        "floor",
        "ascii_upcase",
        "paths",
        "todate",
        "not",
        "type",
        "unique",
        "min",
        "max",
        "first",
        "last",
        "values",
        "@base64",
        "@uri",
        "@sh",
        "trim",
        "any",
        "all",
        "range(50)",
        "range(0; 9; 2)",
        "error",
        "infinite",
        "nan",
        "999999999999",
        "join(\"-\")",
        "split(\"\")",
        "test(\"a|b+\")",
        "[match(\"a\"; \"g\")]",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(6, 40, 4, |inner| {
        let one = |template: &'static str| inner.clone().prop_map(move |a| template.replace('A', &a)).boxed();
        let two = |template: &'static str| {
            (inner.clone(), inner.clone())
                .prop_map(move |(a, b)| template.replace('A', "\u{1}").replace('B', &b).replace('\u{1}', &a))
                .boxed()
        };
        let ones = [
            "[A]",
            "{a: (A)}",
            "{(A | tostring): 1}",
            "map(A)",
            "map_values(A)",
            "walk(A)",
            "select(A)",
            "-(A)",
            "(A)?",
            "try (A) catch .",
            "first(A)",
            "limit(3; A)",
            "skip(1; A)",
            "last(A)",
            "isempty(A)",
            "path(A)",
            "del(A)",
            "sort_by(A)",
            "group_by(A)",
            "unique_by(A)",
            "min_by(A)",
            "with_entries(A)",
            "any(A)",
            "has(A)",
            "contains(A)",
            "index(A)",
            "inside(A)",
            "getpath(A)",
            "pick(A)",
            "\"x\\(A)y\\(A)\"",
            "@json \"\\(A)\"",
            "if A then . else 1 end",
            "reduce range(99) as $x (.; A)",
            "[foreach range(99) as $x (.; A)]",
            "gsub(\"a\"; A)",
            "error(A)",
            "label $l | (A), break $l",
            "delpaths(A)",
            "ltrimstr(A)",
            "flatten(A)",
            "recurse | A",
            ".[A]",
            "A as [$x] | $x",
            "A as {a: $x} | $x",
        ]
        .map(one);
        let twos = [
            "(A) | (B)",
            "(A), (B)",
            "(A) + (B)",
            "(A) - (B)",
            "(A) * (B)",
            "(A) / (B)",
            "(A) % (B)",
            "(A) == (B)",
            "(A) < (B)",
            "(A) // (B)",
            "(A) and (B)",
            "(A) or (B)",
            "(A) = (B)",
            "(A) |= (B)",
            "(A) += (B)",
            "(A) *= (B)",
            "(A) //= (B)",
            "(A) as $x | (B)",
            "reduce (A) as $x (.; B)",
            "[foreach (A) as $x (.; B)]",
            "setpath(A; B)",
            "sub(\"a\"; A; \"g\")",
            "any(A; B)",
            "{(A | tostring): (B)}",
            "reduce (A) as $x (null; [., $x, (B)])",
            "nth(2; (A), (B))",
            "{a: (A), b: (B)}",
            "[(A), (B)]",
        ]
        .map(two);
        prop::strategy::Union::new(ones.into_iter().chain(twos))
    })
    .prop_map(|program| format!("1 as $x | {program}"))
}

fn documents() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "0",
        "-1",
        "2.50",
        "1e400",
        "123456789012345678901234567890",
        "\"a\"",
        "\"\"",
        "\"aab\"",
        "\"[1]\"",
        "[]",
        "{}",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            (inner.clone(), inner).prop_map(|(a, b)| format!("{{\"a\":{a},\"b\":{b}}}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever the grammar allows ends, without an abort and without a panic of ours, in a document within bounds.
    #[test]
    fn every_program_ends_within_bounds(source in programs(), document in documents()) {
        let Ok(program) = Program::compile(Kind::Response, &source) else { return Ok(()) };
        let json = Json::parse(Bytes::from(document)).unwrap();
        if let Ok(value) = program.value(&Input::json(&json).unwrap(), &Vars::default()) {
            prop_assert!(value.bytes().len() <= MAX_SIZE + 64, "{source}");
            prop_assert!(check_depth(value.bytes()).is_ok(), "{source}");
        }
        prop_assert!(MAX_DEPTH <= super::work::MAX_LIVE_DEPTH);
    }
}
