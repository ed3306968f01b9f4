//! The functions that a payload could otherwise turn against us.
//!
//! jaq's own `fromjson` recurses without a bound, `*` repeats a string as often as the payload says, `+` doubles one
//! as often as a loop goes round, and its printer writes text that is no JSON. These stand in for them and pay for
//! what they do ([`super::work`]); names that begin with `!` cannot be written in a program and are put in by
//! [`super::rewrite`].

use std::cmp::Ordering;

use jaq_core::box_iter::box_once;
use jaq_core::data::DataT;
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::ops::Cmp;
use jaq_core::{Bind, Cv, Error, Exn, Native, ValR, ValXs};
use jaq_json::{Num, Val};
use jaq_std::ValT as _;

use super::error;
use super::work::{MAX_LIVE_DEPTH, Purse, Scope, raise};
use super::{read, write};

/// The longest string that `*` may make, in bytes.
const MAX_REPEATED: f64 = 4_194_304.0;
/// The largest integer that calculating may make, in bits.
const MAX_INTEGER_BITS: u64 = 4096;

/// `.[]` and its like pass their values through this.
pub(super) const STEP: &str = "!step";
/// Pays for the elements of what passes.
pub(super) const SHALLOW: &str = "!shallow";
/// Pays several times for all there is in what passes: it is sorted.
pub(super) const DEEP: &str = "!deep";
/// Pays for what an update copies.
pub(super) const TOUCH: &str = "!touch";
/// Pays for a search with a regular expression of so many states.
pub(super) const SEARCH: &str = "!search";
/// What goes round in a loop passes through this: the loop's number, and how much deeper its body may build.
pub(super) const ROUND: &str = "!round";
/// Fails if what passes nests too deep.
pub(super) const MEASURE: &str = "!measure";
/// Fails unless what passes is a path of bearable length.
pub(super) const PATH: &str = "bounded_path";
/// Fails if what passes is an array: `.[array]` is a search.
pub(super) const KEY: &str = "!key";
/// Fails unless what passes is a string.
pub(super) const NAME: &str = "!name";
/// Shortens the errors of what it runs: they quote values.
pub(super) const TAME: &str = "!tame";
/// What `+` becomes.
pub(super) const ADD: &str = "!add";
/// What `-` becomes.
pub(super) const SUBTRACT: &str = "!subtract";
/// What `*` becomes.
pub(super) const MULTIPLY: &str = "!multiply";
/// What `/` becomes.
pub(super) const DIVIDE: &str = "!divide";
/// What `\(…)` in a string becomes.
pub(super) const TEXT: &str = "!text";

/// What a comparison becomes.
pub(super) const fn comparison(operator: Cmp) -> &'static str {
    match operator {
        Cmp::Lt => "!lt",
        Cmp::Le => "!le",
        Cmp::Gt => "!gt",
        Cmp::Ge => "!ge",
        Cmp::Eq => "!eq",
        Cmp::Ne => "!ne",
    }
}

/// Tells jaq which values programs work on, and what they carry along.
pub(super) struct Engine;

impl DataT for Engine {
    type V<'a> = Val;
    type Data<'a> = &'a Scope<'a>;
}

/// The functions that stand before jaq's own.
pub(super) fn funs() -> impl Iterator<Item = Fun<Engine>> {
    passing().into_iter().chain(calculating()).chain(texts())
}

/// A function that lets its input pass, in paths and updates too, once `$check` has looked at it.
macro_rules! pass {
    ($name:expr, $check:expr) => {
        (
            $name,
            v(0),
            Native::new(|cv: Cv<'_, Engine>| {
                let check: fn(&Purse, &Val) -> Result<(), Error<Val>> = $check;
                box_once(raise(check(cv.0.data().purse, &cv.1)).map(|()| cv.1))
            })
            .with_paths(|cv| {
                let check: fn(&Purse, &Val) -> Result<(), Error<Val>> = $check;
                box_once(raise(check(cv.0.data().purse, &cv.1.0)).map(|()| cv.1))
            })
            .with_update(|cv, update| {
                let check: fn(&Purse, &Val) -> Result<(), Error<Val>> = $check;
                match check(cv.0.data().purse, &cv.1) {
                    Ok(()) => update(cv.1),
                    Err(error) => box_once(Err(Exn::from(error))),
                }
            }),
        )
    };
}

