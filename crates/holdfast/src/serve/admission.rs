//! What lets nodes into a founding: a token at hand, or files that may not be there yet.

use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_node::founding::{Admission, JoinToken, SharedSecret, TokenError};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::{Birth, Config, Pass};
use crate::failure::Failure;
use crate::serve::JOIN_TOKEN_FILE;
use crate::serve::data_dir::DataDir;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const SAY_EVERY: Duration = Duration::from_secs(30);

/// By what a joining node is let in. A token on the command line is right or wrong now; files are looked at when they are needed.
pub fn of(pass: &Pass) -> Result<Admission, Failure> {
    Ok(match pass {
        Pass::Token(token) => {
            let token: JoinToken = token.parse().map_err(|error: TokenError| {
                Failure::usage(
                    error.to_string(),
                    format!("copy it again from {JOIN_TOKEN_FILE} in the founder's data directory"),
                )
            })?;
            Admission::Token(token)
        }
        Pass::TokenFile(path) => Admission::TokenFile(path.clone()),
        Pass::SecretFile(path) => Admission::SecretFile(path.clone()),
    })
}

/// The secret that all nodes were given, as soon as its file holds one.
pub async fn await_secret(path: &Path) -> SharedSecret {
    let began = Instant::now();
    let mut said: Option<(String, Instant)> = None;
    loop {
        match SharedSecret::read(path) {
            Ok(secret) => return secret,
            Err(why) => {
                let again = said
                    .as_ref()
                    .is_none_or(|(said, at)| *said != why || at.elapsed() >= SAY_EVERY);
                if again {
                    warn!(
                        waited_s = began.elapsed().as_secs(),
                        "waiting for the cluster secret, without which nothing can be founded: {why}"
                    );
                    said = Some((why, Instant::now()));
                }
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The secret by which a founder answers members late. The cluster stands: what cannot be read must not keep a member from starting.
pub fn secret_for_late_answers(config: &Config) -> Option<SharedSecret> {
    let Birth::Found {
        secret_file: Some(path),
        ..
    } = &config.birth
    else {
        return None;
    };
    SharedSecret::read(path)
        .inspect_err(|why| info!("a member that was not told of the founding yet can be answered by token only: {why}"))
        .ok()
}

/// Tells the log what the other nodes need. The token itself is not logged: logs are read by more people than its file.
pub fn say_how_to_join(config: &Config, data_dir: &DataDir, members: u32) {
    let own = &config.node_advertise;
    match &config.birth {
        Birth::Found {
            secret_file: Some(_), ..
        } => info!(
            members,
            own, "founding; waiting for the others, which register with the cluster secret"
        ),
        Birth::Found {
            token_file: Some(path), ..
        } => info!(
            members, own, token_file = %path.display(),
            "founding; waiting for the others, which register with the token in that file"
        ),
        _ => info!(
            members,
            token_file = %data_dir.path().join(JOIN_TOKEN_FILE).display(),
            "waiting for the others; start each with: holdfast server --join {own} --token TOKEN",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_is_waited_for() {
        let path = std::env::temp_dir().join(format!("holdfast-await-secret-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { await_secret(&path).await }
        });
        sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished());
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").expect("writes");
        waiting.await.expect("task");
        std::fs::remove_file(path).expect("removes");
    }
}
