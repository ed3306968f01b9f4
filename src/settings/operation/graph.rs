//! Which step waits for which: names become places, and what could never start is told.

use causeway_core::operation::MAX_STEPS;

use super::step::{Draft, StepSettings};
use crate::settings::reader::{shown, suggestion};

/// The steps, each with the places of what it waits for; `None` if something is wrong with that, which is told.
pub(super) fn join(drafts: Vec<Draft<'_>>) -> Option<Vec<StepSettings>> {
    let mut right = true;
    for (place, draft) in drafts.iter().enumerate() {
        if drafts.iter().take(place).any(|other| other.step.name == draft.step.name) {
            draft
                .name
                .tell(&format!("there is a step \"{}\" already; give it another name", draft.step.name));
            right = false;
        }
    }
    let after: Vec<Option<Vec<usize>>> = (0..drafts.len()).map(|place| places(&drafts, place)).collect();
    right &= after.iter().all(Option::is_some);
    let after: Vec<Vec<usize>> = after.into_iter().map(Option::unwrap_or_default).collect();
    right &= !tell_rings(&drafts, &after);
    let joined = drafts.into_iter().zip(after).map(|(draft, after)| StepSettings { after, ..draft.step });
    right.then(|| joined.collect())
}

/// The places of what a step waits for.
fn places(drafts: &[Draft<'_>], place: usize) -> Option<Vec<usize>> {
    let draft = drafts.get(place)?;
    let mut places = Vec::new();
    let mut right = true;
    for value in &draft.after {
        let Some(name) = value.string("the name of a step") else {
            right = false;
            continue;
        };
        let found = drafts.iter().position(|other| other.step.name.as_str() == name);
        let wrong = match found {
            None => {
                let others = drafts.iter().map(|other| other.step.name.as_str());
                let others = others.filter(|other| *other != draft.step.name.as_str());
                format!("there is no step \"{}\"{}", shown(name), suggestion(name, others, "there are"))
            }
            Some(found) if found == place => "a step cannot wait for itself; remove it".to_owned(),
            Some(found) if places.contains(&found) => format!("\"{name}\" stands here twice; write it once"),
            Some(found) => {
                places.push(found);
                continue;
            }
        };
        value.tell(&wrong);
        right = false;
    }
    right.then_some(places)
}

/// Tells each ring of steps that wait for each other, once; whether there is one.
fn tell_rings(drafts: &[Draft<'_>], after: &[Vec<usize>]) -> bool {
    let mut told = false;
    let mut waiting: Vec<bool> = vec![true; after.len()];
    let waits = |waiting: &[bool], step: usize| waiting.get(step).copied().unwrap_or_default();
    loop {
        // Who waits for nobody who waits may start; who is left waits for a ring or stands in one.
        while let Some(free) = (0..after.len()).find(|step| {
            waits(&waiting, *step)
                && !after.get(*step).is_some_and(|after| after.iter().any(|other| waits(&waiting, *other)))
        }) {
            waiting.iter_mut().skip(free).take(1).for_each(|waits| *waits = false);
        }
        let Some(first) = (0..after.len()).find(|step| waits(&waiting, *step)) else { return told };
        let ring = ring_from(first, after, |step| waits(&waiting, step));
        tell(drafts, after, &ring);
        told = true;
        for step in ring {
            waiting.iter_mut().skip(step).take(1).for_each(|waits| *waits = false);
        }
    }
}

/// Follows who waits for whom until it comes round.
fn ring_from(first: usize, after: &[Vec<usize>], waits: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut walked = vec![first];
    for _ in 0..=MAX_STEPS {
        let here = walked.last().copied().unwrap_or(first);
        let next = after.get(here).and_then(|after| after.iter().copied().find(|step| waits(*step)));
        let Some(next) = next else { break };
        if let Some(start) = walked.iter().position(|step| *step == next) {
            return walked.split_off(start);
        }
        walked.push(next);
    }
    walked
}

fn tell(drafts: &[Draft<'_>], after: &[Vec<usize>], ring: &[usize]) {
    let Some(at) = ring.iter().position(|step| Some(step) == ring.iter().min()) else { return };
    let ring: Vec<usize> = ring.iter().cycle().skip(at).take(ring.len() + 1).copied().collect();
    let names: Vec<&str> =
        ring.iter().filter_map(|step| drafts.get(*step)).map(|draft| draft.step.name.as_str()).collect();
    let place = ring.first().zip(ring.get(1)).and_then(|(step, next)| {
        let nth = after.get(*step)?.iter().position(|other| other == next)?;
        drafts.get(*step)?.after.get(nth)
    });
    if let Some(value) = place {
        let round = names.join("\" waits for \"");
        value
            .tell(&format!("no step of this ring can ever start: \"{round}\"; let one go without the other"));
    }
}
