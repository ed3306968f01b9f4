//! `/docs`: the API as a page that needs no network and no script, and a page for each problem code.
//!
//! The page is drawn from the very document that `/openapi.json` answers, so the two cannot differ. Everything that
//! comes from a configuration is escaped.

mod errors;
mod html;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::{Data, Path};
use serde_json::Value;

use self::html::Html;
use super::problem::{Code, Problem, printable};
use super::{State, access, context, openapi};

/// Nothing is loaded, nothing runs, nobody frames it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /openapi.json` of the business API.
pub(super) async fn business_document(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    Ok(json(&request, &business(&request, &state)?))
}

/// `GET /docs` of the business API.
pub(super) async fn business_page(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Problem> {
    Ok(page(&request, &api(&business(&request, &state)?)))
}

/// `GET /openapi.json` of the admin API.
pub(super) async fn admin_document(request: HttpRequest) -> HttpResponse {
    json(&request, &openapi::admin())
}

/// `GET /docs` of the admin API.
pub(super) async fn admin_page(request: HttpRequest) -> HttpResponse {
    page(&request, &api(&openapi::admin()))
}

/// `GET /docs/errors`: all codes.
pub(super) async fn error_index(request: HttpRequest) -> HttpResponse {
    let mut html = Html::page("Problem codes");
    html.text("p", "Every error answer is application/problem+json (RFC 9457); its `code` is one of these.");
    html.open("table").row("th", &["code", "status", "may be tried again", "title"]);
    for code in Code::ALL {
        let retryable = if code.retryable() { "yes" } else { "no" };
        let name = code.to_string();
        html.open("tr").open("td").link(&format!("/docs/errors/{name}"), &name).close("td");
        html.text("td", code.status().as_str()).text("td", retryable).text("td", code.title()).close("tr");
    }
    html.close("table");
    page(&request, &html)
}

/// `GET /docs/errors/{code}`: what one of them means.
pub(super) async fn error(request: HttpRequest, name: Path<String>) -> Result<HttpResponse, Problem> {
    let Some(code) = Code::ALL.iter().find(|code| code.to_string() == *name) else {
        let detail = format!("`{}` is no problem code; /docs/errors lists them", printable(&name));
        return Err(
            Problem::new(Code::NotFound, detail).correlated(context::correlation_id(&request).as_str())
        );
    };
    let help = errors::of(*code);
    let mut html = Html::page(code.title());
    let retryable = if code.retryable() {
        "The same request may help later, unless `retryable` in the answer says otherwise."
    } else {
        "The same request does not help."
    };
    html.open("p")
        .text("code", &code.to_string())
        .plain(", status ")
        .plain(code.status().as_str())
        .close("p");
    html.text("h2", "What it means").text("p", help.meaning);
    html.text("h2", "What to do").text("p", help.remedy).text("p", retryable);
    html.open("p").link("/docs/errors", "All codes").close("p");
    Ok(page(&request, &html))
}

/// What the caller may know: without a key where one is asked for, no operation.
fn business(request: &HttpRequest, state: &State) -> Result<Value, Problem> {
    let id = context::correlation_id(request);
    let seen = access::onlooker(request, state).map_err(|problem| problem.correlated(id.as_str()))?;
    let live = state.live();
    let keyed = live.access().clients.is_some();
    let offers = live.operations().flat_map(|versions| {
        let current = versions.current().map(|offer| offer.plan.version);
        versions.all().map(move |offer| (offer, current == Some(offer.plan.version)))
    });
    let may =
        |name: &str| if keyed { seen.as_ref().is_some_and(|client| client.may_run(name)) } else { true };
    Ok(openapi::business(offers.filter(|(offer, _)| may(offer.plan.operation.as_str())), keyed))
}

fn json(request: &HttpRequest, document: &Value) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((context::CORRELATION_ID, context::correlation_id(request).as_str()));
    response.insert_header((CACHE_CONTROL, "no-store"));
    response.json(document)
}

fn page(request: &HttpRequest, html: &Html) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((context::CORRELATION_ID, context::correlation_id(request).as_str()));
    response.insert_header((CACHE_CONTROL, "no-store")).insert_header((CONTENT_SECURITY_POLICY, POLICY));
    response.insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response.content_type("text/html; charset=utf-8").body(html.finished())
}

/// A whole API: each call with its parameters, body and answers.
fn api(document: &Value) -> Html {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut html = Html::page(&text(&document["info"]["title"]));
    html.text("p", &text(&document["info"]["description"]));
    html.open("p")
        .link("/openapi.json", "OpenAPI document")
        .plain(" · ")
        .link("/docs/errors", "Problem codes")
        .close("p");
    for (path, calls) in document["paths"].as_object().into_iter().flatten() {
        for (method, call) in calls.as_object().into_iter().flatten() {
            call_of(&mut html, document, path, method, call);
        }
    }
    html
}

fn call_of(html: &mut Html, document: &Value, path: &str, method: &str, call: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    html.open("section");
    html.open("h2").text("code", &format!("{} {path}", method.to_uppercase())).close("h2");
    html.text("p", &text(&call["summary"]));
    if let Some(description) = call["description"].as_str() {
        html.text("p", description);
    }
    let parameters: Vec<&Value> = call["parameters"].as_array().into_iter().flatten().collect();
    if !parameters.is_empty() {
        html.open("table").row("th", &["parameter", "in", "meaning"]);
        for parameter in parameters {
            let parameter = resolved(document, parameter);
            html.row(
                "td",
                &[&text(&parameter["name"]), &text(&parameter["in"]), &text(&parameter["description"])],
            );
        }
        html.close("table");
    }
    let schema = &call["requestBody"]["content"]["application/json"]["schema"];
    if !schema.is_null() {
        let schema = resolved(document, schema);
        html.text("h3", "Body").text("pre", &serde_json::to_string_pretty(schema).unwrap_or_default());
    }
    html.text("h3", "Answers").open("table");
    for (status, answer) in call["responses"].as_object().into_iter().flatten() {
        let answer = resolved(document, answer);
        html.row("td", &[status, &text(&answer["description"])]);
    }
    html.close("table").close("section");
}

/// What a reference into the document leads to; anything else as it is.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|target| document.pointer(target.trim_start_matches('#')));
    target.unwrap_or(value)
}
