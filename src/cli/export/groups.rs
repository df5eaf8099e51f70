//! Which stages have to run beside each other: those that a local queue or a start order joins. Pure.

use crate::config::{Pipeline, Stage};
use std::collections::BTreeSet;

/// Stages that run in one mprun.
pub(super) struct Group<'a> {
    /// A name that a cluster accepts, different from those of the other groups.
    pub name: String,
    /// In the order of the file.
    pub stages: Vec<&'a Stage>,
}

/// A cluster takes names of at most 63 characters, and adds some of its own to those of pods.
const LONGEST_NAME: usize = 52;

/// All groups, in the order of their first stages. A file without shared queues is one.
pub(super) fn of(pipeline: &Pipeline) -> Vec<Group<'_>> {
    let mut parts: Vec<Vec<&Stage>> = Vec::new();
    for stage in &pipeline.stages {
        let (joined, others): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| part.iter().any(|other| is_joined(pipeline, other, stage)));
        parts = others;
        parts.push(joined.into_iter().flatten().chain([stage]).collect());
    }
    let place = |stage: &Stage| pipeline.stages.iter().position(|other| other.name == stage.name);
    parts.iter_mut().for_each(|part| part.sort_by_key(|stage| place(stage)));
    parts.sort_by_key(|part| part.first().and_then(|stage| place(stage)));
    named(pipeline, parts)
}

fn is_joined(pipeline: &Pipeline, a: &Stage, b: &Stage) -> bool {
    let is_local = |name: &&String| !pipeline.queues.iter().any(|queue| queue.shared && queue.name == **name);
    let queues = |stage: &'_ Stage| -> BTreeSet<String> {
        stage.work.inputs.iter().chain(&stage.work.outputs).filter(is_local).cloned().collect()
    };
    let is_alone = pipeline.broker.is_none();
    let in_order = a.after.contains(&b.name) || b.after.contains(&a.name);
    is_alone || in_order || !queues(a).is_disjoint(&queues(b))
}

fn named<'a>(pipeline: &Pipeline, parts: Vec<Vec<&'a Stage>>) -> Vec<Group<'a>> {
    let is_one = parts.len() == 1;
    let mut taken = BTreeSet::new();
    let mut groups = Vec::new();
    for stages in parts {
        let base = match stages.first() {
            Some(first) if !is_one => label(&format!("{}-{}", pipeline.name, first.name)),
            _ => label(&pipeline.name),
        };
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let name = std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name));
        let name = name.unwrap_or(base);
        taken.insert(name.clone());
        groups.push(Group { name, stages });
    }
    groups
}

/// A name as a cluster wants it: small letters, digits and dashes, with a letter or digit at both ends.
pub(super) fn label(name: &str) -> String {
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(letter).take(LONGEST_NAME).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "mprun".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, Texts, load_texts};
    use crate::stage::Registry;

    fn groups(text: &str) -> Vec<(String, Vec<String>)> {
        let texts = Texts { main: text.to_owned(), ..Texts::default() };
        let loaded =
            load_texts("/x/My_Shop.toml".as_ref(), texts, &LoadOptions::default(), &Registry::builtin())
                .unwrap();
        let names = |group: &Group<'_>| group.stages.iter().map(|stage| stage.name.clone()).collect();
        of(&loaded.pipeline).iter().map(|group| (group.name.clone(), names(group))).collect()
    }

    const STAGES: &str = "[stages.read]\nuse = 'count'\noutput = 'raw'\n[stages.split]\nuse = 'words'\ninput = 'raw'\n\
        output = 'jobs'\n[stages.work]\nuse = 'words'\ninput = 'jobs'\noutput = 'done'\n[stages.Read]\nuse = 'discard'\n\
        input = 'done'\n[stages.db]\ncommand = 'sleep 1'\n[stages.web]\ncommand = 'sleep 1'\nafter = ['db']\n";

    #[test]
    fn stages_that_only_shared_queues_join_run_apart() {
        let shared = "broker = 'redis://db'\n[queues.jobs]\nshared = true\n[queues.done]\nshared = true\n";
        let expected = [
            ("my-shop-read", vec!["read", "split"]),
            ("my-shop-work", vec!["work"]),
            ("my-shop-read-2", vec!["Read"]),
            ("my-shop-db", vec!["db", "web"]),
        ];
        let expected =
            expected.map(|(name, stages)| (name.to_owned(), stages.into_iter().map(str::to_owned).collect()));
        assert_eq!(groups(&format!("{shared}{STAGES}")), expected);
    }

    #[test]
    fn a_file_without_shared_queues_runs_as_one() {
        let groups = groups(STAGES);
        assert_eq!((groups.len(), groups[0].0.as_str(), groups[0].1.len()), (1, "my-shop", 6));
    }

    #[test]
    fn a_late_stage_joins_groups_that_were_apart() {
        let text = "broker = 'redis://db'\n[queues.q]\nshared = true\n[stages.a]\nuse = 'count'\noutput = ['x', 'q']\n\
            [stages.b]\nuse = 'count'\noutput = 'y'\n[stages.c]\nuse = 'discard'\ninput = ['x', 'y']\n[stages.d]\n\
            use = 'discard'\ninput = 'q'\n";
        let names: Vec<usize> = groups(text).iter().map(|(_, stages)| stages.len()).collect();
        assert_eq!(names, [3, 1]);
    }

    #[test]
    fn any_name_becomes_one_that_a_cluster_takes() {
        for (name, expected) in [("a_B.c", "a-b-c"), ("-x-", "x"), ("___", "mprun"), ("é1", "1")] {
            assert_eq!(label(name), expected);
        }
        assert_eq!(label(&"x".repeat(300)).len(), LONGEST_NAME);
    }
}
