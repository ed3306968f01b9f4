//! Where the server can be made to die: before, in and after each durable write, and on the way of each request.
//!
//! They are for the harness that kills a server again and again (`scripts/crash`): killing at random instants rarely meets the
//! few microseconds in which a promise could be broken. Only a build with the feature `failpoints` has them; in any other,
//! coming by one is nothing, and what `FAILPOINTS` says is not even read.
//!
//! `FAILPOINTS` names those that are armed, in the words of the crate `fail`: with `claim.written=2*off->return` the process
//! ends when it comes by there for the third time, as by `kill -9`. Nothing is flushed, closed or told.
//!
//! The table is [`all`]. A store cannot write without naming what it writes, so a new kind of write is in the table.

/// A kind of durable write.
macro_rules! durable {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A kind of durable write.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Durable {
            $($(#[$doc])* $name,)*
        }

        impl Durable {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

durable! {
    /// The key file beside a database that has none.
    KeyFile = "key_file",
    /// A step of the tables' history.
    Schema = "schema",
    /// The proof that a key opens what it has sealed.
    Seal = "seal",
    /// Whose a database is; a store in a file is locked instead.
    Own = "own",
    /// What a former life has left is marked, and its leases are taken back.
    Recover = "recover",
    /// The files of a configuration.
    KeepConfiguration = "keep_configuration",
    /// A run that begins, with its key and first intents.
    Claim = "claim",
    /// A run that goes on, with further intents.
    Record = "record",
    /// A run's end and answer.
    Finish = "finish",
    /// A run that nothing was sent for is taken back.
    Forget = "forget",
    /// Runs that were refused and are there all the same are taken back.
    TakeBack = "take_back",
    /// Queued runs are leased.
    Lease = "lease",
    /// Leases are kept.
    Heartbeat = "heartbeat",
    /// Leases that have run out are taken back.
    Release = "release",
    /// A run is put off.
    Park = "park",
    /// A queued run is cancelled.
    Cancel = "cancel",
    /// A dead letter is taken up again.
    Reopen = "reopen",
    /// When a run in doubt is asked about next.
    Inquire = "inquire",
    /// A dead letter is let go.
    ForgetDeadLetter = "forget_dead_letter",
    /// What an operator does, and what holds from then on.
    Audit = "audit",
    /// What holds without anybody's word.
    Keep = "keep",
    /// What of limits outlives the process, and that it is alive.
    KeepLimits = "keep_limits",
    /// What was sent and what came back.
    AppendAttempts = "append_attempts",
    /// Attempts that are old.
    ForgetOldAttempts = "forget_old_attempts",
    /// Entries of the audit trail that are old.
    ForgetOldDeeds = "forget_old_deeds",
    /// Dead letters that are old.
    ForgetOldDeadLetters = "forget_old_dead_letters",
    /// Runs that are old.
    ForgetOldRuns = "forget_old_runs",
    /// Records of limits that tell nothing any more.
    ForgetOldLimits = "forget_old_limits",
    /// Configurations that nobody goes by.
    ForgetOldConfigurations = "forget_old_configurations",
    /// Whether the store can be written to; nobody relies on what it writes.
    Check = "check",
}

/// When, of a durable write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// Nothing is written yet.
    Before,
    /// It is written and nobody has been told that it is committed: where that is asked for at the same time, a next life may find it.
    Written,
    /// It is committed, and nobody has been told.
    Committed,
}

impl Moment {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Before, Self::Written, Self::Committed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Written => "written",
            Self::Committed => "committed",
        }
    }
}

/// How far a request to a provider has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leg {
    /// It is about to be sent: what it means to do is on disk, and none of it has left.
    Ready,
    /// Some of it has left.
    Sent,
    /// Its answer is there, and nothing of that is on disk.
    Answered,
}

impl Leg {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ready, Self::Sent, Self::Answered];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Sent => "sent",
            Self::Answered => "answered",
        }
    }

    /// A request has come so far. The process may end here.
    pub(crate) fn reached(self) {
        reached(Failpoint::Request(self));
    }
}

/// A place where the server can be made to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failpoint {
    /// Around a durable write.
    Write(Durable, Moment),
    /// On the way of a request.
    Request(Leg),
}

/// Its name, as `FAILPOINTS` has it.
impl std::fmt::Display for Failpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Write(what, moment) => write!(f, "{}.{}", what.as_str(), moment.as_str()),
            Self::Request(leg) => write!(f, "request.{}", leg.as_str()),
        }
    }
}

/// Every failpoint that there is.
pub fn all() -> impl Iterator<Item = Failpoint> {
    let writes =
        Durable::ALL.iter().flat_map(|what| Moment::ALL.map(|moment| Failpoint::Write(*what, moment)));
    writes.chain(Leg::ALL.map(Failpoint::Request))
}

/// Whether this build has them.
#[must_use]
pub const fn are_there() -> bool {
    cfg!(feature = "failpoints")
}

impl Durable {
    /// A write of this kind has come so far. The process may end here.
    pub(crate) fn reached(self, moment: Moment) {
        reached(Failpoint::Write(self, moment));
    }

    /// Whether anybody goes by it that what was written stays written, whatever becomes of the machine.
    pub(crate) const fn is_promised(self) -> bool {
        !matches!(self, Self::AppendAttempts)
    }

    /// Whether nobody is to learn that a write of this kind was committed, armed as `claim.lost`: so a store is made to
    /// refuse what it has.
    pub(crate) fn is_lost(self) -> bool {
        is_lost(self)
    }
}

#[cfg(feature = "failpoints")]
use armed::{is_lost, reached};

#[cfg(feature = "failpoints")]
pub(crate) use armed::arm;

#[cfg(feature = "failpoints")]
mod armed {
    use fail::{FailScenario, fail_point};

    use super::{Durable, Failpoint};

    /// Arms what `FAILPOINTS` names, for as long as the value lives.
    pub(crate) fn arm() -> FailScenario<'static> {
        FailScenario::setup()
    }

    pub(super) fn reached(point: Failpoint) {
        fail_point!(&point.to_string(), |_| die());
    }

    pub(super) fn is_lost(what: Durable) -> bool {
        fail_point!(&format!("{}.lost", what.as_str()), |_| true);
        false
    }

    /// Ends the process at once, as nobody can hinder or notice.
    fn die() -> ! {
        use rustix::process::{Signal, getpid, kill_process};
        loop {
            // It does not return, unless the signal could not be sent.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

#[cfg(not(feature = "failpoints"))]
const fn reached(_: Failpoint) {}

#[cfg(not(feature = "failpoints"))]
const fn is_lost(_: Durable) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_failpoint_has_a_name_of_its_own() {
        let names: BTreeSet<String> = all().map(|point| point.to_string()).collect();
        assert_eq!(names.len(), all().count());
        assert!(names.contains("claim.written") && names.contains("request.sent"), "{names:?}");
    }
}
