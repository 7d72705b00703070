//! A peer that scribbles over a ring while this side works with it; see `ipc_shm::hostile`.

#![no_main]

use ipc_shm::hostile::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: Script| script.play());
