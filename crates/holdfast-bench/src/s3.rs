//! The few S3 requests that the load is made of, each one signed exchange on one connection.

use crate::connection::{Answer, Connection};
use crate::sign::{Signer, Unsigned, sha256_hex};
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// Far beyond any answer that counts; a lost one must not hold up the run.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A body and its hash, made once and sent many times.
pub struct Body {
    pub bytes: Vec<u8>,
    pub sha256: String,
}

impl Body {
    pub fn new(bytes: Vec<u8>) -> Self {
        let sha256 = sha256_hex(&bytes);
        Self { bytes, sha256 }
    }

    /// Bytes that do not compress, the same for the same seed (xorshift64*).
    pub fn random(count: usize, seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
        }
        bytes.truncate(count);
        Self::new(bytes)
    }
}

/// One client: a connection to one endpoint, reopened after an error.
pub struct Client {
    /// `host:port`, which is also what `Host` says.
    address: String,
    bucket: String,
    signer: Signer,
    connection: Option<Connection>,
    head: String,
}

/// What went wrong with one request, in words for the log.
#[derive(Debug)]
pub struct RequestFailure(pub String);

impl Client {
    pub fn new(endpoint: &str, bucket: &str, signer: Signer) -> Result<Self, RequestFailure> {
        let wrong = || RequestFailure(format!("`{endpoint}` is not of the form http://host:port"));
        let address = endpoint
            .strip_prefix("http://")
            .ok_or_else(wrong)?
            .trim_end_matches('/');
        let address = if address.contains(':') {
            address.to_owned()
        } else {
            format!("{address}:80")
        };
        Ok(Self {
            address,
            bucket: bucket.to_owned(),
            signer,
            connection: None,
            head: String::new(),
        })
    }

    /// Opens the connection beforehand, so that no measured request pays for it.
    pub async fn connect(&mut self) -> Result<(), RequestFailure> {
        if self.connection.is_none() {
            let opened = Connection::open(&self.address).await;
            self.connection = Some(opened.map_err(|error| RequestFailure(format!("{}: {error}", self.address)))?);
        }
        Ok(())
    }

    pub async fn create_bucket(&mut self) -> Result<(), RequestFailure> {
        let answer = self.request("PUT", "", "", None, 4_096).await?;
        match answer.status {
            200 | 409 => Ok(()), // 409: it is there, from an earlier run
            _ => Err(refused("PUT bucket", &answer)),
        }
    }

    pub async fn put(&mut self, key: &str, body: &Body) -> Result<u64, RequestFailure> {
        let answer = self.request("PUT", key, "", Some(body), 512).await?;
        if answer.status == 200 {
            Ok(body.bytes.len() as u64)
        } else {
            Err(refused("PUT", &answer))
        }
    }

    /// Reads a whole object of a known size.
    pub async fn get(&mut self, key: &str, bytes_expected: u64) -> Result<u64, RequestFailure> {
        let answer = self.request("GET", key, "", None, 0).await?;
        if answer.status == 200 && answer.body_bytes == bytes_expected {
            return Ok(answer.body_bytes);
        }
        Err(RequestFailure(format!(
            "GET {key}: status {}, {} bytes of {bytes_expected}",
            answer.status, answer.body_bytes
        )))
    }

    /// A page of up to 1,000 keys; returns how many bytes the answer had.
    pub async fn list(&mut self, start_after: &str) -> Result<u64, RequestFailure> {
        let query = format!("list-type=2&max-keys=1000&start-after={}", encoded(start_after, false));
        let answer = self.request("GET", "", &query, None, 0).await?;
        if answer.status == 200 {
            Ok(answer.body_bytes)
        } else {
            Err(refused("LIST", &answer))
        }
    }

