//! Comments of the contract, by the place of what they explain.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool,
    prost::Message as _,
    prost_types::{FileDescriptorProto, FileDescriptorSet},
};

/// Leading comments of every file of a pool.
pub(super) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub(super) fn read(pool: &DescriptorPool) -> Self {
        let built_in = built_in();
        let mut comments = HashMap::new();
        for file in pool.files() {
            let own = file.file_descriptor_proto();
            // The contract of the build is kept without comments.
            let documented = built_in
                .get(file.name())
                .filter(|documented| is_same(documented, own))
                .unwrap_or(own);
            let Some(info) = &documented.source_code_info else {
                continue;
            };
            for location in &info.location {
                let comment = location.leading_comments().trim();
                if !comment.is_empty() {
                    let lines: Vec<_> = comment.lines().map(str::trim).collect();
                    let key = (file.name().to_owned(), location.path.clone());
                    comments.insert(key, lines.join("\n"));
                }
            }
        }
        Self(comments)
    }

    /// The comment at `path` of `file`; empty where there is none.
    pub(super) fn of(&self, file: &str, path: &[i32]) -> &str {
        let comment = self.0.get(&(file.to_owned(), path.to_vec()));
        comment.map(String::as_str).unwrap_or_default()
    }
}

/// The files of the contract that this was built with, by their name.
fn built_in() -> HashMap<String, FileDescriptorProto> {
    let set = FileDescriptorSet::decode(contracts::DESCRIPTOR_SET).unwrap_or_default();
    let named = |file: FileDescriptorProto| (file.name().to_owned(), file);
    set.file.into_iter().map(named).collect()
}

/// Whether a file without comments says the same as one with comments.
fn is_same(documented: &FileDescriptorProto, bare: &FileDescriptorProto) -> bool {
    let FileDescriptorProto {
        message_type,
        enum_type,
        service,
        extension,
        ..
    } = documented;
    bare.source_code_info.is_none()
        && (message_type, enum_type, service, extension)
            == (
                &bare.message_type,
                &bare.enum_type,
                &bare.service,
                &bare.extension,
            )
}
