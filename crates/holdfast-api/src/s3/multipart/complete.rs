//! CompleteMultipartUpload: checks the parts chosen, makes ETag and checksum of the whole, and puts the object.

use std::collections::BTreeMap;

use holdfast_core::content::{Manifest, ManifestPart};
use holdfast_core::request::{UploadInfo, UploadPart, UploadState, WantedBodies};
use md5_many::{Digest, Md5};
use s3s::dto::{CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, ETag};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::super::checksums::{given_checksum, set_checksum};
use super::super::list::checksum_type;
use super::super::{Front, errors, get_object, principal, refused, write_id};
use super::{ALGORITHM_HEADER, Chosen, TYPE_HEADER, UploadName, Whole, part_number};
use crate::checksum::{ALGORITHMS, Algorithm, combine, composite};
use crate::intake::hex;
use crate::limits::{OBJECT_BYTES_MAX, PART_BYTES_MIN};
use crate::object_headers;
use crate::objects::{BucketRef, CompleteUpload};

pub(in crate::s3) async fn complete(
    front: &Front,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    refused::always(&request.headers)?;
    refused::conditional(&request.headers)?;
    let input = &request.input;
    let asked = input
        .multipart_upload
        .as_ref()
        .and_then(|upload| upload.parts.as_deref());
    let asked = asked.unwrap_or_default();
    if asked.is_empty() {
        return Err(malformed());
    }
    let name = UploadName::parse(&input.upload_id)?;
    let bucket = front.bucket(&input.bucket).await?;
    let (info, parts) = front
        .objects
        .upload(&bucket, &input.key, name.id)
        .await
        .map_err(|fault| errors::read_fault(&fault))?;
    let done = match info.state {
        UploadState::Open => {
            let whole = Assembled::new(&info, &parts, asked)?;
            whole.check_claims(input)?;
            put(front, &request, &bucket, name, info, whole).await?
        }
        UploadState::Completed => completed_before(front, &bucket, &input.key, asked).await?,
        UploadState::Aborted => return Err(errors::no_such_upload()),
    };
    let mut output = CompleteMultipartUploadOutput {
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        location: Some(location(&request)),
        e_tag: Some(ETag::Strong(done.etag)),
        ..CompleteMultipartUploadOutput::default()
    };
    if let Some((algorithm, value)) = done.checksum {
        output.checksum_type = Some(checksum_type(&value));
        set_checksum!(output, algorithm, value);
    }
    Ok(S3Response::new(output))
}

/// What the answer tells of the object made.
struct Done {
    etag: String,
    checksum: Option<(Algorithm, String)>,
}

async fn put(
    front: &Front,
    request: &S3Request<CompleteMultipartUploadInput>,
    bucket: &BucketRef,
    name: UploadName,
    info: UploadInfo,
    whole: Assembled,
) -> S3Result<Done> {
    let mut headers = info.headers;
    headers.retain(|(name, _)| name != ALGORITHM_HEADER && name != TYPE_HEADER);
    if let Some((algorithm, value)) = &whole.checksum {
        object_headers::set(&mut headers, algorithm.header(), value.clone());
    }
    let key = &request.input.key;
    let who = principal(request.credentials.as_ref());
    let complete = CompleteUpload {
        request: write_id(&request.headers, who, "CompleteMultipartUpload", bucket, key),
        etag: whole.etag,
        headers,
        manifest: whole.manifest,
    };
    let outcome = front.objects.complete_upload(bucket, key, name.id, complete).await;
    let outcome = outcome.map_err(|error| errors::write_error(&error))?;
    Ok(Done {
        etag: outcome.etag,
        checksum: whole.checksum,
    })
}

/// A completion repeated, for instance because its answer was lost: it succeeds again while its object is still there.
async fn completed_before(front: &Front, bucket: &BucketRef, key: &str, asked: &[CompletedPart]) -> S3Result<Done> {
    let tags: Option<Vec<&str>> = asked.iter().map(|part| part.e_tag.as_ref().map(ETag::value)).collect();
    let etag = etag_of(&tags.ok_or_else(malformed)?).ok_or_else(invalid_part)?;
    let found = get_object::read(front, bucket, key, WantedBodies::None).await;
    match found {
        Ok((version, ..)) if version.content.etag == etag => {
            let checksum = object_headers::checksums(&version.content).next();
            Ok(Done {
                etag,
                checksum: checksum.map(|(algorithm, value)| (algorithm, value.to_owned())),
            })
        }
        _ => Err(errors::no_such_upload()),
    }
}

