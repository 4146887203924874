//! Commands of a chat: lines that begin with a slash.

use std::path::PathBuf;

/// Commands, for completion.
pub const NAMES: &[&str] = &["/help", "/system", "/reset", "/regen", "/save", "/load", "/exit"];

/// Text of `/help`.
pub const HELP: &str = "\
/system [TEXT]        show the system prompt, or replace it
/reset                forget the conversation; the system prompt stays
/regen                answer the last question again
/save [--force] FILE  save the conversation; FILE may be left out the next time
/load FILE            go on with a saved conversation
/exit                 end, as do Ctrl-D and Ctrl-C twice
//TEXT                send a text that begins with a slash
Alt-Enter, or Esc and then Enter, begins another line; a paste is one message.
Ctrl-C stops an answer, or clears the line.";

/// Meaning of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Question.
    Ask(Vec<u8>),
    Help,
    /// System prompt; `None` shows the present one.
    System(Option<Vec<u8>>),
    Reset,
    Regenerate,
    /// File of the conversation; `None` for the one that it has.
    Save {
        path: Option<PathBuf>,
        force: bool,
    },
    Load(PathBuf),
    Exit,
}

impl Command {
    /// Meaning of `line`; `None` for a line of white space alone.
    ///
    /// # Errors
    /// A sentence that says what is wrong with a command.
    pub fn parse(line: &[u8]) -> Result<Option<Self>, String> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let Some(command) = line.strip_prefix(b"/") else { return Ok(Some(Self::Ask(line.to_vec()))) };
        if command.starts_with(b"/") {
            return Ok(Some(Self::Ask(command.to_vec())));
        }
        let end = command.iter().position(u8::is_ascii_whitespace).unwrap_or(command.len());
        let (name, rest) = command.split_at(end);
        let rest = rest.trim_ascii();
        let path = |path: &[u8]| (!path.is_empty()).then(|| named(&String::from_utf8_lossy(path)));
        let parsed = match name {
            b"system" => Self::System((!rest.is_empty()).then(|| rest.to_vec())),
            b"save" => {
                let forced = rest.strip_prefix(b"--force");
                let forced = forced.filter(|path| path.first().is_none_or(u8::is_ascii_whitespace));
                Self::Save { path: path(forced.unwrap_or(rest).trim_ascii()), force: forced.is_some() }
            }
            b"load" => Self::Load(path(rest).ok_or("/load needs the name of a file")?),
            b"help" | b"reset" | b"regen" | b"exit" if !rest.is_empty() => {
                return Err(format!("/{} takes nothing behind it", name.escape_ascii()));
            }
            b"help" => Self::Help,
            b"reset" => Self::Reset,
            b"regen" => Self::Regenerate,
            b"exit" => Self::Exit,
            name => {
                let name = String::from_utf8_lossy(name);
                let name = name.escape_debug();
                return Err(format!(
                    "no command /{name}: /help lists them, //{name} sends a text that begins with a slash"
                ));
            }
        };
        Ok(Some(parsed))
    }
}

/// File that a name means, as a shell reads it and as completion writes it: behind `~/` it lies in the home folder, quotation marks
/// around it are no part of it, and neither is a backslash before a character that a shell treats apart.
fn named(name: &str) -> PathBuf {
    let quoted = ['"', '\''].iter().find_map(|&mark| name.strip_prefix(mark)?.strip_suffix(mark));
    let name = quoted.map_or_else(|| unescaped(name), str::to_owned);
    match (name.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => name.into(),
    }
}

/// A name without backslashes before characters that rustyline puts them before. On Windows a backslash parts folders.
fn unescaped(name: &str) -> String {
    const SPECIAL: &str = " \t\n\"\\'`@$><=;|&{(*?[#~!";
    let mut text = String::with_capacity(name.len());
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        let is_escape = character == '\\' && cfg!(unix);
        match characters.peek() {
            Some(&next) if is_escape && SPECIAL.contains(next) => {
                text.push(next);
                characters.next();
            }
            _ => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_name_is_read_as_a_shell_does() {
        for (name, want) in [
            ("a b.kv", "a b.kv"),
            (r"a\ b.kv", "a b.kv"),
            (r"a\(1.kv", "a(1.kv"),
            (r"a\\b", r"a\b"),
            (r"a\b", r"a\b"),
            ("\"a b.kv\"", "a b.kv"),
            ("'a b.kv'", "a b.kv"),
            ("\"a", "\"a"),
        ] {
            assert_eq!(named(name), PathBuf::from(want), "{name}");
        }
        let home = std::env::home_dir().unwrap();
        assert_eq!(named("~/a.kv"), home.join("a.kv"));
        assert_eq!(named("~a/b"), PathBuf::from("~a/b"));
    }

    #[test]
    fn lines_are_questions_or_commands() {
        let save = |path: &str, force| Command::Save { path: (!path.is_empty()).then(|| path.into()), force };
        for (line, want) in [
            (&b"Who?"[..], Command::Ask(b"Who?".to_vec())),
            (b" /help", Command::Ask(b" /help".to_vec())),
            (b"a\n/exit\n\xff", Command::Ask(b"a\n/exit\n\xff".to_vec())),
            (b"//usr/bin\nx", Command::Ask(b"/usr/bin\nx".to_vec())),
            (b"//", Command::Ask(b"/".to_vec())),
            (b"/help ", Command::Help),
            (b"/system", Command::System(None)),
            (b"/system Be brief.\nAlways.", Command::System(Some(b"Be brief.\nAlways.".to_vec()))),
            (b"/save", save("", false)),
            (b"/save my chat.kv", save("my chat.kv", false)),
            (b"/save --force a.kv", save("a.kv", true)),
            (b"/save --forced", save("--forced", false)),
            (b"/load a.kv", Command::Load("a.kv".into())),
            (b"/regen", Command::Regenerate),
            (b"/reset", Command::Reset),
            (b"/exit", Command::Exit),
        ] {
            assert_eq!(Command::parse(line), Ok(Some(want)), "{}", line.escape_ascii());
        }
        assert_eq!([Command::parse(b""), Command::parse(b" \n\t")], [Ok(None), Ok(None)]);
    }

    #[test]
    fn a_wrong_command_is_told() {
        for (line, want) in [
            (&b"/x y"[..], "no command /x: /help lists them, //x sends a text that begins with a slash"),
            (b"/", "no command /: /help lists them, // sends a text that begins with a slash"),
            (
                b"/\x1b[2J",
                "no command /\\u{1b}[2J: /help lists them, //\\u{1b}[2J sends a text that begins with a slash",
            ),
            (b"/load ", "/load needs the name of a file"),
            (b"/exit now", "/exit takes nothing behind it"),
        ] {
            assert_eq!(Command::parse(line), Err(want.into()), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn help_names_all_commands() {
        for name in NAMES.iter().filter(|name| **name != "/help") {
            assert!(HELP.lines().any(|line| line.starts_with(name)), "{name}");
        }
    }
}