fn passing() -> Vec<Fun<Engine>> {
    let round: Fun<Engine> = (
        ROUND,
        v(2),
        Native::new(|cv: Cv<'_, Engine>| {
            let (purse, number, growth, value) = round_of(cv);
            box_once(raise(purse.went_round(number, growth, &value)).map(|()| value))
        })
        .with_paths(|mut cv| {
            // A value within another is no deeper.
            let _ = (cv.0.pop_var(), cv.0.pop_var());
            box_once(Ok(cv.1))
        })
        .with_update(|cv, update| {
            let (purse, _, _, value) = round_of(cv);
            match purse.fold_path() {
                Ok(()) => update(value),
                Err(error) => box_once(Err(Exn::from(error))),
            }
        }),
    );
    vec![
        pass!(STEP, |purse, _| purse.step()),
        pass!(SHALLOW, |purse, value| purse.pay_shallow(value)),
        pass!(DEEP, |purse, value| purse.pay_deep(value, 5)),
        pass!(TOUCH, |purse, value| if is_shared(value) { purse.pay_shallow(value) } else { purse.pay(1) }),
        pass!(MEASURE, Purse::measure),
        pass!(KEY, |_, value| match value {
            Val::Arr(_) => Err(Error::str("an index is a string or a number; search with `indices`")),
            // `{start, end}`, as paths of slices have it.
            Val::Obj(bounds) if !bounds.values().all(|bound| matches!(bound, Val::Null | Val::Num(_))) => {
                Err(Error::str("an index is a string or a number"))
            }
            Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) | Val::Obj(_) => Ok(()),
        }),
        pass!(NAME, |_, value| match value {
            Val::TStr(_) => Ok(()),
            Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) =>
                Err(Error::str("the key of an object is a string; convert it with `tostring`")),
        }),
        (
            TAME,
            [Bind::Fun(())].into(),
            Native::new(|mut cv: Cv<'_, Engine>| {
                let (tried, context) = cv.0.pop_fun();
                Box::new(tried.run((context, cv.1)).map(|value| value.map_err(tamed)))
            })
            .with_paths(|mut cv| {
                let (tried, context) = cv.0.pop_fun();
                Box::new(tried.paths((context, cv.1)).map(|value| value.map_err(tamed)))
            }),
        ),
        pass!(PATH, |_, value| match value {
            Val::Arr(keys) if keys.len() > MAX_LIVE_DEPTH => Err(Error::str("a path is too long")),
            Val::Null
            | Val::Bool(_)
            | Val::Num(_)
            | Val::BStr(_)
            | Val::TStr(_)
            | Val::Arr(_)
            | Val::Obj(_) => Ok(()),
        }),
        round,
    ]
}

fn round_of<'a>(mut cv: Cv<'a, Engine>) -> (&'a Purse, usize, u16, Val) {
    let growth = cv.0.pop_var().as_isize().and_then(|growth| u16::try_from(growth).ok());
    let number = cv.0.pop_var().as_isize().and_then(|number| usize::try_from(number).ok());
    (cv.0.data().purse, number.unwrap_or(0), growth.unwrap_or(u16::MAX), cv.1)
}

/// An error that quotes no more than a glance of its values; others are what `error` was given.
fn tamed(exception: Exn<'_, Val>) -> Exn<'_, Val> {
    exception.get_err().map_or_else(|other| other, |error| Exn::from(error::shortened(error)))
}

/// Whether changing it copies it.
fn is_shared(value: &Val) -> bool {
    match value {
        Val::Arr(items) => jaq_json::Rc::strong_count(items) > 1,
        Val::Obj(members) => jaq_json::Rc::strong_count(members) > 1,
        Val::TStr(_) | Val::BStr(_) => true,
        Val::Null | Val::Bool(_) | Val::Num(_) => false,
    }
}

/// A function of two values.
macro_rules! binary {
    ($name:expr, $function:expr) => {
        run::<Engine>(($name, v(2), |cv| {
            let (purse, left, right) = operands(cv);
            let function: fn(&Purse, Val, Val) -> ValR<Val> = $function;
            bome(function(purse, left, right))
        }))
    };
}

/// The input is let go of, so that what nobody else holds is changed in place.
fn operands<'a>(mut cv: Cv<'a, Engine>) -> (&'a Purse, Val, Val) {
    let right = cv.0.pop_var();
    let left = cv.0.pop_var();
    (cv.0.data().purse, left, right)
}

