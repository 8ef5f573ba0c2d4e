//! The service `Buckets`.

use std::sync::Arc;

use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use holdfast_core::bucket::Conflict;
use holdfast_proto::v1;
use holdfast_proto::v1::buckets_server::Buckets;
use tonic::{Request, Response, Status};

use super::{Shared, caller_of, copies, shape};
use crate::bucket_wish;
use crate::objects::NewBucket;
use crate::problem::{Answer, Problem};

pub(super) struct Service(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl Buckets for Service {
    type ListStream = BoxStream<'static, Result<v1::Bucket, Status>>;

    async fn create(
        &self,
        request: Request<v1::CreateBucketRequest>,
    ) -> Result<Response<v1::CreateBucketResponse>, Status> {
        let owner = caller_of(&request)?.principal;
        Ok(Response::new(create(&self.0, owner, request.into_inner()).await?))
    }

    async fn get(&self, request: Request<v1::GetBucketRequest>) -> Result<Response<v1::GetBucketResponse>, Status> {
        let bucket = self.0.bucket(&request.into_inner().name).await?;
        let count = self.0.objects.count(&bucket).await;
        let count = count.map_err(|fault| Problem::read(&fault))?;
        Ok(Response::new(v1::GetBucketResponse {
            bucket: Some(shape::bucket(&bucket)),
            objects: count.objects,
            bytes: count.bytes,
        }))
    }

    async fn list(&self, _: Request<v1::ListBucketsRequest>) -> Result<Response<Self::ListStream>, Status> {
        let buckets = self.0.objects.buckets().await;
        let buckets = buckets.map_err(|fault| Problem::read(&fault))?;
        let buckets = stream::iter(buckets).map(|bucket| Ok(shape::bucket(&bucket)));
        Ok(Response::new(buckets.boxed()))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteBucketRequest>,
    ) -> Result<Response<v1::DeleteBucketResponse>, Status> {
        let bucket = self.0.bucket(&request.into_inner().name).await?;
        let deleted = self.0.objects.delete_bucket(&bucket).await;
        deleted.map_err(|error| Problem::delete_bucket(&error))?;
        Ok(Response::new(v1::DeleteBucketResponse {}))
    }
}

async fn create(app: &Shared, owner: String, asked: v1::CreateBucketRequest) -> Answer<v1::CreateBucketResponse> {
    let conflict = match asked.conflict() {
        v1::Conflict::Siblings => Conflict::Siblings,
        v1::Conflict::Newest => Conflict::Newest,
        // A value that this version does not know reads as unspecified; to take it for the default would be a guess.
        v1::Conflict::Unspecified if asked.conflict == 0 => Conflict::Newest,
        v1::Conflict::Unspecified => {
            return Err(Problem::bad_request(
                "conflict is a value that this node does not know",
                "choose newest or siblings",
            ));
        }
    };
    let new = NewBucket {
        owner,
        n: copies(asked.n)?,
        r: copies(asked.r)?,
        w: copies(asked.w)?,
        conflict,
        sloppy: asked.sloppy,
    };
    bucket_wish::check(&asked.name, &new)?;
    let created = app.objects.create_bucket(&asked.name, new).await;
    let created = created.map_err(|error| Problem::write(&error))?;
    Ok(v1::CreateBucketResponse {
        bucket: Some(shape::bucket(&created.bucket)),
        created_now: created.created,
    })
}
