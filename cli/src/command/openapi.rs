//! `caravan openapi`: the OpenAPI document of the REST side.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use contracts::policy;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use transcode::HeaderField;

/// Arguments of `caravan openapi`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An encoded FileDescriptorSet with all that it imports, in place of the built-in contract. May be repeated.
    #[arg(long, value_name = "FILE")]
    descriptor_set: Vec<PathBuf>,
    /// Print the reference page, HTML, in place of the document.
    #[arg(long)]
    page: bool,
}

/// Prints the document, as the gateway serves it.
///
/// # Errors
/// A file that cannot be read, or a rule of the contract that is wrong.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut pool = match &args.descriptor_set[..] {
        [] => contracts::DESCRIPTOR_POOL.clone(),
        _ => DescriptorPool::new(),
    };
    for file in &args.descriptor_set {
        let name = || file.display().to_string();
        let bytes = std::fs::read(file).with_context(name)?;
        pool.decode_file_descriptor_set(&*bytes)
            .with_context(name)?;
    }
    let rest = transcode::Api::compile_with(&pool, header_fields)?;
    let document = openapi::document(&pool, &rest);
    let mut text = if args.page {
        openapi::page(&document)
    } else {
        serde_json::to_string_pretty(&document)?
    };
    text.push('\n');
    super::print(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn header_fields(method: &MethodDescriptor) -> Vec<HeaderField> {
    let fields = policy::of_method(method).rest.header_fields.into_iter();
    fields
        .map(|of| HeaderField {
            header: of.header,
            field: of.field,
        })
        .collect()
}
