//! Runs the timed tests of an encoder: texts of one length each, embedded in passes.

use anyhow::{Result, ensure};
use nearfield::{Arena, Encoder, EncoderConfig, EncoderPlan, Pooling, Ring};
use nearfield_host::encode::filled;
use nearfield_host::memory::allocate;

use super::measure::{Case, Pools, Tests, new_rows, repeat};
use super::memory;
use super::noise::{Seen, Watch};
use super::peaks::Machine;
use super::row::{Keys, Row, Test};
use crate::terminal::Progress;
use crate::terminal::interrupt;

/// Tests of an encoder, and how it is run in each.
fn configs<'t>(case: &Case<'_>, tests: &'t Tests) -> impl Iterator<Item = (Test, EncoderConfig)> + use<'t> {
    let (n_batch, kv, horizon_eps) = (case.batch, case.kv, tests.horizon_eps);
    tests.texts.iter().map(move |&(n_texts, n_tokens)| {
        let config = EncoderConfig { n_ctx: n_tokens, n_batch, n_documents: 1, kv, horizon_eps };
        (Test::Embed { n_texts, n_tokens }, filled(config, std::iter::repeat_n(n_tokens, n_texts)))
    })
}

/// Checks that the tests are valid for an encoder and fit in memory.
pub fn check(case: &Case<'_>, tests: &Tests) -> Result<()> {
    ensure!(!tests.texts.is_empty(), "nothing to time: an encoder needs a -p above 0");
    ensure!(
        tests.depths == [0] && matches!(tests.ring, Ring::Full) && case.n_sequences == 1,
        "an encoder sees each text alone: --depth, --ring and --sequences are for models that continue texts"
    );
    let mut bytes = 0;
    for (_, config) in configs(case, tests) {
        bytes += EncoderPlan::new(case.model.shape(), &config)?.encoder() as u64;
    }
    memory::check(tests.longest_text(), bytes)
}

/// Measures one encoder with every number of threads. After an error, `rows` holds the rows that have at least one repetition.
pub fn measure(
    case: &Case<'_>,
    tests: &Tests,
    pools: &Pools,
    machine: Option<&Machine>,
    progress: &mut Progress,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let shape = case.model.shape();
    let plans = configs(case, tests).map(|(_, config)| Ok(EncoderPlan::new(shape, &config)?.encoder()));
    let mut memory = plans.map(|bytes: Result<usize>| Ok(allocate(bytes?)?)).collect::<Result<Vec<_>>>()?;
    let encoder = |((test, config), lines)| -> Result<(Test, Encoder<'_, '_, '_>)> {
        Ok((test, Encoder::new(case.model, config, case.kernels, pools, &mut Arena::new(lines))?))
    };
    let mut encoders = configs(case, tests)
        .zip(memory.iter_mut().map(|lines| &mut lines[..]))
        .map(encoder)
        .collect::<Result<Vec<_>>>()?;
    tests.turns.wait()?;
    for pool in 0..pools.len() {
        interrupt::check()?;
        pools.choose(pool);
        encoders.iter_mut().try_for_each(|(_, encoder)| encoder.rows(&case.tokens[..1]).map(|_| ()))?;
    }
    progress.stage(format!("{}, {}, measuring", case.facts.name, case.kv));
    let first = rows.len();
    let of_tests: Vec<Test> = encoders.iter().map(|&(test, _)| test).collect();
    new_rows(case, tests, pools, machine, 0, &of_tests, rows);
    tests.turns.done("filled 0")?;
    let mut time = |test: Test, pool: usize| {
        pools.choose(pool);
        let (_, encoder) = encoders.iter_mut().find(|(of, _)| *of == test).expect("an encoder for each test");
        time(encoder, case, test)
    };
    let done = repeat(tests, of_tests.len(), progress, &mut rows[first..], &mut time);
    rows.retain(|row| !row.samples.is_empty());
    done
}

/// Embeds the texts of a test once.
fn time(encoder: &mut Encoder<'_, '_, '_>, case: &Case<'_>, test: Test) -> Result<(Seen, Keys)> {
    let Test::Embed { n_texts, n_tokens } = test else { unreachable!("an encoder's test") };
    let texts: Vec<&[u32]> = case.tokens.chunks_exact(n_tokens).take(n_texts).collect();
    let shape = case.model.shape();
    let (before, held) = (encoder.key_stats().0.to_vec(), encoder.key_stats().1);
    let watch = Watch::start();
    let mut rest = &texts[..];
    while !rest.is_empty() {
        rest = &rest[encoder.embed_pass(rest, Pooling::Mean, true)?.len() / shape.n_embd..];
    }
    let seen = watch.stop();
    let (visited, all) = encoder.key_stats();
    let visited: Vec<u64> = visited.iter().zip(&before).map(|(after, before)| after - before).collect();
    Ok((seen, Keys::new(shape, &visited, all - held)))
}
