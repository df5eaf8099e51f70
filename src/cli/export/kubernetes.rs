//! A pipeline as Kubernetes manifests. Pure.
//!
//! Each group of stages is a workload: a Job where the run ends by itself, a StatefulSet where a pod has to keep its state folder, else a
//! Deployment. A pod runs one mprun, which is process 1: TERM drains it, and the probes ask its control socket.
//!
//! A machine is its state folder. So a group whose machine the run would wait for has it on a claim, and a pod that takes the place of
//! another is the same machine.

use super::groups::{self, Group};
use super::volumes::{self, ConfigFiles, FOLDER, Named};
use super::{plain_secrets, variables, yaml};
use crate::config::{Pipeline, Stage, Texts};
use crate::link::LinkPlan;
use crate::model::Machines;
use crate::stage::Registry;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub(super) struct Request<'a> {
    pub file: &'a Path,
    pub image: &'a str,
    pub pipeline: &'a Pipeline,
    pub texts: &'a Texts,
    pub registry: &'a Registry,
}

pub(super) struct Manifests {
    pub text: String,
    pub warnings: Vec<String>,
}

const STATE: &str = "/var/lib/mprun";
const RUNTIME: &str = "/run/mprun";
/// Beyond `drain_timeout`: to stop what is not done by then.
const AFTER_DRAIN: Duration = Duration::from_secs(15);

pub(super) fn manifests(request: &Request<'_>) -> Result<Manifests, String> {
    let Request { pipeline, texts, registry, .. } = request;
    let all = || texts.included.iter().map(|included| included.text.as_str()).chain([texts.main.as_str()]);
    if pipeline.broker.as_ref().is_some_and(|broker| all().any(|text| broker.url.is_password_in(text))) {
        return Err("the address of the broker holds a password, which would be in the ConfigMap: write a variable, such as \
                    redis://:${REDIS_PASSWORD}@HOST, or `credentials_file`"
            .into());
    }
    if let Some(stage) = pipeline.stages.iter().find(|stage| plain_secrets::are_in(stage, all())) {
        return Err(format!(
            "a secret of the stage {} stands in the file, and would be in the ConfigMap: write a variable, such as ${{TOKEN}}",
            stage.name
        ));
    }
    let named = texts.included.iter().map(|included| (included.path.as_path(), included.text.as_str()));
    let mut named = named.chain([(request.file, texts.main.as_str())]);
    if let Some((file, (line, variable))) =
        named.find_map(|(file, text)| Some((file, plain_secrets::first_line(text)?)))
    {
        let instead = match variable {
            Some(name) => format!("it is the default of ${{{name}}}, so write ${{{name}}} or ${{{name}:-}}"),
            None => "write a variable, such as ${TOKEN}".to_owned(),
        };
        return Err(format!(
            "line {line} of {} holds a secret, which would be in the ConfigMap: {instead}",
            file.display()
        ));
    }
    let name = groups::label(&pipeline.name);
    let file = request.file.file_name().and_then(|name| name.to_str()).ok_or("its name is no text")?;
    let config = ConfigFiles::of(file, &pipeline.folder, texts)?;
    let export = Export { request, name, file, config, variables: variables::of(all()) };
    let groups = groups::of(pipeline);
    let secrets = volumes::secrets(pipeline, pipeline.stages.iter())?;
    let mut text = export.head(&secrets, &groups);
    text += &yaml::document(&export.config_map());
    for group in &groups {
        let owned = Owned::of(pipeline, group);
        let kind = Kind::of(pipeline, registry, !owned.is_none());
        let state = State::of(kind, !owned.is_none());
        text += &group_comment(group, kind, &owned);
        for manifest in export.workload(group, kind, state)? {
            text += &yaml::document(&manifest);
        }
    }
    Ok(Manifests { text, warnings: warnings(pipeline, registry) })
}

/// What runs the pods of a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Job,
    StatefulSet,
    Deployment,
}

