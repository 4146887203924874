//! Chat templates: the Jinja text under `tokenizer.chat_template` of a model file, which writes the messages of a conversation as
//! the model was trained to read them.
//!
//! Templates are rendered as `apply_chat_template` of Hugging Face's `transformers` does, with the same settings, functions and
//! names. A template is part of a file that anybody may have made, so its time and memory are bounded.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, context, filters};
use minijinja_contrib::pycompat;

use super::clock::Clock;
use super::error::ChatError;
use super::message::Role;

/// Name of the one template of an environment.
const NAME: &str = "chat_template";
/// Greatest length of a template in bytes. The longest published ones have 30,000.
const MAX_BYTES: usize = 1 << 20;
/// Fuel of a rendering, besides that for the messages: as many instructions, or 64 bytes of data for each.
const FUEL: u64 = 400_000;
/// Fuel for each byte of the messages, which templates copy, trim and search.
const FUEL_BY_BYTE: u64 = 8;
/// Greatest number of nested blocks and calls.
const MAX_DEPTH: usize = 100;

impl From<minijinja::Error> for ChatError {
    fn from(error: minijinja::Error) -> Self {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(error) = source {
            if let Some(refused) = error.downcast_ref::<Self>() {
                return refused.clone();
            }
            if error.downcast_ref::<minijinja::Error>().is_some_and(|error| error.kind() == ErrorKind::OutOfFuel) {
                return Self::TooLong;
            }
            source = error.source();
        }
        let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Self::Broken(match error.line() {
            Some(line) => format!("{} (line {line})", what.escape_debug()),
            None => what.escape_debug().to_string(),
        })
    }
}

/// Names of special tokens that templates may write: `bos_token` and so on.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenNames {
    pub(super) bos: Option<String>,
    pub(super) eos: Option<String>,
    pub(super) unk: Option<String>,
    pub(super) pad: Option<String>,
}

/// Compiled template.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
    names: TokenNames,
}

impl Template {
    /// Compiles a template.
    pub(super) fn new(source: &str, names: TokenNames) -> Result<Self, ChatError> {
        if source.len() > MAX_BYTES {
            let (n, most) = (source.len(), MAX_BYTES);
            return Err(ChatError::Broken(format!("it has {n} bytes, expected at most {most}")));
        }
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_recursion_limit(MAX_DEPTH);
        environment.set_unknown_method_callback(pycompat::unknown_method_callback);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", |reason: String| -> Result<Value, minijinja::Error> {
            let error = minijinja::Error::new(ErrorKind::InvalidOperation, "refused");
            Err(error.with_source(ChatError::Refused(reason.escape_debug().to_string())))
        });
        environment.add_template_owned(NAME, without_generation_blocks(source))?;
        Ok(Self { environment, names })
    }

    /// Text of a conversation at a time, up to the answer that is to follow if `is_asked`.
    pub(super) fn render(
        &self,
        messages: &[(Role, String)],
        is_asked: bool,
        clock: Clock,
    ) -> Result<String, ChatError> {
        let n_bytes = messages.iter().map(|(_, content)| content.len() as u64).sum::<u64>();
        let message = |(role, content): &(Role, String)| {
            Value::from(BTreeMap::from([("role", Value::from(role.name())), ("content", Value::from(&**content))]))
        };
        let messages: Vec<Value> = messages.iter().map(message).collect();
        let token = |name: &Option<String>| name.as_deref().map_or(Value::UNDEFINED, Value::from);
        let TokenNames { bos, eos, unk, pad } = &self.names;
        let context = context! {
            messages,
            add_generation_prompt => is_asked,
            bos_token => token(bos),
            eos_token => token(eos),
            unk_token => token(unk),
            pad_token => token(pad),
            tools => Value::from(()),
            documents => Value::from(()),
        };
        let mut environment = self.environment.clone();
        environment.add_function("strftime_now", move |format: String| {
            clock.format(&format).ok_or_else(|| {
                let what = format!("strftime_now knows no such format: {format:?}");
                minijinja::Error::new(ErrorKind::InvalidOperation, what)
            })
        });
        environment.set_fuel(Some(FUEL.saturating_add(n_bytes.saturating_mul(FUEL_BY_BYTE))));
        Ok(environment.get_template(NAME)?.render(context)?)
    }
}

