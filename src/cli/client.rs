//! A small HTTP client for commands that talk to a running server on loopback.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;

use super::CommandError;

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// An answer, whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

/// What a command proves itself with, if the server asks for a key. It is read from the environment, never from an
/// argument, which every process of the machine could see.
#[derive(Debug)]
pub(super) struct Key(Option<SecretString>);

impl Key {
    /// Of a caller of the business API.
    pub(super) fn of_client() -> Self {
        Self::from("CAUSEWAY_CLIENT_KEY")
    }

    /// Of an operator.
    pub(super) fn of_operator() -> Self {
        Self::from("CAUSEWAY_OPERATOR_KEY")
    }

    fn from(variable: &str) -> Self {
        Self(std::env::var(variable).ok().filter(|key| !key.is_empty()).map(SecretString::from))
    }
}

/// Sends one request and reads the whole answer.
pub(super) fn send(
    method: Method,
    base: &str,
    path: &str,
    body: String,
    headers: &[(&str, String)],
    key: &Key,
    patience: Duration,
) -> Result<Answer, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CommandError::Failed(error.to_string()))?;
    let uri: Uri = format!("{}{path}", base.trim_end_matches('/'))
        .parse()
        .map_err(|error| CommandError::Usage(format!("`{base}` is no URL: {error}")))?;
    if uri.scheme_str() != Some("http") {
        return Err(CommandError::Usage(format!("`{base}`: a server is reached by http://")));
    }
    let mut headers = headers.to_vec();
    headers.extend(key.0.as_ref().map(|key| ("Authorization", format!("Bearer {}", key.expose_secret()))));
    let failed =
        |what: String| CommandError::Failed(format!("{method} {uri}: {what}; is the server running there?"));
    runtime.block_on(async {
        let exchange = tokio::time::timeout(patience, exchange(&method, &uri, body, &headers));
        match exchange.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {} s", patience.as_secs()))),
        }
    })
}

async fn exchange(
    method: &Method,
    uri: &Uri,
    body: String,
    headers: &[(&str, String)],
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let authority = uri.authority().ok_or("the URL names no host")?;
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(method).uri(path).header(HOST, authority.as_str());
    request = request.header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    driver.abort();
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}
