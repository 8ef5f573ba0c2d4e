//! Cuts the chunks of aws-chunked bodies small.
//!
//! `s3s` 0.14 holds each chunk whole in memory before it passes it on, and Go's SDK sends a whole body as one chunk over
//! TLS. Unsigned framing carries no signatures, so nothing but sizes changes when a large chunk is cut into the pieces in
//! which it arrives; data is passed on as it is, without a copy. Signed chunks cannot be cut, since each has a
//! signature over all of it: those beyond a bound are refused.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use s3s::StdError;

/// Chunks up to this many bytes pass as they are: what `s3s` then holds is no more than its other buffers.
const PASS_BYTES_MAX: u64 = 256 * 1024;

/// Signed chunks beyond this are refused. SDKs sign chunks of 64 KiB to 1 MiB.
const SIGNED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A chunk's line: its size in hex and a signature of 64 digits need some 90 bytes.
const LINE_BYTES_MAX: usize = 1024;

/// Framing that is not aws-chunked, or not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FramingError {
    /// Not the framing it claims to be.
    FormatError,
    /// A signed chunk too large to be held.
    ChunkTooLarge,
}

impl std::fmt::Display for FramingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The names are what `errors::body_error` looks for, as it does in the errors of `s3s`.
        write!(f, "aws-chunked framing: {self:?}")
    }
}

impl std::error::Error for FramingError {}

/// An aws-chunked body whose large chunks are cut.
pub(super) struct Reframed<B> {
    inner: B,
    cutter: Cutter,
}

impl<B> Reframed<B> {
    pub(super) const fn new(inner: B, signed: bool) -> Self {
        Self {
            inner,
            cutter: Cutter {
                signed,
                state: State::Line,
                line: Vec::new(),
                out: VecDeque::new(),
            },
        }
    }
}

impl<B> Body for Reframed<B>
where
    B: Body<Data = Bytes> + Unpin,
    StdError: From<B::Error>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = self.get_mut();
        loop {
            if let Some(piece) = this.cutter.out.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            match std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.cutter.feed(data)?;
                    }
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

struct Cutter {
    signed: bool,
    state: State,
    /// The beginning of a chunk's line, when it came in pieces.
    line: Vec<u8>,
    out: VecDeque<Bytes>,
}

#[derive(Clone, Copy)]
enum State {
    /// Within the line before a chunk.
    Line,
    /// Within a chunk.
    Data { left: u64, cut: bool },
    /// Within the two bytes after a chunk; how many are still to come.
    End { left: u8, cut: bool },
    /// Behind the last chunk: trailers.
    Rest,
}

impl Cutter {
    fn feed(&mut self, mut input: Bytes) -> Result<(), FramingError> {
        while !input.is_empty() {
            match self.state {
                State::Line => self.feed_line(&mut input)?,
                State::Data { left, cut } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let data = input.split_to(here);
                    let left = left - here as u64;
                    if cut {
                        self.out.push_back(Bytes::from(format!("{here:x}\r\n")));
                        self.out.push_back(data);
                        self.out.push_back(Bytes::from_static(b"\r\n"));
                    } else {
                        self.out.push_back(data);
                    }
                    if left == 0 {
                        self.state = State::End { left: 2, cut };
                    } else {
                        self.state = State::Data { left, cut };
                    }
                }
                State::End { left, cut } => {
                    let expected = if left == 2 { b'\r' } else { b'\n' };
                    let byte = input.split_to(1);
                    if byte[0] != expected {
                        return Err(FramingError::FormatError);
                    }
                    if !cut {
                        self.out.push_back(byte);
                    }
                    self.state = if left == 2 {
                        State::End { left: 1, cut }
                    } else {
                        State::Line
                    };
                }
                State::Rest => self.out.push_back(std::mem::take(&mut input)),
            }
        }
        Ok(())
    }

    fn feed_line(&mut self, input: &mut Bytes) -> Result<(), FramingError> {
        let end = input.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let piece = input.split_to(end.unwrap_or(input.len()));
        if self.line.len() + piece.len() > LINE_BYTES_MAX {
            return Err(FramingError::FormatError);
        }
        if end.is_none() {
            self.line.extend_from_slice(&piece);
            return Ok(());
        }
        let line = if self.line.is_empty() {
            piece
        } else {
            self.line.extend_from_slice(&piece);
            Bytes::from(std::mem::take(&mut self.line))
        };
        let size = chunk_size(&line).ok_or(FramingError::FormatError)?;
        if size == 0 {
            self.out.push_back(line);
            self.state = State::Rest;
            return Ok(());
        }
        if self.signed && size > SIGNED_BYTES_MAX {
            return Err(FramingError::ChunkTooLarge);
        }
        let cut = !self.signed && size > PASS_BYTES_MAX;
        if !cut {
            self.out.push_back(line);
        }
        self.state = State::Data { left: size, cut };
        Ok(())
    }
}