    /// An upload in equal parts, one after the other; returns the bytes sent.
    pub async fn put_in_parts(&mut self, key: &str, part: &Body, parts: u32) -> Result<u64, RequestFailure> {
        let begun = self.request("POST", key, "uploads=", None, 4_096).await?;
        let text = String::from_utf8_lossy(&begun.kept).into_owned();
        let upload = text
            .split_once("<UploadId>")
            .and_then(|(_, rest)| rest.split_once("</UploadId>"));
        let Some((upload, _)) = upload else {
            return Err(refused("create upload", &begun));
        };
        let upload = encoded(upload, false);
        let mut manifest = String::from("<CompleteMultipartUpload>");
        for number in 1..=parts {
            let query = format!("partNumber={number}&uploadId={upload}");
            let answer = self.request("PUT", key, &query, Some(part), 512).await?;
            let Some(etag) = answer.etag.as_deref().filter(|_| answer.status == 200) else {
                return Err(refused("PUT part", &answer));
            };
            let _ = write!(
                manifest,
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            );
        }
        manifest.push_str("</CompleteMultipartUpload>");
        let query = format!("uploadId={upload}");
        let done = self
            .request("POST", key, &query, Some(&Body::new(manifest.into_bytes())), 4_096)
            .await?;
        // S3 may answer 200 and then tell of an error in the body.
        if done.status != 200 || String::from_utf8_lossy(&done.kept).contains("<Error>") {
            return Err(refused("complete upload", &done));
        }
        Ok(part.bytes.len() as u64 * u64::from(parts))
    }

    async fn request(
        &mut self,
        method: &str,
        key: &str,
        query: &str,
        body: Option<&Body>,
        keep_bytes_max: usize,
    ) -> Result<Answer, RequestFailure> {
        const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let path = if key.is_empty() {
            format!("/{}", self.bucket)
        } else {
            format!("/{}/{}", self.bucket, encoded(key, true))
        };
        let payload_sha256 = body.map_or(EMPTY_SHA256, |body| body.sha256.as_str());
        let unsigned = Unsigned {
            method,
            host: &self.address,
            path: &path,
            query,
            payload_sha256,
            more: None,
        };
        let signature = self.signer.sign(&unsigned, SystemTime::now());
        self.head.clear();
        let separator = if query.is_empty() { "" } else { "?" };
        let _ = write!(
            self.head,
            "{method} {path}{separator}{query} HTTP/1.1\r\nHost: {}\r\nx-amz-date: {}\r\n\
             x-amz-content-sha256: {payload_sha256}\r\nAuthorization: {}\r\n",
            self.address, signature.date, signature.authorization,
        );
        if body.is_some() || method != "GET" {
            let _ = write!(
                self.head,
                "Content-Length: {}\r\n",
                body.map_or(0, |body| body.bytes.len())
            );
        }
        self.head.push_str("\r\n");
        self.connect().await?;
        let Some(mut connection) = self.connection.take() else {
            return Err(RequestFailure("not connected".into()));
        };
        let bytes = body.map_or(&[][..], |body| &body.bytes);
        let exchange = connection.exchange(self.head.as_bytes(), bytes, keep_bytes_max);
        let answer = tokio::time::timeout(ANSWER_WITHIN, exchange).await;
        let answer =
            answer.map_err(|_| RequestFailure(format!("{method} {path}: no answer within {ANSWER_WITHIN:?}")))?;
        let answer = answer.map_err(|error| RequestFailure(format!("{method} {path}: {error}")))?;
        self.connection = (!answer.closes).then_some(connection);
        Ok(answer)
    }
}

fn refused(what: &str, answer: &Answer) -> RequestFailure {
    let said = String::from_utf8_lossy(&answer.kept);
    RequestFailure(format!(
        "{what}: status {}: {}",
        answer.status,
        said.chars().take(300).collect::<String>()
    ))
}

/// Percent-encoding as signatures want it: everything but the unreserved characters, `/` kept in paths.
fn encoded(text: &str, is_path: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (is_path && byte == b'/') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_as_signatures_want_it() {
        assert_eq!(encoded("a b/ü+~", true), "a%20b/%C3%BC%2B~");
        assert_eq!(encoded("a/b=c", false), "a%2Fb%3Dc");
    }

    #[test]
    fn random_bodies_repeat_by_seed_and_differ_between_seeds() {
        assert_eq!(Body::random(1_001, 7).bytes, Body::random(1_001, 7).bytes);
        assert_ne!(Body::random(64, 7).bytes, Body::random(64, 8).bytes);
        assert_eq!(Body::random(1_001, 7).bytes.len(), 1_001);
    }

    #[test]
    fn an_endpoint_must_be_plain_http() {
        let signer = || Signer::new("a", "b", "c");
        assert!(Client::new("https://127.0.0.1:9000", "b", signer()).is_err());
        assert_eq!(
            Client::new("http://127.0.0.1:9000/", "b", signer()).unwrap().address,
            "127.0.0.1:9000"
        );
    }
}
