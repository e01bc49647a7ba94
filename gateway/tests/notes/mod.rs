//! The gateway as a process, in front of a service whose contract was made here: it gives back what it gets.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod certificates;

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader},
    net::TcpListener,
    process::{Child, Command},
    runtime::Runtime,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// Longest wait for anything in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Every kind of rpc; `extra` stands in the service.
pub(crate) fn contract(extra: &str) -> Vec<u8> {
    let text = format!(
        r#"
        syntax = "proto3";
        package notes.v1;
        import "google/api/annotations.proto";
        message Note {{ string id = 1; string text = 2; }}
        service Notes {{
          rpc Get(Note) returns (Note) {{ option (google.api.http) = {{get: "/v1/notes/{{id}}"}}; }}
          rpc Put(Note) returns (Note) {{ option (google.api.http) = {{post: "/v1/notes" body: "*"}}; }}
          rpc List(Note) returns (stream Note) {{ option (google.api.http) = {{get: "/v1/notes"}}; }}
          rpc Collect(stream Note) returns (Note);
          rpc Chat(stream Note) returns (stream Note);
          {extra}
        }}
        "#
    );
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("notes.proto"), text).expect("a file");
    let google = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");
    let includes = [folder.path(), Path::new(google)];
    let mut compiler = protox::Compiler::new(includes).expect("folders");
    compiler.include_imports(true);
    compiler.open_file("notes.proto").expect("a contract");
    compiler.encode_file_descriptor_set()
}

/// Writes a file as careful operators do: whole, or not at all.
pub(crate) fn replace(path: &Path, contents: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, contents).expect("a file");
    std::fs::rename(new, path).expect("the same folder");
}

/// The message of the contract.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Note {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) text: String,
}

pub(crate) fn note(id: &str) -> Note {
    Note {
        id: id.into(),
        text: "hello".into(),
    }
}

/// A gateway that ends with its handle.
pub(crate) struct Gateway {
    pub(crate) url: String,
    pub(crate) child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Gateway {
    /// Starts it on a free port.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args([
                "--listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
                "--reload-interval",
                "20ms",
            ])
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a gateway");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let first = timeout(PATIENCE, lines.next_line()).await.expect("in time");
        let first = first.expect("text").expect("a first line");
        let url = first.strip_prefix("listening ").expect("the address");
        // Read whether a test asks for them or not: a gateway whose log nobody takes stands still.
        let (said, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            url: url.to_owned(),
            child,
            lines: heard,
        }
    }

    /// In front of `upstreams` with the contract of `file`, which anybody may call.
    pub(crate) async fn of_file(file: &Path, upstreams: &[&str]) -> Self {
        let file = file.display().to_string();
        let mut arguments = vec!["--descriptor-set", &file, "--default-access", "public"];
        for upstream in upstreams {
            arguments.extend(["--upstream", upstream]);
        }
        arguments.extend(["--policies", "off"]);
        Self::start(&arguments).await
    }

    /// The next log line that contains `text`.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        let found = async {
            loop {
                let line = self.lines.recv().await.expect("more lines");
                if line.contains(text) {
                    return line;
                }
            }
        };
        let found = timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("never said: {text}"))
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// A folder with the contract in a file.
pub(crate) fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("notes.binpb");
    replace(&file, &contract(""));
    (folder, file)
}

