//! Run of a board, from power-on until its end or an error.

use nearfield::kernels::Kernels;
use nearfield::{Executor, SessionConfig};

use crate::board::Board;
use crate::card::Layers;
use crate::generate::{Memory, TextModel};
use crate::halt::Halt;
use crate::image::Image;
use crate::self_test::self_test;

/// Tests the kernels, loads the model and hands it to `then`. Writes progress to the board, and returns the code to halt with
/// ([`Halt::code`]): 0 when `then` returned without an error.
pub fn power_on<B: Board, const LINES: usize>(
    board: &mut B,
    image: &Image,
    config: SessionConfig,
    isa: &dyn Kernels,
    executor: &dyn Executor,
    memory: &mut Memory<LINES>,
    then: impl FnOnce(&mut B, &mut TextModel<'_, '_, '_>) -> Result<(), Halt>,
) -> u8 {
    power_on_with(board, image, config, isa, executor, memory, None, then)
}

/// Does what [`power_on`] does with a model whose `layers` are not all in flash.
#[expect(clippy::too_many_arguments, reason = "those of `power_on`, and one")]
pub fn power_on_with<B: Board, const LINES: usize>(
    board: &mut B,
    image: &Image,
    config: SessionConfig,
    isa: &dyn Kernels,
    executor: &dyn Executor,
    memory: &mut Memory<LINES>,
    layers: Option<Layers<'_>>,
    then: impl FnOnce(&mut B, &mut TextModel<'_, '_, '_>) -> Result<(), Halt>,
) -> u8 {
    match begin(board, image, config, isa, executor, memory, layers, then) {
        Ok(()) => 0,
        Err(halt) => {
            let code = halt.code();
            #[cfg(feature = "defmt")]
            defmt::error!("halted with code {}: {}", code, defmt::Display2Format(&halt));
            // An error of this last message has nowhere to be written.
            let _ = write!(board, "\r\nhalted with code {code}: {halt}\r\n");
            code
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "those of `power_on_with`")]
fn begin<B: Board, const LINES: usize>(
    board: &mut B,
    image: &Image,
    config: SessionConfig,
    isa: &dyn Kernels,
    executor: &dyn Executor,
    memory: &mut Memory<LINES>,
    layers: Option<Layers<'_>>,
    then: impl FnOnce(&mut B, &mut TextModel<'_, '_, '_>) -> Result<(), Halt>,
) -> Result<(), Halt> {
    let (name, isa_name, n_cases) = (board.name(), isa.name(), board.self_test_cases());
    write!(board, "nearfield on {name}, kernels {isa_name}, model {}\r\n", image.name)?;
    board.mark();
    self_test(isa, n_cases, memory.arena())?;
    board.mark();
    write!(board, "self-test: {n_cases} cases of each kernel, {isa_name} gives the definitions' bits\r\n")?;
    #[cfg(feature = "defmt")]
    defmt::info!("self-test passed: {}", isa_name);
    TextModel::open(image, config, isa, executor, memory, layers, |model| {
        if model.n_prefix() > 0 {
            write!(board, "a text of {} tokens goes on\r\n", model.n_prefix())?;
        }
        #[cfg(feature = "defmt")]
        defmt::info!("{} is ready: {} bytes of arena", image.name, model.arena_bytes());
        then(board, model)
    })
}
