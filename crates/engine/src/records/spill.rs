//! Where records wait while the store is away: a file that only grows until everything in it is stored.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use llmops_domain::id::ProjectId;
use llmops_domain::record::RequestRecord;
use serde::{Deserialize, Serialize};

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    project: ProjectId,
    record: RequestRecord,
}

/// The spilled records of this process.
#[derive(Debug)]
pub(super) struct Spill {
    /// The folder; absent: in memory.
    folder: Option<PathBuf>,
    owner: String,
    memory: Vec<(ProjectId, RequestRecord)>,
    waiting: u64,
}

impl Spill {
    /// An empty spill. The file is made when it is needed.
    pub(super) fn new(folder: Option<PathBuf>, owner: &str) -> Self {
        Self { folder, owner: owner.to_owned(), memory: Vec::new(), waiting: 0 }
    }

    /// Takes over what processes that are gone left behind.
    pub(super) fn adopt(&mut self) -> io::Result<()> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            let Some(owner) = owner_of(&path).filter(|owner| *owner != self.owner && crate::owner::is_gone(owner))
            else {
                continue;
            };
            tracing::info!(%owner, "records of a process that is gone are taken over");
            // A process that starts at the same moment may have been faster.
            let claimed = folder.join(format!("claimed-{}", file_name(&self.owner)));
            if std::fs::rename(&path, &claimed).is_ok() {
                let text = std::fs::read(&claimed)?;
                self.append_bytes(&text)?;
                self.waiting += text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count() as u64;
                std::fs::remove_file(&claimed)?;
            }
        }
        Ok(())
    }

    /// How many records wait.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Puts records aside, on disk before it answers.
    pub(super) fn put(&mut self, records: Vec<(ProjectId, RequestRecord)>) -> io::Result<()> {
        self.waiting += records.len() as u64;
        if self.folder.is_none() {
            self.memory.extend(records);
            return Ok(());
        }
        let mut text = Vec::new();
        for (project, record) in records {
            serde_json::to_writer(&mut text, &Line { project, record }).map_err(io::Error::other)?;
            text.push(b'\n');
        }
        self.append_bytes(&text)
    }

    fn append_bytes(&self, text: &[u8]) -> io::Result<()> {
        let Some(path) = self.path() else { return Ok(()) };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(text)?;
        file.sync_data()
    }

    /// Everything that waits, in pieces of at most `size`, read as they are asked for.
    pub(super) fn pieces(&self, size: usize) -> io::Result<Pieces> {
        let file = match self.path().filter(|path| path.exists()) {
            Some(path) => Some(BufReader::new(std::fs::File::open(path)?).lines()),
            None => None,
        };
        Ok(Pieces { memory: self.memory.clone().into_iter(), file, size: size.max(1) })
    }

    /// Forgets everything: it is stored.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.memory.clear();
        self.waiting = 0;
        match self.path().map(std::fs::remove_file) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(file_name(&self.owner)))
    }
}

/// The spilled records, piece by piece: a file may hold more than memory does.
pub(super) struct Pieces {
    memory: std::vec::IntoIter<(ProjectId, RequestRecord)>,
    file: Option<io::Lines<BufReader<std::fs::File>>>,
    size: usize,
}

impl Iterator for Pieces {
    type Item = io::Result<Vec<(ProjectId, RequestRecord)>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece: Vec<_> = self.memory.by_ref().take(self.size).collect();
        while let Some(file) = self.file.as_mut().filter(|_| piece.len() < self.size) {
            match file.next() {
                None => self.file = None,
                Some(Err(error)) => return Some(Err(error)),
                // A line that was cut by a crash was never acknowledged.
                Some(Ok(line)) => match serde_json::from_str::<Line>(&line) {
                    Ok(Line { project, record }) => piece.push((project, record)),
                    Err(error) => tracing::warn!(%error, "a spilled record cannot be read"),
                },
            }
        }
        (!piece.is_empty()).then_some(Ok(piece))
    }
}

/// The owner's name may have characters that file names do not.
fn file_name(owner: &str) -> String {
    format!("records-{}.ndjson", hex::encode(owner))
}

fn owner_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let encoded = name.strip_prefix("records-")?.strip_suffix(".ndjson")?;
    String::from_utf8(hex::decode(encoded).ok()?).ok()
}
