//! What a pipeline file may say of `http`.

use crate::stage::builtin::testing::faults;
use serde_json::{Value, json};

fn said(with: Value) -> String {
    let faults = faults("http", with);
    faults.iter().map(|fault| format!("{:?}: {}\n", fault.key, fault.message)).collect()
}

#[test]
fn a_good_table_has_no_fault() {
    let headers = json!({ "Authorization": "Bearer t0ken", "X-Tag": "ä", "Host": "b" });
    for with in [
        json!({ "url": "http://a" }),
        json!({ "url": "http://ann:b@a:1/c?d", "method": "PUT", "max_items": 1000 }),
        json!({ "url": "http://[::1]/", "headers": headers }),
    ] {
        assert_eq!(said(with), "");
    }
}

#[test]
fn a_fault_names_its_key_and_no_secret() {
    for (with, wrong) in [
        (json!({}), "needs the parameter `url`"),
        (json!({ "url": "http://u:s3cret@" }), "empty host"),
        (json!({ "url": "http://u:s3cret@a/b\nc" }), "\"url\"): `url` has U+000A as character 20"),
        (json!({ "url": 7 }), "\"url\""),
        (json!({ "url": "http://a", "method": "GET" }), "\"method\""),
        (json!({ "url": "http://a", "max_items": 0 }), "at least 1"),
        (json!({ "url": "http://a", "max_items": 1001 }), "at most 1000"),
        (json!({ "url": "http://a", "headers": "s3cret" }), "takes a table"),
        (json!({ "url": "http://a", "headers": { "a b": "s3cret" } }), "no name of a header"),
        (json!({ "url": "http://a", "headers": { "a": "s3cret\n" } }), "value for `a`"),
        (json!({ "url": "http://a", "headers": { "a": 5 } }), "text in quotes for `a`"),
        (json!({ "url": "http://a", "headers": { "A": "s3cret", "a": "x" } }), "twice"),
        (json!({ "url": "http://a", "headers": { "idempotency-key": "s3cret" } }), "sets itself"),
        (json!({ "url": "http://a", "headers": { "Transfer-Encoding": "chunked" } }), "sets itself"),
        (json!({ "url": "http://u:s3cret@a", "headers": { "authorization": "s3cret" } }), "both say"),
    ] {
        let said = said(with.clone());
        assert!(said.contains(wrong) && !said.contains("s3cret"), "{with}: {said}");
    }
}
