//! What every command says when it fails: one line of what happened, one of what to do, and whether state changed.
//!
//! A user who reads "connection refused" at night has three questions: what, what now, and is my data as it was.
//! [`Failure`] cannot be built without answering them. The exit codes are part of the command line's contract
//! (`docs/cli.md`).

use std::fmt;
use std::io::Write;

use serde_json::json;

/// Why a command ended without having done what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub what: String,
    /// What to do about it.
    pub advice: String,
    /// Whether anything changed.
    pub state: State,
    /// How the process ends.
    pub exit: Exit,
}

/// Whether a failed command left anything behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Everything is as it was.
    Unchanged,
    /// The change may have happened, or may happen yet.
    Unknown,
    /// Part of it happened; the text says which.
    Partly(String),
}

/// Exit codes, by what a script would want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did not work.
    Failed = 1,
    /// The command line, the environment or a configuration file is wrong. Also what clap uses.
    Usage = 2,
    /// The bucket, object, key or cluster named does not exist.
    NotFound = 3,
    /// No node could be reached, or too few of them are up.
    Unavailable = 4,
    /// The cluster said no: wrong key, wrong token, not permitted.
    Denied = 5,
    /// It was done as far as some nodes could be reached; others were left out.
    Partly = 6,
    /// Somebody stopped waiting; what was begun goes on. What a shell says of a command that SIGINT ended.
    Interrupted = 130,
}

impl Failure {
    /// A failure that changed nothing.
    pub fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            advice: advice.into(),
            state: State::Unchanged,
            exit: Exit::Failed,
        }
    }

    /// A mistake in what the user wrote.
    pub fn usage(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            ..Self::new(what, advice)
        }
    }

    /// The same failure with another exit code.
    #[must_use]
    pub fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The same failure with another answer to "did anything change?".
    #[must_use]
    pub fn state(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// Tells the user, on standard error; a closed standard error is not worth a second failure.
    pub fn report(&self, as_json: bool) {
        let text = if as_json {
            format!(
                "{}\n",
                json!({ "error": self.what, "advice": self.advice, "state": self.state.to_string() })
            )
        } else {
            format!("{self}\n")
        };
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n   do: {}\nstate: {}", self.what, self.advice, self.state)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged => f.write_str("nothing was changed"),
            Self::Unknown => f.write_str("unknown: the change may have happened; doing it again is safe"),
            Self::Partly(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}

/// What standard output or a local file says when it cannot be written or read.
pub fn local(what: impl fmt::Display, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let advice = match error.kind() {
        ErrorKind::NotFound => "check the path",
        ErrorKind::PermissionDenied => "check the permissions of the path, or run as the user that owns it",
        ErrorKind::StorageFull => "free some space on that disk",
        ErrorKind::ReadOnlyFilesystem => "choose a path on a disk that is mounted writable",
        ErrorKind::AlreadyExists => "remove what is there, or choose another path",
        ErrorKind::IsADirectory => "add -r to copy a directory, or name a file",
        _ => "see the reason above",
    };
    Failure::new(format!("{what}: {error}"), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_answers_three_questions() {
        let failure = Failure::new("bucket photos does not exist", "create it: holdfast mb hf://photos");
        let text = failure.to_string();
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("do: create it"));
        assert!(text.ends_with("state: nothing was changed"));
    }
}
