//! An integration's credential: the one in use, and what happens when the provider refuses it.
//!
//! Every attempt takes the `current` one. An attempt that is answered 401 asks for
//! another (`instead_of`): the source is read again, by one attempt at a time and at most once a second,
//! and what has changed is there for all new calls at once. What is worth trying, and for how long, is decided by
//! [`causeway_core::credential`]. When nothing helps, `alarm` tells people.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use causeway_core::credential::Rotation;
use causeway_core::failure::Failure;
use causeway_core::name::IntegrationName;
use causeway_core::time::Mono;

use crate::clock::Clock;
use crate::metric::{Labels, Metric};
use crate::plan::Auth;
use crate::ports::CredentialSource;

/// How long a source may take to be read while a call waits for it.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// How often, at most, one integration raises the alarm.
const ALARM_EVERY: Duration = Duration::from_secs(10);
/// The target under which alarms are logged.
const TARGET: &str = "causeway::credential";

/// How a reading of the source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Changed,
    Unchanged,
    Failed,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Changed, Self::Unchanged, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
        }
    }
}

/// One integration's credential.
pub struct Credential {
    current: ArcSwap<Auth>,
    rotation: Mutex<Rotation<Arc<Auth>>>,
    source: Option<Box<dyn CredentialSource>>,
    /// Held by the one attempt that reads.
    reading: tokio::sync::Mutex<()>,
    alarmed: Mutex<Option<Mono>>,
}

/// Shows the kind and never the secret.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Credential").field(&*self.current()).finish()
    }
}

impl Credential {
    /// One that never changes.
    pub fn fixed(auth: Auth) -> Self {
        Self::new(auth, None)
    }

    /// One that was read from `source`, and can be read there again.
    pub fn from_source(auth: Auth, source: impl CredentialSource) -> Self {
        Self::new(auth, Some(Box::new(source)))
    }

    fn new(auth: Auth, source: Option<Box<dyn CredentialSource>>) -> Self {
        let auth = Arc::new(auth);
        Self {
            current: ArcSwap::new(Arc::clone(&auth)),
            rotation: Mutex::new(Rotation::new(auth)),
            source,
            reading: tokio::sync::Mutex::default(),
            alarmed: Mutex::default(),
        }
    }

    /// The one that new calls use.
    pub fn current(&self) -> Arc<Auth> {
        self.current.load_full()
    }

    /// Another one than `used`, which the provider has refused, if there is one; waits for it no longer than `within`.
    pub(crate) async fn instead_of(
        &self,
        used: &Arc<Auth>,
        integration: &IntegrationName,
        clock: &Clock,
        within: Duration,
    ) -> Option<Arc<Auth>> {
        let another = async {
            // Who waits here finds what the one before has read.
            let _one_at_a_time = self.reading.lock().await;
            if let Some(source) = &self.source
                && self.lock().reads(used, clock.mono())
            {
                self.read(source.as_ref(), integration, clock).await;
            }
            self.lock().instead_of(used, clock.mono()).cloned()
        };
        tokio::time::timeout(within, another).await.ok().flatten()
    }

    async fn read(&self, source: &dyn CredentialSource, integration: &IntegrationName, clock: &Clock) {
        let found = match tokio::time::timeout(READ_WITHIN, source.read()).await {
            Ok(found) => found,
            Err(_) => Err(format!("nothing came within {READ_WITHIN:?}")),
        };
        let changed = found.map(|found| self.lock().read(Arc::new(found), clock.mono()));
        let integration_name = integration.as_str();
        let outcome = match changed {
            Ok(true) => {
                self.current.store(Arc::clone(self.lock().current()));
                tracing::info!(
                    target: TARGET,
                    integration = integration_name,
                    "the credential has changed at its source; new calls use it"
                );
                Outcome::Changed
            }
            Ok(false) => Outcome::Unchanged,
            Err(error) => {
                tracing::warn!(
                    target: TARGET,
                    integration = integration_name,
                    error,
                    "the credential cannot be read again"
                );
                Outcome::Failed
            }
        };
        refreshes(integration, outcome).increment(1);
    }

