//! The variables that a pipeline file takes from its environment. Pure.

use regex::Regex;
use std::collections::BTreeMap;

/// Each variable, and whether the file has a default for it at every place.
pub(super) fn of<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeMap<String, bool> {
    let mut variables = BTreeMap::new();
    // Constant, and tested: it compiles.
    let Ok(pattern) = Regex::new(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?\}") else { return variables };
    let lines = texts.flat_map(str::lines).filter(|line| !line.trim_start().starts_with('#'));
    for found in lines.flat_map(|line| pattern.captures_iter(line)) {
        if let Some(name) = found.get(1) {
            let has_default = found.get(2).is_some();
            let entry = variables.entry(name.as_str().to_owned()).or_insert(true);
            *entry &= has_default;
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn variables_are_found_where_the_file_has_them() {
        let text =
            "url = \"redis://:${PASSWORD}@${HOST:-db}\" # ${LATE}\n# ${NONE}\nx = \"$${ESCAPED} ${HOST}\"\n";
        let found: Vec<(String, bool)> = of([text, "n = \"${N:-1}\""].into_iter()).into_iter().collect();
        let expected = [("HOST", false), ("LATE", false), ("N", true), ("PASSWORD", false)];
        assert_eq!(found, expected.map(|(name, default)| (name.to_owned(), default)));
    }
}
