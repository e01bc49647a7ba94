//! A gateway in front of a service with every kind of stream, whose contract it was not built with.

#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use contracts::google::api::HttpBody;
use futures::{FutureExt as _, Stream, StreamExt as _, future::BoxFuture, stream};
use gateway::{
    api::Api,
    gateway::Gateway,
    policy::{Policies, Settings},
    server,
    source::Contract,
    upstream::Directory,
};
use http::HeaderMap;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    server::{
        ClientStreamingService, Grpc, NamedService, ServerStreamingService, StreamingService,
    },
};
use tonic_prost::ProstCodec;

/// Longest wait for anything in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway and its service; both end with it.
pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) client: reqwest::Client,
    pub(crate) drain: CancellationToken,
    /// Calls that are being served.
    pub(crate) running: Arc<AtomicUsize>,
    /// Messages of the endless stream.
    pub(crate) sent: Arc<AtomicUsize>,
    /// Of the last call.
    pub(crate) metadata: Arc<Mutex<HeaderMap>>,
    /// Breaks the connections to the service.
    pub(crate) cut: Arc<Notify>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::off()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let chat = Chat::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let upstream = listener.local_addr().expect("bound");
        let drain = CancellationToken::new();
        let server = tonic::transport::Server::builder().add_service(chat.clone());
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let cut = Arc::<Notify>::default();
        let upstream = breakable(upstream, cut.clone()).await;

        let target = format!("http://{upstream}").parse().expect("a target");
        let directory = Directory::new(&[target], &"".parse().expect("none"), 1);
        let policies = Arc::new(Policies::new(settings, None));
        let contract = Contract {
            pool: contract(),
            ..Contract::empty()
        };
        let api = Api::compile(&contract, &directory, &policies).expect("the contract");
        let gateway = Arc::new(Gateway::new(api, policies, false, drain.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(server::serve(
            listener,
            None,
            gateway,
            drain.clone(),
            PATIENCE,
        ));
        Self {
            url: format!("http://{address}"),
            address,
            client: reqwest::Client::new(),
            drain,
            running: chat.running,
            sent: chat.sent,
            metadata: chat.metadata,
            cut,
        }
    }
}

/// A way to `upstream` whose connections can be cut.
async fn breakable(upstream: SocketAddr, cut: Arc<Notify>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let cut = cut.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(upstream).await.expect("a service");
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = cut.notified() => {}
                }
            });
        }
    });
    address
}

impl Drop for World {
    fn drop(&mut self) {
        self.drain.cancel();
    }
}

fn contract() -> prost_reflect::DescriptorPool {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let folders = [
        format!("{root}/gateway/tests/chat"),
        format!("{root}/proto"),
    ];
    let mut compiler = protox::Compiler::new(folders).expect("folders");
    compiler.include_imports(true);
    compiler.open_file("chat.proto").expect("a contract");
    let set = compiler.encode_file_descriptor_set();
    prost_reflect::DescriptorPool::decode(&*set).expect("a contract")
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, poll).await;
    in_time.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Note {
    #[prost(string, tag = "1")]
    pub(crate) room: String,
    #[prost(string, tag = "2")]
    pub(crate) text: String,
    #[prost(int32, tag = "3")]
    pub(crate) count: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReadRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    content: Option<HttpBody>,
}

/// Rooms and names say what happens.
#[derive(Clone, Default)]
struct Chat {
    running: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    metadata: Arc<Mutex<HeaderMap>>,
}

impl NamedService for Chat {
    const NAME: &'static str = "chat.v1.ChatService";
}

impl tower::Service<http::Request<Body>> for Chat {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let chat = self.clone();
        *chat.metadata.lock().expect("metadata") = request.headers().clone();
        async move {
            let method = request
                .uri()
                .path()
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned();
            Ok(match &*method {
                "Talk" => {
                    Grpc::new(ProstCodec::<Note, Note>::default())
                        .streaming(Talk(chat), request)
                        .await
                }
                "Gather" => {
                    Grpc::new(ProstCodec::<Note, Note>::default())
                        .client_streaming(Gather(chat), request)
                        .await
                }
                "Listen" => {
                    Grpc::new(ProstCodec::<Note, Note>::default())
                        .server_streaming(Listen(chat), request)
                        .await
                }
                "Read" => {
                    Grpc::new(ProstCodec::<HttpBody, ReadRequest>::default())
                        .server_streaming(Read, request)
                        .await
                }
                "Write" => {
                    Grpc::new(ProstCodec::<Note, WriteRequest>::default())
                        .client_streaming(Write(chat), request)
                        .await
                }
                _ => Status::unimplemented(method).into_http(),
            })
        }
        .boxed()
    }
}

impl Chat {
    fn run(&self) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        Running(self.running.clone())
    }
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Outcome<T> = BoxFuture<'static, Result<Response<T>, Status>>;

