//! gRPC's own health service (`grpc.health.v1`): whether this node can serve now, as `/health/ready` says over HTTP.

use std::sync::Arc;
use std::time::Duration;

use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::Shared;
use crate::serve::Stopping;

/// The names that may be asked for: the node as a whole, and each service. All are as healthy as the node is.
const SERVICES: [&str; 4] = ["", "holdfast.v1.Buckets", "holdfast.v1.Objects", "holdfast.v1.Cluster"];

/// How often a node looks for whoever watches it. Nobody watches an idle one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Service(pub(super) Arc<Shared>);

impl Service {
    fn status(&self, service: &str) -> Option<ServingStatus> {
        SERVICES.contains(&service).then(|| serving(&self.0))
    }
}

fn serving(app: &Shared) -> ServingStatus {
    match app.objects.ready() {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Service {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match self.status(&request.into_inner().service) {
            Some(status) => Ok(Response::new(response(status))),
            None => Err(Status::not_found("there is no such service")),
        }
    }

    /// Tells each change. As the protocol wants it, a service that there is not is told of as such, and not as an error.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let stopping = request.extensions().get::<Stopping>().cloned();
        let told = match self.status(&request.into_inner().service) {
            None => stream::iter([Ok(response(ServingStatus::ServiceUnknown))])
                .chain(stream::pending())
                .boxed(),
            Some(_) => changes(Arc::clone(&self.0)),
        };
        let Some(stopping) = stopping else {
            return Ok(Response::new(told));
        };
        let farewell = stream::iter([Ok(response(ServingStatus::NotServing))]);
        let told = told.take_until(Box::pin(stopping.told())).chain(farewell);
        Ok(Response::new(told.boxed()))
    }
}

/// What the node is now, and then each change.
fn changes(app: Arc<Shared>) -> BoxStream<'static, Result<HealthCheckResponse, Status>> {
    let state = (app, None);
    stream::unfold(state, |(app, told)| async move {
        loop {
            let now = serving(&app);
            if told != Some(now) {
                return Some((Ok(response(now)), (app, Some(now))));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .boxed()
}
