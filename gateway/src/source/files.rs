//! Descriptor files of several sources, put together.

use std::collections::BTreeMap;

use anyhow::Context as _;
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;

use super::editions;

/// Most files of all sources.
const MAX_FILES: usize = 10_000;

/// Files by name, as they came: encoding them anew would lose options that were not built in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files(BTreeMap<String, File>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    encoded: Bytes,
    imports: Vec<String>,
}

/// `google.protobuf.FileDescriptorSet` whose files stay encoded.
#[derive(Clone, PartialEq, prost::Message)]
struct Set {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    files: Vec<Bytes>,
}

impl Files {
    /// Adds an encoded `FileDescriptorSet`.
    pub(super) fn add_set(&mut self, set: Bytes) -> anyhow::Result<()> {
        let set = Set::decode(set).context("no encoded FileDescriptorSet")?;
        set.files.into_iter().try_for_each(|file| self.add(file))
    }

    /// Adds an encoded `FileDescriptorProto`. Where two sources have a file of the same name, the first one's counts.
    pub(super) fn add(&mut self, encoded: Bytes) -> anyhow::Result<()> {
        let file = FileDescriptorProto::decode(encoded.clone());
        let file = file.context("no encoded FileDescriptorProto")?;
        anyhow::ensure!(self.0.len() < MAX_FILES, "more than {MAX_FILES} files");
        let imports = file.dependency.clone();
        let encoded = match file.syntax() {
            "editions" => editions::lowered(&encoded)?,
            _ => encoded,
        };
        let entry = self.0.entry(file.name().to_owned());
        entry.or_insert(File { encoded, imports });
        Ok(())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Files that are imported and not there.
    pub(super) fn missing(&self) -> Vec<String> {
        let imports = self.0.values().flat_map(|file| &file.imports);
        let mut missing: Vec<_> = imports.filter(|name| !self.has(name)).cloned().collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// All descriptors. Imports that no source has come from the build: Google's, and our options.
    pub(super) fn pool(&self) -> anyhow::Result<DescriptorPool> {
        let mut files = self.clone();
        loop {
            let missing = files.missing();
            if missing.is_empty() {
                break;
            }
            for name in missing {
                let known = known(&name);
                let known =
                    known.with_context(|| format!("no source has {name}, which is imported"))?;
                files.add(known)?;
            }
        }
        let set = Set {
            files: files.0.into_values().map(|file| file.encoded).collect(),
        };
        let mut pool = DescriptorPool::new();
        pool.decode_file_descriptor_set(&*set.encode_to_vec())?;
        Ok(pool)
    }
}

fn known(name: &str) -> Option<Bytes> {
    let built_in = contracts::DESCRIPTOR_POOL.get_file_by_name(name);
    let file = built_in.or_else(|| DescriptorPool::global().get_file_by_name(name))?;
    Some(file.encode_to_vec().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(name: &str) -> Files {
        let mut files = Files::default();
        files.add(known(name).expect("built in")).expect("a file");
        files
    }

    #[test]
    fn imports_that_no_source_has_come_from_the_build() {
        let pool = only("caravan/ordering/v1/ordering.proto").pool();
        let pool = pool.expect("a pool");
        let service = pool.get_service_by_name("caravan.ordering.v1.OrderingService");
        let method = service
            .expect("a service")
            .methods()
            .next()
            .expect("a method");
        let policy = contracts::policy::of_method(&method);
        assert!(policy.access.is_some(), "options are kept");
    }

    #[test]
    fn an_import_that_nobody_has_is_named() {
        let lonely = FileDescriptorProto {
            name: Some("a.proto".into()),
            dependency: vec!["nowhere.proto".into()],
            ..Default::default()
        };
        let mut files = Files::default();
        files.add(lonely.encode_to_vec().into()).expect("a file");
        let error = files.pool().expect_err("an import is missing");
        assert!(error.to_string().contains("nowhere.proto"), "{error}");
        assert!(files.add_set(Bytes::from_static(b"\xff")).is_err());
    }
}
