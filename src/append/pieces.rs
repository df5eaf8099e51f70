//! Lines in pieces that a pipe keeps together.

/// A pipe keeps one write of so many bytes together.
pub(super) const PIPE_BUF: usize = libc::PIPE_BUF;

/// Cuts at line ends: as many whole lines as fit into `size`, or one line that is longer.
pub(super) fn pieces(lines: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let fitting = &rest[..rest.len().min(size)];
        let end = memchr::memrchr(b'\n', fitting).or_else(|| memchr::memchr(b'\n', rest));
        let (piece, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_with_a_line_and_fit_unless_a_line_does_not() {
        let lines = b"aa\nbbb\nc\nddddddddddd\n\ne\n";
        let cut: Vec<&[u8]> = pieces(lines, 7).collect();
        assert_eq!(cut, [&b"aa\nbbb\n"[..], b"c\n", b"ddddddddddd\n", b"\ne\n"]);
        assert_eq!(pieces(lines, 100).count(), 1);
        assert_eq!(pieces(b"", 7).count(), 0);
    }
}
