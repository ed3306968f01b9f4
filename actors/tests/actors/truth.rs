//! What a caller may be told, judged by what the provider saw and by nothing the actors say of themselves.

use causeway_actors::fakes::{Ending, Fate, Seen};
use causeway_core::classify::Phase;
use causeway_core::operation::{Outcome, RunStatus};

use crate::world::{KEY, To};

/// What the requests of one run come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// The provider cannot have acted, or has said that it has not and will not.
    NotDone,
    /// It may have acted.
    InDoubt,
    /// It has answered that it has acted, and with what.
    Done,
}

/// Follows a run's requests, and objects to any that ought not to have been sent.
fn effect(to: To, seen: &[Seen]) -> Effect {
    let (mut effect, mut keyed_before) = (Effect::NotDone, false);
    for (number, request) in seen.iter().enumerate() {
        assert_ne!(effect, Effect::Done, "nothing is sent again after a success");
        assert!(
            to != To::Plain || effect == Effect::NotDone,
            "without a key nothing is sent twice: {seen:#?}"
        );
        if let Some(earlier) = number.checked_sub(1).map(|earlier| &seen[earlier]) {
            assert!(earlier.over.is_some_and(|over| over <= request.at), "one attempt at a time");
            assert_eq!(earlier.body, request.body, "every attempt sends the same bytes");
            assert_eq!(
                earlier.headers.get(KEY),
                request.headers.get(KEY),
                "every attempt sends the same key"
            );
        }
        assert_eq!(request.headers.contains_key(KEY), to == To::Keyed);
        effect = after(effect, to, request, keyed_before);
        keyed_before |= to == To::Keyed && matches!(request.fate, Fate::Ended(Phase::Sent));
    }
    effect
}

fn after(before: Effect, to: To, request: &Seen, keyed_before: bool) -> Effect {
    let phase = match request.fate {
        Fate::Flying => panic!("every flight ends: {request:?}"),
        Fate::Dropped(phase) => {
            assert!(to == To::Safe || phase == Phase::NotSent, "what may act is never cut: {request:?}");
            return before;
        }
        Fate::Ended(phase) => phase,
    };
    let doubt = if to == To::Safe { Effect::NotDone } else { Effect::InDoubt };
    match &request.script.ending {
        // Nobody knows how far it had come.
        Ending::Panics => doubt,
        Ending::Breaks(_) if phase == Phase::NotSent => before,
        Ending::Breaks(_) => doubt,
        Ending::Answers(200..=299, _, "{}") => Effect::Done,
        // Done, but of no use, and told as the failure that it is.
        Ending::Answers(200..=299, ..) => Effect::NotDone,
        Ending::Answers(503, Some(_), _) => before,
        Ending::Answers(500.., ..) => doubt,
        Ending::Answers(409, ..) if keyed_before => doubt,
        // Refused as such, whoever asks how often.
        Ending::Answers(402, ..) => Effect::NotDone,
        Ending::Answers(..) => before,
    }
}

/// Objects to an outcome that is not the truth. `lost` says that the actor may have died during the run.
pub(crate) fn judge(to: To, seen: &[Seen], outcome: &Outcome, left: bool, lost: bool) {
    let effect = effect(to, seen);
    let told = || format!("{to:?} {effect:?}, left {left}, lost {lost}: {outcome:#?}\n{seen:#?}");
    let code = outcome.error.as_ref().map(|failure| &*failure.code);
    if lost && code == Some("integration_lost") {
        let expected = if to == To::Safe { RunStatus::Failed } else { RunStatus::Unknown };
        assert_eq!(outcome.status, expected, "{}", told());
        return;
    }
    assert_eq!(outcome.steps[0].attempts as usize, seen.len(), "every attempt is told: {}", told());
    match outcome.status {
        RunStatus::Accepted | RunStatus::Running | RunStatus::Waiting | RunStatus::Partial => {
            panic!("it ends, and is of one step: {}", told())
        }
        RunStatus::Succeeded => assert_eq!(effect, Effect::Done, "{}", told()),
        RunStatus::Unknown => assert_eq!(effect, Effect::InDoubt, "{}", told()),
        RunStatus::Failed => assert_eq!(effect, Effect::NotDone, "{}", told()),
        RunStatus::Cancelled => assert!(left && effect == Effect::NotDone, "{}", told()),
    }
}