/// Asks until the answer has this status.
pub(crate) async fn until_status(client: &reqwest::Client, url: &str, status: u16) {
    let asked = async {
        loop {
            let answer = client.get(url).send().await;
            if answer.is_ok_and(|answer| answer.status() == status) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = timeout(PATIENCE, asked).await;
    in_time.unwrap_or_else(|_| panic!("{url} never answered {status}"));
}

/// The service. Ids of notes say what happens.
#[derive(Clone, Default)]
pub(crate) struct Service {
    pub(crate) calls: Arc<AtomicUsize>,
    /// Calls that are being served.
    pub(crate) running: Arc<AtomicUsize>,
    /// Connections that are open.
    pub(crate) connections: Arc<AtomicUsize>,
    /// Whether every call is answered with UNAVAILABLE.
    pub(crate) is_unavailable: Arc<AtomicBool>,
    pub(crate) metadata: Arc<Mutex<HeaderMap>>,
    reflection: Option<Reflection>,
}

/// Which version of server reflection there is.
#[derive(Clone)]
pub(crate) enum Reflection {
    V1(Vec<u8>),
    V1Alpha(Vec<u8>),
}

impl Service {
    pub(crate) fn reflected(reflection: Reflection) -> Self {
        Self {
            reflection: Some(reflection),
            ..Self::default()
        }
    }

    /// Serves on a free port as long as the test runs.
    pub(crate) async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(self.clone().accept(listener));
        format!("http://{address}")
    }

    /// The same over TLS; returns the port.
    pub(crate) async fn serve_tls(&self, config: Arc<ServerConfig>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let service = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, acceptor) = (service.clone(), TlsAcceptor::from(config.clone()));
                tokio::spawn(async move {
                    // Clients that are refused are part of tests.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        service.connection(stream).await;
                    }
                });
            }
        });
        port
    }

    /// Serves like a process of its own, which may be killed.
    pub(crate) fn serve_apart(&self, address: SocketAddr) -> Apart {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = std::net::TcpListener::bind(address).expect("a port");
        listener.set_nonblocking(true).expect("a mode");
        let address = listener.local_addr().expect("bound");
        let service = self.clone();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a runtime");
            service.accept(listener).await;
        });
        Apart {
            address,
            runtime: Some(runtime),
        }
    }

    async fn accept(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(self.clone().connection(stream));
        }
    }

    async fn connection(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let _open = Open::new(&self.connections);
        // Ends with its connection, whatever its calls do.
        let (broken, mut breaks) = mpsc::channel::<()>(1);
        let answer = service_fn(move |request| {
            let (service, broken) = (self.clone(), broken.clone());
            async move { Ok::<_, Infallible>(service.answer(request, broken).await) }
        });
        let builder = http2::Builder::new(TokioExecutor::new());
        tokio::select! {
            _ = builder.serve_connection(TokioIo::new(stream), answer) => {}
            _ = breaks.recv() => {}
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        broken: mpsc::Sender<()>,
    ) -> Response<Answer> {
        if request.uri().path().contains("ServerReflection") {
            return self.reflect(request).await;
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        *self.metadata.lock().expect("metadata") = request.headers().clone();
        if self.is_unavailable.load(Ordering::SeqCst) {
            return refusal(14, "not now");
        }
        self.running.fetch_add(1, Ordering::SeqCst);
        let echo = Echo {
            body: request.into_body(),
            first: Bytes::new(),
            ended: false,
            running: self.running.clone(),
            broken,
        };
        grpc(echo.boxed_unsync())
    }

    async fn reflect(&self, request: Request<Incoming>) -> Response<Answer> {
        let path = request.uri().path().to_owned();
        let request = request.map(tonic::body::Body::new);
        let builder = tonic_reflection::server::Builder::configure();
        let answer = match &self.reflection {
            Some(Reflection::V1(set)) if path.contains(".v1.") => {
                let service = builder.register_encoded_file_descriptor_set(set).build_v1();
                service.expect("reflection").oneshot(request).await
            }
            Some(Reflection::V1Alpha(set)) if path.contains(".v1alpha.") => {
                let service = builder
                    .register_encoded_file_descriptor_set(set)
                    .build_v1alpha();
                service.expect("reflection").oneshot(request).await
            }
            _ => return refusal(12, "no reflection here"),
        };
        answer
            .expect("infallible")
            .map(|body| body.map_err(Into::into).boxed_unsync())
    }
}

/// A service that may be killed.
pub(crate) struct Apart {
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Apart {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Apart {
    /// Everything ends in the middle.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Counts something as long as it is kept.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Answer = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

fn grpc(body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}

/// A failure without messages.
fn refusal(code: i32, message: &str) -> Response<Answer> {
    let nothing = http_body_util::Empty::new().map_err(|never| match never {});
    let mut answer = grpc(nothing.boxed_unsync());
    answer.headers_mut().extend(status(code, message));
    answer
}

fn status(code: i32, message: &str) -> HeaderMap {
    HeaderMap::from_iter([
        (HeaderName::from_static("grpc-status"), code.into()),
        (
            HeaderName::from_static("grpc-message"),
            HeaderValue::from_str(message).expect("ASCII"),
        ),
    ])
}

/// Gives back every message as it comes.
struct Echo {
    body: Incoming,
    /// The first bytes: what to do stands in them.
    first: Bytes,
    ended: bool,
    running: Arc<AtomicUsize>,
    broken: mpsc::Sender<()>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Echo {
    fn asks(&self, what: &str) -> bool {
        self.first
            .windows(what.len())
            .any(|part| part == what.as_bytes())
    }
}

impl Body for Echo {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.asks("hangs") {
            return Poll::Pending;
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = frame
            && let Ok(data) = frame.into_data()
        {
            if self.first.is_empty() {
                self.first = data.clone();
            }
            if self.asks("dies") {
                // Once is enough.
                let _ = self.broken.try_send(());
                return Poll::Pending;
            }
            if self.asks("hangs") {
                return Poll::Pending;
            }
            if !self.asks("expires") {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        self.ended = true;
        let trailers = match self.asks("expires") {
            true => status(1, "Timeout expired"),
            false => status(0, "fine"),
        };
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}
