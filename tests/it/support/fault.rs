//! Faults of our own, asked for.

use std::panic;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use causeway_actors::integration::PanicNow;

use super::{Process, Server, until};

/// Has an integration's actor panic.
pub(crate) fn panic_now(server: &Server, integration: &str) {
    keep_quiet();
    assert!(server.place(integration).send(PanicNow).is_ok(), "the actor takes the message");
}

/// Waits until an integration's actor has been rebuilt this often.
pub(crate) async fn generation_is(server: &Server, integration: &str, generation: u64) {
    until(&format!("the actor of {integration} is rebuilt {generation} times"), async || {
        (server.integration(integration).await["actor"]["generation"] == generation).then_some(())
    })
    .await;
}

/// Keeps the panic that is asked for out of the test's output; writing it down would take longer than the restart.
fn keep_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref() != Some(&"asked to") {
                told(panic);
            }
        }));
    });
}

/// Files that a package brings, wherever it puts them here.
pub(crate) fn installed(name: &str) -> PathBuf {
    let places = [
        "/usr/lib/fiu",
        "/usr/lib/x86_64-linux-gnu/fiu",
        "/usr/lib/aarch64-linux-gnu/fiu",
        "/usr/lib/x86_64-linux-gnu/faketime",
        "/usr/lib/aarch64-linux-gnu/faketime",
    ];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not installed: run scripts/peers faults"))
}

/// Sets how large a file of the process may become: as `ulimit -f` does, from outside.
pub(crate) fn files_may_have(process: &Process, bytes: &str) {
    let id = process.id().to_string();
    let set = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={bytes}:unlimited")]).status();
    assert!(set.expect("the command `prlimit`").success());
}
