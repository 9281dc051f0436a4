//! The ops door: is it alive, is it ready (and which part is not), how is it doing.
//!
//! Served beside the local door without a token; says nothing about anybody.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::json;

use crate::house::House;

use super::answer::{self, HttpAnswer};

/// Answers `/healthz`, `/readyz` and `/metrics`; `None` for other paths.
pub fn serve(house: &Arc<House>, method: &Method, path: &str) -> Option<HttpAnswer> {
    if !matches!(path, "/healthz" | "/readyz" | "/metrics") {
        return None;
    }
    if method != Method::GET {
        return Some(answer::not_allowed("GET"));
    }
    Some(match path {
        "/healthz" => {
            answer::json(StatusCode::OK, &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
        }
        "/readyz" => {
            let parts = house.readiness();
            let ready = parts.iter().all(|part| part.ready || !part.needed);
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            answer::json(status, &json!({"ready": ready, "parts": parts}))
        }
        _ => {
            house.refresh_gauges();
            answer::bytes(
                StatusCode::OK,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                house.metrics.text(),
            )
        }
    })
}
