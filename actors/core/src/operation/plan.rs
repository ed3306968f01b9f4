//! What an operation does: its steps, whom they call, what waits for what.
//!
//! [`Steps`] can only be built of steps that can all start some day: names are unique, and nothing waits for itself, be
//! it round a ring of others.

use std::sync::Arc;
use std::time::Duration;

use crate::classify::Safety;
use crate::idempotency::{Resend, Role};
use crate::json::Json;
use crate::mapping::Program;
use crate::name::{EndpointName, IntegrationName, OperationName, StepName};
use crate::priority::Priority;

/// The most steps of an operation.
pub const MAX_STEPS: usize = 64;

/// What an operation does.
#[derive(Debug)]
pub struct Plan {
    /// Its name.
    pub operation: OperationName,
    /// Its version.
    pub version: u32,
    /// How long a run may take, queueing and retries included.
    pub deadline: Duration,
    /// How urgent a run is whose caller does not say.
    pub priority: Priority,
    /// Its steps.
    pub steps: Steps,
    /// Makes the outcome's result. Without it: of one step its result untouched; of several an object with the results
    /// of those that succeeded, by their names.
    pub result: Option<Program>,
}

impl Plan {
    /// A part of it, as an operation of its own. Its input is the step's, made already. `None` if there is no such part.
    pub fn part(&self, part: Part) -> Option<Self> {
        let step = self.steps.get(part.step)?;
        let alone = match part.call {
            Some(call) => StepPlan::new(step.name.clone(), step.call(call)?.clone()),
            None => StepPlan {
                after: StepSet::EMPTY,
                required: true,
                background: false,
                input: None,
                ..step.clone()
            },
        };
        Some(Self {
            operation: self.operation.clone(),
            version: self.version,
            deadline: self.deadline,
            priority: self.priority,
            steps: Steps::new(vec![alone]).ok()?,
            result: None,
        })
    }

    /// Whether a run leaves work to others, in the background.
    pub fn leaves_work(&self) -> bool {
        self.steps.as_slice().iter().any(|step| step.background)
    }

    /// Whether a run may change something at a provider.
    pub fn may_act(&self) -> bool {
        self.steps.as_slice().iter().any(StepPlan::may_act)
    }
}

/// What of an operation a run is alone about: a step that it was left, or one call of a step that is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The step, by its place.
    pub step: usize,
    /// Which of its calls, as [`StepPlan::call`] counts them; `None`: the step, with all that stands in for it.
    pub call: Option<usize>,
}

impl Part {
    /// A step.
    pub const fn step(step: usize) -> Self {
        Self { step, call: None }
    }

    /// The number it is written down as.
    pub fn number(self) -> u32 {
        let call = self.call.map_or(0, |call| call.saturating_add(1));
        u32::try_from(self.step + call.saturating_mul(MAX_STEPS)).unwrap_or(u32::MAX)
    }

    /// What was written down as this number.
    pub const fn numbered(number: u32) -> Self {
        let number = number as usize;
        Self { step: number % MAX_STEPS, call: (number / MAX_STEPS).checked_sub(1) }
    }
}

/// How many calls of a step belong to one provider: the one that serves, its undo, and its verification.
const CALLS_OF_A_PROVIDER: usize = 3;

/// One step of an operation.
#[derive(Clone, Debug)]
pub struct StepPlan {
    /// Its name.
    pub name: StepName,
    /// The steps it waits for.
    pub after: StepSet,
    /// Whether the run fails where the step does.
    pub required: bool,
    /// Whether it is left to a run of its own, which nobody waits for.
    pub background: bool,
    /// Makes the input of its calls; without it, the operation's input is passed on untouched.
    pub input: Option<Program>,
    /// Whom it calls.
    pub primary: Provider,
    /// Whom it calls instead, in this order, where nobody has acted and another may help.
    pub alternates: Vec<Provider>,
    /// What stands in where no provider serves.
    pub fallback: Fallback,
}

impl StepPlan {
    /// A required step that calls one endpoint, with nothing to stand in for it.
    pub const fn new(name: StepName, call: CallPlan) -> Self {
        Self {
            name,
            after: StepSet::EMPTY,
            required: true,
            background: false,
            input: None,
            primary: Provider::new(call),
            alternates: Vec::new(),
            fallback: Fallback { stale: None, value: None },
        }
    }

