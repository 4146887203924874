//! Constants that a board computes at compile time: the shape of its model and the size of its arena.

use nearfield::tokenizer::{Tokenizer, Vocab};
use nearfield::{Arena, Inline, KvType, KvTypes, Line, MemoryPlan, Model, Session, SessionConfig, Shape, kernels};

#[repr(C, align(64))]
struct Aligned<B: ?Sized>(B);

static POCKET: &Aligned<[u8]> = &Aligned(*include_bytes!("../models/pocket.gguf"));
static MICRO: &Aligned<[u8]> = &Aligned(*include_bytes!("../models/micro.gguf"));

const SHAPE: Shape = match Shape::from_bytes(&POCKET.0) {
    Ok(shape) => shape,
    Err(_) => panic!("models/pocket.gguf has no usable header"),
};
const KV: KvTypes = KvTypes::both(KvType::Q8_0);
const CONFIG: SessionConfig = SessionConfig { n_ctx: 512, n_batch: 8, kv: KV, ..SessionConfig::DEFAULT };
const PLAN: MemoryPlan = match MemoryPlan::new(&SHAPE, &CONFIG) {
    Ok(plan) => plan,
    Err(_) => panic!("no plan"),
};

/// Arena of the micro model on a board that keeps the tokenizer's index in flash.
const MICRO_PLAN: MemoryPlan = MemoryPlan::of_file(&MICRO.0, &CONFIG).without_tokenizer();

/// Memory that a part with 256 KiB of RAM and 1 MiB of flash has left for the model.
const RAM_BUDGET: usize = 192 * 1024;
const FLASH_BUDGET: usize = 640 * 1024;
/// The same for a part with 128 KiB of RAM and 512 KiB of flash.
const MICRO_RAM_BUDGET: usize = 88 * 1024;
const MICRO_FLASH_BUDGET: usize = 256 * 1024;

#[test]
fn the_pocket_model_fits_a_microcontroller() {
    const { assert!(PLAN.total() <= RAM_BUDGET) };
    assert!(POCKET.0.len() <= FLASH_BUDGET, "{} bytes", POCKET.0.len());
}

#[test]
fn the_micro_model_fits_a_microcontroller_of_half_the_size() {
    const { assert!(MICRO_PLAN.total() <= MICRO_RAM_BUDGET) };
    assert!(MICRO.0.len() <= MICRO_FLASH_BUDGET, "{} bytes", MICRO.0.len());
}

#[test]
fn an_arena_of_exactly_the_planned_size_is_enough_and_one_line_less_is_not() {
    let model = Model::from_gguf(&POCKET.0).unwrap();
    assert_eq!(*model.shape(), SHAPE);
    let mut memory = [Line::ZERO; PLAN.n_lines()];
    let begin = |memory: &mut [Line]| {
        let mut arena = Arena::new(memory);
        let tokenizer = Tokenizer::new(Vocab::from_gguf(model.gguf()).unwrap(), &mut arena);
        assert!(tokenizer.is_ok(), "{tokenizer:?}");
        let session = Session::new(&model, CONFIG, kernels::best(), &Inline, &mut arena);
        session.map(|_| arena.free_bytes()).map_err(|error| error.to_string())
    };
    assert_eq!(begin(&mut memory), Ok(0));
    let (_, short) = memory.split_at_mut(1);
    let (need, have) = (PLAN.session(), PLAN.session() - Line::BYTES);
    assert_eq!(begin(short), Err(format!("the session needs an arena of {need} bytes, it has {have}")));
}
