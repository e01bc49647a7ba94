//! The four calls of the benchmark's saga as a Restate workflow, each in a durable step.
//! `purchase ADDRESS URL`: listens at ADDRESS for Restate's server, calls the participants at URL.

use std::env::args;

use restate_sdk::prelude::*;
use tonic::{Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

/// The requests of all four calls, as far as the saga fills them.
#[derive(Clone, PartialEq, prost::Message)]
struct Order {
    #[prost(string, tag = "1")]
    order_id: String,
}

struct Purchase {
    participants: Channel,
}

#[workflow]
impl Purchase {
    #[handler]
    async fn run(&self, context: WorkflowContext<'_>, order: String) -> Result<(), HandlerError> {
        for call in [
            "/caravan.inventory.v1.InventoryService/ReserveStock",
            "/caravan.payment.v1.PaymentService/AuthorizePayment",
            "/caravan.inventory.v1.InventoryService/CommitStock",
            "/caravan.payment.v1.PaymentService/CapturePayment",
        ] {
            let request = Order {
                order_id: order.clone(),
            };
            let participants = self.participants.clone();
            context
                .run(|| async move { Ok(ask(participants, call, request).await?) })
                .name(call)
                .await?;
        }
        Ok(())
    }
}

async fn ask(participants: Channel, call: &'static str, request: Order) -> Result<(), Status> {
    let mut client = Grpc::new(participants);
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Order, ()>::default();
    let path = PathAndQuery::from_static(call);
    client.unary(Request::new(request), path, codec).await?;
    Ok(())
}

#[tokio::main]
async fn main() {
    let mut arguments = args().skip(1);
    let address = arguments.next().expect("an address to listen at");
    let participants = arguments.next().expect("the participants' URL");
    let participants = Channel::from_shared(participants).expect("a URL").connect_lazy();
    let endpoint = Endpoint::builder().bind(Purchase { participants }).build();
    HttpServer::new(endpoint)
        .listen_and_serve(address.parse().expect("an address"))
        .await;
}
