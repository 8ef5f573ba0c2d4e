//! Buckets: create, head, delete, list, location.

use holdfast_core::bucket::Conflict;
use s3s::dto::{
    Bucket, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput,
    GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::{Front, errors, principal, refused, timestamp};
use crate::objects::NewBucket;

/// The region whose buckets have no location constraint, and where creating one's own bucket again succeeds.
const CLASSIC_REGION: &str = "us-east-1";

/// Most buckets in one page.
const BUCKETS_MAX: usize = 10_000;

pub(super) async fn create_bucket(
    front: &Front,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    refused::always(&request.headers)?;
    refused::acl(&request.headers)?;
    if request.input.object_lock_enabled_for_bucket == Some(true) {
        return Err(errors::not_implemented("Object lock"));
    }
    if let Some(ownership) = &request.input.object_ownership
        && ownership.as_str() != "BucketOwnerEnforced"
    {
        return Err(errors::not_implemented(
            "Object ownership other than BucketOwnerEnforced",
        ));
    }
    let configuration = request.input.create_bucket_configuration.as_ref();
    if configuration.is_some_and(|configuration| configuration.bucket.is_some() || configuration.location.is_some()) {
        return Err(errors::not_implemented("A directory bucket"));
    }
    let constraint = configuration.and_then(|configuration| configuration.location_constraint.as_ref());
    check_location(constraint, &front.settings.region)?;
    let name = request.input.bucket.as_str();
    let new = NewBucket {
        owner: principal(request.credentials.as_ref()).to_owned(),
        conflict: Conflict::Newest,
        ..NewBucket::default()
    };
    let created = front
        .objects
        .create_bucket(name, new)
        .await
        .map_err(|error| errors::write_error(&error))?;
    if !created.created && front.settings.region != CLASSIC_REGION {
        return Err(s3_error!(
            BucketAlreadyOwnedByYou,
            "Your previous request to create the named bucket succeeded and you already own it."
        ));
    }
    Ok(S3Response::new(CreateBucketOutput {
        location: Some(format!("/{name}")),
    }))
}

/// A bucket is made where this cluster is, or not at all.
fn check_location(constraint: Option<&BucketLocationConstraint>, region: &str) -> S3Result<()> {
    match constraint.map(BucketLocationConstraint::as_str) {
        None | Some("") => Ok(()),
        Some(asked) if asked == region => Ok(()),
        Some(asked) => Err(s3_error!(
            IllegalLocationConstraintException,
            "The {asked} location constraint is incompatible for the region specific endpoint this request was sent to: \
             this cluster is in {region}."
        )),
    }
}

pub(super) async fn head_bucket(
    front: &Front,
    request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    refused::always(&request.headers)?;
    front.bucket(&request.input.bucket).await?;
    Ok(S3Response::new(HeadBucketOutput {
        bucket_region: Some(front.settings.region.clone()),
        ..HeadBucketOutput::default()
    }))
}

pub(super) async fn delete_bucket(
    front: &Front,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    refused::always(&request.headers)?;
    let bucket = front.bucket(&request.input.bucket).await?;
    let deleted = front.objects.delete_bucket(&bucket).await;
    deleted.map_err(|error| errors::delete_bucket_error(&error))?;
    Ok(S3Response::new(DeleteBucketOutput::default()))
}

pub(super) async fn list_buckets(
    front: &Front,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let input = request.input;
    let count_max = match input.max_buckets {
        None => BUCKETS_MAX,
        Some(asked) => match usize::try_from(asked) {
            Ok(count) if (1..=BUCKETS_MAX).contains(&count) => count,
            _ => return Err(s3_error!(InvalidArgument, "max-buckets must be between 1 and 10000.")),
        },
    };
    if input
        .bucket_region
        .as_ref()
        .is_some_and(|region| *region != front.settings.region)
    {
        return Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(Vec::new()),
            owner: Some(front.owner()),
            prefix: input.prefix,
            ..ListBucketsOutput::default()
        }));
    }
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let after = input.continuation_token.as_deref().unwrap_or_default();
    let all = front
        .objects
        .buckets()
        .await
        .map_err(|fault| errors::read_fault(&fault))?;
    let mut wanted = all
        .iter()
        .filter(|bucket| bucket.name.starts_with(prefix) && bucket.name.as_str() > after);
    let page: Vec<Bucket> = wanted
        .by_ref()
        .take(count_max)
        .map(|bucket| Bucket {
            name: Some(bucket.name.clone()),
            creation_date: Some(timestamp(bucket.created_ms)),
            bucket_region: input.max_buckets.is_some().then(|| front.settings.region.clone()),
        })
        .collect();
    let more = wanted.next().is_some();
    let next = page.last().and_then(|bucket| bucket.name.clone());
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(page),
        continuation_token: next.filter(|_| more),
        owner: Some(front.owner()),
        prefix: input.prefix,
    }))
}

pub(super) async fn get_bucket_location(
    front: &Front,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    refused::always(&request.headers)?;
    front.bucket(&request.input.bucket).await?;
    let region = &front.settings.region;
    let constraint = (region != CLASSIC_REGION).then(|| BucketLocationConstraint::from(region.clone()));
    Ok(S3Response::new(GetBucketLocationOutput {
        location_constraint: constraint,
    }))
}