/// The size in a chunk's line: hex up to `;` or the end.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| matches!(byte, b';' | b'\r' | b'\n')).next()?;
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;

    use super::{Cutter, FramingError, PASS_BYTES_MAX, SIGNED_BYTES_MAX, State};

    /// Feeds `input` in pieces of `step` bytes and returns what comes out, and the largest chunk in it.
    fn cut(input: &[u8], signed: bool, step: usize) -> Result<(Vec<u8>, usize), FramingError> {
        let mut cutter = Cutter {
            signed,
            state: State::Line,
            line: Vec::new(),
            out: VecDeque::new(),
        };
        let (mut out, mut largest) = (Vec::new(), 0);
        for piece in input.chunks(step) {
            cutter.feed(Bytes::copy_from_slice(piece))?;
            for piece in cutter.out.drain(..) {
                largest = largest.max(piece.len());
                out.extend_from_slice(&piece);
            }
        }
        Ok((out, largest))
    }

    /// The data within framing, as a simple reader sees it, and what follows the last chunk.
    fn read(mut framed: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut data = Vec::new();
        loop {
            let end = framed.windows(2).position(|pair| pair == b"\r\n").unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&framed[..end]).unwrap(), 16).unwrap();
            framed = &framed[end + 2..];
            if size == 0 {
                return (data, framed.to_vec());
            }
            data.extend_from_slice(&framed[..size]);
            assert_eq!(&framed[size..size + 2], b"\r\n");
            framed = &framed[size + 2..];
        }
    }

    fn framed(sizes: &[usize], trailer: &str) -> (Vec<u8>, Vec<u8>) {
        let (mut framing, mut data) = (Vec::new(), Vec::new());
        for (index, size) in sizes.iter().enumerate() {
            let chunk: Vec<u8> = (0..*size).map(|at| u8::try_from((at + index) % 251).unwrap()).collect();
            framing.extend_from_slice(format!("{size:X}\r\n").as_bytes());
            framing.extend_from_slice(&chunk);
            framing.extend_from_slice(b"\r\n");
            data.extend_from_slice(&chunk);
        }
        framing.extend_from_slice(b"0\r\n");
        framing.extend_from_slice(trailer.as_bytes());
        (framing, data)
    }

    #[test]
    fn large_unsigned_chunks_are_cut_and_say_the_same() {
        let trailer = "x-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        let large = usize::try_from(PASS_BYTES_MAX).unwrap() + 1000;
        let (input, data) = framed(&[10, large, 1, 65_536], trailer);
        for step in [7, 1000, 65_537, input.len()] {
            let (output, largest) = cut(&input, false, step).unwrap();
            assert_eq!(
                read(&output),
                (data.clone(), trailer.as_bytes().to_vec()),
                "step {step}"
            );
            assert!(largest <= step.max(16));
        }
    }

    #[test]
    fn small_and_signed_chunks_pass_unchanged() {
        let signature = "a".repeat(64);
        let mut input = format!("5;chunk-signature={signature}\r\nhello\r\n").into_bytes();
        input.extend_from_slice(format!("0;chunk-signature={signature}\r\n\r\n").as_bytes());
        for step in [1, 3, input.len()] {
            assert_eq!(cut(&input, true, step).unwrap().0, input);
            assert_eq!(cut(&input, false, step).unwrap().0, input);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let format = Err(FramingError::FormatError);
        assert_eq!(cut(b"zz\r\n", false, 10), format);
        assert_eq!(cut(b"\r\n", false, 10), format);
        assert_eq!(cut(b"3\r\nabcd\r\n", false, 100), format);
        assert_eq!(cut(&vec![b'1'; 5000], false, 100), format);
        assert_eq!(cut(b"ffffffffffffffffffff\r\n", false, 100), format);
        let huge = format!("{:x};chunk-signature=x\r\n", SIGNED_BYTES_MAX + 1);
        assert_eq!(cut(huge.as_bytes(), true, 100), Err(FramingError::ChunkTooLarge));
    }
}
