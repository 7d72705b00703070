//! A bounded number of random scripts with a peer that scribbles over the ring. `fuzz/` runs them for any time.

use arbitrary::{Arbitrary, Unstructured};
use ipc_conformance::{Suite, Verdict, run_all};
use ipc_core::process::{self, Exit};
use ipc_shm::hostile::{Script, touch_a_guard};
use proptest::{
    collection::vec,
    prelude::{Strategy, any},
    test_runner::{Config, TestRunner},
};
use std::time::Duration;

fn main() {
    run_all([Suite::new("hostile")
        .within(Duration::from_secs(60))
        .test("stray_accesses_crash", stray_accesses_crash)
        .test("only_corrupt_or_a_valid_message", only_corrupt_or_a_valid_message)]);
}

const CASES: u32 = 1500;

fn stray_accesses_crash() -> Verdict {
    for behind in [false, true] {
        let child = process::fork(|| {
            touch_a_guard(behind);
            0
        });
        let exit = child.and_then(|mut child| child.wait(Duration::from_secs(10))).map_err(|e| e.to_string())?;
        if matches!(exit, None | Some(Exit::Code(0))) {
            return Err(format!("a byte {} was read: {exit:?}", if behind { "behind" } else { "before" }));
        }
    }
    Ok(())
}

fn only_corrupt_or_a_valid_message() -> Verdict {
    let scripts = vec(any::<u8>(), 0..1024)
        .prop_filter_map("too short", |bytes| Script::arbitrary_take_rest(Unstructured::new(&bytes)).ok());
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let played = TestRunner::new(config).run(&scripts, |script| {
        script.play();
        Ok(())
    });
    played.map_err(|error| error.to_string())
}
