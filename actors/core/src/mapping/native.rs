//! What a program runs in: a budget of steps, and the functions that a payload could otherwise turn against us.
//!
//! jaq's own `fromjson` recurses without a bound, `*` repeats a string as often as the payload says, and its
//! printer writes text that is no JSON. These stand in for them; names that begin with `!` cannot be written in a
//! program and are put in by [`super::check`].

use std::cell::Cell;
use std::cmp::Ordering;

use jaq_core::box_iter::box_once;
use jaq_core::data::{DataT, HasLut};
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Cv, Error, Exn, Lut, Native, ValR, ValXs};
use jaq_json::{Num, Val};
use jaq_std::ValT as _;

use super::{read, write};

/// How many values `.[]`, `..`, `range` and `,` may yield in one evaluation: what keeps nested ones from never
/// ending.
pub(super) const MAX_STEPS: u32 = 500_000;
/// The longest string that `*` may make, in bytes.
const MAX_REPEATED: f64 = 4_194_304.0;
/// The largest integer that `*` may make, in bits.
const MAX_INTEGER_BITS: u64 = 4096;

/// `.[]` and its like pass their values through this.
pub(super) const STEP: &str = "!step";
/// What `*` becomes.
pub(super) const MULTIPLY: &str = "!multiply";
/// What `\(…)` in a string becomes.
pub(super) const TEXT: &str = "!text";

/// Tells jaq which values programs work on, and what they carry along.
pub(super) struct Engine;

impl DataT for Engine {
    type V<'a> = Val;
    type Data<'a> = &'a Scope<'a>;
}

/// What one evaluation carries along.
pub(super) struct Scope<'a> {
    lut: &'a Lut<Engine>,
    /// How many are left.
    steps: &'a Cell<u32>,
}

impl<'a> Scope<'a> {
    pub(super) const fn new(lut: &'a Lut<Engine>, steps: &'a Cell<u32>) -> Self {
        Self { lut, steps }
    }

    fn step(&self) -> Result<(), Exn<'static, Val>> {
        let left = self.steps.get().saturating_sub(1);
        self.steps.set(left);
        if left == 0 { Err(Exn::from(Error::str("too many steps"))) } else { Ok(()) }
    }
}

impl<'a> HasLut<'a, Engine> for &'a Scope<'a> {
    fn lut(&self) -> &'a Lut<Engine> {
        self.lut
    }
}

/// The functions that stand before jaq's own.
pub(super) fn funs() -> impl Iterator<Item = Fun<Engine>> {
    let step: Fun<Engine> = (
        STEP,
        v(0),
        Native::new(|cv: Cv<'_, Engine>| box_once(cv.0.data().step().map(|()| cv.1)))
            .with_paths(|cv| box_once(cv.0.data().step().map(|()| cv.1)))
            .with_update(|cv, update| match cv.0.data().step() {
                Ok(()) => update(cv.1),
                Err(error) => box_once(Err(error)),
            }),
    );
    let others = [
        run::<Engine>((MULTIPLY, v(2), multiply)),
        run::<Engine>((TEXT, v(0), |cv| bome(text(cv.1)))),
        run::<Engine>(("tojson", v(0), |cv| bome(write::json(&cv.1).map(Val::utf8_str).map_err(Error::str)))),
        run::<Engine>(("fromjson", v(0), |cv| bome(from_json(cv.1)))),
        run::<Engine>(("range", v(3), range)),
    ];
    std::iter::once(step).chain(others)
}

fn multiply(mut cv: Cv<'_, Engine>) -> ValXs<'_, Val> {
    let right = cv.0.pop_var();
    let left = cv.0.pop_var();
    bome(bounded_product(left, right))
}

fn bounded_product(left: Val, right: Val) -> ValR<Val> {
    let too_large = match (&left, &right) {
        (Val::TStr(text) | Val::BStr(text), Val::Num(times))
        | (Val::Num(times), Val::TStr(text) | Val::BStr(text)) => {
            #[expect(clippy::cast_precision_loss, reason = "compared with a bound far below 2^53")]
            let length = text.len() as f64;
            Val::Num(times.clone()).as_f64().unwrap_or(f64::INFINITY) * length > MAX_REPEATED
        }
        (Val::Num(left), Val::Num(right)) => bits(left) + bits(right) > MAX_INTEGER_BITS,
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

fn text(value: Val) -> ValR<Val> {
    match value {
        Val::TStr(_) | Val::BStr(_) => Ok(value),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::Arr(_) | Val::Obj(_) => {
            write::json(&value).map(Val::utf8_str).map_err(Error::str)
        }
    }
}

fn from_json(value: Val) -> ValR<Val> {
    let Val::TStr(text) = &value else {
        return Err(Error::typ(value, "string"));
    };
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
        if let Err(error) = scope.step() {
            return Some(Err(error));
        }
        match here.clone() + by.clone() {
            Ok(sum) => next = Some(sum),
            Err(error) => return Some(Err(Exn::from(error))),
        }
        Some(Ok(here))
    }))
}
