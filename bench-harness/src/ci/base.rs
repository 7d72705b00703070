//! Choice of the revisions to compare.
//!
//! Head is the given revision, or else `HEAD` with all uncommitted changes. Base is the given revision, or else the
//! commit where head left the main branch. On the main branch itself, base is `HEAD` if there are uncommitted changes,
//! else the commit before. Commits that a shallow clone lacks are fetched.

use super::{
    Request, Stop,
    git::{Git, Missing, Paths},
};
use bench_lab::say;

/// The names of the sides. They have equal length.
pub(super) const SIDES: [&str; 2] = ["base", "head"];
/// Names of the main branch. The first one that exists is taken.
const MAIN: [&str; 5] = ["origin/HEAD", "origin/main", "main", "origin/master", "master"];

/// The commits of both sides, and how they were chosen.
pub(super) struct Sides {
    pub(super) base: String,
    pub(super) base_is: String,
    pub(super) head: String,
    pub(super) head_is: String,
    /// Whether head has uncommitted changes.
    pub(super) changed: bool,
    /// Whether there are uncommitted changes that are no part of the head.
    pub(super) overlooked: bool,
}

impl Sides {
    /// Chooses base and head. Fetched commits are stored in `reference`.
    pub(super) fn choose(git: &Git, reference: &str, request: &Request, paths: &Paths) -> Result<Self, Stop> {
        let (head, head_is, changed) = head(git, request, paths)?;
        let (base, base_is) = match &request.base {
            Some(name) => (given(git, reference, &head, name)?, name.clone()),
            None => default(git, reference, &head, changed)?,
        };
        let overlooked = request.head.is_some() && git.is_changed(paths)?;
        Ok(Self { base, base_is, head, head_is, changed, overlooked })
    }
}

fn no_base(why: impl std::fmt::Display) -> Stop {
    Stop::new(4, format!("no base: {why}"))
}

fn unknown(name: &str) -> Stop {
    Stop::new(2, format!("unknown revision '{name}'"))
}

/// The commit of the head, its description, and whether there are changes on top of it.
fn head(git: &Git, request: &Request, paths: &Paths) -> Result<(String, String, bool), Stop> {
    if let Some(name) = &request.head {
        return Ok((git.commit(name)?.ok_or_else(|| unknown(name))?, name.clone(), false));
    }
    let nothing = || Stop::new(4, "no commit yet, so nothing to compare with");
    let head = git.commit("HEAD")?.ok_or_else(nothing)?;
    let changed = git.is_changed(paths)?;
    Ok((head, if changed { "HEAD with uncommitted changes" } else { "HEAD" }.to_owned(), changed))
}

/// The base if none is given: where `head` left the main branch. On that branch, `HEAD` or the commit before.
fn default(git: &Git, reference: &str, head: &str, changed: bool) -> Result<(String, String), Stop> {
    match main_branch(git)? {
        Some(main) => {
            let fork = fork(git, head, main)?;
            if fork != head {
                return Ok((fork, format!("where HEAD left {main}")));
            }
        }
        None => say!(
            "note: no main branch is known here, so only the last commit is looked at; name a base to compare more with"
        ),
    }
    if changed {
        return Ok((head.to_owned(), "HEAD".to_owned()));
    }
    let parents = git.parents(head)?;
    let before = parents.first().ok_or_else(|| no_base("HEAD is the first commit"))?;
    let base = match git.commit(before)? {
        Some(base) => base,
        None => found(git, git.fetch(reference, before)?, "the commit before HEAD")?,
    };
    Ok((base, "the commit before HEAD".to_owned()))
}

fn main_branch(git: &Git) -> Result<Option<&'static str>, Stop> {
    for name in MAIN {
        if git.commit(name)?.is_some() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn fork(git: &Git, head: &str, main: &str) -> Result<String, Stop> {
    let look = || git.line(&["merge-base", main, head]);
    let mut fork = look()?;
    if fork.is_none() && git.is_shallow()? {
        fork = git.deepen(head, &look)?.ok();
    }
    let cut_off = git.cut_off()?;
    fork.ok_or_else(|| no_base(format!("HEAD and {main} have no commit in common{cut_off}")))
}

/// The commit that the user calls `name`. It is fetched if necessary.
fn given(git: &Git, reference: &str, head: &str, name: &str) -> Result<String, Stop> {
    if let Some(base) = git.commit(name)? {
        return Ok(base);
    }
    let (stem, steps) = name.split_at(name.find(['~', '^']).unwrap_or(name.len()));
    let looked_for = if is_ancestry(steps) && git.commit(stem)?.is_some() {
        if git.parents(stem)?.is_empty() {
            return Err(no_base(format!("{stem} is the first commit")));
        }
        if !git.is_shallow()? {
            return Err(no_base(format!("'{name}' is before the first commit")));
        }
        git.deepen(head, &|| git.commit(name))?
    } else if git.is_shallow()? || is_object(name) {
        git.fetch(reference, name)?
    } else {
        return Err(unknown(name));
    };
    found(git, looked_for, &format!("'{name}'"))
}

/// The commit in `looked_for`, or an error that says it is not in this clone.
fn found(git: &Git, looked_for: Result<String, Missing>, what: &str) -> Result<String, Stop> {
    let cut_off = git.cut_off()?;
    looked_for.map_err(|missing| no_base(format!("{what} is not in this clone{cut_off}{}", missing.why())))
}

/// Whether `steps` follow first parents only, as `~2` and `^` do.
fn is_ancestry(steps: &str) -> bool {
    let Some(rest) = steps.strip_prefix(['~', '^']) else { return false };
    let len = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at(len);
    (steps.starts_with('~') || ["", "1"].contains(&number)) && (rest.is_empty() || is_ancestry(rest))
}

/// Whether `name` is the full name of a git object.
fn is_object(name: &str) -> bool {
    [40, 64].contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestry_goes_by_first_parents() {
        for steps in ["~", "~2", "^", "^1", "~2^", "^^", "~10~3^1"] {
            assert!(is_ancestry(steps), "{steps}");
        }
        for steps in ["", "^2", "~1^2", "^{tree}", "~x", "2~", "@{1}"] {
            assert!(!is_ancestry(steps), "{steps}");
        }
    }

    #[test]
    fn objects_have_full_names() {
        assert!(is_object(&"a1".repeat(20)) && is_object(&"0".repeat(64)));
        assert!(!is_object("a1b2") && !is_object(&"A1".repeat(20)) && !is_object("nonsense"));
    }
}
