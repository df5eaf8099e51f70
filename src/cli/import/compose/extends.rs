//! `extends`: a service takes what another one of the same file says.

use super::yaml::Value;

/// Lists of a service and of the one that it extends, which are joined.
const JOINED: [&str; 1] = ["env_file"];

/// All services, each with what it takes over. One whose `extends` can't be followed keeps that key.
pub(super) fn merged(all: &[(String, Value)]) -> Vec<(String, Value)> {
    all.iter().map(|(name, service)| (name.clone(), whole(service, all, &[name]))).collect()
}

/// `way`: those that led here, so that none extends itself.
fn whole(service: &Value, all: &[(String, Value)], way: &[&str]) -> Value {
    let base = base_of(service).and_then(|name| all.iter().find(|(own, _)| own == name));
    let Some((name, base)) = base.filter(|(name, _)| !way.contains(&name.as_str())) else {
        return service.clone();
    };
    let way = [way, &[name.as_str()]].concat();
    let base = whole(base, all, &way);
    if base.get("extends").is_some() {
        return service.clone(); // it leads back here, or out of the file
    }
    let mut entries: Vec<(String, Value)> =
        service.entries().iter().filter(|(key, _)| key != "extends").cloned().collect();
    for (key, theirs) in base.entries() {
        match entries.iter_mut().find(|(own, _)| own == key) {
            Some((_, ours)) => *ours = joined(key, theirs, ours),
            None => entries.push((key.clone(), theirs.clone())),
        }
    }
    Value::Map(entries)
}

/// The service that it extends, if that stands in this file.
fn base_of(service: &Value) -> Option<&str> {
    let extends = service.get("extends")?;
    match extends.get("file") {
        Some(_) => None,
        None => extends.text().or_else(|| extends.get("service")?.text()),
    }
}

/// What is said by both.
fn joined(key: &str, theirs: &Value, ours: &Value) -> Value {
    match (as_table(key, theirs), as_table(key, ours)) {
        (Some(mut all), Some(own)) => {
            for (name, value) in own {
                match all.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, old)) => *old = value,
                    None => all.push((name, value)),
                }
            }
            Value::Map(all)
        }
        _ if JOINED.contains(&key) => Value::List([theirs, ours].into_iter().flat_map(as_list).collect()),
        _ => ours.clone(),
    }
}

/// As a table, where both sides are to be mixed name by name.
fn as_table(key: &str, value: &Value) -> Option<Vec<(String, Value)>> {
    let named = |text: &str| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Value::Text(value.to_owned())),
        None => (text.to_owned(), Value::Null),
    };
    match (key, value) {
        ("environment" | "healthcheck" | "deploy", Value::Map(entries)) => Some(entries.clone()),
        ("environment", Value::List(_)) => Some(value.texts().into_iter().map(named).collect()),
        ("depends_on", Value::Map(entries)) => Some(entries.clone()),
        ("depends_on", Value::List(_)) => {
            Some(value.texts().into_iter().map(|name| (name.to_owned(), started())).collect())
        }
        _ => None,
    }
}

/// What a plain name in `depends_on` means.
fn started() -> Value {
    Value::Map(vec![("condition".to_owned(), Value::Text("service_started".to_owned()))])
}

fn as_list(value: &Value) -> Vec<Value> {
    match value {
        Value::List(values) => values.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    fn of(file: &str, name: &str) -> String {
        let all = merged(yaml::parse(file).unwrap().entries());
        all.into_iter().find(|(own, _)| own == name).unwrap().1.shown()
    }

    #[test]
    fn variables_files_and_dependencies_are_joined_and_all_else_is_its_own() {
        let file = "base: {command: [a, b], environment: {A: 1, B: 2}, env_file: x.env, depends_on: [db], user: me}\n\
                    mid: {extends: base, environment: [B=3]}\n\
                    top: {extends: {service: mid}, command: c, env_file: [y.env], depends_on: {mq: {condition: service_healthy}}}\n";
        assert_eq!(
            of(file, "top"),
            "{command: c, env_file: [x.env, y.env], depends_on: {db: {condition: service_started}, \
             mq: {condition: service_healthy}}, environment: {A: 1, B: 3}, user: me}"
        );
    }

    #[test]
    fn what_leads_nowhere_or_back_is_left_as_it_is() {
        let file = "a: {extends: b, command: x}\nb: {extends: a}\nc: {extends: gone}\nd: {extends: {file: f, service: a}}\ne: {extends: e}\n";
        for name in ["a", "b", "c", "d", "e"] {
            assert!(of(file, name).contains("extends"), "{name}");
        }
    }
}
