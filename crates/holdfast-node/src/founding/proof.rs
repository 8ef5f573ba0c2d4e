//! How founder and joining node prove to each other that one operator sent both, without showing how they know (rule L7).
//!
//! Both know a secret: that of the join token, or one that all nodes were given beforehand. Each sends an HMAC-SHA-256 under a
//! key made of it over what both see: the cluster, the certificate of the authority that was shown in the TLS handshake,
//! and one fresh nonce of each side. Somebody in between shows the joining node another certificate than the founder has, so
//! that neither proof fits the other side; the nonces keep a proof from being used twice, the direction in it from being sent
//! back. The joining node goes first: whoever merely dials a founder gets no proof to guess against. docs/decisions/0014.
//!
//! Beside that the joining node signs the same with its own key. After the founding only that opens what a member is told,
//! so the secret alone, should it leak, is of no use any more.

use super::FoundingError;
use super::token::TokenSecret;
use crate::identity::authority::AuthorityError;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, UnparsedPublicKey};
use holdfast_core::ids::ClusterId;
use std::path::Path;

/// Sixteen bytes as hexadecimal digits: less can be guessed by whoever has seen a proof.
const SECRET_BYTES_MIN: usize = 32;
/// A secret longer than this is some other file.
const SECRET_BYTES_MAX: u64 = 4096;

/// A secret that all nodes of a founding were given beforehand, in place of a token that the founder makes.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret(Vec<u8>);

impl std::fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}

impl SharedSecret {
    /// What a file holds, space around it left out: editors and `echo` add a line break, others do not.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let secret = bytes.trim_ascii();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!(
                "it is too short for a cluster secret: {SECRET_BYTES_MIN} characters at least; make one with `openssl rand -hex 32`"
            ));
        }
        Ok(Self(secret.to_vec()))
    }

    /// Reads the secret from a file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = read_small(path)?;
        Self::parse(&bytes).map_err(|why| format!("{}: {why}", path.display()))
    }
}

/// The bytes of a file that is small if it is the right one.
pub fn read_small(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let cannot = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{} is not there yet", path.display()),
        _ => format!("{} cannot be read: {error}", path.display()),
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(SECRET_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("{} is longer than any secret", path.display()));
    }
    Ok(bytes)
}

/// By which secret a node proves itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Means {
    /// The token that the founder made.
    Token,
    /// The secret that all were given.
    Secret,
}

/// What a proof is made with.
pub struct JoinKey(hmac::Key);

impl JoinKey {
    pub fn of_token(secret: &TokenSecret) -> Self {
        Self::derive("holdfast join token v2", &secret.0)
    }

    pub fn of_secret(secret: &SharedSecret) -> Self {
        Self::derive("holdfast join shared secret v2", &secret.0)
    }

    fn derive(context: &str, secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &blake3::derive_key(context, secret)))
    }
}

/// Who proves something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Founder,
    Joiner,
}

/// What both sides saw of each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transcript {
    /// The cluster that is being founded.
    pub cluster: ClusterId,
    /// SHA-256 of the certificate that the founder's own was verified against.
    pub authority: [u8; 32],
    /// Drawn by the founder for this connection.
    pub founder_nonce: [u8; 32],
    /// Drawn by the joining node for this connection.
    pub joiner_nonce: [u8; 32],
}

impl Transcript {
    /// Every field has a fixed length, so that no two transcripts are the same bytes.
    fn bytes(&self, purpose: &[u8; 16]) -> Vec<u8> {
        let fields: [&[u8]; 5] = [
            purpose,
            &self.cluster.0.to_le_bytes(),
            &self.authority,
            &self.founder_nonce,
            &self.joiner_nonce,
        ];
        fields.concat()
    }

    fn proved_bytes(&self, side: Side) -> Vec<u8> {
        self.bytes(match side {
            Side::Founder => b"hf-founder-proof",
            Side::Joiner => b"hf-joining-proof",
        })
    }

    /// That this side knows the secret.
    pub fn prove(&self, key: &JoinKey, side: Side) -> [u8; 32] {
        let mut proof = [0; 32];
        proof.copy_from_slice(hmac::sign(&key.0, &self.proved_bytes(side)).as_ref());
        proof
    }

