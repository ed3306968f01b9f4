//! A pass-through proxy: `POST /v1/operations/{name}` is sent to `UPSTREAM` and its answer returned.
//!
//! The yardstick Causeway is measured against, so it is as plain as it can be: one shared reqwest client, one handler,
//! no breaker, limit, retry, deadline or log. Usage: `UPSTREAM=http://127.0.0.1:9000/echo naive 127.0.0.1:9001 [WORKERS]`.

use std::{env, process::ExitCode};

use actix_web::{App, HttpResponse, HttpServer, error::ErrorBadGateway, http::StatusCode, post, web};

/// Where every operation is sent, and the client that sends it.
struct Upstream {
    url: String,
    client: reqwest::Client,
}

#[post("/v1/operations/{name}")]
async fn run(upstream: web::Data<Upstream>, body: web::Bytes) -> actix_web::Result<HttpResponse> {
    let request = upstream.client.post(&upstream.url).header("content-type", "application/json").body(body);
    let response = request.send().await.map_err(ErrorBadGateway)?;
    let status = StatusCode::from_u16(response.status().as_u16()).map_err(ErrorBadGateway)?;
    let body = response.bytes().await.map_err(ErrorBadGateway)?;
    Ok(HttpResponse::build(status).content_type("application/json").body(body))
}

#[actix_web::main]
async fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let (Some(listen), Ok(url)) = (args.next(), env::var("UPSTREAM")) else {
        eprintln!("usage: UPSTREAM=http://HOST:PORT/PATH naive LISTEN_ADDRESS [WORKERS]");
        return ExitCode::from(2);
    };
    let workers = args.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    match serve(&listen, url, workers).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("naive: cannot serve on {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(listen: &str, url: String, workers: usize) -> std::io::Result<()> {
    // The client is shared by all workers, so that they share its connections too.
    let upstream = web::Data::new(Upstream { url, client: reqwest::Client::new() });
    let app = move || App::new().app_data(upstream.clone()).service(run);
    HttpServer::new(app).workers(workers).bind(listen)?.run().await
}
