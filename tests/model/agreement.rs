//! The model and the programs say the same.

use std::env;
use std::path::Path;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::generate::script;
use crate::harness::compare::{Coverage, Disagreement, compare, reason_name};
use crate::harness::kernel::Kernel;
use crate::harness::trace::Trace;

/// As the build made it.
const OBJECT: &str = concat!(env!("OUT_DIR"), "/bridgewall.bpf.o");

/// What is compared without anybody asking for more.
const PACKETS: u64 = 1_000_000;

/// Whether a case on which the two differ is made as small as it can be, which takes a while.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shrink {
    No,
    Yes,
}

/// Runs cases until so many packets were compared, or one case is found on which the two differ.
pub fn search(
    kernel: &mut Kernel,
    packets: u64,
    seed: u64,
    shrink: Shrink,
) -> Result<Coverage, String> {
    let coverage = std::cell::RefCell::new(Coverage::default());
    let kernel = std::cell::RefCell::new(kernel);
    let strategy = script::trace();
    for case in 0.. {
        if coverage.borrow().packets >= packets {
            break;
        }
        let mut runner = runner(seed, case, shrink);
        let outcome = runner.run(&strategy, |trace| {
            let (mut kernel, mut coverage) = (kernel.borrow_mut(), coverage.borrow_mut());
            // Once more, for this machine may have paused for long enough to matter.
            compare(&mut kernel, &trace, &mut coverage)
                .or_else(|_| compare(&mut kernel, &trace, &mut Coverage::default()))
                .map_err(|disagreement| TestCaseError::fail(disagreement.to_string()))
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(reason, _)) if shrink == Shrink::No => {
                return Err(reason.to_string());
            }
            Err(TestError::Fail(_, trace)) => {
                let (trace, disagreement) = tidy(&mut kernel.borrow_mut(), trace);
                return Err(format!("{disagreement}\n\n{}", trace.text()));
            }
            Err(TestError::Abort(reason)) => return Err(reason.to_string()),
        }
    }
    Ok(coverage.into_inner())
}

/// For one case: each has a seed of its own, since proptest's generators take longer the more they have
/// made.
fn runner(seed: u64, case: u64, shrink: Shrink) -> TestRunner {
    let bytes = [seed.to_le_bytes(), case.to_le_bytes()].concat();
    let config = Config {
        cases: 1,
        failure_persistence: None,
        max_shrink_iters: if shrink == Shrink::Yes { 600 } else { 0 },
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::XorShift, &bytes);
    TestRunner::new_with_rng(config, rng)
}

/// Takes away what the disagreement does not need, step by step: a recipe may have made several.
fn tidy(kernel: &mut Kernel, mut trace: Trace) -> (Trace, Disagreement) {
    let mut differ = |trace: &Trace| compare(kernel, trace, &mut Coverage::default()).err();
    let mut found = differ(&trace).expect("it did a moment ago");
    trace.steps.truncate(found.step + 1);
    for index in (0..trace.steps.len()).rev() {
        let mut shorter = trace.clone();
        shorter.steps.remove(index);
        if let Some(still) = differ(&shorter) {
            (trace, found) = (shorter, still);
        }
    }
    (trace, found)
}

/// A number from the environment, for `scripts/fuzz`.
fn asked(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name}={text}"))
    })
}

#[test]
fn model_and_programs_agree() {
    let packets = asked("BRIDGEWALL_MODEL_PACKETS", PACKETS);
    let seed = asked("BRIDGEWALL_MODEL_SEED", 1);
    let mut kernel = Kernel::load(Path::new(OBJECT));
    let began = std::time::Instant::now();
    match search(&mut kernel, packets, seed, Shrink::Yes) {
        Ok(coverage) => report(&coverage, began.elapsed().as_secs_f64()),
        Err(found) => panic!("seed {seed}: {found}"),
    }
}

fn report(coverage: &Coverage, seconds: f64) {
    let packets = coverage.packets;
    println!(
        "{packets} packets in {seconds:.1} s, {:.0} a second; {} policies",
        packets as f64 / seconds,
        coverage.policies
    );
    println!(
        "{:>8} passed, {} of them in audit mode only",
        coverage.passed, coverage.audited
    );
    for (reason, count) in &coverage.dropped {
        let reason = bridgewall::kernel::abi::drop_reason(*reason);
        println!("{count:>8} {}", reason_name(reason));
    }
}

/// What was found once stays right.
#[test]
fn what_was_found_stays_found() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model/found");
    let mut kernel = Kernel::load(Path::new(OBJECT));
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("read the folder")
        .map(|entry| entry.expect("read the folder").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "nothing was ever found");
    for file in files {
        let trace = Trace::read(&std::fs::read_to_string(&file).expect("read a trace"));
        let result = compare(&mut kernel, &trace, &mut Coverage::default());
        assert!(
            result.is_ok(),
            "{}: {}",
            file.display(),
            result.unwrap_err()
        );
    }
}