    /// Whether that side knows it; compared in constant time.
    pub fn is_proved(&self, key: &JoinKey, side: Side, proof: &[u8; 32]) -> bool {
        hmac::verify(&key.0, &self.proved_bytes(side), proof).is_ok()
    }

    /// That the joining node has this private key.
    pub fn sign(&self, key_der: &[u8]) -> Result<Vec<u8>, FoundingError> {
        let unusable = || AuthorityError::missing("a P-256 key to sign the registration with");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key_der).map_err(|_| unusable())?;
        let signature = key.sign(&SystemRandom::new(), &self.bytes(b"hf-joining-key-2"));
        Ok(signature.map_err(|_| unusable())?.as_ref().to_vec())
    }

    /// Whether it has the private key that belongs to this public one.
    pub fn is_signed(&self, public_key: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_key)
            .verify(&self.bytes(b"hf-joining-key-2"), signature)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{JoinKey, SharedSecret, Side, Transcript};
    use crate::founding::token::TokenSecret;
    use crate::identity::authority::{generate_key, public_key};
    use holdfast_core::ids::ClusterId;

    fn secret(text: &str) -> SharedSecret {
        SharedSecret::parse(text.as_bytes()).expect("long enough")
    }

    fn seen() -> Transcript {
        Transcript {
            cluster: ClusterId(1),
            authority: [2; 32],
            founder_nonce: [3; 32],
            joiner_nonce: [4; 32],
        }
    }

    #[test]
    fn a_proof_fits_one_secret_one_side_and_what_was_seen() {
        let key = JoinKey::of_secret(&secret("0123456789abcdef0123456789abcdef"));
        let proof = seen().prove(&key, Side::Joiner);
        assert!(seen().is_proved(&key, Side::Joiner, &proof));
        assert!(!seen().is_proved(&key, Side::Founder, &proof), "sent back");
        let other = JoinKey::of_secret(&secret("0123456789abcdef0123456789abcdee"));
        assert!(!seen().is_proved(&other, Side::Joiner, &proof));
        let changed: [fn(&mut Transcript); 4] = [
            |seen| seen.cluster = ClusterId(9),
            |seen| seen.authority[31] ^= 1,
            |seen| seen.founder_nonce[0] ^= 1,
            |seen| seen.joiner_nonce[0] ^= 1,
        ];
        for change in changed {
            let mut otherwise = seen();
            change(&mut otherwise);
            assert!(!otherwise.is_proved(&key, Side::Joiner, &proof), "{otherwise:?}");
        }
    }

    #[test]
    fn a_token_and_a_secret_of_the_same_bytes_are_two_keys() {
        let bytes = *b"0123456789abcdef0123456789abcdef";
        let by_secret = JoinKey::of_secret(&SharedSecret(bytes[..16].to_vec()));
        let by_token = JoinKey::of_token(&TokenSecret(*b"0123456789abcdef"));
        let proof = seen().prove(&by_secret, Side::Joiner);
        assert!(!seen().is_proved(&by_token, Side::Joiner, &proof));
    }

    #[test]
    fn only_the_private_key_signs() {
        let (mine, theirs) = (generate_key().expect("key"), generate_key().expect("key"));
        let signature = seen().sign(&mine).expect("signs");
        assert!(seen().is_signed(&public_key(&mine).expect("public"), &signature));
        assert!(!seen().is_signed(&public_key(&theirs).expect("public"), &signature));
        let later = Transcript {
            founder_nonce: [9; 32],
            ..seen()
        };
        assert!(!later.is_signed(&public_key(&mine).expect("public"), &signature));
        assert!(!seen().is_signed(b"no key", &signature));
        assert!(seen().sign(b"no key").is_err());
    }

    #[test]
    fn secrets_that_are_short_or_absent_are_told_of() {
        assert_eq!(
            secret("  0123456789abcdef0123456789abcdef\n"),
            secret("0123456789abcdef0123456789abcdef")
        );
        assert!(
            SharedSecret::parse(b"hunter2\n")
                .expect_err("short")
                .contains("openssl")
        );
        let absent = SharedSecret::read(std::path::Path::new("/nonexistent/secret")).expect_err("absent");
        assert!(absent.contains("not there yet"), "{absent}");
        assert!(SharedSecret::read(std::path::Path::new("/")).is_err());
    }
}