    /// The primary is number 0, alternates follow.
    pub fn provider(&self, number: usize) -> Option<&Provider> {
        number.checked_sub(1).map_or(Some(&self.primary), |alternate| self.alternates.get(alternate))
    }

    /// One of its calls: of each provider the one that serves, its undo and its verification, in this order.
    pub fn call(&self, number: usize) -> Option<&CallPlan> {
        let provider = self.provider(number / CALLS_OF_A_PROVIDER)?;
        match number % CALLS_OF_A_PROVIDER {
            0 => Some(&provider.call),
            1 => provider.undo.as_ref().map(|undo| &undo.call),
            _ => provider.call.verify.as_ref().map(|verify| &verify.call),
        }
    }

    /// The number of the first of its calls in that role to that endpoint, as [`Self::call`] counts them.
    pub fn find_call(&self, role: &str, integration: &str, endpoint: &str) -> Option<usize> {
        let calls = (self.alternates.len() + 1) * CALLS_OF_A_PROVIDER;
        let plays = |number: usize| match number {
            0 => "primary",
            number if number % CALLS_OF_A_PROVIDER == 0 => "alternate",
            number if number % CALLS_OF_A_PROVIDER == 1 => "undo",
            _ => "verify",
        };
        (0..calls).filter(|number| plays(*number) == role).find(|number| {
            self.call(*number).is_some_and(|call| {
                call.integration.as_str() == integration && call.endpoint.as_str() == endpoint
            })
        })
    }

    /// What names the calls to a provider, for its keys.
    pub(super) fn role(number: usize) -> Role {
        number.checked_sub(1).map_or(Role::Primary, Role::Alternate)
    }

    /// Makes the input of the calls to a provider.
    pub(super) fn input_of(&self, number: usize) -> Option<&Program> {
        self.provider(number).and_then(|provider| provider.input.as_ref()).or(self.input.as_ref())
    }

    /// Whether any of its calls may change something.
    pub fn may_act(&self) -> bool {
        std::iter::once(&self.primary).chain(&self.alternates).any(Provider::may_act)
    }
}

/// A provider of a step, with what belongs to it alone.
#[derive(Clone, Debug)]
pub struct Provider {
    /// What is called.
    pub call: CallPlan,
    /// Makes the call's input, in place of the step's.
    pub input: Option<Program>,
    /// What takes a success back.
    pub undo: Option<Undo>,
}

impl Provider {
    /// A provider without an input of its own, whose success cannot be taken back.
    pub const fn new(call: CallPlan) -> Self {
        Self { call, input: None, undo: None }
    }

    fn may_act(&self) -> bool {
        self.call.safety() == Safety::Mutating
    }
}

/// What takes a step's success back.
#[derive(Clone, Debug)]
pub struct Undo {
    /// What is called.
    pub call: CallPlan,
    /// Makes the call's input; without it, the step's result is passed on untouched.
    pub input: Option<Program>,
}

/// An endpoint to call.
#[derive(Clone, Debug)]
pub struct CallPlan {
    /// Whose.
    pub integration: IntegrationName,
    /// Its name.
    pub endpoint: EndpointName,
    /// Its place in its integration.
    pub endpoint_index: usize,
    /// What makes it harmless to send the call again.
    pub resend: Resend,
    /// How its provider can be asked whether it has acted.
    pub verify: Option<Arc<Verify>>,
    /// Tells this configuration of the endpoint from others: what one of them answered may mean something else under
    /// another.
    pub revision: u64,
}

/// A query that tells whether a call has acted.
#[derive(Debug)]
pub struct Verify {
    /// What is asked: it only reads, and yields `{status, headers, body}`.
    pub call: CallPlan,
    /// Makes the query's input of the call's; without it, the same.
    pub input: Option<Program>,
    /// Whether what was asked for is there; of `{status, headers, body}`.
    pub found: Program,
    /// Makes the step's result of that.
    pub result: Program,
    /// Asked before the first request, too.
    pub always: bool,
    /// How long after the last attempt in doubt its absence counts.
    pub settle: Duration,
    /// When it is asked about a run that ended in doubt, from its end, ascending.
    pub reconcile_after: Vec<Duration>,
}

impl CallPlan {
    /// Whether the call may act.
    pub const fn safety(&self) -> Safety {
        self.resend.safety()
    }

