//! A setting that may be absent, with nothing in its place.

use serde_json::Value;

use super::Element;
use crate::config::diagnostic::Report;
use crate::config::document::Node;

impl<T: Element> Element for Option<T> {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        T::read(node, report).map(Some)
    }

    fn accepted() -> String {
        T::accepted()
    }

    fn schema() -> Value {
        T::schema()
    }

    fn written(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::written)
    }

    fn over(self, beneath: Self) -> Self {
        match (self, beneath) {
            (Some(this), Some(beneath)) => Some(this.over(beneath)),
            (this, beneath) => this.or(beneath),
        }
    }
}
