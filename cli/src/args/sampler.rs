//! Settings of sampling.

use clap::Args;
use nearfield::SamplerConfig;
use nearfield_host::sampler::{Biased, SamplerOptions};

use super::logit_bias::logit_bias;
use super::seed::Seed;

#[derive(Args, Debug)]
pub struct SamplerArgs {
    /// Sampling temperature; 0 always takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = SamplerConfig::default().temp, allow_negative_numbers = true)]
    pub temp: f32,

    /// Sample from the K likeliest tokens; 0 disables
    #[arg(long, value_name = "K", default_value_t = SamplerConfig::default().top_k)]
    #[arg(allow_negative_numbers = true, value_parser = all_tokens)]
    pub top_k: usize,

    /// Sample from the tokens whose surprise is nearest to the expected one and whose probabilities add up to P; 1 disables
    #[arg(long, alias = "typical-p", value_name = "P", allow_negative_numbers = true)]
    #[arg(default_value_t = SamplerConfig::default().typical_p)]
    pub typical: f32,

    /// Sample from the likeliest tokens whose probabilities add up to P; 1 disables
    #[arg(long, value_name = "P", default_value_t = SamplerConfig::default().top_p, allow_negative_numbers = true)]
    pub top_p: f32,

    /// Drop tokens less likely than P times the likeliest; 0 disables
    #[arg(long, value_name = "P", default_value_t = SamplerConfig::default().min_p, allow_negative_numbers = true)]
    pub min_p: f32,

    /// Penalty that divides the logits of recent tokens; 1 disables
    #[arg(long, value_name = "R", default_value_t = SamplerConfig::default().repeat_penalty, allow_negative_numbers = true)]
    pub repeat_penalty: f32,

    /// Penalty on recent tokens, subtracted from their logits; 0 disables
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    #[arg(default_value_t = SamplerConfig::default().presence_penalty)]
    pub presence_penalty: f32,

    /// Penalty on recent tokens, subtracted for each time that they came; 0 disables
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    #[arg(default_value_t = SamplerConfig::default().frequency_penalty)]
    pub frequency_penalty: f32,

    /// Tokens that count as recent for these three penalties, at most those of the context; -1 for all of these
    #[arg(long, value_name = "N", default_value_t = SamplerConfig::default().repeat_last_n)]
    #[arg(allow_negative_numbers = true, value_parser = window)]
    pub repeat_last_n: usize,

    /// DRY penalty on tokens that would continue a repetition; 0 disables
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    #[arg(default_value_t = SamplerConfig::default().dry_multiplier)]
    pub dry_multiplier: f32,

    /// Factor of the DRY penalty for each token by which a repetition is longer
    #[arg(long, value_name = "X", default_value_t = SamplerConfig::default().dry_base, allow_negative_numbers = true)]
    pub dry_base: f32,

    /// Length from which on DRY penalizes a repetition, in tokens
    #[arg(long, value_name = "N", default_value_t = SamplerConfig::default().dry_allowed_length)]
    pub dry_allowed_length: usize,

    /// Tokens in which DRY looks for repetitions, at most those of the context; -1 for all of these
    #[arg(long, value_name = "N", default_value_t = SamplerConfig::default().dry_penalty_last_n)]
    #[arg(allow_negative_numbers = true, value_parser = window)]
    pub dry_penalty_last_n: usize,

    /// Text that no repetition reaches across, with \n for a line end; may be given more than once; none for no such text
    /// [default: \n : " *]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub dry_sequence_breaker: Vec<String>,

    /// Add a number to the logit of a token: ID=BIAS, ID+BIAS or ID-BIAS, or TEXT=BIAS for the tokens of a text; ID=false
    /// forbids it; may be given more than once
    #[arg(short = 'l', long, value_name = "TOKEN=BIAS", value_parser = logit_bias, allow_hyphen_values = true)]
    pub logit_bias: Vec<(Biased, f32)>,

    /// Forbid the tokens that end a text
    #[arg(long)]
    pub ignore_eos: bool,

    /// Random seed; the same seed gives the same text; -1: a new one each time [default: that of the snapshot, or a new one]
    #[arg(short, long, value_name = "S", allow_negative_numbers = true)]
    pub seed: Option<Seed>,
}

