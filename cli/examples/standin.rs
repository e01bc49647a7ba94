//! Stands in for any process of a mesh in the tests of the command: listens where it is told, answers readiness checks and
//! the few REST calls that the command makes, drains on SIGTERM. `STANDIN_DIES`, `STANDIN_UNREADY` and `STANDIN_STUBBORN` name a
//! process that misbehaves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use std::collections::HashMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

/// Accounts, products and stock of the shop: path -> value.
type Shelf = Arc<Mutex<HashMap<String, Value>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok();
    let name = variable("CARAVAN_PROCESS").unwrap_or_default();
    let is = |behaviour: &str| variable(behaviour).is_some_and(|who| who == name);
    if is("STANDIN_DIES") {
        say(json!({"level": "ERROR", "message": "cannot go on", "error": "as told"}));
        return ExitCode::from(7);
    }
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let shelf = Shelf::default();
    let status = if is("STANDIN_UNREADY") { 503 } else { 200 };
    for address in ["GRPC_ADDR", "LISTEN_ADDR", "ADMIN_ADDR"]
        .into_iter()
        .filter_map(variable)
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let shelf = Arc::clone(&shelf);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream, Arc::clone(&shelf), status));
            }
        });
    }
    say(
        json!({"level": "INFO", "service": name, "message": "stands in", "database_url": variable("DATABASE_URL"), "request_id": "r-1"}),
    );
    terminate.recv().await;
    say(json!({"level": "INFO", "service": name, "message": "drained"}));
    if is("STANDIN_STUBBORN") {
        std::future::pending::<()>().await;
    }
    ExitCode::SUCCESS
}

fn say(mut line: Value) {
    line["timestamp"] = caravan::logs::line::now().into();
    // Nobody may listen any more.
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn answer(stream: TcpStream, shelf: Shelf, ready: u16) {
    let mut stream = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).await.unwrap();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim().to_ascii_lowercase().split_once(": ") {
            None => break,
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let mut words = first.split(' ');
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (status, reply) = if path == "/readyz" {
        (ready, json!({}))
    } else {
        shop(method, path, &body, &shelf)
    };
    let reply = reply.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        reply.len()
    );
    // Who asked may be gone by now.
    let _ = stream.write_all(format!("{head}{reply}").as_bytes()).await;
}

/// Accounts must be registered, except the admin's; products and stock are kept.
fn shop(method: &str, path: &str, body: &Value, shelf: &Shelf) -> (u16, Value) {
    let mut shelf = shelf.lock().unwrap();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let all = |shelf: &HashMap<String, Value>, prefix: &str| {
        shelf
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(_, value)| value.clone())
            .collect::<Vec<_>>()
    };
    let path = path.split('?').next().unwrap_or_default();
    match (method, path) {
        ("POST", "/v1/accounts") => {
            shelf.insert(
                format!("account {}", text("email")),
                body["password"].clone(),
            );
            (201, json!({}))
        }
        ("POST", "/v1/sessions") => {
            let known = text("email").starts_with("admin@")
                || shelf.get(&format!("account {}", text("email"))) == Some(&body["password"]);
            if known {
                (
                    201,
                    json!({"accessToken": format!("token of {}", text("email"))}),
                )
            } else {
                (401, json!({"detail": "wrong e-mail or password"}))
            }
        }
        ("POST", "/v1/products") => {
            shelf.insert(format!("product {}", text("sku")), body.clone());
            (201, body.clone())
        }
        ("GET", "/v1/products:batchGet") => (200, json!({"products": all(&shelf, "product ")})),
        ("GET", "/v1/stock:batchGet") => (200, json!({"stocks": all(&shelf, "stock ")})),
        ("PUT", path) => {
            let sku = path.rsplit('/').next().unwrap_or_default();
            let stock = json!({"sku": sku, "onHand": body["onHand"]});
            shelf.insert(format!("stock {sku}"), stock.clone());
            (200, stock)
        }
        _ => (404, json!({"detail": "no such path"})),
    }
}
