//! Keeps the processes of a mesh alive, and stops them in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use serde_json::{Value, json};
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::backoff::Backoff;
use super::process::{self, Plan};
use super::readiness;
use super::roster::Roster;
use super::topology::{Node, Role};
use crate::logs::Logs;
use crate::logs::line::{self, Level};

/// What a process gets above its own drain timeout before SIGKILL.
const KILL_MARGIN: Duration = Duration::from_secs(3);
/// How long the last words of a dead process are waited for; somebody else may hold its pipe open.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

/// What a process is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Run,
    Drain,
    Kill,
}

/// The running processes of one mesh. Dropping it kills them.
#[derive(Debug)]
pub struct Supervisor {
    workers: Vec<Worker>,
    deaths: mpsc::Receiver<String>,
}

#[derive(Debug)]
struct Worker {
    node: Node,
    order: watch::Sender<Order>,
    task: JoinHandle<()>,
}

/// What the task of one process needs.
struct Keeper {
    plan: Plan,
    logs: Arc<Logs>,
    roster: Arc<Roster>,
    order: watch::Receiver<Order>,
    deaths: mpsc::Sender<String>,
    drain_timeout: Duration,
}

impl Supervisor {
    /// Starts all processes at once; who needs another waits for it by itself.
    #[must_use]
    pub fn start(
        plans: Vec<Plan>,
        logs: &Arc<Logs>,
        roster: &Arc<Roster>,
        drain_timeout: Duration,
    ) -> Self {
        let (report, deaths) = mpsc::channel(plans.len().max(1));
        let workers = plans.into_iter().map(|plan| {
            let (order, orders) = watch::channel(Order::Run);
            let node = plan.node.clone();
            let keeper = Keeper {
                plan,
                logs: Arc::clone(logs),
                roster: Arc::clone(roster),
                order: orders,
                deaths: report.clone(),
                drain_timeout,
            };
            Worker {
                node,
                order,
                task: tokio::spawn(keeper.keep_alive()),
            }
        });
        Self {
            workers: workers.collect(),
            deaths,
        }
    }

    /// Waits until every process is ready.
    ///
    /// # Errors
    /// A process died meanwhile, or one is not ready after `limit`: says which, and why as far as it is known.
    pub async fn ready(&mut self, limit: Duration) -> anyhow::Result<()> {
        let mut waiting = JoinSet::new();
        for worker in &self.workers {
            let node = worker.node.clone();
            waiting.spawn(async move { readiness::wait(&node).await });
        }
        let all = async { while waiting.join_next().await.is_some() {} };
        tokio::select! {
            () = all => Ok(()),
            death = self.death() => Err(anyhow!("{death}")),
            () = tokio::time::sleep(limit) => self.unready(limit).await,
        }
    }

    async fn unready(&self, limit: Duration) -> anyhow::Result<()> {
        for worker in &self.workers {
            if let Err(error) = readiness::check(&worker.node).await {
                bail!(
                    "{} is not ready after {limit:?}: {error:#}",
                    worker.node.name
                );
            }
        }
        Ok(())
    }

    /// Waits for the first death since the start. What died, and how.
    pub async fn death(&mut self) -> String {
        match self.deaths.recv().await {
            Some(death) => death,
            // Every task has ended, which only draining brings about.
            None => std::future::pending().await,
        }
    }

    /// Stops everything in order: who asks before who answers. Once `impatient` is over, everything is killed.
    pub async fn drain(self, impatient: impl Future<Output = ()>) {
        let orders: Vec<_> = self
            .workers
            .iter()
            .map(|worker| (worker.node.role, worker.order.clone()))
            .collect();
        let mut tasks: Vec<_> = self
            .workers
            .into_iter()
            .map(|worker| (worker.node.role, worker.task))
            .collect();
        tokio::pin!(impatient);
        let mut killed = false;
        for phase in Role::DRAIN_ORDER {
            let order = if killed { Order::Kill } else { Order::Drain };
            orders
                .iter()
                .filter(|(role, _)| *role == phase)
                .for_each(|(_, sender)| sender.send_modify(|current| *current = order));
            for (_, task) in tasks.iter_mut().filter(|(role, _)| *role == phase) {
                // A task that panicked has dropped, and so killed, its process.
                tokio::select! {
                    _ = &mut *task => continue,
                    () = &mut impatient, if !killed => {}
                }
                killed = true;
                orders
                    .iter()
                    .for_each(|(_, sender)| sender.send_modify(|current| *current = Order::Kill));
                let _ = task.await;
            }
        }
    }
}

impl Keeper {
    async fn keep_alive(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let started = Instant::now();
            let end = self.run_once().await;
            self.roster.process(self.plan.node.name, |process| {
                (process.pid, process.start_time) = (None, None)
            });
            if *self.order.borrow() != Order::Run {
                return;
            }
            let wait = backoff.after(started.elapsed());
            self.tell(
                Level::Error,
                &format!(
                    "{} died: {end}; next try in {}",
                    self.plan.node.name,
                    humantime::format_duration(wait)
                ),
                json!({"next_try_ms": wait.as_millis() as u64}),
            );
            // Only the start listens, and to the first death alone.
            let _ = self.deaths.try_send(format!(
                "{} died before the mesh was ready: {end}{}",
                self.plan.node.name,
                self.last_words()
            ));
            let _ = tokio::time::timeout(wait, self.order.changed()).await;
            if *self.order.borrow() != Order::Run {
                return;
            }
            self.roster
                .process(self.plan.node.name, |process| process.restarts += 1);
        }
    }

    /// Starts the process and stays with it to its end. How it ended.
    async fn run_once(&mut self) -> String {
        let (mut child, reader) = match self.plan.spawn() {
            Ok(spawned) => spawned,
            Err(error) => return format!("{error:#}"),
        };
        let name = self.plan.node.name;
        let pid = child.id();
        self.roster.process(name, |process| {
            (process.pid, process.start_time) = (pid, Some(line::now()))
        });
        let words = match self.logs.follow(name, reader) {
            Ok(words) => tokio::spawn(words),
            // Without a reader the process would hang once its pipe is full: `child` is killed as it is dropped.
            Err(error) => return format!("{error:#}"),
        };
        let end = self.attend(&mut child).await;
        let _ = tokio::time::timeout(LAST_WORDS_TIMEOUT, words).await;
        end
    }

    async fn attend(&mut self, child: &mut Child) -> String {
        let mut deadline = None;
        loop {
            tokio::select! {
                end = child.wait() => return end.map_or_else(|error| error.to_string(), process::describe),
                changed = self.order.changed() => {
                    let order = *self.order.borrow_and_update();
                    if changed.is_err() || order == Order::Kill {
                        let _ = child.start_kill();
                        return child.wait().await.map_or_else(|error| error.to_string(), process::describe);
                    }
                    if order == Order::Drain {
                        process::terminate(child);
                        deadline = Some(tokio::time::Instant::now() + self.drain_timeout + KILL_MARGIN);
                    }
                },
                () = tokio::time::sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)), if deadline.is_some() => {
                    self.tell(Level::Warn, &format!("{} did not drain in time and is killed", self.plan.node.name), json!({}));
                    let _ = child.start_kill();
                    deadline = None;
                }
            }
        }
    }

    fn tell(&self, level: Level, message: &str, fields: Value) {
        let mut fields = line::fields(fields);
        fields.insert("process".to_owned(), self.plan.node.name.into());
        self.logs.say(level, message, fields);
    }

    fn last_words(&self) -> String {
        self.logs
            .last_message(self.plan.node.name)
            .map(|words| format!("; it said: {words}"))
            .unwrap_or_default()
    }
}
