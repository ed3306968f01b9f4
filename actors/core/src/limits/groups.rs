//! Limits that several integrations share, because they share an account.
//!
//! Integrations live on different threads. A shared limit is one set of budgets behind a mutex that is held for the few
//! nanoseconds of one decision. Each shared limit has a number, and whoever needs several locks them in the order of
//! their numbers: a decision over all of them is one decision, and nobody waits in a circle.
//!
//! Who was told to wait for a shared budget does not see another integration give something back. So the shells leave
//! a *waker* with the group ([`Groups::watch`]); it is called, after the lock is gone, when something comes free (or is
//! drained) for which somebody was told to wait. It may be called once too often, and from any thread; it should only
//! send itself a message.
//!
//! Where two members tell different things of a shared limit the first one's word holds until a reload
//! ([`Limits::respec`](super::Limits::respec)) or until nobody uses it any more.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::budgets::Budgets;
use super::memory::{Memory, Shelf};
use super::record::Owner;
use super::spec::{LimitKey, LimitSpec};
use crate::name::{GroupName, IntegrationName, LimitName};
use crate::time::Now;

type Waker = Arc<dyn Fn() + Send + Sync>;

/// All shared limits of a process, and what outlives it of all limits. Clones are handles of the same.
#[derive(Clone, Default)]
pub struct Groups {
    registry: Arc<Mutex<Registry>>,
    /// `None` where nothing outlives the process.
    memory: Option<Memory>,
    /// Whose handle it is: under that name its own limits are remembered.
    member: Option<IntegrationName>,
}

#[derive(Default)]
struct Registry {
    groups: HashMap<GroupName, Group>,
    /// Numbers handed out so far: for shared limits, budgets and wakers.
    numbers: u64,
}

#[derive(Default)]
struct Group {
    limits: HashMap<LimitName, Arc<SharedLimit>>,
    wakers: Arc<Wakers>,
}

#[derive(Default)]
struct Wakers(Mutex<Vec<(u64, Waker)>>);

/// A limit that several integrations take from.
pub(super) struct SharedLimit {
    /// Its place in the order of locking.
    number: u64,
    budgets: Mutex<Budgets>,
    wakers: Arc<Wakers>,
}

/// Keeps a waker registered; dropping it takes the waker back.
#[must_use = "the waker is taken back when this is dropped"]
pub struct Watch {
    wakers: Arc<Wakers>,
    number: u64,
}

impl Groups {
    /// No groups yet, and nothing that outlives them.
    pub fn new() -> Self {
        Self::default()
    }

    /// No groups yet; what is remembered of limits is gone on with, and tokens of a quota are reserved on disk first.
    pub fn remembering(memory: Memory) -> Self {
        Self { memory: Some(memory), ..Self::default() }
    }

    /// The handle of one integration.
    #[must_use]
    pub fn of(&self, member: &IntegrationName) -> Self {
        Self { member: Some(member.clone()), ..self.clone() }
    }

    /// What is remembered, and whose limits those are that are not of a group; `None` where nothing is.
    pub(super) fn memory(&self) -> Option<(&Memory, Owner)> {
        let member = self.member.clone().map(Owner::Integration);
        self.memory.as_ref().zip(member)
    }

    /// What is remembered of a limit of its own.
    pub(super) fn shelf(&self, limit: &LimitName) -> Option<Shelf> {
        self.memory().map(|(memory, owner)| Shelf::new(memory, owner, limit))
    }

    /// Has `waker` called when something comes free in a group for which a member was told to wait.
    pub fn watch(&self, group: &GroupName, waker: impl Fn() + Send + Sync + 'static) -> Watch {
        let mut registry = lock(&self.registry);
        let number = registry.number();
        let wakers = Arc::clone(&registry.groups.entry(group.clone()).or_default().wakers);
        lock(&wakers.0).push((number, Arc::new(waker)));
        Watch { wakers, number }
    }

    /// The next number: no two are the same.
    pub(super) fn number(&self) -> u64 {
        lock(&self.registry).number()
    }

    /// The shared limit of a spec with a group; made if there is none, given this spec if nobody else uses it.
    pub(super) fn join(&self, group: &GroupName, spec: &LimitSpec, now: Now) -> Arc<SharedLimit> {
        let mut registry = lock(&self.registry);
        registry.forget_unused(now);
        let (number, id) = (registry.number(), registry.number());
        let owner = Owner::Group(group.clone());
        let group = registry.groups.entry(group.clone()).or_default();
        if let Some(limit) = group.limits.get(&spec.name) {
            if Arc::strong_count(limit) == 1 {
                limit.lock().respec(spec, now, id);
            }
            return Arc::clone(limit);
        }
        let shelf = self.memory.as_ref().map(|memory| Shelf::new(memory, owner, &spec.name));
        let budgets = Mutex::new(Budgets::new(spec, id, now, shelf));
        let limit = Arc::new(SharedLimit { number, budgets, wakers: Arc::clone(&group.wakers) });
        group.limits.insert(spec.name.clone(), Arc::clone(&limit));
        limit
    }
}

impl Registry {
    const fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Drops what nobody uses and has nothing to remember.
    fn forget_unused(&mut self, now: Now) {
        self.groups.retain(|_, group| {
            group.limits.retain(|_, limit| Arc::strong_count(limit) > 1 || !limit.lock().is_idle(now));
            !group.limits.is_empty() || Arc::strong_count(&group.wakers) > 1
        });
    }
}

impl SharedLimit {
    /// Its place in the order of locking.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Budgets> {
        lock(&self.budgets)
    }

    /// Gives places back, if they were taken of these budgets.
    pub(super) fn release(&self, budgets: u64, key: &LimitKey, places: u32) {
        let mut locked = self.lock();
        let awaited = locked.id() == budgets && locked.release(key, places);
        drop(locked);
        if awaited {
            self.wake();
        }
    }

    /// Calls the wakers of its group. Not to be called with any lock held.
    pub(super) fn wake(&self) {
        let wakers: Vec<Waker> = lock(&self.wakers.0).iter().map(|(_, waker)| Arc::clone(waker)).collect();
        for waker in wakers {
            waker();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.wakers.0).retain(|(number, _)| *number != self.number);
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(lock(&self.registry).groups.keys()).finish()
    }
}

impl fmt::Debug for SharedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimit").field("number", &self.number).finish_non_exhaustive()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A panic of another holder leaves a budget that has at worst counted too much: it is used on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
