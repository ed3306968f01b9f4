//! How a program is carried out: plainly where it is plain, by jaq where it is not.
//!
//! Most of what mappings say is `{ id: .body.id, … }`, comparisons, defaults. jaq evaluates these as streams, with
//! dozens of allocations for each path; here they are walked directly, at a tenth of the cost, with jaq's own
//! operations on values, so the meaning is the same. Every other expression is a [`Node::Filter`]: compiled by jaq,
//! with the functions it reaches. What may yield several values or none is always one of those, and only stands
//! where "exactly one" of the whole means "exactly one" of it.

use bytes::Bytes;
use jaq_core::compile::Undefined;
use jaq_core::load::Arena;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Term};
use jaq_core::ops::Cmp;
use jaq_core::path::{Opt, Part};
use jaq_core::{Ctx, Filter, ValT as _, Vars};
use jaq_json::{Map, Val};

use super::check::calls;
use super::library::{self, Unknown};
use super::native::{Engine, compare, comparison};
use super::work::{Purse, Scope};

/// Why an evaluation gave no value.
pub(super) enum Stopped {
    NoValue,
    ManyValues,
    TooManySteps,
    TooMuchWork,
    Raised(jaq_core::Error<Val>),
    Panicked,
}

/// An expression that yields one value.
pub(super) enum Node {
    Input,
    Global(usize),
    Null,
    Bool(bool),
    Integer(isize),
    Decimal(Box<str>),
    Text(Bytes),
    /// `.a.b[0]`
    Path(Box<Node>, Box<[Key]>),
    /// `{a: …, b: …}`
    Object(Box<[(Bytes, Node)]>),
    /// `l | r`
    Pipe(Box<(Node, Node)>),
    /// `l == r`
    Compare(Cmp, Box<(Node, Node)>),
    /// `l and r`, `l or r`: which value of the left decides alone
    Logic(bool, Box<(Node, Node)>),
    /// `l // r`
    Otherwise(Box<(Node, Node)>),
    /// `if c then t else e end`
    If(Box<(Node, Node, Node)>),
    Filter(Filter<Engine>),
}

/// One part of a path.
pub(super) enum Key {
    Name(Bytes),
    Index(isize),
}

/// One evaluation: what is shared by its parts.
struct Run<'a> {
    globals: &'a [Val],
    purse: Purse,
}

impl Node {
    /// Plans a checked and rewritten program. `arena` is jaq's, for imports, and stays empty.
    pub(super) fn plan<'s>(
        arena: &'s Arena,
        term: &Term<&'s str>,
        globals: &[&'static str],
    ) -> Result<Self, Option<Unknown<'s>>> {
        Planner { arena, globals }.part(term)
    }

    /// Evaluates to exactly one value.
    pub(super) fn run(&self, input: &Val, globals: &[Val]) -> Result<Val, Stopped> {
        let run = Run { globals, purse: Purse::default() };
        let value = self.eval(&run, input);
        // Even if the program caught the error.
        if run.purse.out_of_steps() {
            Err(Stopped::TooManySteps)
        } else if run.purse.out_of_work() {
            Err(Stopped::TooMuchWork)
        } else {
            value
        }
    }

    fn eval(&self, run: &Run<'_>, input: &Val) -> Result<Val, Stopped> {
        Ok(match self {
            Self::Input => input.clone(),
            Self::Global(index) => run.globals.get(*index).cloned().unwrap_or_default(),
            Self::Null => Val::Null,
            Self::Bool(truth) => Val::Bool(*truth),
            Self::Integer(integer) => Val::from(*integer),
            Self::Decimal(digits) => Val::from_num(digits).map_err(Stopped::Raised)?,
            Self::Text(text) => Val::utf8_str(text.clone()),
            Self::Path(head, keys) => {
                let start = head.eval(run, input)?;
                keys.iter()
                    .try_fold(start, |value, key| value.index(&key.value()))
                    .map_err(Stopped::Raised)?
            }
            Self::Object(entries) => {
                let mut members = Map::with_capacity_and_hasher(entries.len(), Default::default());
                for (key, node) in entries {
                    members.insert(Val::utf8_str(key.clone()), node.eval(run, input)?);
                }
                Val::obj(members)
            }
            Self::Pipe(sides) => return sides.1.eval(run, &sides.0.eval(run, input)?),
            Self::Compare(operator, sides) => {
                let (left, right) = (sides.0.eval(run, input)?, sides.1.eval(run, input)?);
                Val::Bool(compare(&run.purse, *operator, &left, &right).map_err(Stopped::Raised)?)
            }
            Self::Logic(decisive, sides) => {
                let left = sides.0.eval(run, input)?.as_bool();
                Val::Bool(if left == *decisive { left } else { sides.1.eval(run, input)?.as_bool() })
            }
            Self::Otherwise(sides) => {
                let left = sides.0.eval(run, input)?;
                if left.as_bool() { left } else { sides.1.eval(run, input)? }
            }
            Self::If(parts) => {
                let branch = if parts.0.eval(run, input)?.as_bool() { &parts.1 } else { &parts.2 };
                return branch.eval(run, input);
            }
            Self::Filter(filter) => return run.filter(filter, input),
        })
    }

    /// Whether it yields one value by its form alone.
    fn is_single(&self) -> bool {
        match self {
            Self::Filter(_) => false,
            Self::Path(head, _) => head.is_single(),
            Self::Object(entries) => entries.iter().all(|(_, node)| node.is_single()),
            Self::Pipe(sides) | Self::Compare(_, sides) | Self::Logic(_, sides) | Self::Otherwise(sides) => {
                sides.0.is_single() && sides.1.is_single()
            }
            Self::If(parts) => parts.0.is_single() && parts.1.is_single() && parts.2.is_single(),
            Self::Input
            | Self::Global(_)
            | Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Decimal(_)
            | Self::Text(_) => true,
        }
    }
}

