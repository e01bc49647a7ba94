//! `caravan saga lint`: the orchestrator's own check, without an orchestrator.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use contracts::DESCRIPTOR_POOL;
use prost_reflect::DescriptorPool;
use saga_definition::places::{Place, Places};
use saga_definition::{check, descriptors, source};
use serde_json::{Value, json};

use super::print_json;

/// Options of `caravan saga lint`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// YAML or JSON of a definition each.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Services that are not built in: an encoded FileDescriptorSet with all imports, as `buf build -o FILE` or
    /// `protoc --include_imports --descriptor_set_out=FILE` write it. May be given more than once.
    #[arg(long = "descriptor-set", value_name = "FILE")]
    descriptor_sets: Vec<PathBuf>,
}

struct Finding {
    place: Option<Place>,
    step: Option<String>,
    field: String,
    text: String,
}

/// Prints `file:line:column: step: message` for each fault.
pub(super) fn run(args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut pool = DESCRIPTOR_POOL.clone();
    for file in &args.descriptor_sets {
        let set = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        descriptors::add(&mut pool, &set)
            .map_err(|text| anyhow::anyhow!("{}: {text}", file.display()))?;
    }
    let mut found = Vec::new();
    for file in &args.files {
        let text =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        for finding in findings(&text, &pool) {
            if !as_json {
                crate::command::print(finding.line(file).as_bytes());
            }
            found.push(finding.json(file));
        }
    }
    let clean = found.is_empty();
    if as_json {
        print_json(&Value::Array(found))?;
    }
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn findings(text: &[u8], pool: &DescriptorPool) -> Vec<Finding> {
    let unreadable = |place, text: String| {
        vec![Finding {
            place,
            step: None,
            field: String::new(),
            text,
        }]
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return unreadable(None, "is no UTF-8".to_owned());
    };
    let definition = match source::read(text) {
        Ok(definition) => definition,
        Err(fault) => return unreadable(fault.place, fault.text),
    };
    let Err(faults) = check::compile(&definition, pool) else {
        return Vec::new();
    };
    let places = Places::of(text);
    faults
        .into_iter()
        .map(|mut fault| {
            fault.locate(&places);
            Finding {
                place: fault.place,
                step: fault.step,
                field: fault.field,
                text: fault.text,
            }
        })
        .collect()
}

impl Finding {
    fn line(&self, file: &Path) -> String {
        let place = self
            .place
            .map(|place| format!("{place}: "))
            .unwrap_or_default();
        let step = self
            .step
            .as_ref()
            .map(|step| format!("{step}: "))
            .unwrap_or_default();
        format!(
            "{}:{}{step}{}\n",
            file.display(),
            if place.is_empty() { " " } else { &place },
            self.text
        )
    }

    fn json(&self, file: &Path) -> Value {
        json!({
            "file": file.display().to_string(),
            "line": self.place.map(|place| place.line),
            "column": self.place.map(|place| place.column),
            "step": self.step,
            "field": self.field,
            "message": self.text,
        })
    }
}