/// Says everything again, and goodbye.
struct Talk(Chat);

impl StreamingService<Note> for Talk {
    type Response = Note;
    type ResponseStream = Answers<Note>;
    type Future = Outcome<Answers<Note>>;

    fn call(&mut self, request: Request<Streaming<Note>>) -> Self::Future {
        let running = self.0.run();
        let notes = request.into_inner();
        let answers = stream::unfold(
            (notes, running, false),
            |(mut notes, running, said)| async move {
                if said {
                    return None;
                }
                match notes.next().await {
                    Some(Ok(note)) if note.room == "fails" => Some((
                        Err(Status::not_found("no such room")),
                        (notes, running, true),
                    )),
                    Some(note) => Some((note, (notes, running, false))),
                    None => {
                        let bye = Note {
                            text: "bye".into(),
                            ..Default::default()
                        };
                        Some((Ok(bye), (notes, running, true)))
                    }
                }
            },
        );
        async { Ok(Response::new(answers.boxed())) }.boxed()
    }
}

/// Counts, but in the rooms `deaf` and `fails`.
struct Gather(Chat);

impl ClientStreamingService<Note> for Gather {
    type Response = Note;
    type Future = Outcome<Note>;

    fn call(&mut self, request: Request<Streaming<Note>>) -> Self::Future {
        let running = self.0.run();
        let mut notes = request.into_inner();
        async move {
            let _running = running;
            let mut count = 0;
            while let Some(note) = notes.message().await? {
                match &*note.room {
                    "deaf" => pending().await,
                    "fails" => return Err(Status::not_found("no such room")),
                    _ => count += 1,
                }
            }
            Ok(Response::new(Note {
                count,
                ..Default::default()
            }))
        }
        .boxed()
    }
}

/// Counts to `count`, and on in the room `endless`; says nothing more in the room `hangs`.
struct Listen(Chat);

impl ServerStreamingService<Note> for Listen {
    type Response = Note;
    type ResponseStream = Answers<Note>;
    type Future = Outcome<Answers<Note>>;

    fn call(&mut self, request: Request<Note>) -> Self::Future {
        let (asked, running, sent) = (request.into_inner(), self.0.run(), self.0.sent.clone());
        let answers = if asked.room == "endless" {
            let text = "x".repeat(10_000);
            stream::repeat_with(move || {
                let _running = &running;
                sent.fetch_add(1, Ordering::SeqCst);
                Ok(Note {
                    text: text.clone(),
                    ..Default::default()
                })
            })
            .boxed()
        } else {
            let notes = (1..=asked.count).map(|count| {
                Ok(Note {
                    count,
                    ..Default::default()
                })
            });
            let failure = (asked.room == "fails").then(|| Err(Status::not_found("no such room")));
            let answers = stream::iter(notes.chain(failure).collect::<Vec<_>>());
            match &*asked.room {
                "hangs" => answers.chain(stream::pending()).boxed(),
                _ => answers.boxed(),
            }
        };
        async { Ok(Response::new(answers)) }.boxed()
    }
}

/// Fifty chunks, or fewer.
struct Read;

impl ServerStreamingService<ReadRequest> for Read {
    type Response = HttpBody;
    type ResponseStream = Answers<HttpBody>;
    type Future = Outcome<Answers<HttpBody>>;

    fn call(&mut self, request: Request<ReadRequest>) -> Self::Future {
        let name = request.into_inner().name;
        let chunk = || HttpBody {
            content_type: "text/csv".into(),
            data: vec![b'x'; 10_000],
            ..Default::default()
        };
        let answers: Vec<_> = match &*name {
            "missing" => vec![Err(Status::not_found("no such file"))],
            "breaks" => vec![Ok(chunk()), Err(Status::aborted("came apart"))],
            _ => (0..50).map(|_| Ok(chunk())).collect(),
        };
        async { Ok(Response::new(stream::iter(answers).boxed())) }.boxed()
    }
}

/// Says how much came.
struct Write(Chat);

impl ClientStreamingService<WriteRequest> for Write {
    type Response = Note;
    type Future = Outcome<Note>;

    fn call(&mut self, request: Request<Streaming<WriteRequest>>) -> Self::Future {
        let running = self.0.run();
        let mut chunks = request.into_inner();
        async move {
            let _running = running;
            let mut note = Note::default();
            while let Some(chunk) = chunks.message().await? {
                if chunk.name == "deaf" {
                    pending().await
                }
                if chunk.name == "refused" {
                    return Err(Status::permission_denied("not this one"));
                }
                let content = chunk.content.unwrap_or_default();
                note.room = format!("{} {}", chunk.name, content.content_type);
                note.count += content.data.len() as i32;
            }
            Ok(Response::new(note))
        }
        .boxed()
    }
}
