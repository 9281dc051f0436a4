//! `PUT` and `GET /local/v1/materials/{sha256}`: what the region's own systems attach to an
//! application, and read of one.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Method, Request};

use super::refusal;
use crate::answer::Code;
use crate::door::answer::{self, HttpAnswer};
use crate::door::material::{Bringing, receive};
use crate::house::House;
use crate::material::{Depositor, MaterialDigest, MaterialFault};

/// What `may` must list for this method; `None` is not served.
pub(super) fn permission(method: &Method) -> Option<&'static str> {
    match *method {
        Method::PUT => Some("application.submit"),
        Method::GET => Some("application.status"),
        _ => None,
    }
}

pub(super) const ALLOW: &str = "GET, PUT";

pub(super) async fn serve(
    house: &Arc<House>,
    request: Request<Incoming>,
    digest: MaterialDigest,
) -> HttpAnswer {
    if request.method() == Method::GET {
        return read(house, &digest).await;
    }
    let bringing = Bringing { depositor: Depositor::Local, digest, bytes: None };
    receive(house, request, bringing, || true).await
}

async fn read(house: &House, digest: &MaterialDigest) -> HttpAnswer {
    let opened = house.materials.read(digest).await;
    let body = opened.and_then(|stored| stored.pieces_from(0).map_err(MaterialFault::from));
    match body {
        Ok(body) => {
            let mut file = answer::file(body);
            if let Ok(says) = HeaderValue::try_from(digest.content_digest()) {
                file.headers_mut().insert("content-digest", says);
            }
            file
        }
        Err(MaterialFault::NotHere) => refusal(Code::UnknownMaterial.into()),
        Err(fault) => {
            tracing::error!(target: "material", %fault, "a material was not read");
            refusal(Code::Overloaded.into())
        }
    }
}
