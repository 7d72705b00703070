//! Reads files under `/proc` and `/sys`: text, a number or a list of processors, or the reason why a file could not be read.

use nix::errno::Errno;
use std::{fs, path::Path};

/// A file's text without surrounding white space.
///
/// # Errors The reason why the file could not be read.
pub fn read(path: impl AsRef<Path>) -> Result<String, String> {
    let path = path.as_ref();
    fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| reason(path, &error))
}

/// The reason why `path` could not be read, as one line.
pub fn reason(path: &Path, error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => format!("{}: {}", path.display(), Errno::from_raw(errno).desc()),
        None => format!("{}: {error}", path.display()),
    }
}

/// The number in the file `name` under `/proc/sys`.
///
/// # Errors The reason why there is no number.
pub fn limit(name: &str) -> Result<u64, String> {
    let text = read(format!("/proc/sys/{name}"))?;
    text.parse().map_err(|_| format!("/proc/sys/{name}: '{text}' is no number"))
}

/// A file's text. `None` if the file is absent, unreadable or empty.
pub fn text(path: impl AsRef<Path>) -> Option<String> {
    read(path).ok().filter(|text| !text.is_empty())
}

/// The first value of `name` in a text of lines `name: value`, such as `/proc/cpuinfo`.
pub fn value_of(text: &str, name: &str) -> Option<String> {
    let mut values = text.lines().filter_map(|line| line.split_once(':'));
    values.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// The hardware threads that are online.
pub fn online() -> Vec<u32> {
    text("/sys/devices/system/cpu/online").map(|list| cpu_list(&list)).unwrap_or_default()
}

/// The processors in a list such as `0-3,8`.
fn cpu_list(list: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<u32>().ok()?..=last.trim().parse::<u32>().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_lists() {
        assert_eq!(cpu_list("0-3,8"), [0, 1, 2, 3, 8]);
        assert_eq!(cpu_list("5"), [5]);
        assert!(cpu_list("").is_empty());
    }

    #[test]
    fn what_cannot_be_read_has_the_reason() {
        assert_eq!(read("/no/such/file").unwrap_err(), "/no/such/file: No such file or directory");
        assert!(limit("kernel/ostype").unwrap_err().contains("'Linux' is no number"));
    }
}
