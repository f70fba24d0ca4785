//! The user's own program: the prompt on standard input, the answer on standard output.
//!
//! **Standard input** is the text of the user message when it is the only message, else every message as a block
//! `role: text`, with an empty line between blocks. **Standard output** is the answer; one line feed at its end is
//! removed. **Environment**: `LLMOPS_SAMPLE_ID`, `LLMOPS_MODEL` and `LLMOPS_INPUT` (the sample's input; left out where
//! it is longer than 100 kB or has a NUL, which no environment can hold). An exit status other than 0 is a failed call.

use std::path::Path;
use std::time::Instant;

use async_trait::async_trait;
use llmops_domain::chat::{ChatRequest, ChatResponse, Role};
use llmops_domain::config::providers::CommandConfig;
use serde_json::Value;

use crate::excerpt;
use crate::http_client::MAX_RESPONSE_BYTES;
use crate::program::Program;
use crate::provider::{ChatProvider, ProviderError};

/// A program that answers.
pub struct CommandProvider {
    program: Program,
}

impl CommandProvider {
    /// A provider that runs `config.run` in `project_dir` or the configured folder under it.
    ///
    /// # Errors
    /// `Config` when no program is named, and when there is no such program.
    pub fn new(config: &CommandConfig, project_dir: &Path) -> Result<Self, ProviderError> {
        let program = Program::new(&config.run, &config.env, config.cwd.as_deref(), project_dir)?;
        program.find()?;
        Ok(Self { program })
    }
}

#[async_trait]
impl ChatProvider for CommandProvider {
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        let started = Instant::now();
        let output = self.program.run(prompt(request).as_bytes(), &variables(request), MAX_RESPONSE_BYTES).await?;
        let text = String::from_utf8(output).map_err(|error| ProviderError::Format {
            endpoint: self.program.name().to_owned(),
            message: "its output is not UTF-8".to_owned(),
            excerpt: excerpt::beginning(error.as_bytes()),
        })?;
        Ok(ChatResponse {
            text: without_line_end(text),
            model: request.model.clone(),
            latency_ms: started.elapsed().as_secs_f64() * 1000.0,
            ..ChatResponse::default()
        })
    }

    /// The program may be another one next time.
    fn cacheable(&self) -> bool {
        false
    }
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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::time::Duration;

    use llmops_domain::config::providers::CallLimits;

    use super::*;
    use crate::test_support::{conversation, user};

    fn config(script: &str) -> CommandConfig {
        CommandConfig {
            run: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
            env: [("GREETING".to_owned(), "hi".to_owned())].into(),
            cwd: None,
            limits: CallLimits::default(),
        }
    }

    fn shell(script: &str) -> CommandProvider {
        CommandProvider::new(&config(script), Path::new("/")).unwrap()
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
        let config = CommandConfig { run: vec!["no-such-program".to_owned()], ..config("") };
        let error = CommandProvider::new(&config, Path::new("/")).err().unwrap();
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
