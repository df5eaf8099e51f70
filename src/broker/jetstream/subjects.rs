//! Whose the subjects of a pipeline are: a server makes no stream for those that another stream takes, and does not say which.

use super::api::{Api, Refusal};
use super::names::Names;
use crate::broker::Fault;
use serde_json::{Value, json};

fn texts<'a>(value: &'a Value, path: &str) -> Vec<&'a str> {
    let list = value.pointer(path).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// An error that names the other stream, if there is one.
pub(super) async fn check(api: &Api, names: &Names) -> Result<(), Fault> {
    let own = [names.stream.clone(), names.reserve_stream()];
    for subject in names.all().into_iter().chain([names.reserve()]) {
        let found = api.call("STREAM.NAMES", &json!({ "subject": subject })).await.map_err(Refusal::fault)?;
        let Some(other) =
            texts(&found, "/streams").into_iter().find(|name| !own.iter().any(|own| own == name))
        else {
            continue;
        };
        let info = api.info(other).await.map_err(Refusal::fault)?;
        let subjects = texts(&info, "/config/subjects").join(", ");
        return Err(Fault::Fatal(format!(
            "the stream {other} there takes {subject}, which is this pipeline's (its subjects: {subjects}): give the pipeline another \
             `prefix`, or that stream other subjects"
        )));
    }
    Ok(())
}
