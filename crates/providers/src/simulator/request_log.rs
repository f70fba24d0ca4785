//! The log of requests: one JSON line for each.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use serde::Serialize;

use super::Fault;

/// Bytes that are gathered before they are written, while more lines wait.
const BATCH_BYTES: usize = 1 << 18;

/// One request.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    /// When it came, RFC 3339.
    pub(super) at: jiff::Timestamp,
    pub(super) model: &'a str,
    /// The last user message.
    pub(super) input: &'a str,
    /// The status sent; 0 where the connection hung or was closed before.
    pub(super) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<Fault>,
    /// How often the same was asked before.
    pub(super) attempt: u32,
    pub(super) stream: bool,
    /// Whether it was asked to judge.
    pub(super) judge: bool,
}

/// Appends lines in a thread of its own. Lines that wait together are written together, and nothing is held back.
pub(super) struct RequestLog {
    lines: Option<Sender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
}

impl RequestLog {
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let (sender, receiver) = channel();
        let writer =
            std::thread::Builder::new().name("request-log".to_owned()).spawn(move || write(file, &receiver))?;
        Ok(Self { lines: Some(sender), writer: Some(writer) })
    }

    pub(super) fn append(&self, entry: &Entry<'_>) {
        let Some(lines) = &self.lines else { return };
        match serde_json::to_vec(entry) {
            Ok(mut line) => {
                line.push(b'\n');
                // The writer ends early only when the disk fails, and has said so.
                let _ = lines.send(line);
            }
            Err(error) => tracing::error!(%error, "a line of the request log could not be written"),
        }
    }
}

/// Waits until everything is written.
impl Drop for RequestLog {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the request log panicked");
        }
    }
}

fn write(mut file: File, lines: &Receiver<Vec<u8>>) {
    while let Ok(mut batch) = lines.recv() {
        while batch.len() < BATCH_BYTES
            && let Ok(line) = lines.try_recv()
        {
            batch.extend_from_slice(&line);
        }
        if let Err(error) = file.write_all(&batch) {
            tracing::error!(%error, "the request log cannot be written any more");
            return;
        }
    }
}