impl Kind {
    /// A run that ends by itself would be started over and over by a Deployment.
    fn of(pipeline: &Pipeline, registry: &Registry, is_of_machine: bool) -> Kind {
        let sources = || pipeline.stages.iter().filter(|stage| is_source(stage));
        let ends = sources().all(|stage| stage.work.ends(registry) && stage.rules.schedule.is_none());
        let has_service = pipeline.stages.iter().any(|stage| stage.work.is_service());
        match sources().count() > 0 && ends && !has_service {
            true => Kind::Job,
            false if pipeline.is_durable() || is_of_machine => Kind::StatefulSet,
            false => Kind::Deployment,
        }
    }
}

/// Where a pod has its state folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It goes with the pod.
    Pod,
    /// The claim of the Job: its next pod has it again.
    Job,
    /// A claim for each pod of the StatefulSet.
    Replica,
}

impl State {
    fn of(kind: Kind, is_of_machine: bool) -> State {
        match kind {
            Kind::StatefulSet => State::Replica,
            Kind::Job if is_of_machine => State::Job,
            Kind::Job | Kind::Deployment => State::Pod,
        }
    }
}

/// The stages of a group that the run knows by their machine.
#[derive(Default)]
struct Owned {
    /// The run waits for the machine where they have not ended.
    waited_for: Vec<String>,
    /// The machine continues from their positions.
    placed: Vec<String>,
}

impl Owned {
    fn of(pipeline: &Pipeline, group: &Group<'_>) -> Owned {
        let mut owned = Owned::default();
        for line in LinkPlan::of(pipeline).map_or(Vec::new(), |plan| plan.lines) {
            if !group.stages.iter().any(|stage| stage.name == line.stage) {
                continue;
            }
            if line.is_waited_for() {
                owned.waited_for.push(line.stage);
            } else if line.has_own_position() {
                owned.placed.push(line.stage);
            }
        }
        owned
    }

    fn is_none(&self) -> bool {
        self.waited_for.is_empty() && self.placed.is_empty()
    }

    fn comment(&self) -> String {
        let mut text = String::new();
        if !self.is_none() {
            text +=
                "# The claim holds the machine's id, so a pod that replaces another is the same machine.\n";
        }
        if !self.waited_for.is_empty() {
            text += &format!(
                "# As a new one it would begin anew with {}, and the run would wait for the old one until `mprun forget`.\n",
                self.waited_for.join(", ")
            );
        }
        if !self.placed.is_empty() {
            text += &format!(
                "# It cuts off what {} has written of items that come again, as far as the file is there still.\n",
                self.placed.join(", ")
            );
        }
        text
    }
}

fn claim_spec() -> Value {
    json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } })
}

fn state_claim(group: &Group<'_>) -> String {
    format!("{}-state", group.name)
}

/// A source that works on each machine that runs it.
fn is_everywhere(stage: &Stage) -> bool {
    is_source(stage) && stage.placed != Some(Machines::One)
}

fn is_source(stage: &Stage) -> bool {
    stage.work.inputs.is_empty() && !stage.work.is_service()
}

fn names(stages: &[&Stage]) -> Vec<String> {
    stages.iter().map(|stage| stage.name.clone()).collect()
}

fn group_comment(group: &Group<'_>, kind: Kind, owned: &Owned) -> String {
    let stages = names(&group.stages).join(", ");
    let one_by_one: Vec<&Stage> =
        group.stages.iter().copied().filter(|stage| stage.placed == Some(Machines::One)).collect();
    let copies = match group.stages.iter().find(|stage| is_everywhere(stage)) {
        Some(source) => format!("one pod: each runs `{}`, and so emits all of its items", source.name),
        None if kind == Kind::Job && !owned.is_none() => "one pod for each claim".to_owned(),
        None if kind == Kind::Job => "`parallelism`: any number of pods".to_owned(),
        None => "`replicas`: any number of pods".to_owned(),
    };
    let mut text = format!("# {stages}: {copies}.\n");
    if !one_by_one.is_empty() {
        text += &format!(
            "# {} (machines = \"one\") works in one pod at a time: the next pod continues from its position in the broker.\n",
            names(&one_by_one).join(", ")
        );
    }
    text + &owned.comment()
}

