//! Guard before the handlers: the origin of a request, and its key.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, AUTHORIZATION, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::error::ApiError;
use crate::page;

/// Lets a request through to its handler, and counts the answer.
pub async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let allowed = origin.as_ref().filter(|origin| is_allowed(&app, origin));
    let mut response = match &origin {
        Some(origin) if allowed.is_none() && !is_own_page(&app, origin, request.headers()) => ApiError::new(
            StatusCode::FORBIDDEN,
            "pages of other origins may not use this server: --cors ORIGIN lets those of one",
        )
        .with_code("origin_not_allowed")
        .into_response(),
        Some(_) if allowed.is_some() && request.method() == Method::OPTIONS => preflight(request.headers()),
        _ if !has_key(&app, &request) => {
            let error = ApiError::new(StatusCode::UNAUTHORIZED, "a key is needed: Authorization: Bearer KEY");
            error.with_code("invalid_api_key").into_response()
        }
        _ => next.run(request).await,
    };
    if let Some(origin) = allowed {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
    }
    app.metrics.answered(response.status().as_u16());
    response
}

/// Answer to a browser that asks what a page of an allowed origin may send.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    // Clients have headers of their own, such as the x-stainless-* of OpenAI's packages: none has a meaning here that a page may not use.
    let names = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let names = names.unwrap_or(HeaderValue::from_static("authorization, content-type, x-api-key"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// True for an origin that `--cors` names.
fn is_allowed(app: &App, origin: &HeaderValue) -> bool {
    app.config.cors.as_deref().is_some_and(|cors| cors == "*" || cors.as_bytes() == origin.as_bytes())
}

/// True for the origin of the server's own page: that of the host that the request names. A server on this machine alone takes
/// only names of this machine, so that no name of another that was pointed here (DNS rebinding) gets through.
fn is_own_page(app: &App, origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let (Some(host), Ok(origin)) = (host, origin.to_str()) else { return false };
    let is_same = origin.split_once("://").is_some_and(|(_, of_origin)| of_origin.eq_ignore_ascii_case(host));
    is_same && (!app.address.ip().is_loopback() || is_loopback(host))
}

/// True for a host, with its port or without, that is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// True if the server has no keys, the path needs none, or the request has one.
fn has_key(app: &App, request: &Request) -> bool {
    let keys = &app.config.api_keys;
    if keys.is_empty() || request.uri().path() == "/health" || page::is_file(request.uri().path()) {
        return true;
    }
    let headers = request.headers();
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().as_bytes())
    });
    let other = headers.get(HeaderName::from_static("x-api-key")).map(HeaderValue::as_bytes);
    bearer.or(other).is_some_and(|found| keys.iter().fold(false, |any, key| any | is_equal(key.as_bytes(), found)))
}

/// True for equal bytes. The time does not tell how many are.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["example.com:8080", "localhost.example.com", "10.0.0.1", "", ":8080", "[fe80::1]:80"] {
            assert!(!is_loopback(host), "{host}");
        }
        assert!(is_equal(b"key", b"key") && !is_equal(b"key", b"kez") && !is_equal(b"key", b"keys"));
    }
}
