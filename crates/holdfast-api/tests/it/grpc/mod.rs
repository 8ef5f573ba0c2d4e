//! gRPC with a real client.

mod access;
mod broken;
mod objects;
mod watching;

use std::net::SocketAddr;

use futures_util::stream;
use holdfast_proto::v1::buckets_client::BucketsClient;
use holdfast_proto::v1::cluster_client::ClusterClient;
use holdfast_proto::v1::objects_client::ObjectsClient;
use holdfast_proto::v1::{self, get_object_response, put_object_request};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::server::{Server, TOKEN};

type Named = InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>;

/// Clients of all services, with the admin token.
pub struct Clients {
    pub channel: Channel,
    pub buckets: BucketsClient<Named>,
    pub objects: ObjectsClient<Named>,
    pub cluster: ClusterClient<Named>,
}

fn with_token(mut request: Request<()>) -> Result<Request<()>, Status> {
    let value = format!("Bearer {TOKEN}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    Ok(request)
}

/// Tells a story to a server; the server must not be dropped within a runtime.
pub fn tell(server: &Server, story: impl AsyncFnOnce(Clients)) {
    tell_at(server.rest, story);
}

pub fn tell_at(rest: SocketAddr, story: impl AsyncFnOnce(Clients)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{rest}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let named = || InterceptedService::new(channel.clone(), with_token as fn(_) -> _);
        story(Clients {
            channel: channel.clone(),
            buckets: BucketsClient::new(named()),
            objects: ObjectsClient::new(named()),
            cluster: ClusterClient::new(named()),
        })
        .await;
    });
}

/// Where an object is put, and nothing else.
pub fn header(key: &str) -> v1::PutHeader {
    v1::PutHeader {
        bucket: "things".to_owned(),
        key: key.to_owned(),
        ..v1::PutHeader::default()
    }
}

pub fn header_part(header: v1::PutHeader) -> v1::PutObjectRequest {
    v1::PutObjectRequest {
        part: Some(put_object_request::Part::Header(header)),
    }
}

pub fn data_part(bytes: &[u8]) -> v1::PutObjectRequest {
    v1::PutObjectRequest {
        part: Some(put_object_request::Part::Data(bytes.to_vec().into())),
    }
}

/// What a get answered.
#[derive(Debug)]
pub struct Read {
    pub header: v1::ObjectHeader,
    pub body: Vec<u8>,
}

impl Clients {
    pub async fn create(&mut self, conflict: v1::Conflict) {
        let request = v1::CreateBucketRequest {
            name: "things".to_owned(),
            conflict: conflict.into(),
            ..v1::CreateBucketRequest::default()
        };
        self.buckets.create(request).await.unwrap();
    }

    pub async fn put(&mut self, header: v1::PutHeader, body: &[u8]) -> Result<v1::WriteOutcome, Status> {
        let mut parts = vec![header_part(header)];
        parts.extend(body.chunks(100_000).map(data_part));
        let outcome = self.objects.put(stream::iter(parts)).await?;
        Ok(outcome.into_inner())
    }

    pub async fn get(&mut self, request: v1::GetObjectRequest) -> Result<Read, Status> {
        let mut parts = self.objects.get(request).await?.into_inner();
        let Some(get_object_response::Part::Header(header)) = parts.message().await?.and_then(|first| first.part)
        else {
            panic!("the first message is the header");
        };
        let mut body = Vec::new();
        while let Some(part) = parts.message().await? {
            match part.part {
                Some(get_object_response::Part::Data(bytes)) => body.extend_from_slice(&bytes),
                other => panic!("the others are bytes: {other:?}"),
            }
        }
        Ok(Read { header, body })
    }

    pub async fn stat(&mut self, key: &str) -> v1::Found {
        let request = v1::StatObjectRequest {
            bucket: "things".to_owned(),
            key: key.to_owned(),
            r: None,
        };
        self.objects.stat(request).await.unwrap().into_inner()
    }
}

pub fn asked(key: &str) -> v1::GetObjectRequest {
    v1::GetObjectRequest {
        bucket: "things".to_owned(),
        key: key.to_owned(),
        ..v1::GetObjectRequest::default()
    }
}

/// What is told beside a status.
pub fn told<'a>(status: &'a Status, name: &str) -> &'a str {
    let value = status.metadata().get(name);
    value
        .unwrap_or_else(|| panic!("no {name}: {status:?}"))
        .to_str()
        .unwrap()
}
