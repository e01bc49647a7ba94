//! Participants that are not built in: their contract comes from their own server, by either version of reflection, and
//! stays with the definition.

mod world;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use alone::{Answer, Engine, Neighbour, NeighbourBuilder, Service, on_both_engines, reason};
use chassis::call::{SAGA_OPERATION, SAGA_STEP};
use contracts::caravan::saga::v1 as pb;
use prost::bytes::Bytes;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};
use tonic::{Code, codegen::http::HeaderMap};
use uuid::Uuid;

use world::{Participant, World, states};

on_both_engines!(
    a_foreign_participant_by_the_newer_reflection,
    a_foreign_participant_by_the_older_reflection,
    a_participant_that_does_not_tell_its_contract_is_named,
);

/// Draws on a budget, and gives back; the reply of the first is read by the second.
const DEFINITION: &str = "
name: foreign
steps:
  - name: draw
    call: acme.budget.v1.Budget/Draw
    request: \"{'team': saga.key, 'cents': 250}\"
    compensation:
      call: acme.budget.v1.Budget/Draw
      request: \"{'team': steps.draw.team, 'cents': -250}\"
  - name: again
    pivot: true
    call: acme.budget.v1.Budget/Draw
    request: \"{'team': steps.draw.team, 'cents': 1}\"
";
const DRAW: &str = "/acme.budget.v1.Budget/Draw";

#[derive(Clone, Copy)]
enum Reflection {
    V1,
    V1Alpha,
    Absent,
    /// Of another service.
    Other,
}

/// What a foreign participant was asked, by step, with the operation in front.
type Asked = Arc<Mutex<Vec<(String, Bytes)>>>;

/// `acme.budget.v1`, whose message comes from a file of its own.
fn contract() -> FileDescriptorSet {
    let field = |name: &str, number, kind: Type| FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        json_name: Some(name.into()),
        ..Default::default()
    };
    let message = DescriptorProto {
        name: Some("Amount".into()),
        field: vec![
            field("team", 1, Type::String),
            field("cents", 2, Type::Int64),
        ],
        ..Default::default()
    };
    let method = MethodDescriptorProto {
        name: Some("Draw".into()),
        input_type: Some(".acme.budget.v1.Amount".into()),
        output_type: Some(".acme.budget.v1.Amount".into()),
        ..Default::default()
    };
    let file = |name: &str| FileDescriptorProto {
        name: Some(name.into()),
        package: Some("acme.budget.v1".into()),
        syntax: Some("proto3".into()),
        ..Default::default()
    };
    let messages = FileDescriptorProto {
        message_type: vec![message],
        ..file("acme/budget/v1/amount.proto")
    };
    let service = FileDescriptorProto {
        dependency: vec![messages.name().to_owned()],
        service: vec![ServiceDescriptorProto {
            name: Some("Budget".into()),
            method: vec![method],
            ..Default::default()
        }],
        ..file("acme/budget/v1/budget.proto")
    };
    FileDescriptorSet {
        file: vec![messages, service],
    }
}

/// A server that nobody of the mesh has built; it answers what it is asked.
async fn foreign(reflection: Reflection, contract: FileDescriptorSet, asked: &Asked) -> Neighbour {
    let asked = asked.clone();
    let server = Neighbour::builder().at(DRAW, move |metadata, message| {
        let mut asked = asked.lock().expect("nobody panicked");
        asked.push((label(&metadata), message.clone()));
        async { Answer::Reply(message) }
    });
    reflect(server, reflection, contract).start().await
}

fn reflect(
    server: NeighbourBuilder,
    reflection: Reflection,
    contract: FileDescriptorSet,
) -> NeighbourBuilder {
    let told = match reflection {
        Reflection::Absent => return server,
        Reflection::Other => FileDescriptorSet::default(),
        Reflection::V1 | Reflection::V1Alpha => contract,
    };
    let builder = tonic_reflection::server::Builder::configure().register_file_descriptor_set(told);
    match reflection {
        Reflection::V1Alpha => server.serves(builder.build_v1alpha().expect("fine")),
        _ => server.serves(builder.build_v1().expect("fine")),
    }
}

