//! Moves messages over a mechanism and does nothing else, so that other tools can count what that takes (see
//! `scripts/copies-check.sh`): `exchange MECHANISM SIZE ACCESS MESSAGES`.

use anyhow::{Context, bail};
use bench_harness::STANDARD;
use bench_record::cell::Access;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, size, access, messages] = &words[..] else {
        bail!("four words are needed: MECHANISM SIZE ACCESS MESSAGES, such as pipe 4096 copy 1000")
    };
    let mechanism = STANDARD.named(name).with_context(|| format!("no mechanism is called '{name}'"))?;
    let access: Access = access.parse().map_err(anyhow::Error::msg)?;
    let trial = mechanism.copies(access).with_context(|| format!("{name} has no access {access}"))?;
    let size = size.parse().with_context(|| format!("'{size}' is no length in bytes"))?;
    let messages = messages.parse().with_context(|| format!("'{messages}' is no number of messages"))?;
    (trial.exchange)(size, messages)?;
    Ok(())
}