    /// Tells people that a credential, the provider's or ours, is not accepted; once in a while, for it will not stop
    /// by itself.
    pub(crate) fn alarm(&self, integration: &IntegrationName, endpoint: &str, failure: &Failure, now: Mono) {
        let mut alarmed = self.alarmed.lock().unwrap_or_else(PoisonError::into_inner);
        if alarmed.is_some_and(|last| now.since(last) < ALARM_EVERY) {
            return;
        }
        *alarmed = Some(now);
        drop(alarmed);
        tracing::error!(
            target: TARGET,
            integration = integration.as_str(),
            endpoint,
            class = failure.class.as_str(),
            code = &*failure.code,
            status = failure.provider_status,
            error = &*failure.message,
            "a credential is not accepted; calls of this integration fail until it is put right"
        );
    }

    /// Makes the metrics' series, so that their first increase is not lost.
    pub(crate) fn describe(&self, integration: &IntegrationName) {
        if self.source.is_some() {
            for outcome in Outcome::ALL {
                refreshes(integration, outcome).increment(0);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rotation<Arc<Auth>>> {
        self.rotation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refreshes(integration: &IntegrationName, outcome: Outcome) -> metrics::Counter {
    let labels = Labels::none().named("integration", integration.shared()).word("outcome", outcome.as_str());
    Metric::CredentialRefresh.counter(&labels)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use http::{HeaderName, HeaderValue};

    use super::*;

    /// A source with these contents, one a reading; the last one stays. It takes a tenth of a second.
    struct Scripted {
        contents: Vec<Option<&'static str>>,
        read: Arc<AtomicUsize>,
    }

    impl CredentialSource for Scripted {
        fn read(&self) -> Pin<Box<dyn Future<Output = Result<Auth, String>> + Send>> {
            let number = self.read.fetch_add(1, Ordering::Relaxed);
            let content = self.contents[number.min(self.contents.len() - 1)];
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                content.map(auth).ok_or_else(|| "it is not there".to_owned())
            })
        }
    }

    fn auth(value: &'static str) -> Auth {
        Auth::Header(HeaderName::from_static("x-key"), HeaderValue::from_static(value))
    }

    fn credential(contents: &[Option<&'static str>]) -> (Credential, Arc<AtomicUsize>) {
        let read = Arc::<AtomicUsize>::default();
        let source = Scripted { contents: contents.to_vec(), read: Arc::clone(&read) };
        (Credential::from_source(auth("one"), source), read)
    }

    async fn instead(credential: &Credential, used: &Arc<Auth>, clock: &Clock) -> Option<Auth> {
        let name = IntegrationName::new("provider").unwrap();
        let long = Duration::from_secs(60);
        credential.instead_of(used, &name, clock, long).await.map(|auth| Auth::clone(&auth))
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_refusals_are_one_reading_and_all_get_the_new_one() {
        let (credential, read) = credential(&[Some("two")]);
        let (clock, used) = (Clock::start(), credential.current());
        let all = join_all((0..1000).map(|_| instead(&credential, &used, &clock))).await;
        assert!(all.into_iter().all(|other| other == Some(auth("two"))));
        assert_eq!((read.load(Ordering::Relaxed), &*credential.current()), (1, &auth("two")));
        // The new one is refused as well: the one before is what may be tried.
        let used = credential.current();
        assert_eq!(instead(&credential, &used, &clock).await, Some(auth("one")));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unchanged_or_unreadable_source_gives_nothing_and_is_left_alone_for_a_while() {
        let (credential, read) = credential(&[None, Some("one"), Some("two")]);
        let (clock, used) = (Clock::start(), credential.current());
        for (readings, found) in [(1, None), (2, None), (3, Some(auth("two")))] {
            for _ in 0..3 {
                assert_eq!(instead(&credential, &used, &clock).await, found);
            }
            assert_eq!(read.load(Ordering::Relaxed), readings);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_not_waited_for() {
        struct Hangs;
        impl CredentialSource for Hangs {
            fn read(&self) -> Pin<Box<dyn Future<Output = Result<Auth, String>> + Send>> {
                Box::pin(std::future::pending())
            }
        }
        let credential = Credential::from_source(auth("one"), Hangs);
        let (clock, used) = (Clock::start(), credential.current());
        assert_eq!(instead(&credential, &used, &clock).await, None);
        assert_eq!(clock.mono().since_origin(), READ_WITHIN);
    }

    #[test]
    fn nothing_of_it_is_printed() {
        assert_eq!(format!("{:?}", Credential::fixed(auth("s3cret"))), "Credential(Header(x-key, [secret]))");
    }
}
