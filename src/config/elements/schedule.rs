//! Moments as cron writes them.

use serde_json::{Value, json};

use super::{Element, read_text};
use crate::config::diagnostic::{Report, quote};
use crate::config::document::Node;
use crate::config::pipeline::Schedule;

/// `schedule`: five fields, or six with seconds first.
pub(crate) struct ScheduleText;

impl Element for ScheduleText {
    type Output = Schedule;

    fn read(node: &Node, report: &mut Report) -> Option<Schedule> {
        read_text::<Self>(node, report, "a schedule in quotes", |text| {
            Schedule::parse(text).map_err(|why| format!("{} is no schedule: {why}", quote(text)))
        })
    }

    fn accepted() -> String {
        r#"five fields as in a crontab, such as "*/5 * * * *" or "30 4 * * MON", or six with seconds first"#
            .into()
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1, "examples": ["*/5 * * * *", "30 4 * * MON"] })
    }

    fn written(schedule: &Schedule) -> Value {
        schedule.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn the_fields_of_a_crontab() {
        accepts::<ScheduleText>(&["\"*/5 * * * *\"", "\"0 30 4 * * MON\"", "\"@daily\""]);
        refuses::<ScheduleText>(&[
            ("\"* * * *\"", "is no schedule"),
            ("\"0 0 30 2 *\"", "there is never such a day"),
            ("5", "in quotes"),
        ]);
    }
}
