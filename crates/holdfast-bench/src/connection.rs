//! One kept-alive HTTP/1.1 connection: writes a request, reads the answer, throws large bodies away as they come.
//!
//! Why our own: a general client costs several times what a kept-alive exchange needs, and this one shares its
//! cores with the servers. Bodies are framed by `Content-Length` or by chunks; other framings are refused.
//! Invariant: after an error the connection is not used again, because what is left in it is unknown.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer's head larger than this is not one.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// One read at a time; as large as a socket buffer usually is.
const READ_BYTES: usize = 256 * 1024;

pub struct Connection {
    stream: TcpStream,
    /// Read from the socket and not consumed: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body_bytes: u64,
    /// The server will not take another request on this connection.
    pub closes: bool,
    /// The body, as far as the caller asked to keep it.
    pub kept: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
        })
    }

    /// Sends a request and reads its answer, of whose body at most `keep_bytes_max` bytes are kept.
    pub async fn exchange(&mut self, head: &[u8], body: &[u8], keep_bytes_max: usize) -> io::Result<Answer> {
        self.stream.write_all(head).await?;
        if !body.is_empty() {
            self.stream.write_all(body).await?;
        }
        loop {
            let head = self.read_head().await?;
            if head.status == 100 {
                continue; // an interim answer to a request that did not ask for one
            }
            let mut answer = Answer {
                status: head.status,
                etag: head.etag,
                body_bytes: 0,
                closes: head.closes,
                kept: Vec::new(),
            };
            match head.framing {
                Framing::None => {}
                Framing::Length(bytes) => self.take(bytes, &mut answer, keep_bytes_max).await?,
                Framing::Chunked => self.take_chunks(&mut answer, keep_bytes_max).await?,
            }
            return Ok(answer);
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let read = self.stream.read(&mut self.buffer[self.end..]).await?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ));
        }
        self.end += read;
        Ok(())
    }

    async fn read_head(&mut self) -> io::Result<Head> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(length) = find(unread, b"\r\n\r\n") {
                let head = Head::parse(&unread[..length]);
                self.start += length + 4;
                return head.ok_or_else(|| broken("an answer that is not HTTP/1.1"));
            }
            if unread.len() > HEAD_BYTES_MAX {
                return Err(broken("an answer with an endless head"));
            }
            self.fill().await?;
        }
    }

    async fn take(&mut self, bytes: u64, answer: &mut Answer, keep_bytes_max: usize) -> io::Result<()> {
        let mut missing = bytes;
        while missing > 0 {
            if self.start == self.end {
                self.fill().await?;
            }
            let here = usize::try_from(missing)
                .unwrap_or(usize::MAX)
                .min(self.end - self.start);
            let room = keep_bytes_max.saturating_sub(answer.kept.len()).min(here);
            answer
                .kept
                .extend_from_slice(&self.buffer[self.start..self.start + room]);
            answer.body_bytes += here as u64;
            self.start += here;
            missing -= here as u64;
        }
        Ok(())
    }

    async fn take_chunks(&mut self, answer: &mut Answer, keep_bytes_max: usize) -> io::Result<()> {
        loop {
            let line = self.read_line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let bytes = u64::from_str_radix(digits, 16).map_err(|_| broken("a chunk without a length"))?;
            if bytes == 0 {
                while !self.read_line().await?.is_empty() {} // trailers
                return Ok(());
            }
            self.take(bytes, answer, keep_bytes_max).await?;
            self.read_line().await?;
        }
    }

    async fn read_line(&mut self) -> io::Result<String> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(length) = find(unread, b"\r\n") {
                let line = String::from_utf8_lossy(&unread[..length]).into_owned();
                self.start += length + 2;
                return Ok(line);
            }
            if unread.len() > HEAD_BYTES_MAX {
                return Err(broken("an endless line"));
            }
            self.fill().await?;
        }
    }
}

enum Framing {
    None,
    Length(u64),
    Chunked,
}

struct Head {
    status: u16,
    etag: Option<String>,
    closes: bool,
    framing: Framing,
}

impl Head {
    fn parse(head: &[u8]) -> Option<Self> {
        let head = std::str::from_utf8(head).ok()?;
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let mut parsed = Self {
            status,
            etag: None,
            closes: false,
            framing: Framing::None,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                parsed.framing = Framing::Length(value.parse().ok()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                parsed.framing = Framing::Chunked;
            } else if name.eq_ignore_ascii_case("etag") {
                parsed.etag = Some(value.to_owned());
            } else if name.eq_ignore_ascii_case("connection") {
                parsed.closes = value.eq_ignore_ascii_case("close");
            }
        }
        Some(parsed)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Answers each request on one connection with the next of the given texts, sent in small pieces.
    async fn served(answers: Vec<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            for answer in answers {
                let _ = stream.read(&mut request).await.unwrap();
                for piece in answer.as_bytes().chunks(7) {
                    stream.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        address
    }

    fn on_runtime<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn answers_of_every_framing_follow_each_other_on_one_connection() {
        on_runtime(async {
            let address = served(vec![
                "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\nContent-Length: 5\r\n\r\nhello",
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwiki\r\n5;x=y\r\npedia\r\n0\r\nTrailer: x\r\n\r\n",
                "HTTP/1.1 204 No Content\r\n\r\n",
                "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno",
            ])
            .await;
            let mut connection = Connection::open(&address).await.unwrap();
            let first = connection.exchange(b"GET", b"", 64).await.unwrap();
            assert_eq!(
                (first.status, first.etag.as_deref(), first.kept.as_slice()),
                (200, Some("\"abc\""), &b"hello"[..])
            );
            let second = connection.exchange(b"GET", b"", 6).await.unwrap();
            assert_eq!((second.body_bytes, second.kept.as_slice()), (9, &b"wikipe"[..]));
            assert_eq!(connection.exchange(b"GET", b"", 0).await.unwrap().status, 204);
            let last = connection.exchange(b"GET", b"body", 0).await.unwrap();
            assert_eq!((last.status, last.body_bytes, last.kept.len()), (404, 2, 0));
        });
    }

    #[test]
    fn what_is_not_http_and_what_ends_early_are_errors() {
        on_runtime(async {
            for answer in [
                "SSH-2.0-x\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
                "",
            ] {
                let mut connection = Connection::open(&served(vec![answer]).await).await.unwrap();
                assert!(connection.exchange(b"GET", b"", 0).await.is_err(), "{answer}");
            }
        });
    }
}
