//! Leads what could be turned against us through our own functions.
//!
//! A term comes here once what is below it is rewritten. Where jaq goes through, copies or sorts a value, the value
//! passes a function first that pays for it; where values are yielded, each passes one that counts; operators become
//! functions that know bounds. The standard library goes the same way as programs do.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Opt, Part, Path};

use super::functions::{Effort, effort};
use super::native::{
    ADD, DEEP, DIVIDE, KEY, MEASURE, MULTIPLY, NAME, ROUND, SEARCH, SHALLOW, STEP, SUBTRACT, TAME, TEXT,
    TOUCH, comparison,
};
use super::tree::children;
use super::work::{MAX_LIVE_DEPTH, MAX_LOOPS};

/// Holds the right side of `*=`. Not to be written in a program.
const OPERAND: &str = "$!operand";

/// Rewrites the terms of one program or definition.
pub(super) struct Rewriter {
    /// Whether it is a program: its own commas and loops count.
    pub(super) program: bool,
    /// The loops met so far.
    pub(super) loops: usize,
}

impl Rewriter {
    /// Rewrites one term. What is below is rewritten already.
    pub(super) fn term(&mut self, term: &mut Term<&str>) {
        match term {
            Term::BinOp(..) => self.operation(term),
            Term::Str(None, parts) => {
                for part in parts {
                    if let StrPart::Term(inner) = part {
                        *inner = then(std::mem::take(inner), call(TEXT));
                    }
                }
            }
            Term::Arr(Some(inner)) => uncount(inner),
            Term::Call(name, arguments) => match effort(name, arguments.len()) {
                Effort::Small => {}
                Effort::Shallow => *term = then(call(SHALLOW), std::mem::take(term)),
                Effort::Deep => *term = then(call(DEEP), std::mem::take(term)),
                Effort::Keyed => {
                    for key in arguments {
                        *key = then(std::mem::take(key), call(DEEP));
                    }
                    *term = then(call(SHALLOW), std::mem::take(term));
                }
            },
            Term::Path(head, path) => {
                let path = std::mem::replace(path, Path(Vec::new()));
                *term = through(std::mem::take(head), path);
            }
            Term::Obj(entries) => {
                for (key, value) in entries {
                    if value.is_some() && !is_scalar(key) {
                        *key = then(std::mem::take(key), call(NAME));
                    }
                }
            }
            // What `catch` is given quotes values, of any size.
            Term::TryCatch(tried, _) => **tried = Term::Call(TAME, vec![std::mem::take(&mut **tried)]),
            Term::Recurse => *term = then(std::mem::take(term), call(STEP)),
            Term::Fold(_, _, _, arguments) if self.program => {
                let number = self.loops;
                self.loops += 1;
                if let Some(body) = arguments.get_mut(1) {
                    let growth = body_growth(body);
                    let told = Term::Call(ROUND, vec![Term::Num(digits(number)), Term::Num(growth)]);
                    *body = then(std::mem::take(body), told);
                }
            }
            Term::Id
            | Term::Num(_)
            | Term::Str(Some(_), _)
            | Term::Arr(None)
            | Term::Neg(_)
            | Term::Label(..)
            | Term::Break(_)
            | Term::Fold(..)
            | Term::IfThenElse(..)
            | Term::Def(..)
            | Term::Var(_) => {}
        }
    }

    fn operation(&mut self, term: &mut Term<&str>) {
        let Term::BinOp(left, operator, right) = term else { return };
        let binary = match operator {
            BinaryOp::Math(operator) => calculation(*operator),
            BinaryOp::Cmp(operator) if !is_scalar(left) && !is_scalar(right) => Some(comparison(*operator)),
            BinaryOp::UpdateMath(operator) => {
                if let Some(name) = calculation(*operator) {
                    let result = Term::Call(name, vec![Term::Id, Term::Var(OPERAND)]);
                    let update = Term::BinOp(std::mem::take(left), BinaryOp::Update, Box::new(result));
                    let bind = BinaryOp::Pipe(Some(Pattern::Var(OPERAND)));
                    let update = then(call(TOUCH), update);
                    *term = Term::BinOp(std::mem::take(right), bind, Box::new(update));
                } else {
                    *term = then(call(TOUCH), std::mem::take(term));
                }
                return;
            }
            BinaryOp::Update if goes_everywhere(left) => {
                let update = then(call(TOUCH), std::mem::take(term));
                *term = then(update, call(MEASURE));
                return;
            }
            BinaryOp::Update | BinaryOp::Assign | BinaryOp::UpdateAlt => {
                *term = then(call(TOUCH), std::mem::take(term));
                return;
            }
            // The library's own commas are few, and some are tail calls.
            BinaryOp::Comma if self.program => {
                *term = then(std::mem::take(term), call(STEP));
                return;
            }
            BinaryOp::Cmp(_)
            | BinaryOp::Comma
            | BinaryOp::Pipe(_)
            | BinaryOp::Alt
            | BinaryOp::Or
            | BinaryOp::And => None,
        };
        if let Some(name) = binary {
            *term = Term::Call(name, vec![std::mem::take(&mut **left), std::mem::take(&mut **right)]);
        }
    }
}

