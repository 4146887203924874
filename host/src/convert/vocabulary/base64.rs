//! Base64, in which `tokenizer.json` holds bytes (RFC 4648, section 4).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes of a base64 text; `None` if the text is not base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=').as_bytes();
    if !text.len().is_multiple_of(4) || text.len() - body.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in body.chunks(4) {
        let mut digits = group.iter().map(|digit| ALPHABET.iter().position(|letter| letter == digit));
        let mut number = digits.try_fold(0, |number, digit| Some(number << 6 | digit? as u32))?;
        number <<= 6 * (4 - group.len());
        // Each letter holds six bits; only whole bytes count.
        bytes.extend(&number.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        let cases = [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYmFy", "foobar"),
            ("+/+/", "\u{fb}\u{ff}\u{bf}"),
        ];
        for (text, want) in cases {
            let want: Vec<u8> = want.chars().map(|c| c as u8).collect();
            assert_eq!(decode(text), Some(want), "{text}");
        }
        for broken in ["Z", "Zg", "Zg=", "Zm9v====", "Z g=", "Zg==Zg=="] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }
}
