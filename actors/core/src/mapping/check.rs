//! The walk over a program: it refuses, rewrites, and notes what is called.
//!
//! What may never end (`def`, `while`, a wide `range`) or depends on more than the input (`env`, `now`) is refused
//! when the program is compiled. What is harmless in itself but not with hostile data is led through
//! [`super::native`]: products and interpolated strings are bounded, and what yields many values counts its steps.
//! The standard library goes the same way, without the refusals.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::load::span;
use jaq_core::ops::Math;
use jaq_core::path::Part;

use super::error::{CompileError, Place};
use super::functions;
use super::library::Signature;
use super::native::{MULTIPLY, STEP, TEXT};
use super::plan::literal;
use super::tree::children;

/// The most values a `range` may yield.
const MAX_RANGE: f64 = 10_000.0;
/// Holds the right side of `*=`. Not to be written in a program.
const FACTOR: &str = "$!factor";

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
    let mut walk = Walk { source: Some(source), findings: Findings::default() };
    walk.term(term)?;
    Ok(walk.findings)
}

/// Rewrites a definition of the standard library; returns what it calls.
pub(super) fn definition(body: &mut Term<&'static str>) -> Vec<Signature<'static>> {
    let mut walk = Walk { source: None, findings: Findings::default() };
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
    source: Option<&'s str>,
    findings: Findings,
}

impl<'s> Walk<'s> {
    fn term(&mut self, term: &mut Term<&'s str>) -> Result<(), CompileError> {
        if let Some(source) = self.source {
            self.check(source, term)?;
        }
        children(term, &mut |child| self.term(child))?;
        self.rewrite(term);
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
        Ok(())
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
            self.findings.regexes.push(Regex { pattern, flags, offset: span(source, name).start });
        }
        Ok(())
    }

    /// Leads what could be turned against us through our own functions. What is below is rewritten already.
    fn rewrite(&self, term: &mut Term<&'s str>) {
        if let Term::BinOp(left, BinaryOp::Math(Math::Mul), right) = term {
            *term = Term::Call(MULTIPLY, vec![std::mem::take(&mut **left), std::mem::take(&mut **right)]);
        } else if let Term::BinOp(left, BinaryOp::UpdateMath(Math::Mul), right) = term {
            let product = Term::Call(MULTIPLY, vec![Term::Id, Term::Var(FACTOR)]);
            let update = Term::BinOp(std::mem::take(left), BinaryOp::Update, Box::new(product));
            let bind = BinaryOp::Pipe(Some(Pattern::Var(FACTOR)));
            *term = Term::BinOp(std::mem::take(right), bind, Box::new(update));
        } else if let Term::Str(None, parts) = term {
            for part in parts {
                if let StrPart::Term(inner) = part {
                    *inner = piped(std::mem::take(inner), TEXT);
                }
            }
        } else if let Term::Arr(Some(inner)) = term {
            uncount(inner);
        } else if self.yields_many(term) {
            *term = piped(std::mem::take(term), STEP);
        }
    }

    fn yields_many(&self, term: &Term<&'s str>) -> bool {
        if let Term::Path(_, path) = term {
            return path.0.iter().any(|(part, _)| matches!(part, Part::Range(None, None)));
        }
        // The library's own commas are few, and some are tail calls.
        matches!(term, Term::Recurse)
            || (self.source.is_some() && matches!(term, Term::BinOp(_, BinaryOp::Comma, _)))
    }
}

/// The items of `[a, b, c]` are no steps: they are as many as are written.
fn uncount(term: &mut Term<&str>) {
    let Term::BinOp(items, BinaryOp::Pipe(None), step) = term else { return };
    let is_step = matches!(**step, Term::Call(STEP, _));
    if is_step && matches!(**items, Term::BinOp(_, BinaryOp::Comma, _)) {
        *term = std::mem::take(&mut **items);
        if let Term::BinOp(left, _, right) = term {
            uncount(left);
            uncount(right);
        }
    }
}

fn piped<'s>(term: Term<&'s str>, name: &'static str) -> Term<&'s str> {
    Term::BinOp(Box::new(term), BinaryOp::Pipe(None), Box::new(Term::Call(name, Vec::new())))
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
