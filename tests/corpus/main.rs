//! Every input that the fuzz targets have been found to be interested in, as plain tests: a test a target,
//! over `tests/fuzz/corpus/<target>`. The folder holds honest samples, odd ones, and all that ever broke.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use broker_tests::fuzz_targets::TARGETS;
use broker_tests::repository;

/// Most bytes of all inputs together: they are read in every run of the tests.
const BYTES_MAX: usize = 2 << 20;

fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = repository().join("tests/fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|_| panic!("{folder:?} is there"));
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let mut inputs: Vec<_> = paths
        .map(|path| {
            let bytes = fs::read(&path).expect("an input can be read");
            (path.display().to_string(), bytes)
        })
        .collect();
    inputs.sort();
    inputs
}

fn run(target: &str) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, body) = found.expect("it is in the table");
    let inputs = inputs(target);
    assert!(inputs.len() >= 4, "{target} has hardly any corpus");
    for (path, bytes) in inputs {
        let done = catch_unwind(AssertUnwindSafe(|| body(&bytes)));
        assert!(done.is_ok(), "{path} breaks {target}");
    }
}

macro_rules! targets {
    ($($target:ident),* $(,)?) => {
        $(
            #[test]
            fn $target() {
                run(stringify!($target));
            }
        )*

        const TESTED: &[&str] = &[$(stringify!($target)),*];
    };
}

targets!(
    batch,
    client,
    config,
    consumer,
    durable_positions,
    frame,
    manifest,
    metadata,
    plugin_answer,
    recovery,
    request,
    response,
    round_trip,
    small_files,
    wasm_module,
);

#[test]
fn every_target_is_tested_and_driven_by_libfuzzer_and_the_corpus_is_small() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, TESTED);
    let manifest = fs::read_to_string(repository().join("tests/fuzz/Cargo.toml"));
    let manifest = manifest.expect("the crate of the fuzz targets is there");
    let mut bytes = 0;
    for target in names {
        let binary = format!("path = \"fuzz_targets/{target}.rs\"");
        assert!(
            manifest.contains(&binary),
            "cargo fuzz does not know {target}"
        );
        bytes += inputs(target)
            .iter()
            .map(|(_, bytes)| bytes.len())
            .sum::<usize>();
    }
    assert!(bytes <= BYTES_MAX, "the corpus has {bytes} bytes");
}

#[test]
fn the_corpus_of_modules_has_one_that_loads_and_others_that_do_not() {
    let engine = broker_wasm::PluginEngine::new().expect("the engine starts");
    let loads = |(_, bytes): &(String, Vec<u8>)| engine.load(bytes).is_ok();
    let inputs = inputs("wasm_module");
    let loaded = inputs.iter().filter(|input| loads(input)).count();
    assert!((1..inputs.len()).contains(&loaded), "{loaded} load");
}

#[test]
fn an_input_that_breaks_a_promise_would_be_noticed() {
    let broken = |_: &[u8]| panic!("a promise");
    assert!(catch_unwind(AssertUnwindSafe(|| broken(b""))).is_err());
}
