//! Being admitted: by whichever of the seeds answers first, tried in turn until one does.

use std::path::Path;
use std::time::Duration;

use holdfast_node::founding::Seeds;
use holdfast_node::gateway::{AdmissionError, Admitted, GatewayToken, join};
use tracing::{info, warn};

use crate::failure::{Exit, Failure};

/// Between two rounds.
const AGAIN_MIN: Duration = Duration::from_millis(300);
const AGAIN_MAX: Duration = Duration::from_secs(5);
/// A file longer than this is no token.
const TOKEN_BYTES_MAX: u64 = 4096;

/// Where the token is.
pub enum TokenAt<'a> {
    /// At hand.
    Word(&'a str),
    /// In a file that may appear later.
    File(&'a Path),
}

/// Tries until a node admits this gateway; waits for ever, since the nodes may be started last.
///
/// # Errors
/// When the token is no token, or every node that could be reached refuses it.
pub async fn admitted(seeds: &Seeds, token: TokenAt<'_>) -> Result<Admitted, Failure> {
    let mut wait = AGAIN_MIN;
    loop {
        match round(seeds, &token).await? {
            Ok(admitted) => return Ok(admitted),
            Err(why) => warn!(via = %seeds, "not admitted yet, trying again: {}", why.join("; ")),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(AGAIN_MAX);
    }
}

/// Each seed once. Nobody may be there yet; but if all who were there refuse, it stays so.
async fn round(seeds: &Seeds, token: &TokenAt<'_>) -> Result<Result<Admitted, Vec<String>>, Failure> {
    let token = match read(token) {
        Ok(token) => token,
        Err(Unread::NotYet(why)) => return Ok(Err(vec![why])),
        Err(Unread::NoToken(failure)) => return Err(failure),
    };
    let (addresses, mut problems) = seeds.addresses("").await;
    let mut refused = None;
    for at in &addresses {
        match join(at.address, &token).await {
            Ok(admitted) => {
                info!(node = %at, gateway = %admitted.gateway, cluster = %admitted.cluster, "admitted as a gateway");
                return Ok(Ok(admitted));
            }
            Err(AdmissionError::Refused(why)) => {
                refused = Some(why.clone());
                problems.push(format!("{at}: {why}"));
            }
            Err(AdmissionError::Again(why)) => problems.push(format!("{at}: {why}")),
        }
    }
    match refused.filter(|_| problems.len() == addresses.len() && !addresses.is_empty()) {
        Some(why) if problems.iter().all(|problem| problem.ends_with(&why)) => Err(Failure::new(
            why,
            "copy the token from the file gateway-token in a node's data directory, and check --via",
        )
        .exit(Exit::Denied)),
        _ => Ok(Err(problems)),
    }
}

/// Why there is no token.
enum Unread {
    /// There may be one later.
    NotYet(String),
    /// What is there is none.
    NoToken(Failure),
}

fn read(token: &TokenAt<'_>) -> Result<GatewayToken, Unread> {
    use std::io::Read as _;
    let text = match token {
        TokenAt::Word(word) => (*word).to_owned(),
        TokenAt::File(path) => {
            let mut text = String::new();
            let read = std::fs::File::open(path).and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text));
            read.map_err(|error| Unread::NotYet(format!("{} cannot be read: {error}", path.display())))?;
            text
        }
    };
    text.parse().map_err(|error| {
        Unread::NoToken(Failure::usage(
            format!("this is not a gateway token: {error}"),
            "copy it from the file gateway-token in a node's data directory; it begins with hfg1-",
        ))
    })
}
