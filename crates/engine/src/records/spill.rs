//! Where records wait that the store does not take: files of a batch each, until each is stored.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use llmops_domain::id::ProjectId;
use llmops_domain::record::RequestRecord;
use llmops_storage::RecordRow;
use serde::Deserialize;

/// The ending of a file's name.
const FINISHED: &str = "ndjson";
/// The same while the file is written.
const UNFINISHED: &str = "part";

/// A line of a file.
#[derive(Deserialize)]
struct Line {
    project: ProjectId,
    record: RequestRecord,
}

fn read_line(line: &[u8]) -> Result<RecordRow, String> {
    let Line { project, record } = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    RecordRow::new(&project, &record).map_err(|error| error.to_string())
}

/// The records of this process that wait. Whoever puts some aside need not be the one who stores them.
#[derive(Debug)]
pub(super) struct Spill {
    /// The folder; absent: in memory.
    folder: Option<PathBuf>,
    owner: String,
    /// Those that wait longest come first.
    pieces: Mutex<VecDeque<Piece>>,
    /// The number of the next file.
    next: AtomicU64,
    waiting: AtomicU64,
}

/// Records that were put aside together.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    count: u64,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Memory(Vec<RecordRow>),
    File(PathBuf),
}

impl Piece {
    /// How many records these are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The records, and how many there are beside them that cannot be read.
    pub(super) fn read(&self) -> io::Result<(Vec<RecordRow>, u64)> {
        let path = match &self.place {
            Place::Memory(records) => return Ok((records.clone(), 0)),
            Place::File(path) => path,
        };
        let (mut records, mut damaged) = (Vec::new(), 0);
        for line in std::fs::read(path)?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match read_line(line) {
                Ok(row) => records.push(row),
                Err(error) => {
                    damaged += 1;
                    tracing::error!(file = %path.display(), error, "a record that was put aside cannot be read");
                }
            }
        }
        Ok((records, damaged))
    }
}

impl Spill {
    /// An empty spill. Files are made when they are needed.
    pub(super) fn new(folder: Option<PathBuf>, owner: &str) -> Self {
        Self {
            folder,
            owner: owner.to_owned(),
            pieces: Mutex::default(),
            next: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        }
    }

    /// Where records wait, for people.
    pub(super) fn place(&self) -> String {
        self.folder.as_ref().map_or_else(|| "memory".to_owned(), |folder| folder.display().to_string())
    }

    /// Tries whether records can be put aside. That is better known before the store is away.
    pub(super) fn check(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("{}.try", hex::encode(&self.owner)));
        std::fs::write(&path, b"")?;
        std::fs::remove_file(&path)
    }

    /// Takes over what processes that are gone left behind.
    pub(super) fn adopt(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut left: Vec<PathBuf> = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let is_unfinished = path.extension().is_some_and(|extension| extension == UNFINISHED);
            if is_unfinished && owner_of(&path.with_extension(FINISHED)).is_some_and(|owner| self.may_adopt(&owner)) {
                // Nobody was told that it is on disk.
                std::fs::remove_file(&path)?;
            } else if owner_of(&path).is_some_and(|owner| self.may_adopt(&owner)) {
                left.push(path);
            }
        }
        left.sort();
        for path in left {
            let own = self.next_path(folder);
            // A process that starts at the same moment may have been faster.
            if std::fs::rename(&path, &own).is_ok() {
                let text = std::fs::read(&own)?;
                let count = text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count() as u64;
                tracing::info!(count, "records of a process that is gone are taken over");
                self.add(Piece { count, place: Place::File(own) });
            }
        }
        Ok(())
    }

    fn may_adopt(&self, owner: &str) -> bool {
        owner != self.owner && crate::owner::is_gone(owner)
    }

    /// Whether what waits is lost with the process.
    pub(super) fn is_in_memory(&self) -> bool {
        self.folder.is_none()
    }

    /// How many records wait.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many times records were put aside that wait.
    pub(super) fn pieces_waiting(&self) -> usize {
        self.pieces().len()
    }

    /// Puts records aside, on disk before it answers.
    pub(super) fn put(&self, records: Vec<RecordRow>) -> io::Result<()> {
        let count = records.len() as u64;
        let Some(folder) = &self.folder else {
            self.add(Piece { count, place: Place::Memory(records) });
            return Ok(());
        };
        let mut text = Vec::with_capacity(records.len() * 1024);
        for row in &records {
            text.extend_from_slice(b"{\"project\":");
            serde_json::to_writer(&mut text, row.project()).map_err(io::Error::other)?;
            text.extend_from_slice(b",\"record\":");
            text.extend_from_slice(row.document().as_bytes());
            text.extend_from_slice(b"}\n");
        }
        std::fs::create_dir_all(folder)?;
        let path = self.next_path(folder);
        write_whole(&path, &text)?;
        self.add(Piece { count, place: Place::File(path) });
        Ok(())
    }

    /// Those that wait longest.
    pub(super) fn first(&self) -> Option<Piece> {
        self.pieces().front().cloned()
    }

    /// Forgets those that wait longest: they are stored.
    pub(super) fn forget_first(&self) -> io::Result<()> {
        let Some(piece) = self.pieces().pop_front() else { return Ok(()) };
        self.waiting.fetch_sub(piece.count, Ordering::Relaxed);
        match &piece.place {
            Place::Memory(_) => Ok(()),
            Place::File(path) => std::fs::remove_file(path),
        }
    }

    /// Leaves those that wait longest where they are: they cannot be read.
    pub(super) fn give_up_first(&self) {
        if let Some(piece) = self.pieces().pop_front() {
            self.waiting.fetch_sub(piece.count, Ordering::Relaxed);
        }
    }

    fn add(&self, piece: Piece) {
        self.waiting.fetch_add(piece.count, Ordering::Relaxed);
        self.pieces().push_back(piece);
    }

    fn pieces(&self) -> MutexGuard<'_, VecDeque<Piece>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_path(&self, folder: &Path) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // The owner's name may have characters that file names do not.
        folder.join(format!("records-{}-{number:010}.ndjson", hex::encode(&self.owner)))
    }
}

/// Writes a file that is there as a whole or not at all.
fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let mut file = std::fs::File::create(&unfinished)?;
    io::Write::write_all(&mut file, text)?;
    file.sync_data()?;
    std::fs::rename(&unfinished, path)
}

fn owner_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (encoded, _number) = name.strip_prefix("records-")?.strip_suffix(".ndjson")?.split_once('-')?;
    String::from_utf8(hex::decode(encoded).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_take_no_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let spill = |folder: PathBuf| Spill::new(Some(folder), "host/1");
        let good = folder.path().join("state/spill");
        spill(good.clone()).check().unwrap();
        assert_eq!(std::fs::read_dir(&good).unwrap().count(), 0, "nothing is left behind");
        std::fs::write(good.join("file"), "").unwrap();
        spill(good.join("file")).check().unwrap_err();
        Spill::new(None, "host/1").check().unwrap();
    }
}
