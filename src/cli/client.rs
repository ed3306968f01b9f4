//! A small HTTP client for commands that talk to a running server.
//!
//! What goes wrong is told with what was tried and what to do: which variable holds the key, which option the address.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de};
use tokio::net::TcpStream;

use super::{CommandError, keys};

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// Where the admin API is, for the commands that use it.
#[derive(Debug, clap::Args)]
pub(super) struct AdminArgs {
    /// Where the admin API listens.
    #[arg(
        long,
        env = "CAUSEWAY_ADMIN_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8081",
        global = true
    )]
    admin_url: String,
}

/// One of a server's two APIs. Keys are read from the environment, never from an argument, which every process of the
/// machine could see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Business,
    Admin,
}

impl Api {
    const fn name(self) -> &'static str {
        match self {
            Self::Business => "business API",
            Self::Admin => "admin API",
        }
    }

    const fn option(self) -> &'static str {
        match self {
            Self::Business => "--url or CAUSEWAY_URL",
            Self::Admin => "--admin-url or CAUSEWAY_ADMIN_URL",
        }
    }

    const fn key_variable(self) -> &'static str {
        match self {
            Self::Business => "CAUSEWAY_CLIENT_KEY",
            Self::Admin => "CAUSEWAY_OPERATOR_KEY",
        }
    }

    const fn holders(self) -> &'static str {
        match self {
            Self::Business => "[[clients]]",
            Self::Admin => "[[operators]]",
        }
    }
}

/// A running server's API.
#[derive(Debug)]
pub(super) struct Server<'a> {
    api: Api,
    base: &'a str,
    key: Option<SecretString>,
}

/// A request.
#[derive(Debug)]
pub(super) struct Ask {
    /// What it is for, as in `listing the integrations`.
    pub(super) purpose: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) patience: Duration,
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
    retry_after: Option<u64>,
}

/// An error answer, as far as a command needs it.
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

impl AdminArgs {
    pub(super) fn server(&self) -> Server<'_> {
        Server::at(Api::Admin, &self.admin_url)
    }
}

impl Answer {
    /// The code of a problem.
    pub(super) fn code(&self) -> Option<String> {
        serde_json::from_str(&self.body).ok().map(|problem: Problem| problem.code)
    }
}

impl Ask {
    pub(super) fn get(purpose: impl Into<String>, path: impl Into<String>) -> Self {
        let (purpose, path) = (purpose.into(), path.into());
        let patience = Duration::from_secs(10);
        Self { purpose, method: Method::GET, path, body: String::new(), headers: Vec::new(), patience }
    }

    pub(super) fn post(purpose: impl Into<String>, path: impl Into<String>, body: String) -> Self {
        Self { method: Method::POST, body, ..Self::get(purpose, path) }
    }
}

impl<'a> Server<'a> {
    pub(super) fn at(api: Api, base: &'a str) -> Self {
        let key = std::env::var_os(api.key_variable()).filter(|key| !key.is_empty());
        // What is no text is no key either, and is told as such.
        let key = key.map(|key| SecretString::from(key.to_string_lossy().into_owned()));
        Self { api, base: base.trim_end_matches('/'), key }
    }

