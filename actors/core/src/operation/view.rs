//! The run as others see it: programs, callers, operators.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{ErrorClass, Failure, Json, Now, Outcome, Run, RunStatus, ServedBy, StepOutcome, StepStatus};
use crate::classify::Safety;
use crate::mapping::{Input, RunView, StepView, Vars};
use crate::name::StepName;

impl Run {
    /// The run as it stands, while it is under way.
    pub fn so_far(&self) -> Outcome {
        self.outcome(RunStatus::Running, Json::NULL, None, None)
    }

    pub(super) fn view(&self) -> RunView<'_> {
        RunView {
            id: self.id.as_str(),
            correlation_id: self.correlation_id.as_str(),
            operation: self.plan.operation.as_str(),
        }
    }

    /// The steps that have ended, for programs.
    pub(super) fn known(&self) -> Vec<(StepName, StepView)> {
        let ended = self.plan.steps.as_slice().iter().zip(&self.steps).filter(|(_, state)| state.has_ended());
        let view = |state: &super::Step| StepView {
            status: state.status.as_str(),
            result: state.result.clone(),
            error: state.error.clone(),
        };
        ended.map(|(plan, state)| (plan.name.clone(), view(state))).collect()
    }

    /// The result of a run whose required steps have succeeded.
    pub(super) fn result(&self) -> Result<Json, Failure> {
        let Some(program) = &self.plan.result else { return Ok(self.plain_result()) };
        let input = Input::step(&self.input, &self.view(), &self.known());
        program.value(&input, &Vars::default()).map_err(|error| {
            let operation = &self.plan.operation;
            let message =
                format!("mapping the result of `{operation}`: {error}; its required steps have succeeded");
            Failure::new(ErrorClass::Internal, "result_mapping_failed", message)
        })
    }

    fn plain_result(&self) -> Json {
        match self.steps.as_slice() {
            [step] => step.result.clone().unwrap_or(Json::NULL),
            _ => Json::of(&Results(self)),
        }
    }

    pub(super) fn outcome(
        &self,
        status: RunStatus,
        result: Json,
        error: Option<Failure>,
        finished: Option<Now>,
    ) -> Outcome {
        let substituted = |state: &super::Step| {
            state.status == StepStatus::Succeeded && state.served_by.is_some_and(|by| by != ServedBy::Primary)
        };
        Outcome {
            id: self.id.clone(),
            operation: self.plan.operation.clone(),
            version: self.plan.version,
            correlation_id: self.correlation_id.clone(),
            status,
            degraded: self.steps.iter().any(substituted),
            result,
            steps: self.step_outcomes(),
            error,
            created_at: self.began.wall,
            finished_at: finished.map(|now| now.wall),
            sent: self.steps.iter().any(|state| state.sent || state.child.is_some()),
        }
    }

    fn step_outcomes(&self) -> Vec<StepOutcome> {
        let steps = self.plan.steps.as_slice().iter().zip(&self.steps);
        let outcomes = steps.map(|(plan, state)| {
            let call = &plan.provider(state.provider).unwrap_or(&plan.primary).call;
            let took = state.began.zip(state.ended).map(|(began, ended)| ended.since(began));
            StepOutcome {
                name: plan.name.clone(),
                integration: call.integration.clone(),
                endpoint: call.endpoint.clone(),
                may_act: call.safety() == Safety::Mutating
                    && !matches!(state.served_by, Some(ServedBy::Stale | ServedBy::Value)),
                status: state.status,
                attempts: state.attempts.saturating_add(state.attempts_out),
                duration: took.unwrap_or(Duration::ZERO),
                began: state.began,
                served_by: state.served_by,
                error: state.error.clone(),
                run: state.child.clone(),
            }
        });
        outcomes.collect()
    }
}

/// The results of the steps that have succeeded, by their names.
struct Results<'a>(&'a Run);

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let steps = self.0.plan.steps.as_slice().iter().zip(&self.0.steps);
        let succeeded = steps.filter(|(_, state)| state.status == StepStatus::Succeeded);
        serializer.collect_map(succeeded.map(|(plan, state)| (&plan.name, &state.result)))
    }
}
