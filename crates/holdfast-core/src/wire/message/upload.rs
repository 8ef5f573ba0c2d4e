//! Steps of multipart uploads as bytes, for nodes that hand them on.

use crate::bucket::Settings;
use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::ObjectKey;
use crate::request::{Upload, UploadStep};
use crate::wire::content::{read_headers, write_headers};
use crate::wire::field::Field;
use crate::wire::limit::{ETAG_BYTES_MAX, NAME_BYTES_MAX, SEARCH_BYTES_MAX};

impl Field for Upload {
    const BYTES_MIN: usize = Settings::BYTES_MIN + ObjectKey::BYTES_MIN + UploadStep::BYTES_MIN;

    fn write(&self, to: &mut Writer) {
        self.settings.write(to);
        self.key.write(to);
        self.step.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            settings: Field::read(from)?,
            key: Field::read(from)?,
            step: Field::read(from)?,
        })
    }
}

impl Field for UploadStep {
    const BYTES_MIN: usize = 1 + 1 + 1 + 1 + 4;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Create { id, headers, initiator } => {
                to.u8(0);
                id.write(to);
                write_headers(to, headers);
                to.str(initiator);
            }
            Self::PutPart { id, part } => {
                to.u8(1);
                id.write(to);
                part.write(to);
            }
            Self::Read { id } => {
                to.u8(2);
                id.write(to);
            }
            Self::Complete {
                id,
                etag,
                headers,
                manifest,
            } => {
                to.u8(3);
                id.write(to);
                to.str(etag);
                write_headers(to, headers);
                manifest.write(to);
            }
            Self::Abort { id } => {
                to.u8(4);
                id.write(to);
            }
            Self::List {
                prefix,
                after,
                count_max,
            } => {
                to.u8(5);
                to.str(prefix);
                to.str(&after.0);
                after.1.write(to);
                to.u32(*count_max);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.u8()? {
            0 => Self::Create {
                id: Field::read(from)?,
                headers: read_headers(from)?,
                initiator: from.str("initiator", NAME_BYTES_MAX)?,
            },
            1 => Self::PutPart {
                id: Field::read(from)?,
                part: Field::read(from)?,
            },
            2 => Self::Read { id: Field::read(from)? },
            3 => Self::Complete {
                id: Field::read(from)?,
                etag: from.str("etag", ETAG_BYTES_MAX)?,
                headers: read_headers(from)?,
                manifest: Field::read(from)?,
            },
            4 => Self::Abort { id: Field::read(from)? },
            5 => Self::List {
                prefix: from.str("prefix", SEARCH_BYTES_MAX)?,
                after: (from.str("start of a page", SEARCH_BYTES_MAX)?, Field::read(from)?),
                count_max: from.u32()?,
            },
            tag => {
                return Err(DecodeError::BadTag {
                    what: "step of an upload",
                    tag,
                });
            }
        })
    }
}
