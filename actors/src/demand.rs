//! What a call takes of its integration's limits: which budgets, and how much of each.
//!
//! Decided once, before the call is admitted, from the plan and the step's input. A key or a cost that a program
//! makes of the input may turn out to be none: then the call is ours to refuse (`internal`), before anything of the
//! provider is touched; to guess a key would let one account use another's budget.

use std::sync::{Arc, LazyLock};

use causeway_core::endpoint::Cost;
use causeway_core::failure::{ErrorClass, Failure};
use causeway_core::json::Json;
use causeway_core::limits::{Demand, Keyed, LimitKey, LimitSpec, Take};
use causeway_core::mapping::{Input, MappingError, Program, RunView, Vars};

use crate::plan::{IntegrationPlan, StepCall};

/// The longest key of a budget, in bytes: there may be as many budgets as keys, each kept with its name.
const MAX_KEY: usize = 256;

/// The account behind the integration's own credentials.
static DEFAULT_CONNECTION: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("default"));

/// What an attempt of `call` takes of the limits of `plan`. `endpoint` is the call's endpoint as `plan` counts, and
/// `None` where it has no such endpoint any more: then only what holds for all endpoints holds for it.
///
/// # Errors
/// `internal`, with the code `limit_key_failed` or `cost_failed`.
pub(crate) fn of(
    plan: &IntegrationPlan,
    endpoint: Option<usize>,
    cost: &Cost,
    call: &StepCall,
) -> Result<Demand, Failure> {
    let applies = |limit: &LimitSpec| {
        let listed = |endpoints: &Vec<usize>| endpoint.is_some_and(|endpoint| endpoints.contains(&endpoint));
        limit.endpoints.as_ref().is_none_or(listed)
    };
    let limits = plan.spec.limits.iter().enumerate().filter(|(_, limit)| applies(limit));
    let mut source = Source { call, input: None };
    let mut demand = Demand::default();
    let mut tokens = None;
    for (index, limit) in limits {
        let cost = match tokens {
            Some(tokens) => tokens,
            None => *tokens.insert(source.cost(cost)?),
        };
        if cost == 0 {
            break;
        }
        let key = match limit.keyed {
            Keyed::Shared => LimitKey::Shared,
            Keyed::Connection => LimitKey::Of(Arc::clone(&DEFAULT_CONNECTION)),
            Keyed::Request => source.key(limit, plan.limit_keys.get(index).and_then(Option::as_ref))?,
        };
        demand.0.push(Take { limit: index, key, cost });
    }
    Ok(demand)
}

/// The step's input, read for programs when the first of them asks.
struct Source<'a> {
    call: &'a StepCall,
    input: Option<(Input, Vars)>,
}

impl Source<'_> {
    fn run(&mut self, program: &Program) -> Result<Json, MappingError> {
        let (input, vars) = match &mut self.input {
            Some(read) => read,
            unread @ None => {
                let run = &self.call.run;
                let run = RunView {
                    id: run.id.as_str(),
                    correlation_id: run.correlation_id.as_str(),
                    operation: run.operation.as_str(),
                };
                unread.insert((Input::json(&self.call.input)?, Vars::request(&run, None)))
            }
        };
        program.value(input, vars)
    }

    fn cost(&mut self, cost: &Cost) -> Result<u32, Failure> {
        let program = match cost {
            Cost::Fixed(tokens) => return Ok(*tokens),
            Cost::By(program) => program,
        };
        let failed = |what: String| {
            let message = format!("finding out what the request costs: {what}");
            Failure::new(ErrorClass::Internal, "cost_failed", message)
        };
        let tokens = self.run(program).map_err(|error| failed(error.to_string()))?;
        let whole = tokens.as_str().parse::<u32>().ok();
        whole.ok_or_else(|| failed("the program yields no whole number from 0 to 4294967295".to_owned()))
    }

    fn key(&mut self, limit: &LimitSpec, program: Option<&Program>) -> Result<LimitKey, Failure> {
        let failed = |what: String| {
            let message = format!("finding the budget of the request in limit `{}`: {what}", limit.name);
            Failure::new(ErrorClass::Internal, "limit_key_failed", message)
        };
        let program = program.ok_or_else(|| failed("the limit has no program for its key".to_owned()))?;
        let key = self.run(program).map_err(|error| failed(error.to_string()))?;
        let key = text(&key).ok_or_else(|| {
            failed("the program yields no string, number or boolean; the input may lack the field".to_owned())
        })?;
        if key.len() > MAX_KEY {
            return Err(failed(format!("the key is longer than {MAX_KEY} bytes")));
        }
        Ok(LimitKey::Of(key.into()))
    }
}

