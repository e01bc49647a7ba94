//! How the messages of a stream are put into a body.

/// How messages are put into the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/event-stream`
    Events,
    /// `application/x-ndjson`
    Lines,
    /// `application/json`: one array.
    Array,
    /// The bytes of each `google.api.HttpBody`, one after the other.
    Raw,
}

impl Format {
    /// The format that an Accept header prefers, events where it leaves the choice; `None` where it takes none of them.
    pub fn accepted(accept: Option<&str>) -> Option<Self> {
        let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
            return Some(Self::Events);
        };
        let mut best: Option<(Self, f32)> = None;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let format = match media.as_str() {
                "text/event-stream" | "text/*" | "*/*" => Self::Events,
                "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Self::Lines,
                "application/json" | "application/*" => Self::Array,
                _ => continue,
            };
            let quality = parts
                .find_map(|parameter| parameter.strip_prefix("q=")?.parse::<f32>().ok())
                .unwrap_or(1.0);
            if quality > 0.0 && best.is_none_or(|(_, other)| quality > other) {
                best = Some((format, quality));
            }
        }
        best.map(|(format, _)| format)
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Events => "text/event-stream",
            Self::Lines => "application/x-ndjson",
            Self::Array => "application/json",
            Self::Raw => "application/octet-stream",
        }
    }

    /// What stands before the `number`th record, which begins with 1.
    pub(super) fn open(self, number: u64, out: &mut Vec<u8>) {
        match self {
            Self::Events => {
                out.extend_from_slice(b"id: ");
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
                out.extend_from_slice(b"\ndata: ");
            }
            Self::Array => out.extend_from_slice(if number == 1 { b"[" } else { b"," }),
            Self::Lines | Self::Raw => {}
        }
    }

    /// What stands after a record.
    pub(super) fn close(self, out: &mut Vec<u8>) {
        match self {
            Self::Events => out.extend_from_slice(b"\n\n"),
            Self::Lines => out.extend_from_slice(b"\n"),
            Self::Array | Self::Raw => {}
        }
    }

    /// The last record of a stream that broke: `{"error": problem}`, or the problem as an event of its own kind.
    pub(super) fn failure(self, number: u64, problem: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Events => {
                out.extend_from_slice(b"event: error\ndata: ");
                out.extend_from_slice(problem);
            }
            Self::Lines | Self::Array | Self::Raw => {
                self.open(number, out);
                // Told from messages by its one member.
                out.extend_from_slice(b"{\"error\":");
                out.extend_from_slice(problem);
                out.extend_from_slice(b"}");
            }
        }
        self.close(out);
    }

    /// What stands at the end, after `count` records.
    pub(super) fn end(self, count: u64, out: &mut Vec<u8>) {
        if self == Self::Array {
            out.extend_from_slice(if count == 0 { b"[]" } else { b"]" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_chooses_the_format() {
        for (accept, format) in [
            (None, Some(Format::Events)),
            (Some("*/*"), Some(Format::Events)),
            (Some("text/event-stream"), Some(Format::Events)),
            (Some("application/x-ndjson"), Some(Format::Lines)),
            (Some("application/json"), Some(Format::Array)),
            (
                Some("application/json;q=0.5, text/event-stream"),
                Some(Format::Events),
            ),
            (
                Some("text/html, application/json;q=0.9, */*;q=0.1"),
                Some(Format::Array),
            ),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept:?}");
        }
    }
}
