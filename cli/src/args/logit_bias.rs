//! `--logit-bias`: a token or a text, and the number that is added to its logits.

use nearfield_host::sampler::Biased;

const EXPECTED: &str = "a token's number or a text, = and a number or false, such as 42=-1.5, 42+1 or \" red\"=false";

/// Parses a bias.
pub fn logit_bias(text: &str) -> Result<(Biased, f32), &'static str> {
    let (biased, bias) = match text.rsplit_once('=') {
        Some((biased, bias)) => (biased, bias),
        // As in llama.cpp, the sign of the bias may stand behind the token.
        None => text.find(['+', '-']).and_then(|at| text.split_at_checked(at)).ok_or(EXPECTED)?,
    };
    let is_number = !biased.is_empty() && biased.bytes().all(|byte| byte.is_ascii_digit());
    let biased = match biased {
        number if is_number => Biased::Token(number.parse().map_err(|_| "a token below 4294967296")?),
        words if !words.is_empty() && text.contains('=') => Biased::Text(words.into()),
        _ => return Err(EXPECTED),
    };
    let bias = if bias == "false" { f32::NEG_INFINITY } else { bias.parse().map_err(|_| EXPECTED)? };
    if bias.is_nan() { Err(EXPECTED) } else { Ok((biased, bias)) }
}
