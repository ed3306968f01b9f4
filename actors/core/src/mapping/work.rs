//! What an evaluation may cost: values yielded, and work done on large ones.
//!
//! jaq cannot be interrupted within one of its functions, and a harmless program may be turned against us by what it
//! is fed: `.items[] | select($all | contains([.]))` costs the square of the payload. So whatever costs more than a
//! glance is paid for here *before* it is done, from one purse for the whole evaluation: [`MAX_STEPS`] for values
//! that are yielded, [`MAX_WORK`] for elements and bytes that are gone through or copied. What cannot pay fails, and
//! stays failed even if the program catches the error.

use std::cell::{Cell, RefCell};

use jaq_core::data::HasLut;
use jaq_core::{Error, Exn, Lut};
use jaq_json::Val;

use super::native::Engine;

/// How many values `.[]`, `..`, `range` and `,` may yield in one evaluation: what keeps nested ones from never
/// ending.
pub(super) const MAX_STEPS: u32 = 500_000;
/// How many elements, and fours of bytes, one evaluation may go through or copy beyond that.
pub(super) const MAX_WORK: u64 = 20_000_000;
/// How deep a value may nest while a program runs; results are held to less.
pub(super) const MAX_LIVE_DEPTH: usize = 256;
/// How many `reduce` and `foreach` a program may have.
pub(super) const MAX_LOOPS: usize = 64;
/// How many elements of a path an update may pass that is made by a `reduce`: each is a recursion of jaq's.
const MAX_FOLDED_PATHS: u32 = 512;
/// A string's bytes that count as one element.
const BYTES_PER_UNIT: usize = 4;

/// The purse ran out.
pub(super) type Spent = Error<Val>;

/// What is left in one evaluation.
#[derive(Debug)]
pub(super) struct Purse {
    steps: Cell<u32>,
    work: Cell<u64>,
    folded_paths: Cell<u32>,
    /// For each loop of the program: how much deeper its value may have become since that was last measured.
    deepened: RefCell<[u16; MAX_LOOPS]>,
}

impl Default for Purse {
    fn default() -> Self {
        Self {
            steps: Cell::new(MAX_STEPS),
            work: Cell::new(MAX_WORK),
            folded_paths: Cell::new(MAX_FOLDED_PATHS),
            deepened: RefCell::new([0; MAX_LOOPS]),
        }
    }
}

impl Purse {
    /// Whether too many values were yielded.
    pub(super) const fn out_of_steps(&self) -> bool {
        self.steps.get() == 0
    }

    /// Whether too much was gone through.
    pub(super) const fn out_of_work(&self) -> bool {
        self.work.get() == 0
    }

    /// Pays for one value.
    pub(super) fn step(&self) -> Result<(), Spent> {
        let left = self.steps.get().saturating_sub(1);
        self.steps.set(left);
        if left == 0 { Err(Error::str("too many steps")) } else { Ok(()) }
    }

    /// Pays for going through this many elements.
    pub(super) fn pay(&self, units: u64) -> Result<(), Spent> {
        let left = self.work.get().saturating_sub(units);
        self.work.set(left);
        if left == 0 { Err(Error::str("too much work")) } else { Ok(()) }
    }

    /// Pays for a string's bytes.
    pub(super) fn pay_bytes(&self, bytes: usize) -> Result<(), Spent> {
        self.pay(1 + units(bytes / BYTES_PER_UNIT))
    }

    /// Pays for a value's elements, not for what is in them.
    pub(super) fn pay_shallow(&self, value: &Val) -> Result<(), Spent> {
        match value {
            Val::Arr(items) => self.pay(1 + units(items.len())),
            Val::Obj(members) => self.pay(1 + units(2 * members.len())),
            Val::TStr(text) | Val::BStr(text) => self.pay_bytes(text.len()),
            Val::Null | Val::Bool(_) | Val::Num(_) => Ok(()),
        }
    }

    /// Pays `times` for all there is in a value. What is shared counts each time it is met, as jaq meets it.
    pub(super) fn pay_deep(&self, value: &Val, times: u64) -> Result<(), Spent> {
        match value {
            Val::Arr(items) => {
                self.pay(times)?;
                items.iter().try_for_each(|item| self.pay_deep(item, times))
            }
            Val::Obj(members) => {
                self.pay(times)?;
                members.iter().try_for_each(|(key, member)| {
                    self.pay_deep(key, times)?;
                    self.pay_deep(member, times)
                })
            }
            Val::TStr(text) | Val::BStr(text) => self.pay(times * (1 + units(text.len() / BYTES_PER_UNIT))),
            Val::Null | Val::Bool(_) | Val::Num(_) => self.pay(times),
        }
    }

    /// Tells that a loop's value went round, and may have become deeper by `growth`; measured before that can be
    /// more than jaq's recursion stands.
    pub(super) fn went_round(&self, number: usize, growth: u16, value: &Val) -> Result<(), Spent> {
        let mut loops = self.deepened.borrow_mut();
        let Some(deepened) = loops.get_mut(number) else { return Ok(()) };
        *deepened = deepened.saturating_add(growth);
        if usize::from(*deepened) < MAX_LIVE_DEPTH {
            return Ok(());
        }
        *deepened = 0;
        self.measure(value)
    }

    /// Fails if a value nests too deep.
    pub(super) fn measure(&self, value: &Val) -> Result<(), Spent> {
        let mut seen = 0;
        let fits = is_no_deeper(value, MAX_LIVE_DEPTH, &mut seen, self.work.get());
        self.pay(seen / 8)?;
        if fits { Ok(()) } else { Err(Error::str("nested deeper than a program may build")) }
    }

    /// Pays for one element of a path made by a `reduce`.
    pub(super) fn fold_path(&self) -> Result<(), Spent> {
        let left = self.folded_paths.get().saturating_sub(1);
        self.folded_paths.set(left);
        if left == 0 { Err(Error::str("an update needs a shorter path")) } else { Ok(()) }
    }
}

/// Stops at what is too deep, or when it has seen `most`.
fn is_no_deeper(value: &Val, levels: usize, seen: &mut u64, most: u64) -> bool {
    *seen += 1;
    if *seen > most {
        return true;
    }
    match value {
        Val::Arr(items) => levels > 0 && items.iter().all(|item| is_no_deeper(item, levels - 1, seen, most)),
        Val::Obj(members) => {
            levels > 0 && members.values().all(|member| is_no_deeper(member, levels - 1, seen, most))
        }
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) => true,
    }
}

fn units(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// What one evaluation carries along.
pub(super) struct Scope<'a> {
    lut: &'a Lut<Engine>,
    pub(super) purse: &'a Purse,
}

impl<'a> Scope<'a> {
    pub(super) const fn new(lut: &'a Lut<Engine>, purse: &'a Purse) -> Self {
        Self { lut, purse }
    }
}

impl<'a> HasLut<'a, Engine> for &'a Scope<'a> {
    fn lut(&self) -> &'a Lut<Engine> {
        self.lut
    }
}

/// An error as functions of jaq give it.
pub(super) fn raise<'a, T>(result: Result<T, Spent>) -> Result<T, Exn<'a, Val>> {
    result.map_err(Exn::from)
}
