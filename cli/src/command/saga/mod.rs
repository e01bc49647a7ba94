//! `caravan saga`: what operators and authors of sagas do.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::Value;

use crate::saga::client::{Client, Target};
use crate::saga::timeline;
use crate::saga::view::{Saga, Time};

mod definitions;
mod intervene;
mod lint;
mod list;
mod register;
mod start;
mod watch;

/// Options of `caravan saga`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// For programs: what the orchestrator answers, as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// A saga: its id, or its definition and key.
#[derive(Clone, Debug, clap::Args)]
pub struct Name {
    /// The saga's id, or DEFINITION/KEY, e.g. `checkout/01a1fc1b-92c0-769c-95e6-21d5a2384725`.
    #[arg(value_name = "SAGA")]
    saga: String,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Lists sagas, newest first.
    List(list::Args),
    /// Draws one saga: its steps as a timeline with attempts, errors and interventions.
    Show(Name),
    /// As `show`, again after each change, until the saga ends.
    Watch(Name),
    /// Puts a parked saga to work again, its retries counted from zero.
    Retry(intervene::Retry),
    /// Counts a step as done without doing it; in a saga that turns back, skips the step's compensation.
    Skip(intervene::Skip),
    /// Settles a step with an outcome that you know: the reply that its call would have had, or a failure.
    Resolve(intervene::Resolve),
    /// Aborts a saga that has not passed its pivot: what was done is compensated.
    Cancel(intervene::Cancel),
    /// Sends a signal that a step waits for.
    Signal(intervene::Signal),
    /// Starts a saga; the same definition and key answer the same saga.
    Start(start::Args),
    /// Lists the registered definitions, or prints one.
    Definitions(definitions::Args),
    /// Registers definitions from files, as new versions where they changed.
    Register(register::Args),
    /// Checks definitions in files without a server. Exit code 1 where one has a fault.
    Lint(lint::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// What went wrong, as one line or a line for each field at fault.
pub async fn run(args: &Args, home: &Path) -> anyhow::Result<ExitCode> {
    if let Command::Lint(lint) = &args.command {
        return lint::run(lint, args.json);
    }
    let client = Client::new(&args.target, home).await?;
    match &args.command {
        Command::List(list) => list::run(list, &client, args.json).await?,
        Command::Show(name) => {
            let saga = client.get(&path(&id(&client, name).await?), &[]).await?;
            show(&saga, args.json)?;
        }
        Command::Watch(name) => return watch::run(name, &client, args.json).await,
        Command::Retry(retry) => show(&retry.run(&client).await?, args.json)?,
        Command::Skip(skip) => show(&skip.run(&client).await?, args.json)?,
        Command::Resolve(resolve) => show(&resolve.run(&client).await?, args.json)?,
        Command::Cancel(cancel) => show(&cancel.run(&client).await?, args.json)?,
        Command::Signal(signal) => show(&signal.run(&client).await?, args.json)?,
        Command::Start(start) => show(&start::run(start, &client).await?, args.json)?,
        Command::Definitions(args_) => definitions::run(args_, &client, args.json).await?,
        Command::Register(register) => return register::run(register, &client, args.json).await,
        Command::Lint(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The id that a name stands for.
async fn id(client: &Client, name: &Name) -> anyhow::Result<String> {
    let Some((definition, key)) = name.saga.split_once('/') else {
        return Ok(name.saga.clone());
    };
    let filter = [
        ("definition", definition.to_owned()),
        ("key", key.to_owned()),
    ];
    let found = client.get("/v1/sagas", &filter).await?;
    let id = found["sagas"][0]["sagaId"].as_str().map(str::to_owned);
    id.with_context(|| format!("the definition `{definition}` has no saga `{key}`"))
}

fn path(id: &str) -> String {
    format!("/v1/sagas/{id}")
}

fn show(saga: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(saga);
    }
    let saga: Saga = serde_json::from_value(saga.clone()).context("the answer is no saga")?;
    super::print(timeline::draw(&saga, Time::now()).as_bytes());
    Ok(())
}

fn print_json(value: &Value) -> anyhow::Result<()> {
    super::print(format!("{}\n", serde_json::to_string_pretty(value)?).as_bytes());
    Ok(())
}

/// For clap: a JSON object, or `@FILE` that holds one.
fn object(text: &str) -> Result<Value, String> {
    let text = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?,
        None => text.to_owned(),
    };
    match serde_json::from_str(&text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("must be a JSON object".to_owned()),
        Err(error) => Err(format!("is no JSON: {error}")),
    }
}
