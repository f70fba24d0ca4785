//! The user's own program: the prompt on standard input, the answer on standard output.
//!
//! **Standard input** is the text of the user message when it is the only message, else every message as a block
//! `role: text`, with an empty line between blocks. **Standard output** is the answer; one line feed at its end is
//! removed. **Environment**: `LLMOPS_SAMPLE_ID`, `LLMOPS_MODEL` and `LLMOPS_INPUT` (the sample's input; left out where
//! it is longer than 100 kB or has a NUL, which no environment can hold). An exit status other than 0 is a failed call.
//!
//! On Unix the program runs in a process group of its own, which is killed whole when the call is cancelled or takes too
//! long.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use async_trait::async_trait;
use llmops_domain::chat::{ChatRequest, ChatResponse, Role, Usage};
use llmops_domain::config::providers::CommandConfig;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use crate::excerpt;
use crate::http_client::MAX_RESPONSE_BYTES;
use crate::provider::{ChatProvider, ProviderError};

/// Longest value put into the environment; systems refuse longer ones.
const MAX_VARIABLE_BYTES: usize = 100_000;
/// What is kept of standard error.
const MAX_STDERR_BYTES: usize = 64 * 1024;

/// A program that answers.
pub struct CommandProvider {
    config: CommandConfig,
    directory: PathBuf,
}

impl CommandProvider {
    /// A provider that runs `config.run` in `project_dir` or the configured folder under it.
    ///
    /// # Errors
    /// `Config` when no program is named.
    pub fn new(config: CommandConfig, project_dir: &Path) -> Result<Self, ProviderError> {
        if config.run.first().is_none_or(|program| program.trim().is_empty()) {
            return Err(ProviderError::Config("`run` names no program".to_owned()));
        }
        let directory = config.cwd.as_ref().map_or_else(|| project_dir.to_owned(), |cwd| project_dir.join(cwd));
        Ok(Self { config, directory })
    }

    fn program(&self) -> &str {
        self.config.run.first().map_or("", String::as_str)
    }

