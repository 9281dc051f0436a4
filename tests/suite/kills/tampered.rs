//! The checker itself: it finds nothing in an undisturbed day, and each thing that is changed in
//! the evidence afterwards.

use super::Siege;
use super::books::Answer;
use super::checker::{Evidence, Fault};
use super::message::Kind;
use crate::history::seed;

/// The id and the place of an answer of this kind.
fn answered(evidence: &Evidence, status: u16, code: &str, is: fn(&Kind) -> bool) -> (String, Answer) {
    let mut answers = evidence.books.answers();
    let found = answers.find(|(_, e, answer)| answer.status == status && answer.code == code && is(&e.kind));
    let (x, _, answer) = found.expect("somebody was answered so");
    (x.to_owned(), answer.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checker_names_each_answer_that_the_ledger_does_not_prove() {
    let mut siege = Siege::lay(seed());
    let serving = siege.pair.xianan.serve();
    let round = siege.begin();
    siege.answers_more(&round, 600).await;
    assert_eq!(serving.stop(), 0);
    siege.end(round).await;
    let evidence = siege.close().await;
    assert_eq!(evidence.faults(), []);

    let after = |change: &dyn Fn(&mut Evidence)| {
        let mut changed = evidence.clone();
        change(&mut changed);
        changed.faults()
    };
    let has = |faults: Vec<Fault>, fault: Fault| assert!(faults.contains(&fault), "{fault:?}: {faults:#?}");
    let lookup = |kind: &Kind| matches!(kind, Kind::Lookup(_));
    let submit = |kind: &Kind| matches!(kind, Kind::Submit(_));
    let at = |answer: &Answer| (answer.origin.clone(), usize::try_from(answer.index).unwrap());

    // A leaf that is not there, or another; one that speaks of another exchange.
    let (x, answer) = answered(&evidence, 200, "ok", lookup);
    let (origin, index) = at(&answer);
    let log = |e: &mut Evidence| e.disk.logs.get_mut(&origin).unwrap().clone();
    has(after(&|e| e.disk.logs.get_mut(&origin).unwrap().truncate(index)), Fault::Lost { x: x.clone() });
    has(
        after(&|e| {
            let mut log = log(e);
            log.remove(index);
            e.disk.logs.insert(origin.clone(), log);
        }),
        Fault::Lost { x: x.clone() },
    );
    has(
        after(&|e| e.disk.logs.get_mut(&origin).unwrap()[index].rq = None),
        Fault::OtherExchange { x: x.clone() },
    );

    // An exchange that is counted twice, or answered twice.
    has(
        after(&|e| {
            let twice = log(e)[index].clone();
            e.disk.logs.get_mut(&origin).unwrap().push(twice);
        }),
        Fault::CountedTwice { x: x.clone() },
    );
    has(
        after(&|e| {
            let exchange = e.books.exchanges.get_mut(&x).unwrap();
            exchange.answers.extend(exchange.answers.clone());
        }),
        Fault::AnsweredTwice { x: x.clone() },
    );

    // Evidence that is gone or does not open, a leaf that no checkpoint covers.
    has(after(&|e| e.disk.logs.get_mut(&origin).unwrap()[index].ev = None), Fault::Unsealed { x: x.clone() });
    has(
        after(&|e| e.disk.unopened.extend([(origin.clone(), index as u64)])),
        Fault::Unsealed { x: x.clone() },
    );
    has(after(&|e| e.disk.sealed.extend([(origin.clone(), index as u64)])), Fault::Unproven { x: x.clone() });

    // Uses: one too many, one that is forgotten, one that was refused too early.
    let Kind::Lookup(number) = evidence.books.exchanges[&x].kind else { panic!("it was a lookup") };
    let auth = evidence.books.tokens[number].auth.clone();
    has(after(&|e| e.books.tokens[number].max = 0), Fault::Overused { auth: auth.clone() });
    has(
        after(&|e| {
            let log = e.disk.logs.get_mut(&origin).unwrap().iter_mut();
            log.filter(|leaf| leaf.auth.as_ref() == Some(&auth)).for_each(|leaf| leaf.auth = None);
        }),
        Fault::Undercounted { auth: auth.clone() },
    );
    let (refused, _) = answered(&evidence, 403, "authorization-used-up", lookup);
    let Kind::Lookup(number) = evidence.books.exchanges[&refused].kind else { panic!("it was a lookup") };
    let auth = evidence.books.tokens[number].auth.clone();
    has(after(&|e| e.books.tokens[number].max += 1), Fault::UsedUpTooEarly { auth });

    // Applications: gone, never logged, with another receipt.
    let (x, answer) = answered(&evidence, 202, "ok", submit);
    let Kind::Submit(submitted) = evidence.books.exchanges[&x].kind.clone() else {
        panic!("it was a submit")
    };
    let case = submitted.case.clone();
    has(after(&|e| drop(e.disk.cases.remove(&case))), Fault::CaseLost { case: case.clone() });
    has(
        after(&|e| {
            let digest = submitted.digest.clone();
            e.disk.cases.get_mut(&case).unwrap().push(digest);
        }),
        Fault::CaseLost { case: case.clone() },
    );
    has(
        after(&|e| drop(e.disk.cases.insert("K0".into(), Vec::new()))),
        Fault::CaseUnlogged { case: "K0".into() },
    );
    let another = Answer { rd: "other".into(), bytes: [0; 32], ..answer };
    has(
        after(&|e| e.books.exchanges.get_mut(&x).unwrap().answers.push(another.clone())),
        Fault::ReceiptDiffers { case },
    );
    has(
        after(&|e| e.books.exchanges.get_mut(&x).unwrap().answers.push(another.clone())),
        Fault::AnsweredTwice { x },
    );

    // A tree that is not the one that was signed; a log that was longer once.
    let note = evidence.books.checkpoints.last().unwrap();
    let signed = tongban::ledger::checkpoint::Checkpoint::peek(note).unwrap();
    has(
        after(&|e| e.disk.logs.get_mut(&signed.origin).unwrap()[0].hashed[0] ^= 1),
        Fault::Contradicted { size: signed.size },
    );
    let first = tongban::ledger::checkpoint::Checkpoint::peek(&evidence.books.checkpoints[0]).unwrap();
    assert!(first.size < signed.size, "the log has grown");
    has(after(&|e| e.books.checkpoints.reverse()), Fault::WentBack { size: first.size });
    has(after(&|e| e.disk.findings.push("something".into())), Fault::Unsound { what: "something".into() });
}