impl Key {
    fn value(&self) -> Val {
        match self {
            Self::Name(name) => Val::utf8_str(name.clone()),
            Self::Index(index) => Val::from(*index),
        }
    }
}

impl Run<'_> {
    fn filter(&self, filter: &Filter<Engine>, input: &Val) -> Result<Val, Stopped> {
        let scope = Scope::new(&filter.lut, &self.purse);
        let context = Ctx::<Engine>::new(&scope, Vars::new(self.globals.iter().cloned()));
        let mut values = filter.id.run((context, input.clone()));
        let first = values.next();
        let second = first.as_ref().is_some_and(Result::is_ok).then(|| values.next()).flatten();
        match (first, second) {
            (None, _) => Err(Stopped::NoValue),
            (Some(Ok(value)), None) => Ok(value),
            (Some(Ok(_)), Some(_)) => Err(Stopped::ManyValues),
            // What is no error is a jump within the library that was not caught there.
            (Some(Err(raised)), _) => Err(raised.get_err().map_or(Stopped::Panicked, Stopped::Raised)),
        }
    }
}

type Planned<'s, T> = Result<T, Option<Unknown<'s>>>;
type Entry<'s> = (Term<&'s str>, Option<Term<&'s str>>);

struct Planner<'s, 'g> {
    arena: &'s Arena,
    globals: &'g [&'static str],
}

