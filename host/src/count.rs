//! Numbers of things as people read them.

use std::fmt;

/// Number of things, and the word for one of them; the plural takes an `s`.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub usize, pub &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(n, one) = self;
        write!(f, "{n} {one}{}", if *n == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|n| Count(n, "token").to_string()), ["0 tokens", "1 token", "2 tokens"]);
    }
}
