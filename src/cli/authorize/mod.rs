//! `authorize`: a development authority, so that lookups can be tried before the province's app
//! is connected. Whoever holds its directory can say yes for everybody: never trust one in
//! production.

mod issuer;
mod qr;
mod token;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, value_parser};
use serde_json::{Value, json};

pub use issuer::DevAuthority;
pub use token::{Asked, Issued, Person};

use super::{Common, Exit, Outcome, Stop, out};
use crate::clock::{Clock, Now};
use crate::domain::Region;

/// A development authority that signs citizens' authorizations; never for production.
#[derive(Args)]
pub struct Authorize {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a development authority's directory 新建开发用签发方
    Init(Init),
    /// Sign one authorization and print it 签发一份授权书
    Issue(Box<Issue>),
    /// Revoke the authorization at an index of the status list 撤销一份授权书
    Revoke(Revoke),
    /// Publish the status list anew before it runs out 重新发布状态列表
    Status(Refresh),
}

#[derive(Args)]
struct Moment {
    /// Act as if it were this moment (seconds since 1970) 以此时刻签发
    #[arg(long, value_name = "UNIXTIME")]
    at: Option<i64>,
}

impl Moment {
    fn now(&self) -> Now {
        self.at.map_or_else(|| Clock::system().now(), Now::from_secs)
    }
}

#[derive(Args)]
struct ListLife {
    /// How long the published status list speaks 状态列表有效小时数
    #[arg(long, value_name = "HOURS", default_value_t = issuer::LIST_LIFE_HOURS, value_parser = value_parser!(u32).range(1..=87_600))]
    list_hours: u32,
}

#[derive(Args)]
struct Init {
    /// Name in urn:tongban:idp:NAME
    #[arg(long, default_value = "mengsuban")]
    name: String,
    /// Where `issue --qr` gives authorizations for codes; a loopback address 亮证码兑换地址
    #[arg(long, value_name = "IP:PORT", default_value_t = issuer::REDEEM)]
    redeem: SocketAddr,
    /// Where 目录
    dir: PathBuf,
    #[command(flatten)]
    list: ListLife,
    #[command(flatten)]
    moment: Moment,
}

#[derive(Args)]
struct Issue {
    /// The development authority's directory 签发方目录
    #[arg(long, value_name = "DIR")]
    issuer: PathBuf,
    /// The answering region 应答地区
    #[arg(long, alias = "holder-region", value_name = "CODE", value_parser = super::region)]
    me: Region,
    /// The asking region 请求地区
    #[arg(long, value_name = "CODE", value_parser = super::region)]
    client: Region,
    /// Thumbprint of the asking gateway's signing key, or @ and its card 请求方签名公钥指纹
    #[arg(long, value_name = "THUMBPRINT|@CARD.json")]
    jkt: Option<String>,
    /// Document type of the citizen (111: ID card) 证件类型代码
    #[arg(long, value_name = "CODE", default_value = "111")]
    holder_type: String,
    /// Document number of the citizen 证件号码
    #[arg(long, value_name = "NUMBER")]
    holder_number: String,
    /// Say yes for a ward whose license it is (relation: GB/T 4761) 监护人代为授权
    #[arg(long, value_name = "RELATION:TYPE:NUMBER", value_parser = ward)]
    guardian: Option<(String, String, String)>,
    /// License types 证照类型代码
    #[arg(long = "type", value_name = "CODE", value_delimiter = ',', required = true)]
    license_types: Vec<String>,
    /// Fields 字段
    #[arg(long, value_name = "A,B", value_delimiter = ',', required = true)]
    fields: Vec<String>,
    /// Actions; read covers verify 操作
    #[arg(long, value_name = "read,verify", value_delimiter = ',', default_value = "read")]
    actions: Vec<String>,
    /// The item it is for 事项编码
    #[arg(long, value_name = "CODE")]
    item: String,
    /// The one case it is for 办件编号
    #[arg(long, value_name = "NUMBER")]
    case: Option<String>,
    /// The purpose shown to the citizen 用途
    #[arg(long, value_name = "TEXT")]
    purpose: Option<String>,
    #[arg(long, value_name = "N", default_value_t = 1)]
    max_uses: u32,
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u32,
    /// The citizen was told that the data is sensitive 含敏感个人信息
    #[arg(long)]
    sensitive: bool,
    /// Leave out the place in the status list 不带状态列表
    #[arg(long)]
    no_status: bool,
    #[command(flatten)]
    show: qr::Show,
    #[command(flatten)]
    moment: Moment,
}

#[derive(Args)]
struct Revoke {
    #[arg(long, value_name = "DIR")]
    issuer: PathBuf,
    /// The index `authorize issue` told 状态列表序号
    #[arg(long, value_name = "N")]
    idx: u64,
    #[command(flatten)]
    list: ListLife,
    #[command(flatten)]
    moment: Moment,
}

