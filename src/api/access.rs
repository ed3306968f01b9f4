//! Asks for keys, where there are any: who a caller is, and whether it may.
//!
//! Clients may run the operations that their settings name; operators may look, act or change what the server is, by
//! their role. Where there are no keys, only what comes from this machine is listened to, and no web page
//! (`browser`). An address that sends wrong keys again and again is locked out for a while.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::http::{Method, header::HeaderMap};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpMessage as _, HttpRequest};
use causeway_actors::board::Asker;
use causeway_core::name::ClientName;
use tokio::sync::OwnedSemaphorePermit;

use super::problem::{Code, Problem, printable};
use super::{State, browser, context};
use crate::access::{Client, Keys, Operator, Refusal};
use crate::settings::Role;

/// Who calls; `None` where nobody is asked for a key.
#[derive(Clone)]
struct Caller(Option<Arc<Client>>);

/// Who operates; `None` where nobody is asked for a key.
#[derive(Clone)]
struct Operating(Option<Arc<Operator>>);

/// The middleware of the business API: lets clients in.
pub(super) async fn clients(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let known = state(&request).and_then(|state| {
        let live = state.live();
        let Some(keys) = &live.access().clients else {
            return browser::keep_out(request.request()).map(|()| None);
        };
        identified(&state, request.request(), keys).map(Some)
    });
    let caller = known.map_err(|problem| correlated(problem, &request))?;
    request.extensions_mut().insert(Caller(caller));
    next.call(request).await
}

/// The middleware of the admin API: lets operators in, as far as their roles reach.
pub(super) async fn operators(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let known = state(&request).and_then(|state| {
        let live = state.live();
        let Some(keys) = &live.access().operators else {
            return browser::keep_out(request.request()).map(|()| None);
        };
        let operator = identified(&state, request.request(), keys)?;
        let needed = role_for(request.method(), request.path());
        if operator.role < needed {
            let (role, needed) = (operator.role.as_str(), needed.as_str());
            let detail =
                format!("the role `{role}` of `{operator}` does not allow this; it takes `{needed}`");
            return Err(Problem::new(Code::Forbidden, detail));
        }
        Ok(Some(operator))
    });
    let operator = known.map_err(|problem| correlated(problem, &request))?;
    request.extensions_mut().insert(Operating(operator));
    next.call(request).await
}

/// What it takes to do this: to look, to act on an integration, or to change what the server is.
fn role_for(method: &Method, path: &str) -> Role {
    match *method {
        Method::GET | Method::HEAD => Role::Viewer,
        _ if path.starts_with("/admin/v1/config/") => Role::Admin,
        _ => Role::Operator,
    }
}

fn state(request: &ServiceRequest) -> Result<Data<State>, Problem> {
    let state = request.app_data::<Data<State>>().cloned();
    state.ok_or_else(|| Problem::new(Code::Internal, "the server's state is not where it should be"))
}

fn correlated(problem: Problem, request: &ServiceRequest) -> actix_web::Error {
    problem.correlated(context::correlation_id(request.request()).as_str()).into()
}