fn calculating() -> Vec<Fun<Engine>> {
    vec![
        binary!(ADD, add),
        binary!(SUBTRACT, subtract),
        binary!(MULTIPLY, multiply),
        binary!(DIVIDE, divide),
        binary!("!lt", |purse, left, right| compared(purse, Cmp::Lt, &left, &right)),
        binary!("!le", |purse, left, right| compared(purse, Cmp::Le, &left, &right)),
        binary!("!gt", |purse, left, right| compared(purse, Cmp::Gt, &left, &right)),
        binary!("!ge", |purse, left, right| compared(purse, Cmp::Ge, &left, &right)),
        binary!("!eq", |purse, left, right| compared(purse, Cmp::Eq, &left, &right)),
        binary!("!ne", |purse, left, right| compared(purse, Cmp::Ne, &left, &right)),
        run::<Engine>(("range", v(3), range)),
        run::<Engine>(("contains", v(1), |mut cv| {
            let part = cv.0.pop_var();
            bome(contains(cv.0.data().purse, &cv.1, &part).map(Val::Bool))
        })),
        run::<Engine>(("indices", v(1), |mut cv| {
            let part = cv.0.pop_var();
            bome(indices(cv.0.data().purse, &cv.1, &part))
        })),
    ]
}

fn texts() -> Vec<Fun<Engine>> {
    vec![
        run::<Engine>((TEXT, v(0), |cv| bome(text(cv.0.data().purse, cv.1)))),
        run::<Engine>(("tojson", v(0), |cv| bome(printed(cv.0.data().purse, &cv.1)))),
        run::<Engine>(("fromjson", v(0), |cv| bome(from_json(cv.0.data().purse, cv.1)))),
        run::<Engine>((SEARCH, v(1), |mut cv| {
            let states = cv.0.pop_var().as_isize().and_then(|states| u64::try_from(states).ok());
            let length = cv.1.as_bytes().map_or(0, <[u8]>::len);
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            // What it costs to compile it, which jaq does each time, and every state at every byte.
            let cost = states.unwrap_or(u64::MAX).saturating_mul(4 + length / 16).saturating_add(200);
            bome(cv.0.data().purse.pay(cost).map(|()| cv.1))
        })),
    ]
}

/// Pays for what `+` copies: nothing of the left side where nobody else holds it.
fn add(purse: &Purse, left: Val, right: Val) -> ValR<Val> {
    match (&left, &right) {
        (Val::Num(left), Val::Num(right)) => bounded(left, right)?,
        (Val::Arr(_), Val::Arr(_)) | (Val::Obj(_), Val::Obj(_)) => {
            if is_shared(&left) {
                purse.pay_shallow(&left)?;
            }
            purse.pay_shallow(&right)?;
        }
        (Val::TStr(left) | Val::BStr(left), Val::TStr(right) | Val::BStr(right)) => {
            purse.pay_bytes(right.len())?;
            if !left.is_unique() {
                purse.pay_bytes(left.len())?;
            }
        }
        _ => {}
    }
    left + right
}

fn subtract(purse: &Purse, left: Val, right: Val) -> ValR<Val> {
    match (&left, &right) {
        (Val::Num(left), Val::Num(right)) => bounded(left, right)?,
        (Val::Arr(_), Val::Arr(_)) => {
            purse.pay_deep(&left, 5)?;
            purse.pay_deep(&right, 5)?;
        }
        _ => {}
    }
    left - right
}

