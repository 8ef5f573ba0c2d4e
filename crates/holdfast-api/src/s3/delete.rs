//! DeleteObject and DeleteObjects.
//!
//! A plain delete is a blind write of a deletion (rule D4): it succeeds whether or not there was an object.

use futures_util::{StreamExt, stream};
use holdfast_core::ids::RequestId;
use holdfast_core::request::PutValue;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error,
    ObjectIdentifier,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::{Front, errors, principal, refused, write_id};
use crate::limits::PAGE_ENTRIES_MAX;
use crate::objects::{BucketRef, PutObject};

/// Deletes of one request that are under way at once: enough to share syncs, few enough to leave room for others.
const AT_ONCE: usize = 64;

pub(super) async fn delete_object(
    front: &Front,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    refused::always(&request.headers)?;
    refused::conditional(&request.headers)?;
    refuse_version(request.input.version_id.as_deref())?;
    let bucket = front.bucket(&request.input.bucket).await?;
    let key = &request.input.key;
    let who = principal(request.credentials.as_ref());
    let id = write_id(&request.headers, who, "DeleteObject", &bucket, key);
    delete(front, &bucket, key, id).await?;
    Ok(S3Response::new(DeleteObjectOutput::default()))
}

pub(super) async fn delete_objects(
    front: &Front,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    refused::always(&request.headers)?;
    let delete = &request.input.delete;
    if delete.objects.is_empty() || delete.objects.len() > PAGE_ENTRIES_MAX as usize {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema."
        ));
    }
    let bucket = front.bucket(&request.input.bucket).await?;
    let quiet = delete.quiet.unwrap_or(false);
    let who = principal(request.credentials.as_ref());
    let id_of = |key: &str| write_id(&request.headers, who, "DeleteObject", &bucket, key);
    let objects: Vec<(ObjectIdentifier, RequestId)> = delete
        .objects
        .iter()
        .map(|object| (object.clone(), id_of(&object.key)))
        .collect();
    let results: Vec<(ObjectIdentifier, S3Result<()>)> = stream::iter(objects)
        .map(|(object, id)| {
            let bucket = &bucket;
            async move {
                let result = delete_one(front, bucket, &object, id).await;
                (object, result)
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut output = DeleteObjectsOutput::default();
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for (object, result) in results {
        match result {
            Ok(()) if quiet => {}
            Ok(()) => deleted.push(DeletedObject {
                key: Some(object.key.clone()),
                version_id: object.version_id.clone(),
                ..DeletedObject::default()
            }),
            Err(error) => failed.push(failure(&object, &error)),
        }
    }
    output.deleted = Some(deleted);
    output.errors = Some(failed);
    Ok(S3Response::new(output))
}

async fn delete_one(front: &Front, bucket: &BucketRef, object: &ObjectIdentifier, id: RequestId) -> S3Result<()> {
    refuse_version(object.version_id.as_deref())?;
    if object.e_tag.is_some() || object.last_modified_time.is_some() || object.size.is_some() {
        return Err(errors::not_implemented("A conditional delete"));
    }
    if object.key.is_empty() || object.key.len() > holdfast_core::ids::KEY_BYTES_MAX {
        return Err(s3_error!(KeyTooLongError, "A key has between 1 and 1024 bytes."));
    }
    delete(front, bucket, &object.key, id).await
}

fn failure(object: &ObjectIdentifier, error: &S3Error) -> Error {
    Error {
        code: Some(error.code().as_str().to_owned()),
        key: Some(object.key.clone()),
        message: error.message().map(str::to_owned),
        version_id: object.version_id.clone(),
    }
}

async fn delete(front: &Front, bucket: &BucketRef, key: &str, request: RequestId) -> S3Result<()> {
    let put = PutObject {
        request,
        context: None,
        value: PutValue::Deletion,
        w: None,
        wait_all: false,
    };
    match front.objects.put(bucket, key, put).await {
        Ok(_) => Ok(()),
        Err(error) => Err(errors::write_error(&error)),
    }
}

/// In a bucket without versioning the only version is `null`.
fn refuse_version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("null") => Ok(()),
        Some(_) => Err(errors::not_implemented("Deleting a version by its id")),
    }
}