/// Template without the marks of `{% generation %}`, which tell a trainer where answers stand and write nothing.
fn without_generation_blocks(source: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(source.len()), source);
    while let Some((before, tag)) = rest.split_once("{%") {
        out.push_str(before);
        out.push_str("{%");
        let name = tag.trim_start_matches(['-', '+']).trim_start();
        let end = |word: &str| {
            name.strip_prefix(word)
                .filter(|rest| rest.trim_start_matches([' ', '\t', '\n', '-', '+']).starts_with("%}"))
        };
        let replaced =
            end("generation").map(|rest| ("if true", rest)).or_else(|| Some(("endif", end("endgeneration")?)));
        match replaced {
            Some((word, behind)) => {
                out.push_str(&tag[..tag.len() - name.len()]);
                out.push_str(word);
                rest = behind;
            }
            None => rest = tag,
        }
    }
    out + rest
}

/// Filter `tojson` as `transformers` defines it: signs of HTML stay as they are.
fn to_json(value: &Value, indent: Option<Value>, args: Kwargs) -> Result<String, minijinja::Error> {
    // Every sign is escaped, or none, and templates ask for either.
    let _: Option<bool> = args.get("ensure_ascii")?;
    let indent = match indent {
        None => args.get("indent")?,
        indent => indent,
    };
    args.assert_all_used()?;
    let json = filters::tojson(value, indent, Kwargs::from_iter::<[(&str, Value); 0]>([]))?;
    let (mut out, mut rest) = (String::new(), json.as_str().unwrap_or_default());
    while let Some((before, escape)) = rest.split_once('\\') {
        out.push_str(before);
        let signs = [("u003c", '<'), ("u003e", '>'), ("u0026", '&'), ("u0027", '\'')];
        match signs.iter().find_map(|(code, sign)| Some((sign, escape.strip_prefix(code)?))) {
            Some((sign, behind)) => {
                out.push(*sign);
                rest = behind;
            }
            None => {
                let n = escape.chars().next().map_or(0, char::len_utf8);
                out.push('\\');
                out.push_str(&escape[..n]);
                rest = &escape[n..];
            }
        }
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, messages: &[(Role, &str)]) -> Result<String, ChatError> {
        let names = TokenNames { bos: Some("<s>".into()), eos: Some("</s>".into()), ..TokenNames::default() };
        let messages: Vec<(Role, String)> = messages.iter().map(|&(role, text)| (role, text.to_owned())).collect();
        Template::new(source, names)?.render(&messages, true, Clock::at(951_782_400))
    }

    #[test]
    fn functions_and_names_of_transformers_are_there() {
        let hi = &[(Role::User, " <a> 'b' \\ ")][..];
        for (source, want) in [
            ("{{ bos_token }}{{ messages[0].content.strip() }}{{ eos_token }}", "<s><a> 'b' \\</s>"),
            ("{{ messages[0]['content'] | tojson }}", "\" <a> 'b' \\\\ \""),
            ("{{ [1, {'a': 2}] | tojson(indent=2) }}", "[\n  1,\n  {\n    \"a\": 2\n  }\n]"),
            ("{{ strftime_now('%d %b %Y') }}", "29 Feb 2000"),
            ("{% if tools is not none %}tools{% endif %}{% if enable_thinking is defined %}think{% endif %}", ""),
            ("{% for m in messages %}\n  {% generation %}\nx\n  {%- endgeneration %}\n{% endfor %}", "x"),
            (
                "{% set ns = namespace(n=0) %}{% for i in [1, 2, 3] %}{% if i == 3 %}{% break %}{% endif %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
                "3",
            ),
            ("{{ 'a,b'.split(',')[-1] }}{{ messages[0].role.upper() }}{{ missing }}", "bUSER"),
        ] {
            assert_eq!(render(source, hi).as_deref(), Ok(want), "{source}");
        }
    }

    /// Value of a key of a test case.
    fn text<'c>(case: &'c serde_json::Value, key: &str) -> Option<&'c str> {
        case.get(key)?.as_str()
    }

    #[test]
    fn published_templates_write_what_transformers_writes() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/chat_templates");
        let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
        let cases: serde_json::Value = serde_json::from_str(&read("cases.json")).unwrap();
        let cases = cases.as_array().unwrap();
        assert_eq!(cases.len(), 18 * 6);
        for case in cases {
            let name = text(case, "template").unwrap();
            let source = read(&format!("templates/{name}.jinja"));
            let messages = case["messages"].as_array().unwrap();
            let message =
                |message| (Role::of_name(text(message, "role").unwrap()).unwrap(), text(message, "content").unwrap());
            let messages: Vec<(Role, &str)> = messages.iter().map(message).collect();
            let rendered = render(source.strip_suffix('\n').unwrap(), &messages);
            match (text(case, "text"), text(case, "error")) {
                (Some(want), _) => assert_eq!(rendered.as_deref(), Ok(want), "{name}"),
                (None, Some(want)) => assert_eq!(rendered, Err(ChatError::Refused(want.into())), "{name}"),
                (None, None) => panic!("{name}: a case has a text or an error"),
            }
        }
    }

    #[test]
    fn a_template_that_refuses_says_why() {
        let error = render("{{ raise_exception('Roles must\nalternate') }}", &[]).unwrap_err();
        assert_eq!(error, ChatError::Refused("Roles must\\nalternate".into()));
        assert_eq!(error.to_string(), "the chat format refuses the messages: Roles must\\nalternate");
    }

    #[test]
    fn a_template_that_is_wrong_says_where() {
        for (source, want) in [
            ("\n{% if %}", "the chat template cannot be used: "),
            ("\n{{ messages[0].content.nothing() }}", "the chat template cannot be used: "),
            ("\n{{ strftime_now('%Q') }}", "the chat template cannot be used: strftime_now knows no such format"),
            ("\n{% include 'secret' %}", "the chat template cannot be used: "),
        ] {
            let error = render(source, &[(Role::User, "hi")]).unwrap_err().to_string();
            assert!(error.starts_with(want) && error.contains("(line 2)"), "{error}");
        }
        let long = "x".repeat(MAX_BYTES + 1);
        assert!(render(&long, &[]).unwrap_err().to_string().contains("expected at most 1048576"));
    }

    #[test]
    fn a_hostile_template_ends() {
        let bomb = "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x|length }}";
        let nested = format!("{}x{}", "{% for i in range(1000) %}".repeat(9), "{% endfor %}".repeat(9));
        let output = "{% for i in range(100000) %}{{ 'x' * 100000 }}{% endfor %}";
        let recursion = "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}";
        for source in [bomb, &nested, output] {
            assert_eq!(render(source, &[]), Err(ChatError::TooLong), "{source}");
        }
        assert!(render(recursion, &[]).is_err());
        let deep = format!("{}{}", "{% if true %}".repeat(10_000), "{% endif %}".repeat(10_000));
        assert!(render(&deep, &[]).is_err());
        let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(render(&parentheses, &[]).is_err());
    }

    #[test]
    fn long_messages_have_fuel() {
        let text = "word ".repeat(400_000);
        let source = "{% for m in messages %}{{ m.content.strip() | trim }}{% endfor %}";
        assert_eq!(render(source, &[(Role::User, &text)]).unwrap().len(), text.len() - 1);
    }
}
