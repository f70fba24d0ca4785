//! A program of the user's, run once for a text or kept and spoken to in lines.
//!
//! On Unix a program runs in a process group of its own, which is killed whole when the call is cancelled.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use crate::excerpt;
use crate::provider::ProviderError;

mod lines;

pub use lines::Conversation;

/// Longest value put into the environment; systems refuse longer ones.
const MAX_VARIABLE_BYTES: usize = 100_000;
/// What is kept of standard error.
const MAX_STDERR_BYTES: usize = 64 * 1024;

/// What is run, where, with which environment.
#[derive(Debug, Clone)]
pub struct Program {
    run: Vec<String>,
    env: BTreeMap<String, String>,
    directory: PathBuf,
}

impl Program {
    /// The program `run` with its arguments, in `project_dir` or the folder `cwd` under it, with `env` added to the
    /// environment of this process.
    ///
    /// # Errors
    /// `Config` when no program is named.
    pub fn new(
        run: &[String],
        env: &BTreeMap<String, String>,
        cwd: Option<&str>,
        project_dir: &Path,
    ) -> Result<Self, ProviderError> {
        if run.first().is_none_or(|program| program.trim().is_empty()) {
            return Err(ProviderError::Config("`run` names no program".to_owned()));
        }
        let directory = cwd.map_or_else(|| project_dir.to_owned(), |cwd| project_dir.join(cwd));
        Ok(Self { run: run.to_vec(), env: env.clone(), directory })
    }

    /// Looks whether there is such a program, without running it.
    ///
    /// # Errors
    /// `Config` when the folder or the program is missing.
    pub fn find(&self) -> Result<(), ProviderError> {
        let (name, directory) = (self.name(), &self.directory);
        let cannot =
            |why: &str| ProviderError::Config(format!("cannot run `{name}` in `{}`: {why}", directory.display()));
        if !directory.as_os_str().is_empty() && !directory.is_dir() {
            return Err(cannot("there is no such folder"));
        }
        // Elsewhere a name may stand for files with other endings.
        if !cfg!(unix) {
            return Ok(());
        }
        if name.contains('/') {
            return if directory.join(name).is_file() { Ok(()) } else { Err(cannot("there is no such file")) };
        }
        let path = self.env.get("PATH").map(OsString::from).or_else(|| std::env::var_os("PATH"));
        let Some(path) = path else { return Ok(()) };
        let is_there = std::env::split_paths(&path).any(|folder| directory.join(folder).join(name).is_file());
        if is_there { Ok(()) } else { Err(cannot("there is no such program on the PATH")) }
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        self.run.first().map_or("", String::as_str)
    }

    /// Runs the program: `input` on its standard input, at most `limit` bytes of its standard output as the answer.
    /// `variables` are added to its environment, but for those that no environment can hold. There is no timeout here: a
    /// dropped future kills the program.
    ///
    /// # Errors
    /// `Config` when it cannot be started, `TooLarge`, `Command` when it fails.
    pub async fn run(
        &self,
        input: &[u8],
        variables: &[(&str, String)],
        limit: usize,
    ) -> Result<Vec<u8>, ProviderError> {
        let mut child = self.spawn(variables, Stdio::piped())?;
        let group = ProcessGroup::of(&child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // All three at once: a program that writes before it has read everything must not block for ever.
        let ((), stdout, stderr) =
            tokio::join!(write(stdin, input), read_all(stdout, limit), read_tail(stderr, MAX_STDERR_BYTES));
        let stdout = stdout.map_err(|error| self.failed(format!("cannot be read: {error}"), &stderr))?;
        if stdout.len() > limit {
            return Err(ProviderError::TooLarge { endpoint: self.name().to_owned(), limit });
        }
        self.ended(child, group, &stderr).await?;
        Ok(stdout)
    }

    /// Runs the program for what it does: `input` on its standard input, and nobody reads its standard output. There is no
    /// timeout here: a dropped future kills the program.
    ///
    /// # Errors
    /// `Config` when it cannot be started, `Command` when it fails.
    pub async fn tell(&self, input: &[u8]) -> Result<(), ProviderError> {
        let mut child = self.spawn(&[], Stdio::null())?;
        let group = ProcessGroup::of(&child);
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let ((), stderr) = tokio::join!(write(stdin, input), read_tail(stderr, MAX_STDERR_BYTES));
        self.ended(child, group, &stderr).await
    }

    /// Waits for a program whose output has ended.
    async fn ended(&self, mut child: Child, group: ProcessGroup, stderr: &[u8]) -> Result<(), ProviderError> {
        let status = child.wait().await.map_err(|error| self.failed(format!("was lost: {error}"), stderr))?;
        group.ended();
        if status.success() { Ok(()) } else { Err(self.failed(ending(status), stderr)) }
    }

    fn spawn(&self, variables: &[(&str, String)], stdout: Stdio) -> Result<Child, ProviderError> {
        let mut command = Command::new(self.name());
        command.args(self.run.iter().skip(1)).envs(&self.env);
        if !self.directory.as_os_str().is_empty() {
            command.current_dir(&self.directory);
        }
        for (name, value) in variables {
            if value.len() <= MAX_VARIABLE_BYTES && !value.contains('\0') {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command.spawn().map_err(|error| {
            let (program, directory) = (self.name(), self.directory.display());
            ProviderError::Config(format!("cannot run `{program}` in `{directory}`: {error}"))
        })
    }

    fn failed(&self, status: impl Into<String>, stderr: &[u8]) -> ProviderError {
        ProviderError::Command { program: self.name().to_owned(), status: status.into(), stderr: excerpt::end(stderr) }
    }
}

/// Kills the whole process group of a program that leads one when it is dropped before the program has ended.
#[derive(Debug)]
struct ProcessGroup {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl ProcessGroup {
    /// The group that a child leads, which was started by `process_group(0)`.
    #[cfg(unix)]
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self { leader: id.and_then(rustix::process::Pid::from_raw) }
    }

    /// There are no groups here.
    #[cfg(not(unix))]
    fn of(_: &Child) -> Self {
        Self {}
    }

    /// The leader has been waited for: its number may soon belong to somebody else.
    #[cfg_attr(not(unix), expect(unused_mut, reason = "there is nothing to forget elsewhere"))]
    fn ended(mut self) {
        #[cfg(unix)]
        {
            self.leader = None;
        }
    }
}

#[cfg(unix)]
impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(leader) = self.leader
            && let Err(error) = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL)
        {
            tracing::debug!(%error, "a cancelled program could not be killed");
        }
    }
}

/// A program that does not read its input is no error: it may not need it.
async fn write(stdin: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin
        && let Err(error) = stdin.write_all(input).await
    {
        tracing::debug!(%error, "the program did not read its whole input");
    }
}

async fn read_all(pipe: Option<impl AsyncRead + Unpin>, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit as u64 + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Reads to the end and keeps the last bytes: at least so many, where there are.
async fn read_tail(pipe: Option<impl AsyncRead + Unpin>, keep: usize) -> Vec<u8> {
    let Some(mut pipe) = pipe else { return Vec::new() };
    let mut tail = Vec::new();
    let mut buffer = vec![0; 8192];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        tail.extend_from_slice(&buffer[..count]);
        if tail.len() > 2 * keep {
            tail.drain(..tail.len() - keep);
        }
    }
    tail
}

fn ending(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("was killed by signal {signal}");
    }
    status.code().map_or_else(|| status.to_string(), |code| format!("exited with {code}"))
}
