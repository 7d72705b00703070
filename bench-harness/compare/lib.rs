//! Nothing but the bench target `compare`, which `cargo bench` runs.
//!
//! It is a package of its own because cargo compiles all dev-dependencies of a package whose bench target it builds. Those of
//! `bench-harness` are the crates that its tests need, and criterion. So the first `cargo bench` builds without them.
