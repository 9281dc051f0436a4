//! `audit open` and `audit key`: evidence asked for by one account, allowed by another, opened
//! with the auditor's own key, which no gateway has.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::super::{Common, Exit, Outcome, Stop, out};
use super::errands::{As, send};
use super::looking::leaves;
use crate::audit::unseal::AuditorPrivateKey;
use crate::audit::{Errand, Opened, Released, Request, Sent};
use crate::keys::{read_private_file, write_private_file};

/// Octets of a file of released evidence.
const LARGEST_BUNDLE: u64 = 128 << 20;

/// Open evidence: ask, have it allowed, open 开启证据
///
/// LEAF… --as A --purpose P --order O asks, or fetches what was allowed since.
/// --approve REQUEST --as B allows it, --refuse REQUEST --as B does not. --bundle FILE --key KEY opens without a gateway.
#[derive(Args)]
pub struct Open {
    /// Leaves: 4711, or 2026h2/4711 记录
    #[arg(value_name = "LEAF", required_unless_present_any = ["approve", "refuse", "bundle", "request"])]
    leaves: Vec<String>,
    /// The account that acts 账户名
    #[arg(long = "as", value_name = "NAME", required_unless_present = "bundle")]
    by: Option<String>,
    /// What for 用途
    #[arg(long, default_value = "")]
    purpose: String,
    /// Order or case number 文号或案号
    #[arg(long, default_value = "")]
    order: String,
    /// Allow this request of another account 批准他人的申请
    #[arg(long, value_name = "REQUEST", conflicts_with_all = ["leaves", "request"])]
    approve: Option<String>,
    /// Refuse this request of another account; recorded 驳回他人的申请（记录在案）
    #[arg(long, value_name = "REQUEST", conflicts_with_all = ["leaves", "request", "approve", "bundle"])]
    refuse: Option<String>,
    /// Fetch what was allowed 取回已获批的证据
    #[arg(long, value_name = "REQUEST", conflicts_with = "leaves")]
    request: Option<String>,
    /// A file of released evidence instead of a gateway 已取回的证据文件
    #[arg(long, value_name = "FILE", conflicts_with_all = ["leaves", "approve", "request", "by"])]
    bundle: Option<PathBuf>,
    /// The auditor's private JWK: opens 审计员私钥
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Keep the released evidence, still sealed, in this file 保存（仍为密文）
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Open {
    pub fn run(self, common: &Common) -> Outcome {
        if let Some((request, by)) = self.refuse.clone().zip(self.by.as_deref()) {
            return send(common, &As::named(by).sends(Errand::OpenRefuse { request }))?
                .print(common, |_| out::line("refused and recorded 已驳回并记录"));
        }
        let key = self.key.as_deref().map(private_key).transpose()?;
        let opened = match (&self.bundle, &self.by) {
            (Some(file), _) => read_bundle(file)?,
            (None, Some(by)) => {
                let by = As::named(by);
                let errand = match (&self.approve, &self.request) {
                    (Some(id), _) => Errand::OpenApprove { request: id.clone() },
                    (None, Some(id)) => Errand::Opened { request: id.clone() },
                    (None, None) => match self.asked(&by, common)? {
                        Some(request) if request.approved.is_some() => Errand::Opened { request: request.id },
                        Some(request) => return waits(&request, common),
                        None => return self.ask(&by, common),
                    },
                };
                serde_json::from_value(send(common, &by.sends(errand))?.done()?)
                    .map_err(|_| Stop::failed("the gateway is of another version 网关版本不同"))?
            }
            (None, None) => return Err(Stop::usage("--as NAME, or --bundle FILE")),
        };
        if let Some(file) = &self.out {
            let text = serde_json::to_vec(&opened).map_err(Stop::failed)?;
            write_private_file(file, &text)?;
            out::note(format_args!("{}: released evidence, sealed 证据已保存（密文）", file.display()));
        }
        match key {
            Some(key) => show(&opened, &key, common),
            None if common.json => {
                out::json(&serde_json::to_value(&opened).unwrap_or_default());
                Ok(Exit::Well)
            }
            None => {
                out::line(format_args!(
                    "released 已开启: {}; not there 无证据: {}; open it with --key 用 --key 解密",
                    opened.released.len(),
                    opened.absent.len()
                ));
                Ok(Exit::Well)
            }
        }
    }

    /// A living request of this account for just these leaves.
    fn asked(&self, by: &As, common: &Common) -> Result<Option<Request>, Stop> {
        let (log, mut of) = leaves(&self.leaves)?;
        of.sort_unstable();
        of.dedup();
        let found = send(common, &by.sends(Errand::Requests {}))?.done()?;
        let requests: Vec<Request> = serde_json::from_value(found).unwrap_or_default();
        Ok(requests.into_iter().find(|request| {
            request.by == by.name()
                && request.of == of
                && log.as_ref().is_none_or(|log| *log == request.shard)
        }))
    }

    fn ask(&self, by: &As, common: &Common) -> Outcome {
        let (shard, of) = leaves(&self.leaves)?;
        let errand = Errand::OpenRequest { shard, of };
        let sent = Sent { purpose: self.purpose.clone(), order: self.order.clone(), ..by.sends(errand) };
        let request: Request = serde_json::from_value(send(common, &sent)?.done()?).map_err(Stop::failed)?;
        waits(&request, common)
    }
}

fn waits(request: &Request, common: &Common) -> Outcome {
    if common.json {
        out::json(&serde_json::to_value(request).unwrap_or_default());
    } else {
        out::line(format_args!("asked for 已申请: {}", request.id));
        out::line(format_args!(
            "another account (audit or security) allows it 须由另一账户批准: tongban audit open --approve {} --as NAME",
            request.id
        ));
    }
    Ok(Exit::Well)
}

fn show(opened: &Opened, key: &AuditorPrivateKey, common: &Common) -> Outcome {
    let mut all = Vec::new();
    let mut sound = true;
    for released in &opened.released {
        match key.open(released) {
            Ok(unsealed) => {
                sound &= unsealed.misfits.is_empty();
                if !common.json {
                    print(released, &unsealed.content, &unsealed.misfits);
                }
                all.push(json!({"origin": released.origin, "index": released.index,
                    "content": unsealed.content, "misfits": unsealed.misfits}));
            }
            Err(fault) => {
                sound = false;
                if !common.json {
                    out::line(format_args!("✗ {} #{}: {fault} 无法开启", released.origin, released.index));
                }
                all.push(
                    json!({"origin": released.origin, "index": released.index, "fault": fault.to_string()}),
                );
            }
        }
    }
    if common.json {
        out::json(&json!({"sound": sound, "opened": all, "absent": opened.absent}));
    }
    for absent in opened.absent.iter().filter(|_| !common.json) {
        let state = serde_json::to_value(absent.evidence).unwrap_or_default();
        out::line(format_args!(
            "#{}: evidence {} 证据不在",
            absent.index,
            state.as_str().unwrap_or_default()
        ));
    }
    Ok(if sound { Exit::Well } else { Exit::Found })
}

fn print(released: &Released, content: &serde_json::Map<String, Value>, misfits: &[&str]) {
    out::line(format_args!("{} #{}", released.origin, released.index));
    for (name, value) in content {
        let text = value.as_str().unwrap_or_default();
        out::line(format_args!("  {name}: {}", claims(text).unwrap_or_else(|| text.to_owned())));
    }
    if !misfits.is_empty() {
        out::line(format_args!("  ✗ does not fit the leaf's {} 与记录不符", misfits.join(", ")));
    }
}

/// The payload of a compact JWS, readable.
fn claims(text: &str) -> Option<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut parts = text.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(value.to_string())
}

