//! AbortMultipartUpload.

use s3s::dto::{AbortMultipartUploadInput, AbortMultipartUploadOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::super::{Front, errors, refused};
use super::UploadName;

pub(in crate::s3) async fn abort(
    front: &Front,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    refused::always(&request.headers)?;
    if request.input.if_match_initiated_time.is_some() {
        return Err(errors::not_implemented("A conditional abort"));
    }
    let upload = UploadName::parse(&request.input.upload_id)?;
    let bucket = front.bucket(&request.input.bucket).await?;
    let aborted = front.objects.abort_upload(&bucket, &request.input.key, upload.id).await;
    aborted.map_err(|error| errors::write_error(&error))?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}