    /// Whether a doubt about the call costs no more than one more request: its provider knows the key again, and is not asked
    /// whether it has acted.
    pub const fn bears_doubt(&self) -> bool {
        matches!(self.resend, Resend::Key { .. }) && self.verify.is_none()
    }
}

/// What stands in where no provider serves, tried in this order.
#[derive(Clone, Debug, Default)]
pub struct Fallback {
    /// The last good result, if it is no older. Only for steps whose calls are all safe.
    pub stale: Option<Duration>,
    /// This.
    pub value: Option<Json>,
}

/// The steps of an operation, in the order of their file.
#[derive(Debug)]
pub struct Steps {
    list: Vec<StepPlan>,
    /// Of each step, those it waits for, directly or not.
    builds_on: Vec<StepSet>,
}

/// Why steps are no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSteps {
    /// There must be one.
    #[error("an operation has 1 to {MAX_STEPS} steps, not {0}")]
    Count(usize),
    /// Names tell steps apart.
    #[error("two steps have the name `{0}`")]
    SameName(StepName),
    /// It waits for a step that is not there.
    #[error("the step `{0}` waits for a step that is not there")]
    NoSuchStep(StepName),
    /// It can never start.
    #[error("the step `{0}` waits for itself")]
    Ring(StepName),
}

impl Steps {
    /// Takes steps over if they can all start.
    ///
    /// # Errors
    /// [`InvalidSteps`].
    pub fn new(list: Vec<StepPlan>) -> Result<Self, InvalidSteps> {
        if !(1..=MAX_STEPS).contains(&list.len()) {
            return Err(InvalidSteps::Count(list.len()));
        }
        let mut builds_on: Vec<StepSet> = list.iter().map(|step| step.after).collect();
        for (index, step) in list.iter().enumerate() {
            if list.iter().take(index).any(|other| other.name == step.name) {
                return Err(InvalidSteps::SameName(step.name.clone()));
            }
            if step.after.iter().any(|other| other >= list.len()) {
                return Err(InvalidSteps::NoSuchStep(step.name.clone()));
            }
        }
        // Round after round everything is known one step further back.
        for _ in 0..list.len() {
            let known = builds_on.clone();
            for reached in &mut builds_on {
                let further = reached.iter().filter_map(|step| known.get(step));
                *reached = further.fold(*reached, |all, more| all.union(*more));
            }
        }
        let ring = list.iter().zip(&builds_on).enumerate().find(|(index, (_, on))| on.contains(*index));
        match ring {
            Some((_, (step, _))) => Err(InvalidSteps::Ring(step.name.clone())),
            None => Ok(Self { list, builds_on }),
        }
    }

    /// The steps.
    pub fn as_slice(&self) -> &[StepPlan] {
        &self.list
    }

    /// A step by its place.
    pub fn get(&self, index: usize) -> Option<&StepPlan> {
        self.list.get(index)
    }

    /// Has steps stand behind those that they build on; where they do already, they stay as they are.
    pub(super) fn put_in_order(&self, steps: &mut [usize]) {
        let is_behind = |(place, step): (usize, &usize)| {
            !steps.iter().skip(place).any(|behind| self.builds_on(*step, *behind))
        };
        if !steps.iter().enumerate().all(is_behind) {
            // What builds on another builds on more.
            steps.sort_by_key(|step| {
                (0..self.list.len()).filter(|other| self.builds_on(*step, *other)).count()
            });
        }
    }

    /// Whether `later` waits for `earlier`, directly or not.
    pub(super) fn builds_on(&self, later: usize, earlier: usize) -> bool {
        self.builds_on.get(later).is_some_and(|on| on.contains(earlier))
    }
}

/// Some of an operation's steps, by their places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepSet(u64);

const _: () = assert!(MAX_STEPS <= u64::BITS as usize, "a bit for each step");

impl StepSet {
    /// None of them.
    pub const EMPTY: Self = Self(0);

    /// Adds a step; one beyond [`MAX_STEPS`] is nobody's.
    #[must_use]
    pub const fn with(self, step: usize) -> Self {
        if step < MAX_STEPS { Self(self.0 | 1 << step) } else { self }
    }

    /// Whether the step is one of them.
    pub const fn contains(self, step: usize) -> bool {
        step < MAX_STEPS && self.0 & (1 << step) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The steps, in the order of their places.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..MAX_STEPS).filter(move |step| self.contains(*step))
    }
}

