//! A log file that does not grow without bound.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;

/// A file of this size is set aside; the one set aside before is dropped. So a process keeps at most twice as much.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Lines of one process, newest last.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl RotatingFile {
    /// Opens the file to go on at its end.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(path: PathBuf) -> anyhow::Result<Self> {
        let (file, size) =
            Self::file(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self {
            path,
            file,
            size,
            limit: MAX_FILE_BYTES,
        })
    }

    fn file(path: &PathBuf) -> std::io::Result<(File, u64)> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    /// Appends whole lines. A full disk loses lines, never the mesh: the error is dropped.
    pub fn append(&mut self, lines: &[u8]) {
        let length = lines.len() as u64;
        if self.size > 0 && self.size + length > self.limit {
            let aside = self.path.with_extension("log.1");
            if std::fs::rename(&self.path, aside).is_ok()
                && let Ok((file, size)) = Self::file(&self.path)
            {
                (self.file, self.size) = (file, size);
            }
        }
        if self.file.write_all(lines).is_ok() {
            self.size += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_set_aside_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut file = RotatingFile {
            limit: 10,
            ..RotatingFile::open(path.clone()).unwrap()
        };
        for line in ["first\n", "second\n", "third\n"] {
            file.append(line.as_bytes());
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third\n");
        assert_eq!(
            std::fs::read_to_string(path.with_extension("log.1")).unwrap(),
            "second\n"
        );
        let again = RotatingFile::open(path).unwrap();
        assert_eq!(again.size, 6);
    }
}
