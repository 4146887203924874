//! All that can be asked of the command.

use clap::{Parser, Subcommand};

use crate::commands::bench::BenchArgs;
use crate::commands::convert::ConvertArgs;
use crate::commands::embed::EmbedArgs;
use crate::commands::imatrix::ImatrixArgs;
use crate::commands::inspect::InspectArgs;
use crate::commands::logits::LogitsArgs;
use crate::commands::pack::PackArgs;
use crate::commands::perplexity::PerplexityArgs;
use crate::commands::plan::PlanArgs;
use crate::commands::quantize::QuantizeArgs;
use crate::commands::rerank::RerankArgs;
use crate::commands::run::RunArgs;
use crate::commands::tokenize::{DetokenizeArgs, TokenizeArgs};

/// Stories and numbers from ALiBi transformers, on this machine's processor.
///
/// Without a command, in a terminal: type the beginning of a story and read the rest.
#[derive(Debug, Parser)]
#[command(name = "nearfield", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Continue a text
    Run(RunArgs),
    /// Text to token ids, separated by spaces
    Tokenize(TokenizeArgs),
    /// Token ids to text
    Detokenize(DetokenizeArgs),
    /// Logits after each token of a text, as a NumPy file
    Logits(LogitsArgs),
    /// The vectors of texts, a line each
    Embed(EmbedArgs),
    /// Texts by how well they answer a query, the best first
    Rerank(RerankArgs),
    /// What a model file holds, and what running it takes
    Inspect(InspectArgs),
    /// The memory that a session takes, rings for a budget, and whether a board has room for it
    Plan(PlanArgs),
    /// Write a model's weights in the order in which this program reads them fastest
    Pack(PackArgs),
    /// Make a GGUF file of a model as Hugging Face has it
    Convert(ConvertArgs),
    /// Measure on a text which columns of the weights matter most, for quantize --imatrix
    Imatrix(ImatrixArgs),
    /// Write a model with its weights in another type
    Quantize(QuantizeArgs),
    /// Tokens per second, beside what this machine could do; lists separated by commas are combined
    Bench(BenchArgs),
    /// How well a model foretells a text, by how far it may look back
    Perplexity(PerplexityArgs),
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