/// The whole, as its parts make it.
struct Assembled {
    etag: String,
    checksum: Option<(Algorithm, String)>,
    manifest: Manifest,
    size: u64,
}

impl Assembled {
    fn new(info: &UploadInfo, parts: &[UploadPart], asked: &[CompletedPart]) -> S3Result<Self> {
        let chosen = Chosen::stored(&info.headers);
        let chosen_parts = choose(parts, asked)?;
        let size = chosen_parts.iter().map(|part| part.size).sum();
        if size > OBJECT_BYTES_MAX {
            return Err(errors::too_large());
        }
        let tags: Vec<&str> = chosen_parts.iter().map(|part| part.etag.as_str()).collect();
        let parts = chosen_parts.iter().map(|part| ManifestPart {
            id: part.part,
            number: part.number,
            size: part.size,
            chunk_bytes: part.chunk_bytes,
            checksums: part.checksums.clone(),
        });
        Ok(Self {
            etag: etag_of(&tags).ok_or_else(invalid_part)?,
            checksum: chosen.map(|chosen| checksum_of(chosen, &chosen_parts)).transpose()?,
            manifest: Manifest { parts: parts.collect() },
            size,
        })
    }

    /// Compares the whole with what the client says it is.
    fn check_claims(&self, input: &CompleteMultipartUploadInput) -> S3Result<()> {
        if let Some(size) = input.mpu_object_size
            && u64::try_from(size).ok() != Some(self.size)
        {
            return Err(s3_error!(
                InvalidRequest,
                "The provided 'x-amz-mp-object-size' header does not match what was computed."
            ));
        }
        for algorithm in ALGORITHMS {
            let Some(given) = given_checksum!(input, algorithm) else {
                continue;
            };
            match &self.checksum {
                Some((ours, value)) if *ours == algorithm && value == given => {}
                // A full-object value may be given where a composite one was asked for, and the number of parts left out.
                Some((ours, value)) if *ours == algorithm && value.split('-').next() == Some(given) => {}
                Some((ours, _)) if *ours == algorithm => {
                    return Err(s3_error!(
                        BadDigest,
                        "The {} you specified did not match the calculated checksum.",
                        algorithm.name()
                    ));
                }
                _ => {
                    return Err(s3_error!(
                        InvalidRequest,
                        "The upload was not created with the {} checksum algorithm.",
                        algorithm.name()
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The parts asked for, in order, each as it was uploaded.
fn choose<'a>(parts: &'a [UploadPart], asked: &[CompletedPart]) -> S3Result<Vec<&'a UploadPart>> {
    let by_number: BTreeMap<u16, &UploadPart> = parts.iter().map(|part| (part.number, part)).collect();
    let mut chosen = Vec::with_capacity(asked.len());
    let mut before = 0;
    for wanted in asked {
        let (Some(number), Some(etag)) = (wanted.part_number, wanted.e_tag.as_ref()) else {
            return Err(malformed());
        };
        let number = part_number(number)?;
        if number <= before {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order. Parts must be ordered by part number."
            ));
        }
        before = number;
        let part = by_number.get(&number).filter(|part| part.etag == etag.value());
        let part = *part.ok_or_else(invalid_part)?;
        for algorithm in ALGORITHMS {
            let given = given_checksum!(wanted, algorithm);
            let ours = part.checksums.iter().find(|(name, _)| name == algorithm.header());
            if let (Some(given), Some((_, ours))) = (given, ours)
                && given != ours
            {
                return Err(invalid_part());
            }
        }
        chosen.push(part);
    }
    let all_but_last = chosen.len().saturating_sub(1);
    if chosen.iter().take(all_but_last).any(|part| part.size < PART_BYTES_MIN) {
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size."
        ));
    }
    Ok(chosen)
}

fn checksum_of(chosen: Chosen, parts: &[&UploadPart]) -> S3Result<(Algorithm, String)> {
    let Chosen { algorithm, whole } = chosen;
    let mut values = Vec::with_capacity(parts.len());
    for part in parts {
        let value = part.checksums.iter().find(|(name, _)| name == algorithm.header());
        let Some((_, value)) = value else {
            return Err(s3_error!(
                InvalidRequest,
                "The upload was created using a {} checksum, but part {} was uploaded without one.",
                algorithm.name().to_lowercase(),
                part.number
            ));
        };
        values.push((value.as_str(), part.size));
    }
    let value = match whole {
        Whole::Composite => composite(algorithm, values.iter().map(|(value, _)| *value)),
        Whole::FullObject => combine(algorithm, values.into_iter()),
    };
    match value {
        Ok(value) => Ok((algorithm, value)),
        Err(_) => Err(s3_error!(InternalError, "The checksums of the parts are damaged.")),
    }
}

/// The ETag of a whole: the MD5 of its parts' MD5s, and their number.
pub(crate) fn etag_of(parts: &[&str]) -> Option<String> {
    let mut md5 = Md5::new();
    for part in parts {
        let bytes = hex_simd::decode_to_vec(part).ok().filter(|bytes| bytes.len() == 16)?;
        md5.update(&bytes);
    }
    Some(format!("{}-{}", hex(md5.finalize().as_slice()), parts.len()))
}

fn malformed() -> S3Error {
    s3_error!(
        MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema."
    )
}

fn invalid_part() -> S3Error {
    s3_error!(
        InvalidPart,
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified \
         entity tag may not match the part's entity tag."
    )
}

fn location<T>(request: &S3Request<T>) -> String {
    let host = request
        .headers
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok());
    format!("http://{}{}", host.unwrap_or_default(), request.uri.path())
}

