//! Who may call, what needs no token, and what is told of calls.

use futures_util::stream;
use holdfast_core::request::ReadFault;
use holdfast_proto::v1;
use holdfast_proto::v1::buckets_client::BucketsClient;
use tonic::metadata::{AsciiMetadataKey, MetadataMap};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::{Clients, asked, header, tell, told};
use crate::client::exchange;
use crate::server::Server;
use crate::sign::{Call, Framing, call};

/// The headers of a signed call, as metadata.
fn signed(server: &Server, change: impl FnOnce(&mut Call)) -> MetadataMap {
    let mut call = call("POST", "/holdfast.v1.Buckets/List").framing(Framing::Unsigned);
    call.host = server.rest.to_string();
    change(&mut call);
    let head = String::from_utf8(call.parts().0).unwrap();
    let mut metadata = MetadataMap::new();
    for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        if name != "host" && name != "content-length" {
            metadata.insert(name.parse::<AsciiMetadataKey>().unwrap(), value.parse().unwrap());
        }
    }
    metadata
}

async fn list(clients: &Clients, metadata: MetadataMap) -> Result<(), Status> {
    let mut request = Request::new(v1::ListBucketsRequest {});
    *request.metadata_mut() = metadata;
    let list = BucketsClient::new(clients.channel.clone()).list(request).await?;
    list.into_inner().message().await.map(drop)
}

#[test]
fn only_those_who_are_known_are_answered() {
    let server = Server::start();
    tell(&server, async |clients: Clients| {
        let none = list(&clients, MetadataMap::new()).await.unwrap_err();
        assert_eq!(
            (none.code(), told(&none, "holdfast-error")),
            (Code::Unauthenticated, "unauthorized")
        );
        assert!(told(&none, "holdfast-what-to-do").contains("metadata"));
        assert!(!told(&none, "x-request-id").is_empty());
        let mut wrong = MetadataMap::new();
        wrong.insert("authorization", "Bearer nonsense".parse().unwrap());
        assert_eq!(list(&clients, wrong).await.unwrap_err().code(), Code::Unauthenticated);

        list(&clients, signed(&server, |_| {})).await.unwrap();
        for change in [
            |call: &mut Call| call.secret = "another".to_owned(),
            |call: &mut Call| call.key = "NOSUCHKEY00000000001".to_owned(),
            |call: &mut Call| call.path = "/holdfast.v1.Buckets/Delete".to_owned(),
            |call: &mut Call| call.host = "elsewhere".to_owned(),
            |call: &mut Call| call.late_s = 3_600,
        ] {
            let refused = list(&clients, signed(&server, change)).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
        }
        let whole = signed(&server, |call| call.framing = Framing::Whole);
        let whole = list(&clients, whole).await.unwrap_err();
        assert_eq!(whole.code(), Code::InvalidArgument);
        assert!(told(&whole, "holdfast-what-to-do").contains("UNSIGNED-PAYLOAD"));
    });
}

#[test]
fn health_needs_no_token_and_follows_the_node() {
    let server = Server::start();
    tell(&server, async |clients: Clients| {
        let mut health = HealthClient::new(clients.channel.clone());
        let of = |service: &str| HealthCheckRequest {
            service: service.to_owned(),
        };
        for service in ["", "holdfast.v1.Objects"] {
            assert_eq!(health.check(of(service)).await.unwrap().into_inner().status, 1);
        }
        assert_eq!(health.check(of("other")).await.unwrap_err().code(), Code::NotFound);
        let mut watch = health.watch(of("")).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
        server.memory.fail_reads(Some(ReadFault::Damaged));
        assert_eq!(watch.message().await.unwrap().unwrap().status, 2);
        assert_eq!(health.check(of("")).await.unwrap().into_inner().status, 2);
        let mut unknown = health.watch(of("other")).await.unwrap().into_inner();
        assert_eq!(unknown.message().await.unwrap().unwrap().status, 3);
    });
}

#[test]
fn reflection_tells_what_there_is_to_call() {
    let server = Server::start();
    tell(&server, async |clients: Clients| {
        let mut reflection = ServerReflectionClient::new(clients.channel.clone());
        let question = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut answers = reflection
            .server_reflection_info(stream::iter([question]))
            .await
            .unwrap()
            .into_inner();
        let Some(MessageResponse::ListServicesResponse(list)) =
            answers.message().await.unwrap().unwrap().message_response
        else {
            panic!("services are listed");
        };
        let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
        for name in [
            "holdfast.v1.Buckets",
            "holdfast.v1.Objects",
            "holdfast.v1.Cluster",
            "grpc.health.v1.Health",
        ] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
    });
}

/// Streams begin well and tell at their end how it went; that is what counts.
#[test]
fn calls_are_counted_by_how_they_ended() {
    let server = Server::start();
    tell(&server, async |mut clients: Clients| {
        clients.create(v1::Conflict::Siblings).await;
        let seen = clients.put(header("k"), b"x").await.unwrap().context;
        for _ in 0..2 {
            let put = v1::PutHeader {
                context: Some(seen.clone()),
                ..header("k")
            };
            clients.put(put, b"y").await.unwrap();
        }
        assert_eq!(
            clients.get(asked("k")).await.unwrap_err().code(),
            Code::FailedPrecondition
        );
        let mut unknown = asked("k");
        unknown.bucket = "no-such-bucket".to_owned();
        assert_eq!(clients.get(unknown).await.unwrap_err().code(), Code::NotFound);
    });
    let page = exchange(server.rest, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").text();
    for (operation, status) in [("Objects.Put", 200), ("Objects.Get", 409), ("Objects.Get", 404)] {
        let line =
            format!("holdfast_requests_total{{front_end=\"grpc\",operation=\"{operation}\",status=\"{status}\"}}");
        assert!(page.contains(&line), "{line}: {page}");
    }
}
