//! Compiles `proto/` once: message types, clients, servers and the descriptor set. Needs no protoc binary.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use protox::Compiler;

const ROOT: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = Compiler::new([ROOT])?;
    compiler.include_imports(true).include_source_info(true);
    for file in proto_files(Path::new(ROOT))? {
        compiler.open_file(&file)?;
    }
    let set = compiler.file_descriptor_set();
    // Encoded by the compiler itself: prost's own type would drop the options.
    let documented = compiler.encode_file_descriptor_set();
    fs::write(out.join("documented.binpb"), documented)?;
    compiler.include_source_info(false);
    let bare = compiler.encode_file_descriptor_set();
    fs::write(out.join("contracts.binpb"), bare)?;

    let mut config = tonic_prost_build::Config::new();
    config.include_file("contracts.rs");
    for file in set
        .file
        .iter()
        .filter(|file| !file.package().starts_with("google.protobuf"))
    {
        for message in &file.message_type {
            let name = format!("{}.{}", file.package(), message.name());
            config.type_attribute(&name, "#[derive(::prost_reflect::ReflectMessage)]");
            config.type_attribute(
                &name,
                format!(r#"#[prost_reflect(message_name = "{name}", descriptor_pool = "crate::DESCRIPTOR_POOL")]"#),
            );
        }
    }
    tonic_prost_build::configure().compile_fds_with_config(set, config)?;
    Ok(())
}

/// Every `.proto` file below `dir`, as imports name it.
fn proto_files(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "proto")
            {
                files.push(path.strip_prefix(dir)?.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}