#[cfg(test)]
mod tests {
    use holdfast_core::ids::PartId;
    use holdfast_core::request::UploadPart;
    use s3s::dto::{CompletedPart, ETag};

    use super::{choose, etag_of};

    fn part(number: u16, size: u64) -> UploadPart {
        UploadPart {
            number,
            part: PartId(u128::from(number)),
            size,
            chunk_bytes: 4 << 20,
            etag: format!("{number:032x}"),
            checksums: Vec::new(),
            modified_ms: 0,
        }
    }

    fn asked(number: i32) -> CompletedPart {
        CompletedPart {
            part_number: Some(number),
            e_tag: Some(ETag::Strong(format!("{number:032x}"))),
            ..CompletedPart::default()
        }
    }

    #[test]
    fn parts_must_exist_be_ordered_and_large_enough() {
        let parts = [part(1, 5 << 20), part(2, 5 << 20), part(7, 10)];
        let code = |numbers: &[i32]| {
            let asked: Vec<CompletedPart> = numbers.iter().map(|number| asked(*number)).collect();
            match choose(&parts, &asked) {
                Ok(chosen) => format!("{} parts", chosen.len()),
                Err(error) => error.code().as_str().to_owned(),
            }
        };
        assert_eq!(code(&[1, 2, 7]), "3 parts");
        assert_eq!(code(&[2, 7]), "2 parts");
        assert_eq!(code(&[7]), "1 parts");
        assert_eq!(code(&[2, 1]), "InvalidPartOrder");
        assert_eq!(code(&[1, 1]), "InvalidPartOrder");
        assert_eq!(code(&[1, 3]), "InvalidPart");
        assert_eq!(code(&[0]), "InvalidArgument");
        let mut wrong = asked(1);
        wrong.e_tag = Some(ETag::Strong("f".repeat(32)));
        assert_eq!(choose(&parts, &[wrong]).unwrap_err().code().as_str(), "InvalidPart");
        let small_first = [part(1, 5), part(2, 5)];
        let small = choose(&small_first, &[asked(1), asked(2)]).unwrap_err();
        assert_eq!(small.code().as_str(), "EntityTooSmall");
    }

    #[test]
    fn etag_is_the_hash_of_hashes() {
        // md5(md5("a") || md5("b")) computed with another implementation.
        let tags = ["0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f"];
        assert_eq!(etag_of(&tags).as_deref(), Some("96e024ba2074fe77e8e965ba43a704be-2"));
        assert_eq!(etag_of(&["not hex"]), None);
    }
}
