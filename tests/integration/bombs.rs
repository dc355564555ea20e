//! Bombs: lengths that are not kept, arrays in arrays, batches that unfold to far more than they are. Each is
//! answered or refused by name, in bounded memory, and costs the clients beside it little.

use broker_tests::flood::link::Fate;
use broker_tests::flood::stage::Size;

use crate::harness::{Flooded, counted};

fn refused_as(name: &str) -> impl Fn(&Fate) -> bool {
    let name = name.to_owned();
    move |fate| match fate {
        Fate::Refused(found) | Fate::SentAway(found) => *found == name,
        _ => false,
    }
}

#[test]
fn batches_that_unfold_to_much_cost_bounded_memory_in_every_codec() {
    let flooded = Flooded::on(Size::Small);
    for attack in ["bombs-gzip", "bombs-lz4", "bombs-snappy", "bombs-zstd"] {
        flooded.by(attack, 6);
    }
}

#[test]
fn batches_that_unfold_to_too_much_are_refused() {
    let flooded = Flooded::on(Size::Small);
    for attack in ["bombs-too-large", "bombs-lying"] {
        let report = flooded.by(attack, 4);
        let accepted = counted(&report, |fate| *fate == Fate::Answered);
        assert_eq!(accepted, 0, "{attack}: {:?}", report.fates);
        let named = counted(&report, refused_as("INVALID_BATCH"));
        let busy = counted(&report, refused_as("BUSY"));
        let held = counted(&report, |fate| *fate == Fate::Held);
        assert_eq!(named + busy + held, 4, "{attack}: {:?}", report.fates);
    }
}

#[test]
fn announced_lengths_and_nested_arrays_are_refused_by_name() {
    let flooded = Flooded::on(Size::Small);
    for (attack, name) in [
        ("length-bombs", "FRAME_TOO_LARGE"),
        ("depth-bombs", "NESTING_TOO_DEEP"),
        ("deep-requests", "NESTING_TOO_DEEP"),
    ] {
        let report = flooded.until(attack, 20, |report| counted(report, refused_as(name)) > 0);
        assert!(report.grown_mib() < 128, "{attack}: {}", report.grown_mib());
    }
}