/// What a scalar says; `null`, a list and an object say nothing.
fn text(json: &Json) -> Option<String> {
    match serde_json::from_slice(json.bytes()) {
        Ok(serde_json::Value::String(text)) => Some(text),
        // As it is written: a number keeps all of its digits.
        Ok(serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => Some(json.as_str().to_owned()),
        Ok(serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_)) | Err(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use causeway_core::idempotency::Role;
    use causeway_core::integration::IntegrationSpec;
    use causeway_core::limits::LimitKind;
    use causeway_core::limits::token_bucket::TokenBucketSpec;
    use causeway_core::mapping::Kind;
    use causeway_core::name::{CorrelationId, IntegrationName, LimitName, OperationName, RunId, StepName};
    use causeway_core::priority::Priority;
    use causeway_core::time::Mono;

    use super::*;
    use crate::credential::Credential;
    use crate::plan::{Auth, RunContext, TraceContext};

    fn program(source: &str) -> Program {
        Program::compile(Kind::Request, source).unwrap()
    }

    /// A limit: how it is keyed, for which endpoints it holds, and the program of its key.
    type Limit<'a> = (Keyed, Option<&'a [usize]>, Option<&'a str>);

    fn plan(limits: &[Limit<'_>]) -> IntegrationPlan {
        let bucket = TokenBucketSpec { requests: 5, per: Duration::from_secs(1), burst: 5 };
        let spec = |(index, (keyed, endpoints, _)): (usize, &Limit<'_>)| LimitSpec {
            keyed: *keyed,
            endpoints: endpoints.map(<[usize]>::to_vec),
            ..LimitSpec::new(
                LimitName::new(&format!("limit_{index}")).unwrap(),
                LimitKind::TokenBucket(bucket.clone()),
            )
        };
        IntegrationPlan {
            name: IntegrationName::new("provider").unwrap(),
            title: None,
            base_url: String::new(),
            query: None,
            account: 0,
            dedicated_thread: false,
            auth: Credential::fixed(Auth::None),
            tls: Arc::default(),
            endpoints: Vec::new(),
            verifies: Vec::new(),
            queue: Default::default(),
            limit_keys: limits.iter().map(|(_, _, source)| source.map(program)).collect(),
            spec: IntegrationSpec {
                breaker: causeway_core::breaker::BreakerSpec::default(),
                retry: causeway_core::retry::RetrySpec::default(),
                pool: causeway_core::bulkhead::PoolSpec::default(),
                limits: limits.iter().enumerate().map(spec).collect(),
            },
        }
    }

    fn call(input: &'static str) -> StepCall {
        let run = RunContext {
            id: RunId::new("run_1"),
            correlation_id: CorrelationId::new("correlation").unwrap(),
            operation: OperationName::new("payments.charge").unwrap(),
            trace: TraceContext::unrecorded(1),
        };
        StepCall {
            run: Arc::new(run),
            step: StepName::new("charge").unwrap(),
            index: 0,
            role: Role::Primary,
            endpoint: 0,
            repeats_input: false,
            input: Json::parse(Bytes::from_static(input.as_bytes())).unwrap(),
            priority: Priority::Normal,
            deadline: Mono::MAX,
            in_doubt_for: None,
            request: None,
            lease: None,
        }
    }

    fn keyed(source: &str, input: &'static str) -> Result<LimitKey, String> {
        let plan = plan(&[(Keyed::Request, None, Some(source))]);
        let demand = of(&plan, Some(0), &Cost::default(), &call(input));
        demand.map(|demand| demand.0[0].key.clone()).map_err(|failure| {
            assert_eq!(failure.class, ErrorClass::Internal);
            failure.code.into_owned()
        })
    }

    fn costed(cost: &Cost, input: &'static str) -> Result<Option<u32>, String> {
        let demand = of(&plan(&[(Keyed::Shared, None, None)]), Some(0), cost, &call(input));
        let tokens = demand.map(|demand| demand.0.first().map(|take| take.cost));
        tokens.map_err(|failure| {
            assert_eq!(failure.class, ErrorClass::Internal);
            failure.code.into_owned()
        })
    }

    #[test]
    fn a_call_takes_of_the_limits_that_hold_for_its_endpoint() {
        let (mine, others): (&[usize], &[usize]) = (&[0, 2], &[1]);
        let plan = plan(&[
            (Keyed::Shared, None, None),
            (Keyed::Shared, Some(others), None),
            (Keyed::Connection, Some(mine), None),
        ]);
        let taken = |endpoint| {
            let demand = of(&plan, endpoint, &Cost::Fixed(3), &call("{}")).unwrap();
            assert!(demand.0.iter().all(|take| take.cost == 3));
            demand.0.iter().map(|take| take.limit).collect::<Vec<_>>()
        };
        assert_eq!((taken(Some(0)), taken(Some(1)), taken(None)), (vec![0, 2], vec![0, 1], vec![0]));
    }

    #[test]
    fn a_key_is_any_scalar_of_the_input() {
        let of = |text: &str| Ok(LimitKey::Of(Arc::from(text)));
        assert_eq!(keyed(".user", r#"{"user":"ann"}"#), of("ann"));
        assert_eq!(keyed(".user", r#"{"user":12345678901234567890123}"#), of("12345678901234567890123"));
        assert_eq!(keyed(".user", r#"{"user":false}"#), of("false"));
        assert_eq!(keyed("$run.operation", "{}"), of("payments.charge"));
    }

    #[test]
    fn a_key_that_is_none_fails_the_call() {
        let failed = Err("limit_key_failed".to_owned());
        for input in ["{}", r#"{"user":null}"#, r#"{"user":[1]}"#, r#"{"user":{}}"#, "7"] {
            assert_eq!(keyed(".user", input), failed, "{input}");
        }
        assert_eq!(keyed(r#""x" * 300"#, "{}"), failed);
    }

    #[test]
    fn a_cost_is_a_whole_number_and_0_takes_nothing() {
        let by = |source| Cost::By(program(source));
        assert_eq!(costed(&Cost::Fixed(0), "{}"), Ok(None));
        assert_eq!(costed(&by(".items | length"), r#"{"items":[1,2,3]}"#), Ok(Some(3)));
        assert_eq!(costed(&by(".items | length"), r#"{"items":[]}"#), Ok(None));
        for source in ["-1", "0.5", ".missing", r#""3""#, "4294967296", "error"] {
            assert_eq!(costed(&by(source), "{}"), Err("cost_failed".to_owned()), "{source}");
        }
    }

    #[test]
    fn without_a_limit_nothing_is_worked_out() {
        let broken = Cost::By(program("error"));
        assert_eq!(of(&plan(&[]), Some(0), &broken, &call("{}")), Ok(Demand::default()));
    }
}
