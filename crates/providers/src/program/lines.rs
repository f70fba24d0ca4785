//! A program that stays: one line in, one line out.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

use super::{MAX_STDERR_BYTES, ProcessGroup, Program, ending, read_tail};
use crate::provider::ProviderError;

/// A running program that answers each line of its standard input with one line of its standard output.
///
/// It is killed with its process group when this is dropped. After an error, or an answer that was not waited for, it must
/// not be asked again: what comes next may be the answer to what was asked before.
pub struct Conversation {
    program: Program,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Ends with standard error.
    stderr: JoinHandle<Vec<u8>>,
    /// Kills the program when it is dropped.
    _group: ProcessGroup,
}

impl Program {
    /// Starts the program to talk with it.
    ///
    /// # Errors
    /// `Config` when it cannot be started.
    pub fn converse(&self) -> Result<Conversation, ProviderError> {
        let mut child = self.spawn(&[], Stdio::piped())?;
        let group = ProcessGroup::of(&child);
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ProviderError::Config(format!("`{}` has no standard input or output", self.name())));
        };
        let stderr = tokio::spawn(read_tail(child.stderr.take(), MAX_STDERR_BYTES));
        Ok(Conversation { program: self.clone(), child, stdin, stdout: BufReader::new(stdout), stderr, _group: group })
    }
}

impl Conversation {
    /// Writes `line`, which has no line feed, and reads the answer, at most `limit` bytes.
    ///
    /// # Errors
    /// `TooLarge`, and `Command` when the program ends instead of answering.
    pub async fn ask(&mut self, line: &[u8], limit: usize) -> Result<Vec<u8>, ProviderError> {
        let written = async {
            self.stdin.write_all(line).await?;
            self.stdin.write_all(b"\n").await?;
            self.stdin.flush().await
        };
        // Both at once, as the program may answer before it has read the whole line.
        let mut answer = Vec::new();
        let mut bounded = (&mut self.stdout).take(limit as u64 + 1);
        let (written, read) = tokio::join!(written, bounded.read_until(b'\n', &mut answer));
        if answer.last() == Some(&b'\n') {
            answer.pop();
            return Ok(answer);
        }
        if answer.len() > limit {
            return Err(ProviderError::TooLarge { endpoint: self.program.name().to_owned(), limit });
        }
        let trouble = read.err().or(written.err());
        Err(self.ended(trouble).await)
    }

    /// The error of a program that ended.
    async fn ended(&mut self, trouble: Option<std::io::Error>) -> ProviderError {
        let status = match (self.child.try_wait(), trouble) {
            (Ok(Some(status)), _) if !status.success() => ending(status),
            (_, Some(error)) => format!("cannot be talked to: {error}"),
            _ => "ended instead of answering".to_owned(),
        };
        // Closing its input and killing it ends standard error, too, unless a child of its keeps that open.
        let _ = self.child.start_kill();
        let stderr = tokio::time::timeout(std::time::Duration::from_secs(1), &mut self.stderr).await;
        self.program.failed(status, &stderr.ok().and_then(Result::ok).unwrap_or_default())
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.stderr.abort();
    }
}