fn warnings(pipeline: &Pipeline, registry: &Registry) -> Vec<String> {
    let mut warnings = Vec::new();
    for stage in &pipeline.stages {
        if stage.work.reads_stdin(registry) {
            warnings.push(format!("the stage {} reads standard input, which is empty in a pod", stage.name));
        }
        let log = stage.log_file.as_ref().map(|file| file.path.as_path());
        let sink = match &stage.work.task {
            crate::config::Task::Use { name, with } if name == "file" => {
                with.get("path").and_then(Value::as_str)
            }
            _ => None,
        };
        for path in log.into_iter().chain(sink.map(Path::new)).filter(|path| path.is_relative()) {
            let (name, path) = (&stage.name, path.display());
            warnings.push(format!(
                "the stage {name} writes {path} in the file's folder, which a pod can only read: name a path in {STATE} or on a \
                 volume of yours"
            ));
        }
    }
    if pipeline.metrics.is_some_and(|address| address.ip().is_loopback()) {
        warnings.push(
            "`metrics` listens on the loopback address, which no other pod reaches: use 0.0.0.0".into(),
        );
    }
    warnings
}

struct Export<'a> {
    request: &'a Request<'a>,
    /// Of the pipeline, as a cluster takes it.
    name: String,
    file: &'a str,
    config: ConfigFiles<'a>,
    variables: BTreeMap<String, bool>,
}

