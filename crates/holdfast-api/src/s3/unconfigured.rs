//! Features that are not there yet, read: answered as AWS answers for a bucket that never configured them, so that
//! clients which look before they act go on. Removing what was never set succeeds, as it does there; setting it is
//! `NotImplemented`, which is how the trait of `s3s` begins.
//!
//! Two answers are truer than AWS's present defaults: no encryption is told, because there is none, and ownership is
//! `BucketOwnerEnforced`, because ACLs decide nothing here.

use http::StatusCode;
use s3s::dto::{
    DeleteBucketCorsInput, DeleteBucketCorsOutput, DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput,
    DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, DeleteBucketPolicyInput, DeleteBucketPolicyOutput,
    DeleteBucketReplicationInput, DeleteBucketReplicationOutput, DeleteBucketTaggingInput, DeleteBucketTaggingOutput,
    DeleteBucketWebsiteInput, DeleteBucketWebsiteOutput, DeleteObjectTaggingInput, DeleteObjectTaggingOutput,
    DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput, GetBucketAccelerateConfigurationInput,
    GetBucketAccelerateConfigurationOutput, GetBucketAclInput, GetBucketAclOutput, GetBucketCorsInput,
    GetBucketCorsOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput, GetBucketLifecycleConfigurationInput,
    GetBucketLifecycleConfigurationOutput, GetBucketLoggingInput, GetBucketLoggingOutput,
    GetBucketNotificationConfigurationInput, GetBucketNotificationConfigurationOutput, GetBucketOwnershipControlsInput,
    GetBucketOwnershipControlsOutput, GetBucketPolicyInput, GetBucketPolicyOutput, GetBucketPolicyStatusInput,
    GetBucketPolicyStatusOutput, GetBucketReplicationInput, GetBucketReplicationOutput, GetBucketRequestPaymentInput,
    GetBucketRequestPaymentOutput, GetBucketTaggingInput, GetBucketTaggingOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, GetBucketWebsiteInput, GetBucketWebsiteOutput, GetObjectAclInput, GetObjectAclOutput,
    GetObjectLegalHoldInput, GetObjectLegalHoldOutput, GetObjectLockConfigurationInput,
    GetObjectLockConfigurationOutput, GetObjectRetentionInput, GetObjectRetentionOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, GetPublicAccessBlockInput, GetPublicAccessBlockOutput, Grant, Grantee,
    ListBucketAnalyticsConfigurationsInput, ListBucketAnalyticsConfigurationsOutput,
    ListBucketIntelligentTieringConfigurationsInput, ListBucketIntelligentTieringConfigurationsOutput,
    ListBucketInventoryConfigurationsInput, ListBucketInventoryConfigurationsOutput,
    ListBucketMetricsConfigurationsInput, ListBucketMetricsConfigurationsOutput, ObjectOwnership, OwnershipControls,
    OwnershipControlsRule, Payer, Permission, Type,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::errors::custom;
use super::get_object::read;
use super::{Front, refused};
use holdfast_core::request::WantedBodies;

/// Answers for a bucket that exists with `$answer`, whatever else was asked.
macro_rules! of_bucket {
    ($($name:ident($input:ty) -> $output:ty => $answer:expr;)*) => {
        $(pub(super) async fn $name(front: &Front, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
            refused::always(&request.headers)?;
            front.bucket(&request.input.bucket).await?;
            let answer: fn(&Front) -> S3Result<$output> = $answer;
            answer(front).map(S3Response::new)
        })*
    };
}

/// The same for an object that exists.
macro_rules! of_object {
    ($($name:ident($input:ty) -> $output:ty => $answer:expr;)*) => {
        $(pub(super) async fn $name(front: &Front, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
            refused::always(&request.headers)?;
            let bucket = front.bucket(&request.input.bucket).await?;
            read(front, &bucket, &request.input.key, WantedBodies::None).await?;
            let answer: fn(&Front) -> S3Result<$output> = $answer;
            answer(front).map(S3Response::new)
        })*
    };
}

of_bucket! {
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput => |_| Ok(Default::default());
    get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput => |_| Ok(Default::default());
    get_bucket_notification(GetBucketNotificationConfigurationInput) -> GetBucketNotificationConfigurationOutput =>
        |_| Ok(Default::default());
    get_bucket_accelerate(GetBucketAccelerateConfigurationInput) -> GetBucketAccelerateConfigurationOutput =>
        |_| Ok(Default::default());
    list_analytics(ListBucketAnalyticsConfigurationsInput) -> ListBucketAnalyticsConfigurationsOutput =>
        |_| Ok(ListBucketAnalyticsConfigurationsOutput { is_truncated: Some(false), ..Default::default() });
    list_intelligent_tiering(ListBucketIntelligentTieringConfigurationsInput)
        -> ListBucketIntelligentTieringConfigurationsOutput =>
        |_| Ok(ListBucketIntelligentTieringConfigurationsOutput { is_truncated: Some(false), ..Default::default() });
    list_inventory(ListBucketInventoryConfigurationsInput) -> ListBucketInventoryConfigurationsOutput =>
        |_| Ok(ListBucketInventoryConfigurationsOutput { is_truncated: Some(false), ..Default::default() });
    list_metrics(ListBucketMetricsConfigurationsInput) -> ListBucketMetricsConfigurationsOutput =>
        |_| Ok(ListBucketMetricsConfigurationsOutput { is_truncated: Some(false), ..Default::default() });
    get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput =>
        |_| Ok(GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(Payer::BUCKET_OWNER)) });
    get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput =>
        |front| Ok(GetBucketAclOutput { grants: Some(owner_only(front)), owner: Some(front.owner()) });
    get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput => |_| {
        let rule = OwnershipControlsRule {
            object_ownership: ObjectOwnership::from_static(ObjectOwnership::BUCKET_OWNER_ENFORCED),
        };
        Ok(GetBucketOwnershipControlsOutput { ownership_controls: Some(OwnershipControls { rules: vec![rule] }) })
    };
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput => |_| Err(no_policy());
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput => |_| Err(no_policy());
    get_bucket_lifecycle(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput =>
        |_| Err(s3_error!(NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist"));
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput =>
        |_| Err(s3_error!(NoSuchTagSet, "The TagSet does not exist"));
    get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput =>
        |_| Err(s3_error!(NoSuchCORSConfiguration, "The CORS configuration does not exist"));
    get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput => |_| Err(s3_error!(
        NoSuchWebsiteConfiguration,
        "The specified bucket does not have a website configuration"
    ));
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput => |_| Err(custom(
        "ServerSideEncryptionConfigurationNotFoundError",
        StatusCode::NOT_FOUND,
        "The server side encryption configuration was not found",
    ));
    get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput => |_| Err(s3_error!(
        ReplicationConfigurationNotFoundError,
        "The replication configuration was not found"
    ));
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput =>
        |_| Err(s3_error!(
            ObjectLockConfigurationNotFoundError,
            "Object Lock configuration does not exist for this bucket"
        ));
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput => |_| Err(custom(
        "NoSuchPublicAccessBlockConfiguration",
        StatusCode::NOT_FOUND,
        "The public access block configuration was not found",
    ));

    delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput => |_| Ok(Default::default());
    delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput => |_| Ok(Default::default());
    delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput => |_| Ok(Default::default());
    delete_bucket_cors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput => |_| Ok(Default::default());
    delete_bucket_website(DeleteBucketWebsiteInput) -> DeleteBucketWebsiteOutput => |_| Ok(Default::default());
    delete_bucket_encryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput => |_| Ok(Default::default());
    delete_bucket_replication(DeleteBucketReplicationInput) -> DeleteBucketReplicationOutput =>
        |_| Ok(Default::default());
    delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput =>
        |_| Ok(Default::default());
}

of_object! {
    get_object_acl(GetObjectAclInput) -> GetObjectAclOutput => |front| Ok(GetObjectAclOutput {
        grants: Some(owner_only(front)),
        owner: Some(front.owner()),
        ..Default::default()
    });
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput => |_| Ok(Default::default());
    delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput => |_| Ok(Default::default());
    get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput => |_| Err(no_lock());
    get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput => |_| Err(no_lock());
}

fn owner_only(front: &Front) -> Vec<Grant> {
    vec![Grant {
        grantee: Some(Grantee {
            display_name: Some("holdfast".to_owned()),
            email_address: None,
            id: Some(front.owner_id.clone()),
            type_: Type::from_static(Type::CANONICAL_USER),
            uri: None,
        }),
        permission: Some(Permission::from_static(Permission::FULL_CONTROL)),
    }]
}

fn no_policy() -> S3Error {
    s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist")
}

fn no_lock() -> S3Error {
    s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration")
}