    /// Sends a request and reads the whole answer, a good one or not.
    pub(super) async fn send(&self, ask: &Ask) -> Result<Answer, CommandError> {
        let uri = self.uri(ask)?;
        let mut headers = ask.headers.clone();
        headers.extend(self.authorization()?.map(|key| (AUTHORIZATION.as_str(), key)));
        match tokio::time::timeout(ask.patience, exchange(&uri, ask, &headers)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(broken)) => Err(self.failed(ask, broken.told(self.api))),
            Err(_) => Err(self.failed(ask, format!("no answer within {} s", ask.patience.as_secs()))),
        }
    }

    /// Sends a request whose answer must be a good one, and reads it.
    pub(super) async fn get(&self, ask: &Ask) -> Result<String, CommandError> {
        let answer = self.send(ask).await?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(self.refused(ask, &answer)) }
    }

    /// What a good answer says.
    pub(super) fn read<T: de::DeserializeOwned>(&self, ask: &Ask, body: &str) -> Result<T, CommandError> {
        serde_json::from_str(body).map_err(|error| self.unreadable(ask, &error))
    }

    /// What to say of a good answer that cannot be read.
    pub(super) fn unreadable(&self, ask: &Ask, error: &serde_json::Error) -> CommandError {
        let what = "the answer is none that this version of the command reads";
        self.failed(ask, format!("{what}: {error}; is the server of the same version?"))
    }

    /// What to say of an answer that is not good.
    pub(super) fn refused(&self, ask: &Ask, answer: &Answer) -> CommandError {
        let problem: Option<Problem> = serde_json::from_str(&answer.body).ok();
        let Some(problem) = problem else {
            let (status, name, option) = (answer.status, self.api.name(), self.api.option());
            return self
                .failed(ask, format!("{status} is not how the {name} answers; check the address, {option}"));
        };
        let advice = self.advice(&problem.code, answer.retry_after);
        let message = self.message(ask, format!("{}{advice}", problem.detail));
        if problem.code == "malformed_request" {
            CommandError::Usage(message)
        } else {
            CommandError::Failed(message)
        }
    }

    fn advice(&self, code: &str, retry_after: Option<u64>) -> String {
        let (variable, holders) = (self.api.key_variable(), self.api.holders());
        match (code, &self.key) {
            ("unauthenticated", None) => {
                return format!("; set {variable} to the key of one of {holders} in causeway.toml");
            }
            ("unauthenticated", Some(key)) => {
                let other = keys::Kind::of_key(key.expose_secret()).filter(|kind| kind.api() != self.api);
                let slip = other.map_or_else(String::new, |kind| format!("; it begins as an {kind}'s does"));
                return format!(
                    "; {variable} must hold the key of one of {holders} in causeway.toml{}",
                    slip.replace("an client", "a client")
                );
            }
            ("forbidden", _) => return format!("; the key that was sent is in {variable}"),
            ("not_found", _) => {
                return format!(
                    "; is the {} there? The address is set by {}",
                    self.api.name(),
                    self.api.option()
                );
            }
            _ => {}
        }
        retry_after.map_or_else(String::new, |seconds| format!("; try again in {seconds} s"))
    }

    fn failed(&self, ask: &Ask, why: impl Display) -> CommandError {
        CommandError::Failed(self.message(ask, why))
    }

    fn message(&self, ask: &Ask, why: impl Display) -> String {
        format!("{} at {}: {why}", ask.purpose, self.base)
    }

    fn uri(&self, ask: &Ask) -> Result<Uri, CommandError> {
        let (base, option) = (self.base, self.api.option());
        let wrong = |what: &str| {
            CommandError::Usage(format!("`{base}` {what}; write http://HOST:PORT with {option}"))
        };
        let uri: Uri = format!("{base}{}", ask.path).parse().map_err(|_| wrong("is no URL"))?;
        match uri.scheme_str() {
            Some("http") => Ok(uri),
            Some("https") => {
                Err(wrong("asks for TLS, which the server leaves to a proxy and this command does not speak"))
            }
            _ => Err(wrong("is not how a server is reached")),
        }
    }

    fn authorization(&self) -> Result<Option<String>, CommandError> {
        let Some(key) = &self.key else { return Ok(None) };
        let header = format!("Bearer {}", key.expose_secret());
        if key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic())
            && HeaderValue::from_str(&header).is_ok()
        {
            return Ok(Some(header));
        }
        let variable = self.api.key_variable();
        Err(CommandError::Usage(format!(
            "{variable} holds spaces, line breaks or other characters that no key has; set it to the key alone"
        )))
    }
}

/// Waits for what a command does.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CommandError::Failed(format!("starting: {error}")))?.block_on(work)
}

/// A name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-').remove(b'@');
    percent_encoding::utf8_percent_encode(name, KEPT).to_string()
}

/// Why there is no answer.
enum Broken {
    /// There was no connection, so nothing has happened.
    Connecting(std::io::Error),
    /// It broke.
    Exchanging(Box<dyn std::error::Error + Send + Sync>),
}