fn read_bundle(file: &Path) -> Result<Opened, Stop> {
    let named = |what: &dyn std::fmt::Display| Stop::usage(format_args!("{}: {what}", file.display()));
    let opened = std::fs::File::open(file).map_err(|e| named(&e.kind()))?;
    let mut bytes = Vec::new();
    opened.take(LARGEST_BUNDLE).read_to_end(&mut bytes).map_err(|e| named(&e.kind()))?;
    serde_json::from_slice(&bytes).map_err(|_| named(&"is no file of released evidence 不是证据文件"))
}

fn private_key(file: &Path) -> Result<AuditorPrivateKey, Stop> {
    let bytes = read_private_file(file)?;
    let named = |what: &dyn std::fmt::Display| Stop::usage(format_args!("{}: {what}", file.display()));
    let jwk: Value = serde_json::from_slice(&bytes).map_err(|e| named(&e))?;
    AuditorPrivateKey::from_jwk(&jwk).map_err(|fault| named(&fault))
}

/// Make an auditor's key pair 新建审计员密钥
#[derive(Args)]
pub struct Key {
    /// Where the private JWK goes (0600); the public one goes beside it as FILE.pub.jwk 私钥文件
    file: PathBuf,
}

impl Key {
    pub fn run(self, common: &Common) -> Outcome {
        let (private, public) = AuditorPrivateKey::generate().map_err(Stop::failed)?;
        write_private_file(&self.file, format!("{private:#}\n").as_bytes())?;
        let beside = self.file.with_extension("pub.jwk");
        std::fs::write(&beside, format!("{public:#}\n"))
            .map_err(|e| Stop::failed(format_args!("{}: {}", beside.display(), e.kind())))?;
        if common.json {
            out::json(&json!({"private": self.file, "public": beside, "kid": public.get("kid")}));
        } else {
            out::line(format_args!(
                "{}: private, keep it off the gateway 私钥，切勿放在网关上",
                self.file.display()
            ));
            out::line(format_args!(
                "{}: put it into the gateway's trust/auditors/ 公钥，放入网关的 trust/auditors/",
                beside.display()
            ));
        }
        Ok(Exit::Well)
    }
}
