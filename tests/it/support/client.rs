//! An HTTP client that shows everything that came back.
//!
//! Each request has a connection of its own, so nothing is left open when a test ends.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wait::PATIENCE;

/// One listener, as a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(SocketAddr);

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Ask {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    /// A POST of JSON.
    pub(crate) fn post(path: impl Into<String>, body: &Value) -> Self {
        Self::post_text(path, body.to_string()).header("content-type", "application/json")
    }

    /// A POST of anything, without a content type.
    pub(crate) fn post_text(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, body: body.into(), ..Self::get(path) }
    }

    /// Runs an operation.
    pub(crate) fn run(operation: &str, input: &Value) -> Self {
        Self::post(format!("/v1/operations/{operation}"), input)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn deadline_ms(self, millis: u64) -> Self {
        self.header("x-deadline-ms", &millis.to_string())
    }
}

/// What came back, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of text"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The document of an answer that must be a success.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// The document of an answer that must be this problem; that it has all parts of one is checked.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let document = self.json();
        assert_eq!((self.status, document["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(document["type"], format!("/docs/errors/{code}"));
        assert_eq!(document["status"], status);
        assert!(document["title"].as_str().is_some_and(|title| !title.is_empty()), "{document}");
        assert!(document["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{document}");
        assert!(document["retryable"].is_boolean(), "{document}");
        assert_eq!(document["correlation_id"].as_str(), self.header("x-correlation-id"), "{document}");
        document
    }

    /// `Retry-After`, in seconds.
    pub(crate) fn retry_after(&self) -> u64 {
        let value = self.header("retry-after").unwrap_or_else(|| panic!("no Retry-After in {self:?}"));
        value.parse().expect("Retry-After in seconds")
    }
}

impl Client {
    pub(crate) const fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.0
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Ask::get(path)).await
    }

    /// A DELETE.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Ask::delete(path)).await
    }

    /// A DELETE, as whoever has this key.
    pub(crate) async fn delete_as(&self, path: &str, key: &str) -> Answer {
        let ask = Ask { method: Method::DELETE, ..Ask::get(path) };
        self.send(ask.header("authorization", &format!("Bearer {key}"))).await
    }

    /// Runs an operation.
    pub(crate) async fn run(&self, operation: &str, input: &Value) -> Answer {
        self.send(Ask::run(operation, input)).await
    }

    /// Sends a request and reads the whole answer; every answer must carry a correlation id.
    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        let answer = self.try_send(ask.clone()).await;
        answer.unwrap_or_else(|error| panic!("{error}: {ask:?} to {}", self.0))
    }

    /// The same, where the connection may be refused or broken.
    pub(crate) async fn try_send(&self, ask: Ask) -> Result<Answer, String> {
        let exchange = tokio::time::timeout(PATIENCE, self.exchange(ask));
        exchange.await.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())
    }

    async fn exchange(&self, ask: Ask) -> Result<Answer, Box<dyn std::error::Error>> {
        let stream = TcpStream::connect(self.0).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder().method(ask.method).uri(ask.path);
        request = request.header("host", self.0.to_string()).header("connection", "close");
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        let response = sender.send_request(request.body(Full::new(ask.body))?).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        driver.abort();
        let body = String::from_utf8(body.to_vec())?;
        let answer = Answer { status: head.status.as_u16(), headers: head.headers, body };
        assert!(
            answer.header("x-correlation-id").is_some(),
            "an answer without a correlation id: {answer:?}"
        );
        Ok(answer)
    }

    /// Runs an operation and does not read the answer: dropping the stream is the caller's leaving.
    pub(crate) async fn begin(&self, operation: &str, input: &Value) -> TcpStream {
        let body = input.to_string();
        let mut stream = TcpStream::connect(self.0).await.expect("the server listens");
        let head = format!(
            "POST /v1/operations/{operation} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.0,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.expect("the request is sent");
        stream
    }

    /// Sends these bytes as they are and reads what comes back until the connection's end.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.0).await.expect("the server listens");
        let mut answer = Vec::new();
        let exchange = async {
            stream.write_all(bytes).await?;
            stream.read_to_end(&mut answer).await
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("no answer").expect("the connection broke");
        String::from_utf8(answer).expect("an answer of text")
    }
}
