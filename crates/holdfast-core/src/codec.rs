//! Bytes out, bytes in: the few primitives from which every format of the wire and of rows is made (rule L8).
//!
//! Invariants: every value has exactly one encoding (varints are as short as they can be, flags are 0 or 1), so equal
//! values have equal bytes and digests may be taken over bytes; reading never panics, whatever it is given; and no
//! length found in the input is believed before the input is known to be that long, so a frame of a few bytes cannot
//! ask for gigabytes.
//!
//! Source: LEB128 as in DWARF 5 §7.6, made canonical; everything of fixed length is big endian, like the keys of rows.
//!
//! Weak spot: writing cannot fail, so a caller that hands over a string longer than the reader's maximum writes bytes
//! that nobody will read. Whoever takes values from clients checks them first.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// Why bytes could not be read. Nothing was changed by trying.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The input ends in the middle of a value, or announces more than it holds.
    Truncated,
    /// A string or byte string exceeds its maximum.
    TooLong {
        /// What was read.
        what: &'static str,
    },
    /// A tag or flag has no meaning in this format.
    BadTag {
        /// What was read.
        what: &'static str,
        /// What was found.
        tag: u8,
    },
    /// A string is not UTF-8.
    BadUtf8,
    /// The value could have been written shorter or in another order: nothing of ours wrote this.
    NotCanonical {
        /// What was read.
        what: &'static str,
    },
    /// The value ended before the input did.
    TrailingBytes,
    /// Written in a format that this program does not know.
    UnknownVersion {
        /// What was read.
        what: &'static str,
        /// Its version.
        version: u8,
    },
    /// A field that today can only be one constant holds another value: a newer program uses it.
    Unsupported {
        /// Which field.
        what: &'static str,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the bytes end too early"),
            Self::TooLong { what } => write!(f, "{what} is longer than allowed"),
            Self::BadTag { what, tag } => write!(f, "{tag} is no {what}"),
            Self::BadUtf8 => f.write_str("a string is not UTF-8"),
            Self::NotCanonical { what } => write!(f, "{what} is not in its one canonical form"),
            Self::TrailingBytes => f.write_str("bytes are left over"),
            Self::UnknownVersion { what, version } => {
                write!(
                    f,
                    "{what} is in format version {version}, which this program does not know"
                )
            }
            Self::Unsupported { what } => write!(f, "{what} has a value that this program does not support"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Elements that a list may have: far above any that is written, and low enough that a list of the largest values
/// made of the shortest encodings stays below 100 MB.
pub const COUNT_MAX: usize = 1 << 20;

/// Collects an encoding.
#[derive(Default, Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty one with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
        }
    }

    /// What was written.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes, big endian.
    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Four bytes, big endian.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Eight bytes, big endian.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Sixteen bytes, big endian.
    pub fn u128(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// One byte, 0 or 1.
    pub fn flag(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    /// LEB128: seven bits per byte, lowest first, the top bit says that more follow.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A number of elements or bytes, as a varint.
    pub fn count(&mut self, value: usize) {
        self.varint(value as u64);
    }

    /// Bytes whose length the reader knows.
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    /// A length, then the bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.raw(value);
    }

    /// A length, then the bytes of a string.
    pub fn str(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }
}

/// Takes an encoding apart, from the front.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// What `rest` is part of, when byte strings may be slices of it.
    frame: Option<&'a Bytes>,
}

impl<'a> Reader<'a> {
    /// Reads a frame; byte strings come out as slices of it, not as copies.
    #[must_use]
    pub fn over_frame(frame: &'a Bytes) -> Self {
        Self {
            rest: frame,
            frame: Some(frame),
        }
    }

    /// Reads a slice; byte strings come out as copies.
    #[must_use]
    pub const fn over_slice(slice: &'a [u8]) -> Self {
        Self {
            rest: slice,
            frame: None,
        }
    }

    /// Bytes not read yet.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Everything not read yet, which counts as read from now on.
    pub fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Checks that everything was read.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes)
        }
    }

    /// Bytes of a known length.
    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Bytes of a length known to the compiler.
    pub fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<LENGTH>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// Two bytes, big endian.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Four bytes, big endian.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Eight bytes, big endian.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Sixteen bytes, big endian.
    pub fn u128(&mut self) -> Result<u128, DecodeError> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    /// One byte, 0 or 1.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(DecodeError::BadTag { what, tag }),
        }
    }

    /// LEB128, refused unless it is as short as it can be.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        const OVERLONG: DecodeError = DecodeError::NotCanonical { what: "number" };
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.u8()?;
            // The tenth byte has room for one bit only.
            if shift == 63 && byte > 1 {
                return Err(OVERLONG);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if byte == 0 { Err(OVERLONG) } else { Ok(value) };
            }
            shift += 7;
        }
    }

    /// A varint that fits in 32 bits.
    pub fn varint_u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        u32::try_from(self.varint()?).map_err(|_| DecodeError::TooLong { what })
    }

    /// A varint that fits in 16 bits.
    pub fn varint_u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        u16::try_from(self.varint()?).map_err(|_| DecodeError::TooLong { what })
    }

    /// A number of elements of at least `element_bytes_min` bytes each; refused when they cannot all be there or are
    /// more than [`COUNT_MAX`], so it may be used as a capacity.
    pub fn count(&mut self, element_bytes_min: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated)?;
        if count > COUNT_MAX {
            return Err(DecodeError::TooLong { what: "list" });
        }
        if count > self.rest.len() / element_bytes_min.max(1) {
            return Err(DecodeError::Truncated);
        }
        Ok(count)
    }

    /// A length, then so many bytes, borrowed.
    pub fn slice(&mut self, what: &'static str, bytes_max: usize) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::TooLong { what })?;
        if length > bytes_max {
            return Err(DecodeError::TooLong { what });
        }
        self.raw(length)
    }

    /// A length, then so many bytes: a slice of the frame if there is one.
    pub fn bytes(&mut self, what: &'static str, bytes_max: usize) -> Result<Bytes, DecodeError> {
        let slice = self.slice(what, bytes_max)?;
        Ok(self.own(slice))
    }

    /// A length, then a string.
    pub fn str(&mut self, what: &'static str, bytes_max: usize) -> Result<String, DecodeError> {
        self.text(what, bytes_max).map(ToString::to_string)
    }

    /// A length, then a string, borrowed.
    pub fn text(&mut self, what: &'static str, bytes_max: usize) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.slice(what, bytes_max)?).map_err(|_| DecodeError::BadUtf8)
    }

    /// A slice of this input as bytes that live on.
    fn own(&self, slice: &'a [u8]) -> Bytes {
        // `slice_ref` keeps the frame alive, which for an empty slice would be for nothing.
        match self.frame {
            Some(frame) if !slice.is_empty() => frame.slice_ref(slice),
            _ => Bytes::copy_from_slice(slice),
        }
    }
}
