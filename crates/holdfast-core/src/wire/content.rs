//! What a version stores, as bytes: the part of a record that grows with what Holdfast can do, and so the part with
//! room in it: storage class, chunk code, stored length and encryption are written from the first version on, as the
//! only values there are today, and any other is refused rather than misread.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Writer};
use crate::content::{BodyForm, Content, Kind};
use crate::wire::field::{Field, read_all};
use crate::wire::limit::{ETAG_BYTES_MAX, HEADER_BYTES_MAX};

/// Storage class `replicate`, chunk code (k, m) = (0, 0), no encryption.
const ROOM: [u8; 4] = [0; 4];

/// What each byte of [`ROOM`] means.
const ROOM_NAMES: [&str; 4] = [
    "storage class",
    "data chunks of the chunk code",
    "parity chunks of the chunk code",
    "encryption",
];

impl Field for Content {
    const BYTES_MIN: usize = 1 + 4 + 1 + 1 + 1 + 1 + 1;

    fn write(&self, to: &mut Writer) {
        to.u8(match self.kind {
            Kind::Value => 0,
            Kind::Deleted => 1,
        });
        to.raw(&ROOM);
        to.varint(self.size);
        // Stored length: differs from the logical one once bodies can be compressed or coded.
        to.varint(self.size);
        to.str(&self.etag);
        write_headers(to, &self.headers);
        self.body.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let view = ContentView::read(from)?;
        Ok(Self {
            kind: view.kind,
            size: view.size,
            etag: view.etag.to_string(),
            headers: view
                .headers()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            body: view.body,
        })
    }
}

/// What a version stores, with its text where it was read.
#[derive(Clone, Debug)]
pub struct ContentView<'a> {
    /// Value or deletion.
    pub kind: Kind,
    /// Logical bytes.
    pub size: u64,
    /// ETag without quotes.
    pub etag: &'a str,
    /// Where the body is.
    pub body: BodyForm,
    headers: Reader<'a>,
    headers_count: usize,
}

impl<'a> ContentView<'a> {
    pub(super) fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let kind = match from.u8()? {
            0 => Kind::Value,
            1 => Kind::Deleted,
            tag => {
                return Err(DecodeError::BadTag {
                    what: "kind of version",
                    tag,
                });
            }
        };
        let room: [u8; 4] = from.array()?;
        for (value, what) in room.iter().zip(ROOM_NAMES) {
            if *value != 0 {
                return Err(DecodeError::Unsupported { what });
            }
        }
        let size = from.varint()?;
        if from.varint()? != size {
            return Err(DecodeError::Unsupported { what: "stored length" });
        }
        let etag = from.text("etag", ETAG_BYTES_MAX)?;
        let headers_count = from.count(HEADER_BYTES_MIN)?;
        let headers = from.clone();
        for _ in 0..headers_count {
            read_header(from)?;
        }
        Ok(Self {
            kind,
            size,
            etag,
            body: Field::read(from)?,
            headers,
            headers_count,
        })
    }

    /// Names and values of the headers, in the order in which they were written.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut reader = self.headers.clone();
        // All were read once, so none fails now.
        (0..self.headers_count).map_while(move |_| read_header(&mut reader).ok())
    }
}

/// Two empty strings.
const HEADER_BYTES_MIN: usize = 2;

fn read_header<'a>(from: &mut Reader<'a>) -> Result<(&'a str, &'a str), DecodeError> {
    let name = from.text("name of a header", HEADER_BYTES_MAX)?;
    let value = from.text("value of a header", HEADER_BYTES_MAX)?;
    Ok((name, value))
}

impl Field for BodyForm {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Empty => to.u8(0),
            Self::Inline { length, digest } => {
                to.u8(1);
                to.varint(u64::from(*length));
                to.raw(digest);
            }
            Self::Manifest {
                length,
                digest,
                parts,
                commit_deadline_ms,
            } => {
                to.u8(2);
                to.varint(u64::from(*length));
                to.raw(digest);
                to.varint(u64::from(*parts));
                to.varint(*commit_deadline_ms);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.u8()? {
            0 => Ok(Self::Empty),
            1 => Ok(Self::Inline {
                length: from.varint_u32("length of a body")?,
                digest: from.array()?,
            }),
            2 => Ok(Self::Manifest {
                length: from.varint_u32("length of a manifest")?,
                digest: from.array()?,
                parts: from.varint_u32("number of parts")?,
                commit_deadline_ms: from.varint()?,
            }),
            tag => Err(DecodeError::BadTag {
                what: "form of body",
                tag,
            }),
        }
    }
}

/// A list of names and values, in the order given.
pub fn write_headers(to: &mut Writer, headers: &[(String, String)]) {
    to.count(headers.len());
    for (name, value) in headers {
        to.str(name);
        to.str(value);
    }
}

/// Reads what [`write_headers`] wrote.
pub fn read_headers(from: &mut Reader<'_>) -> Result<Vec<(String, String)>, DecodeError> {
    read_all(from, HEADER_BYTES_MIN, |from| {
        let (name, value) = read_header(from)?;
        Ok((name.to_string(), value.to_string()))
    })
}
