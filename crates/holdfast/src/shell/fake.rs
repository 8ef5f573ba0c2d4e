//! A node for the tests of the shell: it answers what it was told to answer, and remembers what it was asked.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::session::Session;
use crate::client::connection::{RestArgs, S3Args};

/// What a request begins with or has in its first line, the status, and the answer.
pub type Answers = Vec<(&'static str, u16, Value)>;

/// A node that is none.
pub struct Server {
    /// Where it listens.
    pub address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Listens until the test's runtime ends. The first answer whose text is in a request's first line is given.
    pub async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let remembered = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let request = answer(stream, &answers).await;
                remembered.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            }
        });
        Self { address, asked }
    }

    /// Every request so far, whole, header names in lower case as they were sent.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads one request, answers it, and closes.
async fn answer(mut stream: TcpStream, answers: &Answers) -> String {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            break;
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let line = request.lines().next().unwrap_or_default();
    let nothing = (
        404,
        json!({ "status": "failure", "error": "no_such_resource", "message": "there is nothing at this path" }),
    );
    let (status, body) = answers
        .iter()
        .find(|(text, ..)| line.contains(text))
        .map_or(nothing, |(_, status, body)| (*status, body.clone()));
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
    request
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.trim().parse().ok()).unwrap_or(0) <= body.len()
}

/// A shell that talks to this server, or to nobody yet.
pub fn session(server: Option<&Server>) -> Session {
    let rest = RestArgs {
        rest_endpoint: server.map(|server| format!("http://{}", server.address)),
        rest_endpoints: None,
        admin_token: Some("token of the tests".to_owned()),
        ca_bundle: None,
    };
    let s3 = S3Args {
        endpoint: None,
        endpoints: None,
        access_key: None,
        secret_key: None,
        region: "us-east-1".to_owned(),
        ca_bundle: None,
    };
    Session::new(s3, rest, false)
}
