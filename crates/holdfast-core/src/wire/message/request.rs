//! Requests of clients as bytes, for nodes that hand them on (`Forward`).

use crate::bucket::Settings;
use crate::codec::{DecodeError, Reader, Writer};
use crate::content::StoredBody;
use crate::ids::{ChunkId, ObjectKey};
use crate::request::{ClientRequest, Get, List, Put, PutValue, ReadChunk, Request, WriteChunk};
use crate::wire::content::{read_headers, write_headers};
use crate::wire::field::Field;
use crate::wire::limit::{BODY_ROW_BYTES_MAX, ETAG_BYTES_MAX, SEARCH_BYTES_MAX};
use crate::wire::message::Payload;

/// A request; the body of a chunk is left to the payload.
pub fn write_client_request(to: &mut Writer, request: &ClientRequest) {
    request.request.write(to);
    to.u32(request.deadline_ms);
    match &request.what {
        Request::Put(put) => {
            to.u8(0);
            put.write(to);
        }
        Request::Get(get) => {
            to.u8(1);
            get.write(to);
        }
        Request::List(list) => {
            to.u8(2);
            list.write(to);
        }
        Request::WriteChunk(chunk) => {
            to.u8(3);
            write_chunk(to, chunk);
        }
        Request::ReadChunk(chunk) => {
            to.u8(4);
            chunk.write(to);
        }
        Request::Upload(upload) => {
            to.u8(5);
            upload.write(to);
        }
        Request::Count(settings) => {
            to.u8(6);
            settings.write(to);
        }
    }
}

/// Reads what [`write_client_request`] wrote.
pub fn read_client_request(from: &mut Reader<'_>, payload: &mut Payload) -> Result<ClientRequest, DecodeError> {
    Ok(ClientRequest {
        request: Field::read(from)?,
        deadline_ms: from.u32()?,
        what: match from.u8()? {
            0 => Request::Put(Field::read(from)?),
            1 => Request::Get(Field::read(from)?),
            2 => Request::List(Field::read(from)?),
            3 => Request::WriteChunk(read_chunk(from, payload)?),
            4 => Request::ReadChunk(Field::read(from)?),
            5 => Request::Upload(Field::read(from)?),
            6 => Request::Count(Field::read(from)?),
            tag => return Err(DecodeError::BadTag { what: "request", tag }),
        },
    })
}

/// About how long a request becomes.
pub fn capacity_of(request: &ClientRequest) -> usize {
    match &request.what {
        Request::Put(put) => match &put.value {
            PutValue::Object {
                body: StoredBody::Inline(body),
                ..
            } => 512 + put.key.key.len() + body.len(),
            _ => 512 + put.key.key.len(),
        },
        _ => 256,
    }
}

fn write_chunk(to: &mut Writer, chunk: &WriteChunk) {
    chunk.settings.write(to);
    chunk.owner.write(to);
    chunk.id.write(to);
    to.u64(chunk.commit_deadline_ms);
    Payload::write_length(to, &chunk.body);
}

fn read_chunk(from: &mut Reader<'_>, payload: &mut Payload) -> Result<WriteChunk, DecodeError> {
    Ok(WriteChunk {
        settings: Field::read(from)?,
        owner: Field::read(from)?,
        id: Field::read(from)?,
        commit_deadline_ms: from.u64()?,
        body: payload.take(from)?,
    })
}

impl Field for u8 {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        to.u8(*self);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        from.u8()
    }
}

impl Field for Put {
    const BYTES_MIN: usize = Settings::BYTES_MIN + ObjectKey::BYTES_MIN + 4;

    fn write(&self, to: &mut Writer) {
        self.settings.write(to);
        self.key.write(to);
        self.context.write(to);
        self.value.write(to);
        self.w.write(to);
        to.flag(self.wait_all);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            settings: Field::read(from)?,
            key: Field::read(from)?,
            context: Field::read(from)?,
            value: Field::read(from)?,
            w: Field::read(from)?,
            wait_all: from.flag("wait for all homes")?,
        })
    }
}

impl Field for PutValue {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Deletion => to.u8(0),
            Self::Object { etag, headers, body } => {
                to.u8(1);
                to.str(etag);
                write_headers(to, headers);
                body.write(to);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.u8()? {
            0 => Ok(Self::Deletion),
            1 => Ok(Self::Object {
                etag: from.str("etag", ETAG_BYTES_MAX)?,
                headers: read_headers(from)?,
                body: Field::read(from)?,
            }),
            tag => Err(DecodeError::BadTag { what: "value put", tag }),
        }
    }
}

impl Field for StoredBody {
    const BYTES_MIN: usize = 2;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Inline(body) => {
                to.u8(0);
                to.bytes(body);
            }
            Self::Chunked {
                manifest,
                commit_deadline_ms,
            } => {
                to.u8(1);
                manifest.write(to);
                to.u64(*commit_deadline_ms);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match from.u8()? {
            0 => from.bytes("inline body", BODY_ROW_BYTES_MAX).map(Self::Inline),
            1 => Ok(Self::Chunked {
                manifest: Field::read(from)?,
                commit_deadline_ms: from.u64()?,
            }),
            tag => Err(DecodeError::BadTag {
                what: "stored body",
                tag,
            }),
        }
    }
}

impl Field for Get {
    const BYTES_MIN: usize = Settings::BYTES_MIN + ObjectKey::BYTES_MIN + 2;

    fn write(&self, to: &mut Writer) {
        self.settings.write(to);
        self.key.write(to);
        self.r.write(to);
        self.bodies.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            settings: Field::read(from)?,
            key: Field::read(from)?,
            r: Field::read(from)?,
            bodies: Field::read(from)?,
        })
    }
}

impl Field for List {
    const BYTES_MIN: usize = Settings::BYTES_MIN + 3 + 4;

    fn write(&self, to: &mut Writer) {
        self.settings.write(to);
        to.str(&self.prefix);
        to.str(&self.delimiter);
        to.str(&self.after);
        to.u32(self.count_max);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            settings: Field::read(from)?,
            prefix: from.str("prefix", SEARCH_BYTES_MAX)?,
            delimiter: from.str("delimiter", SEARCH_BYTES_MAX)?,
            after: from.str("start of a page", SEARCH_BYTES_MAX)?,
            count_max: from.u32()?,
        })
    }
}

impl Field for ReadChunk {
    const BYTES_MIN: usize = Settings::BYTES_MIN + ChunkId::BYTES_MIN + 4 + 4;

    fn write(&self, to: &mut Writer) {
        self.settings.write(to);
        self.id.write(to);
        to.u32(self.from);
        to.u32(self.length);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            settings: Field::read(from)?,
            id: Field::read(from)?,
            from: from.u32()?,
            length: from.u32()?,
        })
    }
}
