//! Sends each operation of S3 to the file that does it. What is not listed answers `NotImplemented`, which is how the
//! trait begins.

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CopyObjectInput, CopyObjectOutput, CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteBucketCorsInput, DeleteBucketCorsOutput, DeleteBucketEncryptionInput,
    DeleteBucketEncryptionOutput, DeleteBucketInput, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput,
    DeleteBucketOutput, DeleteBucketPolicyInput, DeleteBucketPolicyOutput, DeleteBucketReplicationInput,
    DeleteBucketReplicationOutput, DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteBucketWebsiteInput,
    DeleteBucketWebsiteOutput, DeleteObjectInput, DeleteObjectOutput, DeleteObjectTaggingInput,
    DeleteObjectTaggingOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletePublicAccessBlockInput,
    DeletePublicAccessBlockOutput, GetBucketAccelerateConfigurationInput, GetBucketAccelerateConfigurationOutput,
    GetBucketAclInput, GetBucketAclOutput, GetBucketCorsInput, GetBucketCorsOutput, GetBucketEncryptionInput,
    GetBucketEncryptionOutput, GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput,
    GetBucketLocationInput, GetBucketLocationOutput, GetBucketLoggingInput, GetBucketLoggingOutput,
    GetBucketNotificationConfigurationInput, GetBucketNotificationConfigurationOutput, GetBucketOwnershipControlsInput,
    GetBucketOwnershipControlsOutput, GetBucketPolicyInput, GetBucketPolicyOutput, GetBucketPolicyStatusInput,
    GetBucketPolicyStatusOutput, GetBucketReplicationInput, GetBucketReplicationOutput, GetBucketRequestPaymentInput,
    GetBucketRequestPaymentOutput, GetBucketTaggingInput, GetBucketTaggingOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, GetBucketWebsiteInput, GetBucketWebsiteOutput, GetObjectAclInput, GetObjectAclOutput,
    GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectInput, GetObjectLegalHoldInput,
    GetObjectLegalHoldOutput, GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, GetObjectOutput,
    GetObjectRetentionInput, GetObjectRetentionOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    GetPublicAccessBlockInput, GetPublicAccessBlockOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput,
    HeadObjectOutput, ListBucketAnalyticsConfigurationsInput, ListBucketAnalyticsConfigurationsOutput,
    ListBucketIntelligentTieringConfigurationsInput, ListBucketIntelligentTieringConfigurationsOutput,
    ListBucketInventoryConfigurationsInput, ListBucketInventoryConfigurationsOutput,
    ListBucketMetricsConfigurationsInput, ListBucketMetricsConfigurationsOutput, ListBucketsInput, ListBucketsOutput,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectVersionsInput, ListObjectVersionsOutput,
    ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput,
    PutObjectInput, PutObjectOutput, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result};

use super::{
    Front, attributes, buckets, copy, delete, get_object, list, list_versions, multipart, put_object, unconfigured,
};

macro_rules! operations {
    ($($name:ident($input:ty) -> $output:ty => $handler:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for Front {
            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                $handler(self, request).await
            })*
        }
    };
}

operations! {
    create_bucket(CreateBucketInput) -> CreateBucketOutput => buckets::create_bucket;
    head_bucket(HeadBucketInput) -> HeadBucketOutput => buckets::head_bucket;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput => buckets::delete_bucket;
    list_buckets(ListBucketsInput) -> ListBucketsOutput => buckets::list_buckets;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput => buckets::get_bucket_location;

    put_object(PutObjectInput) -> PutObjectOutput => put_object::put_object;
    get_object(GetObjectInput) -> GetObjectOutput => get_object::get_object;
    head_object(HeadObjectInput) -> HeadObjectOutput => get_object::head_object;
    get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput => attributes::get_object_attributes;
    copy_object(CopyObjectInput) -> CopyObjectOutput => copy::copy_object;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput => delete::delete_object;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput => delete::delete_objects;

    list_objects(ListObjectsInput) -> ListObjectsOutput => list::list_objects;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output => list::list_objects_v2;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput => list_versions::list_object_versions;

    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput => multipart::create::create;
    upload_part(UploadPartInput) -> UploadPartOutput => multipart::part::upload_part;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput => multipart::part::upload_part_copy;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput => multipart::complete::complete;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput => multipart::abort::abort;
    list_parts(ListPartsInput) -> ListPartsOutput => multipart::list_parts::list_parts;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput => multipart::list_uploads::list_uploads;

    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput => unconfigured::get_bucket_versioning;
    get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput => unconfigured::get_bucket_logging;
    get_bucket_notification_configuration(GetBucketNotificationConfigurationInput) -> GetBucketNotificationConfigurationOutput => unconfigured::get_bucket_notification;
    get_bucket_accelerate_configuration(GetBucketAccelerateConfigurationInput) -> GetBucketAccelerateConfigurationOutput => unconfigured::get_bucket_accelerate;
    list_bucket_analytics_configurations(ListBucketAnalyticsConfigurationsInput) -> ListBucketAnalyticsConfigurationsOutput => unconfigured::list_analytics;
    list_bucket_intelligent_tiering_configurations(ListBucketIntelligentTieringConfigurationsInput) -> ListBucketIntelligentTieringConfigurationsOutput => unconfigured::list_intelligent_tiering;
    list_bucket_inventory_configurations(ListBucketInventoryConfigurationsInput) -> ListBucketInventoryConfigurationsOutput => unconfigured::list_inventory;
    list_bucket_metrics_configurations(ListBucketMetricsConfigurationsInput) -> ListBucketMetricsConfigurationsOutput => unconfigured::list_metrics;
    get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput => unconfigured::get_bucket_request_payment;
    get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput => unconfigured::get_bucket_acl;
    get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput => unconfigured::get_bucket_ownership_controls;
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput => unconfigured::get_bucket_policy;
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput => unconfigured::get_bucket_policy_status;
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput => unconfigured::get_bucket_lifecycle;
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput => unconfigured::get_bucket_tagging;
    get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput => unconfigured::get_bucket_cors;
    get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput => unconfigured::get_bucket_website;
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput => unconfigured::get_bucket_encryption;
    get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput => unconfigured::get_bucket_replication;
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput => unconfigured::get_object_lock_configuration;
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput => unconfigured::get_public_access_block;
    delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput => unconfigured::delete_bucket_policy;
    delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput => unconfigured::delete_bucket_lifecycle;
    delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput => unconfigured::delete_bucket_tagging;
    delete_bucket_cors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput => unconfigured::delete_bucket_cors;
    delete_bucket_website(DeleteBucketWebsiteInput) -> DeleteBucketWebsiteOutput => unconfigured::delete_bucket_website;
    delete_bucket_encryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput => unconfigured::delete_bucket_encryption;
    delete_bucket_replication(DeleteBucketReplicationInput) -> DeleteBucketReplicationOutput => unconfigured::delete_bucket_replication;
    delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput => unconfigured::delete_public_access_block;
    get_object_acl(GetObjectAclInput) -> GetObjectAclOutput => unconfigured::get_object_acl;
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput => unconfigured::get_object_tagging;
    delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput => unconfigured::delete_object_tagging;
    get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput => unconfigured::get_object_retention;
    get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput => unconfigured::get_object_legal_hold;
}
