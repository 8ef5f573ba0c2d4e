//! CreateMultipartUpload.

use s3s::dto::{ChecksumAlgorithm, ChecksumType, CreateMultipartUploadInput, CreateMultipartUploadOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::super::{Front, errors, principal, refused};
use super::{ALGORITHM_HEADER, Chosen, TYPE_HEADER, UploadName};
use crate::object_headers;
use crate::objects::NewUpload;

pub(in crate::s3) async fn create(
    front: &Front,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    refused::on_write(&request.headers)?;
    refused::conditional(&request.headers)?;
    let input = request.input;
    if input.key.is_empty() {
        return Err(s3_error!(InvalidArgument, "An object key must not be empty."));
    }
    let chosen = Chosen::new(
        input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str),
        input.checksum_type.as_ref().map(ChecksumType::as_str),
    )?;
    let kept = object_headers::kept(&request.headers);
    let mut headers = kept.map_err(|refusal| errors::headers_refused(&refusal))?;
    if let Some(chosen) = chosen {
        object_headers::set(&mut headers, ALGORITHM_HEADER, chosen.algorithm.name().to_owned());
        object_headers::set(&mut headers, TYPE_HEADER, chosen.whole.name().to_owned());
    }
    let bucket = front.bucket(&input.bucket).await?;
    let new = NewUpload {
        headers,
        initiator: principal(request.credentials.as_ref()).to_owned(),
    };
    let id = front
        .objects
        .create_upload(&bucket, &input.key, new)
        .await
        .map_err(|error| errors::write_error(&error))?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(UploadName { id, chosen }.to_text()),
        checksum_algorithm: chosen.map(|chosen| ChecksumAlgorithm::from_static(chosen.algorithm.name())),
        checksum_type: chosen.map(|chosen| ChecksumType::from_static(chosen.whole.name())),
        ..CreateMultipartUploadOutput::default()
    }))
}
