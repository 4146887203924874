//! Command line of `nearfield`: its commands and their help.

use clap::{Parser, Subcommand};

use crate::args::environment;
use crate::commands::bench::BenchArgs;
use crate::commands::completions::CompletionsArgs;
use crate::commands::convert::ConvertArgs;
use crate::commands::embed::EmbedArgs;
use crate::commands::imatrix::ImatrixArgs;
use crate::commands::inspect::InspectArgs;
use crate::commands::logits::LogitsArgs;
use crate::commands::man::ManArgs;
use crate::commands::pack::PackArgs;
use crate::commands::perplexity::PerplexityArgs;
use crate::commands::plan::PlanArgs;
use crate::commands::quantize::QuantizeArgs;
use crate::commands::rerank::RerankArgs;
use crate::commands::run::RunArgs;
use crate::commands::serve::ServeArgs;
use crate::commands::tokenize::{DetokenizeArgs, TokenizeArgs};

/// Inference for ALiBi transformers on this machine's CPU.
///
/// Without a command, in a terminal: type the beginning of a story and read the rest.
#[derive(Debug, Parser)]
#[command(name = "nearfield", version, after_help = environment::HELP)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Generate text from a prompt
    Run(Box<RunArgs>),
    /// Answer requests over HTTP, as clients of OpenAI's API send them
    Serve(ServeArgs),
    /// Print the token ids of a text, separated by spaces
    Tokenize(TokenizeArgs),
    /// Print the text of token ids
    Detokenize(DetokenizeArgs),
    /// Write the logits after each token of a text to a NumPy file
    Logits(LogitsArgs),
    /// Print the embedding of each text, one line per text
    Embed(EmbedArgs),
    /// Rank texts by relevance to a query, the best first
    Rerank(RerankArgs),
    /// Show the contents of a model file or snapshot, and the memory to run it
    Inspect(InspectArgs),
    /// Plan the memory of a session, find rings for a budget, and check whether a board has room
    Plan(PlanArgs),
    /// Write a model file with interleaved weights, which the kernels read fastest
    Pack(PackArgs),
    /// Convert a Hugging Face model to a GGUF file
    Convert(ConvertArgs),
    /// Measure on a text how much each column of the weights matters, for quantize --imatrix
    Imatrix(ImatrixArgs),
    /// Quantize the weights of a model file to another type
    Quantize(QuantizeArgs),
    /// Measure tokens per second, beside the limits of this machine; lists separated by commas are combined
    Bench(BenchArgs),
    /// Perplexity of a text at one or more context lengths
    Perplexity(PerplexityArgs),
    /// Print a script that completes arguments in a shell
    Completions(CompletionsArgs),
    /// Write the manual pages
    Man(ManArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
