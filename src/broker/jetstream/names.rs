//! What the stream of a pipeline and its subjects are called.

/// Stands between prefix and pipeline: no escaped text has it.
const BETWEEN: char = '+';

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    base: String,
    pub stream: String,
}

impl Names {
    pub(super) fn new(prefix: &str, pipeline: &str) -> Names {
        let (prefix, pipeline) = (escaped(prefix), escaped(pipeline));
        Names { base: format!("{prefix}.{pipeline}"), stream: format!("{prefix}{BETWEEN}{pipeline}") }
    }

    /// The prefix and the pipeline of a stream; `None`: it is none of mprun's.
    pub(super) fn read(stream: &str) -> Option<(String, String)> {
        let (prefix, pipeline) =
            stream.split_once(BETWEEN).filter(|(_, pipeline)| !pipeline.contains(BETWEEN))?;
        Some((unescaped(prefix)?, unescaped(pipeline)?))
    }

    /// The subjects of the stream.
    pub(super) fn all(&self) -> [String; 4] {
        [self.requests(), self.data(), self.snapshots(), self.heads()]
    }

    /// The stream of the reserve: see `reserve.rs`.
    pub(super) fn reserve_stream(&self) -> String {
        format!("{}{BETWEEN}reserve", self.stream)
    }

    pub(super) fn reserve(&self) -> String {
        format!("{}.reserve", self.base)
    }

    /// Requests without items.
    pub(super) fn requests(&self) -> String {
        format!("{}.request", self.base)
    }

    /// Requests with items, and parts of requests.
    pub(super) fn data(&self) -> String {
        format!("{}.data", self.base)
    }

    /// Parts of snapshots.
    pub(super) fn snapshots(&self) -> String {
        format!("{}.snapshot", self.base)
    }

    /// Which parts are a snapshot.
    pub(super) fn heads(&self) -> String {
        format!("{}.head", self.base)
    }
}

/// What may stand in the name of a stream and in a subject.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => char::from(byte).to_string(),
        other => format!("={other:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut parts = text.split('=');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        let code = part.get(..2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(part.get(2..)?.bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_stream_of_its_own() {
        let names = Names::new("mprun", "shop");
        assert_eq!((&*names.stream, &*names.requests()), ("mprun+shop", "mprun.shop.request"));
        for (prefix, pipeline) in [("a.b", "c d"), ("a+b", "*"), ("=", ">/\\"), ("ä", "x-y_z")] {
            let names = Names::new(prefix, pipeline);
            assert!(!names.stream.contains(['.', ' ', '*', '>', '/', '\\']), "{}", names.stream);
            assert_eq!(Names::read(&names.stream), Some((prefix.into(), pipeline.into())));
        }
        assert_eq!(Names::read("ORDERS"), None);
        assert_eq!(Names::read(&names.reserve_stream()), None);
    }
}
