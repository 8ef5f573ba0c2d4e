//! Requests signed with SigV4, as SDKs send them: in headers, with the body whole, in signed chunks, or in unsigned
//! chunks with a trailer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::client::{Reply, exchange};
use crate::server::{KEY, SECRET, Server};

const PATH: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');
const QUERY: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How the body is sent.
#[derive(Clone, Debug)]
pub enum Framing {
    /// As it is, its hash signed.
    Whole,
    /// As it is, its hash not signed.
    Unsigned,
    /// In chunks of so many bytes, each signed.
    SignedChunks(usize),
    /// In chunks of so many bytes, unsigned, with this trailer.
    Trailer(usize, String, String),
}

/// A request to be signed.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: &'static str,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub framing: Framing,
    pub host: String,
    pub key: String,
    pub secret: String,
    pub region: &'static str,
    /// Seconds by which the client's clock is late.
    pub late_s: u64,
    /// Replaces the hash of the body that is signed and sent.
    pub claimed_hash: Option<String>,
    /// Damages the signature of the chunk with this number.
    pub damage_chunk: Option<usize>,
}

pub fn call(method: &'static str, path: &str) -> Call {
    Call {
        method,
        path: path.to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Vec::new(),
        framing: Framing::Whole,
        host: "127.0.0.1".to_owned(),
        key: KEY.to_owned(),
        secret: SECRET.to_owned(),
        region: "us-east-1",
        late_s: 0,
        claimed_hash: None,
        damage_chunk: None,
    }
}

impl Call {
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Sends it to the S3 port.
    pub fn s3(self, server: &Server) -> Reply {
        exchange(server.s3, &self.bytes())
    }

    /// The whole request.
    pub fn bytes(&self) -> Vec<u8> {
        let (mut head, body) = self.parts();
        head.extend_from_slice(&body);
        head
    }

    /// Its head and its body as they go over the wire.
    pub fn parts(&self) -> (Vec<u8>, Vec<u8>) {
        let date = amz_date(SystemTime::now() - Duration::from_secs(self.late_s));
        let scope = format!("{}/{}/s3/aws4_request", &date[..8], self.region);
        let payload = match &self.framing {
            Framing::Whole => hex(&Sha256::digest(&self.body)),
            Framing::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
            Framing::SignedChunks(_) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD".to_owned(),
            Framing::Trailer(..) => "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
        };
        let payload = self.claimed_hash.clone().unwrap_or(payload);
        let mut headers = self.headers.clone();
        headers.push(("host".to_owned(), self.host.clone()));
        headers.push(("x-amz-date".to_owned(), date.clone()));
        headers.push(("x-amz-content-sha256".to_owned(), payload.clone()));
        if let Framing::Trailer(_, name, _) = &self.framing {
            headers.push(("x-amz-trailer".to_owned(), name.clone()));
        }
        if matches!(self.framing, Framing::SignedChunks(_) | Framing::Trailer(..)) {
            headers.push(("content-encoding".to_owned(), "aws-chunked".to_owned()));
            headers.push(("x-amz-decoded-content-length".to_owned(), self.body.len().to_string()));
        }
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let mut canonical = format!("{}\n{}\n{}\n", self.method, self.encoded_path(), self.encoded_query());
        for (name, value) in &headers {
            canonical.push_str(&format!("{name}:{}\n", value.trim()));
        }
        canonical.push_str(&format!("\n{names}\n{payload}"));
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
            hex(&Sha256::digest(canonical.as_bytes()))
        );
        let key = self.signing_key(&date);
        let signature = hex(&hmac(&key, to_sign.as_bytes()));
        let body = self.framed(&key, &date, &scope, &signature);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.key
        );
        let mut head = format!("{} {}", self.method, self.encoded_path());
        if !self.query.is_empty() {
            head.push_str(&format!("?{}", self.encoded_query()));
        }
        head.push_str(&format!(
            " HTTP/1.1\r\nauthorization: {authorization}\r\ncontent-length: {}\r\n",
            body.len()
        ));
        for (name, value) in &headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        (head.into_bytes(), body)
    }

    fn encoded_path(&self) -> String {
        utf8_percent_encode(&self.path, &PATH).to_string()
    }

    fn encoded_query(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, &QUERY).to_string();
        let mut pairs: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        pairs.sort();
        pairs.join("&")
    }

    fn signing_key(&self, date: &str) -> Vec<u8> {
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [&date[..8], self.region, "s3", "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        key
    }

    fn framed(&self, key: &[u8], date: &str, scope: &str, seed: &str) -> Vec<u8> {
        let mut framed = Vec::new();
        match &self.framing {
            Framing::Whole | Framing::Unsigned => return self.body.clone(),
            Framing::SignedChunks(size) => {
                let mut before = seed.to_owned();
                let empty = hex(&Sha256::digest(b""));
                for (number, chunk) in self.body.chunks(*size).chain([&[][..]]).enumerate() {
                    let hash = hex(&Sha256::digest(chunk));
                    let to_sign = format!("AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{scope}\n{before}\n{empty}\n{hash}");
                    before = hex(&hmac(key, to_sign.as_bytes()));
                    if self.damage_chunk == Some(number) {
                        before = "0".repeat(64);
                    }
                    framed.extend_from_slice(format!("{:x};chunk-signature={before}\r\n", chunk.len()).as_bytes());
                    framed.extend_from_slice(chunk);
                    framed.extend_from_slice(b"\r\n");
                }
            }
            Framing::Trailer(size, name, value) => {
                for chunk in self.body.chunks(*size) {
                    framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    framed.extend_from_slice(chunk);
                    framed.extend_from_slice(b"\r\n");
                }
                framed.extend_from_slice(format!("0\r\n{name}:{value}\r\n\r\n").as_bytes());
            }
        }
        framed
    }
}

pub fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn base64(bytes: &[u8]) -> String {
    holdfast_api::checksum::base64(bytes)
}

/// `20260102T030405Z`.
pub fn amz_date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (days, second) = (i64::try_from(seconds / 86_400).unwrap(), seconds % 86_400);
    // After Howard Hinnant's `civil_from_days`.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!(
        "{:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        era * 400 + year_of_era + next,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}
