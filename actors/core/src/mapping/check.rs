//! The walk over a program: it refuses, rewrites, and notes what is called.
//!
//! What may never end (`def`, `while`, a wide `range`) or depends on more than the input (`env`, `now`) is refused
//! when the program is compiled. What is harmless in itself but not with hostile data is led through our own
//! functions by [`super::rewrite`]. The standard library goes the same way, without the refusals.

use jaq_core::load::parse::Term;
use jaq_core::load::span;

use super::error::{CompileError, Place};
use super::functions;
use super::library::Signature;
use super::plan::literal;
use super::regex;
use super::rewrite::{Rewriter, searched};
use super::tree::children;
use super::work::MAX_LOOPS;

/// The most values a `range` may yield.
const MAX_RANGE: f64 = 10_000.0;

/// A regular expression in a program.
pub(super) struct Regex {
    pub(super) pattern: String,
    pub(super) flags: String,
    /// Where the function stands that uses it.
    pub(super) offset: usize,
}

/// What is learnt on the way.
#[derive(Default)]
pub(super) struct Findings {
    /// The messages of `error("…")`.
    pub(super) messages: Vec<String>,
    pub(super) regexes: Vec<Regex>,
}

/// Checks and rewrites a program.
pub(super) fn program<'s>(source: &'s str, term: &mut Term<&'s str>) -> Result<Findings, CompileError> {
    let mut walk = Walk::of(Some(source));
    walk.term(term)?;
    Ok(walk.findings)
}

/// Rewrites a definition of the standard library; returns what it calls.
pub(super) fn definition(body: &mut Term<&'static str>) -> Vec<Signature<'static>> {
    let mut walk = Walk::of(None);
    // Nothing is refused without a source.
    let _ = walk.term(body);
    calls(body)
}

/// The functions a term calls itself. Takes it mutably only because going through a tree does; it stays as it is.
pub(super) fn calls<'s>(term: &mut Term<&'s str>) -> Vec<Signature<'s>> {
    let mut called = Vec::new();
    collect(term, &mut called);
    called
}

fn collect<'s>(term: &mut Term<&'s str>, called: &mut Vec<Signature<'s>>) {
    if let Term::Call(name, arguments) = term {
        called.push((name, arguments.len()));
    } else if let Term::Str(Some(format), _) = term {
        called.push((format, 0));
    }
    // Nothing fails here.
    let _ = children(term, &mut |child| {
        collect(child, called);
        Ok(())
    });
}

struct Walk<'s> {
    /// The program; none for the standard library.
    source: Option<&'s str>,
    findings: Findings,
    rewriter: Rewriter,
    loops: usize,
}

impl<'s> Walk<'s> {
    fn of(source: Option<&'s str>) -> Self {
        let rewriter = Rewriter { program: source.is_some(), loops: 0 };
        Self { source, findings: Findings::default(), rewriter, loops: 0 }
    }
}

impl<'s> Walk<'s> {
    fn term(&mut self, term: &mut Term<&'s str>) -> Result<(), CompileError> {
        if let Some(source) = self.source {
            self.check(source, term)?;
        }
        children(term, &mut |child| self.term(child))?;
        let states = self.states_of(term);
        self.rewriter.term(term);
        if let Some(states) = states {
            *term = searched(states, std::mem::take(term));
        }
        Ok(())
    }

    fn check(&mut self, source: &'s str, term: &Term<&'s str>) -> Result<(), CompileError> {
        if let Term::Def(defs, _) = term {
            let name = defs.first().map_or("", |def| def.name);
            let message = "`def` is not allowed, as recursion may never end: write the expression out";
            return Err(refused(source, name, message.to_owned()));
        }
        if let Term::Call(name, arguments) = term {
            return self.check_call(source, name, arguments);
        }
        if let Term::Str(Some(format), _) = term {
            return self.check_call(source, format, &[]);
        }
        if let Term::Fold(name, ..) = term {
            self.loops += 1;
            if self.loops > MAX_LOOPS {
                let message =
                    format!("more than {MAX_LOOPS} `reduce` and `foreach`: split it over several steps");
                return Err(refused(source, name, message));
            }
        }
        Ok(())
    }

    /// If it searches by a regular expression: how many states that has, in tiers.
    fn states_of(&self, term: &Term<&str>) -> Option<&'static str> {
        self.source?;
        let Term::Call(name, arguments) = term else { return None };
        functions::regex_flags(name, arguments.len())?;
        let pattern = arguments.first().and_then(literal)?;
        Some(regex::tier(regex::states(&pattern)))
    }

    fn check_call(
        &mut self,
        source: &'s str,
        name: &'s str,
        arguments: &[Term<&'s str>],
    ) -> Result<(), CompileError> {
        functions::allow(name, arguments.len()).map_err(|message| refused(source, name, message))?;
        if name == "range" && !is_short_range(arguments) {
            let message = format!(
                "`range` takes plain numbers only and yields at most {MAX_RANGE} values: write them out, or go \
                 through data with `.[]` or `to_entries`"
            );
            return Err(refused(source, name, message));
        }
        if let ("error", [message]) = (name, arguments) {
            self.findings.messages.extend(literal(message));
        }
        if let Some(flags) = functions::regex_flags(name, arguments.len()) {
            let pattern = arguments.first().and_then(literal);
            let flags = arguments.get(flags).map_or(Some(String::new()), literal);
            let (Some(pattern), Some(flags)) = (pattern, flags) else {
                let message = format!(
                    "`{name}` takes a regular expression that stands in the program: put it in plain quotes, or \
                     compare with data by `contains`, `startswith` or `split`"
                );
                return Err(refused(source, name, message));
            };
            if regex::states(&pattern) > regex::MAX_STATES {
                let message = format!(
                    "`{name}` takes a regular expression of at most {} states, counted with its repetitions: make it \
                     simpler",
                    regex::MAX_STATES
                );
                return Err(refused(source, name, message));
            }
            self.findings.regexes.push(Regex { pattern, flags, offset: span(source, name).start });
        }
        Ok(())
    }
}

fn refused(source: &str, at: &str, message: String) -> CompileError {
    CompileError { message, place: Some(Place::at(source, span(source, at).start)) }
}

fn is_short_range(arguments: &[Term<&str>]) -> bool {
    let numbers: Option<Vec<f64>> = arguments.iter().map(number).collect();
    match numbers.as_deref() {
        Some([to]) => *to <= MAX_RANGE,
        Some([from, to]) => to - from <= MAX_RANGE,
        Some([from, to, by]) => (to - from) / by <= MAX_RANGE,
        Some(_) | None => false,
    }
}

fn number(term: &Term<&str>) -> Option<f64> {
    if let Term::Neg(inner) = term {
        return number(inner).map(|number| -number);
    }
    let Term::Num(digits) = term else { return None };
    digits.parse().ok()
}
