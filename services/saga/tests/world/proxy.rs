//! Stands between an orchestrator and PostgreSQL, and ends the orchestrator exactly at a commit of a saga.

use std::{
    collections::HashSet,
    env,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::trap::{Armed, Phase};

/// Asks for TLS before a session begins; answered by one byte.
const SSL_REQUEST: u32 = 80_877_103;
/// Longest message that a test's orchestrator sends, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// Tables whose change is a durable write of a saga.
const SAGA_TABLES: [&str; 3] = ["saga_log", "\"sagas\"", " sagas "];

/// A running proxy. It ends with the runtime of its test.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    armed: Arc<Mutex<Option<Armed>>>,
}

/// One connection as its client talks.
struct Session {
    armed: Arc<Mutex<Option<Armed>>>,
    /// Prepared statements that change a saga.
    writing: HashSet<Vec<u8>>,
    /// The open transaction changed a saga.
    touched: bool,
}

impl Proxy {
    /// In front of the tests' cluster; `None` where there is none.
    pub(crate) async fn start() -> Option<Self> {
        let cluster = env::var(kit::POSTGRES_VARIABLE).ok()?;
        let (_, rest) = cluster.split_once("://").expect("a URL");
        let (_, address) = rest.rsplit_once('@').unwrap_or(("", rest));
        let address = address.trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = Self {
            port: listener.local_addr().expect("bound").port(),
            armed: Arc::default(),
        };
        let armed = proxy.armed.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let session = Session {
                    armed: armed.clone(),
                    writing: HashSet::new(),
                    touched: false,
                };
                let address = address.clone();
                tokio::spawn(async move {
                    // Whoever goes away takes the connection along.
                    let server = TcpStream::connect(address).await.expect("the cluster runs");
                    let _ = session.carry(client, server).await;
                });
            }
        });
        Some(proxy)
    }

    /// The next commit of a saga ends the orchestrator.
    pub(crate) fn arm(&self, armed: Armed) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some(armed);
    }
}

impl Session {
    async fn carry(mut self, client: TcpStream, server: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        greet(
            &mut from_client,
            &mut to_server,
            &mut from_server,
            &mut to_client,
        )
        .await?;
        let swallowing = Arc::new(Mutex::new(None::<Armed>));
        let back = give_back(from_server, to_client, swallowing.clone());
        let forth = async move {
            loop {
                let (kind, message) = read_message(&mut from_client).await?;
                if self.commits(kind, &message)
                    && let Some(armed) = self.take()
                {
                    if armed.phase == Phase::Unwritten {
                        armed.kill();
                        return Ok(());
                    }
                    *swallowing.lock().unwrap_or_else(PoisonError::into_inner) = Some(armed);
                }
                to_server.write_all(&message).await?;
            }
        };
        tokio::select! {
            ended = back => ended,
            ended = forth => ended,
        }
    }

    fn take(&self) -> Option<Armed> {
        self.armed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Follows what the client says. Whether this message commits a change of a saga.
    fn commits(&mut self, kind: u8, message: &[u8]) -> bool {
        let mut texts = message[5..].split(|byte| *byte == 0);
        match kind {
            b'P' => {
                let name = texts.next().unwrap_or_default().to_vec();
                if changes_saga(texts.next().unwrap_or_default()) {
                    self.writing.insert(name);
                } else {
                    self.writing.remove(&name);
                }
            }
            b'B' => {
                let statement = texts.nth(1).unwrap_or_default();
                self.touched |= self.writing.contains(statement);
            }
            b'Q' => {
                let sql = texts.next().unwrap_or_default();
                // Events may come along in front, and the next transaction behind.
                let last = sql.rsplit(|byte| *byte == b';').next();
                let last = last.unwrap_or_default().trim_ascii_start();
                if last.starts_with(b"COMMIT") {
                    return std::mem::take(&mut self.touched);
                }
                match last.starts_with(b"ROLLBACK") || last.starts_with(b"BEGIN") {
                    true => self.touched = false,
                    false => self.touched |= changes_saga(sql),
                }
            }
            _ => {}
        }
        false
    }
}

fn changes_saga(sql: &[u8]) -> bool {
    let sql = String::from_utf8_lossy(sql);
    let writes = sql.contains("INSERT") || sql.contains("UPDATE") || sql.contains("DELETE");
    writes && SAGA_TABLES.iter().any(|table| sql.contains(table))
}

/// The untyped messages at the beginning: requests for TLS, which are declined, then the start-up message.
async fn greet(
    from_client: &mut OwnedReadHalf,
    to_server: &mut OwnedWriteHalf,
    from_server: &mut OwnedReadHalf,
    to_client: &mut OwnedWriteHalf,
) -> io::Result<()> {
    loop {
        let mut head = [0; 8];
        from_client.read_exact(&mut head).await?;
        let length = length_of(&head[..4])?;
        let mut message = head.to_vec();
        message.resize(length.max(head.len()), 0);
        from_client.read_exact(&mut message[head.len()..]).await?;
        to_server.write_all(&message).await?;
        if u32::from_be_bytes([head[4], head[5], head[6], head[7]]) != SSL_REQUEST {
            return Ok(());
        }
        let answer = from_server.read_u8().await?;
        to_client.write_all(&[answer]).await?;
    }
}

/// One message with its type and length in front.
async fn read_message(from: &mut OwnedReadHalf) -> io::Result<(u8, Vec<u8>)> {
    let mut message = vec![0; 5];
    from.read_exact(&mut message).await?;
    let length = length_of(&message[1..5])?;
    message.resize(length + 1, 0);
    from.read_exact(&mut message[5..]).await?;
    Ok((message[0], message))
}

fn length_of(bytes: &[u8]) -> io::Result<usize> {
    let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    if (4..MAX_MESSAGE_BYTES).contains(&length) {
        Ok(length)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Answers go back as they come, except the one to a commit that nobody shall learn of.
async fn give_back(
    mut from_server: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    swallowing: Arc<Mutex<Option<Armed>>>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from_server.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let armed = swallowing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(armed) = armed {
            armed.kill();
            return Ok(());
        }
        to_client.write_all(&buffer[..read]).await?;
    }
}