#[derive(Args)]
struct Refresh {
    #[arg(long, value_name = "DIR")]
    issuer: PathBuf,
    #[command(flatten)]
    list: ListLife,
    #[command(flatten)]
    moment: Moment,
}

impl Authorize {
    pub fn run(self, common: &Common) -> Outcome {
        match self.command {
            Command::Init(command) => init(&command, common.json),
            Command::Issue(command) => issue(*command, common.json),
            Command::Revoke(command) => revoke(&command, common.json),
            Command::Status(command) => refresh(&command, common.json),
        }
    }
}

fn init(command: &Init, as_json: bool) -> Outcome {
    let (now, hours) = (command.moment.now(), command.list.list_hours);
    let made = DevAuthority::create_at(&command.dir, &command.name, now, hours, command.redeem)?;
    let trust = made.trust_file();
    if as_json {
        out::json(&json!({ "dir": command.dir, "trust_file": trust }));
    } else {
        out::line(format_args!("{}: development authority made 开发用签发方已建好", command.dir.display()));
        out::line(format_args!(
            "Copy {} to the answering gateway's trust/authorities/; never in production 仅供开发测试",
            trust.display()
        ));
    }
    Ok(Exit::Well)
}

fn issue(command: Issue, as_json: bool) -> Outcome {
    let authority = DevAuthority::open(&command.issuer)?;
    let jkt = command.jkt.as_deref().map(thumbprint).transpose()?;
    let asked = Asked {
        me: command.me,
        client: command.client,
        jkt,
        holder: Person { kind: command.holder_type, number: command.holder_number },
        ward: command.guardian.map(|(relation, kind, number)| (Person { kind, number }, relation)),
        license_types: command.license_types,
        fields: command.fields,
        actions: command.actions,
        item: command.item,
        case: command.case,
        purpose: command.purpose,
        max_uses: command.max_uses,
        minutes: command.minutes,
        sensitive: command.sensitive,
        with_status: !command.no_status,
    };
    if command.show.qr {
        return qr::show(authority, asked, &command.show, command.moment, as_json);
    }
    let issued = authority.issue(&asked, command.moment.now())?;
    if as_json {
        out::json(&json!({
            "authorization": issued.jws,
            "jti": issued.jti,
            "idx": issued.index,
            "exp": issued.exp,
        }));
    } else {
        out::line(&issued.jws);
        let place = issued.index.map_or_else(|| "none".to_owned(), |index| index.to_string());
        out::note(format_args!("jti {} · status index {place} · {} min", issued.jti, command.minutes));
    }
    Ok(Exit::Well)
}

fn revoke(command: &Revoke, as_json: bool) -> Outcome {
    DevAuthority::open(&command.issuer)?.revoke(
        command.idx,
        command.moment.now(),
        command.list.list_hours,
    )?;
    if as_json {
        out::json(&json!({ "revoked": command.idx }));
    } else {
        out::line(format_args!("{}: revoked, in force within 60 s 已撤销，60秒内生效", command.idx));
    }
    Ok(Exit::Well)
}

fn refresh(command: &Refresh, as_json: bool) -> Outcome {
    let revoked =
        DevAuthority::open(&command.issuer)?.refresh(command.moment.now(), command.list.list_hours)?;
    if as_json {
        out::json(&json!({ "revoked": revoked, "hours": command.list.list_hours }));
    } else {
        out::line(format_args!(
            "status list published for {} h, {revoked} revoked 状态列表已发布",
            command.list.list_hours
        ));
    }
    Ok(Exit::Well)
}

/// The thumbprint itself, or that of the first key of a card after `@`.
fn thumbprint(text: &str) -> Result<String, Stop> {
    let Some(path) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    let unusable = || Stop::usage(format_args!("{path}: is not a card with a signing key 不是有效的名片"));
    let bytes = std::fs::read(Path::new(path))
        .map_err(|e| Stop::usage(format_args!("{path}: cannot be read ({})", e.kind())))?;
    let card = crate::json::parse_config(&bytes).map_err(|_| unusable())?;
    card.pointer("/jwks/keys/0/kid").and_then(Value::as_str).map(str::to_owned).ok_or_else(unusable)
}

