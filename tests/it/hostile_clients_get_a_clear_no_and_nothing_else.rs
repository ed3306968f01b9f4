//! Clients that speak no proper HTTP, never end, vanish or come by the thousand: a clear 4xx or a closed connection, no
//! call that nobody asked for, and others are served.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::wait::{PATIENCE, Watch};
use crate::support::{Client, Config, Process, Provider, Server, charge, process, until};

const CHARGE: &str = r#"{"amount":1250,"currency":"eur","source":"tok_visa"}"#;

/// A whole request with further head lines, and this body.
fn request(lines: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /v1/operations/payments.charge HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{lines}\r\n{body}"
    )
    .into_bytes()
}

/// Sends these bytes and reads until the connection's end or a second's silence: what came back. That a connection
/// is reset is an answer too.
async fn told(client: Client, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(client.address()).await.expect("the server listens");
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let send = async {
        // A server that has heard enough does not read on.
        let _ = writer.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    let read = async {
        let mut buffer = [0; 4096];
        while let Ok(Ok(count @ 1..)) =
            tokio::time::timeout(Duration::from_secs(1), reader.read(&mut buffer)).await
        {
            answer.extend_from_slice(&buffer[..count]);
        }
    };
    tokio::select! { () = send => {}, () = read => {} }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of the answers that came back over one connection.
fn statuses(answer: &str) -> Vec<u16> {
    let heads =
        answer.match_indices("HTTP/1.1 ").filter_map(|(at, _)| answer.get(at + 9..at + 12)?.parse().ok());
    heads.collect()
}

#[tokio::test]
async fn what_two_servers_might_read_differently_is_not_run() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    let length = format!("content-length: {}\r\n", CHARGE.len());
    let chunked = format!("{:x}\r\n{CHARGE}\r\n0\r\n\r\n", CHARGE.len());
    let cases = [
        ("a length and chunks", request(&format!("{length}transfer-encoding: chunked\r\n"), &chunked)),
        ("chunks and a length", request(&format!("transfer-encoding: chunked\r\n{length}"), &chunked)),
        ("two lengths", request(&format!("{length}content-length: 5\r\n"), CHARGE)),
        ("a list of lengths", request("content-length: 52, 5\r\n", CHARGE)),
        ("a signed length", request(&format!("content-length: +{}\r\n", CHARGE.len()), CHARGE)),
        ("a length that is none", request("content-length: abc\r\n", CHARGE)),
        ("a length beyond all numbers", request("content-length: 99999999999999999999999\r\n", CHARGE)),
        ("an unknown coding", request("transfer-encoding: chunked, gzip\r\n", &chunked)),
        ("a coding by another name", request("transfer-encoding: xchunked\r\n", &chunked)),
        ("chunks twice", request("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", &chunked)),
        ("a chunk's size that is none", request("transfer-encoding: chunked\r\n", "zz\r\nabc\r\n0\r\n\r\n")),
        (
            "a chunk's size beyond all numbers",
            request("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        ),
        ("a space before a colon", request(&format!("content-length : {}\r\n", CHARGE.len()), CHARGE)),
        ("a line folded", request(&format!("x-a: 1\r\n  2\r\n{length}"), CHARGE)),
        ("a lone CR in a value", request(&format!("x-a: 1\r2\r\n{length}"), CHARGE)),
        ("a NUL in a value", request(&format!("x-a: 1\0002\r\n{length}"), CHARGE)),
        ("a NUL in a name", request(&format!("x\0a: 1\r\n{length}"), CHARGE)),
        ("no host", format!("POST / HTTP/1.1\r\n{length}\r\n{CHARGE}").into_bytes()),
        ("HTTP/2 without being asked", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
    ];
    let mut ran = Vec::new();
    for (what, bytes) in cases {
        let before = provider.arrivals().len();
        let answer = told(server.api, &bytes).await;
        let statuses = statuses(&answer);
        assert!(statuses.len() <= 1, "{what}: {answer}");
        assert!(statuses.iter().all(|status| (400..500).contains(status)), "{what}: {answer}");
        if provider.arrivals().len() != before {
            ran.push(what);
        }
        server.api.get("/v1/health").await.ok();
    }
    assert_eq!(ran, [""; 0], "these were run");
    server.api.run("payments.charge", &charge()).await.ok();
}

#[tokio::test]
async fn heads_are_bounded() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    let many: String = (0..10_000).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let cases = [
        ("ten thousand headers", request(&many, "")),
        ("a header of a megabyte", request(&format!("x-a: {}\r\n", "a".repeat(1 << 20)), "")),
        (
            "a path of a megabyte",
            format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(1 << 20)).into_bytes(),
        ),
        ("a method of a megabyte", "A".repeat(1 << 20).into_bytes()),
    ];
    for (what, bytes) in cases {
        let answer = told(server.api, &bytes).await;
        assert!(statuses(&answer).iter().all(|status| (400..500).contains(status)), "{what}: {answer}");
        server.api.get("/v1/health").await.ok();
    }
    assert_eq!(provider.arrivals(), []);
}

#[tokio::test]
async fn who_is_slow_is_not_waited_for() {
    let provider = Provider::start();
    let config = Config::payments(&provider.url(), "").append("causeway.toml", "head_timeout = \"1s\"");
    let server = Server::start(&config);
    // Byte by byte, each in time for itself.
    let watch = Watch::start();
    let mut stream = TcpStream::connect(server.api.address()).await.expect("the server listens");
    let mut open = true;
    for byte in request("x-a: 1\r\n", "").into_iter().cycle() {
        open = open && stream.write_all(&[byte]).await.is_ok() && watch.elapsed() < PATIENCE;
        let mut answer = [0; 64];
        match stream.try_read(&mut answer) {
            Ok(0) => break,
            Ok(count) => {
                let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
                assert!(answer.starts_with("HTTP/1.1 408") || answer.starts_with("HTTP/1.1 400"), "{answer}");
                break;
            }
            Err(_) if open => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(_) => break,
        }
    }
    assert!(watch.elapsed() < Duration::from_secs(10), "{:?}", watch.elapsed());
    assert_eq!(provider.arrivals(), []);
}

#[tokio::test]
async fn who_vanishes_in_the_middle_leaves_nothing_behind() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    for _ in 0..50 {
        let mut stream = TcpStream::connect(server.api.address()).await.expect("the server listens");
        let half = &request("content-length: 100\r\n", "{\"amount\"")[..];
        stream.write_all(half).await.expect("it is sent");
        drop(stream);
    }
    server.at_rest().await;
    assert_eq!(provider.arrivals(), []);
    server.api.run("payments.charge", &charge()).await.ok();
}

/// How much memory a process has, in KiB.
fn memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}