/// Sums and differences of integers gain at most one bit.
fn bounded(left: &Num, right: &Num) -> Result<(), Error<Val>> {
    if bits(left).max(bits(right)) > MAX_INTEGER_BITS {
        return Err(Error::str("the sum is too large"));
    }
    Ok(())
}

fn multiply(purse: &Purse, left: Val, right: Val) -> ValR<Val> {
    let too_large = match (&left, &right) {
        (Val::TStr(text) | Val::BStr(text), Val::Num(times))
        | (Val::Num(times), Val::TStr(text) | Val::BStr(text)) => {
            #[expect(clippy::cast_precision_loss, reason = "compared with a bound far below 2^53")]
            let length = text.len() as f64;
            let product = Val::Num(times.clone()).as_f64().unwrap_or(f64::INFINITY) * length;
            if product <= MAX_REPEATED {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is within bounds"
                )]
                purse.pay_bytes(product.max(0.0) as usize)?;
            }
            product > MAX_REPEATED
        }
        (Val::Num(left), Val::Num(right)) => bits(left) + bits(right) > MAX_INTEGER_BITS,
        (Val::Obj(_), Val::Obj(_)) => {
            if is_shared(&left) {
                purse.pay_shallow(&left)?;
            }
            purse.pay_deep(&right, 1)?;
            false
        }
        _ => false,
    };
    if too_large { Err(Error::str("the product is too large")) } else { left * right }
}

fn bits(number: &Num) -> u64 {
    match number {
        Num::BigInt(integer) => integer.bits(),
        Num::Int(_) | Num::Float(_) | Num::Dec(_) => 64,
    }
}

/// A string is split by this.
fn divide(purse: &Purse, left: Val, right: Val) -> ValR<Val> {
    if let Val::TStr(text) | Val::BStr(text) = &left {
        purse.pay(1 + 2 * u64::try_from(text.len()).unwrap_or(u64::MAX / 4))?;
    }
    left / right
}

fn compared(purse: &Purse, operator: Cmp, left: &Val, right: &Val) -> ValR<Val> {
    compare(purse, operator, left, right).map(Val::Bool)
}

/// Compares, having paid for what both have in common.
pub(super) fn compare(purse: &Purse, operator: Cmp, left: &Val, right: &Val) -> Result<bool, Error<Val>> {
    pay_both(purse, left, right)?;
    Ok(operator.run(left, right))
}

fn pay_both(purse: &Purse, left: &Val, right: &Val) -> Result<(), Error<Val>> {
    match (left, right) {
        (Val::Arr(left), Val::Arr(right)) => {
            purse.pay(1)?;
            left.iter().zip(right.iter()).try_for_each(|(left, right)| pay_both(purse, left, right))
        }
        // Keys are sorted, and members hashed.
        (Val::Obj(lefts), Val::Obj(rights)) if !lefts.is_empty() && !rights.is_empty() => {
            purse.pay_deep(left, 5)?;
            purse.pay_deep(right, 5)
        }
        (Val::TStr(left) | Val::BStr(left), Val::TStr(right) | Val::BStr(right)) => {
            purse.pay_bytes(left.len().min(right.len()))
        }
        _ => purse.pay(1),
    }
}

