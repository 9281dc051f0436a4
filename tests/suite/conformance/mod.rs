//! To vendors: the suite is green for a sound gateway, red for each fault that one may have, and
//! its cases are the published ones.

mod faults;
mod mutant;
mod target;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use tongban::conformance::{Case, Ground, Operator, Outcome, Role, Run, RunSettings, cases};

use mutant::Mutant;
use target::Target;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

fn named(ids: &BTreeSet<String>) -> Vec<Case> {
    let found: Vec<Case> = cases::all().unwrap().into_iter().filter(|case| ids.contains(&case.id)).collect();
    assert_eq!(found.len(), ids.len(), "{ids:?}");
    found
}

fn mutations() -> Vec<Value> {
    let text = fs::read_to_string(folder().join("mutations.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["mutations"].as_array().unwrap().clone()
}

fn red(mutation: &Value) -> BTreeSet<String> {
    mutation["red"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

async fn play(ground: Ground, target: &str, cases: Vec<Case>) -> Run {
    play_with(ground, target, cases, None).await
}

async fn play_with(ground: Ground, target: &str, cases: Vec<Case>, operator: Option<Operator>) -> Run {
    let target = Some(target.to_owned());
    let settings = RunSettings { role: Role::Answering, target, local: None, has: Vec::new(), operator };
    tongban::conformance::run(ground, settings, cases, |_| {}).await.unwrap()
}

fn unless_passed(run: &Run) -> Vec<String> {
    let not = run.played.iter().filter(|played| played.outcome != Outcome::Passed);
    not.map(|played| format!("{}: {:?}", played.case.id, played.outcome)).collect()
}

#[test]
fn the_embedded_cases_are_those_of_the_folder() {
    let files = fs::read_dir(folder().join("cases")).unwrap().map(|entry| entry.unwrap().path());
    let areas: BTreeSet<String> = files
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|area| area != "scene")
        .collect();
    let embedded: BTreeSet<String> = cases::FILES.iter().map(|(area, _)| (*area).to_owned()).collect();
    assert_eq!(embedded, areas);
    let all = cases::all().unwrap();
    let ids: BTreeSet<&str> = all.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(ids.len(), all.len(), "an id stands twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_turns_its_cases_red_and_a_proxy_without_one_turns_none() {
    let dir = tempfile::tempdir().unwrap();
    let target = Target::start(dir.path(), "answering");
    let mutant = Mutant::before(target.ground()).await;
    let at = format!("https://{}", mutant.at);
    let mutations = mutations();
    assert!(mutations.len() >= 12);
    let all: BTreeSet<String> = mutations.iter().flat_map(red).collect();

    let sound = play(target.ground(), &at, named(&all)).await;
    assert_eq!(unless_passed(&sound), [""; 0], "the proxy by itself");

    for mutation in &mutations {
        mutant.plays(mutation["name"].as_str().unwrap());
        let run = play(target.ground(), &at, named(&red(mutation))).await;
        assert_eq!(run.failed(), run.played.len(), "{}: {:?}", mutation["name"], run.played);
    }
}

#[test]
fn what_cannot_be_asked_is_told_as_not_run_and_a_wrong_usage_ends_with_64() {
    use crate::process::run;
    let dir = tempfile::tempdir().unwrap();
    let scene = dir.path().join("scene");
    let scene = scene.to_str().unwrap();
    run(&["conformance", "list", "--area", "witness"]).ended(0);
    run(&["conformance", "list", "--area", "nothing"]).ended(64);
    run(&["conformance", "run", "--role", "answering", "--scene", "/nowhere"]).ended(64);
    let target = Target::start(dir.path(), "asking");
    let ran = run(&["conformance", "run", "--json", "--role", "asking", "--scene", scene, "--only", "S-5.1"]);
    let report = ran.ended(0).json();
    assert_eq!((&report["passed"], &report["not_run"]), (&0.into(), &1.into()), "{report}");
    drop(target);
    run(&["conformance", "run", "--role", "asking", "--scene", scene, "--only", "S-5.1"]).ended(1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_who_cannot_leaves_a_case_not_run_and_one_who_does_nothing_turns_it_red() {
    let dir = tempfile::tempdir().unwrap();
    let target = Target::start(dir.path(), "answering");
    let at = target.ground().endpoints["answering"].clone();
    let log = dir.path().join("words");
    for (does, told) in [("exit 3", "not run"), ("echo broken >&2; exit 1", "not run"), ("exit 0", "failed")]
    {
        let command = dir.path().join("operator");
        let script = format!("#!/bin/sh\necho \"$TONGBAN_ROLE $*\" >> {}\n{does}\n", log.display());
        fs::write(&command, script).unwrap();
        fs::set_permissions(&command, fs::Permissions::from_mode(0o700)).unwrap();
        let operator = Operator { command, scene: target.scene.clone() };
        let case = named(&BTreeSet::from(["L-11.1".to_owned()]));
        let run = play_with(target.ground(), &at, case, Some(operator)).await;
        let [played] = run.played.as_slice() else { panic!("{run:?}") };
        match (told, &played.outcome) {
            ("not run", Outcome::NotRun(why)) => assert!(why.contains("register down"), "{why}"),
            ("failed", Outcome::Failed(_)) => {
                let trail = played.trail.clone().unwrap();
                assert_eq!((trail.step, trail.steps), (2, 2));
                let shown = [&trail.sent, &trail.expected, &trail.came].map(|part| part.clone().unwrap());
                let parts = ["\"license.query\"", "register-unavailable", "\"found\": true"];
                assert!(shown.iter().zip(parts).all(|(part, due)| part.contains(due)), "{shown:?}");
            }
            _ => panic!("{does}: {played:?}"),
        }
        assert_eq!(run.passed(), 0);
    }
    let words = fs::read_to_string(log).unwrap();
    assert!(
        words.ends_with("answering register down\nanswering register up\n"),
        "what was done is undone: {words}"
    );
    // And without anybody at the target.
    let run = play(target.ground(), &at, named(&BTreeSet::from(["L-11.1".to_owned()]))).await;
    assert_eq!((run.passed(), run.not_run()), (0, 1));
}
