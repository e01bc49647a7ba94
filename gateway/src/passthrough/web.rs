//! gRPC-Web: gRPC's frames with the trailers as a last frame, as bytes or as base64 text.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;

/// Marks the frame that holds the trailers.
const TRAILERS_FLAG: u8 = 0x80;

/// How a client frames its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// gRPC itself.
    Grpc,
    /// gRPC-Web in bytes.
    Web,
    /// gRPC-Web in base64, for browsers that cannot read bytes as they come.
    WebText,
}

impl Protocol {
    /// By the content type of a request.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        let rest = media.strip_prefix("application/grpc")?;
        match rest {
            "" | "+proto" => Some(Self::Grpc),
            "-web" | "-web+proto" => Some(Self::Web),
            "-web-text" | "-web-text+proto" => Some(Self::WebText),
            _ => None,
        }
    }

    /// The content type of the answer.
    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Grpc => "application/grpc",
            Self::Web => "application/grpc-web+proto",
            Self::WebText => "application/grpc-web-text+proto",
        })
    }

    /// Bytes of the answer for this client.
    pub(crate) fn data(self, data: Bytes) -> Frame<Bytes> {
        match self {
            // Each piece is padded by itself, which clients of this protocol expect.
            Self::WebText => Frame::data(STANDARD.encode(data).into()),
            Self::Grpc | Self::Web => Frame::data(data),
        }
    }

    /// The end of the answer for this client.
    pub(crate) fn trailers(self, trailers: HeaderMap) -> Frame<Bytes> {
        if self == Self::Grpc {
            return Frame::trailers(trailers);
        }
        let mut lines = BytesMut::new();
        for (name, value) in &trailers {
            lines.put_slice(name.as_str().as_bytes());
            lines.put_slice(b": ");
            lines.put_slice(value.as_bytes());
            lines.put_slice(b"\r\n");
        }
        let mut frame = BytesMut::with_capacity(5 + lines.len());
        frame.put_u8(TRAILERS_FLAG);
        // Trailers are as large as a header block may be.
        frame.put_u32(lines.len() as u32);
        frame.put(lines);
        self.data(frame.freeze())
    }
}

/// Makes gRPC's bytes of what a client sends.
#[derive(Debug)]
pub(crate) struct Unpack {
    is_text: bool,
    /// Base64 digits that wait for the rest of their group.
    group: Vec<u8>,
}

/// Base64 digits that make bytes together.
const GROUP: usize = 4;

impl Unpack {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self {
            is_text: protocol == Protocol::WebText,
            group: Vec::new(),
        }
    }

    /// `None` where the text is no base64.
    pub(crate) fn unpack(&mut self, data: Bytes) -> Option<Bytes> {
        if !self.is_text {
            return Some(data);
        }
        self.group.extend_from_slice(&data);
        let whole = self.group.len() - self.group.len() % GROUP;
        let mut bytes = Vec::with_capacity(whole / GROUP * 3);
        // Padding may stand at the end of any group: clients encode piece by piece.
        for group in self.group[..whole].chunks(GROUP) {
            STANDARD.decode_vec(group, &mut bytes).ok()?;
        }
        self.group.drain(..whole);
        Some(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_by_their_media_type() {
        for (text, protocol) in [
            ("application/grpc", Some(Protocol::Grpc)),
            ("application/grpc+proto", Some(Protocol::Grpc)),
            (
                "application/grpc-web+proto; charset=utf-8",
                Some(Protocol::Web),
            ),
            ("application/grpc-web-text", Some(Protocol::WebText)),
            ("application/grpc+json", None),
            ("application/json", None),
        ] {
            assert_eq!(Protocol::of(text), protocol, "{text}");
        }
    }

    #[test]
    fn text_is_decoded_however_it_comes() {
        let text = [STANDARD.encode(b"abcd"), STANDARD.encode(b"ef")].concat();
        for size in 1..=text.len() {
            let mut unpack = Unpack::new(Protocol::WebText);
            let mut bytes = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                bytes.extend(
                    unpack
                        .unpack(Bytes::copy_from_slice(piece))
                        .expect("base64"),
                );
            }
            assert_eq!(bytes, b"abcdef", "pieces of {size}");
        }
        let mut unpack = Unpack::new(Protocol::WebText);
        assert!(unpack.unpack(Bytes::from_static(b"****")).is_none());
    }

    #[test]
    fn trailers_become_a_frame() {
        let trailers = [("grpc-status", "0")].map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let frame = Protocol::Web.trailers(trailers.into_iter().collect());
        let data = frame.into_data().expect("data");
        assert_eq!(&data[..], b"\x80\0\0\0\x10grpc-status: 0\r\n");
    }
}
