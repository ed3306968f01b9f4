//! A wall clock that is as a file says, for a server in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::fault::installed;

/// How far off the wall clocks of its programs are.
pub(crate) struct Clock(PathBuf);

impl Clock {
    /// A clock that is right, told by a file in this directory.
    pub(crate) fn new(dir: &Path) -> Self {
        let clock = Self(dir.join("clock"));
        clock.set("+0");
        clock
    }

    /// Sets it so far off, as `+2h`.
    pub(crate) fn set(&self, off: &str) {
        fs::write(&self.0, off).expect("a file is written");
    }

    /// Has a program go by it; monotonic time goes on as it does.
    pub(crate) fn of<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LD_PRELOAD", installed("libfaketimeMT.so.1")).env("FAKETIME_TIMESTAMP_FILE", &self.0);
        command
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
    }
}