/// As many as the system lets a test hold open, at most ten thousand.
#[tokio::test]
async fn thousands_that_say_nothing_keep_nobody_out() {
    let provider = Provider::start();
    let dir = tempfile::tempdir().expect("a directory");
    Config::payments(&provider.url(), "").write(dir.path());
    let mut server =
        Process::start(&mut process::causeway(&["serve", "--config", &dir.path().display().to_string()]));
    let (api, _) = server.serves().await;
    api.run("payments.charge", &charge()).await.ok();
    let before = memory(server.id());
    let mut idle = Vec::new();
    while idle.len() < 10_000 {
        match TcpStream::connect(api.address()).await {
            Ok(stream) => idle.push(stream),
            Err(_) => break,
        }
    }
    assert!(idle.len() > 400, "only {} connections could be opened", idle.len());
    // Some of the files that the test may open are needed for what it asks meanwhile.
    idle.truncate(idle.len() - 100);
    until("others are served meanwhile", async || {
        let answer = api.try_send(crate::support::Ask::run("payments.charge", &charge())).await;
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    })
    .await;
    let grown = memory(server.id()).saturating_sub(before);
    assert!(grown < 64 * 1024 + 16 * idle.len() as u64, "{} connections took {grown} KiB", idle.len());
    drop(idle);
    api.run("payments.charge", &charge()).await.ok();
    server.terminate();
    assert!(server.ended().await.status.success());
}