    fn spawn(&self, request: &ChatRequest) -> Result<Child, ProviderError> {
        let mut command = Command::new(self.program());
        command.args(self.config.run.iter().skip(1)).envs(&self.config.env);
        if !self.directory.as_os_str().is_empty() {
            command.current_dir(&self.directory);
        }
        for (name, value) in variables(request) {
            if value.len() <= MAX_VARIABLE_BYTES && !value.contains('\0') {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command.spawn().map_err(|error| {
            let (program, directory) = (self.program(), self.directory.display());
            ProviderError::Config(format!("cannot run `{program}` in `{directory}`: {error}"))
        })
    }

    fn failed(&self, status: impl Into<String>, stderr: &[u8]) -> ProviderError {
        ProviderError::Command {
            program: self.program().to_owned(),
            status: status.into(),
            stderr: excerpt::end(stderr),
        }
    }
}

#[async_trait]
impl ChatProvider for CommandProvider {
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        let started = Instant::now();
        let mut child = self.spawn(request)?;
        let group = ProcessGroup::of(&child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // All three at once: a program that writes before it has read everything must not block for ever.
        let ((), stdout, stderr) =
            tokio::join!(write(stdin, prompt(request)), read_all(stdout), read_tail(stderr, MAX_STDERR_BYTES));
        let stdout = stdout.map_err(|error| self.failed(format!("cannot be read: {error}"), &stderr))?;
        if stdout.len() > MAX_RESPONSE_BYTES {
            return Err(ProviderError::TooLarge { endpoint: self.program().to_owned(), limit: MAX_RESPONSE_BYTES });
        }
        let status = child.wait().await.map_err(|error| self.failed(format!("was lost: {error}"), &stderr))?;
        group.ended();
        if !status.success() {
            return Err(self.failed(ending(status), &stderr));
        }
        let text = String::from_utf8(stdout).map_err(|error| ProviderError::Format {
            endpoint: self.program().to_owned(),
            message: "its output is not UTF-8".to_owned(),
            excerpt: excerpt::beginning(error.as_bytes()),
        })?;
        Ok(ChatResponse {
            text: without_line_end(text),
            tool_calls: Vec::new(),
            finish_reason: None,
            model: request.model.clone(),
            usage: Usage::default(),
            latency_ms: started.elapsed().as_secs_f64() * 1000.0,
        })
    }

    /// The program may be another one next time.
    fn cacheable(&self) -> bool {
        false
    }
}

/// Kills the whole process group when it is dropped before the program has ended.
struct ProcessGroup {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl ProcessGroup {
    #[cfg(unix)]
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self { leader: id.and_then(rustix::process::Pid::from_raw) }
    }

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
async fn write(stdin: Option<ChildStdin>, prompt: String) {
    if let Some(mut stdin) = stdin
        && let Err(error) = stdin.write_all(prompt.as_bytes()).await
    {
        tracing::debug!(%error, "the program did not read its whole input");
    }
}

async fn read_all(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MAX_RESPONSE_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Reads to the end and keeps the last bytes.
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

fn prompt(request: &ChatRequest) -> String {
    if let [only] = request.messages.as_slice()
        && only.role == Role::User
    {
        return only.as_text().into_owned();
    }
    let blocks: Vec<String> = request
        .messages
        .iter()
        .map(|message| {
            let role = match message.role {
                Role::System => "system",
                Role::Developer => "developer",
                Role::User => "user",
                Role::Assistant => "assistant",
                Role::Tool => "tool",
            };
            format!("{role}: {}", message.as_text())
        })
        .collect();
    blocks.join("\n\n")
}

fn variables(request: &ChatRequest) -> [(&'static str, String); 3] {
    let input = match request.origin.variables.get("input") {
        Some(Value::String(input)) => input.clone(),
        _ => request.last_user_text().into_owned(),
    };
    let sample = request.origin.sample_id.clone().unwrap_or_default();
    [("LLMOPS_SAMPLE_ID", sample), ("LLMOPS_MODEL", request.model.clone()), ("LLMOPS_INPUT", input)]
}

fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

fn ending(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("was killed by signal {signal}");
    }
    status.code().map_or_else(|| status.to_string(), |code| format!("exited with {code}"))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::time::Duration;

    use llmops_domain::config::providers::CallLimits;

    use super::*;
    use crate::test_support::{conversation, user};

    fn shell(script: &str) -> CommandProvider {
        let config = CommandConfig {
            run: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
            env: [("GREETING".to_owned(), "hi".to_owned())].into(),
            cwd: None,
            limits: CallLimits::default(),
        };
        CommandProvider::new(config, Path::new("/")).unwrap()
    }

    async fn answer(script: &str, request: &ChatRequest) -> Result<String, String> {
        shell(script).chat(request).await.map(|response| response.text).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn prompt_in_answer_out() {
        let check = async |script: &str, request: ChatRequest, expected: &str| {
            assert_eq!(answer(script, &request).await.as_deref(), Ok(expected), "{script}");
        };
        check("cat", user("é\n\n"), "é\n").await;
        check("cat; echo", user("x"), "x").await;
        check("echo $GREETING; pwd", user("x"), "hi\n/").await;
        check("true", user("the input is not read"), "").await;
        let mut request = conversation("bot", &[(Role::System, "Be kind."), (Role::User, "Hello")]);
        check("cat", request.clone(), "system: Be kind.\n\nuser: Hello").await;
        request.origin.sample_id = Some("s1".to_owned());
        request.origin.variables.insert("input".to_owned(), "in".into());
        check("printf '%s %s %s' $LLMOPS_SAMPLE_ID $LLMOPS_MODEL $LLMOPS_INPUT", request.clone(), "s1 bot in").await;
        request.origin.variables.insert("input".to_owned(), "x".repeat(1_000_000).into());
        check("printf '%s' \"${LLMOPS_INPUT-unset}\"", request, "unset").await;
    }

    #[tokio::test]
    async fn large_texts_do_not_block() {
        let text = "x".repeat(1_000_000);
        assert_eq!(answer("cat; cat /proc/self/status >&2", &user(&text)).await.unwrap().len(), text.len());
    }

    #[tokio::test]
    async fn failures_are_told() {
        let failure = async |script: &str| answer(script, &user("x")).await.unwrap_err();
        assert_eq!(failure("echo no key >&2; exit 3").await, "`sh` exited with 3: no key");
        assert_eq!(failure("kill -9 $$").await, "`sh` was killed by signal 9; it wrote nothing to standard error");
        assert!(failure("printf '\\377'").await.contains("not UTF-8"));
        let config = CommandConfig { run: vec!["no-such-program".to_owned()], ..shell("").config };
        let error = CommandProvider::new(config, Path::new("/")).unwrap().chat(&user("x")).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot run `no-such-program` in `/`: "), "{error}");
    }

    #[tokio::test]
    async fn a_cancelled_program_dies_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let script = format!("sleep 60 & echo $! >> {0}.new; echo $$ >> {0}.new; mv {0}.new {0}; wait", pids.display());
        let provider = shell(&script);
        let request = user("x");
        let call = provider.chat(&request);
        let written = async {
            while !pids.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            result = call => panic!("ended: {result:?}"),
            () = written => {}
        }
        for pid in std::fs::read_to_string(&pids).unwrap().lines() {
            // A killed process may stay as a zombie until it is reaped.
            let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            while !(state().is_empty() || state().contains(") Z ")) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}
