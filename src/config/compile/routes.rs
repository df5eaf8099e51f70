//! The outputs of stages that send some items here and others there: the queues of `routes`, and one that a parameter names.

use super::draft::Draft;
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::document::Node;
use crate::config::elements::{Name, QueueName};
use crate::config::keys::Rule;
use crate::model::Route;
use crate::stage::Registry;

/// What stands for no queue.
const DROP: &str = "drop";

/// Adds the outputs that the stages have beside `output`, before anything is said of outputs.
pub(super) fn settle(drafts: &mut [Draft], registry: &Registry, report: &mut Report) {
    for draft in drafts {
        check(draft, registry, report);
        if draft.keys.routes.at.is_some() {
            let queues = queues(&draft.keys.routes.value);
            draft.apart = queues.len();
            draft.keys.output.value = queues;
        } else if let Some(queue) = named_output(draft, registry) {
            add(draft, queue, report);
        }
    }
}

/// The rules as the workers have them.
pub(super) fn compile(draft: &Draft) -> Vec<Route> {
    let route = |rule: &Rule| {
        let to = rule.keys.to.value.clone().filter(|queue| queue != DROP);
        Route { when: rule.keys.when.value.clone(), to }
    };
    draft.keys.routes.value.iter().map(route).collect()
}

/// Each once, in the order of the rules.
fn queues(rules: &[Rule]) -> Vec<QueueName> {
    let mut queues: Vec<QueueName> = Vec::new();
    for rule in rules {
        let (Some(name), Some(at)) = (&rule.keys.to.value, &rule.keys.to.at) else { continue };
        if name != DROP && queues.iter().all(|queue| queue.name != *name) {
            queues.push(QueueName { name: name.clone(), span: at.value.clone() });
        }
    }
    queues
}

fn check(draft: &Draft, registry: &Registry, report: &mut Report) {
    let keys = &draft.keys;
    let takes_routes = keys.r#use.value.as_deref().is_some_and(|uses| registry.takes_routes(uses));
    match &keys.routes.at {
        Some(at) if !takes_routes => {
            let routers: Vec<String> = registry.routers().map(|name| format!("use = \"{name}\"")).collect();
            let fault = Diagnostic::error(format!("`routes` goes with {}", routers.join(" or "))).at(&at.key);
            report.push(
                fault.help("a stage of another kind writes its `output`: let a `route` stage read that"),
            );
        }
        Some(at) => {
            if let Some(output) = &keys.output.at {
                let fault = Diagnostic::error("the queues of `routes` are the outputs of the stage");
                let fault = fault.at(&output.key).also(&at.key, "here").help("leave `output` out");
                report.push(fault);
            }
            check_rules(&keys.routes.value, at, report);
        }
        None if takes_routes && !keys.unread.may_be("routes") => {
            let at = keys.r#use.at.as_ref().map_or(&draft.span, |at| &at.value);
            let fault = Diagnostic::error(format!("the stage `{}` has no `routes`", draft.name)).at(at);
            let help =
                "such as `routes = [{ when = 'status >= 500', to = \"errors\" }, { to = \"others\" }]`";
            report.push(fault.help(help));
        }
        None => {}
    }
}

fn check_rules(rules: &[Rule], at: &crate::config::elements::At, report: &mut Report) {
    let mut last: Option<&Rule> = None;
    for rule in rules {
        if rule.keys.to.at.is_none() && !rule.keys.unread.may_be("to") {
            let fault =
                Diagnostic::error("a rule without `to`").at(&rule.span).label("where does the item go?");
            report.push(fault.help("write `to = \"QUEUE\"`, or `to = \"drop\"`"));
        }
        if let Some(last) = last {
            let fault = Diagnostic::error("no item comes to this rule").at(&rule.span);
            let fault = fault.also(&last.span, "without `when` this one holds for every item");
            report.push(fault.help("the first rule that holds counts: the one without `when` is the last"));
        }
        if rule.keys.when.at.is_none() && !rule.keys.unread.may_be("when") {
            last = last.or(Some(rule));
        }
    }
    let lost = rules.iter().any(|rule| rule.keys.unread.may_be("to"));
    if queues(rules).is_empty() && !lost && rules.iter().all(|rule| rule.keys.to.at.is_some()) {
        let fault = Diagnostic::error("no rule leads to a queue").at(&at.value);
        report.push(fault.help("to drop all items, write `use = \"discard\"`"));
    }
}

/// The queue that a parameter of the stage names.
fn named_output(draft: &Draft, registry: &Registry) -> Option<QueueName> {
    let (key, words) = registry.output_key(draft.keys.r#use.value.as_deref()?)?;
    let node: &Node = &draft.keys.with.value.get(key)?.value;
    let name = node.text().filter(|name| !words.contains(name) && Name::fault(name).is_none())?;
    Some(QueueName { name: name.to_owned(), span: node.span.clone() })
}

fn add(draft: &mut Draft, queue: QueueName, report: &mut Report) {
    let output = &mut draft.keys.output;
    if output.value.is_empty() && !draft.keys.unread.may_be("output") {
        let title = format!("the stage `{}` has no `output` beside this queue", draft.name);
        let help = "write `output = \"QUEUE\"`; a stage that reads it, such as `command = \"cat\"`, prints";
        report.push(Diagnostic::error(title).at(&queue.span).help(help));
    }
    match output.value.iter().find(|other| other.name == queue.name) {
        None => {
            output.value.push(queue);
            draft.apart = 1;
        }
        // With one queue for all, what is apart is meant to be in it.
        Some(_) if output.value.len() == 1 => {}
        Some(other) => {
            let title = format!("all items of `{}` go to `{}`, not only those apart", draft.name, queue.name);
            let caution = Diagnostic::warning(title).at(&other.span);
            let caution = caution.also(&queue.span, "this makes it an output already, for some items");
            report.push(caution.help(format!("leave `{}` out of `output`", queue.name)));
        }
    }
}