fn identified<T>(state: &State, request: &HttpRequest, keys: &Keys<T>) -> Result<Arc<T>, Problem> {
    let now = state.clock().mono();
    let address = request.peer_addr().map(|peer| state.live().origin(peer.ip(), request.headers()));
    let locked = address.and_then(|address| state.lockout().locked_for(now, address));
    if let Some(left) = locked {
        let detail = "too many wrong keys have come from this address; it is not listened to for a while";
        return Err(Problem::new(Code::LockedOut, detail).retry_after(Some(left)));
    }
    let Some(key) = bearer(request.headers()) else {
        let detail = "send the key that this server knows you by: `Authorization: Bearer KEY`";
        return Err(Problem::new(Code::Unauthenticated, detail));
    };
    if let Some(opens) = keys.find(key) {
        return Ok(Arc::clone(opens));
    }
    if let Some(address) = address {
        state.lockout().failed(now, address);
        tracing::warn!(%address, path = request.path(), "a wrong key was sent");
    }
    let detail = "the key is none that this server knows; check that it is whole and of this server";
    Err(Problem::new(Code::Unauthenticated, detail))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Who looks at what is shown to anybody, and more to those it knows; `None` where that is not to be known. A wrong
/// key is refused here too, or keys could be guessed here.
pub(super) fn onlooker(request: &HttpRequest, state: &State) -> Result<Option<Arc<Client>>, Problem> {
    let live = state.live();
    match &live.access().clients {
        None => browser::keep_out(request).map(|()| None),
        Some(keys) if request.headers().contains_key(AUTHORIZATION) => {
            identified(state, request, keys).map(Some)
        }
        Some(_) => Ok(None),
    }
}

/// Takes a call of an operation in; the place that it takes up among its client's runs, where these are bounded.
pub(super) fn admit(
    request: &HttpRequest,
    state: &State,
    operation: &str,
) -> Result<(Option<ClientName>, Option<OwnedSemaphorePermit>), Problem> {
    let Some(client) = client(request) else { return Ok((None, None)) };
    if !client.may_run(operation) {
        let detail = format!(
            "the client `{client}` may not run `{}`; its `operations` in causeway.toml say what it may",
            printable(operation)
        );
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let place = client.admit(state.clock().mono()).map_err(|refusal| match refusal {
        Refusal::TooOften(wait) => {
            let detail = format!("the client `{client}` calls more often than its `rate` allows");
            Problem::new(Code::TooManyRequests, detail).retry_after(Some(wait))
        }
        Refusal::TooMany(most) => {
            let detail = format!("the client `{client}` has {most} runs under way, as many as it may");
            Problem::new(Code::TooManyRequests, detail).retry_after(Some(super::operations::COME_BACK))
        }
    })?;
    Ok((Some(client.name().clone()), place))
}

/// Who calls, where callers are known by name.
pub(super) fn client(request: &HttpRequest) -> Option<Arc<Client>> {
    request.extensions().get::<Caller>().and_then(|caller| caller.0.clone())
}

/// Whose runs the caller may see.
pub(super) fn asker(client: Option<&Arc<Client>>) -> Asker<'_> {
    client.map_or(Asker::Anybody, |client| Asker::Client(client.name()))
}

/// The operator's name, where operators are known by name.
pub(super) fn operator(request: &HttpRequest) -> Option<String> {
    let extensions = request.extensions();
    extensions.get::<Operating>().and_then(|operating| Some(operating.0.as_ref()?.name.to_string()))
}

/// Where a request comes from: its peer, or, behind trusted proxies, the last address that none of them has.
pub(super) fn origin(peer: IpAddr, headers: &HeaderMap, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut origin = peer;
    let forwarded = headers.get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    let mut hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).collect();
    while trusted(origin)
        && let Some(hop) = hops.pop()
    {
        let Ok(address) = hop.trim().parse() else { break };
        origin = address;
    }
    origin
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let trusted = |hop: IpAddr| hop == address("10.0.0.1") || hop == address("10.0.0.2");
        let of = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                let name = HeaderName::from_static("x-forwarded-for");
                headers.append(name, HeaderValue::from_str(value).unwrap());
            }
            origin(address(peer), &headers, trusted).to_string()
        };
        assert_eq!(of("192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
        assert_eq!(of("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(of("10.0.0.1", &["6.6.6.6, 198.51.100.1", "10.0.0.2"]), "198.51.100.1");
        assert_eq!(of("10.0.0.1", &["6.6.6.6, nonsense"]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn each_deed_takes_its_role() {
        assert_eq!(role_for(&Method::GET, "/admin/v1/integrations"), Role::Viewer);
        assert_eq!(role_for(&Method::POST, "/admin/v1/integrations/stripe/breaker/trip"), Role::Operator);
        assert_eq!(role_for(&Method::POST, "/admin/v1/config/reload"), Role::Admin);
        assert_eq!(role_for(&Method::DELETE, "/admin/v1/anything"), Role::Operator);
    }
}
