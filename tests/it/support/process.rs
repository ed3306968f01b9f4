//! A program in a process of its own, such as the server as its users run it.
//!
//! Its output is read all along, so that it never waits for a reader. Dropping it kills it, by its own id.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::wait::{PATIENCE, until_within};
use super::{Client, until};

type Text = Arc<Mutex<String>>;

/// A running program.
pub(crate) struct Process {
    child: Child,
    out: Text,
    err: Text,
    readers: Vec<thread::JoinHandle<()>>,
}

/// How a program ended, with all it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// `causeway` with these arguments, and nothing of the environment that could change what it does.
pub(crate) fn causeway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
    for variable in [
        "CAUSEWAY_CONFIG",
        "CAUSEWAY_URL",
        "CAUSEWAY_ADMIN_URL",
        "CAUSEWAY_CLIENT_KEY",
        "CAUSEWAY_OPERATOR_KEY",
        "FAILPOINTS",
        "NO_COLOR",
    ] {
        command.env_remove(variable);
    }
    command.args(arguments);
    command
}

/// Runs `causeway` with these arguments to its end.
pub(crate) async fn run(arguments: &[&str]) -> Ended {
    Process::start(&mut causeway(arguments)).ended().await
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("{error}: {command:?}"));
        let (out, err) = (Text::default(), Text::default());
        let readers = vec![
            read(child.stdout.take().expect("a pipe"), Arc::clone(&out)),
            read(child.stderr.take().expect("a pipe"), Arc::clone(&err)),
        ];
        Self { child, out, err, readers }
    }

    /// Waits until it has said something that `find` finds in its standard output.
    pub(crate) async fn says<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        until(&format!("a program says {what}"), async || {
            let found = find(&text(&self.out));
            if found.is_none()
                && let Ok(Some(status)) = self.child.try_wait()
            {
                panic!(
                    "it ended with {status} before it said {what}: {}{}",
                    text(&self.out),
                    text(&self.err)
                );
            }
            found
        })
        .await
    }

    /// Waits until a server says where it listens: the business API and the admin API.
    pub(crate) async fn serves(&mut self) -> (Client, Client) {
        self.says("where it listens", listens).await
    }

    /// The same of a server that may end before; then `None`.
    pub(crate) async fn serves_or_ends(&mut self) -> Option<(Client, Client)> {
        until("a server serves or ends", async || match listens(&text(&self.out)) {
            Some(listens) => Some(Some(listens)),
            None => self.has_ended().then_some(None),
        })
        .await
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_some()
    }

    /// Asks it to end, as an operator or an orchestrator does.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        let sent = Command::new("kill").args([&signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("the command `kill`").success(), "it could not be signalled");
    }

    /// Ends it without asking.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }

    /// Waits for its end, on this thread.
    pub(crate) fn wait(&mut self) {
        self.child.wait().expect("it has ended");
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) -> Ended {
        self.ended_within(PATIENCE).await
    }

    /// Waits for the end of one that takes long by itself.
    pub(crate) async fn ended_within(mut self, patience: Duration) -> Ended {
        let look = async || self.child.try_wait().expect("its status");
        let status = until_within(patience, "a program ends", look).await;
        for reader in self.readers.drain(..) {
            reader.join().expect("its output is read");
        }
        Ended { status, out: text(&self.out), err: text(&self.err) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a server says that it listens.
fn listens(out: &str) -> Option<(Client, Client)> {
    let lines = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let address = |line: &Value, name: &str| Some(Client::new(line[name].as_str()?.parse().ok()?));
    lines.filter_map(|line| address(&line, "api").zip(address(&line, "admin"))).next()
}

fn read(pipe: impl Read + Send + 'static, text: Text) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
        }
    })
}

fn text(text: &Text) -> String {
    text.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
