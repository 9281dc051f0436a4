//! The figure: one bar a server, as long as the CPU time of one request, with U as a line. Written
//! by hand so that it needs nothing; it reads on a light and on a dark page.

use std::fmt::Write as _;

use crate::contender::Kind;
use crate::load::spread::Spread;
use crate::rounds::Rounds;

const WIDTH: f64 = 860.0;
/// Where bars begin, and room for the figure behind the longest.
const LEFT: f64 = 290.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 64.0;
const ROW: f64 = 26.0;
const BAR: f64 = 16.0;

const STYLE: &str = "text{font:13px system-ui,'Noto Sans SC','PingFang SC','Microsoft YaHei',sans-serif;fill:#24292f}\
.t{font-size:15px;font-weight:600}.s{font-size:11px;fill:#57606a}.o{fill:#2f7d5b}.p{fill:#8c959f}.u{stroke:#b35900;stroke-width:1.5;stroke-dasharray:4 3}\
@media(prefers-color-scheme:dark){text{fill:#d0d7de}.s{fill:#8b949e}.o{fill:#3fa37a}.p{fill:#6e7681}.u{stroke:#e3a04f}}";

/// Those of whom one wants to see the length.
const SHOWN: [Kind; 10] = [
    Kind::VerifyOnly,
    Kind::Haproxy,
    Kind::Envoy,
    Kind::Gateway,
    Kind::Once,
    Kind::Evidence,
    Kind::Node,
    Kind::Python,
    Kind::Jvm,
    Kind::JvmJdk,
];

pub fn bars(rounds: &Rounds, when: &str, machine: &str) -> String {
    let middle = |kind: &Kind| Spread::of(rounds.visits.get(kind)?.iter().map(|visit| visit.server));
    let shown: Vec<(Kind, f64)> =
        SHOWN.iter().filter_map(|kind| Some((*kind, middle(kind)?.median))).collect();
    let gateway = rounds.visits.get(&Kind::Gateway).into_iter().flatten();
    let u = Spread::of(gateway.map(|visit| visit.primitives.sum())).map_or(0.0, |spread| spread.median);
    let longest = shown.iter().map(|(_, cpu)| *cpu).fold(u, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / longest.max(1.0);
    let bottom = TOP + ROW * shown.len() as f64;
    let height = bottom + 44.0;
    let mut svg = String::new();
    // Writing into a string does not fail.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>CPU time for one request, by server 每次请求的处理器时间</title>\n<style>{STYLE}</style>\n\
         <text class=\"t\" x=\"12\" y=\"24\">每次请求的 CPU 时间（微秒，单核） CPU µs for one request, one core</text>\n\
         <text class=\"s\" x=\"12\" y=\"42\">虚线 U：验签 + 签名 + 摘要 + TLS 记录之和 dashed: U, the sum of the primitives = {u:.0} µs</text>"
    );
    for (nth, (kind, cpu)) in shown.iter().enumerate() {
        let y = TOP + ROW * nth as f64;
        let class = if kind.is_peer() { "p" } else { "o" };
        let (length, base) = (cpu * scale, y + BAR - 3.0);
        let name = escaped(&kind.name().replace('*', ""));
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{base:.1}\" text-anchor=\"end\">{name}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{base:.1}\">{cpu:.0}</text>",
            LEFT - 8.0,
            LEFT + length + 6.0,
        );
    }
    let at = LEFT + u * scale;
    let _ = writeln!(
        svg,
        "<line class=\"u\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>\n\
         <text class=\"s\" x=\"12\" y=\"{:.1}\">HAProxy、Envoy 只验签 verify a signature only · 应用均为完整查询 applications do a whole lookup</text>\n\
         <text class=\"s\" x=\"12\" y=\"{:.1}\">{}</text>\n</svg>",
        TOP - 6.0,
        bottom + 16.0,
        bottom + 34.0,
        escaped(&format!("{when} · {machine}")),
    );
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
