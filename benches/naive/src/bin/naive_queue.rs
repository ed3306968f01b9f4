//! A durable queue: `POST /v1/operations/{name}` is written to PostgreSQL and answered 202; workers send each job to `UPSTREAM`
//! once and delete it.
//!
//! The yardstick that Causeway's durable path is measured against, as plain as such a service is written, and no plainer
//! than it has to be to be fast: a commit per request, workers that lease many jobs by one statement (`SKIP LOCKED`), call for
//! them at once and delete them by another. A job whose call fails is leased again when its lease has run out. No breaker,
//! limit, idempotency, dead letter or log. Usage: `UPSTREAM=http://127.0.0.1:9000/echo
//! DATABASE=postgres://user@127.0.0.1/db naive_queue 127.0.0.1:9001 [WORKERS]`.

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::error::ErrorServiceUnavailable;
use actix_web::{App, HttpResponse, HttpServer, post, web};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio_postgres::NoTls;

type Error = Box<dyn std::error::Error + Send + Sync>;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS jobs (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, operation TEXT NOT NULL, \
     input BYTEA NOT NULL, leased_until TIMESTAMPTZ NOT NULL DEFAULT '-infinity')";
const INSERT: &str = "INSERT INTO jobs (operation, input) VALUES ($1, $2) RETURNING id";
const LEASE: &str = "UPDATE jobs SET leased_until = now() + interval '30 seconds' WHERE id IN (SELECT id FROM jobs WHERE \
     leased_until < now() ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING id, input";
const DELETE: &str = "DELETE FROM jobs WHERE id = ANY($1)";
/// Connections to the database, for requests and workers together.
const POOL: usize = 32;
/// Those who lease and send; each has so many calls open at most.
const LEASERS: usize = 8;
const BATCH: i64 = 32;
/// How often a worker looks where nobody has told it of a job.
const LOOK: Duration = Duration::from_millis(500);

struct Service {
    pool: Pool,
    url: String,
    client: reqwest::Client,
    /// Something waits.
    wake: Notify,
}

#[post("/v1/operations/{name}")]
async fn run(
    service: web::Data<Arc<Service>>,
    name: web::Path<String>,
    body: web::Bytes,
) -> actix_web::Result<HttpResponse> {
    let id = service.insert(&name, &body).await.map_err(ErrorServiceUnavailable)?;
    service.wake.notify_one();
    Ok(HttpResponse::Accepted().content_type("application/json").body(format!("{{\"id\":{id}}}")))
}

impl Service {
    async fn insert(&self, operation: &str, input: &[u8]) -> Result<i64, Error> {
        let client = self.pool.get().await?;
        let insert = client.prepare_cached(INSERT).await?;
        Ok(client.query_one(&insert, &[&operation, &input]).await?.get(0))
    }

    /// Executes jobs for ever.
    async fn work(self: Arc<Self>) {
        loop {
            match self.some().await {
                Ok(0) => {
                    let _ = tokio::time::timeout(LOOK, self.wake.notified()).await;
                }
                Ok(_) => {}
                Err(error) => {
                    eprintln!("naive_queue: {error}");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Leases some jobs, sends them, and deletes those that were taken; how many were leased.
    async fn some(&self) -> Result<usize, Error> {
        let jobs = {
            let client = self.pool.get().await?;
            let lease = client.prepare_cached(LEASE).await?;
            client.query(&lease, &[&BATCH]).await?
        };
        let leased = jobs.len();
        let calls = jobs.into_iter().map(|job| self.send(job.get(0), job.get(1)));
        let done: Vec<i64> = join_all(calls).await.into_iter().flatten().collect();
        if !done.is_empty() {
            let client = self.pool.get().await?;
            let delete = client.prepare_cached(DELETE).await?;
            client.execute(&delete, &[&done]).await?;
        }
        Ok(leased)
    }

    /// The job's id, if its call succeeded.
    async fn send(&self, id: i64, input: Vec<u8>) -> Option<i64> {
        let request = self.client.post(&self.url).header("content-type", "application/json").body(input);
        let response = request.send().await.ok()?.error_for_status().ok()?;
        response.bytes().await.ok().map(|_| id)
    }
}

#[actix_web::main]
async fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let (Some(listen), Ok(url), Ok(database)) = (args.next(), env::var("UPSTREAM"), env::var("DATABASE")) else {
        eprintln!("usage: UPSTREAM=http://HOST:PORT/PATH DATABASE=postgres://… naive_queue LISTEN_ADDRESS [WORKERS]");
        return ExitCode::from(2);
    };
    let workers = args.next().and_then(|n| n.parse().ok()).unwrap_or(2);
    match serve(&listen, url, &database, workers).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("naive_queue: cannot serve on {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(listen: &str, url: String, database: &str, workers: usize) -> Result<(), Error> {
    let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(database.parse()?, NoTls, config);
    let pool = Pool::builder(manager).max_size(POOL).build()?;
    pool.get().await?.batch_execute(TABLE).await?;
    let service = Arc::new(Service { pool, url, client: reqwest::Client::new(), wake: Notify::new() });
    for _ in 0..LEASERS {
        actix_web::rt::spawn(Arc::clone(&service).work());
    }
    let shared = web::Data::new(service);
    let app = move || App::new().app_data(shared.clone()).service(run);
    Ok(HttpServer::new(app).workers(workers).bind(listen)?.run().await?)
}
