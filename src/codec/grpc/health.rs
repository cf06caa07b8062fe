//! The health checking protocol of gRPC, over what `/readyz` asks. It needs no credentials.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use tonic::{Request, Response, Status};

use super::call::Caller;
use super::resolver::Answers;
use super::wire::health::health_check_response::ServingStatus;
use super::wire::health::health_server::Health;
use super::wire::health::{HealthCheckRequest, HealthCheckResponse};
use crate::codec::http::{Desk, Readiness};
use crate::codec::problem::Code;

/// The names that are answered: the node as a whole, and each service.
const SERVICES: [&str; 5] =
    ["", "mingpai.v1.Resolver", "mingpai.v1.Registrar", "mingpai.v1.Importer", "grpc.health.v1.Health"];
/// How often a watcher's node looks.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Checking(pub Arc<Desk>);

impl Checking {
    fn status(&self, service: &str) -> ServingStatus {
        if !SERVICES.contains(&service) {
            return ServingStatus::ServiceUnknown;
        }
        match (self.0.readiness)() {
            Readiness::Ready if !self.0.services.store.is_poisoned() => ServingStatus::Serving,
            _ => ServingStatus::NotServing,
        }
    }
}

#[tonic::async_trait]
impl Health for Checking {
    type WatchStream = Answers<HealthCheckResponse>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let (caller, asked) = Caller::of(request)?;
        match self.status(&asked.service) {
            ServingStatus::ServiceUnknown => Err(caller.status(Code::ServiceUnknown.into())),
            status => Ok(Response::new(HealthCheckResponse { status: status.into() })),
        }
    }

    /// Of a service that is not there too, as the protocol has it: it may come.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (_, asked) = Caller::of(request)?;
        let this = self.clone();
        let statuses = stream::unfold(None, move |told| {
            let (this, service) = (this.clone(), asked.service.clone());
            async move {
                let mut status = this.status(&service);
                while told == Some(status) {
                    tokio::time::sleep(LOOK).await;
                    status = this.status(&service);
                }
                Some((Ok(HealthCheckResponse { status: status.into() }), Some(status)))
            }
        });
        Ok(Response::new(Box::pin(statuses)))
    }
}