/// As jaq has it: a text in a text, each item in some item, each member in the member of its name, or the same.
fn contains(purse: &Purse, whole: &Val, part: &Val) -> Result<bool, Error<Val>> {
    purse.pay(1)?;
    match (whole, part) {
        (Val::TStr(_), Val::TStr(_)) | (Val::BStr(_), Val::BStr(_)) => {
            purse.pay_shallow(whole)?;
            purse.pay_shallow(part)?;
            let (Some(whole), Some(part)) = (whole.as_bytes(), part.as_bytes()) else { return Ok(false) };
            Ok(bstr_contains(whole, part))
        }
        (Val::Arr(whole), Val::Arr(part)) => {
            for part in part.iter() {
                let mut found = false;
                for whole in whole.iter() {
                    found = contains(purse, whole, part)?;
                    if found {
                        break;
                    }
                }
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Val::Obj(whole), Val::Obj(part)) => {
            for (key, part) in part.iter() {
                let Some(whole) = whole.get(key) else { return Ok(false) };
                if !contains(purse, whole, part)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => compare(purse, Cmp::Eq, whole, part),
    }
}

fn bstr_contains(whole: &[u8], part: &[u8]) -> bool {
    match (std::str::from_utf8(whole), std::str::from_utf8(part)) {
        // Linear, unlike going through windows.
        (Ok(whole), Ok(part)) => whole.contains(part),
        _ => part.is_empty() || whole.windows(part.len()).any(|window| window == part),
    }
}

/// Where a part stands in a string (in characters) or an array.
fn indices(purse: &Purse, whole: &Val, part: &Val) -> ValR<Val> {
    match (whole, part) {
        (Val::TStr(whole), Val::TStr(part)) => {
            if part.is_empty() {
                return Ok(Val::from_iter([]));
            }
            let windows = u64::try_from(whole.len()).unwrap_or(u64::MAX);
            purse.pay(windows.saturating_mul(1 + u64::try_from(part.len() / 64).unwrap_or(u64::MAX)))?;
            let text = String::from_utf8_lossy(whole);
            let starts = text.char_indices().enumerate();
            let found = starts.filter(|(_, (at, _))| text.as_bytes()[*at..].starts_with(part));
            Ok(found.map(|(index, _)| Val::from(index)).collect())
        }
        (Val::Arr(_), Val::Arr(part)) if part.is_empty() => Ok(Val::from_iter([])),
        (Val::Arr(whole), Val::Arr(part)) => {
            let mut found = Vec::new();
            for (index, window) in whole.windows(part.len()).enumerate() {
                let mut same = true;
                for (left, right) in window.iter().zip(part.iter()) {
                    purse.pay(1)?;
                    same = compare(purse, Cmp::Eq, left, right)?;
                    if !same {
                        break;
                    }
                }
                if same {
                    found.push(Val::from(index));
                }
            }
            Ok(found.into_iter().collect())
        }
        (Val::Arr(whole), part) => {
            let mut found = Vec::new();
            for (index, item) in whole.iter().enumerate() {
                purse.pay(1)?;
                if compare(purse, Cmp::Eq, item, part)? {
                    found.push(Val::from(index));
                }
            }
            Ok(found.into_iter().collect())
        }
        _ => Err(Error::index(whole.clone(), part.clone())),
    }
}

fn text(purse: &Purse, value: Val) -> ValR<Val> {
    match value {
        Val::TStr(_) | Val::BStr(_) => purse.pay_shallow(&value).map(|()| value),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::Arr(_) | Val::Obj(_) => printed(purse, &value),
    }
}

fn printed(purse: &Purse, value: &Val) -> ValR<Val> {
    let text = write::json(value).map_err(Error::str)?;
    purse.pay_bytes(text.len())?;
    Ok(Val::utf8_str(text))
}

fn from_json(purse: &Purse, value: Val) -> ValR<Val> {
    let Val::TStr(text) = &value else {
        return Err(Error::typ(value, "string"));
    };
    purse.pay(1 + u64::try_from(text.len() / 4).unwrap_or(u64::MAX))?;
    read::document(text).map_err(Error::str)
}

/// Counts up or down; every value is a step. A step width of zero yields nothing.
fn range(mut cv: Cv<'_, Engine>) -> ValXs<'_, Val> {
    let by = cv.0.pop_var();
    let to = cv.0.pop_var();
    let from = cv.0.pop_var();
    let scope = *cv.0.data();
    let direction = by.cmp(&Val::from(0_usize));
    let mut next = Some(from);
    Box::new(std::iter::from_fn(move || {
        let here = next.take()?;
        let inside = match direction {
            Ordering::Greater => here < to,
            Ordering::Less => here > to,
            Ordering::Equal => false,
        };
        if !inside {
            return None;
        }
        if let Err(error) = scope.purse.step() {
            return Some(Err(Exn::from(error)));
        }
        match here.clone() + by.clone() {
            Ok(sum) => next = Some(sum),
            Err(error) => return Some(Err(Exn::from(error))),
        }
        Some(Ok(here))
    }))
}
