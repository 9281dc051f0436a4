//! The report as one page: Chinese first with English beside it, no script, nothing loaded.

use super::super::play::{Outcome, Run};
use super::clauses::clause;
use super::{areas, date, escaped, shown, words};

const STYLE: &str = "body{font:16px/1.6 system-ui,'Noto Sans CJK SC','Microsoft YaHei',sans-serif;margin:2rem auto;\
max-width:70rem;padding:0 1rem;color:#1b1b1b;background:#fff}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #ccc;\
vertical-align:top}.failed td:first-child{border-left:.4rem solid #b00020}.passed td:first-child{border-left:.4rem solid #0b6b2e}\
.not-run td:first-child{border-left:.4rem solid #767676}.why{color:#5a0010}.not-run .why{color:#444}\
.sum{font-size:1.2rem}pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:.6rem;margin:.2rem 0 .6rem;\
font-size:.85rem}.clause{border-left:.2rem solid #767676;padding-left:.6rem;white-space:pre-wrap}code{font-size:.95em}@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}\
th,td{border-color:#444}pre{background:#222}.why{color:#ffb4ab}.not-run .why{color:#bbb}}";

pub fn html(run: &Run) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"zh-CN\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>通办一致性测试报告 Conformance report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>通办一致性测试报告 <span lang=\"en\">Conformance report</span></h1>\n\
         <p>被测网关 <span lang=\"en\">Target</span> <code>{}</code> · 角色 <span lang=\"en\">role</span> {} · {} · \
         tongban {}</p>\n<p class=\"sum\">{} 项通过 <span lang=\"en\">passed</span> · {} 项未通过 <span lang=\"en\">failed</span> \
         · {} 项未执行 <span lang=\"en\">not run</span></p>\n",
        escaped(&run.target),
        run.role.word(),
        date(run.started),
        env!("CARGO_PKG_VERSION"),
        run.passed(),
        run.failed(),
        run.not_run(),
    );
    let failed: Vec<_> =
        run.played.iter().filter(|played| matches!(played.outcome, Outcome::Failed(_))).collect();
    if !failed.is_empty() {
        page.push_str("<h2>未通过 <span lang=\"en\">Failed</span></h2>\n<ul>\n");
        for played in failed {
            let id = escaped(&played.case.id);
            page.push_str(&format!(
                "<li><a href=\"#{id}\">{id}</a> {} <span lang=\"en\">{}</span></li>\n",
                escaped(&played.case.title_zh),
                escaped(&played.case.title)
            ));
        }
        page.push_str("</ul>\n");
    }
    for area in areas(run) {
        page.push_str(&format!(
            "<h2 id=\"area-{0}\">{0}</h2>\n<table>\n<thead><tr><th scope=\"col\">编号 <span lang=\"en\">Case</span></th>\
             <th scope=\"col\">结果 <span lang=\"en\">Outcome</span></th><th scope=\"col\">内容 \
             <span lang=\"en\">What</span></th></tr></thead>\n<tbody>\n",
            escaped(area)
        ));
        for played in run.played.iter().filter(|played| played.case.area == area) {
            page.push_str(&row(played));
        }
        page.push_str("</tbody>\n</table>\n");
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn row(played: &super::super::play::Played) -> String {
    let (class, why) = words(&played.outcome);
    let outcome = match played.outcome {
        Outcome::Passed => "通过 <span lang=\"en\">passed</span>",
        Outcome::Failed(_) => "未通过 <span lang=\"en\">failed</span>",
        Outcome::NotRun(_) => "未执行 <span lang=\"en\">not run</span>",
    };
    let why = if why.is_empty() {
        String::new()
    } else {
        format!("<div class=\"why\" lang=\"en\">{}</div>", escaped(why))
    };
    let trail = trail(played);
    format!(
        "<tr class=\"{class}\" id=\"{id}\"><td><code>{id}</code></td><td>{outcome}</td><td>{} <span lang=\"en\">{}</span>\
         {why}{trail}</td></tr>\n",
        escaped(&played.case.title_zh),
        escaped(&played.case.title),
        id = escaped(&played.case.id),
    )
}

/// Of a failed case: the clause in its own words, and what was sent, expected and received.
fn trail(played: &super::super::play::Played) -> String {
    let Some(trail) = &played.trail else { return String::new() };
    let of = if trail.steps > 1 {
        format!(" · 第 {0} 步，共 {1} 步 <span lang=\"en\">step {0} of {1}</span>", trail.step, trail.steps)
    } else {
        String::new()
    };
    let mut told = format!(
        "<p>条款 <span lang=\"en\">Clause</span> <b>{}</b>{of}</p>\n<div class=\"clause\" lang=\"en\">{}</div>\n",
        escaped(&played.case.clause),
        escaped_lines(&clause(&played.case.clause)),
    );
    for (zh, en, text) in shown(trail) {
        told.push_str(&format!(
            "<div>{zh} <span lang=\"en\">{en}</span></div><pre>{}</pre>\n",
            escaped_lines(text)
        ));
    }
    told
}

/// [`escaped`], line by line.
fn escaped_lines(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}
