//! The service `Objects`; each method has a file of its own, but for the two that are short.

use std::sync::Arc;

use futures_core::stream::BoxStream;
use holdfast_core::request::{PutValue, WantedBodies};
use holdfast_proto::v1;
use holdfast_proto::v1::objects_server::Objects;
use tonic::{Request, Response, Status, Streaming};

use super::shape::Place;
use super::{Shared, caller_of, copies, get, list, put};
use crate::claims::check_key;
use crate::objects::{GetObject, PutObject};
use crate::problem::{Answer, Problem};

pub(super) struct Service(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl Objects for Service {
    type GetStream = BoxStream<'static, Result<v1::GetObjectResponse, Status>>;
    type ListStream = BoxStream<'static, Result<v1::ListObjectsResponse, Status>>;

    async fn put(
        &self,
        request: Request<Streaming<v1::PutObjectRequest>>,
    ) -> Result<Response<v1::WriteOutcome>, Status> {
        let caller = caller_of(&request)?;
        let outcome = put::put(&self.0, &caller, request.into_inner()).await?;
        Ok(Response::new(outcome))
    }

    async fn get(&self, request: Request<v1::GetObjectRequest>) -> Result<Response<Self::GetStream>, Status> {
        Ok(Response::new(get::get(&self.0, request.into_inner()).await?))
    }

    async fn stat(&self, request: Request<v1::StatObjectRequest>) -> Result<Response<v1::Found>, Status> {
        Ok(Response::new(stat(&self.0, request.into_inner()).await?))
    }

    async fn delete(&self, request: Request<v1::DeleteObjectRequest>) -> Result<Response<v1::WriteOutcome>, Status> {
        let principal = caller_of(&request)?.principal;
        Ok(Response::new(delete(&self.0, &principal, request.into_inner()).await?))
    }

    async fn list(&self, request: Request<v1::ListObjectsRequest>) -> Result<Response<Self::ListStream>, Status> {
        let pages = list::list(Arc::clone(&self.0), request.into_inner()).await?;
        Ok(Response::new(pages))
    }
}

async fn stat(app: &Shared, asked: v1::StatObjectRequest) -> Answer<v1::Found> {
    check_key(&asked.key)?;
    let bucket = app.bucket(&asked.bucket).await?;
    let get = GetObject {
        r: copies(asked.r)?,
        bodies: WantedBodies::None,
    };
    let got = app.objects.get(&bucket, &asked.key, get).await;
    let got = got.map_err(|fault| Problem::read(&fault))?;
    let place = Place {
        objects: &*app.objects,
        bucket: &bucket,
        key: &asked.key,
    };
    Ok(place.found(&got))
}

async fn delete(app: &Shared, principal: &str, asked: v1::DeleteObjectRequest) -> Answer<v1::WriteOutcome> {
    check_key(&asked.key)?;
    let bucket = app.bucket(&asked.bucket).await?;
    let place = Place {
        objects: &*app.objects,
        bucket: &bucket,
        key: &asked.key,
    };
    let put = PutObject {
        request: put::request_of(asked.request_id.as_deref(), principal, "delete", &bucket, &asked.key),
        context: put::context_of(&place, asked.context.as_deref())?,
        value: PutValue::Deletion,
        w: copies(asked.w)?,
        wait_all: asked.wait_all,
    };
    let outcome = app.objects.put(&bucket, &asked.key, put).await;
    let outcome = outcome.map_err(|error| Problem::write(&error))?;
    Ok(place.outcome(&outcome))
}
