//! What conditions mean.

use super::conditions::Inapplicable;
use super::{Condition, Conditions};
use std::time::{Duration, Instant};

fn holds(text: &str, item: &str) -> Result<bool, String> {
    let condition = Condition::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    match Conditions::new(vec![Some(condition)]).first_that_holds(item.as_bytes()) {
        Ok(place) => Ok(place.is_some()),
        Err(Inapplicable::Unread(why) | Inapplicable::Failed { text: why, .. }) => Err(why),
    }
}

fn fault(text: &str) -> (String, String, String) {
    let fault = Condition::parse(text).err().unwrap_or_else(|| panic!("{text} is accepted"));
    let place = text.get(fault.place).unwrap_or_else(|| panic!("{text}: the place is in a character"));
    (fault.message, place.to_owned(), fault.help.unwrap_or_default())
}

#[test]
fn an_operator_that_no_item_satisfies_is_refused_with_its_place() {
    for (text, place, said) in [
        ("1 < a < 5", "<", "`<` does not take true or false and a whole number"),
        ("a in 5", "in", "`in` does not take a whole number"),
        ("a in \"xyz\"", "in", "`in` does not take a text"),
        ("size(a) > \"3\"", ">", "`>` does not take a whole number and a text"),
        ("a % 0 == 1", "%", "division by zero"),
        ("b && a / 0 == 1", "/", "division by zero"),
        ("a - 1 > \"3\"", ">", "`>` does not take a number and a text"),
        ("a > [1]", ">", "`>` does not take a list"),
        ("a * \"2\" > 1", "*", "`*` does not take a text"),
        ("size(a) + 0.5 > 1.0", "+", "`+` does not take a whole number and a decimal number"),
        ("a.startsWith(\"x\") > 1", ">", "`>` does not take true or false and a whole number"),
    ] {
        let (message, at, _) = fault(text);
        assert_eq!((message.as_str(), at.as_str()), (said, place), "{text}");
    }
    assert!(fault("1 < a < 5").2.contains("&&"));
    for good in [
        "a in b",
        "a in [1, \"x\"]",
        "\"x\" in a",
        "a + 9223372036854775807 > 1",
        "a - 0u > 1",
        "a % 2 == 1",
        "5 / a > 1",
        "a / 0.0 > 1.0",
        "a > null",
        "(a > 1) == (b > 2)",
        "size(a) > 3.5",
        "a + \"x\" == \"yx\"",
        "a + [1] == [1]",
        "-a < 5",
        "a.exists(x, x > 1) == true",
    ] {
        assert!(Condition::parse(good).is_ok(), "{good}: {:?}", Condition::parse(good).err());
    }
}

/// Each row of the page's tables with a condition and an item says what comes of them.
#[test]
fn the_page_on_conditions_is_true() {
    let page = include_str!("../../docs/conditions.md");
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        let [condition, item, outcome, ..] = cells[..] else { return None };
        let code =
            |cell: &str| cell.strip_prefix('`')?.strip_suffix('`').map(|text| text.replace("\\|", "|"));
        Some((code(condition)?, code(item)?, outcome.to_owned()))
    });
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 40, "only {} rows", rows.len());
    for (condition, item, outcome) in rows {
        let expected = match holds(&condition, &item) {
            Ok(true) => "holds".to_owned(),
            Ok(false) => "does not hold".to_owned(),
            Err(_) => "fails".to_owned(),
        };
        assert_eq!(outcome, expected, "{condition} for {item}");
    }
    for function in super::functions::names() {
        assert!(
            page.contains(&format!("`{function}`")) || page.contains(&format!("{function}(")),
            "{function} is not on the page"
        );
    }
}

#[test]
fn numbers_compare_whatever_their_kind() {
    let item = r#"{"whole": 1000, "part": 999.5, "same": 1000.0, "huge": 18446744073709551615, "e": 1e300, "neg": -1}"#;
    for good in [
        "whole > part",
        "whole > 999.5",
        "part < 1000",
        "whole == same",
        "whole == 1000.0 && same == 1000",
        "huge > whole && huge > 9223372036854775807 && huge == 18446744073709551615u",
        "e > huge",
        "neg < 0 && neg < huge",
        "whole in [999, 1000.0]",
        "double(whole) + part == 1999.5",
    ] {
        assert_eq!(holds(good, item), Ok(true), "{good}");
    }
}

