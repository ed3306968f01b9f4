//! Payload mapping: jq programs, compiled once and run on what travels through.
//!
//! A program is checked and compiled when the configuration is read ([`Program::compile`]), shared by reference, and
//! run on an [`Input`] that is prepared once and may serve several programs: the response of a call is parsed once
//! for its classification, its mapping and its expectations. Every use takes exactly one value.
//!
//! Programs come from the configuration, data from strangers. So a program can neither look out of its input nor run
//! on without end (functions are on a list, values yielded are counted), results are bounded in depth and size, and
//! failures tell the program and the kind of the fault but never what was mapped.
//!
//! Numbers keep what they say as long as they are only passed on: an integer of any length, `1.10`, `1e400`.
//! Calculating is exact for integers and floating-point for everything else (`.price * 100` of `19.99` is
//! `1998.9999999999998`: use `round`), and a float without a fraction is printed as an integer.
//!
//! The parts, in the order a program passes through them: `check` with `functions` and `tree` (may it be?),
//! `plan` (how is it carried out?), `library` (what does that need?), `native` (what does it run in?); then `read`,
//! `input`, `write`, `request`, `error`.

#[cfg(test)]
mod bounds;
mod check;
mod error;
mod functions;
mod helpers;
mod input;
mod library;
mod native;
mod plan;
mod read;
mod regex;
mod request;
mod rewrite;
mod tree;
mod work;
mod write;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use jaq_core::ValT as _;
use jaq_core::compile::Undefined;
use jaq_core::load::lex::{Lexer, StrPart, Tok, Token};
use jaq_core::load::parse::{BinaryOp, Parser, Term};
use jaq_core::load::{Arena, span};
use jaq_json::Val;

pub use error::{CompileError, Fault, MappingError, Place};
pub use input::{Input, RunView, StepView, Vars};
pub use request::RequestParts;

use crate::json::Json;
use plan::{Node, Stopped};

/// The longest program, in bytes.
pub const MAX_PROGRAM: usize = 16 << 10;
/// How deep brackets may nest in a program.
const MAX_BRACKETS: usize = 64;
/// How many expressions may stand within or after each other: what compiling and running recurse over.
const MAX_NESTING: usize = 400;

/// What a program is for, which decides the global variables it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Makes a request of a step's input; has `$run` and `$idempotency_key`.
    Request,
    /// Reads a response: mapping, classification, expectation.
    Response,
    /// Makes a step's input of the run so far.
    Step,
    /// Makes an operation's result of its steps.
    Outcome,
}

impl Kind {
    const fn globals(self) -> &'static [&'static str] {
        match self {
            Self::Request => &["$run", "$idempotency_key"],
            Self::Response | Self::Step | Self::Outcome => &[],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Step => "input",
            Self::Outcome => "result",
        })
    }
}

/// A compiled program, cheap to clone.
#[derive(Clone)]
pub struct Program(Arc<Compiled>);

struct Compiled {
    kind: Kind,
    source: Box<str>,
    plan: Node,
    /// What it may say of itself in `error("…")`.
    messages: Vec<String>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.source()).finish()
    }
}

