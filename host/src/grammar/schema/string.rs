//! Strings.

use super::super::gbnf::repeated;
use super::super::json::Members;
use super::{Writer, count, pattern};
use crate::error::{Context, Result, bail};

/// Formats, as the letters between the quotes. Days fit their month, and 29 February a leap year; leap seconds are left out.
const FORMATS: [(&str, &str); 5] = [
    (
        "date",
        r#"([0-9]{4} "-" ("02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]) | ("0" [469] | "11") "-" ("0" [1-9] | [12] [0-9] | "30") | ("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01])) | ([0-9]{2} ("0" [48] | [2468] [048] | [13579] [26]) | ([02468] [048] | [13579] [26]) "00") "-02-29")"#,
    ),
    (
        "time",
        r#"([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,9})? ("Z" | [+-] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])"#,
    ),
    ("date-time", ""),
    ("uuid", r#"[0-9a-fA-F]{8} ("-" [0-9a-fA-F]{4}){3} "-" [0-9a-fA-F]{12}"#),
    ("ipv4", r#"octet ("." octet){3}"#),
];

/// Number of an IPv4 address.
const OCTET: &str = r#""25" [0-5] | "2" [0-4] [0-9] | "1" [0-9]{2} | [1-9]? [0-9]"#;

impl Writer<'_> {
    pub(super) fn string(&mut self, members: &Members, path: &str) -> Result<String> {
        let get = |name: &str| members.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        let (min, max) = (count(members, "minLength", path)?, count(members, "maxLength", path)?);
        let text = |name: &str| {
            let text = |value: &super::Json| value.as_str().map(str::to_owned);
            get(name)
                .map(|value| text(value).with_context(|| format!("{path}/{name}: a string is expected")))
                .transpose()
        };
        let min = min.filter(|&min| min > 0);
        // A format that is not known says nothing, as the standard has it.
        let format = text("format")?.filter(|format| FORMATS.iter().any(|(name, _)| name == format));
        let letters = match (text("pattern")?, format, min.or(max)) {
            (Some(pattern), None, None) => pattern::to_gbnf(&pattern, path)?,
            (None, Some(format), None) => self.format(&format)?,
            (None, None, Some(_)) => {
                let min = min.unwrap_or(0);
                if max.is_some_and(|max| max < min) {
                    return Ok(super::NOTHING.into());
                }
                repeated("char", min, max)
            }
            (None, None, None) => return Ok("string".into()),
            (Some(_), ..) => bail!("{path}/pattern: beside format, minLength or maxLength it is not supported"),
            (None, Some(_), Some(_)) => bail!("{path}/format: beside minLength or maxLength it is not supported"),
        };
        self.rule(&format!("\"\\\"\" {letters} \"\\\"\""))
    }

    fn format(&mut self, name: &str) -> Result<String> {
        let of = |name: &str| FORMATS.into_iter().find(|(other, _)| *other == name).map_or("", |(_, body)| body);
        Ok(match name {
            "date-time" => format!("{} \"T\" {}", of("date"), of("time")),
            "ipv4" => {
                let octet = self.rule(OCTET)?;
                of(name).replace("octet", &octet)
            }
            name => of(name).into(),
        })
    }
}
