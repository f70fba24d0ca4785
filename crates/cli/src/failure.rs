//! How commands end: exit codes, and errors for people.
//!
//! 0: yes. 1: the answer is no (a gate failed, data is invalid). 2: the command or a file is written wrong. 3: it could
//! not be decided (a provider, the network or the store is unavailable). 4: it waits for a person or for evidence.

use llmops_api::{ClientError, ErrorCode};
use llmops_domain::yaml::Problem;

/// The kind of failure, which is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer is no.
    No,
    /// The command or a file is written wrong.
    Usage,
    /// It could not be decided.
    Undecided,
    /// Nothing is wrong, and it is not done: a person or evidence is missing.
    Waits,
}

impl Kind {
    /// The process's exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::No => 1,
            Self::Usage => 2,
            Self::Undecided => 3,
            Self::Waits => 4,
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// What happened, outermost first.
    pub(crate) chain: Vec<String>,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// Single problems, a line each.
    pub(crate) problems: Vec<String>,
}

/// The result of a command.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with one sentence.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, chain: vec![message.into()], hint: None, problems: Vec::new() }
    }

    /// The command or a file is written wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// An error with its causes.
    pub(crate) fn because(kind: Kind, message: impl Into<String>, error: &dyn std::error::Error) -> Self {
        let mut failure = Self::new(kind, message);
        let mut cause = Some(error);
        while let Some(error) = cause {
            failure.chain.push(error.to_string());
            cause = error.source();
        }
        failure
    }

    /// A request about a run that is not ready for it: nothing is written wrong, and nothing could be decided.
    pub(crate) fn of_unfinished(error: ClientError) -> Self {
        let is_unfinished = error.code() == Some(ErrorCode::Conflict);
        let failure = Self::from(error);
        if is_unfinished { Self { kind: Kind::Undecided, ..failure } } else { failure }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds single problems.
    pub(crate) fn problems(mut self, problems: impl IntoIterator<Item = String>) -> Self {
        self.problems = problems.into_iter().collect();
        self
    }

    /// A file that is written wrong.
    pub(crate) fn of_file(kind: Kind, file: &str, problems: &[Problem]) -> Self {
        let count = problems.len();
        let what = if count == 1 { "a mistake".to_owned() } else { format!("{count} mistakes") };
        Self::new(kind, format!("{file} has {what}")).problems(problems.iter().map(ToString::to_string))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let kind = match error.code() {
            Some(code) if code.is_temporary() || code == ErrorCode::Internal => Kind::Undecided,
            Some(_) => Kind::Usage,
            None if matches!(error, ClientError::Name(_)) => Kind::Usage,
            None => Kind::Undecided,
        };
        match error {
            ClientError::Api(body) => {
                let problems = body.problems.iter().map(|p| {
                    let place: String =
                        [p.line.map(|l| format!("line {l}: ")), p.field.as_ref().map(|f| format!("{f}: "))]
                            .into_iter()
                            .flatten()
                            .collect();
                    format!("{place}{}", p.message)
                });
                let problems: Vec<String> = problems.collect();
                Self { kind, chain: vec![body.message], hint: body.hint, problems }
            }
            other => {
                let mut failure = Self::because(kind, other.to_string(), &other);
                failure.chain.remove(1);
                if !matches!(other, ClientError::Unreachable { .. }) {
                    return failure;
                }
                // Each layer of the connection says that it failed; the last one says why.
                failure.chain.drain(1..failure.chain.len().saturating_sub(1).max(1));
                failure.hint(
                    "look whether the server runs and is called by its address: `llmops serve` starts one, and without \
                     --server and LLMOPS_SERVER a command works on the project's own store",
                )
            }
        }
    }
}