impl Program {
    /// Checks and compiles a program.
    ///
    /// # Errors
    /// [`CompileError`] if it is too long, not well-formed, uses what does not exist or is not allowed, or holds a
    /// regular expression that is none; with its place wherever that can be told.
    pub fn compile(kind: Kind, source: &str) -> Result<Self, CompileError> {
        let mut term = parse(source)?;
        let findings = check::program(source, &mut term)?;
        for regex in &findings.regexes {
            check_regex(source, regex)?;
        }
        let arena = Arena::default();
        let plan = Node::plan(&arena, &term, kind.globals())
            .map_err(|unknown| unknown_name(kind, source, unknown))?;
        let messages = findings.messages;
        Ok(Self(Arc::new(Compiled { kind, source: source.into(), plan, messages })))
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The value it yields.
    ///
    /// # Errors
    /// [`MappingError`] if it fails, does not yield exactly one value, or one that is too deep, too large or not
    /// JSON.
    pub fn value(&self, input: &Input, vars: &Vars) -> Result<Json, MappingError> {
        let value = self.run(input, vars)?;
        request::document(&value).map_err(|fault| self.failed(fault))
    }

    /// Whether it yields something else than `false` and `null`.
    ///
    /// # Errors
    /// [`MappingError`] if it fails or does not yield exactly one value.
    pub fn truth(&self, input: &Input) -> Result<bool, MappingError> {
        Ok(self.run(input, &Vars::default())?.as_bool())
    }

    /// The text it yields, numbers and booleans as printed; nothing for `null`.
    ///
    /// # Errors
    /// [`MappingError`] if it fails, does not yield exactly one value, or a list or object.
    pub fn text(&self, input: &Input) -> Result<Option<String>, MappingError> {
        let value = self.run(input, &Vars::default())?;
        if matches!(value, Val::Null) {
            return Ok(None);
        }
        let found = || error::kind_of(&value).to_owned();
        let unfit = || Fault::Form { found: found(), expected: "a string, number, boolean or null" };
        request::scalar(&value).map(Some).ok_or_else(|| self.failed(unfit()))
    }

    /// The parts of a request, from the `{path, query, headers, body}` it yields.
    ///
    /// # Errors
    /// [`MappingError`] if it fails, does not yield exactly one such object, has other keys, or values that cannot
    /// stand where they are.
    pub fn request(&self, input: &Input, vars: &Vars) -> Result<RequestParts, MappingError> {
        let value = self.run(input, vars)?;
        request::parts(&value, self.source()).map_err(|fault| self.failed(fault))
    }

    fn run(&self, input: &Input, vars: &Vars) -> Result<Val, MappingError> {
        let globals = match self.0.kind {
            Kind::Request => vec![vars.run.clone(), vars.idempotency_key.clone()],
            Kind::Response | Kind::Step | Kind::Outcome => Vec::new(),
        };
        // The library sorts by comparisons that mixed numbers can contradict, which makes sorting panic; one such
        // payload must not end the task that carries an attempt.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.0.plan.run(&input.0, &globals)));
        let outcome = outcome.unwrap_or(Err(Stopped::Panicked));
        outcome.map_err(|stopped| self.failed(fault(stopped, &self.0.messages)))
    }

    fn failed(&self, fault: Fault) -> MappingError {
        MappingError::Program { kind: self.0.kind, program: error::shown(self.source()), fault }
    }
}

fn fault(stopped: Stopped, messages: &[String]) -> Fault {
    match stopped {
        Stopped::NoValue => Fault::NoValue,
        Stopped::ManyValues => Fault::ManyValues,
        Stopped::TooManySteps => Fault::TooManySteps,
        Stopped::TooMuchWork => Fault::TooMuchWork,
        Stopped::Raised(error) => error::raised(error, messages),
        Stopped::Panicked => Fault::Panicked,
    }
}

fn parse(source: &str) -> Result<Term<&str>, CompileError> {
    let at = |offset| Some(Place::at(source, offset));
    if source.len() > MAX_PROGRAM {
        let message = format!("a program is at most {MAX_PROGRAM} bytes long: split it over several steps");
        return Err(CompileError { message, place: None });
    }
    if let Some(offset) = too_deep(source) {
        let message = format!("brackets nest deeper than {MAX_BRACKETS}: make it simpler");
        return Err(CompileError { message, place: at(offset) });
    }
    let tokens = Lexer::new(source).lex().map_err(|errors| {
        let first = errors.into_iter().next();
        let (expected, offset) =
            first.map_or(("a token", 0), |(expected, rest)| (expected.as_str(), span(source, rest).start));
        CompileError { message: format!("not a jq program: {expected} expected"), place: at(offset) }
    })?;
    if weight(&tokens) > MAX_NESTING {
        let message =
            format!("more than {MAX_NESTING} expressions stand within or after each other: make it shorter");
        return Err(CompileError { message, place: None });
    }
    Parser::new(&tokens).parse(|parser| parser.term()).map_err(|errors| {
        let Some((expected, found)) = errors.into_iter().next() else {
            return CompileError { message: "not a jq program".to_owned(), place: None };
        };
        let found = Token::opt_as_str(found, source);
        let instead =
            if found.is_empty() { "it ends".to_owned() } else { format!("`{}` stands", error::shown(found)) };
        let message = format!("not a jq program: {} expected where {instead}", expected.as_str());
        CompileError { message, place: at(span(source, found).start) }
    })
}

/// Where brackets nest too deep for the recursion that reads them. Those in strings count as well: `\(…)` nests.
fn too_deep(source: &str) -> Option<usize> {
    let mut depth = 0_usize;
    source.bytes().position(|byte| {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_BRACKETS
    })
}

/// An upper bound for how deep the tree of these tokens becomes, without building it: the separators, and the most
/// that stands between two of them.
fn weight(tokens: &[Token<&str>]) -> usize {
    let (mut separators, mut heaviest, mut within, mut inner) = (0, 0, 0, 0);
    for token in tokens {
        match &token.1 {
            Tok::Sym if matches!(token.0, "," | ";" | "|") => {
                separators += 1;
                heaviest = heaviest.max(within + inner);
                (within, inner) = (0, 0);
            }
            Tok::Block(block) => inner = inner.max(1 + weight(block)),
            Tok::Str(parts) => {
                within += parts.len();
                let terms = parts.iter().filter_map(|part| match part {
                    StrPart::Term(term) => Some(weight(std::slice::from_ref(term))),
                    StrPart::Str(_) | StrPart::Char(_) => None,
                });
                inner = inner.max(terms.max().unwrap_or(0));
            }
            Tok::Sym | Tok::Word | Tok::Var | Tok::Fmt | Tok::Num => within += 1,
        }
    }
    separators + heaviest.max(within + inner)
}

/// Runs a regular expression on nothing, so that a wrong one is found before the first payload.
fn check_regex(source: &str, regex: &check::Regex) -> Result<(), CompileError> {
    let string = |text: &'static str| Term::Str(None, vec![StrPart::Str(text)]);
    let variable = |name| Term::Var(name);
    let call = Term::Call("test", vec![variable("$pattern"), variable("$flags")]);
    let term = Term::BinOp(Box::new(string("")), BinaryOp::Pipe(None), Box::new(call));
    let globals = [&regex.pattern, &regex.flags].map(|text| Val::from(text.clone()));
    let arena = Arena::default();
    let plan = Node::plan(&arena, &term, &["$pattern", "$flags"]);
    let sound = plan.is_ok_and(|plan| plan.run(&Val::Null, &globals).is_ok());
    if sound {
        return Ok(());
    }
    let message =
        "the regular expression or its flags are not valid (look-around and back references are not known)";
    Err(CompileError { message: message.to_owned(), place: Some(Place::at(source, regex.offset)) })
}

fn unknown_name(kind: Kind, source: &str, unknown: Option<library::Unknown<'_>>) -> CompileError {
    let Some((name, what)) = unknown else {
        return CompileError { message: "the program does not compile".to_owned(), place: None };
    };
    let message = if matches!(what, Undefined::Var) {
        match kind.globals() {
            [] => format!("there is no variable `{name}`: a {kind} program has none but its own"),
            globals => {
                format!("there is no variable `{name}`: a {kind} program has {}", globals.join(" and "))
            }
        }
    } else {
        format!("there is no {} `{name}`", what.as_str())
    };
    let within = source.as_bytes().as_ptr_range().contains(&name.as_ptr());
    CompileError { message, place: within.then(|| Place::at(source, span(source, name).start)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderMap;

    use crate::failure::{ErrorClass, Failure};
    use crate::name::StepName;

    fn program(source: &str) -> Program {
        Program::compile(Kind::Response, source).unwrap_or_else(|error| panic!("{source}: {error}"))
    }

    fn refusal(source: &str) -> String {
        Program::compile(Kind::Response, source).expect_err(source).to_string()
    }

    fn input(text: &str) -> Input {
        Input::json(&json(text)).unwrap()
    }

    fn json(text: &str) -> Json {
        Json::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn value(source: &str, document: &str) -> Result<String, String> {
        let value = program(source).value(&input(document), &Vars::default());
        value.map(|json| json.as_str().to_owned()).map_err(|error| error.to_string())
    }

    const RUN: RunView<'_> =
        RunView { id: "run_1", correlation_id: "order-17", operation: "payments.charge" };

    #[test]
    fn programs_are_shared_between_threads() {
        fn shared<T: Clone + Send + Sync>(_: &T) {}
        shared(&program(".a"));
        assert_eq!(format!("{:?}", program(".a")), "Program(\".a\")");
    }

    #[test]
    fn jq_works_as_jq_does() {
        for (source, document, expected) in [
            (".a", r#"{"a":{"b":1}}"#, r#"{"b":1}"#),
            (
                "{id: .body.id, n: (.items | length)}",
                r#"{"body":{"id":"x"},"items":[1,2]}"#,
                r#"{"id":"x","n":2}"#,
            ),
            ("[.[] | select(.ok) | .n * 2]", r#"[{"ok":true,"n":4},{"n":5}]"#, "[8]"),
            (".a //= 3 | .b *= 2 | .c |= ascii_upcase", r#"{"b":4,"c":"eur"}"#, r#"{"b":8,"c":"EUR","a":3}"#),
            ("\"\\(.a)-\\(.b / 4)-\\(.c)\"", r#"{"a":"x","b":8,"c":[1.10]}"#, r#""x-2-[1.10]""#),
            ("map_values(. + 1) | to_entries", r#"{"a":1}"#, r#"[{"key":"a","value":2}]"#),
            ("map_values(empty)", r#"{"a":1}"#, "{}"),
            ("[.. | numbers]", "[1,[2,{\"a\":3}]]", "[1,2,3]"),
            ("walk(if type == \"number\" then . + 1 else . end)", "[1,[2]]", "[2,[3]]"),
            ("del(.a, .b[0])", r#"{"a":1,"b":[1,2],"c":3}"#, r#"{"c":3,"b":[2]}"#),
            ("[paths]", r#"{"a":[5]}"#, r#"[["a"],["a",0]]"#),
            ("[limit(2; .[])], first(.[] | select(. > 1)) | tojson", "[1,2,3]", "several"),
            ("reduce .[] as {n: $n} (0; . + $n)", r#"[{"n":1},{"n":2}]"#, "3"),
            ("[foreach .[] as $x (0; . + $x; [$x, .])]", "[1,2]", "[[1,1],[2,3]]"),
            ("[range(3)], [range(4; 0; -2)] | length", "null", "several"),
            ("[range(4; 0; -2)]", "null", "[4,2]"),
            (
                "group_by(.k) | map({(.[0].k): map(.v)}) | add",
                r#"[{"k":"a","v":1},{"k":"a","v":2}]"#,
                r#"{"a":[1,2]}"#,
            ),
            (".when | fromdate | todate", r#"{"when":"2026-01-02T03:04:05Z"}"#, r#""2026-01-02T03:04:05Z""#),
            ("\"12.50\" | tonumber", "null", "12.50"),
            (". as [$a, {b: $b}] | $a + $b", r#"[1,{"b":2}]"#, "3"),
            ("try error(\"x\") catch .", "null", "\"x\""),
            ("label $out | .[] | if . > 1 then ., break $out else empty end", "[1,2,3]", "2"),
            ("[.[] | test(\"^a+$\"; \"i\")]", r#"["AA","b"]"#, "[true,false]"),
            ("gsub(\"(?<d>[0-9])\"; \"<\\(.d)>\")", "\"a1\"", "\"a<1>\""),
            ("@base64 \"a\\(.)b\"", "\"x\"", "\"aeA==b\""),
            ("transpose", "[[1,2],[3]]", "[[1,3],[2,null]]"),
        ] {
            if expected == "several" {
                assert!(value(source, document).unwrap_err().contains("more than one value"), "{source}");
            } else {
                assert_eq!(value(source, document).as_deref(), Ok(expected), "{source}");
            }
        }
    }

    #[test]
    fn numbers_pass_through_unmangled() {
        let document =
            r#"{"big":9007199254740993,"huge":123456789012345678901234567890,"price":1.10,"tiny":1e-400}"#;
        assert_eq!(value(".", document).as_deref(), Ok(document));
        assert_eq!(
            value("{p: .price, h: (.huge + 1)}", document).unwrap(),
            r#"{"p":1.10,"h":123456789012345678901234567891}"#
        );
        assert_eq!(value(".price | tostring", document).as_deref(), Ok("\"1.10\""));
        assert_eq!(value(".price * 10", document).as_deref(), Ok("11"));
    }

    #[test]
    fn refusals_name_the_function_and_what_to_do() {
        for (source, parts) in [
            ("env.PATH", &["`env`", "[auth]", "line 1 column 1"][..]),
            ("$ENV", &["`$ENV`", "a response program has none"]),
            (".a |\n  halt", &["`halt`", "line 2 column 3"]),
            ("[inputs]", &["`inputs`", "`.`"]),
            ("debug", &["`debug`"]),
            ("now", &["`now`", "from the input"]),
            ("localtime", &["`localtime`"]),
            ("def f: 1 + f; f", &["`def`", "write the expression out"]),
            ("recurse(.[]?)", &["`recurse`", "`..`"]),
            ("[.[] | while(true; .)]", &["`while`", "limit"]),
            ("until(false; .)", &["`until`"]),
            ("repeat(.)", &["`repeat`"]),
            ("range(.n)", &["`range`", "plain numbers"]),
            ("[range(0; 10001)]", &["`range`", "10000"]),
            ("range(0; 1; 0)", &["`range`"]),
            ("combinations", &["`combinations`"]),
            ("test(.pattern)", &["`test`", "contains"]),
            ("test(\"(\")", &["regular expression", "line 1 column 1"]),
            ("test(\"a\"; \"q\")", &["regular expression"]),
            ("nonsense(1)", &["no function `nonsense`"]),
            ("map", &["`map` takes 1 arguments, not 0"]),
            ("$x", &["no variable `$x`"]),
            ("break $x", &["no label"]),
            ("include \"a\"; .", &["`a`"][..0]),
            ("__main", &["no function"]),
            ("a::b", &["no function"]),
            ("if .a then 1", &["not a jq program", "else or end"]),
            (".a |", &["not a jq program", "it ends", "column 5"]),
            ("\"abc", &["closing quote"]),
            ("{a: 1}}", &["not a jq program"]),
            ("", &["not a jq program"]),
        ] {
            let message = refusal(source);
            for part in parts {
                assert!(message.contains(part), "{source}: {message}");
            }
        }
    }

    #[test]
    fn variables_belong_to_the_kind() {
        let source = "{headers: {\"X-Run\": $run.id, \"Idempotency-Key\": $idempotency_key}}";
        let request = Program::compile(Kind::Request, source).unwrap();
        let parts = request.request(&input("null"), &Vars::request(&RUN, Some("k-1"))).unwrap();
        let expected =
            [("X-Run", "run_1"), ("Idempotency-Key", "k-1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(parts.headers, expected);
        assert!(request.request(&input("null"), &Vars::request(&RUN, None)).unwrap().headers.len() == 1);
        for kind in [Kind::Response, Kind::Step, Kind::Outcome] {
            let error = Program::compile(kind, "$run.id").unwrap_err();
            assert!(error.message.contains("no variable `$run`"), "{error}");
            assert_eq!(error.place, Some(Place { offset: 0, line: 1, column: 1 }));
        }
        let error = Program::compile(Kind::Request, "$connection").unwrap_err();
        assert!(error.message.contains("$run and $idempotency_key"), "{error}");
    }

    #[test]
    fn very_long_and_deep_programs_are_refused_not_crashed() {
        let long = |unit: &str| unit.repeat(MAX_PROGRAM / unit.len());
        for source in [
            long("("),
            long("["),
            long("\"\\("),
            format!("1{}", "|1".repeat(8_000)),
            format!("1{}", "+1".repeat(8_000)),
            format!("1{}", " as $x|1".repeat(2_000)),
            format!(".{}", ".a".repeat(8_000)),
            long("-"),
            long("if "),
            long("try "),
            long("reduce "),
            long("label $x|"),
            "1".repeat(MAX_PROGRAM + 1),
        ] {
            assert!(Program::compile(Kind::Response, &source).is_err(), "{}", &source[..20]);
        }
        let just = |unit: &str, by: usize| format!("1{}", unit.repeat(by));
        for source in [
            just("|1", 390),
            just("+1", 190),
            just("|-1", 390),
            just(" as $x|1", 390),
            just("|first(1)", 390),
        ] {
            assert!(value(&source, "1").is_ok(), "{}", &source[..20]);
        }
    }

    #[test]
    fn exactly_one_value_is_taken() {
        assert!(value("empty", "1").unwrap_err().contains("yields no value"));
        assert!(value(".[]", "[1,2]").unwrap_err().contains("more than one"));
        assert!(program("1, error(\"x\")").truth(&input("1")).is_err());
        assert_eq!(value(".[]", "[1]").as_deref(), Ok("1"));
    }

    #[test]
    fn failures_never_quote_data() {
        let document =
            r#"{"s":"4111111111111111","o":{"k":"hunter2"},"a":["hunter2"],"n":4111111111111111,"t":true}"#;
        for (source, told) in [
            (".s.x", "a string cannot be indexed with a string"),
            (".o[0:1]", "an object cannot be used as rangeable"),
            (".s | keys", "a string cannot be used as iterable"),
            (".o - 1", "cannot calculate with an object and a number"),
            (".s + .a", "cannot calculate with a string and an array"),
            (".o | .[.s]?.x | error", "withheld"),
            (".s | error", "withheld"),
            ("error(\"no \\(.s)\")", "withheld"),
            ("error(\"amount is missing\")", "raised: amount is missing"),
            (".s + \"x\" | tonumber", "not well-formed JSON"),
            (".a | tonumber", "cannot be used as string"),
            (".t | length", "withheld"),
            ("-.s", "a string cannot be used as number"),
            ("(.s | tostring) = 1", "an update needs a path"),
            (".s | @base64d | fromjson", "failed"),
            ("[.n] | implode?", ""),
        ] {
            let Ok(program) = Program::compile(Kind::Response, source) else {
                assert!(told.is_empty(), "{source}");
                continue;
            };
            let error = program.value(&input(document), &Vars::default()).expect_err(source);
            let message = format!("{error} {error:?}");
            assert!(message.contains(told), "{source}: {message}");
            for secret in ["4111", "hunter2"] {
                assert!(!message.contains(secret), "{source}: {message}");
            }
            assert!(message.contains("response program"), "{message}");
        }
    }

    #[test]
    fn hostile_data_meets_bounds() {
        let deep = format!("\"{}\"", "[".repeat(100_000));
        assert!(value("fromjson", &deep).unwrap_err().contains("nested deeper"));
        assert!(value("tonumber? // 0", &deep).is_ok());
        assert!(value(".s * .n", r#"{"s":"x","n":1e15}"#).is_err());
        assert!(value(".s * .n", r#"{"s":"x","n":1000000000000}"#).unwrap_err().contains("too large"));
        assert!(value(".n *= .s", r#"{"s":"x","n":1000000000000}"#).unwrap_err().contains("too large"));
        assert_eq!(value(".s * 3", r#"{"s":"ab"}"#).as_deref(), Ok("\"ababab\""));
        let many = format!("[{}1]", "7,".repeat(200));
        assert!(value("reduce .[] as $x (3; . * .)", &many).unwrap_err().contains("too large"));
        let quadratic = format!("[{}1]", "7,".repeat(2_000));
        assert!(value("[.[] as $a | .[] as $b | 1] | length", &quadratic).unwrap_err().contains("steps"));
        assert!(
            value("try ([.[] as $a | .[] as $b | 1] | length) catch 0", &quadratic)
                .unwrap_err()
                .contains("steps")
        );
        assert!(value("[range(10000) | range(10000)]", "1").unwrap_err().contains("steps"));
        assert!(value("[(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)]", "1").unwrap_err().contains("steps"));
        assert!(value("reduce range(60) as $i (1; [., .])", "1").unwrap_err().contains("larger than"));
        assert!(value("reduce range(60) as $i (1; [., .]) | tostring", "1").is_err());
        assert!(value("reduce range(200) as $i (1; [.])", "1").unwrap_err().contains("nested deeper"));
        assert!(value("nan", "1").unwrap_err().contains("JSON cannot say"));
        assert!(value("{(1 | tostring): infinite}", "1").unwrap_err().contains("JSON cannot say"));
    }

    #[test]
    fn a_panic_of_the_library_is_a_fault() {
        // Its sign cannot be taken away: an overflow, where these are checked.
        let outcome = program("length").text(&input("-9223372036854775808"));
        let panicked = matches!(outcome, Err(MappingError::Program { fault: Fault::Panicked, .. }));
        assert_eq!(panicked, cfg!(debug_assertions), "{outcome:?}");
    }

    #[test]
    fn a_response_is_read_once_for_several_programs() {
        let mut headers = HeaderMap::new();
        headers.append("X-Tag", "a".parse().unwrap());
        headers.append("X-Tag", "b".parse().unwrap());
        headers.append("Content-Type", "application/json".parse().unwrap());
        let body = Bytes::from_static(br#"{"error":{"code":"card_declined","n":3}}"#);
        let input = Input::response(402, &headers, &body);
        assert!(program(".status == 402").truth(&input).unwrap());
        assert!(!program(".body.missing").truth(&input).unwrap());
        assert_eq!(program(".body.error.code").text(&input).unwrap().as_deref(), Some("card_declined"));
        assert_eq!(program(".body.error.n").text(&input).unwrap().as_deref(), Some("3"));
        assert_eq!(program(".body.missing").text(&input).unwrap(), None);
        assert_eq!(program(".headers[\"x-tag\"]").text(&input).unwrap().as_deref(), Some("a, b"));
        let error = program(".body.error").text(&input).unwrap_err().to_string();
        assert!(error.contains("yields an object, where a string"), "{error}");
    }

    #[test]
    fn a_body_that_is_no_json_is_text() {
        let read = |body: &'static [u8]| {
            let input = Input::response(200, &HeaderMap::new(), &Bytes::from_static(body));
            program(".body").value(&input, &Vars::default()).unwrap().as_str().to_owned()
        };
        assert_eq!(read(b""), "null");
        assert_eq!(read(b"<html>"), "\"<html>\"");
        assert_eq!(read(b"{\"a\":1,}"), "\"{\\\"a\\\":1,}\"");
        assert_eq!(read(b"a\xffb"), "\"a\u{fffd}b\"");
        assert_eq!(read(b" {\"a\":1} "), "{\"a\":1}");
    }

    #[test]
    fn a_step_sees_the_run_so_far() {
        let failure = Failure::new(ErrorClass::Client, "card_declined", "declined");
        let steps = [
            (
                StepName::new("charge").unwrap(),
                StepView { status: "succeeded", result: Some(json(r#"{"id":"ch_1"}"#)), error: None },
            ),
            (
                StepName::new("receipt").unwrap(),
                StepView { status: "failed", result: None, error: Some(failure) },
            ),
        ];
        let input = Input::step(&json(r#"{"email":"a"}"#), &RUN, &steps);
        let source = "[.input.email, .run.operation, .steps.charge.result.id, .steps.charge.error, \
                      .steps.receipt.status, .steps.receipt.error.code, .steps.receipt.result]";
        let outcome =
            Program::compile(Kind::Outcome, source).unwrap().value(&input, &Vars::default()).unwrap();
        assert_eq!(outcome.as_str(), r#"["a","payments.charge","ch_1",null,"failed","card_declined",null]"#);
    }

    #[test]
    fn request_parts_are_taken_apart() {
        let source = "{path: {id: .id}, query: {limit: 10, tag: [\"a\", null, true], none: null}, \
                      headers: {\"X-N\": .n}, body: {amount: .n}}";
        let request = |source: &str| {
            let program = Program::compile(Kind::Request, source).unwrap();
            program.request(&input(r#"{"id":"c/1","n":1.50,"evil":"4111"}"#), &Vars::default())
        };
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let parts = request(source).unwrap();
        assert_eq!(parts.path, pairs(&[("id", "c/1")]));
        assert_eq!(parts.query, pairs(&[("limit", "10"), ("tag", "a"), ("tag", "true")]));
        assert_eq!(parts.headers, pairs(&[("X-N", "1.50")]));
        assert_eq!(parts.body.unwrap().as_str(), r#"{"amount":1.50}"#);
        assert_eq!(request("{}").unwrap(), RequestParts::default());
        assert_eq!(request("{body: null}").unwrap().body, Some(Json::NULL));
        for (source, told) in [
            ("{bdy: 1}", "the key `bdy`"),
            ("{(.evil): 1}", "a name made from data"),
            ("[]", "an array"),
            ("{query: [1]}", "an array as `query`"),
            ("{path: {id: null}}", "null for `path`, `id`"),
            ("{headers: {a: [1]}}", "an array for `headers`, `a`"),
            ("{query: {a: {}}}", "an object for `query`, `a`"),
        ] {
            let message = request(source).unwrap_err().to_string();
            assert!(message.contains(told) && !message.contains("4111"), "{source}: {message}");
        }
    }
}
