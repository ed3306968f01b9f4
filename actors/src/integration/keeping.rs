//! What of the limits outlives the process: handed to the ledger as it falls due, and what comes of that told to the core.

use actix::{AsyncContext, Context};
use causeway_core::time::Now;

use super::{IntegrationActor, LimitsWritten};

impl IntegrationActor {
    /// Has written down what is due: most often nothing.
    pub(super) fn tell_ledger(&mut self, ctx: &Context<Self>, now: Now) {
        let Some(ledger) = &self.parts.ledger else { return };
        let due = self.core.take_due(now);
        if due.is_empty() {
            return;
        }
        let written = ledger.keep(due.iter().map(|due| due.record.clone()).collect());
        let address = ctx.address().downgrade();
        actix::spawn(async move {
            // A ledger that is gone has written nothing.
            let ok = written.await.unwrap_or(false);
            if let Some(address) = address.upgrade()
                && address.try_send(LimitsWritten { due, ok }).is_err()
            {
                // Calls that wait for it ask again.
                tracing::warn!("could not tell the actor what is known of its limits");
            }
        });
    }
}