/// Lets a value pass what pays for a search.
pub(super) fn searched<'s>(states: &'static str, search: Term<&'s str>) -> Term<&'s str> {
    then(Term::Call(SEARCH, vec![Term::Num(states)]), search)
}

const fn calculation(operator: Math) -> Option<&'static str> {
    match operator {
        Math::Add => Some(ADD),
        Math::Sub => Some(SUBTRACT),
        Math::Mul => Some(MULTIPLY),
        Math::Div => Some(DIVIDE),
        Math::Rem => None,
    }
}

/// Whether comparing with it is no work.
fn is_scalar(term: &Term<&str>) -> bool {
    match term {
        Term::Num(_) => true,
        Term::Str(_, parts) => !parts.iter().any(|part| matches!(part, StrPart::Term(_))),
        Term::Arr(None) => true,
        Term::Obj(entries) => entries.is_empty(),
        Term::Call("null" | "true" | "false", arguments) => arguments.is_empty(),
        Term::Id
        | Term::Recurse
        | Term::Arr(Some(_))
        | Term::Neg(_)
        | Term::BinOp(..)
        | Term::Label(..)
        | Term::Break(_)
        | Term::Fold(..)
        | Term::TryCatch(..)
        | Term::IfThenElse(..)
        | Term::Def(..)
        | Term::Call(..)
        | Term::Var(_)
        | Term::Path(..) => false,
    }
}

/// Whether it may be a path to every value: then an update may double a value's depth.
fn goes_everywhere(path: &mut Term<&str>) -> bool {
    let mut everywhere = false;
    visit(path, &mut |term| {
        everywhere |= matches!(term, Term::Recurse | Term::Call("recurse" | "getpath", _))
    });
    everywhere
}

/// Pays before elements are gone through, counts after, and keeps searches out of indices.
fn through<'s>(mut head: Term<&'s str>, path: Path<Term<&'s str>>) -> Term<&'s str> {
    let mut parts: Vec<(Part<Term<&'s str>>, Opt)> = Vec::new();
    let mut counts = false;
    for (part, optional) in path.0 {
        let part = match part {
            Part::Index(index) if !is_scalar(&index) => Part::Index(then(index, call(KEY))),
            Part::Index(index) => Part::Index(index),
            Part::Range(from, to) => {
                counts |= from.is_none() && to.is_none();
                if !parts.is_empty() {
                    head = Term::Path(Box::new(head), Path(std::mem::take(&mut parts)));
                }
                head = then(head, call(SHALLOW));
                Part::Range(from, to)
            }
        };
        parts.push((part, optional));
    }
    let path = Term::Path(Box::new(head), Path(parts));
    if counts { then(path, call(STEP)) } else { path }
}

/// How much deeper a loop's body may build in one round, as digits: every term that may wrap its input counts, and
/// what may do more than that is measured every time.
fn body_growth(body: &mut Term<&str>) -> &'static str {
    let mut growth = 0_usize;
    visit(body, &mut |term| match term {
        Term::Arr(Some(_)) | Term::Obj(_) => growth += 1,
        Term::BinOp(path, BinaryOp::Update | BinaryOp::Assign | BinaryOp::UpdateAlt, _) => {
            visit(path, &mut |term| {
                if let Term::Path(_, path) = term {
                    growth += path.0.len();
                }
            });
        }
        Term::Call(name, arguments) => match *name {
            "setpath" | "walk" | "map_values" | "with_entries" | "del" | "delpaths" | "pick" => {
                growth += MAX_LIVE_DEPTH;
            }
            name if name.starts_with('!') => {}
            _ => growth += 2 + 2 * arguments.len(),
        },
        Term::Fold(..) => growth += MAX_LIVE_DEPTH,
        Term::Id
        | Term::Recurse
        | Term::Num(_)
        | Term::Str(..)
        | Term::Arr(None)
        | Term::Neg(_)
        | Term::BinOp(..)
        | Term::Label(..)
        | Term::Break(_)
        | Term::TryCatch(..)
        | Term::IfThenElse(..)
        | Term::Def(..)
        | Term::Var(_)
        | Term::Path(..) => {}
    });
    match growth {
        0 => "0",
        1..=4 => "4",
        5..=16 => "16",
        17..=64 => "64",
        _ => "256",
    }
}

/// Calls `look` with a term and all below it.
fn visit(term: &mut Term<&str>, look: &mut dyn FnMut(&mut Term<&str>)) {
    look(term);
    // Nothing fails here.
    let _ = children(term, &mut |child| {
        visit(child, look);
        Ok(())
    });
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

fn call<'s>(name: &'static str) -> Term<&'s str> {
    Term::Call(name, Vec::new())
}

fn then<'s>(first: Term<&'s str>, second: Term<&'s str>) -> Term<&'s str> {
    Term::BinOp(Box::new(first), BinaryOp::Pipe(None), Box::new(second))
}

/// A loop's number in digits; a program with more loops is refused.
fn digits(number: usize) -> &'static str {
    const DIGITS: [&str; MAX_LOOPS] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17",
        "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33", "34",
        "35", "36", "37", "38", "39", "40", "41", "42", "43", "44", "45", "46", "47", "48", "49", "50", "51",
        "52", "53", "54", "55", "56", "57", "58", "59", "60", "61", "62", "63",
    ];
    DIGITS.get(number).copied().unwrap_or("63")
}
