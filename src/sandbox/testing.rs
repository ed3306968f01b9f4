//! A raw client for the sandbox's tests: it shows what is on the wire, however broken.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Any free port on loopback.
pub(super) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A good charge.
pub(super) const CHARGE: &str = r#"{"amount":100,"currency":"usd","source":"tok_visa"}"#;

/// All bytes that came back on one connection.
#[derive(Debug)]
pub(super) struct Raw(pub(super) Vec<u8>);

impl Raw {
    fn text(&self) -> (&str, &str) {
        std::str::from_utf8(&self.0).unwrap().split_once("\r\n\r\n").unwrap()
    }

    pub(super) fn status(&self) -> u16 {
        self.text().0.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(super) fn headers(&self) -> HashMap<String, String> {
        let lines = self.text().0.lines().skip(1).map(|line| line.split_once(": ").unwrap());
        lines.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect()
    }

    pub(super) fn body(&self) -> &str {
        self.text().1
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(self.body()).unwrap()
    }
}

/// Sends one request on a connection of its own, without waiting for the answer.
pub(super) async fn send(addr: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let mut head = format!("{line} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Sends one request on a connection of its own and reads to the connection's end.
pub(super) async fn exchange(addr: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Raw {
    let mut bytes = Vec::new();
    send(addr, line, headers, body).await.read_to_end(&mut bytes).await.unwrap();
    Raw(bytes)
}

/// Reads something without a body.
pub(super) async fn get(addr: SocketAddr, target: &str) -> Raw {
    exchange(addr, &format!("GET {target}"), &[], "").await
}

/// Asks for a good charge.
pub(super) async fn charge(addr: SocketAddr, key: &str) -> Raw {
    exchange(addr, "POST /v1/charges", &[("Idempotency-Key", key)], CHARGE).await
}