impl Broken {
    fn told(&self, api: Api) -> String {
        let option = api.option();
        match self {
            Self::Connecting(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => format!(
                "nothing listens there; start a server (`causeway serve`, `causeway demo`), or say where it is with {option}"
            ),
            Self::Connecting(error) => format!("{error}; check the address, {option}"),
            Self::Exchanging(error) => format!("the connection broke before the answer: {error}"),
        }
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Exchanging(error.into())
    }
}

async fn exchange(uri: &Uri, ask: &Ask, headers: &[(&'static str, String)]) -> Result<Answer, Broken> {
    let authority = uri.authority().ok_or("the URL names no host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await;
    let stream = stream.map_err(Broken::Connecting)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(&ask.method).uri(path).header(HOST, authority.as_str());
    if ask.method != Method::GET {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(ask.body.clone())))?).await?;
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    driver.abort();
    Ok(Answer { status, retry_after, body: String::from_utf8_lossy(&body).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(api: Api, key: Option<&str>) -> Server<'static> {
        Server { api, base: "http://127.0.0.1:1", key: key.map(SecretString::from) }
    }

    fn answer(status: u16, code: &str, retry_after: Option<u64>) -> Answer {
        let body = format!("{{\"code\":\"{code}\",\"detail\":\"no\"}}");
        Answer { status: StatusCode::from_u16(status).unwrap(), body, retry_after }
    }

    fn told(server: &Server<'_>, answer: &Answer) -> String {
        let refused = server.refused(&Ask::get("looking", "/"), answer);
        let CommandError::Failed(message) = refused else { panic!("{refused:?}") };
        message
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let (anonymous, client) = (server(Api::Admin, None), server(Api::Admin, Some("cwc_x")));
        for (server, status, code, advice) in [
            (
                &anonymous,
                401,
                "unauthenticated",
                "; set CAUSEWAY_OPERATOR_KEY to the key of one of [[operators]] in causeway.toml",
            ),
            (
                &client,
                401,
                "unauthenticated",
                "; CAUSEWAY_OPERATOR_KEY must hold the key of one of [[operators]] in causeway.toml; it begins as a client's does",
            ),
            (&client, 403, "forbidden", "; the key that was sent is in CAUSEWAY_OPERATOR_KEY"),
            (
                &anonymous,
                404,
                "not_found",
                "; is the admin API there? The address is set by --admin-url or CAUSEWAY_ADMIN_URL",
            ),
            (&anonymous, 429, "locked_out", "; try again in 7 s"),
        ] {
            let retry_after = (status == 429).then_some(7);
            let message = told(server, &answer(status, code, retry_after));
            assert_eq!(message, format!("looking at http://127.0.0.1:1: no{advice}"));
        }
        let business = told(&server(Api::Business, Some("cwo_x")), &answer(401, "unauthenticated", None));
        assert!(
            business.contains("CAUSEWAY_CLIENT_KEY") && business.ends_with("as an operator's does"),
            "{business}"
        );
        let other = Answer { status: StatusCode::OK, body: "<html>".to_owned(), retry_after: None };
        assert!(told(&anonymous, &other).contains("200 OK is not how the admin API answers"));
    }

    #[test]
    fn a_key_and_an_address_are_looked_at_before_they_are_used() {
        assert_eq!(server(Api::Admin, Some("key")).authorization().unwrap().as_deref(), Some("Bearer key"));
        for key in ["two words", "line\n", "ключ"] {
            let refused = server(Api::Admin, Some(key)).authorization();
            let Err(CommandError::Usage(message)) = refused else { panic!("{refused:?}") };
            assert!(message.starts_with("CAUSEWAY_OPERATOR_KEY ") && !message.contains(key), "{message}");
        }
        for base in ["127.0.0.1:8081", "https://a", "ftp://a", "http://", "a b"] {
            let server = Server { api: Api::Admin, base, key: None };
            assert!(matches!(server.uri(&Ask::get("x", "/")), Err(CommandError::Usage(_))), "{base}");
        }
        assert_eq!(segment("payments.charge@2"), "payments.charge@2");
        assert_eq!(segment("../a b"), "..%2Fa%20b");
    }
}
