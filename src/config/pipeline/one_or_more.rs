//! Paths as a run keeps them for the program that takes over: one by itself, as versions before lists of them have it.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Kept {
    None(()),
    One(PathBuf),
    More(Vec<PathBuf>),
}

pub(super) fn serialize<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
    let kept = match paths {
        [] => Kept::None(()),
        [path] => Kept::One(path.clone()),
        more => Kept::More(more.to_vec()),
    };
    kept.serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    Ok(match Kept::deserialize(from)? {
        Kept::None(()) => Vec::new(),
        Kept::One(path) => vec![path],
        Kept::More(paths) => paths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Kept(#[serde(with = "super")] Vec<PathBuf>);

    #[test]
    fn one_path_is_written_as_before_there_were_lists() {
        for (paths, written) in [(vec![], "null"), (vec!["a"], "\"a\""), (vec!["a", "b"], "[\"a\",\"b\"]")] {
            let kept = Kept(paths.into_iter().map(PathBuf::from).collect());
            assert_eq!(serde_json::to_string(&kept).unwrap(), written);
            assert_eq!(serde_json::from_str::<Kept>(written).unwrap(), kept);
        }
    }
}
