//! The checker itself: it finds nothing in an undisturbed day, and each thing that is changed
//! in the evidence afterwards.

use tongban::casebook::ParcelState;

use super::checker::{Evidence, Fault};
use super::partition::Divided;
use super::told::{Act, Side, Told};

/// The first act that was taken and is an event of its kind.
fn taken<'e>(evidence: &'e Evidence, event: &str) -> &'e Act {
    let mut acts = evidence.acts.iter();
    acts.find(|act| act.event == event && matches!(act.told, Told::Taken(_))).expect("somebody did that")
}

/// The faults after the evidence was changed.
fn after(evidence: &Evidence, change: impl FnOnce(&mut Evidence)) -> Vec<Fault> {
    let mut changed = evidence.clone();
    change(&mut changed);
    changed.faults()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checker_names_each_broken_promise() {
    let evidence = Divided::begin(super::seed()).await.quiet_day().await;
    assert_eq!(evidence.faults(), []);
    let submit = taken(&evidence, "submit").mark.clone();
    let accept = taken(&evidence, "accept").clone();
    let Told::Taken(answer) = &accept.told else { panic!("it was taken") };
    let case = answer["case"].as_str().unwrap().to_owned();
    let has = |faults: Vec<Fault>, fault: Fault| assert!(faults.contains(&fault), "{fault:?}: {faults:#?}");

    // An effect that is gone from both sides, or from one.
    let lost = Fault::Lost { mark: accept.mark.clone(), event: "accept" };
    let gone = after(&evidence, |e| {
        e.collecting.chains.get_mut(&case).unwrap().truncate(1);
        e.handling.chains.get_mut(&case).unwrap().truncate(1);
    });
    has(gone, lost.clone());
    let half = |e: &mut Evidence| e.collecting.chains.get_mut(&case).unwrap().truncate(1);
    has(after(&evidence, half), lost);
    has(after(&evidence, half), Fault::ChainsDiffer { case: case.clone() });

    // An effect that happened twice; one that nobody may have had.
    let twice = after(&evidence, |e| {
        let chain = e.handling.chains.get_mut(&case).unwrap();
        chain.push(chain[1].clone());
    });
    has(twice.clone(), Fault::Twice { mark: accept.mark.clone() });
    assert!(twice.iter().any(|fault| matches!(fault, Fault::BrokenChain { case: of, .. } if *of == case)));
    let refused = after(&evidence, |e| {
        let act = e.acts.iter_mut().find(|act| act.mark == accept.mark).unwrap();
        act.told = Told::Refused(409, "illegal-transition".into());
    });
    has(refused, Fault::RefusedAndDone { mark: accept.mark.clone() });

    // Another content than was handed in.
    let other = after(&evidence, |e| {
        e.acts.iter_mut().find(|act| act.mark == submit).unwrap().digest = Some("other".into());
    });
    has(other, Fault::OtherDigest { mark: submit });

    // Delivered and rejected; neither.
    let parcel = evidence.handling.parcels.iter().position(|parcel| parcel.line == case).unwrap();
    let id = evidence.handling.parcels[parcel].id.clone();
    let both = after(&evidence, |e| e.handling.parcels[parcel].state = ParcelState::Refused);
    has(both, Fault::BothWays { mark: accept.mark.clone() });
    let neither = after(&evidence, |e| e.handling.parcels[parcel].state = ParcelState::Waiting);
    has(neither, Fault::StillWaiting { parcel: id.clone() });

    // What was seen is not there any more.
    let back = after(&evidence, |e| {
        let seen = e.looks.iter().rposition(|look| look.chain.len() > 1).expect("somebody looked");
        let mut later = e.looks[seen].clone();
        later.chain.pop();
        e.looks.push(later);
    });
    assert!(back.iter().any(|fault| matches!(fault, Fault::WentBack { .. })));

    // Ledgers that know less than was answered.
    let forgotten = after(&evidence, |e| e.collecting.places.clear());
    has(forgotten, Fault::Unrecorded { what: id });
    let unrecorded = after(&evidence, |e| e.handling.acts.clear());
    has(unrecorded, Fault::Unrecorded { what: accept.mark });
    let open = after(&evidence, |e| e.handling.leaves.retain(|leaf| leaf["t"] != "out.done"));
    assert!(open.iter().any(|fault| matches!(fault, Fault::OpenSend { .. })));
    let unsound = after(&evidence, |e| e.handling.ledger_sound = false);
    has(unsound, Fault::LedgerUnsound { side: Side::Handling });
}