fn ward(text: &str) -> Result<(String, String, String), String> {
    let mut parts = text.splitn(3, ':').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(relation), Some(kind), Some(number)) => Ok((relation, kind, number)),
        _ => Err("is RELATION:TYPE:NUMBER, for example 51:111:42120219000101001X".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization::{Authorities, Authority, Status, StatusList, StatusLists};
    use crate::json;

    pub(super) const AT: Now = Now::from_secs(1_900_000_000);
    const NUMBER: &str = "42120219000101001x";

    pub(super) fn asked() -> Asked {
        Asked {
            me: Region::parse("421202").unwrap(),
            client: Region::parse("331083").unwrap(),
            jkt: Some("A".repeat(43)),
            holder: Person { kind: "111".into(), number: NUMBER.into() },
            ward: None,
            license_types: vec!["111000000000131433001".into()],
            fields: vec!["cert_no".into()],
            actions: vec!["read".into()],
            item: "11421202TECT0001914000709001000".into(),
            case: None,
            purpose: None,
            max_uses: 1,
            minutes: 10,
            sensitive: false,
            with_status: true,
        }
    }

    fn trust(authority: &DevAuthority) -> Authorities {
        let bytes = std::fs::read(authority.trust_file()).unwrap();
        let document = json::parse_config(&bytes).unwrap();
        Authorities::new([Authority::from_value(&document).unwrap()]).unwrap()
    }

    fn status(authority: &DevAuthority, dir: &Path, index: u64, now: Now) -> Status {
        let authorities = trust(authority);
        let id = "urn:tongban:idp:mengsuban";
        let uri = authorities.get(id).unwrap().status_lists()[0].uri.clone();
        let bytes = std::fs::read(dir.join("status.jwt")).unwrap();
        let list = StatusList::parse(&bytes, authorities.get(id).unwrap().keys(), &uri, now).unwrap();
        let lists = StatusLists::default().configured(&authorities).with(id, &uri, list).unwrap();
        lists.status(id, &uri, index, now)
    }

    fn claims(authority: &DevAuthority, jws: &str) -> crate::authorization::AuthorizationClaims {
        let authorities = trust(authority);
        let keys = authorities.get("urn:tongban:idp:mengsuban").unwrap().keys();
        let opened = crate::envelope::SignedMessage::parse(jws.as_bytes())
            .unwrap()
            .open(crate::envelope::Typ::Authorization, keys, AT)
            .unwrap();
        crate::schema::Catalog::embedded().admit(&opened.payload).unwrap().into_inner()
    }

    #[test]
    fn what_it_signs_is_read_by_the_gateways_own_reader() {
        let dir = tempfile::tempdir().unwrap();
        let authority = DevAuthority::create(dir.path(), "mengsuban", AT, 24).unwrap();
        let issued = authority.issue(&asked(), AT).unwrap();
        let claims = claims(&authority, &issued.jws);
        let upper = crate::authorization::holder_digest(&issued.jti, "111", "42120219000101001X");
        assert_eq!(claims.subject_digest(), upper);
    }

    #[test]
    fn a_guardian_says_yes_for_the_wards_licenses() {
        let dir = tempfile::tempdir().unwrap();
        let authority = DevAuthority::create(dir.path(), "mengsuban", AT, 24).unwrap();
        let (relation, kind, number) = ward("51:111:421202202001010028").unwrap();
        let issued = authority
            .issue(&Asked { ward: Some((Person { kind, number }, relation)), ..asked() }, AT)
            .unwrap();
        let claims = claims(&authority, &issued.jws);
        let digest = |number: &str| crate::authorization::holder_digest(&issued.jti, "111", number);
        assert_eq!(claims.subject_digest(), digest("421202202001010028"));
        assert_eq!(claims.holder, digest("42120219000101001X"), "and it is told who said so");
    }

    #[test]
    fn indexes_are_given_once_and_a_revoked_one_reads_as_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let made = DevAuthority::create(dir.path(), "mengsuban", AT, 24).unwrap();
        let indexes: Vec<_> = (0..3).map(|_| made.issue(&asked(), AT).unwrap().index).collect();
        assert_eq!(indexes, [Some(0), Some(1), Some(2)]);
        assert_eq!(status(&made, dir.path(), 1, AT), Status::Valid);
        DevAuthority::open(dir.path()).unwrap().revoke(1, AT, 24).unwrap();
        assert_eq!(status(&made, dir.path(), 1, AT), Status::Revoked);
        assert_eq!(status(&made, dir.path(), 2, AT), Status::Valid);
        assert!(made.revoke(3, AT, 24).is_err(), "nobody has that index");
    }

    #[test]
    fn a_list_ends_and_a_refresh_opens_the_door_again() {
        let dir = tempfile::tempdir().unwrap();
        let made = DevAuthority::create(dir.path(), "mengsuban", AT, 1).unwrap();
        let later = Now::from_secs(AT.secs() + 3600);
        assert_eq!(status(&made, dir.path(), 0, later), Status::Stale);
        made.refresh(later, 1).unwrap();
        assert_eq!(status(&made, dir.path(), 0, later), Status::Valid);
    }

    #[test]
    fn the_same_citizen_has_another_id_for_every_region() {
        let dir = tempfile::tempdir().unwrap();
        let made = DevAuthority::create(dir.path(), "mengsuban", AT, 24).unwrap();
        let sub = |asked: &Asked| {
            let jws = made.issue(asked, AT).unwrap().jws;
            let payload = jws.split('.').nth(1).unwrap();
            let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload);
            serde_json::from_slice::<Value>(&bytes.unwrap()).unwrap()["sub"].clone()
        };
        let other = Asked { client: Region::parse("320922").unwrap(), ..asked() };
        assert_eq!(sub(&asked()), sub(&asked()));
        assert_ne!(sub(&asked()), sub(&other));
    }
}
