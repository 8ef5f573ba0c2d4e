//! Multipart uploads: create, upload part (from a body or from an object), complete, abort, list.
//!
//! What a client sees as upload id is the cluster's id and, behind it, the checksum chosen at creation. So uploading a
//! part needs not read the upload with all its parts, which would make an upload of n parts cost n² (Garage #662). The
//! suffix is a hint: completion goes by what the upload itself says.

pub(super) mod abort;
pub(super) mod complete;
pub(super) mod create;
pub(super) mod list_parts;
pub(super) mod list_uploads;
pub(super) mod part;

use holdfast_core::ids::UploadId;
use s3s::{S3Result, s3_error};

use super::errors;
use crate::checksum::Algorithm;
use crate::limits::PART_NUMBER_MAX;

/// Header under which an upload keeps its checksum algorithm.
const ALGORITHM_HEADER: &str = "x-amz-checksum-algorithm";

/// Header under which an upload keeps how the checksum of the whole is made.
const TYPE_HEADER: &str = "x-amz-checksum-type";

/// How the checksum of the whole is made of those of the parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whole {
    /// A hash of the parts' hashes.
    Composite,
    /// As if the object had been put in one piece.
    FullObject,
}

impl Whole {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Composite => "COMPOSITE",
            Self::FullObject => "FULL_OBJECT",
        }
    }
}

/// The checksum chosen when an upload was created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Chosen {
    pub(super) algorithm: Algorithm,
    pub(super) whole: Whole,
}

impl Chosen {
    /// From the names that a client, or a stored upload, gives.
    pub(super) fn new(algorithm: Option<&str>, whole: Option<&str>) -> S3Result<Option<Self>> {
        let Some(algorithm) = algorithm else {
            return match whole {
                None => Ok(None),
                Some(_) => Err(s3_error!(
                    InvalidRequest,
                    "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
                )),
            };
        };
        let algorithm = super::checksums::algorithm_named(algorithm)?;
        let whole = match whole {
            None if algorithm == Algorithm::Crc64Nvme => Whole::FullObject,
            None | Some("COMPOSITE") => Whole::Composite,
            Some("FULL_OBJECT") => Whole::FullObject,
            Some(_) => {
                return Err(s3_error!(
                    InvalidRequest,
                    "Value for x-amz-checksum-type header is invalid."
                ));
            }
        };
        let possible = match whole {
            Whole::Composite => algorithm != Algorithm::Crc64Nvme,
            Whole::FullObject => algorithm.combines(),
        };
        if !possible {
            return Err(s3_error!(
                InvalidRequest,
                "The {} checksum type cannot be used with the {} checksum algorithm.",
                whole.name(),
                algorithm.name()
            ));
        }
        Ok(Some(Self { algorithm, whole }))
    }

    /// From the headers of a stored upload.
    pub(super) fn stored(headers: &[(String, String)]) -> Option<Self> {
        let find = |name: &str| {
            let found = headers.iter().find(|(header, _)| header == name);
            found.map(|(_, value)| value.as_str())
        };
        Self::new(find(ALGORITHM_HEADER), find(TYPE_HEADER)).ok().flatten()
    }
}

/// An upload id as clients see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct UploadName {
    pub(super) id: UploadId,
    pub(super) chosen: Option<Chosen>,
}

impl UploadName {
    pub(super) fn to_text(self) -> String {
        match self.chosen {
            None => self.id.to_string(),
            Some(Chosen { algorithm, whole }) => {
                format!(
                    "{}-{}-{}",
                    self.id,
                    algorithm.name().to_lowercase(),
                    whole.name().to_lowercase()
                )
            }
        }
    }

    pub(super) fn parse(text: &str) -> S3Result<Self> {
        let mut fields = text.split('-');
        let id = fields.next().filter(|hex| hex.len() == 32);
        let id = id.and_then(|hex| u128::from_str_radix(hex, 16).ok());
        let Some(id) = id else {
            return Err(errors::no_such_upload());
        };
        let chosen = match (fields.next(), fields.next().map(str::to_ascii_uppercase)) {
            (Some(algorithm), Some(whole)) => {
                Chosen::new(Some(algorithm), Some(&whole)).map_err(|_| errors::no_such_upload())?
            }
            _ => None,
        };
        Ok(Self {
            id: UploadId(id),
            chosen,
        })
    }
}

/// A part number between 1 and 10,000.
pub(super) fn part_number(number: i32) -> S3Result<u16> {
    match u16::try_from(number) {
        Ok(number) if (1..=PART_NUMBER_MAX).contains(&number) => Ok(number),
        _ => Err(s3_error!(
            InvalidArgument,
            "Part number must be an integer between 1 and 10000, inclusive."
        )),
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::ids::UploadId;

    use super::{Chosen, UploadName, Whole, part_number};
    use crate::checksum::{ALGORITHMS, Algorithm};

    #[test]
    fn names_lead_back_to_what_was_chosen() {
        let id = UploadId(0xABCD);
        let mut names = vec![UploadName { id, chosen: None }];
        for algorithm in ALGORITHMS {
            let chosen = Chosen::new(Some(algorithm.name()), None).unwrap();
            names.push(UploadName { id, chosen });
        }
        for name in names {
            assert_eq!(UploadName::parse(&name.to_text()).unwrap(), name);
        }
        for text in [
            "",
            "xyz",
            "0123456789abcdef0123456789abcdeg",
            "00000000000000000000000000abcd-md4-full",
        ] {
            assert!(UploadName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn types_that_cannot_be_are_refused() {
        let new = |algorithm, whole| Chosen::new(algorithm, whole);
        assert_eq!(new(None, None).unwrap(), None);
        assert_eq!(
            new(Some("crc64nvme"), None).unwrap(),
            Some(Chosen {
                algorithm: Algorithm::Crc64Nvme,
                whole: Whole::FullObject
            })
        );
        assert_eq!(
            new(Some("CRC32"), Some("FULL_OBJECT")).unwrap(),
            Some(Chosen {
                algorithm: Algorithm::Crc32,
                whole: Whole::FullObject
            })
        );
        assert!(new(None, Some("COMPOSITE")).is_err());
        assert!(new(Some("SHA256"), Some("FULL_OBJECT")).is_err());
        assert!(new(Some("CRC64NVME"), Some("COMPOSITE")).is_err());
        assert!(new(Some("CRC32"), Some("HALF")).is_err());
        assert!(new(Some("MD4"), None).is_err());
    }

    #[test]
    fn part_numbers_have_bounds() {
        assert_eq!(part_number(1).unwrap(), 1);
        assert_eq!(part_number(10_000).unwrap(), 10_000);
        for number in [0, -1, 10_001, i32::MAX] {
            assert!(part_number(number).is_err(), "{number}");
        }
    }
}