fn label(metadata: &HeaderMap) -> String {
    let text = |key: &str| metadata[key].to_str().expect("ASCII").to_owned();
    format!("{} {}", text(SAGA_OPERATION), text(SAGA_STEP))
}

/// An orchestrator that knows the participant at this address, by another name than its package's.
async fn world(engine: Engine, url: &str) -> Option<World> {
    let participant = Participant::start().await;
    let service = Service::of(env!("CARGO_BIN_EXE_saga"), engine)
        .with("SAGA_LEASE", "1s")
        .with("SAGA_PARTICIPANTS", "acme.budget.v1.Budget=books")
        .upstream("books", url);
    Some(World::of(service.start().await?, participant))
}

async fn start(world: &World) -> String {
    let request = pb::StartSagaRequest {
        definition: "foreign".into(),
        key: Uuid::now_v7().to_string(),
        input: None,
    };
    let begun = world.peer.clone().start_saga(request).await;
    begun
        .expect("started")
        .into_inner()
        .saga
        .expect("always there")
        .saga_id
}

async fn a_foreign_participant_by_the_newer_reflection(engine: Engine) {
    by(Reflection::V1, engine).await;
}

async fn a_foreign_participant_by_the_older_reflection(engine: Engine) {
    by(Reflection::V1Alpha, engine).await;
}

async fn by(reflection: Reflection, engine: Engine) {
    let asked = Asked::default();
    let server = foreign(reflection, contract(), &asked).await;
    let Some(mut world) = world(engine, server.url()).await else {
        return;
    };
    assert_eq!(world.register(DEFINITION).await.expect("checked"), 1);
    assert_eq!(world.register(DEFINITION).await.expect("the same"), 1);
    // What it tells is checked against, too.
    let wrong = DEFINITION.replace("'cents': 250", "'cents': 'much'");
    let refused = world.register(&wrong).await.expect_err("no number");
    assert_eq!(reason(&refused), "INVALID_DEFINITION");
    assert!(refused.message().contains("cents"), "{}", refused.message());

    let id = start(&world).await;
    let saga = world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(states(&saga), [pb::StepState::Done; 2]);
    let calls: HashMap<_, _> = asked.lock().expect("fine").drain(..).collect();
    assert_eq!(calls.len(), 2);
    // Field 1 is the saga's key, field 2 the amount.
    let mut second = vec![10, 36];
    second.extend(saga.key.as_bytes());
    second.extend([16, 1]);
    assert_eq!(calls["action again"], second);

    // Its contract stays although the participant is gone: a saga begins, and waits for it.
    drop(server);
    world.crash().await;
    let id = start(&world).await;
    alone::wait::until("the participant is missed", || async {
        let saga = world.saga(&id).await;
        let first = saga.steps[0].attempts.first();
        let code = first.map(|attempt| attempt.code.clone());
        (code.as_deref() == Some("UNAVAILABLE"))
            .then_some(())
            .ok_or(code)
    })
    .await;
    assert_eq!(world.saga(&id).await.definition, "foreign");
    let registered = world.register(DEFINITION).await.expect_err("nobody tells");
    assert_eq!(
        (registered.code(), reason(&registered).as_str()),
        (Code::Unavailable, "PARTICIPANT_UNREACHABLE")
    );
}

async fn a_participant_that_does_not_tell_its_contract_is_named(engine: Engine) {
    let asked = Asked::default();
    for (reflection, why) in [
        (Reflection::Absent, "PARTICIPANT_WITHOUT_REFLECTION"),
        (Reflection::Other, "PARTICIPANT_CONTRACT_UNREADABLE"),
    ] {
        let server = foreign(reflection, contract(), &asked).await;
        let Some(world) = world(engine, server.url()).await else {
            return;
        };
        let refused = world.register(DEFINITION).await.expect_err("unknown");
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::FailedPrecondition, why)
        );
        let text = refused.message();
        assert!(text.contains("acme.budget.v1.Budget"), "{text}");
    }
}
