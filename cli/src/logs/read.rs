//! Finds the kept lines again: the last ones, and the new ones as they come.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Most that is read of one file to find its last lines.
const MAX_TAIL_BYTES: u64 = 4 << 20;
/// Most that is read of one file at once when following.
const MAX_READ_BYTES: u64 = 1 << 20;

/// One log file that is being read.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    /// The file that `position` is about; a rotated file has another.
    inode: u64,
    position: u64,
    partial: Vec<u8>,
}

#[derive(Deserialize)]
struct Stamp<'a> {
    #[serde(borrow)]
    timestamp: std::borrow::Cow<'a, str>,
}

impl Tail {
    /// The last `lines` lines of the file, and the place after them. A missing file has none.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn open(path: &Path, lines: usize) -> anyhow::Result<(Vec<Vec<u8>>, Self)> {
        let mut tail = Self {
            path: path.to_owned(),
            inode: 0,
            position: 0,
            partial: Vec::new(),
        };
        if let Some(mut file) = open(path)? {
            let meta = file.metadata()?;
            let start = meta.len().saturating_sub(MAX_TAIL_BYTES);
            file.seek(SeekFrom::Start(start))?;
            (tail.inode, tail.position) = (meta.ino(), start);
            let mut all = tail.take(&mut file, MAX_TAIL_BYTES)?;
            if start > 0 && !all.is_empty() {
                // Begins in the middle of a line.
                all.remove(0);
            }
            let last = all.split_off(all.len().saturating_sub(lines));
            return Ok((last, tail));
        }
        Ok((Vec::new(), tail))
    }

    /// The lines that came since, also across a rotation.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn more(&mut self) -> anyhow::Result<Vec<Vec<u8>>> {
        let Some(mut file) = open(&self.path)? else {
            return Ok(Vec::new());
        };
        let inode = file.metadata()?.ino();
        let mut lines = Vec::new();
        if inode != self.inode {
            // Set aside meanwhile: first the rest of the old file.
            let aside = open(&self.path.with_extension("log.1"))?;
            if let Some(mut aside) =
                aside.filter(|file| file.metadata().is_ok_and(|meta| meta.ino() == self.inode))
            {
                aside.seek(SeekFrom::Start(self.position))?;
                lines = self.take(&mut aside, MAX_TAIL_BYTES)?;
            }
            (self.inode, self.position) = (inode, 0);
            self.partial.clear();
        }
        file.seek(SeekFrom::Start(self.position))?;
        lines.extend(self.take(&mut file, MAX_READ_BYTES)?);
        Ok(lines)
    }

    fn take(&mut self, file: &mut File, limit: u64) -> anyhow::Result<Vec<Vec<u8>>> {
        let read = file.take(limit).read_to_end(&mut self.partial)?;
        self.position += read as u64;
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        Ok(whole
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect())
    }
}

fn open(path: &Path) -> anyhow::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => opened
            .map(Some)
            .with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Sorts lines of several files by their timestamps. Lines without one stay behind the line before them.
#[must_use]
pub fn merge(files: Vec<Vec<Vec<u8>>>) -> Vec<Vec<u8>> {
    let mut stamped = Vec::new();
    for file in files {
        let mut last = OffsetDateTime::UNIX_EPOCH;
        for line in file {
            let stamp = serde_json::from_slice::<Stamp<'_>>(&line).ok();
            last = stamp
                .and_then(|stamp| OffsetDateTime::parse(&stamp.timestamp, &Rfc3339).ok())
                .unwrap_or(last);
            stamped.push((last, line));
        }
    }
    // Stable, so lines of one file keep their order.
    stamped.sort_by_key(|(stamp, _)| *stamp);
    stamped.into_iter().map(|(_, line)| line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::file::RotatingFile;

    #[test]
    fn the_last_lines_then_the_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut file = RotatingFile::open(path.clone()).unwrap();
        file.append(b"1\n2\n3\n");
        let (last, mut tail) = Tail::open(&path, 2).unwrap();
        assert_eq!(last, [b"2\n", b"3\n"]);
        file.append(b"4\npart");
        assert_eq!(tail.more().unwrap(), [b"4\n"]);
        file.append(b"ial\n");
        assert_eq!(tail.more().unwrap(), [b"partial\n"]);
        // Rotated between two looks.
        file.append(b"5\n");
        std::fs::rename(&path, path.with_extension("log.1")).unwrap();
        std::fs::write(&path, "6\n").unwrap();
        assert_eq!(tail.more().unwrap(), [b"5\n", b"6\n"]);
    }

    #[test]
    fn lines_are_merged_by_time() {
        let line = |second: u32, text: &str| {
            format!("{{\"timestamp\":\"2026-01-01T00:00:{second:02}Z\",\"m\":\"{text}\"}}\n")
                .into_bytes()
        };
        let merged = merge(vec![
            vec![line(1, "a"), b"trace\n".to_vec(), line(3, "c")],
            vec![line(2, "b")],
        ]);
        assert_eq!(
            merged,
            [
                line(1, "a"),
                b"trace\n".to_vec(),
                line(2, "b"),
                line(3, "c")
            ]
        );
    }
}
