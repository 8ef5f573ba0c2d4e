//! The founder's side of the proofs: whoever comes is challenged, shows that he knows the secret, and is shown it in turn.

use super::message::{Message, REGISTER_BYTES_MAX, receive, send};
use super::proof::{JoinKey, Means, SharedSecret, Side, Transcript};
use super::state::random;
use super::token::TokenSecret;
use crate::peer::{Reader, Writer};
use holdfast_core::ids::ClusterId;
use std::time::Duration;
use tokio::time::timeout;

/// Each message of a registration fits one packet; whoever needs longer for one does not mean to register.
pub const REGISTER_WITHIN: Duration = Duration::from_secs(5);

/// What proofs are looked at with.
pub struct Keys {
    token: JoinKey,
    /// Of the secret that all nodes were given, if they were.
    secret: Option<JoinKey>,
}

impl Keys {
    pub fn new(token: &TokenSecret, secret: Option<&SharedSecret>) -> Self {
        Self {
            token: JoinKey::of_token(token),
            secret: secret.map(JoinKey::of_secret),
        }
    }
}

/// Why nobody was put on record.
pub enum Refusal {
    /// The other side shall hear it.
    Told(String),
    /// It is not there to hear it, or does not speak as a node does.
    Silent(String),
}

/// Challenges whoever came, looks at his proof, gives ours, and hears what he wants. Nothing is said of the cluster but its id
/// before the proof fits.
pub async fn challenge(
    keys: &Keys,
    cluster: ClusterId,
    authority: [u8; 32],
    reader: &mut Reader,
    writer: &mut Writer,
) -> Result<(Transcript, Message), Refusal> {
    let founder_nonce = random().map_err(|error| Refusal::Silent(error.to_string()))?;
    let nonce = founder_nonce;
    say(writer, &Message::Challenge { cluster, nonce }).await?;
    let Message::Prove { means, nonce, proof } = hear(reader).await? else {
        return Err(Refusal::Told("this is not a proof".into()));
    };
    let seen = Transcript {
        cluster,
        authority,
        founder_nonce,
        joiner_nonce: nonce,
    };
    let key = match (means, &keys.secret) {
        (Means::Token, _) => &keys.token,
        (Means::Secret, Some(key)) => key,
        (Means::Secret, None) => {
            let none = "the founder was not given a cluster secret (--cluster-secret-file)";
            return Err(Refusal::Told(none.into()));
        }
    };
    if !seen.is_proved(key, Side::Joiner, &proof) {
        let wrong = match means {
            Means::Token => "the join token is not valid; copy it again from the founder",
            Means::Secret => {
                "this node's cluster secret is not the founder's, or somebody in between shows a certificate of his own; give \
                 all nodes the same --cluster-secret-file"
            }
        };
        return Err(Refusal::Told(wrong.into()));
    }
    let proof = seen.prove(key, Side::Founder);
    say(writer, &Message::Proof { proof }).await?;
    Ok((seen, hear(reader).await?))
}

async fn say(writer: &mut Writer, message: &Message) -> Result<(), Refusal> {
    match timeout(REGISTER_WITHIN, send(writer, message)).await {
        Ok(sent) => sent.map_err(|error| Refusal::Silent(error.to_string())),
        Err(_) => Err(Refusal::Silent("nothing was taken in time".into())),
    }
}

async fn hear(reader: &mut Reader) -> Result<Message, Refusal> {
    match timeout(REGISTER_WITHIN, receive(reader, REGISTER_BYTES_MAX)).await {
        Ok(received) => received.map_err(|error| Refusal::Silent(error.to_string())),
        Err(_) => Err(Refusal::Silent("nothing came in time".into())),
    }
}