#[test]
fn a_whole_number_and_a_large_decimal_number_of_the_condition_are_compared_exactly() {
    for (good, item) in [
        ("a != 9007199254740992.0 && a > 9007199254740992.0", "9007199254740993"),
        ("!(a <= 9007199254740992.0) && 9007199254740992.0 < a", "9007199254740993"),
        ("!(a in [9007199254740992.0, 9007199254740992])", "9007199254740993"),
        ("a != -9007199254740992.0 && a < -9007199254740992.0", "-9007199254740993"),
        ("a == 9007199254740992.0", "9007199254740992"),
        ("a < 9223372036854775808.0 && a >= 1e18", "9223372036854775807"),
        ("a == -9223372036854775808.0", "-9223372036854775808"),
        ("a == 9223372036854775808.0 && a < 1e19", "9223372036854775808"),
        ("a > 18446744073709549568.0 && a < 1e20", "18446744073709551615"),
        ("a == 1e18 && a > 9e17 && a <= 1e18 && a + 0.5 == 1e18 + 0.5", "1e18"),
        ("double(a) == 9007199254740992.0 && double(a) * 0.5 < 1e18", "9007199254740992"),
        ("type(1e18) == double && a < 1e300 && a > -1e300", "7"),
        ("[a].exists(x, x > 9007199254740992.0)", "9007199254740993"),
    ] {
        assert_eq!(holds(good, &format!("{{\"a\": {item}}}")), Ok(true), "{good} for {item}");
    }
}

