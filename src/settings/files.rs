//! Finds and reads the files of a configuration directory, within bounds.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Position, SettingsError, SettingsErrors};
use super::reader::one_line;

/// The largest configuration file, in bytes.
const MAX_FILE: usize = 1 << 20;
/// The most files of one kind.
const MAX_FILES: usize = 2000;

const SERVER_FILE: &str = "causeway.toml";
const INTEGRATIONS: &str = "integrations";
const OPERATIONS: &str = "operations";

/// What a file is about; by its path inside the configuration's directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// `causeway.toml`.
    Server,
    /// `integrations/NAME.toml`.
    Integration(String),
    /// `operations/NAME.toml`.
    Operation(String),
}

/// One file.
pub(super) struct Source {
    pub(super) subject: Subject,
    /// Its path, as it is shown.
    pub(super) shown: Arc<str>,
    /// Its text; `None` if it could not be read, which is told.
    pub(super) text: Option<String>,
}

/// Reads the files of `dir`, in the order server, integrations, operations, each by name.
pub(super) fn read(dir: &Path, errors: &mut SettingsErrors) -> Vec<Source> {
    if !dir.is_dir() {
        let message = "there is no such directory; give the directory that has integrations/ in it";
        errors.push(SettingsError::whole(shown_path(dir), message));
        return Vec::new();
    }
    let mut sources = Vec::new();
    let server = dir.join(SERVER_FILE);
    if server.symlink_metadata().is_ok() {
        sources.push(read_source(Subject::Server, &server, errors));
    }
    for (folder, subject) in folders() {
        let folder = dir.join(folder);
        match list(&folder) {
            Ok(files) if files.len() <= MAX_FILES => {
                let named = files.into_iter().map(|(name, path)| (subject(name), path));
                sources.extend(named.map(|(subject, path)| read_source(subject, &path, errors)));
            }
            Ok(files) => {
                let message = format!("{} files are too many; keep at most {MAX_FILES}", files.len());
                errors.push(SettingsError::whole(shown_path(&folder), message));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => errors.push(unreadable(&folder, &error)),
        }
    }
    sources
}

/// Takes texts as the files at `paths` inside a configuration's directory.
pub(super) fn embedded(files: &[(&str, &str)], errors: &mut SettingsErrors) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::with_capacity(files.len());
    for (path, text) in files {
        let shown = shown_path(Path::new(path));
        let Some(subject) = subject_of(path) else {
            let message = "this is no configuration file; name it causeway.toml, integrations/NAME.toml or \
                           operations/NAME.toml";
            errors.push(SettingsError::whole(shown, message));
            continue;
        };
        if sources.iter().any(|source| source.subject == subject) {
            errors.push(SettingsError::whole(shown, "the file is given twice; give it once"));
            continue;
        }
        sources.push(Source { subject, shown, text: Some((*text).to_owned()) });
    }
    sources.sort_by(|one, other| one.subject.cmp(&other.subject));
    sources
}

/// The folder of integrations in `dir`, as it is shown.
pub(super) fn integrations_of(dir: &Path) -> Arc<str> {
    shown_path(&dir.join(INTEGRATIONS))
}

/// A folder, and what a file in it is about, given the file's name.
type Folder = (&'static str, fn(String) -> Subject);

fn folders() -> [Folder; 2] {
    [(INTEGRATIONS, Subject::Integration), (OPERATIONS, Subject::Operation)]
}

fn subject_of(path: &str) -> Option<Subject> {
    if path == SERVER_FILE {
        return Some(Subject::Server);
    }
    let (folder, file) = path.split_once('/')?;
    let (_, subject) = folders().into_iter().find(|(known, _)| *known == folder)?;
    file.strip_suffix(".toml").map(|name| subject(name.to_owned()))
}

/// The TOML files in `folder`, by name. Hidden ones are an editor's or a volume's own; others are no configuration.
fn list(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension() == Some(OsStr::new("toml")) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, path));
        }
    }
    files.sort();
    Ok(files)
}

fn read_source(subject: Subject, path: &Path, errors: &mut SettingsErrors) -> Source {
    let shown = shown_path(path);
    let text = match read_text(path, &shown) {
        Ok(text) => Some(text),
        Err(error) => {
            errors.push(error);
            None
        }
    };
    Source { subject, shown, text }
}

fn read_text(path: &Path, shown: &Arc<str>) -> Result<String, SettingsError> {
    let content = read_bounded(path).map_err(|error| unreadable(path, &error))?;
    if content.len() > MAX_FILE {
        let message =
            format!("the file is larger than {} MiB; a configuration file is smaller", MAX_FILE >> 20);
        return Err(SettingsError::whole(Arc::clone(shown), message));
    }
    String::from_utf8(content).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default());
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let position = Position { file: Arc::clone(shown), line, column };
        SettingsError::at(position, "this is not UTF-8; save the file as UTF-8")
    })
}

/// Reads at most one byte more than [`MAX_FILE`], and only what is a file: a pipe would be waited for.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut content = Vec::new();
    let bound = u64::try_from(MAX_FILE + 1).unwrap_or(u64::MAX);
    File::open(path)?.take(bound).read_to_end(&mut content)?;
    Ok(content)
}

fn unreadable(path: &Path, error: &io::Error) -> SettingsError {
    let message = format!("this cannot be read: {error}; check the path and its permissions");
    SettingsError::whole(shown_path(path), message)
}

/// A path as messages show it: on one line.
fn shown_path(path: &Path) -> Arc<str> {
    one_line(&path.to_string_lossy()).into()
}
