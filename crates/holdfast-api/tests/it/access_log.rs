//! The access log: one line for each request, with the id that the client was told.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::client::{Client, Reply};
use crate::server::{KEY, Server};
use crate::sign::call;

/// Lines of all tests in this process; each looks for its own.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn lines() -> &'static Lines {
    static LINES: OnceLock<Lines> = OnceLock::new();
    LINES.get_or_init(|| {
        let lines = Lines::default();
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("off,access=info"))
            .with_ansi(false)
            .with_writer(lines.clone())
            .init();
        lines
    })
}

/// The line with this reply's id; it is written behind the answer, so perhaps a moment later.
fn line_of(reply: &Reply) -> String {
    let id = reply.header("x-amz-request-id").unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = String::from_utf8(lines().0.lock().unwrap().clone()).unwrap();
        let found: Vec<&str> = text.lines().filter(|line| line.contains(id)).collect();
        match found.as_slice() {
            [line] => return (*line).to_owned(),
            [] => assert!(Instant::now() < deadline, "no line with {id}"),
            more => panic!("several lines: {more:?}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn each_request_is_one_line() {
    lines();
    let server = Server::start();
    assert_eq!(call("PUT", "/logged").s3(&server).status, 200);
    let put = line_of(&call("PUT", "/logged/a/b").body("12345").s3(&server));
    for part in [
        "front_end=\"s3\"",
        "method=PUT",
        "path=/logged/a/b",
        "operation=\"PutObject\"",
        "status=200",
        "bytes_in=5",
        "bytes_out=0",
        &format!("key=\"{KEY}\""),
        "remote=127.0.0.1:",
        "whole=true",
    ] {
        assert!(put.contains(part), "{part} is missing: {put}");
    }
    let get = line_of(&call("GET", "/logged/a/b").s3(&server));
    assert!(
        get.contains("operation=\"GetObject\"") && get.contains("bytes_out=5"),
        "{get}"
    );
    let mut wrong = call("GET", "/logged/a/b");
    wrong.secret = "another".to_owned();
    let wrong = line_of(&wrong.s3(&server));
    assert!(wrong.contains("status=403") && wrong.contains("key=\"-\""), "{wrong}");
}

#[test]
fn an_answer_that_broke_off_says_so() {
    lines();
    let server = Server::start();
    assert_eq!(call("PUT", "/broken").s3(&server).status, 200);
    let body = vec![0; 30_000_000];
    assert_eq!(call("PUT", "/broken/large").body(body).s3(&server).status, 200);
    let mut client = Client::connect(server.s3);
    client.send(&call("GET", "/broken/large").bytes());
    let head = client.head().unwrap();
    drop(client);
    let line = line_of(&head);
    assert!(line.contains("status=200") && line.contains("whole=false"), "{line}");
}
