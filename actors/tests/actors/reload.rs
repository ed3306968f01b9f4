//! Another configuration while calls are under way.

use std::sync::{Arc, Mutex};

use causeway_actors::fakes::Script;
use causeway_actors::plan::IntegrationPlan;
use causeway_core::failure::ErrorClass;
use causeway_core::operation::RunStatus;

use crate::world::{At, LONG, Setting, To, World, millis};

/// The integrations of a setting, the provider's changed.
fn changed(setting: &Setting, change: impl FnOnce(&mut IntegrationPlan)) -> Vec<Arc<IntegrationPlan>> {
    let mut provider = Arc::into_inner(setting.integration(At::Provider.name())).unwrap();
    change(&mut provider);
    vec![Arc::new(provider), setting.integration(At::Neighbour.name())]
}

#[test]
fn a_call_goes_where_its_run_knows_the_integration_to_be() {
    let hosts = Arc::new(Mutex::new(Vec::new()));
    let (seen, setting) = (Arc::clone(&hosts), Setting::default());
    let play = move |_: usize, request: &causeway_actors::ports::WireRequest| {
        seen.lock().unwrap().push(request.uri.host().unwrap().to_owned());
        Script::answers(200, "{}")
    };
    World::live(&setting, play, async |world| {
        let before = world.directory();
        world.reconfigure(changed(&setting, |plan| plan.base_url = "https://moved.example".to_owned())).await;
        let of_before = world.dispatch_by(Arc::clone(&before), At::Provider, To::Keyed, LONG);
        assert_eq!(of_before.outcome().await.status, RunStatus::Succeeded);
        assert_eq!(world.dispatch(To::Keyed, LONG).outcome().await.status, RunStatus::Succeeded);
        // Of the endpoints that the run knows none is left.
        world.reconfigure(changed(&setting, |plan| plan.endpoints.clear())).await;
        let of_before = world.dispatch_by(before, At::Provider, To::Plain, LONG);
        assert_eq!(of_before.outcome().await.status, RunStatus::Succeeded);
    });
    assert_eq!(*hosts.lock().unwrap(), ["provider.example", "moved.example", "provider.example"]);
}

#[test]
fn an_integration_that_is_gone_ends_with_the_last_that_knows_it() {
    let setting = Setting::default();
    let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(500));
    World::live(&setting, play, async |world| {
        let before = world.directory();
        let early = world.dispatch(To::Keyed, LONG);
        world.now().await;
        world.reconfigure(vec![setting.integration(At::Neighbour.name())]).await;
        assert!(world.directory().find(At::Provider.name()).is_none());
        world.pass(millis(250)).await;
        let late = world.dispatch_by(before, At::Provider, To::Keyed, LONG);
        assert_eq!(early.outcome().await.status, RunStatus::Succeeded);
        assert!(world.posted(At::Provider).is_some(), "a run is under way");
        assert_eq!(late.outcome().await.status, RunStatus::Succeeded);
        world.now().await;
        assert!(world.posted(At::Provider).is_none(), "nobody knows it any more");
        world.reconfigure(changed(&setting, |_| {})).await;
        assert_eq!(world.dispatch(To::Safe, LONG).outcome().await.status, RunStatus::Succeeded);
    });
}

#[test]
fn a_pool_grows_at_once_and_shrinks_as_calls_end() {
    let play = |_: usize, _: &_| Script::answers(200, "{}").after(millis(1_000));
    let (small, large) = (Setting::pool(1, 0), Setting::pool(3, 0));
    World::live(&small, play, async |world| {
        let mut calls = vec![world.dispatch(To::Safe, LONG)];
        world.now().await;
        let refused = world.dispatch(To::Safe, LONG).failure().await;
        assert_eq!(refused.class, ErrorClass::Overloaded);
        world.reconfigure(changed(&large, |_| {})).await;
        calls.extend([world.dispatch(To::Safe, LONG), world.dispatch(To::Safe, LONG)]);
        world.now().await;
        assert_eq!((world.transport.flying(), world.place().calls()), (3, 3));
        world.reconfigure(changed(&small, |_| {})).await;
        assert_eq!(world.dispatch(To::Safe, LONG).failure().await.class, ErrorClass::Overloaded);
        assert_eq!(world.transport.flying(), 3, "who has a place keeps it");
        for call in calls {
            assert_eq!(call.outcome().await.status, RunStatus::Succeeded);
        }
        let one = world.dispatch(To::Safe, LONG);
        world.now().await;
        assert_eq!(world.dispatch(To::Safe, LONG).failure().await.class, ErrorClass::Overloaded);
        assert_eq!(one.outcome().await.status, RunStatus::Succeeded);
    });
}
