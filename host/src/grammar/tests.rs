//! JSON Schemas and choices, with texts that their grammars have or do not have.

use super::schema::to_gbnf;
use super::{Grammar, Json};

fn schema(text: &str) -> Grammar {
    let json = Json::parse(text).expect(text);
    Grammar::from_json_schema(&json)
        .unwrap_or_else(|error| panic!("{text}: {error}\n{}", to_gbnf(&json).unwrap_or_default()))
}

#[track_caller]
fn check(text: &str, accepts: &[&str], refuses: &[&str]) {
    let grammar = schema(text);
    accepts.iter().for_each(|json| assert!(grammar.matches(json).unwrap(), "{text} has not {json}"));
    refuses.iter().for_each(|json| assert!(!grammar.matches(json).unwrap(), "{text} has {json}"));
}

/// Cases of llama.cpp's `test-grammar-integration.cpp`, without two: an array as `items`, which draft 2020-12 does not have, and
/// `uniqueItems`, which llama.cpp ignores.
#[test]
fn cases_of_llama_cpp_give_its_results() {
    let cases = Json::parse(include_str!("llama_cases.json")).expect("JSON");
    let mut wrong = vec![];
    for case in cases.get("schemas").and_then(Json::as_array).expect("cases") {
        let name = case.get("name").and_then(Json::as_str).expect("a name");
        let texts = |of: &str| -> Vec<String> {
            case.get(of)
                .and_then(Json::as_array)
                .expect(of)
                .iter()
                .map(|text| text.as_str().expect(of).into())
                .collect()
        };
        let grammar = match Grammar::from_json_schema(case.get("schema").expect("a schema")) {
            Ok(grammar) => grammar,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        for (of, want) in [("accepts", true), ("refuses", false)] {
            let other = texts(of).into_iter().filter(|text| grammar.matches(text).unwrap() != want);
            wrong.extend(other.map(|text| format!("{name}: {of} {text}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn choices_are_texts_as_they_are() {
    let grammar = Grammar::from_choices(["yes", "no", "it's \"so\"\\", "новый\n", "yes, sir"]).unwrap();
    for (text, want) in
        [("yes", true), ("it's \"so\"\\", true), ("новый\n", true), ("yes, sir", true), ("ye", false), ("", false)]
    {
        assert_eq!(grammar.matches(text).unwrap(), want, "{text:?}");
    }
    assert!(Grammar::from_choices::<&str>([]).is_err());
}

#[test]
fn values_of_each_type() {
    check("true", &["1", "\"a\"", "[]", "{}", "null", "[1, {\"a\": [true]}]"], &["", "nul", "[1,]", "{a: 1}", "01"]);
    check("{}", &["1", "{\"a\": 1}"], &["{\"a\" 1}"]);
    check(r#"{"type": ["string", "null"], "maxLength": 2}"#, &["\"\"", "\"ab\"", "null"], &["\"abc\"", "1"]);
    check(r#"{"type": "boolean"}"#, &["true", "false"], &["null", "\"true\""]);
    check(r#"{"type": "number"}"#, &["0", "-0", "1.5", "-12e10", "3E-2"], &["1.", ".5", "+1", "1e999", "NaN", "00"]);
    check(r#"{"const": {"a": [1, "x"]}}"#, &[r#"{"a":[1,"x"]}"#], &[r#"{"a":[1]}"#]);
    check(r#"{"enum": ["a\"b", 1, null], "type": ["string", "integer"]}"#, &[r#""a\"b""#, "1"], &["null", "2"]);
}

#[test]
fn strings_have_no_half_of_a_surrogate_pair() {
    let accepts = [r#""\u00e9""#, r#""\ud7ff""#, r#""\ue000""#, r#""\uABCD""#, r#""é😀""#, r#""\/\n""#];
    check(r#"{"type": "string"}"#, &accepts, &[r#""\ud800""#, r#""\uDFFF""#, "\"\n\"", r#""\x""#]);
    check(r#"{"type": "string", "minLength": 2, "maxLength": 3}"#, &[r#""a\n""#, "\"é😀x\""], &["\"a\"", "\"abcd\""]);
    check(r#"{"type": "string", "minLength": 3000}"#, &[], &["\"a\""]);
}

#[test]
fn patterns() {
    let of = |pattern: &str| format!("{{\"type\": \"string\", \"pattern\": {}}}", super::json::quoted(pattern));
    check(&of("^[a-c]{2,3}x?$"), &["\"ab\"", "\"abcx\""], &["\"a\"", "\"abcd\"", "\" ab\""]);
    check(&of("b+"), &["\"abba\"", "\"b\""], &["\"a\"", "\"\""]);
    check(&of("^a|b$"), &["\"ax\"", "\"xb\""], &["\"x\"", "\"xa\""]);
    check(&of(r#"^\d{3}-\w+\s["\\]$"#), &[r#""123-a_1 \"""#, r#""123-x\t\\""#], &[r#""12-a \"""#, r#""123-é \"""#]);
    check(&of("^(?:ab|c(?<name>d)?)*$"), &["\"abccd\"", "\"\""], &["\"ad\""]);
    check(&of("^.$"), &["\"é\"", r#""\\""#, r#""\t""#], &[r#""\n""#, "\"ab\""]);
    check(&of(r"^[^\s\d]\u{1F600}[\x41\u0042]$"), &["\"a😀A\"", "\"é😀B\""], &["\"1😀A\"", "\"a😀C\""]);
    for (pattern, want) in [
        ("(?=a)", "look-around is not supported"),
        (r"(a)\1", r"\1 is not supported"),
        (r"\bword", r"\b is not supported"),
        ("a^b", "^ inside of a pattern is not supported"),
        ("(ab", "a ) is missing"),
        ("ab)", "a ) too many"),
        ("[ab", "a ] is missing"),
        ("*a", "nothing to repeat"),
        (r"\uD800\u0041", "half of a pair is missing"),
        (r"\u{41", "a } is missing"),
        (r"\x+1", "hexadecimal digits are missing"),
    ] {
        let error = to_gbnf(&Json::parse(&of(pattern)).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("#/pattern") && error.ends_with(want), "{pattern}: {error}");
    }
}

#[test]
fn formats() {
    let of = |format: &str| format!("{{\"type\": \"string\", \"format\": \"{format}\"}}");
    let dates = ["\"2024-02-29\"", "\"2000-02-29\"", "\"2023-12-31\"", "\"2023-04-30\""];
    check(
        &of("date"),
        &dates,
        &["\"2023-02-29\"", "\"1900-02-29\"", "\"2023-04-31\"", "\"2023-13-01\"", "\"2023-1-1\""],
    );
    check(&of("time"), &["\"23:59:59Z\"", "\"00:00:00.123+01:30\""], &["\"24:00:00Z\"", "\"12:00:00\"", "\"12:00Z\""]);
    check(&of("date-time"), &["\"2024-01-01T00:00:00Z\""], &["\"2024-01-01 00:00:00Z\"", "\"2024-01-01\""]);
    check(&of("uuid"), &["\"123e4567-e89b-12d3-a456-426614174000\""], &["\"123e4567-e89b-12d3-a456-42661417400\""]);
    check(&of("ipv4"), &["\"192.168.0.1\"", "\"255.255.255.255\""], &["\"256.0.0.1\"", "\"1.2.3\"", "\"01.2.3.4\""]);
}

#[test]
fn integers_between_bounds() {
    let all: Vec<i64> = (-1200..1200).chain([i64::from(i32::MAX), -5000, 99_999]).collect();
    for (min, max) in
        [(0, 9), (5, 30), (-1, 1), (-123, 42), (-1000, -1), (99, 1001), (-10, -10), (1, 0), (100, 999), (-999, 999)]
    {
        let json = Json::parse(&format!(r#"{{"type": "integer", "minimum": {min}, "maximum": {max}}}"#)).unwrap();
        let Ok(grammar) = Grammar::from_json_schema(&json) else {
            assert!(min > max);
            continue;
        };
        for &i in &all {
            assert_eq!(grammar.matches(&i.to_string()).unwrap(), (min..=max).contains(&i), "{i} in {min} to {max}");
        }
        assert!(!grammar.matches("00").unwrap() && !grammar.matches("").unwrap());
    }
    check(r#"{"type": "integer", "exclusiveMinimum": 1.5, "exclusiveMaximum": 4}"#, &["2", "3"], &["1", "4"]);
    check(r#"{"type": "integer", "minimum": -2}"#, &["-2", "-1", "0", "9999999999999999"], &["-3", "-02"]);
    check(r#"{"type": "integer", "maximum": -5}"#, &["-5", "-9999999999999999"], &["-4", "0", "5"]);
}

#[test]
fn numbers_between_bounds() {
    check(r#"{"type": "number", "minimum": 0}"#, &["0", "0.5", "12.25", "9999999"], &["-1", "-0.5"]);
    check(
        r#"{"type": "number", "exclusiveMinimum": 0, "maximum": 1}"#,
        &["0.01", "1", "0.5"],
        &["0", "0.0", "1.1", "-0.1"],
    );
    check(
        r#"{"type": "number", "minimum": -2, "exclusiveMaximum": 3}"#,
        &["-2", "-1.5", "-0.1", "2.9", "0"],
        &["-2.1", "3", "3.0", "-3"],
    );
    check(
        r#"{"type": "number", "exclusiveMinimum": -2, "maximum": -1}"#,
        &["-1", "-1.5"],
        &["-2", "-0.5", "0", "-2.0"],
    );
}

#[test]
fn properties_come_in_their_order() {
    let object = r#"{"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "boolean"}, "c": {}}, "required": ["a"]}"#;
    let accepts =
        [r#"{"b":1,"a":true,"c":null}"#, r#"{ "a" : true }"#, r#"{"a":true,"c":[]}"#, r#"{"b": 1, "a": false}"#];
    check(
        object,
        &accepts,
        &["{}", r#"{"b":1}"#, r#"{"a":true,"b":1}"#, r#"{"a":true,"d":1}"#, r#"{"a":true,}"#, r#"{,"a":true}"#],
    );
    let open = r#"{"properties": {"ab": {"const": 1}, "a\"": true}, "additionalProperties": {"type": "null"}, "required": ["z"]}"#;
    let accepts = [r#"{"ab":1,"z":null}"#, r#"{"z":null,"abc":null,"a":null,"":null}"#];
    check(
        open,
        &accepts,
        &[
            r#"{"ab":null,"z":null}"#,
            r#"{"z":null,"ab":null}"#,
            r#"{"z":null,"z":null}"#,
            r#"{"z":1}"#,
            r#"{"z":null,"a\u0062":null}"#,
        ],
    );
    check(r#"{"type": "object"}"#, &["{}", r#"{"a":{"b":1}}"#], &["[]"]);
    check(r#"{"type": "object", "additionalProperties": false}"#, &["{}"], &[r#"{"a":1}"#]);
}

#[test]
fn items() {
    check(r#"{"type": "array"}"#, &["[]", "[1, \"a\"]"], &["[1 2]"]);
    check(
        r#"{"items": {"type": "null"}, "minItems": 1, "maxItems": 2}"#,
        &["[null]", "[ null , null ]"],
        &["[]", "[null,null,null]"],
    );
    check(r#"{"prefixItems": [{"const": 1}, {"const": 2}]}"#, &["[1,2]"], &["[1]", "[]", "[1,2,3]", "[2,1]"]);
    check(
        r#"{"prefixItems": [{"const": 1}], "items": {"const": 2}, "maxItems": 3}"#,
        &["[1]", "[1,2,2]"],
        &["[]", "[1,1]", "[1,2,2,2]"],
    );
    check(r#"{"prefixItems": [{"const": 1}], "minItems": 3, "maxItems": 3}"#, &["[1,2,\"x\"]"], &["[1]", "[1,2]"]);
    check(r#"{"prefixItems": [{"const": 1}, {"const": 2}], "maxItems": 1}"#, &["[1]"], &["[]", "[1,2]"]);
    check(r#"{"type": "array", "items": false}"#, &["[]"], &["[1]"]);
}

#[test]
fn schemas_that_hold_together() {
    let all = r##"{"allOf": [{"$ref": "#/$defs/named"}, {"properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]}],
        "properties": {"age": {"maximum": 9}}, "$defs": {"named": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}}}"##;
    check(
        all,
        &[r#"{"age":3,"name":"x"}"#],
        &[r#"{"age":3}"#, r#"{"age":10,"name":"x"}"#, r#"{"age":-1,"name":"x"}"#, r#"{"name":"x"}"#],
    );
    let closed =
        r#"{"allOf": [{"properties": {"a": true}, "additionalProperties": false}, {"properties": {"b": true}}]}"#;
    check(closed, &[r#"{"a":1}"#, "{}"], &[r#"{"b":1}"#, r#"{"a":1,"b":1}"#]);
    let any = r#"{"minLength": 2, "anyOf": [{"type": "string", "maxLength": 3}, {"type": "integer", "maximum": 5}]}"#;
    check(any, &["\"ab\"", "3"], &["\"a\"", "\"abcd\"", "6", "null"]);
    check(
        r#"{"anyOf": [{"enum": [1, 2, 3]}, {"const": "x"}], "allOf": [{"enum": [2, "x", 4]}]}"#,
        &["2", "\"x\""],
        &["1", "4"],
    );
    check(r#"{"title": "x", "allOf": [{"allOf": [{"type": "null"}]}]}"#, &["null"], &["123"]);
    check(
        r##"{"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"allOf": [true, {"type": "number"}]}}}"##,
        &["1"],
        &["\"a\""],
    );
    check(
        r#"{"properties": {"a": {"const": 1}}, "unevaluatedProperties": false, "anyOf": [{"required": ["a"]}]}"#,
        &[r#"{"a":1}"#],
        &["{}"],
    );
    let one = r#"{"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "null"}}, "required": ["kind", "x"]},
        {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"]}]}"#;
    check(one, &[r#"{"kind":"a","x":null}"#, r#"{"kind":"b"}"#], &[r#"{"kind":"a"}"#, r#"{"kind":"c"}"#]);
}

#[test]
fn references_may_go_in_circles() {
    let tree = r##"{"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"value": {"type": "integer"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["value", "children"]}}}"##;
    check(
        tree,
        &[r#"{"value":1,"children":[{"value":2,"children":[]}]}"#],
        &[r#"{"value":1}"#, r#"{"value":1,"children":[1]}"#],
    );
    check(
        r##"{"properties": {"a": {"$ref": "#/definitions/x~1y%20z"}}, "definitions": {"x/y z": {"const": 7}}}"##,
        &[r#"{"a":7}"#],
        &[r#"{"a":8}"#],
    );
}

#[test]
fn what_other_libraries_write_is_taken() {
    for (schema, valid, invalid) in [
        (r#"{"type": "integer", "minimum": 0, "maximum": 18446744073709551615}"#, "9999999999999999", "-1"),
        (r#"{"type": "integer", "minimum": -9223372036854775808}"#, "-9999999999999999", "0.5"),
        (r#"{"type": "number", "maximum": 1.7976931348623157e308, "minimum": 3}"#, "3.25", "2"),
        (r#"{"type": "string", "format": "email"}"#, "\"a@b.c\"", "1"),
        (r#"{"type": "string", "format": "password", "minLength": 2}"#, "\"ab\"", "\"a\""),
        (r#"{"type": "string", "pattern": "^a+$", "minLength": 0}"#, "\"aa\"", "\"b\""),
    ] {
        let grammar = Grammar::from_json_schema(&Json::parse(schema).unwrap()).unwrap();
        assert_eq!([valid, invalid].map(|text| grammar.matches(text).unwrap()), [true, false], "{schema}");
    }
}

/// Schemas of strangers: an error, or a grammar, in little time and stack.
#[test]
fn hostile_schemas_end_soon() {
    let parse = |text: &str| Json::parse(text).unwrap();
    let chain: Vec<String> =
        (0..20_000).map(|i| format!(r##""a{i}": {{"items": {{"$ref": "#/$defs/a{}"}}}}"##, i + 1)).collect();
    let chain =
        format!(r##"{{"$defs": {{{}, "a20000": {{"type": "null"}}}}, "$ref": "#/$defs/a0"}}"##, chain.join(", "));
    let grammar = Grammar::from_json_schema(&parse(&chain)).unwrap();
    assert!(grammar.matches("[[[]]]").unwrap() && !grammar.matches("[[1]]").unwrap());
    let long = format!(r#"{{"properties": {{"{}": {{}}}}, "additionalProperties": true}}"#, "a".repeat(50_000));
    let twice: Vec<String> = (1..31)
        .map(|i| format!(r##""a{i}": {{"allOf": [{{"$ref": "#/$defs/a{0}"}}, {{"$ref": "#/$defs/a{0}"}}]}}"##, i - 1))
        .collect();
    let twice = format!(r##"{{"$defs": {{"a0": {{"minLength": 1}}, {}}}, "$ref": "#/$defs/a30"}}"##, twice.join(", "));
    for (schema, want) in [
        (long, "beside a property whose name has more than 256 bytes"),
        (twice, "schemas that hold together are too many, or too large"),
        (format!(r#"{{"pattern": "[{}]"}}"#, "ab".repeat(6000)), "#/pattern: more than 10000 bytes"),
    ] {
        let error = Grammar::from_json_schema(&parse(&schema)).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    for is_required in [false, true] {
        let properties: Vec<String> = (0..600).map(|i| format!(r#""p{i}": {{"type": "null"}}"#)).collect();
        let names: Vec<String> = (0..600).filter(|_| is_required).map(|i| format!(r#""p{i}""#)).collect();
        let schema = format!(r#"{{"properties": {{{}}}, "required": [{}]}}"#, properties.join(", "), names.join(", "));
        let grammar = Grammar::from_json_schema(&parse(&schema)).unwrap();
        assert_eq!(grammar.matches(r#"{"p7": null, "p599": null}"#).unwrap(), !is_required);
    }
}

#[test]
fn what_is_not_supported_is_named_by_its_path() {
    for (text, want) in [
        (r#"{"properties": {"a": {"not": {}}}}"#, "#/properties/a/not is not supported"),
        (r#"{"items": {"allOf": [{"contains": {}}]}}"#, "#/items/allOf/0/contains is not supported"),
        (r#"{"type": "integer", "multipleOf": 2}"#, "#/multipleOf is not supported"),
        (r#"{"type": "text"}"#, "#/type: \"text\" is none of object, array, string, integer, number, boolean, null"),
        (
            r#"{"oneOf": [{"type": "integer"}, {"type": "number"}]}"#,
            "#/oneOf: a value may obey both branch 0 and branch 1",
        ),
        (r#"{"$ref": "other.json"}"#, "#/$ref: \"other.json\" is not supported"),
        (r##"{"$ref": "#/$defs/a"}"##, "#/$ref: the schema has no #/$defs/a"),
        (r##"{"$ref": "#"}"##, "begins with itself"),
        (r#"{"type": "string", "minLength": -1}"#, "#/minLength: -1 is no number of things"),
        (r#"{"type": "number", "minimum": 0.5}"#, "#/minimum: only integers are supported"),
        (
            r#"{"items": {"minimum": 5}, "allOf": [{"prefixItems": [{"minimum": 3}]}]}"#,
            "#/allOf/0/prefixItems: beside items",
        ),
        (
            r#"{"anyOf": [{"properties": {"b": {}}}], "allOf": [{"properties": {"a": {}}, "unevaluatedProperties": false}]}"#,
            "#/allOf/0/unevaluatedProperties: in one",
        ),
        (r#"{"allOf": 1}"#, "#/allOf: an array of schemas is expected"),
        ("1", "#: a schema is an object, true or false, and not 1"),
        ("false", "no value is valid by the schema"),
        (r#"{"type": "integer", "minimum": 5, "maximum": 4}"#, "no value is valid by the schema"),
        (r#"{"type": "integer", "minimum": 1e18}"#, "#/minimum: 1e+18 is too large"),
        (
            r##"{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}"##,
            "no value is valid by the schema",
        ),
    ] {
        let error = Grammar::from_json_schema(&Json::parse(text).unwrap()).unwrap_err().to_string();
        assert!(error.contains(want), "{text}: {error}");
    }
    let deep = format!("{}{}{}", r#"{"items":"#.repeat(80), "{}", "}".repeat(80));
    let error = Grammar::from_json_schema(&Json::parse(&deep).unwrap()).unwrap_err().to_string();
    assert!(error.contains("more than 64 schemas in each other"), "{error}");
}
