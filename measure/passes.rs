//! Time of a pass of 1, 2, 4 and 8 tokens with the logits of each, beside that of one token: the least of nine, on one thread.
//!
//!     nearfield pack MODEL.gguf packed.gguf
//!     cargo run --release -p nearfield --example passes -- packed.gguf

use std::time::Instant;

use nearfield::{Arena, Inline, Line, MemoryPlan, Model, Session, SessionConfig, kernels};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("passes PACKED.gguf")?;
    let file = std::fs::read(path)?;
    let model = Model::from_gguf(&file)?;
    let config = SessionConfig { n_ctx: 512, n_draft: 7, ..SessionConfig::default() };
    let mut memory = vec![Line::ZERO; MemoryPlan::new(model.shape(), &config)?.n_lines()];
    let mut session = Session::new(&model, config, kernels::best(), &Inline, &mut Arena::new(&mut memory))?;
    session.prefill(&[1, 2, 3])?;
    let numbers = [1, 2, 4, 8];
    let mut least = [f64::INFINITY; 4];
    for _ in 0..9 {
        for (n, least) in numbers.into_iter().zip(&mut least) {
            session.rewind(3)?;
            let start = Instant::now();
            session.decode_ahead(5, &[6, 7, 8, 9, 10, 11, 12][..n - 1])?;
            *least = least.min(start.elapsed().as_secs_f64());
        }
    }
    println!("tokens  ms     of one");
    for (n, seconds) in numbers.into_iter().zip(least) {
        println!("{n:6}  {:5.1}  {:.2}", 1e3 * seconds, seconds / least[0]);
    }
    Ok(())
}