impl Export<'_> {
    fn head(&self, secrets: &[Named], groups: &[Group<'_>]) -> String {
        let mut text = format!(
            "# {} on Kubernetes, written by `mprun export kubernetes`.\n",
            self.request.pipeline.name
        );
        let values = self.variables.iter().filter(|(_, has_default)| !**has_default);
        let mut words: Vec<String> = values.map(|(name, _)| format!("--from-literal={name}=…")).collect();
        words.extend(secrets.iter().map(|file| format!("--from-file={}={}", file.key, file.here.display())));
        if !words.is_empty() {
            text += "# What the file leaves to its environment comes from a Secret of yours:\n";
            text += &format!(
                "#   kubectl create secret generic {} \\\n#     {}\n",
                self.name,
                words.join(" \\\n#     ")
            );
        }
        if groups.len() > 1 {
            text += "# Stages that only shared queues join run apart from each other.\n";
        }
        text
    }

    fn labels(&self, group: Option<&str>) -> Value {
        let mut labels = json!({ "app.kubernetes.io/name": self.name });
        if let Some(group) = group {
            labels["app.kubernetes.io/component"] = group.into();
        }
        labels
    }

    fn metadata(&self, name: &str, group: Option<&str>) -> Value {
        let mut labels = self.labels(group);
        labels["app.kubernetes.io/managed-by"] = "mprun".into();
        json!({ "name": name, "labels": labels })
    }

    fn config_map(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": self.metadata(&self.name, None),
            "data": self.config.data(),
        })
    }

    fn workload(&self, group: &Group<'_>, kind: Kind, state: State) -> Result<Vec<Value>, String> {
        let labels = self.labels(Some(&group.name));
        let metadata = self.metadata(&group.name, Some(&group.name));
        let pod = json!({ "metadata": { "labels": labels }, "spec": self.pod(group, kind, state)? });
        let selector = json!({ "matchLabels": labels });
        let is_alone = group.stages.iter().any(|stage| is_everywhere(stage));
        Ok(match kind {
            Kind::Job => {
                let claim = json!({
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "metadata": self.metadata(&state_claim(group), Some(&group.name)), "spec": claim_spec(),
                });
                let job = json!({
                    "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
                    "spec": { "parallelism": 1, "template": pod },
                });
                (state == State::Job).then_some(claim).into_iter().chain([job]).collect()
            }
            Kind::Deployment => {
                let mut spec = json!({ "replicas": 1, "selector": selector, "template": pod });
                if is_alone {
                    spec["strategy"] = json!({ "type": "Recreate" });
                }
                vec![
                    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec }),
                ]
            }
            Kind::StatefulSet => {
                let claim = json!({ "metadata": { "name": "state" }, "spec": claim_spec() });
                let service = json!({
                    "apiVersion": "v1", "kind": "Service", "metadata": metadata,
                    "spec": { "clusterIP": "None", "selector": labels },
                });
                let spec = json!({
                    "serviceName": group.name, "replicas": 1, "selector": selector, "template": pod,
                    "volumeClaimTemplates": [claim],
                });
                vec![
                    service,
                    json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec }),
                ]
            }
        })
    }

    fn pod(&self, group: &Group<'_>, kind: Kind, state: State) -> Result<Value, String> {
        let pipeline = self.request.pipeline;
        let secrets = volumes::secrets(pipeline, group.stages.iter().copied())?;
        let elsewhere = volumes::mounts(&secrets);
        let mut volumes = vec![
            volumes::volume(&self.name, &self.config, &self.name, &secrets),
            json!({ "name": "run", "emptyDir": { "medium": "Memory" } }),
        ];
        match state {
            State::Pod => volumes.push(json!({ "name": "state", "emptyDir": {} })),
            State::Job => volumes.push(
                json!({ "name": "state", "persistentVolumeClaim": { "claimName": state_claim(group) } }),
            ),
            State::Replica => {}
        }
        if !elsewhere.is_empty() {
            volumes.push(json!({ "name": "secrets", "secret": { "secretName": self.name } }));
        }
        let mut spec = json!({
            "terminationGracePeriodSeconds": (pipeline.drain_timeout + AFTER_DRAIN).as_secs(),
            "containers": [self.container(group, elsewhere)],
            "volumes": volumes,
        });
        if kind == Kind::Job {
            spec["restartPolicy"] = "OnFailure".into();
        }
        Ok(spec)
    }

    fn container(&self, group: &Group<'_>, elsewhere: Vec<Value>) -> Value {
        let pipeline = self.request.pipeline;
        let file = format!("{FOLDER}/{}", self.file);
        let mut args = vec!["run".to_owned(), file.clone()];
        if group.stages.len() < pipeline.stages.len() {
            args.extend(["--stages".to_owned(), names(&group.stages).join(",")]);
        }
        let mut mounts = vec![
            json!({ "name": "files", "mountPath": FOLDER, "readOnly": true }),
            json!({ "name": "run", "mountPath": RUNTIME }),
            json!({ "name": "state", "mountPath": STATE }),
        ];
        mounts.extend(elsewhere);
        let mut container = json!({
            "name": "mprun",
            "image": self.request.image,
            "command": ["mprun"],
            "args": args,
            "env": self.environment(),
            "volumeMounts": mounts,
        });
        if pipeline.control.enabled {
            let ask = |words: &[&str]| {
                let words = [&["mprun", "status"], words, &[file.as_str()]].concat();
                json!({ "command": words })
            };
            container["startupProbe"] =
                json!({ "exec": ask(&[]), "periodSeconds": 2, "failureThreshold": 60 });
            container["livenessProbe"] =
                json!({ "exec": ask(&[]), "periodSeconds": 30, "timeoutSeconds": 10 });
            container["readinessProbe"] =
                json!({ "exec": ask(&["--check"]), "periodSeconds": 10, "timeoutSeconds": 10 });
        }
        if let Some(address) = pipeline.metrics {
            container["ports"] = json!([{ "name": "metrics", "containerPort": address.port() }]);
        }
        container
    }

    fn environment(&self) -> Vec<Value> {
        let mut all = vec![
            json!({ "name": "XDG_RUNTIME_DIR", "value": RUNTIME }),
            json!({ "name": "XDG_STATE_HOME", "value": STATE }),
        ];
        all.extend(self.variables.iter().map(|(name, has_default)| {
            let mut reference = json!({ "name": self.name, "key": name });
            if *has_default {
                reference["optional"] = true.into();
            }
            json!({ "name": name, "valueFrom": { "secretKeyRef": reference } })
        }));
        all
    }
}