impl<'s> Planner<'s, '_> {
    /// Plans a part; what is not plain becomes a filter.
    fn part(&self, term: &Term<&'s str>) -> Planned<'s, Node> {
        if let Some(node) = self.plain(term)? {
            return Ok(node);
        }
        let mut term = term.clone();
        let calls = calls(&mut term);
        library::compile(self.arena, term, &calls, self.globals).map(Node::Filter)
    }

    /// The node for a term that can be walked directly; none if it cannot.
    fn plain(&self, term: &Term<&'s str>) -> Planned<'s, Option<Node>> {
        Ok(match term {
            Term::Id => Some(Node::Input),
            Term::Num(digits) => Some(match digits.parse() {
                Ok(integer) => Node::Integer(integer),
                Err(_) => Node::Decimal((*digits).into()),
            }),
            Term::Str(None, _) => literal(term).map(|text| Node::Text(Bytes::from(text))),
            Term::Call("null", arguments) if arguments.is_empty() => Some(Node::Null),
            Term::Call("true", arguments) if arguments.is_empty() => Some(Node::Bool(true)),
            Term::Call("false", arguments) if arguments.is_empty() => Some(Node::Bool(false)),
            Term::Var(name) => match self.globals.iter().position(|global| global == name) {
                Some(index) => Some(Node::Global(index)),
                None => return Err(Some((name, Undefined::Var))),
            },
            Term::Path(head, path) => {
                let keys: Option<Box<[Key]>> = path.0.iter().map(key).collect();
                let Some(keys) = keys else { return Ok(None) };
                self.single(head)?.map(|head| Node::Path(Box::new(head), keys))
            }
            Term::Obj(entries) => self.object(entries)?,
            Term::BinOp(left, operator, right) => self.operation(left, operator, right)?,
            Term::IfThenElse(branches, otherwise) => {
                let otherwise =
                    otherwise.as_ref().map_or(Ok(Node::Input), |otherwise| self.part(otherwise))?;
                let mut node = otherwise;
                for (condition, then) in branches.iter().rev() {
                    let Some(condition) = self.single(condition)? else { return Ok(None) };
                    node = Node::If(Box::new((condition, self.part(then)?, node)));
                }
                Some(node)
            }
            Term::Recurse
            | Term::Str(Some(_), _)
            | Term::Arr(_)
            | Term::Neg(_)
            | Term::Label(..)
            | Term::Break(_)
            | Term::Fold(..)
            | Term::TryCatch(..)
            | Term::Def(..) => None,
            Term::Call(name, arguments) => match (comparison_of(name), arguments.as_slice()) {
                (Some(operator), [left, right]) => self.operation(left, &BinaryOp::Cmp(operator), right)?,
                _ => None,
            },
        })
    }

    fn single(&self, term: &Term<&'s str>) -> Planned<'s, Option<Node>> {
        Ok(self.plain(term)?.filter(Node::is_single))
    }

    fn operation(
        &self,
        left: &Term<&'s str>,
        operator: &BinaryOp<&'s str>,
        right: &Term<&'s str>,
    ) -> Planned<'s, Option<Node>> {
        if !matches!(
            operator,
            BinaryOp::Pipe(None) | BinaryOp::Alt | BinaryOp::Or | BinaryOp::And | BinaryOp::Cmp(_)
        ) {
            return Ok(None);
        }
        let Some(left) = self.single(left)? else { return Ok(None) };
        let sides = Box::new((left, self.part(right)?));
        Ok(match operator {
            BinaryOp::Pipe(None) => Some(Node::Pipe(sides)),
            BinaryOp::Alt => Some(Node::Otherwise(sides)),
            BinaryOp::Or => Some(Node::Logic(true, sides)),
            BinaryOp::And => Some(Node::Logic(false, sides)),
            BinaryOp::Cmp(operator) => Some(Node::Compare(*operator, sides)),
            BinaryOp::Pipe(Some(_))
            | BinaryOp::Comma
            | BinaryOp::Math(_)
            | BinaryOp::Assign
            | BinaryOp::Update
            | BinaryOp::UpdateMath(_)
            | BinaryOp::UpdateAlt => None,
        })
    }

    fn object(&self, entries: &[Entry<'s>]) -> Planned<'s, Option<Node>> {
        let mut planned = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let variable =
                if let (Term::Var(name), None) = (key, value) { name.strip_prefix('$') } else { None };
            let name = variable.map(str::to_owned).or_else(|| literal(key));
            let Some(name) = name.map(Bytes::from) else { return Ok(None) };
            let node = match (key, value) {
                (_, Some(value)) => self.part(value)?,
                (Term::Var(_), None) => self.part(key)?,
                (_, None) => Node::Path(Box::new(Node::Input), Box::new([Key::Name(name.clone())])),
            };
            planned.push((name, node));
        }
        Ok(Some(Node::Object(planned.into())))
    }
}

/// The comparison that a function stands for.
fn comparison_of(name: &str) -> Option<Cmp> {
    [Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge, Cmp::Eq, Cmp::Ne]
        .into_iter()
        .find(|&operator| comparison(operator) == name)
}

fn key((part, optional): &(Part<Term<&str>>, Opt)) -> Option<Key> {
    let (Part::Index(index), Opt::Essential) = (part, optional) else { return None };
    if let Term::Num(digits) = index {
        return digits.parse().ok().map(Key::Index);
    }
    literal(index).map(|name| Key::Name(Bytes::from(name)))
}

/// A string without `\(…)`.
pub(super) fn literal(term: &Term<&str>) -> Option<String> {
    let Term::Str(None, parts) = term else { return None };
    let mut text = String::new();
    for part in parts {
        match part {
            StrPart::Str(plain) => text.push_str(plain),
            StrPart::Char(character) => text.push(*character),
            StrPart::Term(_) => return None,
        }
    }
    Some(text)
}