impl FromIterator<usize> for StepSet {
    fn from_iter<I: IntoIterator<Item = usize>>(steps: I) -> Self {
        steps.into_iter().fold(Self::EMPTY, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, after: &[usize]) -> StepPlan {
        let call = CallPlan {
            integration: IntegrationName::new("stripe").unwrap(),
            endpoint: EndpointName::new("charge").unwrap(),
            endpoint_index: 0,
            resend: Resend::Never,
            verify: None,
            revision: 0,
        };
        StepPlan {
            after: after.iter().copied().collect(),
            ..StepPlan::new(StepName::new(name).unwrap(), call)
        }
    }

    fn steps(after: &[&[usize]]) -> Result<Steps, InvalidSteps> {
        Steps::new(after.iter().enumerate().map(|(n, after)| step(&format!("s{n}"), after)).collect())
    }

    #[test]
    fn what_can_never_start_is_no_plan() {
        let name = |name| StepName::new(name).unwrap();
        assert_eq!(steps(&[]).unwrap_err(), InvalidSteps::Count(0));
        assert_eq!(steps(&[&[] as &[usize]; 65]).unwrap_err(), InvalidSteps::Count(65));
        assert_eq!(steps(&[&[], &[2]]).unwrap_err(), InvalidSteps::NoSuchStep(name("s1")));
        assert_eq!(steps(&[&[], &[1]]).unwrap_err(), InvalidSteps::Ring(name("s1")));
        assert_eq!(steps(&[&[], &[3], &[1], &[2]]).unwrap_err(), InvalidSteps::Ring(name("s1")));
        let same = Steps::new(vec![step("a", &[]), step("a", &[])]).unwrap_err();
        assert_eq!(same, InvalidSteps::SameName(name("a")));
    }

    #[test]
    fn each_call_of_a_step_can_be_an_operation_of_its_own() {
        let named = |endpoint: &str| CallPlan {
            endpoint: EndpointName::new(endpoint).unwrap(),
            ..step("s", &[]).primary.call
        };
        let mut charge = step("charge", &[]);
        charge.primary.undo = Some(Undo { call: named("refund"), input: None });
        charge.alternates.push(Provider::new(named("pay")));
        charge.background = true;
        let plan = Plan {
            operation: OperationName::new("orders.place").unwrap(),
            version: 1,
            deadline: Duration::from_secs(1),
            priority: Priority::Normal,
            steps: Steps::new(vec![step("first", &[]), charge]).unwrap(),
            result: None,
        };
        let charge = plan.steps.get(1).unwrap();
        for (role, endpoint, call) in
            [("primary", "charge", Some(0)), ("undo", "refund", Some(1)), ("alternate", "pay", Some(3))]
        {
            assert_eq!(charge.find_call(role, "stripe", endpoint), call);
            let part = Part { step: 1, call };
            assert_eq!(Part::numbered(part.number()), part);
            let alone = plan.part(part).unwrap();
            let only = &alone.steps.as_slice()[0];
            assert_eq!((only.primary.call.endpoint.as_str(), only.background), (endpoint, false));
            assert!(only.primary.undo.is_none() && only.alternates.is_empty());
        }
        for (role, endpoint) in [("verify", "charge"), ("primary", "pay"), ("undo", "charge")] {
            assert_eq!(charge.find_call(role, "stripe", endpoint), None, "{role} {endpoint}");
        }
        assert_eq!(Part::numbered(1), Part::step(1), "what older versions wrote");
        assert!(plan.part(Part::step(1)).unwrap().steps.as_slice()[0].primary.undo.is_some());
        assert!(plan.part(Part::step(2)).is_none());
    }

    #[test]
    fn what_a_step_builds_on_is_known_to_the_end() {
        let names: Vec<StepPlan> =
            (0..MAX_STEPS).map(|n| step(&format!("s{n}"), if n > 0 { &[0] } else { &[] })).collect();
        assert!(Steps::new(names).is_ok());
        let steps = steps(&[&[1], &[2], &[], &[2]]).unwrap();
        assert!(steps.builds_on(0, 1) && steps.builds_on(0, 2) && steps.builds_on(3, 2));
        assert!(!steps.builds_on(0, 3) && !steps.builds_on(2, 0) && !steps.builds_on(9, 0));
    }
}
