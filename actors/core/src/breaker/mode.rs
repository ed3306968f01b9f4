//! Who rules a breaker: outcomes and time, or a person.

use std::time::Duration;

use super::State;
use crate::time::{Mono, Wall};

/// The modes, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ModeKind {
    /// Outcomes and time rule.
    #[default]
    Auto,
    /// Nothing passes.
    ForcedOpen,
    /// Everything passes, and nothing opens it.
    Disabled,
    /// Everything passes; what it would have done is told.
    MetricsOnly,
}

impl ModeKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::ForcedOpen, Self::Disabled, Self::MetricsOnly];

    /// The name used in settings, commands and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
        }
    }

    /// The mode of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Who rules the breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Outcomes and time.
    Auto,
    /// Nothing passes.
    ForcedOpen(Manual),
    /// Everything passes and is counted, and nothing opens it.
    Disabled(Manual),
    /// Everything passes; what it would have done is told.
    MetricsOnly(Manual),
}

/// What is known of a mode that outcomes and time do not rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manual {
    /// When it ends by itself; `None` where only another command ends it.
    pub until: Option<Mono>,
    /// Since when, for people; `None`: since the settings say so.
    pub since: Option<Wall>,
    /// Why, in a person's words.
    pub reason: String,
    /// Who set it.
    pub by: By,
}

/// Who has set a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The settings.
    Settings,
    /// An operator; by name, where it is known.
    Operator(Option<String>),
}

/// A command to set a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeChange {
    /// Which.
    pub mode: ModeKind,
    /// Why, in a person's words.
    pub reason: String,
    /// Who says so.
    pub by: By,
    /// For how long; `None`: until another command. Without meaning for [`ModeKind::Auto`].
    pub lasting: Option<Duration>,
}

impl ModeChange {
    /// An operator's trip.
    pub const fn trip(reason: String, lasting: Option<Duration>) -> Self {
        Self { mode: ModeKind::ForcedOpen, reason, by: By::Operator(None), lasting }
    }
}

impl Mode {
    pub(super) fn new(kind: ModeKind, manual: Manual) -> Self {
        match kind {
            ModeKind::Auto => Self::Auto,
            ModeKind::ForcedOpen => Self::ForcedOpen(manual),
            ModeKind::Disabled => Self::Disabled(manual),
            ModeKind::MetricsOnly => Self::MetricsOnly(manual),
        }
    }

    /// As the settings name it.
    pub(super) fn configured(kind: ModeKind) -> Self {
        let reason = "the settings say so".to_owned();
        Self::new(kind, Manual { until: None, since: None, reason, by: By::Settings })
    }

    /// Its name.
    pub const fn kind(&self) -> ModeKind {
        match self {
            Self::Auto => ModeKind::Auto,
            Self::ForcedOpen(_) => ModeKind::ForcedOpen,
            Self::Disabled(_) => ModeKind::Disabled,
            Self::MetricsOnly(_) => ModeKind::MetricsOnly,
        }
    }

    /// Who set it, why and until when; `None` of the automatic one.
    pub const fn manual(&self) -> Option<&Manual> {
        match self {
            Self::Auto => None,
            Self::ForcedOpen(manual) | Self::Disabled(manual) | Self::MetricsOnly(manual) => Some(manual),
        }
    }

    /// When it ends by itself.
    pub(super) const fn until(&self) -> Option<Mono> {
        match self.manual() {
            Some(manual) => manual.until,
            None => None,
        }
    }

    /// The state that the mode is, where outcomes and time do not decide it.
    pub(super) const fn state(&self) -> Option<State> {
        match self {
            Self::Auto => None,
            Self::ForcedOpen(_) => Some(State::ForcedOpen),
            Self::Disabled(_) => Some(State::Disabled),
            Self::MetricsOnly(_) => Some(State::MetricsOnly),
        }
    }
}
