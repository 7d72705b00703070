//! A growing result file. Rows are only ever added, and each is on the disk before the next is measured.

use anyhow::{Context, bail};
use bench_record::rows::Row;
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

/// The file of `R`, open for adding. While it is open, no other process can add to it.
pub struct Growing<R> {
    file: Flock<File>,
    path: PathBuf,
    rows: Vec<R>,
}

impl<R: Row> Growing<R> {
    /// Opens or creates the file in the folder `dir`, and reads its rows.
    ///
    /// # Errors An error if the file is torn, has other columns, or is in use by another series. Nothing is changed then.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let path = dir.join(R::FILE);
        let context = || path.display().to_string();
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).with_context(context)?;
        let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            anyhow::anyhow!("{}: another series adds to it: wait for its end ({errno})", path.display())
        })?;
        let columns = R::COLUMNS.join(",");
        if file.metadata().with_context(context)?.len() == 0 {
            writeln!(file, "{columns}").and_then(|()| file.sync_all()).with_context(context)?;
            // The file's name has to reach the disk, too (fsync(2)).
            File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| dir.display().to_string())?;
        }
        let rows = bench_record::rows::read(dir)?;
        let text = fs::read_to_string(&path).with_context(context)?;
        let header = text.lines().next().unwrap_or_default();
        if header != columns {
            bail!("{}: line 1: rows can be added to the columns {columns} only, not to {header}", path.display());
        }
        Ok(Self { file, path, rows })
    }

    /// The rows in the file.
    pub fn rows(&self) -> &[R] {
        &self.rows
    }

    /// Adds `rows`. They are on the disk when this returns.
    ///
    /// # Errors Those of write(2) and fsync(2). The file is then as it was.
    pub fn add(&mut self, rows: Vec<R>) -> anyhow::Result<()> {
        let whole = bench_record::rows::to_csv(&rows);
        let (_, text) = whole.split_once('\n').expect("a header");
        let before = self.file.metadata().map(|data| data.len());
        let write = before.and_then(|len| {
            let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all());
            written.inspect_err(|_| {
                // Truncate the file: half a row would have to be removed by hand.
                let _ = self.file.set_len(len);
            })
        });
        write.with_context(|| self.path.display().to_string())?;
        self.rows.extend(rows);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::CellRow;
    use bench_gate::report::{Metric, Status};

    fn row(seed: u64) -> CellRow {
        CellRow {
            seed,
            cell: "latency/pipe/64/same-core/block/copy".parse().unwrap(),
            metric: Metric::P50,
            base_ns: Some(4123.5),
            head_ns: None,
            status: Status::Failed,
        }
    }

    #[test]
    fn what_was_added_is_there_when_it_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        for seed in 1..=3 {
            let mut file = Growing::<CellRow>::open(dir.path()).unwrap();
            assert_eq!(file.rows(), (1..seed).map(row).collect::<Vec<_>>());
            file.add(vec![row(seed)]).unwrap();
        }
        assert_eq!(bench_record::rows::read::<CellRow>(dir.path()).unwrap(), [1, 2, 3].map(row));
    }

    #[test]
    fn a_torn_or_foreign_file_is_named_by_its_line_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        Growing::open(dir.path()).unwrap().add(vec![row(1), row(2)]).unwrap();
        let path = dir.path().join(CellRow::FILE);
        let whole = fs::read_to_string(&path).unwrap();
        let torn = whole.trim_end().to_owned();
        let cut = whole[..whole.len() - 10].to_owned() + "\n";
        let twice = whole.clone() + whole.lines().last().unwrap() + "\n";
        let more = whole.lines().map(|line| line.to_owned() + ",x\n").collect();
        let other = whole.replace("base_ns", "base");
        for (text, line) in [(torn, 3), (cut, 3), (twice, 4), (more, 1), (other, 1)] {
            fs::write(&path, &text).unwrap();
            let error = Growing::<CellRow>::open(dir.path()).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(CellRow::FILE) && error.contains(&format!("line {line}:")), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn two_series_cannot_add_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = Growing::<CellRow>::open(dir.path()).unwrap();
        let error = Growing::<CellRow>::open(dir.path()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("another series"), "{error}");
        drop(first);
        Growing::<CellRow>::open(dir.path()).unwrap();
    }
}
