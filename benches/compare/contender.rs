//! Who is compared, and what each does for a request.

use clap::ValueEnum;
use hyper::StatusCode;

use crate::load::line::{Carried, Protocol};

/// One kind of visit. Several may go to one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// The gateway: every check, the leaf durable before the answer is signed.
    Gateway,
    /// The same with evidence sealed to an auditor and indexed.
    Evidence,
    /// The gateway, every request with an authorization of its own.
    Once,
    /// The gateway over HTTP/2.
    Http2,
    /// The gateway, messages whose signature does not hold.
    Forged,
    /// The gateway, messages signed by a key it does not know.
    UnknownKey,
    /// Our listener and envelope alone: the signature, and a fixed answer.
    VerifyOnly,
    /// Our listener alone: a fixed answer.
    Fixed,
    Haproxy,
    Envoy,
    Node,
    Python,
    /// Tomcat with BouncyCastle's signatures.
    Jvm,
    /// Tomcat with the JDK's own signatures.
    JvmJdk,
    Nginx,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "**Tongban 通办**",
            Self::Evidence => "Tongban, with evidence 含证据",
            Self::Once => "Tongban, tokens of one use 一次性授权",
            Self::Http2 => "Tongban, HTTP/2",
            Self::Forged => "Tongban, forged message 伪造",
            Self::UnknownKey => "Tongban, unknown key 未知密钥",
            Self::VerifyOnly => "our stack, signature only 仅验签",
            Self::Fixed => "our stack, fixed answer 固定应答",
            Self::Haproxy => "HAProxy jwt_verify",
            Self::Envoy => "Envoy jwt_authn",
            Self::Node => "Node: fastify, jose, ajv",
            Self::Python => "Python: FastAPI, joserfc, fastjsonschema",
            Self::Jvm => "JVM: Tomcat, Jackson, BouncyCastle",
            Self::JvmJdk => "JVM: Tomcat, Jackson, JDK signatures",
            Self::Nginx => "nginx, static file 静态文件",
        }
    }

    /// What is done for one request.
    pub const fn work(self) -> &'static str {
        match self {
            Self::Gateway => "everything: all checks, license, leaf in the tree and durable, signed answer",
            Self::Evidence => "the same, and evidence sealed and indexed",
            Self::Once => "the same as Tongban; a second signature verified each time",
            Self::Http2 => "the same as Tongban; eight streams to a connection",
            Self::Forged => "refused 401 at the signature, counted",
            Self::UnknownKey => "refused 401 before any signature, counted",
            Self::VerifyOnly => "one signature verified, the message parsed; fixed answer",
            Self::Fixed => "nothing; fixed answer",
            Self::Haproxy => "one signature verified, alg and iss compared; fixed answer",
            Self::Envoy => "one signature verified, iss and exp compared; fixed answer",
            Self::Node | Self::Python | Self::Jvm | Self::JvmJdk => {
                "signature, schema, first use, authorization, license, record flushed, signed answer; no tree, no proofs"
            }
            Self::Nginx => "nothing; fixed answer",
        }
    }

    /// Is it the server of somebody else?
    pub const fn is_peer(self) -> bool {
        matches!(
            self,
            Self::Haproxy | Self::Envoy | Self::Node | Self::Python | Self::Jvm | Self::JvmJdk | Self::Nginx
        )
    }

    /// The kinds that are visits of the same server as [`Kind::Gateway`].
    pub const fn is_of_gateway(self) -> bool {
        matches!(self, Self::Gateway | Self::Once | Self::Http2 | Self::Forged | Self::UnknownKey)
    }

    pub const fn must(self) -> StatusCode {
        match self {
            Self::Forged | Self::UnknownKey => StatusCode::UNAUTHORIZED,
            _ => StatusCode::OK,
        }
    }

    pub const fn carried(self) -> Carried {
        match self {
            Self::Haproxy | Self::Envoy => Carried::Bearer,
            Self::Nginx | Self::Fixed => Carried::Nowhere("/v1/exchange"),
            _ => Carried::Body,
        }
    }

    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Http2 => Protocol::H2,
            _ => Protocol::H1,
        }
    }

    /// Requests of a visit: more where a visit would last only some milliseconds, fewer where the
    /// slowest would take most of the run.
    pub const fn requests(self, usual: u32) -> u32 {
        match self {
            Self::Nginx | Self::Fixed | Self::UnknownKey => usual * 9,
            Self::JvmJdk => usual / 8,
            _ => usual,
        }
    }

    /// Sent once before the first round: what is compiled while it runs must have been compiled.
    pub const fn warm_up(self, usual: u32) -> u32 {
        match self {
            // It went on getting faster over ten thousand requests.
            Self::Jvm => usual * 12,
            Self::Node => usual * 3,
            Self::JvmJdk => usual * 2,
            // Each asks for another license: the register is read before the first round, not in it.
            Self::Once => usual + usual / 2,
            _ => usual / 4 * 3,
        }
    }
}
