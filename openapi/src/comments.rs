//! Comments of the contract, by the place of what they explain.

use std::collections::HashMap;

use prost_reflect::DescriptorPool;

/// Leading comments of every file of a pool.
pub(super) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub(super) fn read(pool: &DescriptorPool) -> Self {
        let mut comments = HashMap::new();
        for file in pool.files() {
            let Some(info) = &file.file_descriptor_proto().source_code_info else {
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