impl SamplerArgs {
    /// Settings of sampling, but for the seed, which each text has of its own.
    pub fn options(&self) -> SamplerOptions {
        SamplerOptions {
            config: SamplerConfig {
                temp: self.temp,
                top_k: self.top_k,
                typical_p: self.typical,
                top_p: self.top_p,
                min_p: self.min_p,
                repeat_penalty: self.repeat_penalty,
                frequency_penalty: self.frequency_penalty,
                presence_penalty: self.presence_penalty,
                repeat_last_n: self.repeat_last_n,
                dry_multiplier: self.dry_multiplier,
                dry_base: self.dry_base,
                dry_allowed_length: self.dry_allowed_length,
                dry_penalty_last_n: self.dry_penalty_last_n,
                seed: SamplerConfig::default().seed,
            },
            logit_bias: self.logit_bias.clone(),
            dry_sequence_breakers: self.breakers(),
            ignore_eos: self.ignore_eos,
        }
    }

    /// Breakers of DRY: those of llama.cpp where none is given, and no others behind `none`.
    fn breakers(&self) -> Vec<String> {
        match self.dry_sequence_breaker.as_slice() {
            [] => SamplerOptions::default().dry_sequence_breakers,
            [none] if none == "none" => Vec::new(),
            texts => texts.iter().map(|text| unescaped(text)).collect(),
        }
    }
}

/// Text with the characters of `\n`, `\r`, `\t`, `\"`, `\'` and `\\`, as in llama.cpp.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letters.clone().next()) {
            ('\\', Some(name @ ('n' | 'r' | 't' | '"' | '\'' | '\\'))) => {
                letters.next();
                out.push(match name {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                });
            }
            _ => out.push(letter),
        }
    }
    out
}

/// Number of tokens to sample from; as in llama.cpp, numbers below 1 stand for all tokens, which are 0 here.
fn all_tokens(text: &str) -> Result<usize, &'static str> {
    let number: i64 = text.parse().map_err(|_| "a whole number, or 0 for all tokens")?;
    Ok(usize::try_from(number).unwrap_or(0))
}

/// Number of the last tokens; -1 stands for those of the context.
fn window(text: &str) -> Result<usize, &'static str> {
    match text {
        "-1" => Ok(usize::MAX),
        text => text.parse().map_err(|_| "a whole number from 0 on, or -1 for the context"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        sampler: SamplerArgs,
    }

    #[test]
    fn minus_one_is_all_there_is() {
        let config = |args: &str| {
            Line::try_parse_from(["run"].into_iter().chain(args.split(' '))).unwrap().sampler.options().config
        };
        assert_eq!(config("--top-k -1").top_k, 0);
        let windows = config("--repeat-last-n -1 --dry-penalty-last-n=-1");
        assert_eq!((windows.repeat_last_n, windows.dry_penalty_last_n), (usize::MAX, usize::MAX));
    }

    #[test]
    fn breakers_are_those_given_or_llama_cpps() {
        let breakers = |args: &[&str]| {
            let args = ["run"].iter().chain(args);
            Line::try_parse_from(args).unwrap().sampler.options().dry_sequence_breakers
        };
        assert_eq!(breakers(&[]), ["\n", ":", "\"", "*"]);
        assert_eq!(breakers(&["--dry-sequence-breaker", "none"]), [""; 0]);
        assert_eq!(
            breakers(&["--dry-sequence-breaker", r"\n\\n\x", "--dry-sequence-breaker", "-\\"]),
            ["\n\\n\\x", "-\\"]
        );
    }

    #[test]
    fn biases_are_parsed() {
        let bias = |text: &str| Line::try_parse_from(["run", "-l", text]).map(|line| line.sampler.logit_bias);
        let token = |token, bias| vec![(Biased::Token(token), bias)];
        assert_eq!(bias("15043=1.5").unwrap(), token(15043, 1.5));
        assert_eq!(bias("15043+1").unwrap(), token(15043, 1.0));
        assert_eq!(bias("15043-1.5").unwrap(), token(15043, -1.5));
        assert_eq!(bias("7=-3").unwrap(), token(7, -3.0));
        assert_eq!(bias("7=false").unwrap(), token(7, f32::NEG_INFINITY));
        assert_eq!(bias("7-inf").unwrap(), token(7, f32::NEG_INFINITY));
        assert_eq!(bias("a=b=2").unwrap(), [(Biased::Text("a=b".into()), 2.0)]);
        for wrong in ["", "7", "7=", "7=x", "7=nan", "=1", "x+1", "4294967296=1"] {
            assert!(bias(wrong).is_err(), "{wrong}");
        }
    }
}