/// As Python and JavaScript write them: the shortest digits from which the same number is read.
#[test]
fn a_decimal_number_of_an_item_is_the_one_that_is_written() {
    let mut random = fastrand::Rng::with_seed(16);
    let mut numbers: Vec<f64> = (0..4000).map(|_| random.f64() * 100.0).collect();
    numbers.extend((0..4000).map(|_| f64::from_bits(random.u64(..))).filter(|number| number.is_finite()));
    for numbers in numbers.chunks(100) {
        let written: Vec<String> = numbers.iter().map(|number| format!("{number:?}")).collect();
        let (numbers, texts) = (written.join(", "), written.join("\", \""));
        let item = format!("{{\"n\": [{numbers}], \"t\": [\"{texts}\"]}}");
        for condition in [&format!("n == [{numbers}]"), "t.map(x, double(x)) == n"] {
            assert_eq!(holds(condition, &item), Ok(true), "{condition} for {item}");
        }
    }
    assert_eq!(holds("a != 0.41382241328530467 && a < 1", r#"{"a":0.41382241328530467}"#), Ok(false));
    assert_eq!(holds("a == 11.902055707377501", r#"{"a":11.902055707377501}"#), Ok(true));
}

#[test]
fn what_is_missing_makes_a_condition_not_hold() {
    let item = r#"{"a": {"b": null, "list": [1]}, "null": null, "level": "x"}"#;
    for missing in [
        "status >= 500",
        "!gone",
        "gone != 1",
        "a.gone.deep == 1",
        "a.b.c == 1",
        "a.list[1] == 1",
        "item.gone == 1",
        "a.b > 3",
        "item[\"null\"] > 3",
        "gone || level == \"y\"",
        "size(gone) == 0",
        "gone.contains(\"x\")",
        "gone",
        "a.b",
        "item[\"null\"] && true",
        "gone.exists(x, x > 1)",
    ] {
        assert_eq!(holds(missing, item), Ok(false), "{missing}");
    }
    for good in [
        "!has(item.gone)",
        "has(item.a) && has(a.b)",
        "!has(a.gone)",
        "a.b == null",
        "level == \"x\" || gone",
        "gone || level == \"x\"",
        "has(item.gone) ? gone > 1 : true",
    ] {
        assert_eq!(holds(good, item), Ok(true), "{good}");
    }
}

#[test]
fn what_fails_counts_only_where_it_could_matter() {
    let item = r#"{"s": "text", "t": true, "f": false}"#;
    for (text, expected) in [
        ("f && s > 1", Some(false)),
        ("s > 1 && f", Some(false)),
        ("gone && s > 1", Some(false)),
        ("s > 1 && gone", Some(false)),
        ("t && s > 1", None),
        ("s > 1 && t", None),
        ("t || s > 1", Some(true)),
        ("s > 1 || t", Some(true)),
        ("f || s > 1", None),
        ("s > 1 || f", None),
        ("gone || s > 1", None),
        ("s > 1 || gone", None),
        ("!(s > 1)", None),
        ("!(gone || f)", Some(false)),
        ("!(gone && f)", Some(true)),
        ("s && t", None),
    ] {
        assert_eq!(holds(text, item).ok(), expected, "{text}");
    }
}

#[test]
fn another_type_fails_with_the_place_and_the_types() {
    let item = r#"{"s": "text", "n": 5, "o": {"k": 1}, "l": [1, "x"], "t": true}"#;
    for (text, said) in [
        ("s > 1000", "`s > 1000`, character 3: `>` does not take a text and a whole number"),
        (
            "t && n > 1 && s < 3",
            "`t && n > 1 && s < 3`, character 17: `<` does not take a text and a whole number",
        ),
        ("s.k == 1", "`s.k == 1`, character 3: a text has no fields"),
        ("size(n) > 1", "`size(n) > 1`, character 1: `size` does not take a whole number"),
        (
            "n.contains(\"x\")",
            "`n.contains(\"x\")`, character 3: `contains` does not take a whole number and a text",
        ),
        ("s.matches(n)", ""),
        ("n", "`n`, character 1: a whole number stands where true or false is wanted"),
        (
            "n + 0.5 > 1.0",
            "`n + 0.5 > 1.0`, character 3: `+` does not take a whole number and a decimal number",
        ),
        (
            "double(n - 5) / 0.0 > 1.0",
            "`double(n - 5) / 0.0 > 1.0`, character 21: one side is no number, as 0.0 / 0.0",
        ),
        ("n / (n - 5) == 1", "`n / (n - 5) == 1`, character 3: division by zero"),
        (
            "n + 9223372036854775807 > 1",
            "`n + 9223372036854775807 > 1`, character 3: the result of `+` is too large",
        ),
        ("int(s) == 1", "`int(s) == 1`, character 1: `int`: the text is no whole number"),
        ("s.matches(s + \"(\")", "`s.matches(s + \"(\")`, character 3: `matches`: unclosed group"),
        (
            "l.exists(x, x > 1)",
            "`l.exists(x, x > 1)`, character 3: `>` does not take a text and a whole number",
        ),
        (
            "t ? s > 1 : false",
            "`t ? s > 1 : false`, character 7: `>` does not take a text and a whole number",
        ),
        ("s ? true : false", "`s ? true : false`, character 3: a text stands where true or false is wanted"),
        ("o > 1", "`o > 1`, character 3: `>` does not take an object and a whole number"),
        (
            "\"ä\" == s || s > 1",
            "`\"ä\" == s || s > 1`, character 15: `>` does not take a text and a whole number",
        ),
    ] {
        let why = holds(text, item).expect_err(text);
        assert!(said.is_empty() || why == said, "{text}\n{why}\n{said}");
    }
    assert_eq!(holds("n == \"5\"", item), Ok(false));
}

#[test]
fn what_is_no_json_fails() {
    for item in
        ["", "x", "{\"a\": 1", "{\"a\": 1} x", "{'a': 1}", "{\"a\": NaN}", "{\"b\": \"\u{1}\", \"a\": 1}"]
    {
        assert!(holds("a == 1", item).is_err(), "{item}");
    }
    let condition = Condition::parse("a == 1").unwrap();
    let bytes = Conditions::new(vec![Some(condition)]).first_that_holds(b"{\"b\": \"\xff\"}");
    assert!(matches!(bytes, Err(Inapplicable::Unread(_))), "{bytes:?}");
}

#[test]
fn json_that_no_condition_can_hold_is_named_and_is_no_fault_of_what_is_not_read() {
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(200), "]".repeat(200));
    for (item, said) in [
        (
            "{\"a\": 1e999}",
            "a number that is beyond ±1.8e308, at line 1 column 11: conditions have no such number",
        ),
        ("-1e400", "a number that is beyond ±1.8e308, at line 1 column 6"),
        (
            "{\"a\": \"x\\ud800\"}",
            "half of a surrogate pair in a text, at line 1 column 15: that is no character",
        ),
        ("{\"a\": \"\\ud800\\u0041\"}", "half of a surrogate pair in a text"),
        ("{\"a\": \"\\udc00\"}", "half of a surrogate pair in a text"),
        ("{\"\\udc00\": 1}", "half of a surrogate pair in a text"),
        (deep.as_str(), "more than 127 lists and objects in each other, at line 1 column"),
        ("{\"a\": 1e999", "the item is not JSON: EOF while parsing an object"),
        ("1e999 x", "the item is not JSON: trailing characters"),
    ] {
        let why = holds("a == 1 || item.b == 1", item).unwrap_err();
        assert!(why.contains(said), "{item}: {why}");
        assert_eq!(why.contains("not JSON"), said.contains("not JSON"), "{why}");
    }
    for value in
        ["1e999", "\"\\ud800\"", &"[".repeat(200).chars().chain("]".repeat(200).chars()).collect::<String>()]
    {
        assert_eq!(holds("a == 1", &format!("{{\"b\": {value}, \"a\": 1}}")), Ok(true));
    }
}

#[test]
fn a_field_of_an_item_that_is_no_object_is_said_to_be_none() {
    for (item, is) in
        [("7", "a whole number"), ("\"t\"", "a text"), ("[1]", "a list"), ("true", "true or false")]
    {
        let why = format!(
            "`item.a > 1`, character 6: the item is {is}, and only an object has fields such as `a`: `item` stands for all of it"
        );
        assert_eq!(holds("item.a > 1", item), Err(why));
    }
    assert_eq!(
        holds("item.a.b > 1", "{\"a\": 7}"),
        Err("`item.a.b > 1`, character 8: a whole number has no fields".to_owned())
    );
}

#[test]
fn an_item_that_is_no_object_is_item() {
    assert_eq!(holds("item > 5", " 7 "), Ok(true));
    assert_eq!(holds("item == \"x\"", "\"x\""), Ok(true));
    assert_eq!(holds("item[1] == 2 && size(item) == 2", "[1, 2]"), Ok(true));
    assert_eq!(holds("level == \"x\"", "[1]"), Ok(false));
    assert_eq!(
        holds("item.level == \"x\" && level == \"x\" && size(item) == 1", r#"{"level": "x"}"#),
        Ok(true)
    );
    assert_eq!(holds("item[\"user-agent\"] == \"x\"", r#"{"user-agent": "x"}"#), Ok(true));
    assert_eq!(holds("item.item == 1", r#"{"item": 1}"#), Ok(true));
    assert_eq!(holds("tags.exists(item, item == \"b\")", r#"{"tags": ["a", "b"]}"#), Ok(true));
    assert_eq!(holds("item.namespace == \"x\"", r#"{"namespace": "x"}"#), Ok(true));
    assert_eq!(holds("type == \"x\" && type(type) == string", r#"{"type": "x"}"#), Ok(true));
}

#[test]
fn a_key_that_comes_twice_counts_as_its_last() {
    assert_eq!(holds("a == 2", r#"{"a": 1, "a": 2}"#), Ok(true));
}

#[test]
fn the_first_that_holds_counts() {
    let parse = |text: &str| Some(Condition::parse(text).unwrap());
    let all = Conditions::new(vec![parse("a > 2"), parse("a > 1"), None]);
    let first = |item: &str| all.first_that_holds(item.as_bytes());
    assert_eq!(
        [first(r#"{"a": 3}"#), first(r#"{"a": 2}"#), first("{}")],
        [Ok(Some(0)), Ok(Some(1)), Ok(Some(2))]
    );
    let failed = first(r#"{"a": "x"}"#).unwrap_err();
    assert!(matches!(failed, Inapplicable::Failed { condition: 0, .. }), "{failed:?}");
}

#[test]
fn a_fault_is_found_without_an_item_where_it_stands() {
    for (text, message, place, help) in [
        ("", "the condition is empty", "", ""),
        ("level = \"x\"", "`=` has no meaning here", "=", "`==` compares"),
        ("a == 1 and b == 2", "`and` is not expected here", "and", "`&&`"),
        ("ä == 1", "`ä` has no meaning here", "ä", "item[\"…\"]"),
        ("\"ä\" == a or b", "`or` is not expected here", "or", "`||`"),
        ("not a", "`not` is not expected here", "not", "`!` stands for \"not\""),
        ("a == 1 && NOT b.c", "`NOT` is not expected here", "NOT", "`!` stands for \"not\""),
        ("not (a == 1)", "there is no function `not`", "not", "`!` stands for \"not\""),
        ("a not in [1]", "`not` is not expected here", "not", "`!(… in …)` negates"),
        ("a.not b", "`b` is not expected here", "b", ""),
        ("a ==", "the condition ends too early", "", ""),
        ("(a == 1", "`)` is missing", "", ""),
        ("a == 1)", "`)` is not expected here", ")", ""),
        ("a == \"x", "a text without the quote at its end", "\"x", ""),
        ("a == '\\q'", "a text with an escape that there is not", "'\\q", "backslash"),
        ("$a == 1", "`$` has no meaning here", "$", "without `$`"),
        ("a <> 1", "`>` is not expected here", ">", "`!=`"),
        ("a ==\n 1 +* 2", "`*` is not expected here", "*", ""),
        ("a =~ \"x\"", "`=~` has no meaning here", "=~", "matches"),
        ("has(level)", "`has()` asks for a field of something", "level", "has(item.NAME)"),
        ("namespace == 1", "`namespace` is a word of the language", "namespace", "item.namespace"),
        ("a == True", "`True` is no constant here", "True", "write `true`"),
        ("\"ä\" == a.lenght()", "there is no function `lenght`", "lenght", "there are"),
        (
            "a.startswith(\"x\")",
            "there is no function `startswith`",
            "startswith",
            "did you mean `startsWith`?",
        ),
        ("level(\"x\")", "there is no function `level`", "level", "there are contains"),
        ("contains(a, \"x\")", "`contains` is called in another way", "contains", "text.contains"),
        ("a.exists(x)", "`exists` is called in another way", "exists", "list.exists(x"),
        ("a.matches(\"x(\")", "this is no regular expression: unclosed group", "\"x(\"", ""),
        ("\"text\"", "this is a text, neither true nor false", "\"text\"", "compare"),
        ("size(a)", "this is a number, neither true nor false", "size", ""),
        ("a.b + 1", "this is a sum, neither true nor false", "+", ""),
        ("a == 1 && size(b)", "this is a number, neither true nor false", "size", ""),
        ("tags.map(x, x)", "this is a list, neither true nor false", "map", ""),
        ("a > 1 && 1 < \"x\"", "`<` does not take a whole number and a text", "<", ""),
        ("a == 1 / 0", "division by zero", "/", ""),
        ("a == 99999999999999999999", "the number is too large", "99999999999999999999", "up to"),
        ("Foo{a: 1} == a", "there is no type `Foo` to make a value of", "{", ""),
        ("a.?b == 1", "`.?` has no meaning here", ".?", "leave the `?` out"),
    ] {
        let (said, at, hint) = fault(text);
        assert_eq!((said.as_str(), at.as_str()), (message, place), "{text}");
        assert!(hint.contains(help), "{text}: {hint}");
    }
}

#[test]
fn hostile_conditions_are_faults_and_harm_nothing() {
    for (open, middle, close, n) in [
        ("(", "a", ")", 3000),
        ("!(", "a", ")", 1300),
        ("[", "a", "]", 2000),
        ("{\"a\":", "a", "}", 600),
        ("size(", "a", ")", 600),
        ("a.exists(x,", "true", ")", 300),
        ("a ? a : ", "a", "", 500),
        ("a + ", "a", "", 1000),
        ("a == ", "a", "", 800),
        ("", "a", ".a", 2000),
        ("", "a", "[0]", 1300),
        ("", "a", ".size()", 500),
        ("(", "", "", 4000),
        ("= ", "", "", 2000),
        ("a ", "", "", 2000),
        ("\"", "", "", 4001),
    ] {
        let text = format!("{}{middle}{}", open.repeat(n), close.repeat(n));
        assert!(Condition::parse(&text).is_err(), "{} …", &text[..40]);
    }
    let long = format!("a == {:?}", "x".repeat(1 << 20));
    assert!(fault(&long).0.contains("too long"));
    let (message, _, help) = fault(&format!("{}a{}", "(".repeat(50), ")".repeat(50)));
    assert_eq!((message.as_str(), help.is_empty()), ("the condition is nested too deeply", false));
}

#[test]
fn a_condition_may_be_large() {
    let any = (0..150).map(|n| format!("status == {n}")).collect::<Vec<_>>().join(" || ");
    assert_eq!(holds(&any, r#"{"status": 149}"#), Ok(true));
    let deep = format!("{}a{} == 1", "(".repeat(35), ")".repeat(35));
    assert_eq!(holds(&deep, r#"{"a": 1}"#), Ok(true));
    let sum = format!("a{} == 36", " + a".repeat(35));
    assert_eq!(holds(&sum, r#"{"a": 1}"#), Ok(true));
}

#[test]
fn hostile_items_fail_or_are_read_and_harm_nothing() {
    let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    let object = |value: &str| format!(r#"{{"skipped": {value}, "a": 1}}"#);
    assert_eq!(holds("a == 1", &object(&deep(1_000_000))), Ok(true));
    let read = format!(r#"{{"a": {}}}"#, deep(1_000_000));
    assert!(holds("a == 1", &read).unwrap_err().contains("more than 127 lists"));
    assert!(holds("item == 1", &deep(1_000_000)).unwrap_err().contains("more than 127 lists"));
    assert_eq!(holds("a != 1", &format!(r#"{{"a": {}}}"#, deep(100))), Ok(true));
    let long = "x".repeat(1 << 20);
    assert_eq!(holds("a.endsWith(\"x\") && size(a) > 1000000", &format!(r#"{{"a": "{long}"}}"#)), Ok(true));
    assert_eq!(holds("a > 1", &format!(r#"{{"a": 1{}}}"#, "0".repeat(200))), Ok(true));
    assert!(holds("a > 1", &format!(r#"{{"a": 1{}}}"#, "0".repeat(400))).is_err());
    let begin = Instant::now();
    let regex = "a.matches(\"(x+x+)+y\")";
    assert_eq!(holds(regex, &format!(r#"{{"a": "{long}"}}"#)), Ok(false));
    assert!(
        holds("\"x\".matches(a)", r#"{"a": "((a{100}){100}){100}"}"#).unwrap_err().contains("size limit")
    );
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

/// Words of the parser and of the libraries below it.
const RAW: [&str; 17] = [
    "Context",
    "literal",
    "Incomplete",
    "token",
    "Int(",
    "List(",
    "String(",
    "Float(",
    "unsupported",
    "mismatched",
    "expecting",
    "conversion",
    "digit",
    "Unable",
    "Cannot",
    "overflow",
    "argument must",
];

#[track_caller]
fn is_plain(said: &str, text: &str) {
    assert!(!RAW.iter().any(|raw| said.contains(raw)), "{text}: {said}");
}

#[test]
fn faults_are_in_words_of_ours() {
    for (text, message, place, help) in [
        ("a[", "the condition ends too early", "", ""),
        ("a ? b", "a choice needs `?` and `:`", "?", "? a > 1 : b > 1"),
        ("a?.b", "a choice needs `?` and `:`", "?", "leave the `?` out"),
        ("a ?? b", "a choice needs `?` and `:`", "?", "leave the `?` out"),
        ("a[?0]", "`[?` has no meaning here", "[?", "leave the `?` out"),
        (
            "a == 99999999999999999999",
            "the number is too large",
            "99999999999999999999",
            "9223372036854775807",
        ),
        ("a == 1e999", "the number is too large", "1e999", "e308"),
        ("a.map(1, x)", "a name for each element is expected here", "1", "list.all(x, x > 1)"),
        ("&& a", "`&&` is not expected here", "&&", "on both sides"),
        ("item.`a-b` == 1", "a name in backticks has no meaning here", "`a-b`", "write `item[\"a-b\"]`"),
        (
            "1 < user.tags.`ä b`",
            "a name in backticks has no meaning here",
            "`ä b`",
            "write `user.tags[\"ä b\"]`",
        ),
        ("(a).`x.y` == 1", "a name in backticks has no meaning here", "`x.y`", "[\"x.y\"]"),
        ("has(item.`a-b`)", "a name in backticks has no meaning here", "`a-b`", "write `item[\"a-b\"]`"),
        ("a == `x`", "a backtick is not expected here", "`", "in quotes"),
        ("a == “x”", "`“` has no meaning here", "“", "straight quotes"),
        ("a ==\u{a0}1", "the character U+00A0 has no meaning here", "\u{a0}", ""),
    ] {
        let (said, at, hint) = fault(text);
        assert_eq!((said.as_str(), at.as_str()), (message, place), "{text}");
        assert!(hint.contains(help), "{text}: {hint}");
    }
    for (text, item, reason) in [
        ("int(a) > 1", r#"{"a": "x"}"#, "`int`: the text is no whole number"),
        ("int(a) > 1", r#"{"a": 1e300}"#, "`int`: the number is not between"),
        ("uint(a) > 1u", r#"{"a": -1}"#, "`uint`: the number is not between 0"),
        ("double(a) > 1.0", r#"{"a": "x"}"#, "`double`: the text is no number"),
        ("bool(a)", r#"{"a": "x"}"#, "`bool`: the text is neither true nor false"),
        ("{a: 1}[a] == 1", r#"{"a": [1]}"#, "a list can't be the key of an object"),
        ("a[1.5] == 1", r#"{"a": [1, 2]}"#, "`[]` does not take a list and a decimal number"),
        ("-a == 1", r#"{"a": -9223372036854775808}"#, "the result of `-` is too large"),
    ] {
        let said = holds(text, item).unwrap_err();
        assert!(said.contains(reason), "{text}: {said}");
        is_plain(&said, text);
    }
}

const WORDS: [&str; 50] = [
    "int(",
    "double(",
    "1e999",
    "99999999999999999999",
    "[?",
    "`",
    "a",
    "b",
    "item",
    "size",
    "tags",
    "x",
    "true",
    "null",
    "1",
    "0",
    "2.5",
    "9223372036854775807",
    "7u",
    "\"x\"",
    "'ä'",
    "r\"\\d\"",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    ":",
    "?",
    "==",
    "!=",
    "<",
    ">=",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "in",
    ".matches(",
    ".exists(x, ",
    ".map(x, ",
    "has(item.",
    "size(",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 500, ..Default::default() })]

    /// Neither the parser nor an evaluation panics.
    #[test]
    fn any_words_are_a_condition_or_a_fault(words in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..14)) {
        let text = words.join(" ");
        match Condition::parse(&text) {
            Err(fault) => {
                assert!(!fault.message.contains("the parser failed"), "{text}: {fault:?}");
                assert!(text.get(fault.place.clone()).is_some(), "{text}: {fault:?}");
                is_plain(&fault.message, &text);
            }
            Ok(condition) => {
                let conditions = Conditions::new(vec![Some(condition)]);
                for item in ["{}", "7", r#"{"a": 1, "b": {"a": "x"}, "tags": ["x", 1, null], "x": true}"#] {
                    if let Err(why) = conditions.first_that_holds(item.as_bytes()) {
                        is_plain(&why.to_string(), &text);
                    }
                }
            }
        }
    }
}
