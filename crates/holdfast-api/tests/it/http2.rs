//! HTTP/2 frame by frame, for what no client library would do: streams that are reset without a reason, deadlines that only
//! the server keeps.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, SendStream};
use http::{HeaderMap, Method, Request};

/// What came of a request: its head, and the trailers behind it.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    pub trailers: HeaderMap,
}

impl Answered {
    /// A header, wherever it was said.
    pub fn told(&self, name: &str) -> Option<&str> {
        let value = self.trailers.get(name).or_else(|| self.headers.get(name));
        value.map(|value| value.to_str().unwrap())
    }
}

/// A request whose body may still be sent.
pub struct Open {
    answer: ResponseFuture,
    body: SendStream<Bytes>,
}

/// Begins a request on a connection of its own.
pub async fn begin(address: SocketAddr, method: Method, path: &str, headers: &[(&str, &str)]) -> Open {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut client = client.ready().await.unwrap();
    let (answer, body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    Open { answer, body }
}

impl Open {
    pub fn send(&mut self, bytes: impl Into<Bytes>) {
        self.body.send_data(bytes.into(), false).unwrap();
    }

    pub fn end(&mut self) {
        self.body.send_data(Bytes::new(), true).unwrap();
    }

    /// Breaks the request off, once the server has seen what was sent.
    pub async fn reset(mut self, reason: Reason) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.body.send_reset(reason);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    /// Reads the answer to its end.
    pub async fn answer(self) -> Answered {
        let whole = tokio::time::timeout(Duration::from_secs(20), async {
            let (head, mut body) = self.answer.await.unwrap().into_parts();
            while let Some(bytes) = body.data().await {
                let bytes = bytes.unwrap();
                body.flow_control().release_capacity(bytes.len()).unwrap();
            }
            Answered {
                status: head.status.as_u16(),
                headers: head.headers,
                trailers: body.trailers().await.unwrap().unwrap_or_default(),
            }
        });
        whole.await.expect("an answer in time")
    }
}

/// A message as gRPC frames it.
pub fn framed(message: &impl prost::Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}
